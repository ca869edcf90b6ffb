"""From picture to picture: `Inpainter` fills the damage of a face picture of any size and mode.

The networks work at the size they were trained at. A picture is shrunk to it, filled, and only the hole's pixels are
brought back to the picture's own size; all others are returned bit for bit. Two corrections keep the hole's border
from showing. On the small grid, the slow difference between picture and network around the hole is spread into it. On
the large one, what shrinking took from the picture is carried a little way into the hole.

`Inpainter` keeps no state between calls: threads may share one.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn import functional as F

from ngan.hub import default_model
from ngan.model import NGAN, NGANOutput
from ngan.pictures import MIN_SIDE, PictureError, Source, on_white, read_mask, read_picture

_MAX_STRETCH = 4  # longest side of the network's grid, in sides of its training square
_TILE = 1024  # side of what is pasted at a time, in pixels; bounds the memory that a large picture takes
_CARRY = 0.7  # reach of the picture's own detail into the hole, standard deviation in cells of the network's grid

_logger = logging.getLogger(__name__)


@dataclass
class Stages:
    """What happened to a picture, step by step. All are of the picture's upright size.

    Attributes:
        corrupted: RGB, the picture with its hole painted grey.
        code_image: RGB, the code generator's image in the hole, the picture's known pixels around it: what the image
            generator decodes.
        location: L, where the code generator sees damage, 255 = surely.
        mask: L, {0, 255}, 255 = filled; the given mask, or the found one, all 0 if no damage was found.
        final: the result, as from `Inpainter.__call__`.
    """

    corrupted: Image.Image
    code_image: Image.Image
    location: Image.Image
    mask: Image.Image
    final: Image.Image


class Inpainter:
    """Fill the damage of face pictures.

    Args:
        model: an `NGAN` (it is moved to `device` and put into evaluation mode), a folder, a Hub id, or None for
            `ngan.hub.default_model()`.
        device: a torch device; None takes "cuda" where there is one, else "cpu".

    Raises:
        ValueError: a device that is not there, or weights that do not fit.
        FileNotFoundError: a folder without a model.
    """

    def __init__(self, model: NGAN | str | Path | None = None, device: str | torch.device | None = None) -> None:
        self.device = _usable_device(device)
        if not isinstance(model, NGAN):
            model = NGAN.from_pretrained(str(default_model() if model is None else model))
        self.model = model.to(self.device).eval()

    def __call__(self, image: Source, mask: Source | None = None) -> Image.Image:
        """Fill what the mask marks, or what looks damaged.

        Args:
            image: a picture, a file, or an array, uint8 (H, W), (H, W, 3) or (H, W, 4), or uint16 (H, W). It is turned
                upright as its EXIF says. A square crop around one face works best.
            mask: a picture, a file, or an array of the upright picture's size: bool, float in [0, 1] or uint8; what is
                white (grey value over 127, True, over 0.5) is filled, transparent counts as black. None = find the
                damage.

        Returns:
            A picture of the upright picture's size. RGB, RGBA and L keep their mode; all others come back as RGB, on
            white where transparent, and their known pixels are those of that conversion. Known pixels are untouched;
            filled ones are opaque. The picture itself if no mask is given and no damage found.

        Raises:
            PictureError: a picture or mask that cannot be read or used; it is a ValueError.
            FileNotFoundError: no such file.
        """
        picture, hole = self._prepare(image, mask)
        if not hole.any():
            return picture
        return self._fill(picture, hole)[0]

    def stages(self, image: Source, mask: Source | None = None) -> Stages:
        """Fill a picture and show the steps.

        Args:
            image: as in `__call__`.
            mask: as in `__call__`.

        Returns:
            All stages. In mask-free mode, code image and location are those of the search for the damage.

        Raises:
            PictureError: as in `__call__`.
            FileNotFoundError: as in `__call__`.
        """
        picture, hole = self._prepare(image, mask)
        final, output = self._fill(picture, hole) if hole.any() else (picture, None)
        if mask is None:
            output = self._look(picture)
        grey = Image.new("RGB", picture.size, (128, 128, 128))
        marked, rgb = _marked(hole), on_white(picture)
        code = _to_picture(output.code_image).resize(picture.size, Image.Resampling.BICUBIC)
        return Stages(
            corrupted=Image.composite(grey, rgb, marked),
            code_image=Image.composite(code, rgb, marked),
            location=_to_picture(output.location.sigmoid() * 2 - 1).resize(picture.size, Image.Resampling.BILINEAR),
            mask=marked,
            final=final,
        )

    def _prepare(self, image: Source, mask: Source | None) -> tuple[Image.Image, np.ndarray]:
        picture = read_picture(image)
        if mask is not None:
            return picture, read_mask(mask, picture.size)
        hole = self._find(picture)
        if not hole.any():
            _logger.warning("no damage found, the picture is returned as it is")
        elif hole.all():
            raise PictureError("image: all of it looks damaged, nothing known is left to fill it from; give a mask")
        return picture, hole

    def _grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Size (width, height) at which the networks see a picture: the shorter side as trained, the aspect kept."""
        side = self.model.image_size
        scale = min(side / min(size), _MAX_STRETCH * side / max(size))
        return max(MIN_SIDE, round(size[0] * scale)), max(MIN_SIDE, round(size[1] * scale))

    def _look(self, picture: Image.Image) -> NGANOutput:
        return self._run(_shrink(on_white(picture), None, self._grid(picture.size)), None)

    def _find(self, picture: Image.Image) -> np.ndarray:
        """Mark the damage that the code generator locates: (H, W), bool."""
        found = (self._look(picture).location > 0).float()  # > 0 in logits is over one half
        found = F.max_pool2d(found, 5, stride=1, padding=2)  # the fringe of damage is damage too
        return np.asarray(_to_picture(found * 2 - 1).resize(picture.size, Image.Resampling.BILINEAR)) > 127

    def _fill(self, picture: Image.Image, hole: np.ndarray) -> tuple[Image.Image, NGANOutput]:
        rgb = on_white(picture)
        marked = _marked(hole)
        grid = self._grid(picture.size)
        missing = _shrink_mask(marked, grid)
        seen = _shrink(rgb, marked, grid)
        output = self._run(seen, missing)
        image = output.image.float().cpu()
        field = _spread((seen - image) * (1 - missing), 1 - missing)
        filled = torch.where(missing > 0, image + field, seen)
        result = np.array(picture)
        for window, colours in _enlarge(filled, np.asarray(rgb), hole):
            inside = hole[window]
            result[window][inside] = _in_mode(colours[inside], picture.mode)
        final = Image.fromarray(result)
        if "icc_profile" in picture.info:
            final.info["icc_profile"] = picture.info["icc_profile"]
        return final, output

    @torch.inference_mode()
    def _run(self, image: torch.Tensor, mask: torch.Tensor | None) -> NGANOutput:
        dtype = next(self.model.parameters()).dtype
        return self.model(image.to(self.device, dtype), None if mask is None else mask.to(self.device, dtype))


