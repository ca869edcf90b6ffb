"""Between a photo and the small grid on which the networks work: cut a square out, bring its fill back.

Two corrections keep the hole's border from showing. On the small grid, the slow difference between picture and network
around the hole is spread into it. On the large one, what shrinking took from the photo is carried a little way into
the hole. Lines, and what no face's square holds, are continued from their surroundings. What a network filled is
brought nearer to the crispness of real faces. None of it has grain: see `ngan.grain`.
"""

import math
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn import functional as F

from ngan.blurring import blurred
from ngan.framing import Face, Window, grown, strokes, within
from ngan.spreading import grid_of, pixels_of, spread
from ngan.tone import in_tone

_TILE = 1024  # side of what is pasted at a time, in pixels; bounds the memory that a large picture takes
# A cell is the mean of the pixels in and around it, and cubic interpolation takes it for its middle pixel: so the grid
# is sharpened first, by what brings shrunk photos closest to themselves (0.5 to 1.3 dB at 3 to 1.4 pixels a cell).
# Fills look sharper; where the networks guessed wrong, they are 0.1 to 0.2 dB farther off.
_SHARPEN = 0.4  # of what a Gaussian blur takes away
_SHARPEN_SIGMA = 0.7  # of that blur, in cells
# What the networks fill is a mean of much that could be there: in 384 faces, what is finer than a Gaussian of 0.7
# cells was 0.41 to 0.59 as strong as in the real ones, by kind of hole, from 2 cells within it on. So much more of it,
# within the neighbours' range, makes that 0.55 to 0.77, for 0.2 to 0.4 dB in the hole, as most of it is guessed.
_CRISP = 1.2
_SLOW = 4  # cells, of a Gaussian: by means so wide what a network drew is shifted to meet what is around a hole
_CARRY = 0.7  # reach of the picture's own detail into the hole, standard deviation in cells of the network's grid
_PART = 384  # cells: a stroke's box is continued by parts of this side, those alone that it crosses
_THICK = 48  # of what is continued, in pixels: thicker holes are filled in a smaller copy, for speed
# Of a cell: with so much of it left, its colour is told by that, and no network need guess it. Portraits of 512 pixels
# were filled 0.8 dB closer in a centre hole and 0.1 to 0.3 under strokes and over eyes than when one missing pixel
# took the cell; of 178 pixels, where a cell is 1.4 of them, 0.1 dB.
_KNOWN = 0.5
_THIN = 1.5  # cells of the network's grid: thinner parts of a hole are continued from both sides
_RAMP = 2  # cells: over so much of a hole's border the network's colours come in
_RAMP_AT_EYES = 1  # the same over eyes and brows, of which their surroundings tell nothing
_EYES = (0.22, -0.13, 0.07)  # half their breadth, upper and lower border, from the middle, in a face's sides
_EYES_RIM = 0.03  # the same, over which that comes in


def shrink_mask(marked: Image.Image, grid: tuple[int, int]) -> torch.Tensor:
    """(1, 1, h, w), 1 = a cell of which less than `_KNOWN` is left unmarked; `grid` is (w, h)."""
    share = np.array(marked.convert("F").resize(grid, Image.Resampling.BOX)) / 255
    return torch.from_numpy(1 - share < _KNOWN)[None, None].float()


def shrink(rgb: Image.Image, marked: Image.Image | None, grid: tuple[int, int]) -> torch.Tensor:
    """Bring a picture to the network's grid, (1, 3, h, w) in [-1, 1]; no marked pixel leaks into a known cell."""
    if marked is not None:
        rgb = Image.composite(Image.new("RGB", rgb.size), rgb, marked)
    resample = Image.Resampling.HAMMING if min(rgb.size) >= min(grid) else Image.Resampling.BILINEAR
    small = np.asarray(rgb.resize(grid, resample), dtype=np.float32)
    if marked is not None:
        known = ImageOps.invert(marked).resize(grid, resample)
        small = small / np.maximum(np.asarray(known, dtype=np.float32)[..., None] / 255, 1 / 255)
    return torch.from_numpy(small.clip(0, 255) / 127.5 - 1).permute(2, 0, 1)[None].contiguous()


