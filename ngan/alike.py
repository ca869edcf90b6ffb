"""Scratches, by the thin lines in what the networks found: others like them elsewhere, and how wide they are.

The networks' grid is coarse: a scratch of 3 pixels of a portrait of 512 is found as a strip of 18.
"""

import cv2
import numpy as np

# Side to which a face's square is shrunk, in pixels. At half of it, scratches of 3 pixels of portraits of 512 were so
# mixed with what lay beside them that they were of no one colour.
_SIDE = 512
_LONGEST = 4096  # pixels: to so much a larger photo around it
_LEAST = 256  # pixels, of the side by which lines are measured: below it, by this
_WIDEST = 0.051  # of that side: the disc of the hats, wider than any line
_STEP = 35  # levels of 255 by which a line is lighter or darker than what lies beside it
_PART = 0.4  # of the step of those that were found, at least
_SHARE, _COUNT = 0.15, 0.234  # of a hole, and of the side in pixels, that are lines of one kind, or there are none
_SPREAD = 14  # levels by which the colours of one kind of scratch may spread
_NEAR = 10  # levels by which a colour may differ in any case
_LENGTH, _WIDTH = 0.3, 0.05  # of the side: least length and greatest mean width of a line that touches no other
_STUB = 0.05  # of the side: least length of what a line that was found goes on by
_RUN, _GAP = (
    0.15,
    0.5,
)  # of the side: how straight lines on both sides of a gap must be, in length, and its greatest length
_THIN = 0.07  # of the side: widest part of a hole that is narrowed to the line in it
_MARGIN = 3 / 512  # of the side, and 2 pixels at least: what stays around a line, with what blur and JPEG have spread
_ASIDE = 0.2  # of such a part's width: so far from its middle, at most, a line in it is clear


def alike_lines(rgb: np.ndarray, hole: np.ndarray, side: float) -> np.ndarray:
    """Find the lines of a photo that are alike those in a hole: (H, W), bool, without the hole.

    Light lines and dark ones are told apart by morphological hats. Those in the hole must be of one colour; thin lines
    of that colour that stand out nearly half as much are alike, if they go on from the hole or are long. Where one is
    interrupted, and what lies between its parts has its colour and so hides it, it goes on there.

    Args:
        rgb: the photo, (H, W, 3), uint8.
        hole: damage that was found in it, (H, W), bool.
        side: of its largest face's square, in pixels.
    """
    if not hole.any():
        return hole.copy()
    kinds, found, side = _lines_and_found(rgb, hole, side)
    lines = np.any([kind for kind, _ in kinds], axis=0)
    parts = cv2.connectedComponents((lines | found).view(np.uint8))[1]
    _, pieces, stats, _ = cv2.connectedComponentsWithStats((lines & ~found).view(np.uint8))
    length = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    joined = np.zeros(parts.max() + 1, bool)
    joined[parts[found]] = True
    touching = np.zeros(len(stats), bool)
    touching[pieces[joined[parts]]] = True
    long, thin = length >= _LENGTH * side, stats[:, cv2.CC_STAT_AREA] <= _WIDTH * side * length
    kept = np.where(touching, length >= _STUB * side, long & thin)
    kept[0] = False
    further = kept[pieces]
    for kind, coloured in kinds:
        further |= _bridges(kind & (found | kept[pieces]), coloured & ~found & ~kept[pieces], side)
    further = cv2.dilate(further.view(np.uint8), np.ones((5, 5), np.uint8))  # with what blur has spread
    return (cv2.resize(further * 255, hole.shape[::-1], interpolation=cv2.INTER_LINEAR) > 127) & ~hole


def narrowed(rgb: np.ndarray, hole: np.ndarray, side: float) -> np.ndarray:
    """Narrow the thin parts of a hole, (H, W), bool, to the lines in them; where none is clear, they stay.

    Args:
        rgb: the photo, (H, W, 3), uint8.
        hole: damage that was found in it, (H, W), bool.
        side: of its largest face's square, in pixels.
    """
    if not hole.any():
        return hole.copy()
    kinds, found, side = _lines_and_found(rgb, hole, side)
    lines = np.any([kind for kind, _ in kinds], axis=0) & found
    if not lines.any() or found.all():
        return hole.copy()
    deep = _distance(np.pad(~found, 1, mode="edge"))[1:-1, 1:-1]
    # away from the middle of a part depth falls by a pixel a pixel; where it does not rise so fast, there is a middle
    middle = found & (deep > cv2.dilate(deep, np.ones((3, 3), np.uint8)) - 0.7)
    off = _distance(lines)
    thick = middle & (deep > _THIN * side / 2)
    unclear = middle & ~thick & (off > np.maximum(2 * _ASIDE * deep, 2))
    kept = off <= max(_MARGIN * side, 2) + 0.5
    kept |= _distance(found) > 2  # what shrinking lost
    for part in (thick, unclear):  # up to its corners, and a little way along what goes on from there
        if part.any():
            kept |= _distance(part) <= 1.5 * deep[part].max() + _THIN * side / 2
    kept = cv2.resize(kept.astype(np.uint8) * 255, hole.shape[::-1], interpolation=cv2.INTER_LINEAR) > 127
    return hole & kept


