"""Uploaded photos in, filled photos out: read with words a person understands, saved in the format they came in."""

import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ngan.deep import sixteen_bits
from ngan.pictures import MIN_SIDE, PictureError, read_mask, read_picture
from ngan.saving import JPEG, Origin, conversions, longest_side, quiet_pillow, save_picture

MAX_MEGAPIXELS = 50  # of a photo; more would take this server's memory from others
MAX_UPLOAD = "64mb"  # of a file

quiet_pillow()
Image.init()  # else Image.OPEN lacks some readers
# Readers that a photo may need; others of Pillow's start programs or are known from no camera.
_FORMATS = [name for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF") if name in Image.OPEN]
_MOVING = ("GIF", "PNG", "WEBP", "AVIF", "TIFF")  # more than one frame: not one photo; MPO and HEIF hold previews
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
# What Pillow's readers of metadata let through on mutated files
_MUTATED = (struct.error, KeyError, IndexError, TypeError, AttributeError, Image.DecompressionBombError)
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, *_MUTATED)
_BROKEN = "This {} is a broken picture: it begins like one, but cannot be read to its end."
_EXACT = "{}: every pixel that you did not paint is bit for bit as it was."
_LOST = " The photo's EXIF data is broken or too long, and is left out."
_DEEP = " All 16 bits of its colours are kept."
EXPIRED = (
    "The photo is not on this server any more: a photo is deleted after an hour, or when the server starts anew. "
    "Open it again."
)
_NAME_BYTES = 120  # of the upload's name that are kept, so that no folder finds the result's too long


class Unusable(ValueError):
    """What cannot be done. The message is a sentence for the person at the page; it names no path."""


class Expired(Unusable):
    """The photo is not on this server any more; the page, which may have its file, opens it again."""

    def __init__(self) -> None:
        super().__init__(EXPIRED)


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


def words_of(error: Unusable | PictureError) -> str:
    """A sentence for the page; what `ngan` says names sizes and modes, and never a path: it is given no file."""
    if isinstance(error, Unusable):
        return str(error)
    return f"This cannot be filled. {str(error).removeprefix('image: ').capitalize()}."


def new_folder(folder: Path) -> Path:
    """Make an empty folder within `folder`, which need not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=folder))


def open_photo(path: str | Path | None) -> Image.Image:
    """Read an uploaded photo, upright, as L, LA, RGB or RGBA.

    Raises:
        Unusable: it is none, or broken, moving, too large or small, or not there any more.
    """
    if path is None:
        raise Unusable("Choose a picture file first.")
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
    try:
        with opened:
            if opened.format in _MOVING and getattr(opened, "n_frames", 1) > 1:
                raise Unusable("This picture is animated or has several pages. Save one as a picture and open that.")
            return read_picture(opened)
    except Unusable:
        raise
    except PictureError as error:
        if "16 bits a channel" in str(error):
            raise Unusable("This picture has 16 bits a colour in a rare form. Save it as PNG first.") from error
        if "mode F" in str(error) or "values outside" in str(error):
            raise Unusable("This picture has no 8-bit or 16-bit colours. Save it as PNG or JPEG first.") from error
        raise Unusable(_BROKEN.format("file")) from error
    except _UNREADABLE as error:
        raise Unusable(_BROKEN.format("file")) from error


def open_mask(path: str | Path, size: tuple[int, int]) -> np.ndarray:
    """Read an uploaded mask for an upright picture of (width, height) `size`; (H, W), bool, True = to be filled.

    Raises:
        Unusable: it is no picture, has another size, marks nothing or everything, or is not there any more.
    """
    try:
        with _open(path, "mask file") as opened:
            return read_mask(opened, size)
    except PictureError as error:
        what = str(error).removeprefix("mask").removeprefix(":").lstrip()
        if "be read" in what or "is damaged" in what:
            raise Unusable(_BROKEN.format("mask file")) from error
        said = "it" if what.startswith(("marks", "has", "holds")) else "it has"
        raise Unusable(f"This mask cannot be used: {said} {what}.") from error
    except _MUTATED as error:
        raise Unusable(_BROKEN.format("mask file")) from error


def _open(path: str | Path, what: str = "file") -> Image.Image:
    try:
        return Image.open(path, formats=_FORMATS)
    except FileNotFoundError as error:
        raise Expired() if what == "file" else Unusable(EXPIRED.replace("photo", "mask")) from error
    except Image.DecompressionBombError as error:
        text = f"This picture has far too many pixels. At most {MAX_MEGAPIXELS} megapixels can be filled here."
        raise Unusable(text) from error
    except _UNREADABLE as error:
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
    name = Path(source).stem.encode(errors="ignore")[:_NAME_BYTES].decode(errors="ignore") if source else "picture"
    origin, whole = _origin(final, source)
    has_deep = sixteen_bits(final) is not None  # asked before it is written, which empties its `info`
    told = "".join(f" {sentence}" for sentence in conversions(final, origin))
    suffix = origin.suffix if max(final.size) <= longest_side(origin.suffix) else ".png"
    file, exact = folder / f"{name}-filled{suffix}", folder / f"{name}-filled.png"
    whole &= _save(file, final, origin)
    if suffix not in JPEG:
        kind = suffix[1:].upper().replace("TIF", "TIFF")
        deep = _DEEP if has_deep else ""
        return Saved(file, None, _EXACT.format(kind) + deep + told + ("" if whole else _LOST))
    whole &= _save(exact, final, origin)
    how = "with your photo's own compression tables" if origin.jpeg_for(final.mode) else "at high quality"
    note = (
        f"The JPEG is written {how}; compressing again moves all pixels a little. "
        "In the PNG every pixel that you did not paint is bit for bit as it was."
    )
    return Saved(file, exact, note + told + ("" if whole else _LOST))


def save_shown(pictures: Sequence[Image.Image], folder: Path) -> list[str]:
    """Write PNG files to be shown; Gradio would take four times as long to write them."""
    paths = [str(folder / f"{number}.png") for number in range(len(pictures))]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path, compress_level=1)
    return paths


def _origin(final: Image.Image, source: str | Path | None) -> tuple[Origin, bool]:
    """What a photo's file holds beside its pixels, and whether all of it could be read."""
    if source is None:
        return Origin(mode=final.mode, icc_profile=final.info.get("icc_profile") or b""), True
    with _open(source) as opened:
        try:
            return Origin.of(opened), True
        except PictureError:
            return Origin.of(opened, metadata=False), False


def _save(path: Path, final: Image.Image, origin: Origin) -> bool:
    """Write a result; returns whether its metadata could be."""
    try:
        save_picture(path, final, origin, quick=True)
    except PictureError:
        save_picture(path, final, origin.without_metadata(), quick=True)
        return False
    return True
