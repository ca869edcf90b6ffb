"""The model card of a trained NGAN: data, run, figures, pictures, limits; front matter that the Hub reads."""

import json
import os
import platform
import shlex
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import EvalResult, ModelCardData

from ngan.checkpoint import Counters
from ngan.config import TrainConfig
from ngan.differences import format_differences
from ngan.disk import write_bytes
from ngan.hub import download, located, split_revision
from ngan.merging import CARD, LICENSE, license_in, merge_cards, name_in, record_of, relicense
from ngan.model import NGAN
from ngan.start import CRITICS
from ngan.tables import format_table

_TEXT = """<!-- ngan: title -->
# {title}

Fills damaged or missing parts of a face, with a mask or finding the damage itself. A nested GAN after Li et al., [Face
Inpainting via Nested Generative Adversarial Networks](https://doi.org/10.1109/ACCESS.2019.2949614), IEEE Access 2019:
a code generator and its discriminator nested inside an image generator with a global and a local discriminator.
<!-- /ngan: title -->

<!-- ngan: usage -->
{picture}With the code of this project installed, `pip install .` in its folder:

```python
from ngan import Inpainter

{usage}
```

`config.json` and `model.safetensors` hold both generators ({parameters:.2f} M parameters, {dtype}); {files}
<!-- /ngan: usage -->

<!-- ngan: data -->
## Data

{data}
<!-- /ngan: data -->

<!-- ngan: training -->
## Training

{images} of {size}x{size} pixels seen in {steps}, {hours:.2f} hours on {machine}.

    accelerate launch train_accelerate.py {command}

The full configuration is in `train_config.json`. Code image and final image are trained with
{distance}; {critics}
<!-- /ngan: training -->

<!-- ngan: figures -->
## Figures

{figures}
<!-- /ngan: figures -->

<!-- ngan: limits -->
## Limits and bias

- Made for upright, roughly aligned faces, the eyes a little above the middle of a square picture, at {size}x{size}
  pixels; larger pictures are filled at that size and enlarged.
- What is filled in is a guess. It is never evidence of what a person looks like, and must not be used to identify
  anybody.
- The faces it learned from are not a fair sample of people: skin tones, ages, hair and glasses that are rare there are
  filled worse, and drawn towards what is common there.
- Large holes come out softer than their surroundings; glasses, hands, hats and text are often lost.
<!-- /ngan: limits -->

<!-- ngan: citation -->
## Citation

The paper that this model follows:

```bibtex
{citation}
```
<!-- /ngan: citation -->
"""
_CITATION = """@article{li2019ngan,
  author  = {Li, Z. and Zhu, H. and Cao, L. and Jiao, L. and Zhong, Y. and Ma, A.},
  title   = {Face Inpainting via Nested Generative Adversarial Networks},
  journal = {IEEE Access},
  volume  = {7},
  pages   = {155462--155471},
  year    = {2019},
  doi     = {10.1109/ACCESS.2019.2949614}
}"""
_FILL = '("face.png", "mask.png").save("filled.png")'
_PATHS = ("dataset", "output_dir", "resume_from_checkpoint", "init_from", "init_discriminators_from")  # or Hub ids
_PICTURE = "![corrupted, code image, location, filled, truth](samples.png)\n\n"
_CELEBA = {"license": "other", "license_name": "non-commercial-research"}  # so are its terms
_WITH_CRITICS = "`discriminators/`\nthe three critics and their joint head, to train on from."
_WITHOUT_CRITICS = "there are no\ncritics, since no update trained them."


