"""The canvas: what the editor is given, and what comes back from it painted on.

The editor never sees a large photo. Every press has its canvas drawn and sent to the server anew, so it gets a small
copy, and what is painted is scaled back to the photo, which stays on the server as it was uploaded. A small picture is
enlarged for the canvas: the brush is then as large on every picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps

from ngan.faces import Face
from ngan.masks import MASK_KINDS, make_masks
from ngan.pictures import on_white
from page.photos import Unusable, open_mask, open_photo

PAINT_SIDE = 768  # longest side of the canvas, in pixels
PAINT = (255, 45, 139, 153)  # RGBA of the brush


@dataclass(frozen=True)
class Look:
    """What a canvas looks like, to know it again when a browser sends it back.

    Some browsers change the pixels of a canvas a little when it is read, against tracking.

    Attributes:
        size: (width, height), in pixels.
        cells: RGB of 24 x 24 cells.
    """

    size: tuple[int, int]
    cells: bytes

    @classmethod
    def of(cls, canvas: Image.Image) -> "Look":
        return cls(canvas.size, canvas.resize((24, 24), Image.Resampling.BOX).tobytes())

    def like(self, other: "Look") -> bool:
        if self.size != other.size:
            return False
        cells = (np.frombuffer(look.cells, np.uint8).astype(int) for look in (self, other))
        return int(np.abs(np.subtract(*cells)).max()) <= 4


@dataclass(frozen=True)
class Photo:
    """What is remembered of an opened photo.

    Attributes:
        path: of the uploaded file; None if the picture came onto the canvas by itself: from a camera or a clipboard.
        canvas: what the canvas that shows it looks like.
        mask: path of the mask file that was painted on it, or None.
    """

    path: str | None
    canvas: "Look"
    mask: str | None = None


@dataclass
class Drawing:
    """A picture and what is painted on it.

    Attributes:
        picture: L, RGB or RGBA, at its own size.
        canvas: RGB, the copy that was painted on.
        painted: (H, W) of the canvas, bool.
        photo: what is remembered of it; a new one if the canvas shows another picture than the remembered one.
        clear: whether `mask` left something out that stays transparent.
    """

    picture: Image.Image
    canvas: Image.Image
    painted: np.ndarray
    photo: Photo
    clear: bool = False

    def mask(self) -> Image.Image | None:
        """What is painted, L, {0, 255}, at the picture's size; None if nothing is.

        Of a mask file's marks it holds just their pixels, but for those that were rubbed out. What is transparent
        around a person that was cut out is no part of it: it would become a piece of white.

        Raises:
            Unusable: everything is painted, or nothing but what stays transparent, or a mask file that is gone.
        """
        if not self.painted.any():
            return None
        hole = self._of_file() if self.photo.mask else _enlarged(self.painted, self.picture.size)
        if not hole.any():
            return None
        around = _transparent_around(self.picture)
        if (hole | around).all():
            raise Unusable("Everything is painted: leave some of the face to go by.")
        self.clear = bool((hole & around).any())
        hole = hole & ~around
        if not hole.any():
            raise Unusable("Only what is transparent around the picture is painted, and that stays as it is.")
        return Image.fromarray(hole.astype(np.uint8) * 255)

    def _of_file(self) -> np.ndarray:
        """(H, W) of the picture, bool: the mask file, and what was painted and rubbed out since."""
        marked = open_mask(self.photo.mask, self.picture.size)
        shown = shrink_mask(marked, self.canvas.size)
        strokes = self.painted & _wider(_wider(self.painted & ~shown))  # across a thin mark, all of it is painted over
        marked |= _enlarged(strokes, self.picture.size)
        return marked & ~_enlarged(shown & ~self.painted, self.picture.size)


def show(picture: Image.Image, path: str | None) -> tuple[dict, Photo]:
    """Put a picture on an empty canvas; returns the editor's value and what is to be remembered."""
    scale = PAINT_SIDE / max(picture.size)
    size = tuple(max(2, round(side * scale)) for side in picture.size)  # thinner marks than two cells are specks
    small = on_white(picture).resize(size, Image.Resampling.LANCZOS)
    return _value(small, None), Photo(path, Look.of(small))


def paint(canvas: Image.Image, painted: np.ndarray) -> dict:
    """The editor's value for a canvas with paint on it, (H, W), bool, that can be rubbed out."""
    return _value(canvas, painted)


