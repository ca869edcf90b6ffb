"""Solid paint, such as black bars and drawn sunglasses: of what is found of it, all of it.

The networks tell paint by its edges and by what it hides, and leave out parts deep within it, or like what lies beside
them. Solid paint is one colour to the last level, and ends in sharp edges all around; walls, hair and clothes are not.
Gaudy colours whose edges a JPEG has blurred are left as they were found.
"""

import cv2
import numpy as np

_LONGEST = 1024  # pixels, of the copy in which areas are looked for; all below are of its pixels
_PLAIN = 5  # levels of 255 by which neighbours in an area may differ
_THICK = 0.02  # of the face's square: half the width of an area where it is widest, at least; thinner ones are lines
_LEAST = 6  # pixels, that it is at least
_INNER = 12  # pixels from an area's border: a JPEG's blocks beyond it hold hardly anything but paint
# Share of the pixels there that have the very colour of the area, and of all that differ by two levels at most. Of
# paint, saved as JPEG of quality 92 too, they are .96 and .94 or more, of walls .82 and 1 at most.
_INSIDE, _ALL = 0.92, 0.9
_LIKE = 14  # levels of 255, up to which what hangs together with an area has its colour
# So many pixels beyond it, values have made this share of their step to the most among those some pixels farther out,
# and so many levels of 255, on such a share of the outline. Hair, clothes and highlights that are black or white
# without a shade had on .19 to .73 of theirs, painted glasses on .82 and more, bars, beside dark hair too, on .5 and
# more, and these are oblong or smooth: closing gaps of `_GAP` pixels adds so many pixels to one of the outline; to
# hair .07 and more.
_BEYOND, _FARTHER, _MADE, _STEP, _SHARP = 2, 4, 0.6, 20, 0.75
_GAP, _SMOOTH, _SHARP_IF_SMOOTH = 9, 0.05, 0.5
_OBLONG = 0.9  # of its smallest rectangle: what reaches the picture's border is a bar, or a background
_REACHED = 2  # of the picture's four borders, at most
_LARGEST = 0.35  # of the picture
_TOLD = 0.25  # of an area: so much is found, or it is not
_FRINGE = 4  # pixels around an area, and as many again, that blur and compression have changed


def completed(rgb: np.ndarray, hole: np.ndarray, side: float) -> np.ndarray:
    """A hole, and all of the solid areas of which it has a quarter or more.

    Args:
        rgb: the photo, (H, W, 3), uint8.
        hole: damage that was found in it, (H, W), bool.
        side: of its largest face's square, in pixels.

    Returns:
        (H, W), bool.
    """
    if not hole.any():
        return hole.copy()
    scale = min(1.0, _LONGEST / max(hole.shape))
    size = tuple(max(1, round(length * scale)) for length in hole.shape[::-1])
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    found = cv2.resize(hole.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 127
    areas = solid(small, found, max(_THICK * side * scale, _LEAST), _TOLD)
    if not (areas & ~found).any():
        return hole.copy()
    fringed = cv2.dilate(areas.view(np.uint8), np.ones((2 * _FRINGE + 1, 2 * _FRINGE + 1), np.uint8))
    return hole | (cv2.resize(fringed * 255, hole.shape[::-1], interpolation=cv2.INTER_LINEAR) > 127)


def solid(rgb: np.ndarray, found: np.ndarray, thick: float, told: float, blur: float = 1.0) -> np.ndarray:
    """Solid areas of which a share of `told` or more is found.

    Args:
        rgb: (H, W, 3), uint8.
        found: (H, W), bool.
        thick: half the width of an area where it is widest, in pixels, at least.
        told: share.
        blur: how many times as wide edges are as those of a photo.

    Returns:
        (H, W), bool.
    """
    near = np.ones((3, 3), np.uint8)
    steps = cv2.subtract(cv2.dilate(rgb, near), cv2.erode(rgb, near)).max(axis=2)
    count, labels, stats, _ = cv2.connectedComponentsWithStats((steps <= _PLAIN).view(np.uint8), connectivity=4)
    area = stats[:, cv2.CC_STAT_AREA]
    likely = np.bincount(labels[found], minlength=count) >= told * area
    likely &= (area >= 3 * thick**2) & (area <= _LARGEST * found.size)
    likely[0] = False  # what is not plain
    areas = np.zeros(found.shape, bool)
    margin = round((_BEYOND + _FARTHER) * blur) + 1
    for number in np.flatnonzero(likely):
        left, top, width, height = stats[number, :4]
        window = (
            slice(max(top - margin, 0), top + height + margin),
            slice(max(left - margin, 0), left + width + margin),
        )
        own = labels[window] == number
        borders = (left <= 1, top <= 1, left + width >= found.shape[1] - 1, top + height >= found.shape[0] - 1)
        if sum(borders) and (sum(borders) > _REACHED or not _is_oblong(own)):
            continue
        areas[window] |= _paint(rgb[window].astype(np.float32), own, thick, blur)
    return areas


def _paint(colours: np.ndarray, own: np.ndarray, thick: float, blur: float) -> np.ndarray:
    """An area, (H, W), bool, with what around it has its colour; nothing if it has several, or no sharp edges."""
    nothing = np.zeros_like(own)
    deep = cv2.distanceTransform(np.pad(own, 1, mode="edge").view(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    if deep.max() < thick:
        return nothing
    steps = np.abs(colours - np.median(colours[own], axis=0)).max(axis=2)
    inner = own & (deep > min(_INNER, 0.6 * deep.max()))
    if (steps[inner] == 0).mean() < _INSIDE or (steps[own] <= 2).mean() < _ALL:
        return nothing
    parts = cv2.connectedComponents(((steps <= _LIKE) | own).view(np.uint8), connectivity=4)[1]
    like = parts == parts[own][0]
    if not _is_sharp(steps, like, own, blur):
        return nothing
    return like & (cv2.dilate(own.view(np.uint8), np.ones((2 * _FRINGE + 1, 2 * _FRINGE + 1), np.uint8)) > 0)


def _is_sharp(steps: np.ndarray, like: np.ndarray, own: np.ndarray, blur: float) -> bool:
    """Tell whether an area ends in sharp edges.

    Args:
        steps: (H, W), float32, levels by which values differ from its colour.
        like: (H, W), bool, what has that colour.
        own: (H, W), bool, what is plain of that.
        blur: as for `solid`.
    """
    away = cv2.distanceTransform((~like).view(np.uint8), cv2.DIST_C, 3)
    ring = (away > _BEYOND * blur - 1) & (away <= _BEYOND * blur)
    if not ring.any():
        return False
    most = cv2.dilate(steps, np.ones((round(2 * _FARTHER * blur) + 1,) * 2, np.uint8))
    sharp = ((steps > _MADE * most) & (steps > _STEP))[ring].mean()
    if sharp >= _SHARP or sharp < _SHARP_IF_SMOOTH:
        return bool(sharp >= _SHARP)
    if _is_oblong(own):
        return True
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_GAP, _GAP))
    area = like.view(np.uint8)
    added = cv2.morphologyEx(np.pad(area, _GAP), cv2.MORPH_CLOSE, disc).sum() - area.sum()
    outline = area.sum() - cv2.erode(area, np.ones((3, 3), np.uint8)).sum()
    return bool(added <= _SMOOTH * outline)


def _is_oblong(own: np.ndarray) -> bool:
    """Tell whether an area, (H, W), bool, is a rectangle, of any angle."""
    points = np.argwhere(own).astype(np.int32)
    width, height = cv2.minAreaRect(points[:, ::-1])[1]
    return len(points) >= _OBLONG * (width + 1) * (height + 1)