def _usable_device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        usable = torch.device(device)
        torch.zeros(1, device=usable).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device={str(device)!r}: not a device of this machine") from error
    return usable


def _marked(hole: np.ndarray) -> Image.Image:
    return Image.fromarray(hole.astype(np.uint8) * 255)


def _shrink_mask(marked: Image.Image, grid: tuple[int, int]) -> torch.Tensor:
    """(1, 1, h, w), 1 = a cell in which at least one pixel is marked; `grid` is (w, h)."""
    # as floats: in whole numbers, the share of one pixel among many would round to 0
    share = marked.convert("F").resize(grid, Image.Resampling.BOX)
    return torch.from_numpy(np.array(share) > 0)[None, None].float()


def _shrink(rgb: Image.Image, marked: Image.Image | None, grid: tuple[int, int]) -> torch.Tensor:
    """Bring a picture to the network's grid, (1, 3, h, w) in [-1, 1]; no marked pixel leaks into a known cell."""
    if marked is not None:
        rgb = Image.composite(Image.new("RGB", rgb.size), rgb, marked)
    resample = Image.Resampling.HAMMING if min(rgb.size) >= min(grid) else Image.Resampling.BILINEAR
    small = np.asarray(rgb.resize(grid, resample), dtype=np.float32)
    if marked is not None:
        known = ImageOps.invert(marked).resize(grid, resample)
        small = small / np.maximum(np.asarray(known, dtype=np.float32)[..., None] / 255, 1 / 255)
    return torch.from_numpy(small.clip(0, 255) / 127.5 - 1).permute(2, 0, 1)[None].contiguous()


