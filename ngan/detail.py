"""What a small grid cannot hold, brought into its fill from the known parts of the photo that are like it.

A fill on a large photo has no skin, hair or cloth finer than the network's cells. The photo around it has: for each
place of the fill that of the known ones is found which looks most alike with all of that taken away, and its fine
detail is laid over the fill. (After the contextual residual aggregation of Yi et al., "Contextual Residual Aggregation
for Ultra High-Resolution Image Inpainting", CVPR 2020, which goes by the network's own attention; here it is by
likeness, as in Efros and Leung, "Texture Synthesis by Non-parametric Sampling", ICCV 1999, and Ashikhmin,
"Synthesizing Natural Textures", I3D 2001.)
"""

import itertools
import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from ngan.blurring import blurred
from ngan.framing import Window, grown, window_of, within
from ngan.paste import enlarged

_FINE = 0.8  # standard deviation, in cells of the network's grid: what a Gaussian of it takes away is detail
_ROOM = 0.5  # of the fill's own detail, which makes room
_LEAST = 2  # pixels of a place's side, which is a cell's: places of one pixel took four times the time
_PATCH = 5  # places a side by which likeness is told
_COLOUR = 0.3  # weight of a patch's mean colour in it
# Places beside each other take what lies beside each other, where that is at most so much less alike than the best:
# hair comes in strands, and overlapping detail does not blur itself.
_LONGER, _SLACK = 1.3, 4.0  # times, and of 255 more
# Of the known places that are most like one it takes the first with a usual amount of detail among them: not a strand
# of hair that lies on skin.
_CHOICE, _USUAL = 9, 1.5
_UNLIKE = 20.0  # of 255: at such a mean difference of two patches, detail is down to a third
_STEEP = 20.0  # of 255 a cell: on slopes as steep, detail is down to a half, as edges do not meet exactly
_MOST = 2048  # known places, at most, evenly taken; bounds the time that a large picture takes
_CHUNK = 1024  # places looked for at a time; bounds the memory, and so does
_ROWS = 256  # of pixels, laid at a time
_FEWEST = 25  # known places: with fewer there is nothing to choose from
_MARGIN = 24  # places around what is gone over, at least, from which detail may come, or half its length


def add_detail(
    canvas: np.ndarray,
    hole: np.ndarray,
    left: np.ndarray,
    box: Window,
    cell: float,
    present: "Detail | None" = None,
) -> "Detail | None":
    """Lay detail of a picture over a part of its filled hole, in place.

    Args:
        canvas: (H, W, 3), uint8, filled.
        hole: (H, W), bool, all that was filled; detail comes from the rest.
        left: (H, W), bool, the part of it to be gone over, and
        box: the window to go over it in.
        cell: side of a cell of the network's grid, in pixels of the picture.
        present: detail that is there already, in the same window: so much less is laid.

    Returns:
        What was laid; None where nothing was, as where too little of the picture is known.
    """
    pitch = max(_LEAST, round(cell))
    extent = _extent(left, box, pitch) if enlarged(cell) > 0 else None
    if extent is None:
        return None
    window, around = extent
    inner = within(window, around)
    own = np.zeros_like(hole[around])
    own[inner] = left[window]
    sigma = _FINE * cell
    slow, rough, fine, steep = _parted(canvas[around], pitch, sigma, cell)
    match = _matched(slow, rough, hole[around], own, pitch, math.ceil(1 + 3 * sigma / pitch))
    if match is None:
        return None
    depth = cv2.distanceTransform(hole[around].view(np.uint8), cv2.DIST_L2, 3)
    strength = ((depth / cell).clip(0, 1) / (1 + np.square(steep / _STEEP)))[inner] * enlarged(cell)
    if present is not None:
        strength *= 1 - np.sqrt(present.share[: strength.shape[0], : strength.shape[1]], dtype=np.float32)
    share = np.zeros(strength.shape, np.float16)
    for top in range(0, len(share), _ROWS):
        rows = slice(top, min(top + _ROWS, len(share)))
        band = slice(inner[0].start + rows.start, inner[0].start + rows.stop), inner[1]
        detail, variance = _laid(fine, match, pitch, band)
        painted, here = canvas[window][rows], own[inner][rows]
        painted[here] = np.rint(painted[here] + (strength[rows, :, None] * detail)[here]).clip(0, 255)
        share[rows] = variance * np.square(strength[rows]) * here
    return Detail(window, share, sigma)


