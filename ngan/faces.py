"""Find the faces of a photo, and where the framing of the training faces puts each of them.

OpenCV's Haar cascades, which travel in its wheel, look for upright faces and profiles; copies of the photo turned by
30 degrees show them tilted ones, by quarters those that lie or stand on their heads, looked for where none is upright.
The frame around a hit is too coarse to align by, so each face is looked at again at several turns in a copy of one
size: the mean of all hits tells its turn, place and size. Figures: README, and `benchmarks/faces_found.py`.

Damage hides faces. Given the hole, the search runs twice, on the photo as it is and on one whose hole is coarsely
filled, and looks closer wherever no face was found near a hole. Without one, if no upright face is found,
what is thin and lighter or darker than its sides, as scratches are, is filled before another search.
"""

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ngan.framing import Face, clipped, rotation, strokes, touches, turned

_SEARCH_SIDE = 512  # longest side of the copy that is searched, in pixels
_CLOSE_SIDE = 320  # side of the copy in which what surrounds a hole is looked at closer, in pixels
_MAX_GROUPS = 16  # of strokes that are looked at closer, the largest first; each takes up to a quarter second
_INNER = 0.6  # of a face's square: what lies farther out may well be a neighbour's
_SMALLEST = 24  # side of the smallest face frame of a copy, in pixels
# Scratches: their greatest width in the copy that is searched, in pixels, their least difference from both sides, of
# 255, and the share of a photo from which on they count: 60 portraits in larger photos had 0.017 at most, alone 0.033,
# scratched ones 0.03 at least.
_LINE, _LINE_CONTRAST, _LINED = 9, 45, 0.02
_TURNS = (-30.0, 30.0, -50.0, 50.0)  # of copies, degrees; a cascade stands some 15 to 20 degrees of tilt
_LYING = (90.0, -90.0, 180.0)  # of people lying down, and of photos that were scanned so
_ROOM = 0.55, 0.95  # across and down: heads are farther apart than so many sides of the mean of both squares
_APART, _PROFILE_APART = 0.4, 0.7  # of the larger square: nearer hits are one face; profiles are met less exactly
_FRAME, _DOWN = 0.585, 0.0845  # of the square: side of the frontal frame, and how far below the middle it sits
# The last two of the profile cascade, for a face that looks to the left, and how far to the right it sits: means over
# turned faces of the training framing.
_PROFILE_FRAME, _PROFILE_DOWN, _PROFILE_ASIDE = 0.747, 0.067, 0.113
_LOOK = 1.6  # side of the copy that aligns, in sides of the expected square in it
# Side of that square in pixels, and side of the mean hit as a share of it: hits are not thinned out there, and in a
# smaller copy the smallest are missing.
_LOOKS = ((64, 0.637), (100, 0.585))
_FIRST_TURNS = (-24.0, -12.0, 0.0, 12.0, 24.0)
_LAST_TURNS = (-10.0, 0.0, 10.0)
_MIN_HITS = 8  # over all turns of the first look; fewer are a chance likeness
_MIN_LYING_HITS = 24  # of lying faces: 16 had 77 at least, what scratches made of upright ones 9 at most
_SURE = 6  # overlapping hits of the search; so many upright ones are a face even if the aligning look sees none


@dataclass(frozen=True)
class _Hit:
    face: Face
    score: float
    frontal: bool


