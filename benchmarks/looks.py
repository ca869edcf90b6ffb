"""Measure fills, and the search for damage, on faces in the colours of old and badly lit photos.

python -m benchmarks.looks --models ngan/pretrained/ngan-celeba-128 --dataset PATH_OR_ID --json benchmarks/looks.json

Every model gets the same faces, holes and damage in each look. Less contrast makes every error smaller: what it alone
would give is taken off the PSNR, so that looks can be compared. A face without colour has no colours to get wrong.
Prints a table.
"""

import math
import sys
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.several_models import make_parser, run
from ngan.data import to_float, to_uint8
from ngan.evaluation import evaluate
from ngan.looks import Looks
from ngan.model import NGAN

MASKS, DAMAGES = ("face", "freeform"), ("scratch", "text", "blur")
# saturation, contrast, what is added to red, green and blue of [-1, 1]
LOOKS = {
    "as they are": (1.0, 1.0, (0.0, 0.0, 0.0)),
    "black and white": (0.0, 1.0, (0.0, 0.0, 0.0)),
    "sepia": (0.0, 0.8, (0.2, 0.04, -0.16)),
    "faded": (1.0, 0.55, (0.15, 0.15, 0.15)),
    "dark": (1.0, 0.45, (-0.55, -0.55, -0.55)),
}


def recolour(faces: Sequence[torch.Tensor], look: str) -> list[torch.Tensor]:
    """Return faces, uint8 (3, S, S) each, in a look of `LOOKS`."""
    saturation, contrast, added = LOOKS[look]
    values = torch.tensor(saturation), torch.tensor(contrast), torch.tensor(added)
    looks = Looks(torch.zeros(1, dtype=torch.long), *(value.view(1, -1, 1, 1) for value in values))
    return [to_uint8(looks.apply(to_float(faces[i][None])))[0] for i in range(len(faces))]


def measure(model: NGAN, faces: Sequence[torch.Tensor]) -> dict[str, dict[str, float]]:
    """Return, by look, the PSNR in holes in dB, by kind and as of full contrast, and the IoU of damage found, by kind.

    Args:
        model: whose fills.
        faces: uint8 (3, S, S) each.
    """
    report = {}
    for look, (_, contrast, _) in LOOKS.items():
        found = evaluate(model, recolour(faces, look), masks=MASKS, damages=DAMAGES, peers=(), self_ensemble=True)
        gained = -20 * math.log10(contrast)
        report[look] = {kind: found["masks"][kind]["self_ensemble"]["psnr_hole"] - gained for kind in MASKS}
        report[look] |= {kind: found["damages"][kind]["iou"] for kind in DAMAGES}
    return report


def format_table(result: dict[str, Any]) -> str:
    """Return what `main` writes as a Markdown table."""
    titles = [f"PSNR in {kind} holes (dB)" for kind in MASKS] + [f"IoU, {kind}" for kind in DAMAGES]
    lines = [f"| model | faces | {' | '.join(titles)} |", "|---|---|" + "---:|" * len(titles)]
    for model, looks in result["models"].items():
        for look, values in looks.items():
            cells = [f"{value:.{2 if name in MASKS else 3}f}" for name, value in values.items()]
            lines.append(f"| {model} | {look} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    options = make_parser(__doc__.splitlines()[0]).parse_args(arguments)
    return run("looks", options, measure, format_table)


if __name__ == "__main__":
    sys.exit(main())
