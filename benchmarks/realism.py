"""Measure how far fills are from real faces, as a set, and not only from the one truth: Frechet distances.

python -m benchmarks.realism --models ngan/pretrained/ngan-celeba-128 --dataset PATH_OR_ID \\
    --json benchmarks/realism.json

PSNR prefers the mean of all that could be in a hole, which is blurred; the Frechet distance prefers what looks like
the faces of the set. The network whose features it compares is named in `benchmarks.ablation_features`; it has no part
in training. Every model fills the same holes of the same faces. Prints a table.
"""

import sys
from functools import lru_cache
from typing import Any

from benchmarks.ablation_features import FEATURES
from benchmarks.several_models import make_parser, run
from ngan.evaluation import evaluate
from ngan.masks import MASK_KINDS
from ngan.model import NGAN

KINDS = ("center", "box", "face", "feature")  # of holes that are measured
_METHODS = {"ngan": "NGAN", "self_ensemble": "NGAN, self-ensemble", "telea": "OpenCV Telea"}
_TITLES = {"psnr": "PSNR (dB)", "frechet_onet": "Frechet, face", "frechet_onet_full": "Frechet, texture"}


def measure(model: NGAN, faces: Any, masks: tuple[str, ...] = KINDS, **options: Any) -> dict[str, Any]:
    """Return PSNR and Frechet distances of a model's fills, by kind of hole and method; see `evaluate`.

    Args:
        model: whose fills.
        faces: uint8 (3, S, S) each.
        masks: kinds of holes.
        **options: further arguments of `ngan.evaluation.evaluate`, `features` among them.
    """
    found = evaluate(model, faces, masks=masks, damages=(), self_ensemble=True, **options)["masks"]
    return {
        kind: {
            method: {name: value for name, value in entry[method].items() if name in _TITLES}
            for method in _METHODS
            if method in entry
        }
        for kind, entry in found.items()
    }


def format_table(result: dict[str, Any]) -> str:
    """Return what `main` writes as a Markdown table."""
    lines = [f"| model | hole | method | {' | '.join(_TITLES.values())} |", "|---|---|---|" + "---:|" * len(_TITLES)]
    for model, kinds in result["models"].items():
        for kind, methods in kinds.items():
            for method, values in methods.items():
                cells = [f"{values[k]:.{2 if k == 'psnr' else 4}f}" if k in values else "-" for k in _TITLES]
                lines.append(f"| {model} | {kind} | {_METHODS[method]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--masks", nargs="+", choices=MASK_KINDS, default=list(KINDS), metavar="KIND")
    parser.add_argument("--features", choices=FEATURES, default="onet", help="whose features; none = PSNR only")
    options = parser.parse_args(arguments)
    load = lru_cache(FEATURES[options.features])  # once, for all models
    return run(
        "realism",
        options,
        lambda model, faces: measure(model, faces, tuple(options.masks), features=load()),
        format_table,
    )


if __name__ == "__main__":
    sys.exit(main())