@dataclass(frozen=True)
class Detail:
    """Detail that was laid over a fill.

    Attributes:
        window: of the picture, where it lies.
        share: (rows, columns) of the window, float16, [0, 1], what variance that detail has there which has 1 in the
            known parts.
        sigma: what a Gaussian of this standard deviation, in pixels, takes away is detail.
        step: pixels a side that have one share, and nothing finer.
    """

    window: Window
    share: np.ndarray
    sigma: float
    step: int = 1

    def enlarged(self, step: int, top: int, left: int) -> "Detail":
        """The same of a picture in which that one, larger by `step`, lies at a row `top` and a column `left`."""
        window = (
            slice(first + step * line.start, first + step * line.stop)
            for first, line in zip((top, left), self.window, strict=True)
        )
        return Detail(tuple(window), self.share, step * self.sigma, step * self.step)

    def at(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Its shares at rows and columns of the picture, (n,), float32; 0 outside of it."""
        rows, columns = self.window
        inside = (y >= rows.start) & (y < rows.stop) & (x >= columns.start) & (x < columns.stop)
        shares = np.zeros(len(y), np.float32)
        shares[inside] = self.share[(y[inside] - rows.start) // self.step, (x[inside] - columns.start) // self.step]
        return shares


def _extent(left: np.ndarray, box: Window, pitch: int) -> tuple[Window, Window] | None:
    """The window of a picture in which its pixels `left` lie, (H, W), bool, of those in a box, and a larger one, of
    whole places, from which detail may come; None where there are none, or too little is around."""
    window = window_of(left, box)
    if window is None:
        return None
    around = grown(window, margin_around(window, _MARGIN * pitch), left.shape)
    around = tuple(slice(part.start, part.stop - (part.stop - part.start) % pitch) for part in around)
    window = tuple(slice(w.start, min(w.stop, a.stop)) for w, a in zip(window, around, strict=True))
    if any(a.stop - a.start < 2 * _PATCH * pitch or w.start >= w.stop for w, a in zip(window, around, strict=True)):
        return None
    return window, around


def margin_around(window: Window, least: int) -> int:
    """How far around a window detail for it may lie: a half of its length, and so many pixels at least."""
    return max(least, *((part.stop - part.start) // 2 for part in window))


def _parted(
    rgb: np.ndarray, pitch: int, sigma: float, cell: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Part a picture (H, W, 3), uint8, into what is slow and detail.

    Returns:
        What is slow, in places (h, w, 3), float32; how much detail is around each, of 255, (h, w), float32; the detail
        (H, W, 3), float16; and how steep what is slow is, of 255 a cell, (H, W), float32.
    """
    size = rgb.shape[1] // pitch, rgb.shape[0] // pitch
    rough = np.zeros(size[::-1], np.float32)
    places, fine, grey = [], np.empty(rgb.shape, np.float16), np.zeros(rgb.shape[:2], np.float32)
    for channel in range(3):  # one after the other, for memory
        colour = rgb[..., channel].astype(np.float32)
        slow = blurred(colour, sigma)
        fine[..., channel] = colour - slow
        rough += cv2.resize(np.square(colour - slow), size, interpolation=cv2.INTER_AREA) / 3
        places.append(cv2.resize(slow, size, interpolation=cv2.INTER_AREA))
        grey += slow / 3
    grey = blurred(grey, cell / 2)
    steep = np.square(cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=cell / 8))
    steep += np.square(cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=cell / 8))
    rough = np.sqrt(cv2.blur(rough, (3, 3)).clip(0, None))  # sums that run along rows can end below 0
    return np.dstack(places), rough, fine, np.sqrt(steep)