def write_card(
    folder: Path,
    model: NGAN,
    config: TrainConfig,
    counters: Counters,
    result: dict[str, Any] | None,
) -> None:
    """Write README.md and train_config.json into a model's folder.

    Args:
        folder: where `save_pretrained` wrote, named as the model is.
        model: the generators.
        config: of the run; local paths in it are cut to their last part.
        counters: how far the run had come.
        result: what `ngan.evaluation.evaluate` returned, with the names of the "dataset" and its "split" and
            whether the run was "trained_on" them, or None.
    """
    written = public_fields(config)
    (folder / "train_config.json").write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    defaults = json.loads(TrainConfig().to_json())
    ignored = ("output_dir", "resume_from_checkpoint", "data_note")
    changed = {k: v for k, v in written.items() if v != defaults[k] and k not in ignored and not _of_hub(k)}
    command = shlex.join(word for k, v in changed.items() for word in (f"--{k}", str(v)))
    text = _TEXT.format(
        title=f"NGAN face inpainting, {config.image_size}x{config.image_size}",
        usage=_usage(config),
        picture=_PICTURE if (folder / "samples.png").is_file() else "",
        parameters=sum(p.numel() for p in model.parameters()) / 1e6,
        dtype="float16" if config.half_precision_export else "float32",
        data=config.data_note or _data_in_words(config),
        images=_count(counters.images_seen, "image"),
        size=config.image_size,
        steps=_count(counters.step, "update"),
        hours=counters.minutes / 60,
        machine=_machine(),
        command=command + " --output_dir runs/x",
        distance=_distance(config),
        files=_WITH_CRITICS if (folder / CRITICS).is_dir() else _WITHOUT_CRITICS,
        critics=_critics(config, counters),
        figures=_figures(result),
        citation=_CITATION,
    )
    given, base_model = counters.license, counters.base_model
    if given is None:
        given, base_model = origin(config)
    data = ModelCardData(
        library_name="ngan",
        **(terms := _license(config, given)),
        pipeline_tag="image-to-image",
        tags=["inpainting", "face-inpainting", "gan", "ngan"],
        metrics=["psnr", "ssim", "l1"],
        datasets=[dataset] if _is_hub_id(dataset := split_revision(config.dataset)[0]) else None,
        base_model=base_model or None,
        **_model_index(config.hub_model_id or folder.resolve().name, result),
    )
    content = f"---\n{data.to_yaml()}\n---\n\n{text}\n{record_of(data, text)}\n"
    (folder / CARD).write_text(content, encoding="utf-8")
    critics = folder / CRITICS / CARD
    if critics.is_file():
        critics.write_text(relicense(critics.read_text(encoding="utf-8"), terms), encoding="utf-8")


def renew_figures(folder: Path, result: dict[str, Any]) -> None:
    """Write new figures into a model's folder: results.json, the card's section of figures and its model-index.

    Args:
        folder: with a card; the rest of it stays as it is.
        result: as for `write_card`.

    Raises:
        ValueError: there is no card, or its front matter is no valid YAML.
    """
    path = folder / CARD
    if not path.is_file():
        raise ValueError(f"{folder} holds no README.md, the card that the figures belong to")
    text = path.read_text(encoding="utf-8")
    section = f"<!-- ngan: figures -->\n## Figures\n\n{_figures(result)}\n<!-- /ngan: figures -->\n"
    data = ModelCardData(**_model_index(name_in(text) or folder.resolve().name, result))
    renewed = merge_cards(text, f"---\n{data.to_yaml()}\n---\n\n{section}")
    write_bytes(folder / "results.json", (json.dumps(result, indent=2) + "\n").encode())
    write_bytes(path, renewed.encode())


def described_set(dataset: str, config_name: str | None, split: str) -> dict[str, str]:
    """Return what a result says of the faces that it was measured on, their place on this machine by `public`."""
    configuration = {"dataset_config_name": config_name} if config_name else {}
    return {"dataset": public(dataset), **configuration, "split": split}


def _data_in_words(config: TrainConfig) -> str:
    dataset, revision = split_revision(config.dataset)
    words = [f"`{public(dataset)}`"]
    words += [f"configuration `{config.dataset_config_name}`"] if config.dataset_config_name else []
    words += [f"revision `{revision}`"] if revision else []
    terms = "its own card states its terms, which" if _is_hub_id(dataset) else "what terms its pictures have"
    return f"Trained on {', '.join(words)}; {terms} hold for these weights too."


def _count(number: int, one: str) -> str:
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def _usage(config: TrainConfig) -> str:
    """Return a line of Python that fills a picture with the model, from wherever the card will lie."""
    if "/" not in config.hub_model_id:
        return f'Inpainter("."){_FILL}  # in the folder of this card; elsewhere its path or Hub id'
    revision = config.hub_revision and f"@{config.hub_revision}"
    return f"Inpainter({json.dumps(config.hub_model_id + revision)}){_FILL}"


def _distance(config: TrainConfig) -> str:
    name = config.distance.upper()
    words = f"a hole-weighted {name}" if config.hole_weight else f"the plain mean {name} over all pixels"
    return words + (",\nthe final image by structural similarity over the hole too" if config.lambda_structure else "")


def _critics(config: TrainConfig, counters: Counters) -> str:
    alone = _count(config.generator_only_steps, "update")
    if counters.step > config.generator_only_steps:
        return f"the critics join after {alone}."
    return f"no critic took part, since they join after {alone}."


