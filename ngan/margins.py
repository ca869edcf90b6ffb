"""Paper margins and black bars around a photo: what lies within them is what damage is looked for in.

The networks never saw a margin in training and take it, and the walls beside it, for paint: with white margins around
20 sound portraits in black and white, all 20 had 12 % of the picture marked. A plain wall is no margin: a margin ends
in a hard, straight edge along most of its length, and on its outer side all is of one colour.
"""

from typing import NamedTuple

import cv2
import numpy as np

_SIDE = 512  # pixels: longest side of the copy in which edges are looked for; all lengths below are of its pixels
_LEAST = 4  # pixels: narrowest margin; below it, what it does to the search is as little
_WIDEST = 0.36  # of the side: widest margin on one side, as the foot of a print from an instant camera
_CONTENT = 0.5  # of each side lies within the margins, at least
_RINGS = 3  # margins within each other, at most: bars around a scan, paper around a photo
# Sides that have one, at least: 4 of 60 scratched portraits had a scratch along one side, much like a margin's end.
_SIDES = 2
_OUTER = 3  # pixels: the outermost rows, which tell the colour of a margin
_ALONG = 15  # pixels along an edge whose mean is taken: it evens grain out, and keeps an edge as hard as it is
_EVEN = 24  # levels of 255 by which the colour of a margin may differ along it
# Levels of 255 of the step at its inner end: so many times the margin's noise, within limits. Bars of one colour have
# no noise, and the dark picture beside black ones may be hardly lighter.
_STEP, _NOISES = (7.0, 20.0), 5.0
_HARD = 0.75  # of it, at once
_REACH = 2  # pixels beside an edge in which all of its step is
_BLOCK = 16  # columns that count as one: a tilt of 1 degree moves an edge by 0.3 pixels along them
_TILT = 0.02  # pixels up or down by a pixel along, at most: 1.1 degrees
_AROUND = 3  # pixels beside an edge, in which it is looked for in the photo's own size
# Shares: of the columns, those with an edge on one line, and those whose ends have the margin's colour; and how much
# of a margin may be written on. Of 200 portraits without a margin none was cut, at 0.4 of the columns neither; of 200
# with damage 7 were at 0.4, 1 at 0.5 and none at 0.6; of 200 that were darkened to a quarter, between black bars, 190,
# 191 and 186 were cut to within 2 pixels.
_EDGE, _COLOUR, _WRITTEN = 0.5, 0.8, 0.4


class _Edge(NamedTuple):
    """Where a margin ends: `depth` in pixels at the side's middle, moving by `slope` pixels a pixel along."""

    depth: float
    slope: float


def content(rgb: np.ndarray) -> tuple[int, int, int, int]:
    """Tell which part of a photo lies within its margins, on two to four sides, also one margin in another.

    Args:
        rgb: the photo, (H, W, 3), uint8.

    Returns:
        (left, upper, right, lower) borders of that part in pixels; those of the whole photo if it has no margin. Of a
        photo that is tilted in its margins, an upright part that reaches into none of them.
    """
    height, width = rgb.shape[:2]
    scale = max(1.0, max(height, width) / _SIDE)
    size = max(1, round(width / scale)), max(1, round(height / scale))
    box = 0, 0, width, height
    if min(size) < 8 * _BLOCK:  # too small, or too narrow, to tell a line's share of it
        return box
    sparse = max(1, int(scale / 2))  # of a photo of 12 megapixels every third row and column is read: half the time
    small = cv2.resize(np.ascontiguousarray(rgb[::sparse, ::sparse]), size, interpolation=cv2.INTER_AREA)
    inner, last = (0, 0, *size), [None] * 4
    for _ in range(_RINGS):
        edges = _edges(small, inner)
        within = _shrunk(inner, edges)
        room = within[2] - within[0] >= _CONTENT * size[0] and within[3] - within[1] >= _CONTENT * size[1]
        if sum(edge is not None for edge in edges) < _SIDES or not room:
            break
        inner, last = within, [edge or before for edge, before in zip(edges, last, strict=True)]
    factors = width / size[0], height / size[1]
    found = [round(border * factors[number % 2]) for number, border in enumerate(inner)]
    if scale == 1:
        return tuple(found)
    for side, edge in enumerate(last):
        if edge is not None:
            inwards = _refined(rgb, found, side, edge, factors[side % 2])
            found[side] = min(max(found[side] + (inwards if side < 2 else -inwards), 0), box[2 + side % 2])
    return tuple(found)


def put_back(hole: np.ndarray, box: tuple[int, int, int, int], shape: tuple[int, int]) -> np.ndarray:
    """Put the hole of the part of a photo within its margins back into the photo: (H, W), bool.

    Args:
        hole: (h, w), bool, of that part.
        box: its (left, upper, right, lower) borders in pixels, of `content`.
        shape: of the photo, (H, W).
    """
    if hole.all():  # there is nothing but paper to fill it from
        return np.ones(shape, bool)
    left, top, right, bottom = box
    whole = np.zeros(shape, bool)
    whole[top:bottom, left:right] = hole
    return whole


def _edges(photo: np.ndarray, box: tuple[int, int, int, int]) -> list[_Edge | None]:
    """Find where the margins of a part of a photo end: at its left, top, right and bottom; None = no margin there."""
    left, top, right, bottom = box
    part = photo[top:bottom, left:right]
    # the middle halves of the sides tell of margins first: the ends of each may lie in those beside it
    edges = [_edge(_turned(part, side), 0.25, 0.75) for side in range(4)]
    depths = [edge.depth if edge else 0 for edge in edges]
    ends = [(depths[1], depths[3]), (depths[0], depths[2])]
    checked = []
    for side, edge in enumerate(edges):
        length = part.shape[side % 2]
        start, stop = ends[side % 2]
        checked.append(edge and _edge(_turned(part, side), start / length, 1 - stop / length))
    return checked