@dataclass(frozen=True)
class _Match:
    """Where each place of a picture takes its detail from.

    Attributes:
        rows, columns: (h, w), int32, how far that is away, in places; 0 where nothing is taken.
        weight: (h, w), float32, [0, 1], how much of it is taken.
    """

    rows: np.ndarray
    columns: np.ndarray
    weight: np.ndarray


def _matched(
    small: np.ndarray, rough: np.ndarray, hole: np.ndarray, own: np.ndarray, pitch: int, reach: int
) -> _Match | None:
    """Find for each place of a hole the known one that looks most alike.

    Args:
        small: (h, w, 3), float32, the picture without its detail, in places.
        rough: (h, w), float32, how much detail each has.
        hole: (H, W), bool, what is not known.
        own: (H, W), bool, the part of it to find detail for.
        pitch: side of a place, in pixels.
        reach: how far from the hole, and from the picture's border, the detail of a place is free of it, in places.

    Returns:
        The places' matches; None where too little is known.
    """
    height, width = small.shape[:2]
    touched, asked = (
        cv2.resize(marked.view(np.uint8) * 255, (width, height), interpolation=cv2.INTER_AREA)
        for marked in (hole, own)
    )
    near = np.ones((3, 3), np.uint8)
    asked = cv2.dilate(asked, near) > 0
    free = cv2.dilate(touched, near, iterations=reach) == 0
    rim = max(_PATCH // 2, reach)
    free[:rim] = free[-rim:] = free[:, :rim] = free[:, -rim:] = False
    known, wanted = np.flatnonzero(free), np.flatnonzero(asked)
    if len(known) < _FEWEST:
        return None
    features = _features(small)
    best, least, usual = _nearest(features, wanted, known[:: -(-len(known) // _MOST)], rough.ravel())
    match, limit, most = (np.full((height, width), value, kind) for value, kind in ((-1, int), (0, float), (0, float)))
    match.flat[wanted], limit.flat[wanted], most.flat[wanted] = best, _LONGER * least + _SLACK * _PATCH, usual
    rough = np.where(free, rough, np.inf)
    for backwards in (False, True):
        _spread_matches(match, limit, features, rough, most, backwards)
    source = match.flat[wanted]
    unlike = (features[wanted] - features[source]).norm(dim=1).numpy() / _PATCH
    found = _Match(*(np.zeros((height, width), kind) for kind in (np.int32, np.int32, np.float32)))
    found.rows.flat[wanted] = source // width - wanted // width
    found.columns.flat[wanted] = source % width - wanted % width
    found.weight.flat[wanted] = np.exp(-np.square(unlike / _UNLIKE))
    return found


def _features(small: np.ndarray) -> torch.Tensor:
    """What tells places alike: the patch around each, its mean colour apart, (h * w, n), of (h, w, 3) colours."""
    reach = _PATCH // 2
    picture = F.pad(torch.from_numpy(small).permute(2, 0, 1)[None], (reach,) * 4, mode="replicate")
    patches = F.unfold(picture, _PATCH)[0].view(3, _PATCH**2, -1)
    mean = patches.mean(dim=1, keepdim=True)
    return torch.cat([(patches - mean).flatten(0, 1), mean[:, 0] * (_COLOUR * _PATCH)]).T.contiguous()


def _nearest(
    features: torch.Tensor, wanted: np.ndarray, known: np.ndarray, rough: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose among the known places that are most like each wanted one: which, how far it is, and how much detail may
    be in it, as `rough` tells it of all places."""
    among, chosen = features[known], []
    for part in torch.from_numpy(wanted).split(_CHUNK):
        far, index = torch.cdist(features[part], among).topk(min(_CHOICE, len(known)), largest=False)
        index = known[index.numpy()]
        usual = _USUAL * np.median(rough[index], axis=1)
        first = (rough[index] <= usual[:, None]).argmax(axis=1)[:, None]
        best, least = np.take_along_axis(index, first, 1), np.take_along_axis(far.numpy(), first, 1)
        chosen.append((best[:, 0], least[:, 0], usual))
    return tuple(map(np.concatenate, zip(*chosen, strict=True)))


def _spread_matches(
    match: np.ndarray, limit: np.ndarray, features: torch.Tensor, rough: np.ndarray, most: np.ndarray, backwards: bool
) -> None:
    """Let places go on where those before them take their detail from, in place, line by line both ways.

    Args:
        match: (h, w), int64, indices of known places; -1 = not wanted.
        limit: (h, w), how far what a place takes may be from it.
        features: (h * w, n).
        rough: (h, w), how much detail is in each place; inf = may not be taken.
        most: (h, w), how much may be in what a place takes.
        backwards: from below and from the right, not from above and from the left.
    """
    width, rough = match.shape[1], rough.reshape(-1)
    at = np.arange(match.size).reshape(match.shape)
    for axis, step in ((0, width), (1, 1)):
        lines = range(1, match.shape[axis])
        if backwards:
            lines, step = [match.shape[axis] - 1 - line for line in lines], -step
        for line in lines:
            before = line - np.sign(step)
            here, before = (
                ((line, slice(None)), (before, slice(None))) if axis == 0 else (np.s_[:, line], np.s_[:, before])
            )
            next_to = (match[before] + step).clip(0, match.size - 1)
            chosen = np.flatnonzero((match[here] >= 0) & (match[before] >= 0) & (rough[next_to] <= most[here]))
            if len(chosen):
                far = (features[at[here][chosen]] - features[next_to[chosen]]).norm(dim=1).numpy()
                chosen = chosen[far <= limit[here][chosen]]
                match[here][chosen] = next_to[chosen]


def _laid(fine: np.ndarray, match: _Match, pitch: int, band: Window) -> tuple[np.ndarray, np.ndarray]:
    """Lay what places take over each other, each over twice its own width, in a window of a picture.

    Args:
        fine: (H, W, 3), float16, detail.
        match: of (H / pitch, W / pitch) places.
        pitch: side of a place, in pixels.
        band: the window.

    Returns:
        Detail (rows, columns, 3), float32, and (rows, columns), float32, the variance that it has of detail whose
        variance is 1, taken from places that have nothing to do with each other.
    """
    height, width = fine.shape[:2]
    y, x = np.mgrid[band]
    total, variance, before = np.zeros((*y.shape, 3), np.float32), np.zeros(y.shape, np.float32), []
    taken = np.zeros(y.shape, np.float32)
    for odd_row, odd_column in itertools.product((0, 1), repeat=2):
        # of every second row and column of places the one whose square of twice its width a pixel lies in
        row, fade_y = (line[band[0]] for line in _owner(height, pitch, odd_row))
        column, fade_x = (line[band[1]] for line in _owner(width, pitch, odd_column))
        place = np.ix_(row, column)
        fade = fade_y[:, None] * fade_x * match.weight[place]
        rows, columns = match.rows[place], match.columns[place]
        source = (y + rows * pitch).clip(0, height - 1), (x + columns * pitch).clip(0, width - 1)
        total += fade[..., None] * fine[source]
        taken += fade
        variance += fade**2
        for other, other_rows, other_columns in before:  # what comes from one piece is one piece again
            variance += 2 * fade * other * ((rows == other_rows) & (columns == other_columns))
        before.append((fade, rows, columns))
    return total - _ROOM * taken[..., None] * fine[band], variance


def _owner(length: int, pitch: int, odd: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each pixel of a line: the even or odd place that reaches it, and how much of it that has, which are 1 with
    the other's."""
    pixel = np.arange(length) + 0.5
    place = 2 * np.floor((pixel / pitch + 0.5 - odd) / 2).astype(int) + odd
    fade = np.cos(np.pi / 2 * (pixel / pitch - place - 0.5)) ** 2
    within = (place >= 0) & (place < length // pitch)
    return place.clip(0, length // pitch - 1), np.where(within, fade, 0).astype(np.float32)
