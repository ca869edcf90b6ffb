"""Whom a model fills worse: its figures on thirds of the faces, by what can be measured of the pictures themselves.

Data sets of faces often come without a word on age, skin or pose. What stands in for them here is weak, and named for
what it is: brightness mixes skin and light, asymmetry turned heads and light from a side, distance all that is rare.
The hole is the centre one, the same for every face, so that the thirds differ by their faces alone.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from ngan.data import to_float, to_uint8
from ngan.masks import center_masks, composite
from ngan.metrics import psnr, ssim
from ngan.model import NGAN
from ngan.runner import mirror_mean
from ngan.samples import frozen

TRAITS = {
    "brightness": "brightness of the face",
    "asymmetry": "difference from its mirror image",
    "distance": "distance from the mean face",
}
FEWEST = 6  # faces that can be measured
THIRDS = ("lowest", "middle", "highest")
_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601
_GRID = 16  # cells to a side, of the small pictures that faces are compared by


def measure_differences(
    model: NGAN, faces: Sequence[torch.Tensor], *, batch_size: int = 32, limit: int | None = None
) -> dict[str, Any]:
    """Measure the centre hole, filled as `Inpainter` does by the mean with the mirror image, on thirds of the faces.

    Args:
        model: the nested generators; in float32, left in the mode it came in.
        faces: what `ngan.data.load_faces` returns, or any sequence of uint8 (3, S, S).
        batch_size: faces at a time.
        limit: only so many of the faces, the first; None = all.

    Returns:
        JSON-able, by trait of `TRAITS`, by third of `THIRDS`: `n` faces, `mean` of the trait, `psnr_hole` in dB, its
        `standard_error`, and `ssim` over the whole picture.

    Raises:
        ValueError: fewer than two faces a third.
    """
    n = len(faces) if limit is None else min(limit, len(faces))
    if n < FEWEST:
        raise ValueError(f"{n} faces: thirds of them need at least {FEWEST}")
    device = next(model.parameters()).device
    scores: list[torch.Tensor] = []
    brightness: list[torch.Tensor] = []
    small: list[torch.Tensor] = []
    with frozen(model):
        for start in range(0, n, batch_size):
            real = torch.stack([faces[i] for i in range(start, min(start + batch_size, n))])
            image = to_float(real)
            mask = center_masks(*image.shape[:1], *image.shape[2:], torch.Generator())
            fill = mirror_mean(model, (image * (1 - mask)).to(device), mask.to(device)).image.cpu()
            filled = to_uint8(composite(image, fill, mask)) / 255
            scores.append(torch.stack([psnr(filled, real / 255, mask), ssim(filled, real / 255)]))
            for values, part in zip((brightness, small), _looks(real), strict=True):
                values.append(part)
    psnr_hole, whole_ssim = torch.cat(scores, dim=1)
    traits = _traits(torch.cat(brightness), torch.cat(small))
    return {
        name: {
            third: {
                "n": len(members),
                "mean": float(values[members].mean()),
                "psnr_hole": float(psnr_hole[members].mean()),
                "standard_error": float(psnr_hole[members].std() / len(members) ** 0.5),
                "ssim": float(whole_ssim[members].mean()),
            }
            for third, members in zip(THIRDS, values.argsort(stable=True).tensor_split(3), strict=True)
        }
        for name, values in traits.items()
    }


def format_differences(differences: dict[str, Any]) -> str:
    """Return the result of `measure_differences` as a Markdown table."""
    lines = [
        "| thirds of the faces by | PSNR in hole (dB): lowest | middle | highest | SSIM: lowest | middle | highest |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, title in TRAITS.items():
        thirds = [differences[name][third] for third in THIRDS]
        cells = [f"{third['psnr_hole']:.2f} ± {third['standard_error']:.2f}" for third in thirds]
        cells += [f"{third['ssim']:.3f}" for third in thirds]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _looks(faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The brightness of the middle of faces uint8 (N, 3, S, S), (N,), [0, 1], and small grey copies, (N, g, g)."""
    side = faces.shape[-1]
    luma = (faces / 255 * torch.tensor(_LUMA).view(1, 3, 1, 1)).sum(dim=1)  # (N, S, S)
    middle = luma[:, int(0.3 * side) : int(0.8 * side), int(0.3 * side) : int(0.7 * side)]
    return middle.mean(dim=(1, 2)), F.adaptive_avg_pool2d(luma, _GRID)


def _traits(brightness: torch.Tensor, small: torch.Tensor) -> dict[str, torch.Tensor]:
    """Each trait of `TRAITS`, (N,), from what `_looks` returns; the distance regardless of brightness and contrast."""
    spread = (small - small.mean(dim=(1, 2), keepdim=True)) / small.std(dim=(1, 2), keepdim=True).clamp(min=1e-3)
    return {
        "brightness": brightness,
        "asymmetry": (small - small.flip(-1)).abs().mean(dim=(1, 2)),
        "distance": (spread - spread.mean(dim=0)).abs().mean(dim=(1, 2)),
    }