def find_faces(rgb: np.ndarray, hole: np.ndarray | None = None) -> list[Face]:
    """Find the faces of a photo; with a hole, those whose square the hole touches.

    Args:
        rgb: (H, W, 3), uint8, the upright photo, with whatever the hole holds.
        hole: (H, W), bool, True = painted or damaged; None = look for all faces.

    Returns:
        The faces, the surest first; upright ones only if any is upright and none is asked for by the hole.
    """
    copies = _Copies(rgb, hole, (0, 0, rgb.shape[1], rgb.shape[0]), _SEARCH_SIDE)
    if hole is None:
        upright = copies.search((0.0,))
        faces = _distinct(_align(rgb, None, hit) for hit in upright) or _behind_lines(rgb)
        if not faces and not upright:
            for look in (lambda: copies.search(_TURNS), lambda: copies.search(_LYING), copies.search_profiles):
                faces = faces or _distinct(_align(rgb, None, hit) for hit in look())
        return faces
    upright = copies.search((0.0,))
    faces = _distinct(_align(rgb, hole, hit) for hit in upright if touches(hit.face, hole))
    # Beside a sure face, a hole is rather in clothes or hands, which look like profiles once they are filled.
    sure = [hit.face for hit in upright if hit.score >= _SURE]
    turns = _TURNS if upright else _TURNS + _LYING
    tilted: list[_Hit] | None = None
    for box in strokes(hole)[:_MAX_GROUPS]:
        part = np.zeros_like(hole)
        part[box[1] : box[3], box[0] : box[2]] = hole[box[1] : box[3], box[0] : box[2]]
        if any(touches(replace(face, side=_INNER * face.side), part) for face in faces):
            continue
        closer = _Copies(rgb, hole, _around(box, rgb.shape), _CLOSE_SIDE)
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
            aligned = [_align(rgb, hole, hit) for hit in free]
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
    copies = _Copies(rgb, hole, around, _CLOSE_SIDE)
    for look in (
        lambda: copies.search((0.0,)),
        lambda: copies.search(_TURNS),
        lambda: copies.search(_LYING),
        copies.search_profiles,
    ):
        for hit in look():
            face = hit.face
            if left <= face.x <= right and top <= face.y <= bottom and side / 3 < face.side < 2 * side:
                aligned = _align(rgb, hole, hit)
                if aligned:
                    return aligned
    return None


def _behind_lines(rgb: np.ndarray) -> list[Face]:
    """Find upright faces that scratches hide, in a copy of the photo in which they are continued from their sides."""
    scale = min(1.0, _SEARCH_SIDE / max(rgb.shape[:2]))
    size = tuple(max(1, round(length * scale)) for length in rgb.shape[1::-1])
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    grey, wide = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.ones((_LINE, _LINE), np.uint8)
    light, dark = (cv2.morphologyEx(grey, kind, wide) for kind in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT))
    lines = (np.maximum(light, dark) > _LINE_CONTRAST).view(np.uint8)
    if lines.mean() < _LINED or lines.all():
        return []
    # so 21 of 22 hidden faces are found; with the mask dilated 18, with a median filter instead 9
    clean = cv2.inpaint(small, lines, 3, cv2.INPAINT_TELEA)
    hits = _Copies(clean, None, (0, 0, *size), _SEARCH_SIDE).search((0.0,))
    return [
        replace(face, x=face.x / scale, y=face.y / scale, side=face.side / scale)
        for face in _distinct(_align(clean, None, hit) for hit in hits)
    ]


