"""What tests share: pictures of noise, holes, paint on the page's canvas, and what comes of it."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import gradio as gr
import numpy as np
from PIL import Image

from ngan import Inpainter
from page import views
from page.photos import EXPIRED

NAMES = ("slider", "inside", "download", "lossless", "note", "picker", "photo", "examples", "status")


def layer(height: int, width: int, rows: slice = slice(0, 0), columns: slice = slice(0, 0)) -> Image.Image:
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[rows, columns] = (255, 45, 139, 153)
    return Image.fromarray(pixels)


def value(background: Image.Image | None, *layers: Image.Image) -> dict:
    return {"background": background, "layers": list(layers), "composite": None}


def painted(height: int, width: int) -> tuple[Image.Image, np.ndarray]:
    mask = np.zeros((height, width), bool)
    mask[20:40, 10:30] = True
    return layer(height, width, slice(20, 40), slice(10, 30)), mask


def of_one_look(inpainter: Inpainter) -> Callable:
    """What the page's handlers fill with, of a model beside which there is no other."""
    return lambda picture, mask, faces, look: inpainter.fill(picture, mask, faces)


def fill(app: ModuleType, editor: dict | None, photo: str | None = None, picker: dict | None = None) -> dict:
    got = dict(zip(NAMES, app.handlers.fill_painted(editor, photo, picker), strict=True))
    if "value" in got["slider"]:
        got["slider"]["value"] = tuple(Image.open(path) for path in got["slider"]["value"])
    return got


def refused(app: ModuleType, said: list[str], *given: object) -> str:
    """What the page says instead of filling; all that it shows of a result is left alone."""
    got = fill(app, *given)
    words, kind = (said.pop(), "wrong") if said else (EXPIRED, "wrong gone")
    assert got.pop("status") == views.message(words, kind=kind) and not said
    assert all(part == gr.skip() for part in got.values())
    return words


def check_filled(pictures: tuple, original: np.ndarray, mask: np.ndarray) -> None:
    before, after = (np.asarray(picture) for picture in pictures)
    assert np.array_equal(before, original) and np.array_equal(after[~mask], original[~mask])
    assert (after[mask] != original[mask]).any(axis=-1).mean() > 0.9


def open_and_paint(app: ModuleType, path: Path, rows: slice, columns: slice) -> tuple[dict, str, np.ndarray]:
    """Open a photo and paint a part of it, given in shares of the canvas."""
    canvas, photo, *_ = app.handlers.open_photo(str(path))
    width, height = canvas["background"].size
    part = (
        slice(round(side * part.start), round(side * part.stop)) for side, part in ((height, rows), (width, columns))
    )
    paint = layer(height, width, *part)
    mask = np.asarray(paint)[..., 3] > 0
    return value(canvas["background"].convert("RGBA"), paint), photo, mask


def noise(*shape: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def box_mask(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 3 : width // 3 * 2] = True
    return mask
