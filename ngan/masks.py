"""Hole makers, and what is done with a mask.

The convention of the whole project: a mask is float (N, 1, H, W), 1 = missing, 0 = known. Everything random is drawn
from an explicit `torch.Generator` of the CPU, where loaders work; sizes of strokes and boxes scale with the image.
"""

import math
from collections.abc import Callable

import torch
from PIL import Image, ImageDraw
from torch.nn import functional as F

_FEATURES = (  # centre x, y and ranges of width and height of a hole over it, as shares of the image's sides
    (0.5, 0.51, (0.4, 0.62), (0.08, 0.2)),  # both eyes
    (0.388, 0.51, (0.14, 0.26), (0.08, 0.2)),
    (0.612, 0.51, (0.14, 0.26), (0.08, 0.2)),
    (0.5, 0.62, (0.12, 0.26), (0.12, 0.28)),  # nose
    (0.5, 0.74, (0.2, 0.42), (0.08, 0.22)),  # mouth, twice as often as each other
    (0.5, 0.74, (0.2, 0.42), (0.08, 0.22)),
)


def center_masks(n: int, height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """Return the field's centre hole: half of each side, a quarter of the area, (N, 1, H, W); draws nothing."""
    mask = torch.zeros(n, 1, height, width)
    top, left = height // 4, width // 4
    mask[:, :, top : top + height // 2, left : left + width // 2] = 1
    return mask


def box_masks(
    n: int, height: int, width: int, generator: torch.Generator, low: float = 0.25, high: float = 0.5
) -> torch.Tensor:
    """Return one box a sample, wholly inside the image.

    Args:
        n: samples.
        height: of the image, in pixels.
        width: of the image, in pixels.
        generator: source of the draws.
        low: shortest side, as a share of the image's side.
        high: longest side, as a share of the image's side.

    Returns:
        (N, 1, H, W), {0, 1}, 1 = missing.
    """

    def interval(side: int) -> tuple[torch.Tensor, torch.Tensor]:
        length = (side * (low + (high - low) * uniform(n, generator))).round().clamp(1, side)
        start = ((side - length + 1) * uniform(n, generator)).floor()
        return start.view(n, 1), (start + length).view(n, 1)

    y, x = torch.arange(height), torch.arange(width)
    (top, bottom), (left, right) = interval(height), interval(width)
    rows, columns = (y >= top) & (y < bottom), (x >= left) & (x < right)
    return (rows[:, :, None] & columns[:, None, :]).unsqueeze(1).float()


def freeform_masks(n: int, height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """Return one to four strokes a sample, brush 4 to 12 % of the shorter side wide, (N, 1, H, W), 1 = missing."""
    return stroke_masks(n, height, width, generator, 4, 6, brush=(0.04, 0.12), step=(0.08, 0.3))


def wide_masks(n: int, height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """Return wide holes, one or two thick strokes or one to four boxes; (N, 1, H, W), 1 = missing."""
    thick = uniform(n, generator) < 0.5
    mask = torch.zeros(n, 1, height, width)
    mask[thick] = stroke_masks(int(thick.sum()), height, width, generator, 2, 5, brush=(0.12, 0.3), step=(0.15, 0.4))
    boxes = n - int(thick.sum())
    count = (4 * uniform(boxes, generator)).floor()
    for i in range(4):
        box = box_masks(boxes, height, width, generator, 0.12, 0.4)
        mask[~thick] = torch.maximum(mask[~thick], box * (count >= i).view(-1, 1, 1, 1))
    return mask


def inner_masks(n: int, height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """Return one box or bar a sample, 10 to 50 % of either side, over the inner face; (N, 1, H, W), 1 = missing.

    Its centre lies in the middle of the image, where eyes, nose and mouth are: what people paint over most.
    """
    mask = torch.zeros(n, 1, height, width)
    draws = torch.rand(n, 4, generator=generator)
    sides = 0.1 + 0.4 * draws[:, :2]
    low = 0.3 + 0.4 * draws[:, 2:] - sides / 2
    edges = torch.cat([low, low + sides], dim=1) * torch.tensor([height, width, height, width])
    for i, (top, left, bottom, right) in enumerate(edges.round().long().tolist()):
        mask[i, :, top:bottom, left:right] = 1
    return mask


def feature_masks(n: int, height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """Return one or two features a sample, painted over closely: both eyes, one eye, nose or mouth.

    A network that sees few such holes takes them for the skin that narrow holes elsewhere are. The places are those of
    CelebA's aligned faces in their square of rows 20 to 197.

    Returns:
        (N, 1, H, W), {0, 1}, 1 = missing; half of them strokes with round ends, half rectangles with round corners.
    """
    masks = []
    for two, *draws in torch.rand(n, 15, generator=generator).tolist():
        picture = Image.new("L", (width, height), 0)
        for part in (draws[:7], draws[7:]) if two < 0.25 else (draws[:7],):
            _paint_feature(ImageDraw.Draw(picture), height, width, part)
        masks.append(_as_mask(picture))
    return torch.stack(masks).unsqueeze(1) if masks else torch.zeros(0, 1, height, width)


def _paint_feature(draw: ImageDraw.ImageDraw, height: int, width: int, draws: list[float]) -> None:
    which, across, down, wide, high, bend, shape = draws
    x, y, *ranges = _FEATURES[int(which * len(_FEATURES))]
    x, y = (x + 0.06 * across - 0.03) * width, (y + 0.06 * down - 0.03) * height
    half_x, half_y = (
        side * (low + (high_end - low) * value) / 2
        for side, (low, high_end), value in zip((width, height), ranges, (wide, high), strict=True)
    )
    if shape < 0.5:
        radius = 2 * shape * min(half_x, half_y)
        draw.rounded_rectangle([x - half_x, y - half_y, x + half_x, y + half_y], radius, fill=1)
        return
    reach, sag = max(half_x - half_y, 1), (bend - 0.5) * half_y
    points = [(x - reach, y - sag), (x, y + sag), (x + reach, y - sag)]
    draw.line(points, fill=1, width=max(1, round(2 * half_y)), joint="curve")
    for px, py in points:
        draw.ellipse([px - half_y, py - half_y, px + half_y, py + half_y], fill=1)


def face_masks(n: int, height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """Return one large hole a sample that hides most of the inner face, 30 to 70 % of either side.

    A network whose only such hole is the centre one learns that very place by heart: moved down by 5 % of the side,
    the hole came back blurred.

    Returns:
        (N, 1, H, W), {0, 1}, 1 = missing; half of them rectangles, half with round corners of up to half a disc.
    """
    masks = []
    for across, down, wide, high, shape in torch.rand(n, 5, generator=generator).tolist():
        x, y = (0.4 + 0.2 * across) * width, (0.48 + 0.24 * down) * height
        half_x, half_y = (0.15 + 0.2 * wide) * width, (0.15 + 0.2 * high) * height
        picture = Image.new("L", (width, height), 0)
        ImageDraw.Draw(picture).rounded_rectangle(
            [x - half_x, y - half_y, x + half_x, y + half_y], max(2 * shape - 1, 0) * min(half_x, half_y), fill=1
        )
        masks.append(_as_mask(picture))
    return torch.stack(masks).unsqueeze(1) if masks else torch.zeros(0, 1, height, width)


def mixed_masks(n: int, height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """Return holes of all kinds in the shares of `MIX`, (N, 1, H, W), {0, 1}, 1 = missing."""
    limits = torch.tensor(list(MIX.values())).cumsum(0)[:-1]
    kind = torch.bucketize(uniform(n, generator), limits)
    mask = torch.empty(n, 1, height, width)
    for i, name in enumerate(MIX):
        mask[kind == i] = MASK_MAKERS[name](int((kind == i).sum()), height, width, generator)
    return mask


MIX = {  # shares of the mixed holes, which training draws
    "center": 0.08,
    "box": 0.14,
    "face": 0.16,
    "feature": 0.22,
    "inner": 0.12,
    "freeform": 0.14,
    "wide": 0.14,
}


MASK_MAKERS: dict[str, Callable[[int, int, int, torch.Generator], torch.Tensor]] = {
    "center": center_masks,
    "box": box_masks,
    "face": face_masks,
    "inner": inner_masks,
    "feature": feature_masks,
    "freeform": freeform_masks,
    "wide": wide_masks,
    "mixed": mixed_masks,
}
MASK_KINDS = tuple(MASK_MAKERS)


def make_masks(kind: str, n: int, height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """Return `n` masks of a kind of `MASK_KINDS`, (N, 1, H, W), {0, 1}, 1 = missing.

    Raises:
        ValueError: an unknown kind.
    """
    if kind not in MASK_MAKERS:
        raise ValueError(f"masks: {kind!r} is not one of {', '.join(MASK_KINDS)}")
    return MASK_MAKERS[kind](n, height, width, generator)


def composite(known: torch.Tensor, fill: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return `fill` where the mask is 1 and `known` where it is 0, exactly; a mix of both between.

    Args:
        known: (N, C, H, W).
        fill: (N, C, H, W).
        mask: (N, 1, H, W), [0, 1], 1 = missing.
    """
    return known * (1 - mask) + fill * mask


def crop_box(mask: torch.Tensor, size: int, zoom: float = 1.0) -> torch.Tensor:
    """Return the window around the damage: a square about the mask's centre of mass.

    Args:
        mask: (N, 1, H, W), [0, 1], 1 = missing; an empty mask gets the window at the image's centre.
        size: greatest side of the window, in pixels, at most the shorter side of the image.
        zoom: how many times smaller a window may be, down to 1.5 times the longer side of the damage.

    Returns:
        (N, 3) int64, (top, left, side), the window wholly inside the image.
    """
    n, _, height, width = mask.shape
    weight = mask.float() + 1e-6
    total = weight.sum(dim=(1, 2, 3))
    side, middles = torch.full((n,), math.ceil(size / zoom), device=mask.device), []
    for across, length in ((3, height), (2, width)):
        place = torch.arange(length, device=mask.device)
        middles.append((weight.sum(dim=(1, across)) * place).sum(1) / total)
        marked = mask.amax(dim=(1, across)) > 0  # (N, length)
        extent = (marked * (place + 1)).amax(1) + (marked * (length - place)).amax(1) - length
        extent = torch.where(marked.any(1), extent, size)
        side = side.maximum((1.5 * extent).ceil().long())
    side = side.clamp(max=size)
    corner = [
        (middle.round().long() - side // 2).clamp(min=0).minimum(length - side)
        for middle, length in zip(middles, (height, width), strict=True)
    ]
    return torch.stack([*corner, side], dim=1)


def crop(image: torch.Tensor, box: torch.Tensor, size: int) -> torch.Tensor:
    """Cut each sample's window out and bring it to one size (bilinear), differentiably.

    Args:
        image: (N, C, H, W).
        box: (N, 3), (top, left, side), as `crop_box` returns.
        size: side of what comes out, in pixels.

    Returns:
        (N, C, size, size).
    """
    height, width = image.shape[-2:]
    top, left, side = (value.view(-1, 1) for value in box.float().unbind(1))
    steps = (torch.arange(size, device=image.device) + 0.5) / size  # middles of the cells, in sides of the window
    y, x = (2 * (start + side * steps) / length - 1 for start, length in ((top, height), (left, width)))
    grid = torch.stack([x.unsqueeze(1).expand(-1, size, -1), y.unsqueeze(2).expand(-1, -1, size)], dim=3)
    return F.grid_sample(image, grid.to(image.dtype), padding_mode="border", align_corners=False)


def uniform(n: int, generator: torch.Generator) -> torch.Tensor:
    """Return `n` draws from [0, 1)."""
    return torch.rand(n, generator=generator)


def stroke_masks(
    n: int,
    height: int,
    width: int,
    generator: torch.Generator,
    strokes: int,
    vertices: int,
    brush: tuple[float, float],
    step: tuple[float, float],
) -> torch.Tensor:
    """Draw polylines with round ends.

    Args:
        n: samples.
        height: of the image, in pixels.
        width: of the image, in pixels.
        generator: source of the draws.
        strokes: most polylines a sample; at least one is drawn.
        vertices: corners of each, its ends included.
        brush: lowest and highest thickness, as shares of the shorter side.
        step: the same of the way from corner to corner.

    Returns:
        (N, 1, H, W), {0, 1}, 1 = missing.
    """
    side = min(height, width)
    count = 1 + (strokes * uniform(n, generator)).floor()
    draws = torch.rand(n, strokes, 2 * vertices + 2, generator=generator)
    thick = side * (brush[0] + (brush[1] - brush[0]) * draws[..., 0])  # (N, strokes)
    start = draws[..., 1:3] * torch.tensor([width, height])
    turns = torch.cat([2 * math.pi * draws[..., 3:4], (draws[..., 4 : 3 + vertices] - 0.5) * 0.9 * math.pi], dim=2)
    angle = turns.cumsum(2)[..., 1:]  # (N, strokes, vertices - 1)
    length = side * (step[0] + (step[1] - step[0]) * draws[..., 3 + vertices :])
    moves = torch.stack([angle.cos(), angle.sin()], dim=3) * length.unsqueeze(3)
    corners = torch.cat([start.unsqueeze(2), start.unsqueeze(2) + moves.cumsum(2)], dim=2)
    corners = corners.clamp(min=0).minimum(torch.tensor([width - 1.0, height - 1.0]))
    masks = [
        _draw_strokes(height, width, points[:k], widths[:k])
        for points, widths, k in zip(corners.tolist(), thick.tolist(), count.long().tolist(), strict=True)
    ]
    return torch.stack(masks).unsqueeze(1) if masks else torch.zeros(0, 1, height, width)


def _draw_strokes(height: int, width: int, strokes: list[list[list[float]]], thick: list[float]) -> torch.Tensor:
    """Draw polylines of round ends and joints, `thick` pixels wide, (H, W), {0, 1}."""
    picture = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(picture)
    for points, thickness in zip(strokes, thick, strict=True):
        thickness = max(1, round(thickness))
        draw.line([tuple(point) for point in points], fill=1, width=thickness)
        radius = (thickness - 1) / 2
        for x, y in points if radius >= 1 else ():
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=1)
    return _as_mask(picture)


def _as_mask(picture: Image.Image) -> torch.Tensor:
    """A picture of mode L with values 0 and 1 as (H, W), {0, 1}."""
    values = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return values.view(picture.height, picture.width).float()
