"""Pictures and masks as people give them: any file, mode and turn in, upright pictures out."""

import importlib.util
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, TiffImagePlugin

from ngan.deep import carrying, content_of, decoded, in_planes

MAX_PIXELS = 100_000_000  # of a picture
MIN_SIDE = 16  # of a picture, in pixels
_SPACES = {"L": b"GRAY", "LA": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB "}  # as colour profiles call them
_COLOUR_CHUNKS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4}  # of PNG, with their bytes
_ONE_PICTURE = ("MPO", "HEIF", "PSD")  # formats whose further frames are previews and the like, or layers

Source = Image.Image | np.ndarray | str | Path
# What Pillow's readers raise on broken files; RuntimeError: that of AVIF; the last four: those of broken EXIF data.
_UNREADABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error),
    *(KeyError, IndexError, TypeError, AttributeError),
)


def _heif_boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind of each box from `start`, and where its content lies, up to `end`."""
    while start + 8 <= end:
        size, kind, head = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], 8
        if size == 1:  # the size of a box of 4 GiB or more follows
            size, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        stop = min(start + size, end) if size else end
        if stop < start + head:
            return
        yield kind, start + head, stop
        start = stop


def _check_heif_items(data: bytes) -> None:
    """Refuse an item whose kind or name is no text: pi-heif 1.4 reads memory that is not its own then, and crashes.

    Raises:
        SyntaxError: as Pillow's readers do.
    """
    metas = [(start + 4, end) for kind, start, end in _heif_boxes(data, 0, len(data)) if kind == b"meta"]
    lists = [box[1:] for meta in metas for box in _heif_boxes(data, *meta) if box[0] == b"iinf"]
    for start, end in lists:
        count = 2 if data[start : start + 1] == b"\0" else 4  # bytes that count the items
        for _, item, stop in _heif_boxes(data, start + 4 + count, end):
            kind = item + (10 if data[item : item + 1] == b"\3" else 8)  # behind the item's number
            try:
                data[kind : min(kind + 4, stop)].decode("ascii")
                data[kind:stop].decode()
            except UnicodeDecodeError as error:
                raise SyntaxError("HEIF: an item's kind or name is no text") from error


if importlib.util.find_spec("pi_heif"):  # phone photos (HEIC); without it they are refused as files of unknown kind
    import pi_heif

    class _HeifFile(pi_heif.HeifImageFile):
        def _open(self) -> None:
            _check_heif_items(self.fp.read())
            self.fp.seek(0)
            super()._open()

    # Previews, depth and the like are not needed
    pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    Image.register_open("HEIF", _HeifFile, Image.OPEN["HEIF"][1])


def _colour_chunks(file: BinaryIO) -> tuple[tuple[bytes, bytes], ...]:
    """Kind and content of a PNG's chunks of `_COLOUR_CHUNKS`: in its order, of a kind the first that is sound."""
    found: dict[bytes, bytes] = {}
    file.seek(8)
    while len(head := file.read(8)) == 8 and head[4:] not in (b"PLTE", b"IDAT"):  # behind them they do not count
        size, kind = struct.unpack(">I4s", head)
        after = file.tell() + size + 4
        if size == _COLOUR_CHUNKS.get(kind) and len(content := file.read(size)) == size and _is_sound(kind, content):
            found.setdefault(kind, content)
        file.seek(after)
    return tuple(found.items())


def _is_sound(kind: bytes, content: bytes) -> bool:
    if kind == b"sRGB":
        return content[0] <= 3  # rendering intents
    if kind == b"cICP":
        return content[2] == 0 and content[3] <= 1  # no matrix, as PNG holds RGB; of full range or not
    numbers = struct.unpack(f">{len(content) // 4}I", content)
    return max(numbers) < 2**31 and all(numbers[:2])  # the gamma, or the white point


class _PngFile(PngImagePlugin.PngImageFile):
    """A PNG that keeps `colour_chunks`: Pillow knows cICP not at all, and no order."""

    def _open(self) -> None:
        self.colour_chunks = _colour_chunks(self.fp)
        self.fp.seek(0)
        super()._open()


Image.register_open("PNG", _PngFile, Image.OPEN["PNG"][1])


class PictureError(ValueError):
    """A picture or mask that cannot be used. The message is for the person who gave it and names what was given."""