def cut(rgb: np.ndarray, hole: np.ndarray | None, face: Face, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a face's square out, upright.

    Beyond the photo's borders it goes on mirrored, its hole too, as training faces do (`ngan.reframing`): eyes and
    mouths come back weaker where what lies there counts as missing.

    Args:
        rgb: (H, W, 3), uint8, the photo.
        hole: (H, W), bool, or None; no pixel of it leaks into a known cell.
        face: the square; all of it counts as missing if it lies outside the photo.
        size: side of the cut, in pixels.

    Returns:
        Image (1, 3, size, size) in [-1, 1], and mask (1, 1, size, size), {0, 1}, 1 = a cell of which less than
        `_KNOWN` is known.
    """
    fine = 2 * size  # cells of half the side, so that turning does not blur
    scale = min(1.0, fine / face.side)
    margin = 2 / scale  # what interpolation at the square's border reaches
    low = np.floor(face.corners.min(axis=0) - margin).astype(int).clip(0)
    high = np.ceil(face.corners.max(axis=0) + margin).astype(int)
    window = slice(low[1], max(high[1], 1)), slice(low[0], max(high[0], 1))
    part = rgb[window]
    if part.size == 0 or face.corners.max(axis=0).min() <= 0:
        return torch.zeros(1, 3, size, size), torch.ones(1, 1, size, size)
    known = np.full(part.shape[:2], 255, np.uint8)
    if hole is not None:
        known[hole[window]] = 0
    shape = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    part = cv2.resize(cv2.copyTo(part, known).astype(np.float32), shape, interpolation=cv2.INTER_AREA)
    share = cv2.resize(known.astype(np.float32) / 255, shape, interpolation=cv2.INTER_AREA)
    matrix = face.matrix(fine, low[0], low[1], scale)
    colours, share = (
        cv2.resize(
            cv2.warpAffine(pixels, matrix, (fine, fine), borderMode=cv2.BORDER_REFLECT),
            (size, size),
            interpolation=cv2.INTER_AREA,
        )
        for pixels in (part, share)
    )
    colours = (colours / np.maximum(share, 1 / 255)[..., None]).clip(0, 255)
    image = torch.from_numpy(colours / 127.5 - 1).permute(2, 0, 1)[None].contiguous()
    return image, torch.from_numpy(share < _KNOWN)[None, None].float()


def correct(image: torch.Tensor, seen: torch.Tensor, missing: torch.Tensor, cell: float) -> torch.Tensor:
    """Shift a network's image so that it meets what is known around the hole, in its tone if it has a single one, and
    make it crisp.

    The shift is slow: of single cells next to the hole it would carry the edges that the network drew a cell beside
    themselves into it, as those of hair. On 200 portraits of 512 pixels all kinds of holes came out up to 0.06 dB
    closer to the truth for that, and eyes nearer to real ones (Frechet distance 0.0214 -> 0.0193, crisp); on 60 faces
    of 178 pixels strokes 0.02 dB farther off.

    Args:
        image: (1, 3, h, w), about [-1, 1].
        seen: the same, its known cells right.
        missing: (1, 1, h, w), {0, 1}, 1 = not known.
        cell: side of a cell in the photo, in its pixels; up to 1 nothing is made crisp.

    Returns:
        (1, 3, h, w); known cells as `seen`.
    """
    known = 1 - missing
    share = np.maximum(blurred(known[0, 0].numpy(), _SLOW), 1e-3)[..., None]
    means = blurred(pixels_of((seen - image) * known), _SLOW) / share
    field = spread(grid_of(means) * known, known)
    filled = crisp(torch.where(missing > 0, image + field, seen), cell)
    return torch.where(missing > 0, in_tone(filled, seen, missing), seen)


def crisp(image: torch.Tensor, cell: float) -> torch.Tensor:
    """Strengthen fine differences in an image (1, 3, h, w); no value leaves the range of its neighbours' and its own,
    so that no edge gets a halo. `cell` is as in `correct`."""
    small = pixels_of(image)
    fine = small - cv2.GaussianBlur(small, (0, 0), _SHARPEN_SIGMA)
    near = np.ones((3, 3), np.uint8)
    sharp = (small + _CRISP * enlarged(cell) * fine).clip(cv2.erode(small, near), cv2.dilate(small, near))
    return grid_of(sharp)


def enlarged(cell: float) -> float:
    """How much of what a larger photo asks for a grid gets: 0 where it has the photo's own pixels."""
    return min(max(4 * (cell - 1), 0), 1)


def whole_matrix(size: tuple[int, int], grid: tuple[int, int]) -> np.ndarray:
    """(2, 3), maps pixels of a picture of a size (w, h) to those of a grid (w, h) that holds all of it."""
    x, y = grid[0] / size[0], grid[1] / size[1]
    return np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5]])