def _bridges(lines: np.ndarray, hidden: np.ndarray, side: float) -> np.ndarray:
    """What is hidden of straight lines between their visible parts: (H, W), bool.

    Args:
        lines: (H, W), bool, what is visible of them.
        hidden: (H, W), bool, what else has their colour.
        side: of the largest face's square, in pixels.
    """
    bridges = np.zeros_like(lines)
    deep = cv2.distanceTransform(np.pad(lines, 1).view(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    middle = lines & (deep >= cv2.dilate(deep, np.ones((3, 3), np.uint8)))
    runs = cv2.HoughLinesP(
        middle.view(np.uint8),
        1,
        np.pi / 360,
        round(_RUN * side),
        minLineLength=2 * _RUN * side,
        maxLineGap=_GAP * side,
    )
    for start_x, start_y, end_x, end_y in () if runs is None else runs.reshape(-1, 4).tolist():
        count = max(abs(end_x - start_x), abs(end_y - start_y)) + 1
        path = tuple(np.linspace(*ends, count).round().astype(int) for ends in ((start_y, end_y), (start_x, end_x)))
        width = 2 * np.median(deep[path][lines[path]]) if lines[path].any() else 1
        strip = np.zeros(lines.shape, np.uint8)
        cv2.line(strip, (start_x, start_y), (end_x, end_y), 1, max(1, round(width + 2)))
        bridges |= strip.view(bool) & hidden
    pieces, labels, stats, _ = cv2.connectedComponentsWithStats(bridges.view(np.uint8))
    for piece in range(1, pieces):
        left, top, width, height = stats[piece, :4]
        window = slice(max(top - 2, 0), top + height + 2), slice(max(left - 2, 0), left + width + 2)
        own = labels[window] == piece
        ends = cv2.dilate(own.view(np.uint8), np.ones((5, 5), np.uint8)).view(bool) & lines[window]
        if np.hypot(width, height) < _STUB * side or cv2.connectedComponents(ends.view(np.uint8))[0] < 3:
            bridges[window] &= ~own  # it joins no two parts
    return bridges


def _lines_and_found(
    rgb: np.ndarray, hole: np.ndarray, side: float
) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray, float]:
    """Lines of the colours of those in a hole, in a copy of the photo that is shrunk so that a face's square fits.

    Returns:
        For light lines and for dark ones, the lines and all that has their colour, (h, w), bool; the hole there,
        (h, w), bool; the side by which lines are measured, in pixels.
    """
    scale = min(1.0, _SIDE / side, _LONGEST / max(hole.shape))
    size = tuple(max(1, round(length * scale)) for length in hole.shape[::-1])
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    found = cv2.resize(hole.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 127
    colours = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    side = max(side * scale, _LEAST)
    kinds = [_light_or_dark(colours, found, hat, side) for hat in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)]
    return kinds, found, side


def _distance(mask: np.ndarray) -> np.ndarray:
    """Distance to the nearest True of a mask, (H, W), in pixels; large if there is none."""
    return cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, 5)


def _light_or_dark(colours: np.ndarray, found: np.ndarray, hat: int, side: float) -> tuple[np.ndarray, np.ndarray]:
    """Where lines are, of the colour of those that were found and are lighter, or darker, than around.

    Args:
        colours: (H, W, 3), float32, L*a*b* as OpenCV scales it, [0, 255].
        found: (H, W), bool.
        hat: cv2.MORPH_TOPHAT for light lines, cv2.MORPH_BLACKHAT for dark ones.
        side: of the largest face's square, in pixels of `colours`.

    Returns:
        The lines, and all that has their colour, (H, W), bool; nothing if those that were found are of no one colour.
    """
    width = 2 * int(_WIDEST * side / 2) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    step = cv2.morphologyEx(colours[..., 0].astype(np.uint8), hat, disc).astype(np.float32)
    core = found & (step > _STEP)
    if core.sum() < max(_COUNT * side, _SHARE * found.sum()):
        return np.zeros_like(found), np.zeros_like(found)
    usual = float(np.median(step[core]))
    strong = colours[core & (step >= 0.8 * usual)]
    colour = np.median(strong, axis=0)
    spread = 1.48 * np.median(np.abs(strong - colour), axis=0)  # of normal values their standard deviation
    if spread.max() > _SPREAD:
        return np.zeros_like(found), np.zeros_like(found)
    near = (np.abs(colours - colour) <= np.maximum(3 * spread, _NEAR)).all(axis=-1)
    return near & (step > max(_STEP, _PART * usual)), near
