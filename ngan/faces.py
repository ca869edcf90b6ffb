"""Find the faces of a photo, and where the framing of the training faces puts each of them.

Upright faces are looked for first, then tilted ones, then profiles (`ngan.cascades`). Where no upright hit is sure,
the photo's quarter turns are searched too: if faces there look far surer, as in photos that were scanned lying, all of
the search is of the photo so turned. Figures: README, and `benchmarks/faces_found.py`.

Damage hides faces. Given the hole, the search runs twice, on the photo as it is and on one whose hole is coarsely
filled, and looks closer wherever no face was found near a hole. Without one, if no upright face is found,
what is thin and lighter or darker than its sides, as scratches are, is filled before another search.
"""

import math
from collections.abc import Iterable
from dataclasses import replace

import cv2
import numpy as np

from ngan.cascades import CLOSE_SIDE, LYING, SEARCH_SIDE, SURE, TILTS, Copies, Hit, align, likeness, same
from ngan.framing import Face, clipped, strokes, touches

_MAX_GROUPS = 16  # of strokes that are looked at closer, the largest first; each takes up to a quarter second
_INNER = 0.6  # of a face's square: what lies farther out may well be a neighbour's
# Scratches: their greatest width in the copy that is searched, in pixels, their least difference from both sides, of
# 255, and the share of a photo from which on they count: 60 portraits in larger photos had 0.017 at most, alone 0.033,
# scratched ones 0.03 at least.
_LINE, _LINE_CONTRAST, _LINED = 9, 45, 0.02
_ROOM = 0.55, 0.95  # across and down: heads are farther apart than so many sides of the mean of both squares
# Score of an upright hit from which on no lying one is looked for: those in lying photos had 11 at most. And likeness
# of a lying hit that shows a photo to be lying, if no upright one has half as much: 100 upright photos, clean, painted
# or scratched, had 21 at most; of 80 lying ones 20 clean 225 at least, 75 of all 38 at least.
_UPRIGHT, _LYING_LIKENESS = 20, 30
_FEW = 4  # hits of each search by which that is told, the surest


def find_faces(rgb: np.ndarray, hole: np.ndarray | None = None) -> list[Face]:
    """Find the faces of a photo; with a hole, those whose square the hole touches.

    Args:
        rgb: (H, W, 3), uint8, the upright photo, with whatever the hole holds.
        hole: (H, W), bool, True = painted or damaged; None = look for all faces.

    Returns:
        The faces, the surest first; tilted ones and profiles only if none is upright or the hole asks for them.
    """
    copies = Copies(rgb, hole, (0, 0, rgb.shape[1], rgb.shape[0]), SEARCH_SIDE)
    upright = copies.search((0.0,))
    lying = _lying(rgb, hole, copies, upright)
    if not lying:
        return _find_upright(rgb, hole, copies, upright)
    quarters = round(lying[0].face.angle / 90) % 4
    rgb_up, hole_up = (x if x is None else np.ascontiguousarray(np.rot90(x, quarters)) for x in (rgb, hole))
    copies = Copies(rgb_up, hole_up, (0, 0, rgb_up.shape[1], rgb_up.shape[0]), SEARCH_SIDE)
    faces = _find_upright(rgb_up, hole_up, copies, copies.search((0.0,)))
    faces = [_turned_back(face, quarters, rgb.shape) for face in faces]
    others = (align(rgb, hole, hit) for hit in lying if hole is None or touches(hit.face, hole))
    return _distinct([*faces, *others])


def _lying(rgb: np.ndarray, hole: np.ndarray | None, copies: Copies, upright: list[Hit]) -> list[Hit]:
    """Hits of lying faces, the surest first, if the photo is rather lying than upright."""
    if upright and upright[0].score >= _UPRIGHT:
        return []
    hits = *upright[:_FEW], *copies.search(LYING)[:_FEW]
    looks = [(likeness(rgb, hole, hit.face), hit) for hit in hits]
    least = max([_LYING_LIKENESS, *(2 * hits for hits, hit in looks if not hit.face.angle)])
    looks = [(hits, hit) for hits, hit in looks if hit.face.angle and hits >= least]
    return [hit for _, hit in sorted(looks, key=lambda entry: -entry[0])]


def _turned_back(face: Face, quarters: int, shape: tuple[int, ...]) -> Face:
    """A face of a photo of `shape` that was turned so many quarters counter-clockwise, where it is in the photo."""
    height, width = shape[:2]
    x, y, angle = (
        (face.x, face.y, 0),
        (width - face.y, face.x, 90),
        (width - face.x, height - face.y, 180),
        (face.y, height - face.x, -90),
    )[quarters]
    return replace(face, x=x, y=y, angle=face.angle + angle)


