"""Detail of a face's other half, mirrored: where one eye is missing, the other one tells what eyes look like there.

Halves of a face are alike, not the same: optical flow brings what is mirrored to where the network drew it, both
without their detail, and detail is taken where that is sure. (After reference-based super-resolution, such as Zheng et
al., "CrossNet", ECCV 2018, with the mirror image as the reference; the flow is that of Kroeger et al., "Fast Optical
Flow using Dense Inverse Search", ECCV 2016, as OpenCV has it.)
"""

import math

import cv2
import numpy as np

from ngan.blurring import blurred
from ngan.detail import Detail
from ngan.framing import Window, grown, window_of, within
from ngan.paste import cell_of, enlarged

# All of it in cells of the network's grid, if it does not say otherwise.
_FINE = 1.5  # standard deviation: what a Gaussian of it takes away is detail, and that of the fill makes room
_CONTEXT = 16  # around a hole, by which the flow finds its way
_STEPS = 2  # pixels a cell in which the flow is found
_LEVEL = 6  # standard deviation of what is taken off before, as halves of a face are lit differently
_LOST = 1.5  # there and back again by the flow: so far from where it began, detail is down to a third
_UNLIKE = 16.0  # of 255: so with such a difference of what is not detail, without its mean over
_UNLIKE_OVER = 2, 4  # standard deviations, of that difference, and of its mean
_LEAST = 0.02  # of a hole: with less of it known on the other side, it is left alone


def add_mirrored(
    canvas: np.ndarray, hole: np.ndarray, left: np.ndarray, box: Window, matrix: np.ndarray, width: int
) -> Detail | None:
    """Put detail of a face's other half in place of that of a part of a filled hole, in place.

    Args:
        canvas: (H, W, 3), uint8, filled.
        hole: (H, W), bool, all that was filled; detail comes from the rest.
        left: (H, W), bool, the part of it to be gone over, and
        box: the window to go over it in.
        matrix: (2, 3), maps pixels of the picture to cells of the network's grid, whose middle is the face's.
        width: of the grid, in cells.

    Returns:
        What was put there; None where nothing was.
    """
    cell = cell_of(matrix)
    window = window_of(left, box)
    if enlarged(cell) == 0 or window is None:
        return None
    sigma = _FINE * cell
    around = grown(window, math.ceil(_CONTEXT * cell), hole.shape)
    inner = within(window, around)
    other, known = _mirrored(canvas, hole, around, matrix, width)
    if known[inner][left[window]].mean() < _LEAST:
        return None
    ours = canvas[around].astype(np.float32)
    slow = blurred(ours, sigma)
    flow, sure = _flow(slow, blurred(other, sigma), cell)
    other, known = (_followed(values, flow) for values in (other, known))
    theirs = blurred(other, sigma)
    weight = sure * _likeness(slow, theirs, cell) * _faded(known, sigma, cell) * enlarged(cell)
    weight *= (cv2.distanceTransform(hole[around].view(np.uint8), cv2.DIST_L2, 3) / cell).clip(0, 1)
    weight = (weight[inner] * left[window]).astype(np.float32)
    change = (other - theirs - ours + slow)[inner]
    canvas[window] = np.rint(canvas[window] + weight[..., None] * change).clip(0, 255)
    return Detail(window, np.square(weight).astype(np.float16), sigma)


def _mirrored(
    canvas: np.ndarray, hole: np.ndarray, around: Window, matrix: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """A window of the picture mirrored at a face's middle, (h, w, 3), float32, and how far that is
    known, (h, w), float32, [0, 1]."""
    to_grid = np.vstack([matrix, [0, 0, 1]])
    flip = np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]])
    shift = np.array([[1, 0, around[1].start], [0, 1, around[0].start], [0, 0, 1]])
    source = (np.linalg.inv(to_grid) @ flip @ to_grid @ shift)[:2]
    size = around[1].stop - around[1].start, around[0].stop - around[0].start
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    other = cv2.warpAffine(canvas, source, size, flags=flags, borderMode=cv2.BORDER_REFLECT)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    known = cv2.warpAffine((~hole).view(np.uint8) * 255, source, size, flags=flags, borderValue=0)
    return other.astype(np.float32), known.astype(np.float32) / 255


def _flow(ours: np.ndarray, theirs: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Where in `theirs` what is in `ours` lies, both (H, W, 3), float32: (H, W, 2), float32, x and y, in pixels; and
    how sure that is, (H, W), float32, [0, 1]."""
    height, width = ours.shape[:2]
    size = tuple(max(16, round(length * _STEPS / cell)) for length in (width, height))
    pair = []
    for picture in (ours, theirs):
        grey = cv2.resize(picture.mean(axis=2), size, interpolation=cv2.INTER_AREA)
        pair.append((grey - cv2.GaussianBlur(grey, (0, 0), _LEVEL * _STEPS) + 128).clip(0, 255).astype(np.uint8))
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    there, back = search.calc(*pair, None), search.calc(*pair[::-1], None)
    lost = np.square(there + _followed(back, there)).sum(axis=2)
    sure = np.exp(-cv2.GaussianBlur(lost, (0, 0), _STEPS) / (_LOST * _STEPS) ** 2)
    scale = np.array([width / size[0], height / size[1]], np.float32)
    return cv2.resize(there, (width, height)) * scale, cv2.resize(sure, (width, height))


def _followed(values: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Bring values (H, W, ...), float32, to where a flow (H, W, 2) comes from."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    kind = cv2.INTER_CUBIC if values.ndim == 3 else cv2.INTER_LINEAR
    return cv2.remap(values, x + flow[..., 0], y + flow[..., 1], kind, borderMode=cv2.BORDER_REPLICATE)


def _likeness(ours: np.ndarray, theirs: np.ndarray, cell: float) -> np.ndarray:
    """How alike both are, (H, W, 3), float32, without their detail: (H, W), float32, [0, 1]."""
    near, far = (sigma * cell for sigma in _UNLIKE_OVER)
    unlike = ours - theirs
    unlike -= blurred(unlike, far)
    return np.exp(-blurred(np.square(unlike).mean(axis=2), near) / _UNLIKE**2)


def _faded(known: np.ndarray, sigma: float, cell: float) -> np.ndarray:
    """How much detail what is known has, (H, W), float32, [0, 1]: it fades to where what is not known reaches."""
    free = (known > 0.99).astype(np.float32)
    reach = cv2.distanceTransform(free.astype(np.uint8), cv2.DIST_L2, 3) - 2 * sigma
    return (reach / cell).clip(0, 1).astype(np.float32)