def read(value: dict[str, Any] | None, photo: Photo | None) -> Drawing:
    """Read the editor.

    Args:
        value: background and layers as pictures; what has any colour on a layer is painted.
        photo: what is remembered of the photo that was opened last.

    Raises:
        Unusable: there is no picture, the canvas is empty, or its file was deleted.
    """
    if not value or value.get("background") is None:
        raise Unusable("Open a picture first.")
    background = ImageOps.exif_transpose(value["background"])
    canvas = on_white(background)
    look = Look.of(canvas)
    known = photo is not None and photo.canvas.like(look)
    if not known and canvas.getextrema() == ((255, 255),) * 3:  # a photo may be all white; so is an empty canvas
        raise Unusable("The canvas is empty. Open a photo, or press Redo if Undo took yours off.")
    painted = np.zeros((background.height, background.width), bool)
    for layer in value.get("layers") or []:
        alpha = ImageOps.exif_transpose(layer).convert("RGBA").getchannel("A")
        painted |= np.asarray(alpha.resize(background.size, Image.Resampling.NEAREST)) > 0
    painted = _without_specks(painted)
    if not known:
        photo = Photo(None, look)
    if photo.path:
        return Drawing(open_photo(photo.path), canvas, painted, photo)
    opaque = background.mode != "RGBA" or background.getchannel("A").getextrema()[0] == 255
    return Drawing(background.convert("RGB") if opaque else background, canvas, painted, photo)


def shrink_mask(mask: Image.Image | np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring a mask to the canvas, (H, W), bool: a cell of it is painted if any of its pixels is.

    A mark that is one cell wide is made three wide: it can be seen, and is no speck when it comes back.
    """
    grey = mask if isinstance(mask, Image.Image) else Image.fromarray(mask.astype(np.uint8) * 255)
    for step in ((size[0], grey.height), size):  # at once, a pixel's share of a cell may round to nothing
        grey = grey.resize(step, Image.Resampling.BOX).point(lambda value: 255 if value else 0)
    painted = np.asarray(grey) > 0
    return painted | _wider(painted & ~_without_specks(painted))


def with_mask(drawing: Drawing, path: str) -> tuple[dict, Photo]:
    """Paint what a mask file marks white on `drawing`; returns the editor's value and what is to be remembered.

    Raises:
        Unusable: a mask that cannot be used.
    """
    hole = open_mask(path, drawing.picture.size)
    drawing.painted = shrink_mask(hole, drawing.canvas.size)
    drawing.photo = replace(drawing.photo, mask=path)
    return _value(drawing.canvas, drawing.painted), drawing.photo


def random_hole(size: tuple[int, int], faces: Sequence[Face], generator: torch.Generator) -> np.ndarray:
    """Draw a hole as the model was trained on, over a face if any is known; (H, W), bool.

    Args:
        size: (width, height) of the canvas.
        faces: in pixels of the canvas.
        generator: source of the draws.
    """
    kind = MASK_KINDS[int(torch.randint(len(MASK_KINDS), (1,), generator=generator))]
    hole = np.zeros((size[1], size[0]), bool)
    if not faces:
        hole |= make_masks(kind, 1, size[1], size[0], generator)[0, 0].numpy() > 0
        return hole
    face = faces[int(torch.randint(len(faces), (1,), generator=generator))]
    side = max(8, round(min(face.side, 2 * max(size))))
    square = Image.fromarray(make_masks(kind, 1, side, side, generator)[0, 0].numpy().astype(np.uint8) * 255)
    left, top = round(face.x - side / 2), round(face.y - side / 2)
    whole = Image.new("L", size, 0)
    whole.paste(square, (left, top))
    return np.asarray(whole) > 0


def _value(canvas: Image.Image, painted: np.ndarray | None) -> dict:
    # Given a composite, the editor would take it for the background, paint and all
    value = {"background": canvas, "layers": [], "composite": None}
    if painted is not None and painted.any():
        layer = np.zeros((*painted.shape, 4), np.uint8)
        layer[painted] = PAINT
        value["layers"] = [Image.fromarray(layer)]
    return value


def _transparent_around(picture: Image.Image) -> np.ndarray:
    """(H, W), bool: what is rather transparent than not, from the picture's border on; holes within are not."""
    if not picture.mode.endswith("A"):
        return np.zeros((picture.height, picture.width), bool)
    clear = np.asarray(picture.getchannel("A")) < 128
    filled = np.pad(clear, 1, constant_values=True).astype(np.uint8)
    cv2.floodFill(filled, None, (0, 0), 2)
    return filled[1:-1, 1:-1] == 2


def _enlarged(painted: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring what is painted on the canvas to a picture of (width, height) `size`."""
    return np.asarray(Image.fromarray(painted).resize(size, Image.Resampling.NEAREST))


def _without_specks(painted: np.ndarray) -> np.ndarray:
    """Drop marks thinner than two pixels: the eraser leaves such dots at the rim of a stroke."""
    squares = np.logical_and.reduce(_corners(painted))
    return np.logical_or.reduce(_corners(np.pad(squares, 1)))


def _wider(painted: np.ndarray) -> np.ndarray:
    """Add a pixel on all sides."""
    squares = np.logical_or.reduce(_corners(painted))
    return np.logical_or.reduce(_corners(np.pad(squares, 1)))


def _corners(painted: np.ndarray) -> tuple[np.ndarray, ...]:
    """The four pixels of every square of two by two, (H - 1, W - 1) each."""
    return painted[1:, 1:], painted[1:, :-1], painted[:-1, 1:], painted[:-1, :-1]