def read_picture(image: Source) -> Image.Image:
    """Read a picture, upright, as L, LA, RGB or RGBA.

    Args:
        image: as in `Inpainter.__call__`.

    Returns:
        A picture of that mode if it was of one; bilevel ones come as L, palettes as RGB or, transparent, RGBA, all
        others as RGB. Of 16 bits a channel, `ngan.deep.sixteen_bits` of it tells all, and its own 8 are the nearest. A
        colour profile stays in `info` where the mode stayed or is one of its colour space.

    Raises:
        PictureError: it cannot be read, or is too large, too small, or of a kind that has no fixed meaning.
        FileNotFoundError: no such file.
    """
    picture = _open(image, "image")
    if picture.width * picture.height > MAX_PIXELS:
        raise PictureError(
            f"image: {picture.width}x{picture.height} pixels; at most {MAX_PIXELS // 1_000_000} million are taken"
        )
    if min(picture.size) < MIN_SIDE:
        raise PictureError(f"image: {picture.width}x{picture.height} pixels; each side needs at least {MIN_SIDE}")
    content = content_of(picture)
    orientation = _orientation(picture) if content else 1  # asked for now: Pillow forgets it when it turns a TIFF
    picture = _upright(picture, image, "image")
    mode, profile = picture.mode, picture.info.pop("icc_profile", None)
    if content:
        try:
            picture = carrying(decoded(content, orientation, picture))
        except ValueError as error:
            raise PictureError(f"image: {error}") from error
    elif picture.mode.startswith("I"):
        picture = carrying(_whole_numbers(picture, "image"))
    else:
        picture = _to_eight_bits(picture, "image")
    if profile and (picture.mode == mode or profile[16:20] == _SPACES[picture.mode]):
        picture.info["icc_profile"] = profile
    return picture


def read_mask(mask: Source, size: tuple[int, int]) -> np.ndarray:
    """Read a mask for a picture.

    Args:
        mask: as in `Inpainter.__call__`.
        size: (width, height) of the upright picture, in pixels.

    Returns:
        (H, W), bool, True = to be filled.

    Raises:
        PictureError: it cannot be read, has another size, marks nothing or everything.
        FileNotFoundError: no such file.
    """
    if isinstance(mask, np.ndarray) and mask.ndim == 3 and mask.shape[2] == 1:
        mask = mask[..., 0]
    if isinstance(mask, np.ndarray) and mask.ndim == 2 and mask.dtype.kind in "bf":
        if mask.dtype.kind == "f" and not ((mask >= 0) & (mask <= 1)).all():
            raise PictureError("mask: float values must lie in [0, 1]")
        mask = (mask > 0.5).astype(np.uint8) * 255
    picture = _open(mask, "mask")
    if content_of(picture) and in_planes(picture):
        raise PictureError("mask: has 16 bits a channel, each channel by itself; save it as a PNG")
    if picture.width * picture.height <= MAX_PIXELS:  # else its size differs from any picture's
        picture = _upright(picture, mask, "mask")
    if picture.size != size:
        raise PictureError(
            f"mask: {picture.width}x{picture.height} pixels, but the picture (upright) has {size[0]}x{size[1]}"
        )
    picture = _to_eight_bits(picture, "mask")
    if picture.mode in ("LA", "RGBA"):
        picture = Image.alpha_composite(Image.new("RGBA", size, "black"), picture.convert("RGBA"))
    grey = np.asarray(picture.convert("L"))
    hole = grey > 127
    if not hole.any():
        raise PictureError(f"mask: marks no pixel; white (over 127) is filled, its brightest value is {grey.max()}")
    if hole.all():
        raise PictureError("mask: marks every pixel; some must stay known (black, up to 127)")
    return hole


def open_file(file: str | Path | BinaryIO, name: str) -> Image.Image:
    """Open a file that holds one picture; what is wrong with its pixels shows later.

    Args:
        file: to be read.
        name: what messages call it.

    Raises:
        PictureError: it is none, has too many pixels, or several frames or pages, of which all but one would be lost.
        FileNotFoundError: no such file.
    """
    picture = None
    try:
        picture = Image.open(file)
        frames = 1 if picture.format in _ONE_PICTURE else getattr(picture, "n_frames", 1)
    except Image.DecompressionBombError as error:
        raise PictureError(
            f"{name} has too many pixels; at most {MAX_PIXELS // 1_000_000} million are taken"
        ) from error
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        raise PictureError(_why_unread(error, name, file if picture is None else None)) from error
    if frames > 1:
        raise PictureError(f"{name} holds {frames} frames or pages; save one of them as a file of its own")
    return picture


