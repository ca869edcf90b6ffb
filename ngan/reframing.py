"""Faces a little off the training framing, as those that are found in photos are: turned, moved, nearer or farther.

A network that has only seen aligned faces fills others much worse, though it is always a little off that a face is
found (`ngan.framing`). Holes move with the face, so that those over eyes or mouth stay there.
"""

import math

import torch
from torch.nn import functional as F

SOURCE = 1.4  # side of the pictures that are reframed, as a multiple of the side of what comes out
ALIGNED = 0.3  # share of the faces in training that stay as they are
_SIZE, _PLACE, _TURN = math.log(1.18), 0.06, math.radians(8)  # greatest change: of log size, of place in sides, turn


def source_size(image_size: int, jitter: float) -> int:
    """Return the side, in pixels, to decode pictures at that `reframe` makes `image_size` wide."""
    return math.ceil(SOURCE * image_size) if jitter else image_size


def draw_framings(n: int, jitter: float, generator: torch.Generator, aligned: float = ALIGNED) -> torch.Tensor:
    """Draw what `reframe` does to each of `n` faces.

    Args:
        n: faces.
        jitter: how far they may be off, as a multiple of: 18 % in size, 6 % of the side in place, 8 degrees.
        generator: source of the draws.
        aligned: chance of each to stay as it is, in [0, 1].

    Returns:
        (n, 2, 3): the affine map from places of the new picture to those of the old one, both from -1 to 1; the
        identity for those that stay.
    """
    draws = 2 * torch.rand(n, 5, generator=generator) - 1
    moved = jitter * (draws[:, 4:] >= 2 * aligned - 1) * draws[:, :4]
    scale, angle = (moved[:, 0] * _SIZE).exp(), moved[:, 1] * _TURN
    cos, sin = scale * angle.cos(), scale * angle.sin()
    x, y = 2 * _PLACE * moved[:, 2], 2 * _PLACE * moved[:, 3]
    return torch.stack([torch.stack([cos, -sin, x], dim=1), torch.stack([sin, cos, y], dim=1)], dim=1)


def reframe(images: torch.Tensor, framings: torch.Tensor, size: int) -> torch.Tensor:
    """Return pictures (N, 3, S, S), [-1, 1], seen through `framings` (N, 2, 3), as (N, 3, size, size), [-1, 1].

    What lies beyond the border is mirrored. A picture whose framing is the identity is just resized.
    """
    still = _still(framings)
    out = images.new_empty(len(images), images.shape[1], size, size)
    if still.any():
        out[still] = F.interpolate(images[still], size=(size, size), mode="bicubic", antialias=True)
    if not still.all():
        grid = F.affine_grid(framings[~still], [int((~still).sum()), 3, size, size], align_corners=False)
        out[~still] = F.grid_sample(
            images[~still], grid, mode="bicubic", padding_mode="reflection", align_corners=False
        )
    return out.clamp(-1, 1)


def reframe_masks(masks: torch.Tensor, framings: torch.Tensor) -> torch.Tensor:
    """Return masks (N, 1, H, W), {0, 1}, as they look through `framings`: 0 beyond the border.

    A hole that leaves the picture altogether stays where it was.
    """
    moved = ~_still(framings)
    out = masks.clone()
    if moved.any():
        grid = F.affine_grid(framings[moved], list(masks[moved].shape), align_corners=False)
        seen = F.grid_sample(masks[moved], grid, mode="nearest", padding_mode="zeros", align_corners=False)
        gone = seen.amax(dim=(1, 2, 3), keepdim=True) == 0
        out[moved] = torch.where(gone, masks[moved], seen)
    return out


def _still(framings: torch.Tensor) -> torch.Tensor:
    return (framings == torch.eye(2, 3)).all(dim=2).all(dim=1)
