"""Batches of faces, and what is drawn for them before a pixel is computed: framings, colours, holes, damage.

All is drawn on the CPU, where loaders work, and done to the faces on their own device.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ngan.config import TrainConfig
from ngan.damage import Damage, draw_damage, join_damage
from ngan.looks import Looks, draw_looks, join_looks
from ngan.masks import make_masks
from ngan.reframing import draw_framings, reframe, reframe_masks


@dataclass
class Batch:
    """What one update sees.

    Attributes:
        image: (N, 3, H, W), [-1, 1], ground truth.
        corrupted: (N, 3, H, W), [-1, 1], equal to `image` where the mask is 0.
        mask: (N, 1, H, W), {0, 1}, 1 = missing.
        hidden: whether the networks have to find the damage themselves.
    """

    image: torch.Tensor
    corrupted: torch.Tensor
    mask: torch.Tensor
    hidden: bool

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on `device`, its images in channels_last."""
        images = (
            t.to(device, memory_format=torch.channels_last, non_blocking=True) for t in (self.image, self.corrupted)
        )
        return Batch(*images, self.mask.to(device, non_blocking=True), self.hidden)


@dataclass
class Draws:
    """What is drawn for a batch of faces, on the CPU: how they are framed, their colours, and their holes or damage.

    Attributes:
        framings: (N, 2, 3), as of `ngan.reframing.draw_framings`; None = the faces stay as they are.
        hole: masks (N, 1, H, W), {0, 1}, 1 = missing; or damage that the networks have to find.
        size: side of the pictures after reframing, in pixels.
        looks: how colours are changed; None = they stay as they are.
    """

    framings: torch.Tensor | None
    hole: torch.Tensor | Damage
    size: int
    looks: Looks | None = None

    @property
    def count(self) -> int:
        """How many faces these are for."""
        return len(self.hole.mask if isinstance(self.hole, Damage) else self.hole)

    def apply(self, image: torch.Tensor) -> Batch:
        """Reframe, recolour and damage faces (N, 3, S, S), [-1, 1], on their own device."""
        device, framings = image.device, self.framings
        if framings is not None:
            image = reframe(image, framings, self.size)

        def move(values: torch.Tensor) -> torch.Tensor:
            return values.to(device, non_blocking=True).to(image.dtype)

        if isinstance(self.hole, Damage):
            image = self._recoloured(image, late=False)
            corrupted, mask = self.hole.map(move).apply(image)
            image, corrupted = (self._recoloured(x, late=True) for x in (image, corrupted))
            return Batch(image, corrupted, mask, hidden=True)
        image = self._recoloured(image, late=None)
        mask = move(self.hole)
        if framings is not None:
            mask = reframe_masks(mask, framings)
        return Batch(image, image * (1 - mask), mask, hidden=False)

    def _recoloured(self, images: torch.Tensor, late: bool | None) -> torch.Tensor:
        """Return images (N, 3, H, W) in the colours of the looks that are late, or not; None = of all."""
        if self.looks is None:
            return images
        return (self.looks if late is None else self.looks.only(self.looks.late == late)).apply(images)

    def of(self, start: int, stop: int) -> "Draws":
        """Return those of the faces from `start` to before `stop`."""
        framings = None if self.framings is None else self.framings[start:stop]
        hole = self.hole.of(start, stop) if isinstance(self.hole, Damage) else self.hole[start:stop]
        looks = None if self.looks is None else self.looks.of(start, stop)
        return Draws(framings, hole, self.size, looks)

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Draws":
        """Return them with masks and paint changed, such as moved into page-locked memory."""
        hole = self.hole.map(change) if isinstance(self.hole, Damage) else change(self.hole)
        return dataclasses.replace(self, hole=hole)

    def packed(self) -> "Draws":
        """Return them with masks of one byte a pixel, for the way to a device."""
        hole = self.hole
        packed = hole.packed() if isinstance(hole, Damage) else hole.bool()
        return dataclasses.replace(self, hole=packed)


def join_draws(parts: Sequence[Draws]) -> Draws:
    """Return the draws of several batches, all with holes or all with damage, as those of one."""
    framings = None if parts[0].framings is None else torch.cat([part.framings for part in parts])
    join = join_damage if isinstance(parts[0].hole, Damage) else torch.cat
    looks = None
    if parts[0].looks is not None:
        looks = join_looks([part.looks for part in parts], [part.count for part in parts])
    return Draws(framings, join([part.hole for part in parts]), parts[0].size, looks)


def draw(n: int, size: int, config: TrainConfig, generator: torch.Generator) -> Draws:
    """Draw framings and colours for `n` faces, and holes, or, for `find_share` of the batches, damage to be found.

    Args:
        n: faces.
        size: side of the pictures after reframing, in pixels.
        config: `framing_jitter`, `look_share`, `find_share`, `soft_share`, `line_share` and `masks` count.
        generator: source of the draws.
    """
    framings = draw_framings(n, config.framing_jitter, generator) if config.framing_jitter else None
    looks = draw_looks(n, config.look_share, generator) if config.look_share else None
    if torch.rand((), generator=generator, device=generator.device) < config.find_share:
        soft = config.soft_share * looks.printed(n) if looks and config.soft_share else None
        return Draws(framings, draw_damage(n, size, size, generator, soft=soft, lined=config.line_share), size, looks)
    return Draws(framings, make_masks(config.masks, n, size, size, generator), size, looks)


def make_batch(image: torch.Tensor, config: TrainConfig, generator: torch.Generator) -> Batch:
    """Put a batch of faces (N, 3, S, S), [-1, 1], a little off their framing, at `config.image_size`, and damage it.

    It gets holes, or, for `find_share` of the batches, damage to be found. Without `framing_jitter` faces stay where
    they are, without `look_share` as they are.
    """
    size = config.image_size if config.framing_jitter else image.shape[-1]
    return draw(len(image), size, config, generator).apply(image)
