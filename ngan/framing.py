"""The square that frames a face as the training faces are framed, and what of a hole lies in it."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

EYE_Y, LEFT_EYE_X, RIGHT_EYE_X = 0.511, 0.388, 0.612  # of the square that frames a training face

Window = tuple[slice, slice]  # rows and columns of a photo


@dataclass(frozen=True)
class Face:
    """Where a face is: the square that frames it as the training faces are framed.

    Attributes:
        x: of the square's middle, in pixels of the upright photo, from its left border.
        y: of the square's middle, from its upper border.
        side: of the square, in pixels.
        angle: by which the face is turned clockwise, in degrees.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (self.x, self.y, self.side, self.angle)) or self.side < 1:
            raise ValueError(f"{self}: x, y and angle must be finite, side at least 1 pixel")

    @classmethod
    def from_eyes(cls, left: tuple[float, float], right: tuple[float, float]) -> "Face":
        """Frame a face by its eyes.

        Args:
            left: (x, y) of the eye on the picture's left, in pixels.
            right: (x, y) of the other eye.
        """
        across = np.subtract(right, left)
        side = float(np.hypot(*across)) / (RIGHT_EYE_X - LEFT_EYE_X)
        angle = math.degrees(math.atan2(across[1], across[0]))
        x, y = np.mean([left, right], axis=0) - turned(0.0, (EYE_Y - 0.5) * side, angle)
        return cls(float(x), float(y), side, angle)

    @property
    def corners(self) -> np.ndarray:
        """(4, 2), float64, x and y of the square's corners in pixels, from the face's own upper left clockwise."""
        half = self.side / 2
        return np.array(
            [
                np.add((self.x, self.y), turned(x, y, self.angle))
                for x, y in ((-half, -half), (half, -half), (half, half), (-half, half))
            ]
        )

    def matrix(self, size: int, left: float = 0.0, top: float = 0.0, scale: float = 1.0) -> np.ndarray:
        """Map pixels of a picture to those of an upright crop of the square, as `cv2.warpAffine` takes it.

        Args:
            size: side of the crop, in pixels.
            left: x of the picture's left border in the photo, in pixels, if it is a part of the photo.
            top: y of its upper border.
            scale: pixels of the picture in a pixel of the photo.

        Returns:
            (2, 3), float64.
        """
        zoom = size / (self.side * scale)
        turn = zoom * rotation(-self.angle)
        middle = np.array([(self.x - left) * scale, (self.y - top) * scale]) - 0.5
        return np.column_stack([turn, size / 2 - 0.5 - turn @ middle])


def touches(face: Face, hole: np.ndarray) -> bool:
    """Tell whether any pixel of a hole, (H, W), bool, lies in a face's square."""
    low = np.floor(face.corners.min(axis=0)).astype(int).clip(0)
    high = np.ceil(face.corners.max(axis=0)).astype(int).clip(0)
    part = hole[low[1] : high[1], low[0] : high[0]]
    if not part.any():
        return False
    # most holes lie in the upright square within the turned one, which tells at once, whatever the photo's size
    reach = face.side / 2 / np.abs(rotation(face.angle)[0]).sum()
    first, last = (np.array([face.x, face.y]) + sign * reach - 0.5 for sign in (-1, 1))
    first, last = np.ceil(first).astype(int).clip(0), np.floor(last).astype(int).clip(-1)
    if hole[first[1] : last[1] + 1, first[0] : last[0] + 1].any():
        return True
    rows, columns = np.nonzero(part)
    points = np.stack([columns + low[0] + 0.5 - face.x, rows + low[1] + 0.5 - face.y])
    return bool((np.abs(rotation(-face.angle) @ points).max(axis=0) <= face.side / 2).any())


def inside(face: Face, shape: tuple[int, int]) -> np.ndarray:
    """(H, W), bool: pixels of a photo of that shape that lie in a face's square, but those at its sides."""
    square = np.zeros(shape, np.uint8)
    corners = replace(face, side=max(1.0, face.side - 3)).corners
    cv2.fillConvexPoly(square, np.rint(corners - 0.5).astype(np.int32), 1)
    return square.view(bool)


def strokes(hole: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Boxes (left, upper, right, lower border, in pixels) around the parts of a hole, the largest part first.

    Parts nearer to one another than about 2 % of the photo's longer side count as one.
    """
    shrink = max(1, math.ceil(max(hole.shape) / 256))
    height, width = (math.ceil(side / shrink) for side in hole.shape)
    padded = np.zeros((height * shrink, width * shrink), bool)
    padded[: hole.shape[0], : hole.shape[1]] = hole
    small = padded.reshape(height, shrink, width, shrink).any(axis=(1, 3)).astype(np.uint8)
    _, labels = cv2.connectedComponents(cv2.dilate(small, np.ones((3, 3), np.uint8)))
    boxes = []
    for label in range(1, labels.max() + 1):
        rows, columns = np.nonzero((labels == label) & (small > 0))
        box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        boxes.append((len(rows), tuple(int(side) * shrink for side in box)))
    return [box for _, box in sorted(boxes, reverse=True)]


def window_of(marked: np.ndarray, box: Window) -> Window | None:
    """The smallest window that holds all marked pixels, (H, W), bool, of a box; None where none are."""
    window = []
    for axis, part in zip((1, 0), box, strict=True):
        line = np.flatnonzero(marked[box].any(axis=axis))
        if not len(line):
            return None
        window.append(slice(int(part.start + line[0]), int(part.start + line[-1]) + 1))
    return tuple(window)


def grown(window: Window, margin: int, shape: tuple[int, ...]) -> Window:
    """A window with so many pixels more on all sides, as far as a photo of a shape (H, W, ...) reaches."""
    return tuple(
        slice(max(part.start - margin, 0), min(part.stop + margin, length))
        for part, length in zip(window, shape, strict=False)
    )


def within(window: Window, around: Window) -> Window:
    """Where a window lies in one around it."""
    return tuple(
        slice(inner.start - outer.start, inner.stop - outer.start) for inner, outer in zip(window, around, strict=True)
    )


def rotation(angle: float) -> np.ndarray:
    """(2, 2), turns clockwise by an angle in degrees, where y grows downwards."""
    turn = math.radians(angle)
    return np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])


def turned(x: float, y: float, angle: float) -> np.ndarray:
    """(2,), a point turned clockwise around the origin by an angle in degrees."""
    return rotation(angle) @ (x, y)


def clipped(box: tuple[float, ...], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The whole pixels of a box (left, upper, right, lower border) within a photo of a shape (H, W, ...)."""
    left, top = (max(0, math.floor(value)) for value in box[:2])
    right, bottom = min(shape[1], math.ceil(box[2])), min(shape[0], math.ceil(box[3]))
    return min(left, shape[1] - 1), min(top, shape[0] - 1), max(right, 1), max(bottom, 1)
