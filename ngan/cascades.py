"""Faces that OpenCV's Haar cascades find in small copies of a photo, and the look that aligns them.

The cascades, which travel in OpenCV's wheel, look for upright faces and profiles; a copy turned by 30 degrees shows
them tilted ones. The frame around a hit is too coarse to align by, so each face is looked at again at several turns in
a copy of one size: the mean of all hits tells its turn, place and size.
"""

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from ngan.framing import Face, clipped, rotation, touches, turned

SEARCH_SIDE = 512  # longest side of the copy that is searched, in pixels
CLOSE_SIDE = 320  # side of the copy in which what surrounds a hole is looked at closer, in pixels
_SMALLEST = 24  # side of the smallest face frame of a copy, in pixels
TILTS = (-30.0, 30.0, -50.0, 50.0)  # of copies, degrees; a cascade stands some 15 to 20 degrees of tilt
LYING = (90.0, -90.0, 180.0)  # of people lying down, and of photos that were scanned so
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
SURE = 6  # overlapping hits of the search; so many upright ones are a face even if the aligning look sees none


@dataclass(frozen=True)
class Hit:
    """What a cascade found: the face by its frame, how many hits lie there, and whether it looks straight ahead."""

    face: Face
    score: float
    frontal: bool


class Copies:
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
            self.scale = min(2.0, self.scale) if side == CLOSE_SIDE else 1.0
        size = tuple(max(_SMALLEST, round(length * self.scale)) for length in part.shape[1::-1])
        small = cv2.resize(part, size, interpolation=cv2.INTER_AREA if self.scale < 1 else cv2.INTER_LINEAR)
        self.pictures = [cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)]
        if hole is not None:
            marked = hole[self.top : bottom, self.left : right].astype(np.uint8) * 255
            marked = cv2.dilate((cv2.resize(marked, size, interpolation=cv2.INTER_AREA) > 0).view(np.uint8), None)
            if marked.any() and not marked.all():
                self.pictures.append(cv2.inpaint(self.pictures[0], marked, 3, cv2.INPAINT_TELEA))

    def search(self, turns: tuple[float, ...]) -> list[Hit]:
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

    def search_profiles(self, filled: bool = True) -> list[Hit]:
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
    ) -> list[Hit]:
        back = cv2.invertAffineTransform(matrix)
        hits = []
        frame, down, aside = (_FRAME, _DOWN, 0.0) if frontal else (_PROFILE_FRAME, _PROFILE_DOWN, _PROFILE_ASIDE)
        for (x, y, width, height), count in zip(boxes, counts, strict=True):
            side = width / frame
            middle = back @ (x + width / 2 - aside * side, y + height / 2 - down * side, 1.0)
            x, y = middle / self.scale + (self.left, self.top)
            hits.append(Hit(Face(float(x), float(y), float(side / self.scale), turn), float(count), frontal))
        return hits


def align(rgb: np.ndarray, hole: np.ndarray | None, hit: Hit) -> Face | None:
    """Look at a hit again, at several turns, in a copy of one size; None = not like a face after all."""
    if not hit.frontal:
        return hit.face
    least = _MIN_LYING_HITS if hit.face.angle in LYING else _MIN_HITS
    for square, frame in _LOOKS:  # damage may hide a face from the smaller one
        found = [
            (*_mean_hit(rgb, look, hit.face, square, frame, _FIRST_TURNS), look) for look in _holes(hole, hit.face)
        ]
        face, hits, look = max(found, key=lambda entry: entry[1])
        if hits >= least:
            return _mean_hit(rgb, look, face, *_LOOKS[-1], _LAST_TURNS)[0]
    return hit.face if hit.score >= SURE and not hit.face.angle else None


def _holes(hole: np.ndarray | None, face: Face) -> list[np.ndarray | None]:
    """What a face is looked at with: as it is, and with the hole filled if that is in its square."""
    return [None] if hole is None or not touches(face, hole) else [None, hole]


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


def likeness(rgb: np.ndarray, hole: np.ndarray | None, face: Face) -> float:
    """Count the hits of a last look at a place, at the turns of a first one: 200 and more on a face in plain sight."""
    return max(_mean_hit(rgb, look, face, *_LOOKS[-1], _FIRST_TURNS)[1] for look in _holes(hole, face))


def _thin(hits: list[Hit], apart: float = _APART) -> list[Hit]:
    """Keep the surest of hits that are nearer to one another than `apart` sides of the larger square."""
    kept: list[Hit] = []
    for hit in sorted(hits, key=lambda hit: -hit.score):
        if not any(same(hit.face, other.face, apart) for other in kept):
            kept.append(hit)
    return kept


def same(face: Face, other: Face, apart: float = _APART) -> bool:
    return math.hypot(face.x - other.x, face.y - other.y) < apart * max(face.side, other.side)


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
