"""Damage makers for the mask-free case: pictures that look damaged, and where they are.

As in `ngan.masks`, a mask is float (N, 1, H, W), 1 = missing, and everything random is drawn from an explicit
`torch.Generator` of the CPU.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from PIL import Image, ImageDraw, ImageFont
from torch.nn import functional as F

from ngan.masks import composite, mixed_masks, stroke_masks, uniform

_FAINT = 0.1  # share of a pixel up to which damage does not count
_WORDS = "face photo SAMPLE 1987 hello Copyright www.example.com The quick brown fox 12:34 DRAFT proof do not copy"


@dataclass
class Lines:
    """Scratches over other damage, in one tone of their own for each sample.

    Attributes:
        numbers: (K,) int64, on the CPU, of the samples that have them.
        mask: (K, 1, H, W), {0, 1}, 1 = scratched.
        colour: (K, 3, 1, 1), [-1, 1].
    """

    numbers: torch.Tensor
    mask: torch.Tensor
    colour: torch.Tensor

    def of(self, start: int, stop: int) -> "Lines":
        """Return those of the samples from `start` to before `stop`."""
        within = (self.numbers >= start) & (self.numbers < stop)
        return Lines(self.numbers[within] - start, self.mask[within], self.colour[within])


@dataclass
class Damage:
    """Damage that is drawn, but not yet done to a picture: loaders draw it, the device does it.

    Attributes:
        mask: (N, 1, H, W), {0, 1}, 1 = damaged.
        colour: (N, 3, 1, 1), [-1, 1], painted over the mask where nothing below says otherwise.
        noise: (K, 3, H, W), [-1, 1], laid over the mask of the samples `noisy`.
        noisy: (K,) int64, on the CPU.
        blocks: int64 numbers, on the CPU, of the samples whose masked part turns into coarse blocks.
        blurred: the same of those whose masked part is blurred.
        soft: the same of those whose damage has soft edges, as all has that was on a larger picture.
        lines: scratches over all that; None = none.
    """

    mask: torch.Tensor
    colour: torch.Tensor
    noise: torch.Tensor
    noisy: torch.Tensor
    blocks: torch.Tensor
    blurred: torch.Tensor
    soft: torch.Tensor
    lines: Lines | None = None

    def of(self, start: int, stop: int) -> "Damage":
        """Return that of the samples from `start` to before `stop`."""

        def within(numbers: torch.Tensor) -> torch.Tensor:
            return (numbers >= start) & (numbers < stop)

        numbers = (x[within(x)] - start for x in self.numbers())
        lines = None if self.lines is None else self.lines.of(start, stop)
        return Damage(
            self.mask[start:stop], self.colour[start:stop], self.noise[within(self.noisy)], *numbers, lines=lines
        )

    def numbers(self) -> tuple[torch.Tensor, ...]:
        """Return those of samples: noisy, in blocks, blurred, soft."""
        return self.noisy, self.blocks, self.blurred, self.soft

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Damage":
        """Return it with all tensors but those of numbers changed, such as moved to a device."""
        values = (change(x) for x in (self.mask, self.colour, self.noise))
        lines = self.lines
        if lines is not None:
            lines = Lines(lines.numbers, change(lines.mask), change(lines.colour))
        return Damage(*values, *self.numbers(), lines=lines)

    def packed(self) -> "Damage":
        """Return it with masks of one byte a pixel."""
        lines = self.lines
        if lines is not None:
            lines = dataclasses.replace(lines, mask=lines.mask.bool())
        return dataclasses.replace(self, mask=self.mask.bool(), lines=lines)

    def apply(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Do it to images (N, 3, H, W), [-1, 1], on its own device; return them and the mask.

        Where the damage is soft, the mask is all that it touches.
        """
        share = _softened_of(self.mask, self.soft)
        damaged = composite(image, self.colour.expand_as(image), share)
        for numbers, paint in (
            (self.noisy, lambda _: self.noise),
            (self.blocks, lambda part: _coarse(part, "nearest")),
            (self.blurred, lambda part: _coarse(part, "bicubic")),
        ):
            if len(numbers):
                numbers = numbers.to(image.device, non_blocking=True)
                part = image[numbers]
                damaged[numbers] = composite(part, paint(part), share[numbers])
        if self.lines is not None and len(self.lines.numbers):
            numbers = self.lines.numbers.to(image.device, non_blocking=True)
            over = torch.zeros_like(share).index_copy(0, numbers, self.lines.mask)
            over = _softened_of(over, self.soft)
            part, colour = damaged[numbers], self.lines.colour
            damaged[numbers] = composite(part, colour.expand_as(part), over[numbers])
            share = torch.maximum(share, over)
        return damaged, (share > 0).to(share.dtype)


