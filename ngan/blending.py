"""Which face's fill a pixel gets where squares end or overlap."""

import math
from collections.abc import Iterable

import numpy as np

from ngan.framing import Face, Window

_FEATHER = 0.06  # of a face's square: over so much of its border its fill goes over into what surrounds it
_YIELD = 0.1  # sides of squares: over so much the fill of a face goes over into that of a nearer one


def weight(face: Face, window: Window) -> np.ndarray:
    """How far each pixel of a window is the face's: (rows, columns), 1 well inside the square, 0 at its border."""
    y, x = np.mgrid[window].astype(np.float32) + 0.5
    unit = face.matrix(1)
    # pixel 0 of a crop of one pixel has its middle at 0: the square spans -0.5 to 0.5
    u, v = (row[0] * (x - 0.5) + row[1] * (y - 0.5) + row[2] for row in unit)
    inside = 0.5 - np.maximum(np.abs(u), np.abs(v))
    return (inside / _FEATHER).clip(0, 1)


def yielding(face: Face, others: Iterable[Face], window: Window) -> np.ndarray:
    """How far a face's square leaves each pixel of a window to nearer faces: (rows, columns), 1 = not, 0 = wholly.

    Squares are wider than heads: of two people side by side, each has the other's near eye in it. Distances are from
    the squares' middles, in their sides.
    """
    y, x = np.mgrid[window].astype(np.float32) + 0.5

    def distance(one: Face) -> np.ndarray:
        return np.hypot(x - one.x, y - one.y) / one.side

    own, share = distance(face), np.ones(x.shape, np.float32)
    for other in others:
        if math.hypot(face.x - other.x, face.y - other.y) < face.side + other.side:
            ahead = ((distance(other) - own) / _YIELD).clip(0, 1)
            share = np.minimum(share, 1 - weight(other, window) * (1 - ahead))
    return share
