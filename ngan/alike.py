"""Scratches elsewhere in a photo: thin lines of the colour of those that the networks found on its faces."""

import cv2
import numpy as np

_SIDE = 256  # to which a face's square is shrunk, in pixels; a larger photo around it to this, its longer side
_LONGEST = 4096
_WIDEST = 13  # pixels of a line, at most
_STEP = 35  # levels of 255 by which a line is lighter or darker than what lies beside it
_PART = 0.4  # of the step of those that were found, at least
_SHARE, _COUNT = 0.15, 60  # of a hole, and pixels, that are lines of one kind, or there are none
_SPREAD = 14  # levels by which the colours of one kind of scratch may spread
_NEAR = 10  # levels by which a colour may differ in any case
_LENGTH, _WIDTH = 0.3 * _SIDE, 0.05 * _SIDE  # least length and greatest mean width of a line that touches no other
_STUB = 0.05 * _SIDE  # least length of what a line that was found goes on by


def alike_lines(rgb: np.ndarray, hole: np.ndarray, side: float) -> np.ndarray:
    """Find the lines of a photo that are alike those in a hole: (H, W), bool, without the hole.

    Light lines and dark ones are told apart by morphological hats. Those in the hole must be of one colour; thin lines
    of that colour that stand out nearly half as much are alike, if they go on from the hole or are long.

    Args:
        rgb: the photo, (H, W, 3), uint8.
        hole: damage that was found in it, (H, W), bool.
        side: of its largest face's square, in pixels.
    """
    if not hole.any():
        return hole.copy()
    scale = min(1.0, _SIDE / side, _LONGEST / max(hole.shape))
    size = tuple(max(1, round(length * scale)) for length in hole.shape[::-1])
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    found = cv2.resize(hole.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 127
    colours = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    lines = _light_or_dark(colours, found, cv2.MORPH_TOPHAT) | _light_or_dark(colours, found, cv2.MORPH_BLACKHAT)
    parts = cv2.connectedComponents((lines | found).view(np.uint8))[1]
    _, pieces, stats, _ = cv2.connectedComponentsWithStats((lines & ~found).view(np.uint8))
    length = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    joined = np.zeros(parts.max() + 1, bool)
    joined[parts[found]] = True
    touching = np.zeros(len(stats), bool)
    touching[pieces[joined[parts]]] = True
    kept = np.where(touching, length >= _STUB, (length >= _LENGTH) & (stats[:, cv2.CC_STAT_AREA] <= _WIDTH * length))
    kept[0] = False
    further = cv2.dilate(kept[pieces].view(np.uint8), np.ones((5, 5), np.uint8))  # with what blur has spread
    return (cv2.resize(further * 255, hole.shape[::-1], interpolation=cv2.INTER_LINEAR) > 127) & ~hole


def _light_or_dark(colours: np.ndarray, found: np.ndarray, hat: int) -> np.ndarray:
    """Where lines are, (H, W), bool, of the colour of those that were found and are lighter, or darker, than around.

    Args:
        colours: (H, W, 3), float32, L*a*b* as OpenCV scales it, [0, 255].
        found: (H, W), bool.
        hat: cv2.MORPH_TOPHAT for light lines, cv2.MORPH_BLACKHAT for dark ones.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_WIDEST, _WIDEST))
    step = cv2.morphologyEx(colours[..., 0].astype(np.uint8), hat, disc).astype(np.float32)
    core = found & (step > _STEP)
    if core.sum() < max(_COUNT, _SHARE * found.sum()):
        return np.zeros_like(found)
    usual = float(np.median(step[core]))
    strong = colours[core & (step >= 0.8 * usual)]
    colour = np.median(strong, axis=0)
    spread = 1.48 * np.median(np.abs(strong - colour), axis=0)  # of normal values their standard deviation
    if spread.max() > _SPREAD:
        return np.zeros_like(found)
    near = (np.abs(colours - colour) <= np.maximum(3 * spread, _NEAR)).all(axis=-1)
    return near & (step > max(_STEP, _PART * usual))
