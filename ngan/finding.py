"""Where a photo is damaged: from the logits of the code generator's location map to pixels that are to be filled."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import torch

from ngan.alike import narrowed
from ngan.framing import Face
from ngan.grain import add_grain
from ngan.model import NGANOutput
from ngan.paste import cut, fill_rest, whole_matrix
from ngan.solid import solid
from ngan.stages import warp_back
from ngan.tone import is_toned

# Damage is looked for in a face's square and in one `CLOSER` times as large; the mean of both logits counts. A part
# that hangs together over a level is damage if any of it is `likely`, and if anything in the face is `sure`.
CLOSER = 0.85


class _Levels(NamedTuple):
    """Logits above which parts hang together, damage is likely, and sure."""

    part: float
    likely: float
    sure: float


# In photos in one tone the networks are less sure of thin damage, and of all else too. Chosen on the first portraits
# of those of benchmarks/damage_found.json: what is sure in colour on 48, what is likely there on 30, the others on 24.
_COLOURED, _TONED = _Levels(-1.0, 7.0, 11.0), _Levels(-2.0, -1.0, 1.0)
_LOOKS = 2  # at most, once damage was found and filled
_NEW = 0.5  # of a part must lie outside of what was filled: within it, the fill is told
_FINE = 2  # points a cell at which damage is judged
_FRINGE = 2  # points around it that are damaged too: what shrinking, blur and compression have spread
# A plain area is what differs by less than so many levels of 255 from point to point, on a share of all points at
# least; paint has edges, so where less than this part of one is told, that is a wall behind a head, not paint on it.
_PLAIN, _PLAIN_SHARE, _PAINTED = 6, 0.005, 0.9
# Solid bars across the picture reach its borders as walls do: one of which so much is told is paint. Half its width is
# this share of the points' shorter side, at least.
_BAR, _BAR_WIDTH = 0.4, 0.02
_BLOB, _EDGE = 5, 6  # points that what is told of it is wide at least, and those around it that go with it


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
    for scale in (*closer, 1.0):
        square = replace(face, side=max(1.0, scale * face.side))
        seen = cut(rgb, None, square, size)[0]
        looks.append(net(seen, None))
        logits.append(_moved(_logits(looks[-1]), square.matrix(size), matrix, _FINE * size))
    return looks[-1], _marked(np.nanmean(logits, axis=0), seen, matrix, rgb.shape[:2])


def damage_in_whole(look: NGANOutput, seen: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    """Mark the damage of a photo that the networks looked at as a whole.

    Args:
        look: what they made of it.
        seen: (1, 3, h, w), [-1, 1], what they saw.
        size: (width, height) of the photo.

    Returns:
        (H, W), bool.
    """
    logits = _logits(look)
    fine = _FINE * logits.shape[1], _FINE * logits.shape[0]
    logits = cv2.resize(logits, fine, interpolation=cv2.INTER_LINEAR)
    return _marked(logits, seen, whole_matrix(size, fine), size[::-1])


def looked_again(rgb: np.ndarray, hole: np.ndarray, look: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A hole, (H, W), bool, and the damage that shows once it is filled: much damage at once hides some of itself.

    In the end all of it is narrowed to the lines in it, as far as they are clear. The photo's shorter side stands for
    the face's there: with smaller faces, less is narrowed.

    Args:
        rgb: the photo, (H, W, 3), uint8.
        hole: what `look` found of it.
        look: looks for damage in such a photo: (H, W), bool.
    """
    for _ in range(_LOOKS):
        if not hole.any() or hole.all():
            break
        filled = rgb.copy()
        fill_rest(filled, hole)
        add_grain(filled, hole)
        parts = cv2.connectedComponents(look(filled).view(np.uint8))[1]
        new = np.bincount(parts[~hole], minlength=parts.max() + 1) >= _NEW * np.bincount(parts.ravel())
        new[0] = False
        further = new[parts] & ~hole
        if not further.any():
            break
        hole = hole | further
    return narrowed(rgb, hole, min(hole.shape))


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


def _marked(logits: np.ndarray, seen: torch.Tensor, matrix: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Mark the damage of a photo as its colours ask for: (H, W), bool.

    In photos in one tone hardly any wall is told, and one in twenty boxes of paint passes into a wall or hair of its
    own tone: all that is told there counts.

    Args:
        logits: (h, w), finite.
        seen: (1, 3, H, W), [-1, 1], what the networks saw there.
        matrix: maps the photo's pixels to the logits' points.
        shape: of the photo, (H, W).
    """
    if is_toned(seen):
        return _found(logits, matrix, shape, _TONED)
    return _found(_off_walls(logits, seen), matrix, shape, _COLOURED)


def _off_walls(logits: np.ndarray, seen: torch.Tensor) -> np.ndarray:
    """Return logits, (h, w), that are -inf where they tell a part of a plain area of `seen` that goes on without them.

    The networks take walls behind heads for paint on them, ragged shapes on grey ones most often; paint has edges. A
    wall reaches a border of what was seen; a cheek does not, nor does most paint, but for bars across the picture.

    Args:
        logits: (h, w), finite.
        seen: (1, 3, H, W), [-1, 1], what the networks saw there.
    """
    told = logits > _COLOURED.part
    picture = (127.5 * (seen[0].permute(1, 2, 0).float().cpu().numpy() + 1)).round().clip(0, 255).astype(np.uint8)
    picture = cv2.GaussianBlur(cv2.resize(picture, told.shape[::-1], interpolation=cv2.INTER_LINEAR), (0, 0), 1.0)
    near = np.ones((3, 3), np.uint8)
    steps = cv2.subtract(cv2.dilate(picture, near), cv2.erode(picture, near)).max(axis=2)
    _, areas, sizes, _ = cv2.connectedComponentsWithStats((steps <= _PLAIN).view(np.uint8), connectivity=4)
    points = sizes[:, cv2.CC_STAT_AREA]
    walls = np.zeros(len(points), bool)
    walls[np.concatenate([areas[0], areas[-1], areas[:, 0], areas[:, -1]])] = True
    walls[0] = False  # what is not plain
    walls &= points >= _PLAIN_SHARE * told.size
    walls &= np.bincount(areas[told], minlength=len(points)) < _PAINTED * points
    if (walls[areas] & told).any():
        walls[areas[solid(picture, told, _BAR_WIDTH * min(told.shape), _BAR, blur=_FINE)]] = False
    blobs = cv2.morphologyEx((walls[areas] & told).view(np.uint8), cv2.MORPH_OPEN, _disc(_BLOB))
    return np.where(told & (cv2.dilate(blobs, _disc(2 * _EDGE + 1)) > 0), -np.inf, logits)


def _found(logits: np.ndarray, matrix: np.ndarray, shape: tuple[int, int], levels: _Levels) -> np.ndarray:
    """Mark the damage that the code generator locates: (H, W), bool, in pixels of the photo; parts that are likely, if
    any is sure, and a fringe.

    Args:
        logits: (h, w).
        matrix: maps the photo's pixels to their points.
        shape: of the photo, (H, W).
        levels: what is a part, likely and sure.
    """
    if logits.max() <= levels.sure:
        return np.zeros(shape, bool)
    parts = cv2.connectedComponents((logits > levels.part).view(np.uint8))[1]
    kept = np.zeros(parts.max() + 1, bool)
    kept[parts[logits > levels.likely]] = True
    found = cv2.dilate(kept[parts].view(np.uint8), np.ones((2 * _FRINGE + 1, 2 * _FRINGE + 1), np.uint8))
    return warp_back(255 * found, matrix, shape) > 127


def _disc(width: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
