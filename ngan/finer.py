"""What is finer than the cells of a network's grid, taken from the photo itself: first from a face's other half, then,
where that has none, from what is like it."""

import cv2
import numpy as np
import torch

from ngan.detail import Detail, add_detail, margin_around
from ngan.framing import Window, grown, window_of, within
from ngan.mirroring import add_mirrored
from ngan.paste import cell_of

# Pixels of a cell, at least, below which a photo is not shrunk for it: in one of 50 megapixels whose face fills the
# frame cells have 60, and detail took minutes and gigabytes; what is finer than an eighth of a cell is left to grain.
_CELL = 8
_AROUND = 24  # cells around what is gone over, at least, from which detail may come, or half its length


def lay_detail(
    canvas: np.ndarray, hole: np.ndarray, left: np.ndarray, box: Window, filled: torch.Tensor, matrix: np.ndarray
) -> list[Detail]:
    """Lay fine detail of a picture over a part of its filled hole, in place.

    Args:
        canvas: (H, W, 3), uint8, filled.
        hole: (H, W), bool, all that was filled; detail comes from the rest.
        left: (H, W), bool, the part of it to be gone over, and
        box: the window to go over it in.
        filled: (1, 3, h, w), the grid it was filled from, and
        matrix: (2, 3), which maps pixels of the picture to its cells.

    Returns:
        What was laid.
    """
    cell = cell_of(matrix)
    step = max(1, int(cell // _CELL))
    if step == 1:
        return _lay(canvas, hole, left, box, filled, matrix)
    window = window_of(left, box)
    if window is None:
        return []
    around = grown(window, margin_around(window, round(_AROUND * cell)), hole.shape)
    # all of the box too, for the face's other half; as much of it as is whole pixels of the smaller copy
    around = [slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(around, box, strict=True)]
    rows, columns = (slice(part.start, part.stop - (part.stop - part.start) % step) for part in around)
    own = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
    inner = within(window, (rows, columns))
    own[inner] = left[rows, columns][inner]
    size = own.shape[1] // step, own.shape[0] // step
    if min(size) == 0:
        return []
    small = cv2.resize(canvas[rows, columns], size, interpolation=cv2.INTER_AREA)
    marked = (
        cv2.resize(m.view(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 0 for m in (hole[rows, columns], own)
    )
    to_picture = np.array(
        [[step, 0, columns.start + (step - 1) / 2], [0, step, rows.start + (step - 1) / 2], [0, 0, 1]]
    )
    before = small.astype(np.int16)
    details = _lay(small, *marked, (slice(0, size[1]), slice(0, size[0])), filled, matrix @ to_picture)
    change = cv2.resize(small - before, own.shape[::-1], interpolation=cv2.INTER_CUBIC)
    painted = canvas[rows, columns]
    painted[own] = (painted[own] + change[own]).clip(0, 255)
    return [detail.enlarged(step, rows.start, columns.start) for detail in details]


def _lay(
    canvas: np.ndarray, hole: np.ndarray, left: np.ndarray, box: Window, filled: torch.Tensor, matrix: np.ndarray
) -> list[Detail]:
    mirrored = add_mirrored(canvas, hole, left, box, matrix, filled.shape[-1])
    alike = add_detail(canvas, hole, left, box, cell_of(matrix), mirrored)
    return [detail for detail in (mirrored, alike) if detail is not None]