class _Copies:
    """Small grey copies of a part of a photo, in which faces are looked for: as it is and with its hole filled.

    Args:
        rgb: (H, W, 3), uint8.
        hole: (H, W), bool, or None.
        box: left, upper, right and lower border of the part, in pixels.
        side: longest side of the copies, in pixels.
    """

    def __init__(self, rgb: np.ndarray, hole: np.ndarray | None, box: tuple[int, int, int, int], side: int) -> None:
        self.left, self.top, right, bottom = box
        part = rgb[self.top : bottom, self.left : right]
        self.scale = side / max(part.shape[:2])
        if max(part.shape[:2]) <= side:
            self.scale = min(2.0, self.scale) if side == _CLOSE_SIDE else 1.0
        size = tuple(max(_SMALLEST, round(length * self.scale)) for length in part.shape[1::-1])
        small = cv2.resize(part, size, interpolation=cv2.INTER_AREA if self.scale < 1 else cv2.INTER_LINEAR)
        self.pictures = [cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)]
        if hole is not None:
            marked = hole[self.top : bottom, self.left : right].astype(np.uint8) * 255
            marked = cv2.dilate((cv2.resize(marked, size, interpolation=cv2.INTER_AREA) > 0).view(np.uint8), None)
            if marked.any() and not marked.all():
                self.pictures.append(cv2.inpaint(self.pictures[0], marked, 3, cv2.INPAINT_TELEA))

    def search(self, turns: tuple[float, ...]) -> list[_Hit]:
        """Look for frontal faces in copies turned back by each of `turns`; the surest first."""
        hits = []
        for picture in self.pictures:
            for turn in turns:
                matrix = _turn_back(picture.shape, turn)
                boxes, counts = _cascade("frontalface_alt2").detectMultiScale2(
                    _warp(picture, matrix, turn), 1.1, 3, minSize=(_SMALLEST, _SMALLEST)
                )
                hits += self._hits(boxes, counts, matrix, turn, True)
        return _thin(hits)

    def search_profiles(self, filled: bool = True) -> list[_Hit]:
        """Look for faces that look to either side, in the copy whose hole is filled too or not; the surest first."""
        hits = []
        for picture in self.pictures if filled else self.pictures[:1]:
            for flip in (False, True):
                # the cascade was made from faces that look to the left
                view = np.ascontiguousarray(picture[:, ::-1]) if flip else picture
                boxes, counts = _cascade("profileface").detectMultiScale2(view, 1.1, 3, minSize=(_SMALLEST, _SMALLEST))
                matrix = np.array([[-1.0, 0, picture.shape[1]], [0, 1, 0]]) if flip else np.eye(2, 3)
                hits += self._hits(boxes, counts, matrix, 0.0, False)
        return _thin(hits, _PROFILE_APART)

    def _hits(
        self, boxes: Iterable[np.ndarray], counts: Iterable[int], matrix: np.ndarray, turn: float, frontal: bool
    ) -> list[_Hit]:
        back = cv2.invertAffineTransform(matrix)
        hits = []
        frame, down, aside = (_FRAME, _DOWN, 0.0) if frontal else (_PROFILE_FRAME, _PROFILE_DOWN, _PROFILE_ASIDE)
        for (x, y, width, height), count in zip(boxes, counts, strict=True):
            side = width / frame
            middle = back @ (x + width / 2 - aside * side, y + height / 2 - down * side, 1.0)
            x, y = middle / self.scale + (self.left, self.top)
            hits.append(_Hit(Face(float(x), float(y), float(side / self.scale), turn), float(count), frontal))
        return hits


def _align(rgb: np.ndarray, hole: np.ndarray | None, hit: _Hit) -> Face | None:
    """Look at a hit again, at several turns, in a copy of one size; None = not like a face after all."""
    if not hit.frontal:
        return hit.face
    least = _MIN_LYING_HITS if hit.face.angle in _LYING else _MIN_HITS
    holes = [None] if hole is None or not touches(hit.face, hole) else [None, hole]
    for square, frame in _LOOKS:  # damage may hide a face from the smaller one
        found = [(*_mean_hit(rgb, look, hit.face, square, frame, _FIRST_TURNS), look) for look in holes]
        face, hits, look = max(found, key=lambda entry: entry[1])
        if hits >= least:
            return _mean_hit(rgb, look, face, *_LOOKS[-1], _LAST_TURNS)[0]
    return hit.face if hit.score >= _SURE and not hit.face.angle else None