def _find_upright(rgb: np.ndarray, hole: np.ndarray | None, copies: Copies, upright: list[Hit]) -> list[Face]:
    """Find the faces of a photo that is not lying, from the hits of upright ones in its `copies`."""
    if hole is None:
        faces = _distinct(align(rgb, None, hit) for hit in upright) or _behind_lines(rgb)
        for look in (lambda: copies.search(TILTS), copies.search_profiles):
            faces = faces or _distinct(align(rgb, None, hit) for hit in look())
        return faces
    faces = _distinct(align(rgb, hole, hit) for hit in upright if touches(hit.face, hole))
    # Beside a sure face, a hole is rather in clothes or hands, which look like profiles once they are filled.
    sure = [hit.face for hit in upright if hit.score >= SURE]
    turns = TILTS if upright else TILTS + LYING
    tilted: list[Hit] | None = None
    for box in strokes(hole)[:_MAX_GROUPS]:
        part = np.zeros_like(hole)
        part[box[1] : box[3], box[0] : box[2]] = hole[box[1] : box[3], box[0] : box[2]]
        if any(touches(replace(face, side=_INNER * face.side), part) for face in faces):
            continue
        closer = Copies(rgb, hole, _around(box, rgb.shape), CLOSE_SIDE)
        # in a known square it may be that face's hair or a neighbour's eye: only an upright neighbour is looked for
        for look in (1,) if any(touches(face, part) for face in faces) else range(3):
            if look == 0:
                if tilted is None:
                    tilted = copies.search(turns) + copies.search_profiles(filled=not sure)
                hits = tilted
            else:
                hits = (
                    closer.search((0.0,))
                    if look == 1
                    else closer.search(turns) + closer.search_profiles(filled=not sure)
                )
            free = [hit for hit in hits if touches(hit.face, part) and _has_room(hit.face, sure + faces)]
            aligned = [align(rgb, hole, hit) for hit in free]
            if any(aligned):
                faces = _distinct([*faces, *aligned])
                break
    return [face for face in faces if touches(face, hole)]


def face_in(rgb: np.ndarray, box: tuple[float, float, float, float], hole: np.ndarray | None = None) -> Face | None:
    """Find the face that a person drew a rectangle around.

    Args:
        rgb: (H, W, 3), uint8, the upright photo.
        box: left, upper, right and lower border of the rectangle, in pixels.
        hole: as in `find_faces`.

    Returns:
        The surest face whose middle lies in the rectangle and whose size fits it, or None.
    """
    left, top, right, bottom = box
    side = max(right - left, bottom - top)
    around = clipped((left - side / 4, top - side / 4, right + side / 4, bottom + side / 4), rgb.shape)
    copies = Copies(rgb, hole, around, CLOSE_SIDE)
    for look in (
        lambda: copies.search((0.0,)),
        lambda: copies.search(TILTS),
        lambda: copies.search(LYING),
        copies.search_profiles,
    ):
        for hit in look():
            face = hit.face
            if left <= face.x <= right and top <= face.y <= bottom and side / 3 < face.side < 2 * side:
                aligned = align(rgb, hole, hit)
                if aligned:
                    return aligned
    return None


def _behind_lines(rgb: np.ndarray) -> list[Face]:
    """Find upright faces that scratches hide, in a copy of the photo in which they are continued from their sides."""
    scale = min(1.0, SEARCH_SIDE / max(rgb.shape[:2]))
    size = tuple(max(1, round(length * scale)) for length in rgb.shape[1::-1])
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    grey, wide = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.ones((_LINE, _LINE), np.uint8)
    light, dark = (cv2.morphologyEx(grey, kind, wide) for kind in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT))
    lines = (np.maximum(light, dark) > _LINE_CONTRAST).view(np.uint8)
    if lines.mean() < _LINED or lines.all():
        return []
    # so 21 of 22 hidden faces are found; with the mask dilated 18, with a median filter instead 9
    clean = cv2.inpaint(small, lines, 3, cv2.INPAINT_TELEA)
    hits = Copies(clean, None, (0, 0, *size), SEARCH_SIDE).search((0.0,))
    return [
        replace(face, x=face.x / scale, y=face.y / scale, side=face.side / scale)
        for face in _distinct(align(clean, None, hit) for hit in hits)
    ]


def _distinct(faces: Iterable[Face | None]) -> list[Face]:
    kept: list[Face] = []
    for face in faces:
        if face is not None and not any(same(face, other) for other in kept):
            kept.append(face)
    return kept


def _has_room(face: Face, others: list[Face]) -> bool:
    """Tell whether a face is not in the way of any other: necks and collars look like faces once a hole is filled."""
    for other in others:
        reach = (face.side + other.side) / 2
        x, y = (face.x - other.x) / reach, (face.y - other.y) / reach
        if math.hypot(x / _ROOM[0], y / _ROOM[1]) < 1:
            return False
    return True


def _around(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """A square three times as large as a box, or as large as a small face needs."""
    reach = max(1.5 * max(box[2] - box[0], box[3] - box[1]), CLOSE_SIDE / 4)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return clipped((x - reach, y - reach, x + reach, y + reach), shape)