def join_damage(parts: Sequence[Damage]) -> Damage:
    """Return the damage of several batches as that of one."""
    starts = itertools.accumulate((len(part.mask) for part in parts), initial=0)
    starts = list(starts)[: len(parts)]
    shifted = [
        Damage(part.mask, part.colour, part.noise, *(x + start for x in part.numbers()))
        for part, start in zip(parts, starts, strict=True)
    ]
    names = [field.name for field in dataclasses.fields(Damage) if field.name != "lines"]
    joined = Damage(*(torch.cat([getattr(part, name) for part in shifted]) for name in names))
    if parts[0].lines is not None:
        numbers = torch.cat([part.lines.numbers + start for part, start in zip(parts, starts, strict=True)])
        joined.lines = Lines(
            numbers, *(torch.cat([getattr(part.lines, x) for part in parts]) for x in ("mask", "colour"))
        )
    return joined


def _solid(n: int, height: int, width: int, generator: torch.Generator) -> Damage:
    """One plain colour over a hole of any kind."""
    mask = mixed_masks(n, height, width, generator)
    return _painted(mask, _colour(n, generator))


def _noise(n: int, height: int, width: int, generator: torch.Generator) -> Damage:
    """Noise, uniform or coarse, coloured or grey, over a hole of any kind."""
    mask = mixed_masks(n, height, width, generator)
    cell = (1 + int(uniform(1, generator) < 0.3)) * _fineness(height, width)
    noise = 2 * torch.rand(n, 3, -(-height // cell), -(-width // cell), generator=generator) - 1
    noise = F.interpolate(noise, scale_factor=float(cell), mode="nearest")[..., :height, :width]
    grey = uniform(n, generator).view(n, 1, 1, 1) < 0.3
    damage = _painted(mask, torch.zeros(n, 3, 1, 1))
    damage.noise, damage.noisy = torch.where(grey, noise[:, :1], noise), torch.arange(n)
    return damage


def _scratch(n: int, height: int, width: int, generator: torch.Generator) -> Damage:
    """Thin light, dark or coloured lines, 1 to 3 % of the shorter side wide."""
    mask = stroke_masks(n, height, width, generator, 6, 3, brush=(0.008, 0.03), step=(0.2, 0.6))
    return _painted(mask, _scratch_colour(n, generator))


def _text(n: int, height: int, width: int, generator: torch.Generator) -> Damage:
    """One to three lines of text, 8 to 22 % of the height tall, in a plain colour."""
    mask = torch.zeros(n, 1, height, width)
    for i in range(n):
        lines, *draws = uniform(10, generator).tolist()
        for start, where_y, where_x in zip(draws[0::3], draws[1::3], draws[2::3], strict=True):
            strip = _text_strip(max(8, round(height * (0.08 + 0.14 * draws[1]))))
            rows = min(strip.shape[0], height)
            top, left = int(where_y * (height - rows)), int(where_x * width / 2)
            columns = min(width - left, int(width * 0.8), strip.shape[1])
            start = int(start * (strip.shape[1] - columns))
            area = mask[i, 0, top : top + rows, left : left + columns]
            torch.maximum(area, strip[:rows, start : start + columns], out=area)
            if lines < 0.4 and where_y < 0.5:
                break
    return _painted(mask, _colour(n, generator))


def _blur(n: int, height: int, width: int, generator: torch.Generator) -> Damage:
    """A hole of any kind blurred until its detail is gone, or under coarse blocks."""
    damage = _painted(mixed_masks(n, height, width, generator), torch.zeros(n, 3, 1, 1))
    if uniform(1, generator) < 0.4:
        damage.blocks = torch.arange(n)
    else:
        damage.blurred = torch.arange(n)
    return damage


_MAKERS: dict[str, Callable[[int, int, int, torch.Generator], Damage]] = {
    "solid": _solid,
    "noise": _noise,
    "scratch": _scratch,
    "text": _text,
    "blur": _blur,
}
DAMAGE_KINDS = tuple(_MAKERS)
_DAMAGE_SHARES = torch.tensor([0.35, 0.1, 0.25, 0.25, 0.05])  # of solid, noise, scratch, text, blur in a mixed batch


def draw_damage(
    n: int,
    height: int,
    width: int,
    generator: torch.Generator,
    kind: str | None = None,
    soft: torch.Tensor | None = None,
    lined: float = 0.0,
) -> Damage:
    """Draw damage for `n` images of `height` x `width` pixels, as `damage`; `soft` has the chance of each, (n,), and
    `lined` is that of scratches over it."""
    if kind is not None and kind not in _MAKERS:
        raise ValueError(f"damage: {kind!r} is not one of {', '.join(DAMAGE_KINDS)}")
    drawn = _draw_kinds(n, height, width, generator) if kind is None else _MAKERS[kind](n, height, width, generator)
    if soft is not None:
        drawn.soft = (uniform(n, generator) < soft).nonzero().flatten()
    if lined:
        drawn.lines = _draw_lines((uniform(n, generator) < lined).nonzero().flatten(), height, width, generator)
    return drawn


def _draw_lines(numbers: torch.Tensor, height: int, width: int, generator: torch.Generator) -> Lines:
    """Draw scratches over samples of these numbers: more, longer and of more widths than `_scratch` draws alone."""
    mask = stroke_masks(len(numbers), height, width, generator, 8, 4, brush=(0.006, 0.035), step=(0.2, 0.6))
    return Lines(numbers, mask, _scratch_colour(len(numbers), generator))


def _draw_kinds(n: int, height: int, width: int, generator: torch.Generator) -> Damage:
    """Draw damage of a kind for each sample."""
    drawn = torch.multinomial(_DAMAGE_SHARES, n, replacement=True, generator=generator)
    picked = [(drawn == k).nonzero().squeeze(1) for k in range(len(_MAKERS))]
    parts = [
        maker(len(numbers), height, width, generator)
        for maker, numbers in zip(_MAKERS.values(), picked, strict=True)
        if len(numbers)
    ]
    order = torch.cat(picked)  # of the samples, kind by kind
    joined, place = join_damage(parts), order.argsort()
    numbers = (order[x] for x in joined.numbers())
    return Damage(joined.mask[place], joined.colour[place], joined.noise, *numbers)


def damage(
    image: torch.Tensor, generator: torch.Generator, kind: str | None = None, soft: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Damage images visibly, for a model that has to find the damage itself.

    Args:
        image: (N, 3, H, W), [-1, 1], on the CPU.
        generator: source of the draws.
        kind: one of `DAMAGE_KINDS`; None = drawn for each sample, most often a plain colour.
        soft: chance of each sample, in [0, 1], that its damage has soft edges and half covers where it is thin, as all
            damage of a larger picture that was made smaller; the mask then marks all that it touches.

    Returns:
        The damaged images (N, 3, H, W), [-1, 1], equal to `image` where the mask is 0, and the mask (N, 1, H, W), 1 =
        damaged.

    Raises:
        ValueError: an unknown kind.
    """
    n, _, height, width = image.shape
    chance = torch.full((n,), soft) if soft else None
    return draw_damage(n, height, width, generator, kind, chance).apply(image)


def _painted(mask: torch.Tensor, colour: torch.Tensor) -> Damage:
    none = torch.empty(0, dtype=torch.long)
    return Damage(mask, colour, mask.new_empty(0, 3, *mask.shape[2:]), none, none, none, none)


def _softened_of(mask: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """Return masks (N, 1, H, W) with those of the samples `numbers` softened."""
    if not len(numbers):
        return mask
    numbers = numbers.to(mask.device, non_blocking=True)
    return mask.index_copy(0, numbers, _softened(mask[numbers]))


def _softened(mask: torch.Tensor) -> torch.Tensor:
    """Return what share of each pixel damage covers if its edges, and with them its thinnest lines, are spread."""
    padded = F.pad(mask, (1, 1, 1, 1), mode="replicate")
    share = F.avg_pool2d(F.avg_pool2d(padded, 2, 1), 2, 1)  # 1, 2, 1 in both directions
    return torch.where(share > _FAINT, share, 0.0)


def _coarse(image: torch.Tensor, mode: str) -> torch.Tensor:
    size = image.shape[-2:]
    coarse = F.interpolate(image, size=[max(2, side // (12 * _fineness(*size))) for side in size], mode="area")
    return F.interpolate(coarse, size=size, mode=mode).clamp(-1, 1)


def _fineness(height: int, width: int) -> int:
    """How many pixels of larger images stand for one of 128, so that noise and blur look alike at all sizes."""
    return max(1, round(min(height, width) / 128))


def _colour(n: int, generator: torch.Generator) -> torch.Tensor:
    """Draw one colour a sample, (N, 3, 1, 1): white, black, grey or any, as a user's brush or a damaged print has."""
    colour = 2 * torch.rand(n, 3, 1, 1, generator=generator) - 1
    kind = uniform(n, generator).view(n, 1, 1, 1)
    colour = torch.where(kind < 0.5, colour[:, :1].expand_as(colour), colour)
    return torch.where(kind < 0.3, colour.sign(), colour)


def _scratch_colour(n: int, generator: torch.Generator) -> torch.Tensor:
    """Draw a light, a dark or any colour for each sample, (N, 3, 1, 1)."""
    light = torch.where(uniform(n, generator).view(n, 1, 1, 1) < 0.5, 0.9, -0.9)
    return torch.where(uniform(n, generator).view(n, 1, 1, 1) < 0.6, light, _colour(n, generator))


@lru_cache(maxsize=64)
def _text_strip(size: int) -> torch.Tensor:
    """Print a line of words at `size` pixels, (size, W), {0, 1}, in Pillow's own font: no file is needed."""
    font = ImageFont.load_default(size)
    width = int(font.getlength(_WORDS)) + 1
    strip = Image.new("L", (width, size), 0)
    ImageDraw.Draw(strip).text((0, -size * 0.1), _WORDS, fill=255, font=font)
    return (torch.frombuffer(bytearray(strip.tobytes()), dtype=torch.uint8).view(size, width) > 96).float()