def _look(rgb: np.ndarray, hole: np.ndarray | None, face: Face, size: int) -> np.ndarray:
    """A grey copy, `size` pixels a side, of a face and what is around it, upright as far as is known."""
    around = Face(face.x, face.y, face.side * _LOOK, face.angle)
    left, top, right, bottom = clipped((*around.corners.min(axis=0), *around.corners.max(axis=0)), rgb.shape)
    part = rgb[top:bottom, left:right]
    scale = min(1.0, 2 * size / around.side)
    shape = tuple(max(1, round(length * scale)) for length in part.shape[1::-1])
    part = cv2.cvtColor(cv2.resize(part, shape, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    matrix = around.matrix(size, left, top, scale)
    look = cv2.warpAffine(part, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if hole is not None:
        marked = hole[top:bottom, left:right].astype(np.float32)
        marked = cv2.warpAffine(cv2.resize(marked, shape, interpolation=cv2.INTER_AREA), matrix, (size, size)) > 0
        look = cv2.inpaint(look, cv2.dilate(marked.view(np.uint8), None), 3, cv2.INPAINT_TELEA)
    return look


def _mean_hit(
    rgb: np.ndarray, hole: np.ndarray | None, face: Face, square: int, frame: float, turns: tuple[float, ...]
) -> tuple[Face, float]:
    """Average the cascade's hits over turns of a look; returns the aligned face and the number of hits."""
    size = round(_LOOK * square)
    look = _look(rgb, hole, face, size)
    low, high = (round(square * _FRAME * factor) for factor in (0.7, 1.5))
    counts, places = [], []
    for turn in turns:
        matrix = _turn_back(look.shape, turn, grow=False)
        boxes = _cascade("frontalface_alt2").detectMultiScale(
            _warp(look, matrix, turn), 1.08, 0, 0, (low, low), (high, high)
        )
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        middles = boxes[:, :2] + boxes[:, 2:] / 2
        near = np.zeros(0, bool)
        if len(boxes):
            near = np.abs(middles - np.median(middles, axis=0)).max(axis=1) < 0.15 * square
        counts.append(near.sum())
        if not near.any():
            places.append((0.0, 0.0, 1.0))
            continue
        side = np.exp(np.log(boxes[near, 2]).mean()) / frame
        offset = middles[near].mean(axis=0) - size / 2 - (0, _DOWN * side)
        places.append((*turned(*offset, turn), side))
    weights = np.square(np.array(counts, dtype=np.float64))
    if not weights.any():
        return face, 0.0
    turn = float(weights @ turns / weights.sum())
    weights *= np.exp(-0.5 * ((np.array(turns) - turn) / 6) ** 2)
    x, y, side = weights @ np.array(places) / weights.sum()
    unit = face.side / square
    middle = np.add((face.x, face.y), turned(x * unit, y * unit, face.angle))
    return Face(float(middle[0]), float(middle[1]), float(side * unit), face.angle + turn), float(sum(counts))


def _thin(hits: list[_Hit], apart: float = _APART) -> list[_Hit]:
    """Keep the surest of hits that are nearer to one another than `apart` sides of the larger square."""
    kept: list[_Hit] = []
    for hit in sorted(hits, key=lambda hit: -hit.score):
        if not any(_same(hit.face, other.face, apart) for other in kept):
            kept.append(hit)
    return kept


def _distinct(faces: Iterable[Face | None]) -> list[Face]:
    kept: list[Face] = []
    for face in faces:
        if face is not None and not any(_same(face, other) for other in kept):
            kept.append(face)
    return kept


def _same(face: Face, other: Face, apart: float = _APART) -> bool:
    return math.hypot(face.x - other.x, face.y - other.y) < apart * max(face.side, other.side)


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
    reach = max(1.5 * max(box[2] - box[0], box[3] - box[1]), _CLOSE_SIDE / 4)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return clipped((x - reach, y - reach, x + reach, y + reach), shape)


def _turn_back(shape: tuple[int, ...], turn: float, grow: bool = True) -> np.ndarray:
    """(2, 3), turns a picture counter-clockwise by `turn` degrees; its canvas may grow to hold the corners."""
    height, width = shape[:2]
    back = rotation(-turn)
    size = np.abs(back) @ (width, height) if grow else np.array([width, height])
    return np.column_stack([back, size / 2 - back @ (width / 2, height / 2)])


def _warp(picture: np.ndarray, matrix: np.ndarray, turn: float) -> np.ndarray:
    if turn == 0:
        return picture
    size = np.round(2 * matrix @ (picture.shape[1] / 2, picture.shape[0] / 2, 1)).astype(int)
    return cv2.warpAffine(
        picture, matrix, tuple(map(int, size)), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


_local = threading.local()


def _cascade(name: str) -> cv2.CascadeClassifier:
    """This thread's own classifier: OpenCV's are not made to be shared."""
    cascades = _local.__dict__.setdefault("cascades", {})
    if name not in cascades:
        cascades[name] = cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_{name}.xml")
    return cascades[name]
