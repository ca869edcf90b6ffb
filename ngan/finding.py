"""Where a photo is damaged: from the logits of the code generator's location map to pixels that are to be filled."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import torch

from ngan.framing import Face
from ngan.model import NGANOutput
from ngan.paste import cut, whole_matrix
from ngan.stages import warp_back

# Damage is looked for in a face's square and in one `CLOSER` times as large; the mean of both logits counts. A part
# that hangs together over 0, which is one half, is damage if it reaches `_LIKELY`, and if any in the face reaches
# `_SURE`: sound portraits reach it in 6 of 100, painted ones miss it in 2 (over 0 alone, nearly all had some).
CLOSER = 0.85
_SURE = 10.0
_LIKELY = 4.0
_FINE = 2  # points a cell at which damage is judged
_FRINGE = 2  # points around it that are damaged too: what shrinking, blur and compression have spread


def damage_in_face(
    net: Callable[[torch.Tensor, None], NGANOutput], rgb: np.ndarray, face: Face, size: int, *closer: float
) -> tuple[NGANOutput, np.ndarray]:
    """Look for damage in a face's square, and in squares so many times as large.

    Args:
        net: the networks, without a mask.
        rgb: the photo, (H, W, 3), uint8.
        face: the square.
        size: side of the networks' grid, in cells.
        *closer: sides of further squares, in sides of the face's.

    Returns:
        What the networks made of the face's own square, and the damage of the photo: (H, W), bool.
    """
    matrix, looks, logits = face.matrix(_FINE * size), [], []
    for scale in (1.0, *closer):
        square = replace(face, side=scale * face.side)
        looks.append(net(cut(rgb, None, square, size)[0], None))
        logits.append(_moved(_logits(looks[-1]), square.matrix(size), matrix, _FINE * size))
    return looks[0], _found(np.nanmean(logits, axis=0), matrix, rgb.shape[:2])


def damage_in_whole(look: NGANOutput, size: tuple[int, int]) -> np.ndarray:
    """Mark the damage of a photo, (width, height) `size`, that the networks looked at as a whole: (H, W), bool."""
    logits = _logits(look)
    fine = _FINE * logits.shape[1], _FINE * logits.shape[0]
    logits = cv2.resize(logits, fine, interpolation=cv2.INTER_LINEAR)
    return _found(logits, whole_matrix(size, fine), size[::-1])


def continued(hole: np.ndarray, further: np.ndarray) -> np.ndarray:
    """A hole, (H, W), bool, and what of `further` hangs together with it: strokes do not end at a square's side."""
    _, labels = cv2.connectedComponents((hole | further).view(np.uint8))
    reached = np.zeros(labels.max() + 1, bool)
    reached[labels[hole]] = True
    reached[0] = False
    return reached[labels]


def _logits(look: NGANOutput) -> np.ndarray:
    return look.location[0, 0].float().cpu().numpy()


def _moved(logits: np.ndarray, matrix: np.ndarray, onto: np.ndarray, size: int) -> np.ndarray:
    """Bring logits of one grid of a photo to another, (size, size); NaN where they do not reach.

    Args:
        logits: (h, w).
        matrix: maps the photo's pixels to their cells.
        onto: to those of the other grid.
        size: of its side.
    """
    to_photo = cv2.invertAffineTransform(onto)
    turn = matrix[:, :2] @ to_photo[:, :2]
    between = np.column_stack([turn, matrix[:, :2] @ to_photo[:, 2] + matrix[:, 2]])
    padded = np.pad(logits, 1, mode="edge")  # half a cell around the middles of the outermost ones is theirs too
    between[:, 2] += 1
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        padded, between, (size, size), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=float("nan")
    )


def _found(logits: np.ndarray, matrix: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Mark the damage that the code generator locates: (H, W), bool, in pixels of the photo; parts over 0 that reach
    `_LIKELY`, if any reaches `_SURE`, and a fringe.

    Args:
        logits: (h, w), finite.
        matrix: maps the photo's pixels to their points.
        shape: of the photo, (H, W).
    """
    if logits.max() <= _SURE:
        return np.zeros(shape, bool)
    parts = cv2.connectedComponents((logits > 0).view(np.uint8))[1]
    kept = np.zeros(parts.max() + 1, bool)
    kept[parts[logits > _LIKELY]] = True
    found = cv2.dilate(kept[parts].view(np.uint8), np.ones((2 * _FRINGE + 1, 2 * _FRINGE + 1), np.uint8))
    return warp_back(255 * found, matrix, shape) > 127