def _why_unread(error: Exception, name: str, unopened: str | Path | BinaryIO | None = None) -> str:
    """Tell why a picture could not be read; `unopened` is the file in which not even a picture's head was found."""
    if isinstance(error, OSError) and error.strerror:  # the system's, such as of rights; Pillow's own have none
        return f"{name} cannot be read ({error.strerror})"
    if unopened is None:
        return f"{name} breaks off or is damaged"
    return f"{name} is {'empty' if _is_empty(unopened) else 'not a picture that can be read'}"


def _is_empty(file: str | Path | BinaryIO) -> bool:
    if isinstance(file, str | Path):
        return os.path.isfile(file) and os.path.getsize(file) == 0
    return file.seek(0, os.SEEK_END) == 0


def _open(source: Source, name: str) -> Image.Image:
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, np.ndarray):
        shaped = source.ndim == 2 or (source.ndim == 3 and source.shape[2] in (3, 4))
        if 0 in source.shape or not shaped or source.dtype not in (np.uint8, np.uint16):
            expected = "uint8 or uint16 of (H, W), (H, W, 3) or (H, W, 4)"
            raise PictureError(f"{name}: array of {source.dtype} and shape {source.shape}; expected {expected}")
        source = np.ascontiguousarray(source)
        return carrying(source) if source.dtype == np.uint16 else Image.fromarray(source)
    if not isinstance(source, str | Path):
        raise PictureError(f"{name}: {type(source).__name__}; expected a PIL image, a file's path or an array")
    return open_file(source, str(source))


def _upright(picture: Image.Image, source: object, name: str) -> Image.Image:
    white = _white_is_zero(picture)
    try:
        picture.load()
        upright = picture.copy() if _orientation(picture) == 1 else ImageOps.exif_transpose(picture)
    except _UNREADABLE as error:  # pixels are decoded here: the file may break off
        what = source if isinstance(source, str | Path) else name
        raise PictureError(_why_unread(error, what)) from error
    if white:
        info = upright.info
        upright = Image.fromarray(white - np.asarray(upright, dtype=np.uint16))
        upright.info = info
    return upright


def _white_is_zero(picture: Image.Image) -> int:
    """The value that is black in a grey TIFF of more than 8 bits whose white is 0, which Pillow leaves so; else 0."""
    tags = getattr(picture, "tag_v2", {})
    if not picture.mode.startswith("I;16") or tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) != 0:
        return 0
    return 2 ** tags[TiffImagePlugin.BITSPERSAMPLE][0] - 1


def _orientation(picture: Image.Image) -> int:
    try:
        return picture.getexif().get(ExifTags.Base.Orientation, 1)
    except _UNREADABLE:  # `ngan.saving.Origin.of` says what is wrong with it
        return 1


def _whole_numbers(picture: Image.Image, name: str) -> np.ndarray:
    """(H, W), uint16, of a picture whose mode begins with I."""
    values = np.asarray(picture).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise PictureError(f"{name}: mode {picture.mode} with values outside 0..65535")
    return values.astype(np.uint16)


def _to_eight_bits(picture: Image.Image, name: str) -> Image.Image:
    """Bring a picture of any mode to L, LA, RGB or RGBA."""
    if picture.mode.startswith("I"):
        return carrying(_whole_numbers(picture, name))
    if picture.mode == "F":
        raise PictureError(f"{name}: mode F; floating point pixels have no fixed range, convert the picture to 8 bits")
    grey = picture.mode in ("1", "L", "LA", "La")
    if picture.has_transparency_data:  # a palette or a colour that is transparent included
        mode = "LA" if grey else "RGBA"
    else:
        mode = "L" if grey else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)


def on_white(picture: Image.Image) -> Image.Image:
    """Flatten a picture of mode L, LA, RGB or RGBA to RGB, on white where it is transparent."""
    if picture.mode in ("RGBA", "LA"):
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")
