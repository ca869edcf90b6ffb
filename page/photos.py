"""Uploaded photos in, filled photos out: read with words a person understands, saved in the format they came in."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, JpegImagePlugin

from ngan.pictures import MIN_SIDE, PictureError, read_mask, read_picture

MAX_MEGAPIXELS = 50  # of a photo; more would take this server's memory from others
MAX_UPLOAD = "64mb"  # of a file

Image.init()  # else Image.OPEN lacks some readers
# Readers that a photo may need; others of Pillow's start programs or are known from no camera.
_FORMATS = [name for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF") if name in Image.OPEN]
_MOVING = ("GIF", "PNG", "WEBP", "AVIF", "TIFF")  # more than one frame: not one photo; MPO and HEIF hold previews
_LOSSLESS = {
    "PNG": ("PNG", ".png", {"compress_level": 1}),
    "WEBP": ("WEBP", ".webp", {"lossless": True, "quality": 0, "method": 0, "exact": True}),
    "TIFF": ("TIFF", ".tif", {"compression": "tiff_adobe_deflate"}),
    "BMP": ("BMP", ".bmp", {}),
}
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
# What Pillow's readers of metadata let through on mutated files
_MUTATED = (struct.error, KeyError, IndexError, TypeError, AttributeError, Image.DecompressionBombError)
_BROKEN = "This {} is a broken picture: it begins like one, but cannot be read to its end."
_EXACT = "{}: every pixel that you did not paint is bit for bit as it was."
_WEBP_SIDE = 16383  # longest that the format can hold, in pixels


class Unusable(ValueError):
    """What cannot be done. The message is a sentence for the person at the page; it names no path."""


@dataclass(frozen=True)
class Saved:
    """The files of a result.

    Attributes:
        file: in the format of the upload, of the picture's own size.
        lossless: the same pixels as a PNG, if `file` loses some; else None.
        note: what is bit for bit and what is not, in one or two sentences.
    """

    file: Path
    lossless: Path | None
    note: str


def open_photo(path: str | Path) -> Image.Image:
    """Read an uploaded photo, upright, as L, RGB or RGBA.

    Raises:
        Unusable: it is none, or broken, moving, or too large or small.
        FileNotFoundError: it is not there any more.
    """
    opened = _open(path)
    width, height = opened.size
    if width * height > MAX_MEGAPIXELS * 1_000_000:
        opened.close()
        raise Unusable(
            f"This picture has {width} x {height} pixels, {width * height / 1e6:.0f} megapixels. "
            f"At most {MAX_MEGAPIXELS} megapixels can be filled here: make it smaller first."
        )
    if min(width, height) < MIN_SIDE:
        opened.close()
        raise Unusable(f"This picture has {width} x {height} pixels. Each side needs at least {MIN_SIDE}.")
    if opened.format in _MOVING and getattr(opened, "n_frames", 1) > 1:
        opened.close()
        raise Unusable("This picture is animated or has several pages. Save one of them as a picture and open that.")
    try:
        with opened:
            return read_picture(opened)
    except PictureError as error:
        if "mode F" in str(error) or "values outside" in str(error):
            raise Unusable("This picture has no 8-bit or 16-bit colours. Save it as PNG or JPEG first.") from error
        raise Unusable(_BROKEN.format("file")) from error
    except _MUTATED as error:
        raise Unusable(_BROKEN.format("file")) from error


def open_mask(path: str | Path, size: tuple[int, int]) -> np.ndarray:
    """Read an uploaded mask for an upright picture of (width, height) `size`; (H, W), bool, True = to be filled.

    Raises:
        Unusable: it is no picture, has another size, or marks nothing or everything.
        FileNotFoundError: it is not there any more.
    """
    try:
        with _open(path, "mask file") as opened:
            return read_mask(opened, size)
    except PictureError as error:
        what = str(error).removeprefix("mask: ")
        if "can be read" in what:
            raise Unusable(_BROKEN.format("mask file")) from error
        raise Unusable(f"This mask cannot be used: {what}.") from error
    except _MUTATED as error:
        raise Unusable(_BROKEN.format("mask file")) from error


def _open(path: str | Path, what: str = "file") -> Image.Image:
    try:
        return Image.open(path, formats=_FORMATS)
    except FileNotFoundError:
        raise
    except Image.DecompressionBombError as error:
        text = f"This picture has far too many pixels. At most {MAX_MEGAPIXELS} megapixels can be filled here."
        raise Unusable(text) from error
    except (OSError, SyntaxError, ValueError, EOFError, RuntimeError, *_MUTATED) as error:
        if _is_heic(path):
            text = "This HEIC photo cannot be read here. Share or save it as JPEG and open that."
        else:
            text = f"This {what} is not a picture that can be read. {_kinds()} work."
        raise Unusable(text) from error


def _kinds() -> str:
    names = {"WEBP": "WebP", "HEIF": "HEIC"}
    return ", ".join(names.get(name, name) for name in _FORMATS)


def _is_heic(path: str | Path) -> bool:
    with open(path, "rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS


def save_result(final: Image.Image, source: str | Path | None, folder: Path) -> Saved:
    """Write a result as the photo came: its format, name, colour profile and EXIF data, upright.

    Args:
        final: the filled picture.
        source: the uploaded file; None = the picture was drawn or filmed on the page itself.
        folder: where the files go.
    """
    name = (Path(source).stem[:80] if source else "picture") + "-filled"
    if source is None:
        path = folder / f"{name}.png"
        final.save(path, compress_level=1)
        return Saved(path, None, _EXACT.format("PNG"))
    with _open(source) as opened:
        exif, lost = _upright_exif(opened)
        extras = {"icc_profile": final.info.get("icc_profile"), **({"exif": exif} if exif else {})}
        lossy = opened.format in ("JPEG", "MPO", "HEIF", "AVIF")
        kind, suffix, options = _LOSSLESS.get(opened.format, _LOSSLESS["PNG"])
        if kind == "WEBP" and max(final.size) > _WEBP_SIDE:
            kind, suffix, options = _LOSSLESS["PNG"]
        if kind == "BMP":
            extras = {}
        exact = folder / f"{name}{suffix}"
        final.save(exact, format=kind, **options, **extras)
        if not lossy:
            return Saved(exact, None, _EXACT.format(kind) + lost)
        tables = _jpeg_options(opened)
        file = folder / f"{name}.jpg"
        final.convert("RGB" if final.mode == "RGBA" else final.mode).save(file, format="JPEG", **tables, **extras)
    how = "with your photo's own compression tables" if "qtables" in tables else "at high quality"
    note = (
        f"The JPEG is written {how}; compressing again moves all pixels a little. "
        f"In the PNG every pixel that you did not paint is bit for bit as it was.{lost}"
    )
    return Saved(file, exact, note)


def _jpeg_options(opened: Image.Image) -> dict:
    if opened.format not in ("JPEG", "MPO"):
        return {"quality": 95, "subsampling": 0}
    sampling = JpegImagePlugin.get_sampling(opened)
    tables = {key: table for key, table in opened.quantization.items() if key < 2}
    if len(tables) != len(opened.quantization):  # four tables: those of a CMYK file fit nothing else
        return {"quality": 95, "subsampling": 0}
    return {"qtables": tables, **({"subsampling": sampling} if sampling >= 0 else {})}


def _upright_exif(opened: Image.Image) -> tuple[bytes, str]:
    """EXIF data for pixels that stand upright.

    Pillow writes none of the camera's small preview, which would still show what was filled.

    Returns:
        The data, empty if there is none, and a sentence if it could not be kept.
    """
    try:
        exif = opened.getexif()
        exif.pop(ExifTags.Base.Orientation, None)
        return (exif.tobytes() if len(exif) else b""), ""
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error):
        return b"", " The photo's EXIF data was broken and is left out."
