"""A card that people may have edited: what the project wrote in it is renewed, what they wrote is kept."""

import hashlib
import json
import logging
import re
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData

CARD = "README.md"  # where the Hub looks for it
_OWN_SECTION = re.compile(r"<!-- ngan: (\w+) -->(.*?)<!-- /ngan: \1 -->\n?", re.DOTALL)
_OF_THE_WEIGHTS = ("training", "figures")  # sections that each push renews, whoever wrote them
_RECORD = re.compile(r"<!-- ngan wrote (\{.*?\}) -->\n?")  # marks of what the project wrote, so as to know it again
LICENSE = ("license", "license_name", "license_link")  # fields of the front matter and of the configuration
_LOG = logging.getLogger("ngan")


def merge_cards(theirs: str, ours: str) -> str:
    """Renew what the project wrote in a card, and keep what people did; a warning names what is kept otherwise.

    Fields of the front matter and sections are the project's where they are as its record says that it wrote them. A
    section that the project has had only since then comes at the end. Cards without a record count as written by
    people, but for the sections of training and figures and the model-index, which are of the weights and renewed
    always.

    Args:
        theirs: the card as it stands, "" if there is none.
        ours: a card of `write_card`; or a part of one, without a record, which renews nothing that it does not hold.

    Returns:
        `theirs`, renewed; sections of training and figures stand at its end where it has none.

    Raises:
        ValueError: a front matter that is no valid YAML.
    """
    if not theirs.strip():
        return ours
    card, new = _read(theirs), _read(ours)
    written, record = _RECORD.search(card.text), _RECORD.search(new.text)
    before = _read_record(written[1]) if written and record else {}
    text = _RECORD.sub("", card.text)
    have, want = card.data.to_dict(), new.data.to_dict()
    had, has = _parts(have, text), _parts(want, new.text)
    changed = {name for name in had | before if _mark(had.get(name)) != before.get(name)}
    fields = {}
    for name in [name for name in has | had if not name.startswith("#")]:
        fields |= (had if name in changed else has).get(name, {})
    fields |= {"model-index": want["model-index"]} if "model-index" in want else {}
    for section in _OWN_SECTION.finditer(new.text):
        name, found = section[1], f"#{section[1]}" in had
        if name in _OF_THE_WEIGHTS and not found:
            text = f"{text.rstrip()}\n\n{section[0]}"
        elif found and (name in _OF_THE_WEIGHTS or f"#{name}" not in changed):
            old = next(old for old in _OWN_SECTION.finditer(text) if old[1] == name)
            text = text[: old.start()] + section[0] + text[old.end() :]
        elif before and f"#{name}" not in before and not found and not _has_heading_of(section[2], text):
            text = f"{text.rstrip()}\n\n{section[0]}"  # new since that card was written: nobody has removed it
    kept = [name for name in sorted(changed & has.keys()) if had.get(name) != has[name]]
    kept = [name for name in kept if name in had or not name.startswith("#")]  # sections that went are not missed
    if kept := [name.lstrip("#") for name in kept if name.lstrip("#") not in _OF_THE_WEIGHTS]:
        told = "the README.md on the Hub keeps what people wrote there, not what this run says: %s"
        _LOG.warning(told, ", ".join(kept))
    last = record or written
    body = text.strip() + (f"\n\n{last[0].strip()}" if last else "")
    return f"---\n{ModelCardData(**fields).to_yaml()}\n---\n\n{body}\n"


def record_of(data: ModelCardData, text: str) -> str:
    """Return the comment that tells what the project wrote in a card: a mark of each part."""
    marks = {name: _mark(part) for name, part in _parts(data.to_dict(), text).items()}
    return f"<!-- ngan wrote {json.dumps(marks)} -->"


def name_in(card: str) -> str | None:
    """Return the model's name in the model-index of a card, if it has one.

    Raises:
        ValueError: a front matter that is no valid YAML.
    """
    return _read(card).data.model_name


def relicense(card: str, terms: dict[str, str]) -> str:
    """Put a license into the front matter of a card, in the place of the one that it has."""
    changed = _read(card)
    for name in LICENSE:
        setattr(changed.data, name, terms.get(name))
    return f"---\n{changed.data.to_yaml()}\n---\n{changed.text}"


def license_in(card: str) -> dict[str, str]:
    """Return the fields on the license in the front matter of a card; none where it names no license.

    Raises:
        ValueError: a front matter that is no valid YAML.
    """
    fields = _read(card).data.to_dict()
    return {name: fields[name] for name in LICENSE if fields.get(name)} if fields.get("license") else {}


def _read(card: str) -> ModelCard:
    try:
        return ModelCard(card)
    except (yaml.YAMLError, TypeError, AttributeError) as error:
        raise ValueError(f"{CARD} has a broken front matter: {error}") from error


def _parts(fields: dict[str, Any], text: str) -> dict[str, Any]:
    """What is renewed or kept as one: the front matter's fields, all on the license together, and "#section"s."""
    fields = {name: value for name, value in fields.items() if name != "model-index"}
    terms = {name: fields.pop(name) for name in LICENSE if name in fields}
    parts: dict[str, Any] = {"license": terms} if terms else {}
    parts |= {name: {name: value} for name, value in fields.items()}
    return parts | {f"#{section[1]}": section[2].split() for section in reversed([*_OWN_SECTION.finditer(text)])}


def _has_heading_of(section: str, text: str) -> bool:
    headings = {line for line in section.splitlines() if line.startswith("## ")}
    return not headings.isdisjoint(text.splitlines())


def _mark(part: Any) -> str | None:
    """Return a short name of a part's content, None of none."""
    return part and hashlib.sha256(json.dumps(part, default=str).encode()).hexdigest()[:12]


def _read_record(text: str) -> dict[str, str]:
    try:
        return json.loads(text)
    except ValueError:  # people may have changed it
        return {}
