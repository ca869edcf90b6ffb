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

    What lies beyond the border is mirrored. A picture whose framing is the identity is just resized. Framings lie on
    the CPU, wherever the pictures are: which of them stay must be known here.
    """
    still, moved = _still_and_moved(framings)
    out = images.new_empty(len(images), images.shape[1], size, size)
    if len(still):
        numbers = still.to(images.device, non_blocking=True)
        out[numbers] = F.interpolate(images[numbers], size=(size, size), mode="bicubic", antialias=True)
    if len(moved):
        grid = _grid(framings[moved], size, size, images.device)
        numbers = moved.to(images.device, non_blocking=True)
        out[numbers] = F.grid_sample(
            images[numbers], grid, mode="bicubic", padding_mode="reflection", align_corners=False
        )
    return out.clamp(-1, 1)


def reframe_masks(masks: torch.Tensor, framings: torch.Tensor) -> torch.Tensor:
    """Return masks (N, 1, H, W), {0, 1}, as they look through `framings`, as above: 0 beyond the border.

    A hole that leaves the picture altogether stays where it was.
    """
    _, moved = _still_and_moved(framings)
    out = masks.clone()
    if len(moved):
        grid = _grid(framings[moved], *masks.shape[2:], masks.device)
        numbers = moved.to(masks.device, non_blocking=True)
        before = masks[numbers]
        seen = F.grid_sample(before, grid, mode="nearest", padding_mode="zeros", align_corners=False)
        gone = seen.amax(dim=(1, 2, 3), keepdim=True) == 0
        out[numbers] = torch.where(gone, before, seen)
    return out


def _still_and_moved(framings: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    still = (framings == torch.eye(2, 3)).all(dim=2).all(dim=1)
    return still.nonzero().squeeze(1), (~still).nonzero().squeeze(1)


def _grid(framings: torch.Tensor, height: int, width: int, device: torch.device) -> torch.Tensor:
    framings = framings.to(device, non_blocking=True)
    return F.affine_grid(framings, [len(framings), 1, height, width], align_corners=False)