def _spread(values: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Continue known values smoothly into the unknown cells, from coarse grids to fine ones.

    Args:
        values: (1, C, h, w), 0 where unknown.
        known: (1, 1, h, w), {0, 1}, 1 = known.

    Returns:
        (1, C, h, w), `values` where known; all 0 if nothing is known.
    """
    height, width = known.shape[-2:]
    if height * width == 1 or known.all() or not known.any():
        return values
    share = F.avg_pool2d(known, 2, ceil_mode=True)
    coarse = F.avg_pool2d(values, 2, ceil_mode=True) / share.clamp_min(1e-6)
    coarse = _spread(coarse * (share > 0), (share > 0).float())
    spread = torch.lerp(
        F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False), values, known
    )
    for _ in range(8):
        mean = F.avg_pool2d(spread, 3, stride=1, padding=1, count_include_pad=False)
        spread = torch.lerp(mean, values, known)
    return spread


def _enlarge(
    filled: torch.Tensor, rgb: np.ndarray, hole: np.ndarray
) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Bring the filled picture to full size, wherever there is a hole, a window at a time.

    Args:
        filled: (1, 3, h, w), about [-1, 1], the whole picture on the network's grid.
        rgb: (H, W, 3), uint8, the picture.
        hole: (H, W), bool, True = to be filled.

    Yields:
        The window as a pair of slices of `rgb`, and its colours (rows, columns, 3), float32, about [0, 255].
    """
    height, width = hole.shape
    planes = [Image.fromarray(plane) for plane in ((filled[0] + 1) * 127.5).numpy()]
    scale = (width / planes[0].width, height / planes[0].height)
    margin = int(3 * max(scale)) + 1
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            part = hole[top : top + _TILE, left : left + _TILE]
            if not part.any():
                continue
            rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
            y0, y1 = max(top + rows[0] - margin, 0), min(top + rows[-1] + 1 + margin, height)
            x0, x1 = max(left + columns[0] - margin, 0), min(left + columns[-1] + 1 + margin, width)
            box = (x0 / scale[0], y0 / scale[1], x1 / scale[0], y1 / scale[1])
            smooth = [plane.resize((x1 - x0, y1 - y0), Image.Resampling.BICUBIC, box=box) for plane in planes]
            around = slice(y0, y1), slice(x0, x1)
            colours = _carry_detail(np.stack(smooth, axis=-1), rgb[around], hole[around], max(scale))
            window = slice(top + rows[0], top + rows[-1] + 1), slice(left + columns[0], left + columns[-1] + 1)
            yield (
                window,
                colours[window[0].start - y0 : window[0].stop - y0, window[1].start - x0 : window[1].stop - x0],
            )


def _carry_detail(smooth: np.ndarray, rgb: np.ndarray, hole: np.ndarray, cell: float) -> np.ndarray:
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


def _in_mode(colours: np.ndarray, mode: str) -> np.ndarray:
    """(n, 3) float colours in [0, 255] as uint8 pixels of mode L, RGB or RGBA."""
    if mode == "L":
        colours = colours @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    pixels = np.rint(colours).clip(0, 255).astype(np.uint8)
    return np.pad(pixels, ((0, 0), (0, 1)), constant_values=255) if mode == "RGBA" else pixels


def _to_picture(x: torch.Tensor) -> Image.Image:
    """(1, C, h, w) in [-1, 1], C = 1 or 3, as an L or RGB picture."""
    pixels = ((x[0].float().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(
        pixels.permute(1, 2, 0).squeeze(2).numpy() if x.shape[1] == 1 else pixels.permute(1, 2, 0).contiguous().numpy()
    )
