"""The canvas: what the editor is given, and what comes back from it painted on.

The editor never sees a large photo. Every press sends its canvas to the server three times over, so it gets a small
copy, and what is painted is scaled back to the photo, which stays on the server as it was uploaded. A small picture is
enlarged for the canvas: the brush is then as large on every picture.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from ngan.faces import Face
from ngan.masks import MASK_KINDS, make_masks
from ngan.pictures import on_white
from page.photos import Unusable, open_mask, open_photo

PAINT_SIDE = 768  # longest side of the canvas, in pixels
PAINT = (255, 45, 139, 153)  # RGBA of the brush
EXPIRED = (
    "The photo is not on this server any more: a photo is deleted after an hour, or when the server starts anew. "
    "Open it again."
)


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
        mask: of an uploaded mask file, or None.
        painted: fingerprint of what the mask file painted.
    """

    path: str | None
    canvas: "Look"
    mask: str | None = None
    painted: str = ""


@dataclass
class Drawing:
    """A picture and what is painted on it.

    Attributes:
        picture: L, RGB or RGBA, at its own size.
        canvas: RGB, the copy that was painted on.
        painted: (H, W) of the canvas, bool.
        photo: what is remembered of it; a new one if the canvas shows another picture than the remembered one.
    """

    picture: Image.Image
    canvas: Image.Image
    painted: np.ndarray
    photo: Photo

    def mask(self) -> Image.Image | None:
        """What is painted, L, {0, 255}, at the picture's size; None if nothing is.

        Raises:
            Unusable: everything is painted, or a mask file that is gone.
        """
        if not self.painted.any():
            return None
        if self.painted.all():
            raise Unusable("Everything is painted: leave some of the face to go by.")
        if self.photo.mask and self.photo.painted == _fingerprint(self.painted):
            try:  # nobody painted over it: the file itself is exact
                return Image.fromarray(open_mask(self.photo.mask, self.picture.size).astype(np.uint8) * 255)
            except FileNotFoundError as error:
                raise Unusable(EXPIRED.replace("photo", "mask")) from error
        return Image.fromarray(self.painted.astype(np.uint8) * 255).resize(self.picture.size, Image.Resampling.NEAREST)


def show(picture: Image.Image, path: str | None) -> tuple[dict, Photo]:
    """Put a picture on an empty canvas; returns the editor's value and what is to be remembered."""
    small = ImageOps.contain(on_white(picture), (PAINT_SIDE, PAINT_SIDE), Image.Resampling.LANCZOS)
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
        Unusable: there is no picture, or its file was deleted.
    """
    if not value or value.get("background") is None:
        raise Unusable("Open a picture first.")
    background = ImageOps.exif_transpose(value["background"])
    painted = np.zeros((background.height, background.width), bool)
    for layer in value.get("layers") or []:
        alpha = ImageOps.exif_transpose(layer).convert("RGBA").getchannel("A")
        painted |= np.asarray(alpha.resize(background.size, Image.Resampling.NEAREST)) > 0
    painted = _without_specks(painted)
    canvas = on_white(background)
    look = Look.of(canvas)
    if photo is None or not photo.canvas.like(look):
        photo = Photo(None, look)
    if photo.path:
        try:
            return Drawing(open_photo(photo.path), canvas, painted, photo)
        except FileNotFoundError as error:
            raise Unusable(EXPIRED) from error
    opaque = background.mode != "RGBA" or background.getchannel("A").getextrema()[0] == 255
    return Drawing(background.convert("RGB") if opaque else background, canvas, painted, photo)


def shrink_mask(mask: Image.Image | np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring a mask to the canvas, (H, W), bool: a cell of it is painted if any of its pixels is."""
    grey = mask if isinstance(mask, Image.Image) else Image.fromarray(mask.astype(np.uint8) * 255)
    if grey.size == size:
        return np.asarray(grey) > 0
    return np.asarray(grey.resize(size, Image.Resampling.BOX)) > 0


def with_mask(drawing: Drawing, path: str) -> tuple[dict, Photo]:
    """Paint what a mask file marks white on `drawing`; returns the editor's value and what is to be remembered.

    Raises:
        Unusable: a mask that cannot be used.
        FileNotFoundError: it is not there any more.
    """
    hole = open_mask(path, drawing.picture.size)
    drawing.painted = _without_specks(shrink_mask(hole, drawing.canvas.size))
    drawing.photo = replace(drawing.photo, mask=path, painted=_fingerprint(drawing.painted))
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


def _without_specks(painted: np.ndarray) -> np.ndarray:
    """Drop marks thinner than two pixels: the eraser leaves such dots at the rim of a stroke."""
    core = painted[1:, 1:] & painted[:-1, 1:] & painted[1:, :-1] & painted[:-1, :-1]
    kept = np.zeros_like(painted)
    for rows in (slice(1, None), slice(None, -1)):
        for columns in (slice(1, None), slice(None, -1)):
            kept[rows, columns] |= core
    return kept


def _fingerprint(painted: np.ndarray) -> str:
    return hashlib.sha256(repr(painted.shape).encode() + np.packbits(painted).tobytes()).hexdigest()
