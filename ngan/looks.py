"""Faces in other colours than those of the data set: faded, dark, black and white or tinted, as old photos are.

A network that has only seen well exposed faces in colour fills others worse, and misses more of the damage in them.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch

from ngan.masks import uniform

_MONOCHROME = 0.6  # share of the changed faces that lose all colour
_TINTED = 0.5  # share of them that get a tint
_SATURATION = 0.3, 1.2  # of those that keep colour, as a multiple
_CONTRAST = 0.35, 1.1  # as a multiple
_TINT = 0.08  # greatest change of each of red, green and blue; of 2 from black to white
_WARMTH = -0.08, 0.2  # added to red and taken from blue: a touch of blue to the brown of old prints
_LATE = 0.7  # share of them on which damage was before, as on a print that was scanned in black and white
_LUMA = 0.299, 0.587, 0.114  # of red, green and blue (ITU-R BT.601)


@dataclass
class Looks:
    """How the colours of some pictures of a batch are changed: saturation, then contrast, then colours added.

    All of it lies on the CPU, wherever the pictures are.

    Attributes:
        changed: (K,) int64, numbers of the pictures.
        saturation: (K, 1, 1, 1), 0 = black and white, 1 = as it is.
        contrast: (K, 1, 1, 1), 1 = as it is.
        added: (K, 3, 1, 1), to red, green and blue of [-1, 1].
        late: (K,) bool, those on which damage was before: it has these colours too.
    """

    changed: torch.Tensor
    saturation: torch.Tensor
    contrast: torch.Tensor
    added: torch.Tensor
    late: torch.Tensor

    def apply(self, images: torch.Tensor) -> torch.Tensor:
        """Return pictures (N, 3, H, W), [-1, 1], in these colours; the unchanged are the same bit for bit."""
        if not len(self.changed):
            return images
        numbers = self.changed.to(images.device, non_blocking=True)
        saturation, contrast, added = (
            value.to(images.device, images.dtype, non_blocking=True)
            for value in (self.saturation, self.contrast, self.added)
        )
        colours = images[numbers]
        red, green, blue = (share * colours[:, i : i + 1] for i, share in enumerate(_LUMA))
        luma = red + green + blue
        toned = contrast * (luma + saturation * (colours - luma)) + added
        return images.index_copy(0, numbers, toned.clamp(-1, 1))

    def printed(self, n: int) -> torch.Tensor:
        """Return which of `n` pictures are in one tone, and the damage on them too: (n,), {0, 1}."""
        return torch.zeros(n).index_fill(0, self.changed[self.late & (self.saturation.flatten() == 0)], 1)

    def of(self, start: int, stop: int) -> "Looks":
        """Return those of the pictures from `start` to before `stop`."""
        own = self.only((self.changed >= start) & (self.changed < stop))
        return replace(own, changed=own.changed - start)

    def only(self, which: torch.Tensor) -> "Looks":
        """Return those that `which` (K,), bool, says."""
        return Looks(*(getattr(self, name)[which] for name in _NAMES))


_NAMES = tuple(field.name for field in fields(Looks))


def join_looks(parts: Sequence[Looks], counts: Sequence[int]) -> Looks:
    """Return the looks of several batches, which hold `counts` pictures, as those of one."""
    starts = itertools.accumulate(counts, initial=0)
    shifted = [replace(part, changed=part.changed + start) for part, start in zip(parts, starts, strict=False)]
    return Looks(*(torch.cat([getattr(part, name) for part in shifted]) for name in _NAMES))


def draw_looks(n: int, share: float, generator: torch.Generator) -> Looks:
    """Draw how the colours of `n` pictures are changed.

    Contrast is 0.35 to 1.1 times that of the picture, brightness anything at which black and white are not clipped, if
    there is room for both; four in ten lose all colour, and every second one gets a tint, most often a warm one.

    Args:
        n: pictures.
        share: chance of each to be changed, in [0, 1].
        generator: source of the draws, on the CPU.
    """
    changed = (uniform(n, generator) < share).nonzero().flatten()
    k = len(changed)
    draws = torch.rand(k, 10, 1, 1, generator=generator)
    monochrome, tinted, warm, saturation, contrast, brightness, late = draws[:, :7].split(1, dim=1)
    contrast = _between(_CONTRAST, contrast)
    warmth = _between(_WARMTH, warm) * torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1)
    tint = (_TINT * (2 * draws[:, 7:] - 1) + warmth) * (tinted < _TINTED)
    return Looks(
        changed,
        _between(_SATURATION, saturation) * (monochrome >= _MONOCHROME),
        contrast,
        (2 * brightness - 1) * (1 - contrast).abs() + tint,
        late.flatten() < _LATE,
    )


def _between(ends: tuple[float, float], share: torch.Tensor) -> torch.Tensor:
    return ends[0] + (ends[1] - ends[0]) * share