def _turned(photo: np.ndarray, side: int) -> np.ndarray:
    """View a photo so that its left, top, right or bottom (0 to 3) is on top, its other axis as it was."""
    photo = photo if side % 2 else photo.transpose(1, 0, 2)
    return photo[::-1] if side > 1 else photo


def _edge(photo: np.ndarray, start: float, stop: float) -> _Edge | None:
    """Find where the margin at the top of a photo, (H, W, 3), uint8, ends; `start` and `stop`: shares of its width."""
    rows, columns = int(_WIDEST * photo.shape[0]) + _REACH + 1, photo.shape[1]
    first, last = round(start * columns), round(stop * columns)
    blocks = (last - first) // _BLOCK
    if blocks < 4:
        return None
    strip = np.ascontiguousarray(photo[:rows, first : first + blocks * _BLOCK], np.float32)
    strip = cv2.blur(strip, (_ALONG, 1), borderType=cv2.BORDER_REPLICATE)
    colour = cv2.blur(strip[:_OUTER].mean(axis=0)[None], (3 * _ALONG, 1), borderType=cv2.BORDER_REPLICATE)
    even = np.abs(colour - np.median(colour, axis=1)).max(axis=2) <= _EVEN
    if even.mean() < _COLOUR:
        return None
    noise = 1.48 * np.median(np.abs(strip[:_OUTER] - colour))
    step = float(np.clip(_NOISES * noise, *_STEP))
    off = np.maximum.reduce(cv2.split(np.abs(strip - colour)))
    inside = off > step
    # a pixel is at an edge if those just outside of it have the margin's colour, and those just within have not, by a
    # step and not by a slope: walls shade off
    edge = np.zeros(inside.shape, np.float32)
    before, after = off[: -2 * _REACH], off[2 * _REACH :]
    edge[_REACH:-_REACH] = (before <= step) & (after > step) & (after - before > _HARD * step)
    share = edge.reshape(rows, blocks, _BLOCK).mean(axis=2)
    most = int(_TILT * blocks * _BLOCK / 2)
    places = (np.arange(blocks) + 0.5) / blocks * 2 - 1  # of the blocks, [-1, 1]
    best, found = _EDGE, None
    for lift in sorted(range(-most, most + 1), key=abs):
        moved = np.arange(rows)[:, None] + np.round(lift * places).astype(int)
        on_line = share[moved.clip(0, rows - 1), np.arange(blocks)].mean(axis=1)
        if on_line.max() > best + 0.02:  # not for what a turn by less than is told adds by chance
            best = float(on_line.max())
            as_good = np.flatnonzero(on_line >= best - 0.02)  # a hard edge is told by rows on both of its sides
            found = as_good[as_good < as_good[0] + 2 * _REACH].mean() + lift * places
    if found is None:
        return None
    near = np.abs(np.arange(rows)[:, None] - found) <= 2 * _REACH
    weight = (share * near).sum(axis=0)
    middle = (share * near * np.arange(rows)[:, None]).sum(axis=0) / np.maximum(weight, 1e-6)
    lift, depth = np.polyfit(places, middle, 1, w=weight)
    outside = inside[: max(round(depth - abs(lift)) - _REACH, 1)]
    if depth - abs(lift) < _LEAST or outside.mean() > _WRITTEN:
        return None
    return _Edge(float(depth) + 0.5, float(2 * lift / (blocks * _BLOCK)))


def _shrunk(box: tuple[int, int, int, int], edges: list[_Edge | None]) -> tuple[int, int, int, int]:
    """Take margins off a part of a photo, as far as they reach."""
    left, top, right, bottom = box
    cuts = []
    for side, edge in enumerate(edges):
        length = bottom - top if side % 2 == 0 else right - left
        cuts.append(0 if edge is None else round(edge.depth + abs(edge.slope) * length / 2))
    return left + cuts[0], top + cuts[1], right - cuts[2], bottom - cuts[3]


def _refined(rgb: np.ndarray, box: list[int], side: int, edge: _Edge, factor: float) -> int:
    """Tell how many pixels further inwards a margin of a photo of full size ends, (H, W, 3), uint8.

    Args:
        rgb: the photo.
        box: (left, upper, right, lower) borders of what lies within its margins, in pixels.
        side: number of the margin's in them.
        edge: where it ends in the small copy.
        factor: the photo's pixels a pixel of the copy.
    """
    away = int(np.ceil(_AROUND * factor))
    length = rgb.shape[1 - side % 2]
    depth = box[side] if side < 2 else length - box[side]
    first, last = box[1 - side % 2], box[3 - side % 2]
    if abs(edge.slope) * (last - first) > 2 * factor:  # of no one depth
        return round(factor / 2)
    strip = _turned(rgb, side)[max(depth - away, 0) : depth + away, first:last]
    blocks = max(1, round((last - first) / (_BLOCK * factor)))
    means = cv2.resize(np.ascontiguousarray(strip), (blocks, len(strip)), interpolation=cv2.INTER_AREA).astype(int)
    colour, picture = means[: away // 2].mean(axis=0), means[-(away // 2) :].mean(axis=0)
    far = np.abs(picture - colour).max(axis=1)
    clear = far >= np.median(far)
    passed = (np.abs(means - colour).max(axis=2) > far / 2)[:, clear]
    return int(np.ceil(np.median(passed.argmax(axis=0)))) + 1 - min(away, depth)