def cell_of(matrix: np.ndarray) -> float:
    """Longest side of a grid's cell, in pixels of the photo, of the matrix that maps the photo's pixels to cells."""
    return 1 / float(np.hypot(*matrix[:, :2]).min())


def enlarge(
    filled: torch.Tensor, matrix: np.ndarray, rgb: np.ndarray, hole: np.ndarray, box: tuple[int, int, int, int]
) -> Iterator[tuple[Window, np.ndarray]]:
    """Bring a filled grid to the photo's size wherever there is a hole, a window at a time.

    Args:
        filled: (1, 3, h, w), about [-1, 1].
        matrix: (2, 3), maps pixels of the photo to those of the grid.
        rgb: (H, W, 3), uint8, the photo.
        hole: (H, W), bool, True = to be filled.
        box: left, upper, right and lower border of the grid in the photo, in pixels.

    Yields:
        The window, and its colours (rows, columns, 3), float32, about [0, 255].
    """
    small = (pixels_of(filled) + 1) * 127.5
    cell = cell_of(matrix)
    if cell < 1:
        small = cv2.GaussianBlur(small, (0, 0), 0.4 / cell)
    else:
        small = small + _SHARPEN * enlarged(cell) * (small - cv2.GaussianBlur(small, (0, 0), _SHARPEN_SIGMA))
    margin = int(3 * cell) + 1
    for top in range(box[1], box[3], _TILE):
        for left in range(box[0], box[2], _TILE):
            part = hole[top : min(top + _TILE, box[3]), left : min(left + _TILE, box[2])]
            if not part.any():
                continue
            rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
            window = slice(top + rows[0], top + rows[-1] + 1), slice(left + columns[0], left + columns[-1] + 1)
            around = grown(window, margin, hole.shape)
            shifted = matrix.copy()
            shifted[:, 2] += matrix[:, :2] @ (around[1].start, around[0].start)
            size = around[1].stop - around[1].start, around[0].stop - around[0].start
            flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            smooth = cv2.warpAffine(small, shifted, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            colours = carry_detail(smooth, rgb[around], hole[around], cell)
            y, x = window[0].start - around[0].start, window[1].start - around[1].start
            height, width = window[0].stop - window[0].start, window[1].stop - window[1].start
            yield window, colours[y : y + height, x : x + width]


def carry_detail(smooth: np.ndarray, rgb: np.ndarray, hole: np.ndarray, cell: float) -> np.ndarray:
    """Add what the known pixels have beyond `smooth` to the hole near them, fading inwards.

    Args:
        smooth: (H, W, 3), float32, [0, 255], the filled picture without the detail that its small grid cannot hold.
        rgb: (H, W, 3), uint8, the picture.
        hole: (H, W), bool.
        cell: side of a cell of the network's grid, in pixels.

    Returns:
        (H, W, 3), float32.
    """
    coarse = max(1, int(cell / 2))  # what is carried is slow on the scale of a cell: two samples a cell hold it
    detail = torch.from_numpy(np.where(hole[..., None], 0, rgb - smooth)).permute(2, 0, 1)
    known = torch.from_numpy(~hole).float()[None]
    near = F.avg_pool2d(torch.cat([detail, known])[None], coarse, ceil_mode=True)
    sigma = _CARRY * cell / coarse
    reach = int(3 * sigma) + 1
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    weights = (weights / weights.sum()).expand(4, 1, 1, -1)
    near = F.conv2d(near, weights, padding=(0, reach), groups=4)
    near = F.conv2d(near, weights.transpose(2, 3), padding=(reach, 0), groups=4)
    # at a straight border half of what surrounds a pixel is known: from there inwards the detail fades
    carried = near[:, :3] / near[:, 3:].clamp_min(0.5)
    size = carried.shape[2] * coarse, carried.shape[3] * coarse
    carried = F.interpolate(carried, size=size, mode="bilinear", align_corners=False)[0]
    return smooth + carried[:, : hole.shape[0], : hole.shape[1]].permute(1, 2, 0).numpy()


def network_share(hole: np.ndarray, cell: float, eyes: np.ndarray | float = 0.0) -> np.ndarray:
    """How far each pixel of a hole is the network's: (H, W), 0 at the hole's border and in lines, 1 deep inside.

    Strokes across faces come out better drawn by the network from 2 cells on (by 0.2 to 0.8 dB of PSNR in the hole at
    2 to 2.5 cells, 0.7 to 1.0 at 3, 0.5 to 2 at 3.5 to 5.5); thinner ones continued from both sides are as good on
    large photos, and on small ones have more of their detail for 0.4 dB: the network has a share where a square of
    `_THIN` cells fits into the hole. From the border it grows over `_RAMP` cells; what is continued between photo and
    network leaves no seam. Half that width is 0.02 to 0.6 dB worse on large photos, up to 0.4 better over eyes and
    mouths on small ones. Over eyes it is used: on 40 portraits of 512 pixels the rims of glasses, painted over, were
    filled 0.2 dB closer and nearer to real faces (Frechet distance 0.0141 -> 0.0097), a bar over the eyes at 0.1 dB
    less (0.0193 -> 0.0180), where an eye had come out as if behind ground glass.

    Args:
        hole: (H, W), bool.
        cell: side of a cell of the network's grid, in pixels.
        eyes: (H, W), as of `near_eyes`.
    """
    reach = _THIN * cell / 2
    deep = cv2.distanceTransform(np.pad(hole, 1).view(np.uint8), cv2.DIST_C, 3)[1:-1, 1:-1] >= reach
    if not deep.any():
        return np.zeros(hole.shape, np.float32)
    away = cv2.distanceTransform((~deep).view(np.uint8), cv2.DIST_C, 3)
    thick = (1 + (reach - away) / cell).clip(0, 1)
    border = cv2.distanceTransform(hole.view(np.uint8), cv2.DIST_L2, 3)
    ramp = (_RAMP - (_RAMP - _RAMP_AT_EYES) * eyes) * max(cell, 1)
    return thick * ((border - 0.5) / ramp).clip(0, 1)


def near_eyes(matrix: np.ndarray, grid: tuple[int, int], window: Window) -> np.ndarray:
    """Where a face that fills a grid has eyes and brows: (H, W) of a window of a photo, float32, 1 there, else 0.

    Args:
        matrix: (2, 3), maps pixels of the photo to those of the grid.
        grid: (w, h) of the grid, in cells.
        window: of the photo.
    """
    x, y = ((np.arange(length) + 0.5 - length / 2) / min(grid) for length in grid)
    reach, upper, lower = _EYES
    across, down = reach - np.abs(x), np.minimum(y - upper, lower - y)
    share = np.outer((down / _EYES_RIM).clip(0, 1), (across / _EYES_RIM).clip(0, 1)).astype(np.float32)
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2] @ (window[1].start, window[0].start)
    size = window[1].stop - window[1].start, window[0].stop - window[0].start
    return cv2.warpAffine(share, shifted, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def fill_rest(canvas: np.ndarray, rest: np.ndarray) -> None:
    """Fill what is not the network's, in place: continued smoothly from all sides.

    OpenCV's Telea and Navier-Stokes methods leave steps and streaks there: lines of 5 to 14 pixels across faces came
    out 0.7 to 1.3 dB worse by them.

    Args:
        canvas: (H, W, 3), uint8.
        rest: (H, W), bool, True = to be filled.
    """
    unknown = rest.copy()
    for left, top, right, bottom in strokes(rest):
        window = slice(top, min(bottom, rest.shape[0])), slice(left, min(right, rest.shape[1]))
        for own, thick in _by_thickness(unknown, window):
            cell = max(1.0, thick / _THICK)
            for part in _tiles(own.shape, math.ceil(_PART * cell)):
                if own[part].any():
                    at = tuple(slice(p.start + w.start, p.stop + w.start) for p, w in zip(part, window, strict=True))
                    _continue(canvas, unknown, at, own[part], cell, int(thick + 8 * cell) + 4)
            unknown[window] &= ~own


def _by_thickness(unknown: np.ndarray, window: Window) -> Iterator[tuple[np.ndarray, float]]:
    """The thin parts of what is unknown in a window of a photo, (h, w), bool, and then its thick ones, with how thick
    each are at most, in pixels.

    Thick is what a disc of the width `_THICK` fits over, even if it reaches beyond the photo. A scratch that meets a
    large hole, continued with it in a smaller copy, came out 6 to 9 dB worse than alone.
    """
    hole = unknown[window].copy()
    depth = _depth(np.pad(hole, 1))
    rows, columns = window
    beyond = np.pad(hole, 1, mode="edge")
    beyond[0] &= rows.start == 0
    beyond[-1] &= rows.stop == unknown.shape[0]
    beyond[:, 0] &= columns.start == 0
    beyond[:, -1] &= columns.stop == unknown.shape[1]
    deep = _depth(beyond) > _THICK / 2
    thick = np.zeros_like(hole)
    if deep.any():
        thick = hole & (cv2.distanceTransform((~deep).view(np.uint8), cv2.DIST_L2, 3) < _THICK / 2)
    for own in (hole & ~thick, thick):
        if own.any():
            yield own, 2 * float(depth[own].max())


def _depth(padded: np.ndarray) -> np.ndarray:
    """How far each pixel of a hole, but for a rim of one pixel, is from what is none, in pixels."""
    return cv2.distanceTransform(padded.view(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]


def _continue(
    canvas: np.ndarray, unknown: np.ndarray, part: Window, own: np.ndarray, cell: float, margin: int
) -> None:
    """Fill the pixels `own` of a part, in place, from `margin` pixels around it, in a copy smaller by `cell`."""
    around = grown(part, margin, unknown.shape)
    while unknown[around].all():
        margin *= 4
        around = grown(part, margin, unknown.shape)
    picture, hole = canvas[around], unknown[around]
    grid = tuple(max(1, round(length / cell)) for length in picture.shape[1::-1])
    marked = Image.fromarray(hole.astype(np.uint8) * 255)
    known = 1 - shrink_mask(marked, grid)
    smooth = spread(shrink(Image.fromarray(picture), marked, grid) * known, known)[0].permute(1, 2, 0)
    colours = (smooth.numpy() + 1) * 127.5
    if grid != picture.shape[1::-1]:
        colours = cv2.resize(colours, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        colours = carry_detail(colours, picture, hole, cell)
    canvas[part][own] = np.rint(colours[within(part, around)][own]).clip(0, 255).astype(np.uint8)


def _tiles(shape: tuple[int, ...], side: int) -> Iterator[Window]:
    """Cut (H, W) into tiles of at most `side` pixels a side."""
    height, width = shape
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield slice(top, min(top + side, height)), slice(left, min(left + side, width))