def origin(config: TrainConfig) -> tuple[dict[str, str], str]:
    """Return the license and the Hub id of the weights that a run starts from; empty of new ones, and of no Hub id.

    Of weights without a card that can be read, the license is the narrowest that the package's own have.
    """
    if not config.init_from:
        return {}, ""
    base_model = split_revision(config.init_from)[0]
    terms = _license_of(config.init_from)
    return _CELEBA if terms is None else terms, base_model if _is_hub_id(base_model) else ""


def _license(config: TrainConfig, given: dict[str, str]) -> dict[str, str]:
    """Return the front matter's words on the license of a run's weights; none where nothing tells."""
    if config.license:
        return {name: value for name in LICENSE if (value := getattr(config, name))}
    if given:
        return given
    return _CELEBA if "celeba" in config.dataset.lower() else {}


def _license_of(source: str) -> dict[str, str] | None:
    """Return the license that the card of a folder or a Hub id names, empty if it names none; None of no card."""
    source = located(source)
    try:
        path = Path(source, CARD) if Path(source).is_dir() else download(source, CARD)
        return license_in(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _of_hub(field: str) -> bool:
    return field == "push_to_hub" or field.startswith("hub_")


def _is_hub_id(source: str) -> bool:
    return source.count("/") == 1 and not source.startswith((".", "/", "~")) and not Path(source).exists()


def _figures(result: dict[str, Any] | None) -> str:
    if result is None:
        return "Not measured: the run had no validation split."
    size = result["image_size"]
    known = ", **which these weights were trained on**," if result.get("trained_on") else ""
    return (
        f"{_count(result['n'], 'face')} of the split `{result['split']}`{known} at {size}x{size}; composite against "
        "truth rounded to 8 bits; means over images; the same seeded holes for every method. Hole: the hole's pixels "
        f"only; border: {_count(result['border_width'], 'pixel')} to each side of its border. Off frame: faces up to "
        "18 % larger or smaller, 6 % of the side away and turned by 8 degrees, as those found in photos are. IoU: of "
        f"the damage found without a mask.\n\n{format_table(result)}{_differences(result)}"
    )


def _differences(result: dict[str, Any]) -> str:
    if "differences" not in result:
        return ""
    return (
        "\n### Differences between faces\n\nThe data say nothing of age, skin or pose, so these are thirds of the "
        "same faces by what can be measured of the pictures: brightness mixes skin and light, difference from the "
        "mirror image turned heads and light from a side, distance from the mean face all that is rare. Centre hole, "
        "the same for every face, filled by the mean with the mirror image; ± is the standard error of the mean.\n\n"
        f"{format_differences(result['differences'])}"
    )


def _model_index(name: str, result: dict[str, Any] | None) -> dict[str, Any]:
    """Return what `ModelCardData` makes a model-index of; nothing where no hole was measured."""
    if result is None or not result["masks"]:
        return {}
    results, split, (dataset, revision) = [], result["split"], split_revision(result["dataset"])
    configuration = result.get("dataset_config_name")
    within = f"{configuration}, " if configuration else ""
    for kind, entry in result["masks"].items():
        for metric in ("psnr", "ssim", "l1"):
            results.append(
                EvalResult(
                    task_type="image-to-image",
                    task_name="Face inpainting",
                    dataset_type=dataset,
                    dataset_name=f"{dataset}, {within}{kind} holes",
                    dataset_config=f"{within}{kind} holes",  # without it, all kinds would be listed under the first
                    dataset_split=split,
                    dataset_revision=revision,
                    metric_type=metric,
                    metric_name=f"{metric.upper()}, {kind} hole",
                    metric_value=round(entry["ngan"][metric], 4),
                )
            )
    return {"model_name": name, "eval_results": results}


def _machine() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} cores of a {platform.machine()} processor"


def public_fields(config: TrainConfig) -> dict[str, Any]:
    """Return a configuration's fields, JSON-able, its paths by `public`."""
    fields = json.loads(config.to_json())
    return fields | {name: public(fields[name]) for name in _PATHS}


def public(source: str) -> str:
    """Cut a path on this machine to its last part, leave a Hub id: a card says nothing of where it was made.

    What a run started from may be gone when it goes on: that is told by its words.
    """
    gone = Path(source).is_absolute() or source.startswith(".") or split_revision(source)[0].count("/") > 1
    return Path(source).resolve().name if source and (gone or Path(source).exists()) else source
