"""Measure fills, and the search for damage, on faces in the colours of old and badly lit photos.

python -m benchmarks.looks --models ngan/pretrained/ngan-celeba-128 --dataset PATH_OR_ID --json benchmarks/looks.json

Every model gets the same faces, holes and damage in each look. Damage has soft edges and is in the colours of the look
too, as in a photo of a damaged print. Less contrast makes every error smaller: what it alone would give is taken off
the PSNR, so that looks can be compared; a face without colour has no colours to get wrong. Prints a table.
"""

import math
import sys
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.several_models import make_parser, run
from ngan.damage import damage
from ngan.data import to_float, to_uint8
from ngan.evaluation import evaluate
from ngan.looks import Looks
from ngan.metrics import iou
from ngan.model import NGAN

MASKS, DAMAGES = ("face", "freeform"), ("solid", "scratch", "text")
# saturation, contrast, what is added to red, green and blue of [-1, 1]
LOOKS = {
    "as they are": (1.0, 1.0, (0.0, 0.0, 0.0)),
    "black and white": (0.0, 1.0, (0.0, 0.0, 0.0)),
    "sepia": (0.0, 0.8, (0.2, 0.04, -0.16)),
    "faded": (1.0, 0.55, (0.15, 0.15, 0.15)),
    "dark": (1.0, 0.45, (-0.55, -0.55, -0.55)),
}


def recolour(images: torch.Tensor, look: str) -> torch.Tensor:
    """Return images (N, 3, H, W), [-1, 1], in a look of `LOOKS`."""
    saturation, contrast, added = LOOKS[look]
    values = [torch.tensor(value).view(1, -1, 1, 1) for value in (saturation, contrast, added)]
    alike = [value.expand(len(images), -1, -1, -1) for value in values]
    return Looks(torch.arange(len(images)), *alike, late=torch.zeros(len(images), dtype=torch.bool)).apply(images)


def measure(model: NGAN, faces: Sequence[torch.Tensor], batch: int = 32) -> dict[str, dict[str, float]]:
    """Return, by look, the PSNR in holes in dB, by kind and as of full contrast, and the IoU of damage found, by kind.

    Args:
        model: whose fills.
        faces: uint8 (3, S, S) each.
        batch: faces at a time.
    """
    images = to_float(torch.stack([faces[i] for i in range(len(faces))]))
    report = {}
    for look, (_, contrast, _) in LOOKS.items():
        toned = list(to_uint8(recolour(images, look)))
        found = evaluate(model, toned, masks=MASKS, damages=(), peers=(), self_ensemble=True, progress=False)["masks"]
        gained = -20 * math.log10(contrast)
        report[look] = {kind: found[kind]["self_ensemble"]["psnr_hole"] - gained for kind in MASKS}
        for kind in DAMAGES:
            damaged, mask = damage(images, torch.Generator().manual_seed(0), kind, soft=1.0)
            with torch.inference_mode():
                location = torch.cat([model(part, None).location for part in recolour(damaged, look).split(batch)])
            report[look][kind] = iou(location > 0, mask).mean().item()
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
