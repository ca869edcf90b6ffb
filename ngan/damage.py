"""Damage makers for the mask-free case: pictures that look damaged, and where they are.

As in `ngan.masks`, a mask is float (N, 1, H, W), 1 = missing, and everything random is drawn from an explicit
`torch.Generator` of the CPU.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from PIL import Image, ImageDraw, ImageFont
from torch.nn import functional as F

from ngan.masks import composite, mixed_masks, stroke_masks, uniform

_WORDS = "face photo SAMPLE 1987 hello Copyright www.example.com The quick brown fox 12:34 DRAFT proof do not copy"


def solid_damage(image: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Paint one plain colour over a hole of any kind; as `damage`."""
    mask = mixed_masks(*_nhw(image), generator)
    return composite(image, _colour(image, generator).expand_as(image), mask), mask


def noise_damage(image: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Put noise, uniform or coarse, coloured or grey, over a hole of any kind; as `damage`."""
    n, height, width = _nhw(image)
    mask = mixed_masks(n, height, width, generator)
    cell = (1 + int(uniform(1, generator) < 0.3)) * _fineness(image)
    noise = 2 * torch.rand(n, 3, -(-height // cell), -(-width // cell), generator=generator) - 1
    noise = F.interpolate(noise, scale_factor=float(cell), mode="nearest")[..., :height, :width]
    grey = uniform(n, generator).view(n, 1, 1, 1) < 0.3
    noise = torch.where(grey, noise[:, :1], noise)
    return composite(image, noise, mask), mask


def scratch_damage(image: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw thin light, dark or coloured lines, 1 to 3 % of the shorter side wide; as `damage`."""
    n, height, width = _nhw(image)
    mask = stroke_masks(n, height, width, generator, 6, 3, brush=(0.008, 0.03), step=(0.2, 0.6))
    light = torch.where(uniform(n, generator).view(n, 1, 1, 1) < 0.5, 0.9, -0.9)
    colour = torch.where(uniform(n, generator).view(n, 1, 1, 1) < 0.6, light, _colour(image, generator))
    return composite(image, colour.expand_as(image), mask), mask


def text_damage(image: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Print one to three lines of text, 8 to 22 % of the height tall, in a plain colour; as `damage`."""
    n, height, width = _nhw(image)
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
    return composite(image, _colour(image, generator).expand_as(image), mask), mask


def blur_damage(image: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Blur a hole of any kind until its detail is gone, or lay coarse blocks over it; as `damage`."""
    mask = mixed_masks(*_nhw(image), generator)
    size = image.shape[-2:]
    coarse = F.interpolate(image, size=[max(2, side // (12 * _fineness(image))) for side in size], mode="area")
    mode = "nearest" if uniform(1, generator) < 0.4 else "bicubic"
    return composite(image, F.interpolate(coarse, size=size, mode=mode).clamp(-1, 1), mask), mask


DAMAGE_MAKERS: dict[str, Callable[[torch.Tensor, torch.Generator], tuple[torch.Tensor, torch.Tensor]]] = {
    "solid": solid_damage,
    "noise": noise_damage,
    "scratch": scratch_damage,
    "text": text_damage,
    "blur": blur_damage,
}
DAMAGE_KINDS = tuple(DAMAGE_MAKERS)
_DAMAGE_SHARES = torch.tensor([0.35, 0.1, 0.25, 0.25, 0.05])  # of solid, noise, scratch, text, blur in a mixed batch


def damage(
    image: torch.Tensor, generator: torch.Generator, kind: str | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Damage images visibly, for a model that has to find the damage itself.

    Args:
        image: (N, 3, H, W), [-1, 1], on the CPU.
        generator: source of the draws.
        kind: one of `DAMAGE_KINDS`; None = drawn for each sample, most often a plain colour.

    Returns:
        The damaged images (N, 3, H, W), [-1, 1], equal to `image` where the mask is 0, and the mask (N, 1, H, W), 1 =
        damaged.

    Raises:
        ValueError: an unknown kind.
    """
    if kind is not None and kind not in DAMAGE_MAKERS:
        raise ValueError(f"damage: {kind!r} is not one of {', '.join(DAMAGE_KINDS)}")
    if kind is not None:
        return DAMAGE_MAKERS[kind](image, generator)
    drawn = torch.multinomial(_DAMAGE_SHARES, image.shape[0], replacement=True, generator=generator)
    damaged, mask = image.clone(), torch.zeros_like(image[:, :1])
    for k, maker in enumerate(DAMAGE_MAKERS.values()):
        picked = drawn == k
        if picked.any():
            damaged[picked], mask[picked] = maker(image[picked], generator)
    return damaged, mask


def _nhw(image: torch.Tensor) -> tuple[int, int, int]:
    return image.shape[0], image.shape[2], image.shape[3]


def _fineness(image: torch.Tensor) -> int:
    """How many pixels of larger images stand for one of 128, so that noise and blur look alike at all sizes."""
    return max(1, round(min(image.shape[-2:]) / 128))


def _colour(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draw one colour a sample, (N, 3, 1, 1): white, black, grey or any, as a user's brush or a damaged print has."""
    n = image.shape[0]
    colour = 2 * torch.rand(n, 3, 1, 1, generator=generator) - 1
    kind = uniform(n, generator).view(n, 1, 1, 1)
    colour = torch.where(kind < 0.5, colour[:, :1].expand_as(colour), colour)
    return torch.where(kind < 0.3, colour.sign(), colour)


@lru_cache(maxsize=64)
def _text_strip(size: int) -> torch.Tensor:
    """Print a line of words at `size` pixels, (size, W), {0, 1}, in Pillow's own font: no file is needed."""
    font = ImageFont.load_default(size)
    width = int(font.getlength(_WORDS)) + 1
    strip = Image.new("L", (width, size), 0)
    ImageDraw.Draw(strip).text((0, -size * 0.1), _WORDS, fill=255, font=font)
    return (torch.frombuffer(bytearray(strip.tobytes()), dtype=torch.uint8).view(size, width) > 96).float()
