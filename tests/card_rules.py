"""What the stand-in for the Hub takes for a sound card."""

import re

import yaml


def card_troubles(card: str, kind: str = "model") -> list[str]:
    """What the Hub would refuse in a card's front matter, as far as its documentation tells."""
    match = re.match(r"---\n(.*?)\n---", card, re.S)
    try:
        fields = yaml.safe_load(match[1]) if match else {}
    except yaml.YAMLError as error:
        return [f"not YAML: {error}"]
    if not isinstance(fields, dict):
        return ["not an object"]
    troubles = []
    if (fields.get("license") == "other") != ("license_name" in fields):
        troubles.append("license_name goes with license: other, and with no else")
    one, many = ("license", "license_name", "license_link"), ("tags", "datasets", "metrics")
    if kind == "model":
        one = (*one, "library_name", "pipeline_tag")
    troubles += [f"{name} is not a string" for name in one if not isinstance(fields.get(name, ""), str)]
    for name in many:
        if not isinstance(values := fields.get(name, []), list) or not all(isinstance(v, str) for v in values):
            troubles.append(f"{name} is not a list of strings")
    try:
        for entry in fields.get("model-index", []):
            figures = [(r["task"]["type"], r["dataset"]["name"], r["dataset"]["type"], r) for r in entry["results"]]
            named = [entry["name"], *(name for *names, _ in figures for name in names)]
            metrics = [metric for *_, result in figures for metric in result["metrics"]]
            if not figures or not all(name and isinstance(name, str) for name in named):
                troubles.append("model-index holds no results or no names")
            if not metrics or not all(isinstance(m["type"], str) and isinstance(m["value"], float) for m in metrics):
                troubles.append("model-index holds metrics without type or number")
    except (KeyError, TypeError) as error:
        troubles.append(f"model-index is malformed: {error!r}")
    return troubles
