"""Filled pictures as files: the format and the metadata of the file they came from, written whole or not at all.

Lossless formats only, unless JPEG is asked for: known pixels come back bit for bit, which JPEG does not let them.
"""

import io
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, JpegImagePlugin
from PIL.PngImagePlugin import PngInfo

from ngan.pictures import PictureError, on_white

LOSSLESS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".webp": ("WEBP", {"lossless": True, "exact": True}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
    ".bmp": ("BMP", {}),
}
JPEG = (".jpg", ".jpeg")
FORMATS = ("lossless", "same", "png", "webp", "tiff", "bmp", "jpeg")
_NEW_JPEG = {"quality": 95, "subsampling": "4:4:4"}  # of a picture that was no JPEG before
_TIFF_LOSSLESS = ("raw", "packbits", "lzma", "tiff_lzw", "tiff_adobe_deflate", "zstd")  # Pillow's names
# What a TIFF says about itself besides how its pixels lie: description, make, model, software, time, artist,
# copyright, and the EXIF and GPS directories.
_TIFF_TAGS = (270, 271, 272, 305, 306, 315, 33432, 34665, 34853)
_ORIENTATION, _XMP = 274, 700
_DIRECTORIES = (34665, 34853)
_XMP_KEY = "XML:com.adobe.xmp"
_BROKEN = (OSError, SyntaxError, ValueError, TypeError, KeyError, EOFError, struct.error)


@dataclass(frozen=True)
class Origin:
    """What a picture's file holds beside its pixels; the default is a picture that came from no file.

    Attributes:
        exif: for the upright picture: without its turn, and without the thumbnail, which shows what was filled.
        xmp: for the upright picture.
        icc_profile: of the file; written where it fits the picture's mode.
        dpi: across and down, or None.
        text: PNG's text by keyword.
        comment: JPEG's.
        tiff_compression: Pillow's name of it, or "".
        jpeg: how a JPEG was made: quantisation tables, subsampling, progressive or not; and its mode.
    """

    exif: bytes = b""
    xmp: bytes = b""
    icc_profile: bytes = b""
    dpi: tuple[float, float] | None = None
    text: dict[str, str] = field(default_factory=dict)
    comment: bytes = b""
    tiff_compression: str = ""
    jpeg: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, file: Image.Image, metadata: bool = True) -> "Origin":
        """Read it.

        Args:
            file: as `Image.open` returned it.
            metadata: False = the colour profile and how the file is made only.

        Raises:
            PictureError: its metadata is broken.
        """
        made: dict[str, Any] = {"icc_profile": file.info.get("icc_profile") or b""}
        if file.format == "TIFF":
            made["tiff_compression"] = file.info.get("compression", "")
        if file.format == "JPEG":
            made["jpeg"] = {
                "mode": file.mode,
                "qtables": file.quantization,
                "subsampling": JpegImagePlugin.get_sampling(file),
                "progressive": bool(file.info.get("progressive")),
            }
        if not metadata:
            return cls(**made)
        try:
            exif, xmp = _upright(file)
            text = {key: value for key, value in getattr(file, "text", {}).items() if key != _XMP_KEY}
        except _BROKEN as error:
            reason = f"its metadata cannot be read ({error}); --strip-metadata leaves it out"
            raise PictureError(reason) from error
        dpi = file.info.get("dpi")
        comment = file.info.get("comment", b"") if file.format == "JPEG" else b""
        return cls(exif, xmp, dpi=dpi and (float(dpi[0]), float(dpi[1])), text=text, comment=comment, **made)


def output_suffix(suffix: str, kind: str) -> str:
    """Tell the ending of the file that a picture is written to.

    Args:
        suffix: ending of the file that it comes from, such as ".JPG".
        kind: of `FORMATS`.

    Raises:
        ValueError: "same" for a format that is not written.
    """
    known = suffix.lower() in LOSSLESS or (kind == "same" and suffix.lower() in JPEG)
    if known and kind in ("lossless", "same"):
        return suffix
    if kind == "same":
        raise ValueError(f"pictures are read from {suffix} but not written to it; leave out --format same")
    return {"lossless": ".png", "jpeg": ".jpg", "tiff": ".tif"}.get(kind, f".{kind}")


def check_writable(path: Path) -> None:
    """Refuse a file whose ending is not one of a format that is written."""
    if path.suffix.lower() not in (*LOSSLESS, *JPEG):
        known = ", ".join((*LOSSLESS, *JPEG))
        raise ValueError(f"{path}: not a kind of picture that is written; end its name in {known}")


def save_picture(path: Path, picture: Image.Image, origin: Origin | None = None) -> None:
    """Write a picture whole or not at all, in the format that the file's ending tells.

    A JPEG that comes from a JPEG gets its quantisation tables and subsampling; its known pixels still change, by
    rounding.

    Args:
        path: ends in one of `LOSSLESS` or `JPEG`; folders above it are made.
        picture: of mode L, RGB or RGBA.
        origin: of the picture.

    Raises:
        OSError: it cannot be written.
    """
    origin = origin or Origin()
    if path.suffix.lower() in JPEG:
        kind, settings = "JPEG", _jpeg_settings(picture, origin)
        picture = picture if picture.mode == "L" else on_white(picture)
    else:
        kind, settings = LOSSLESS[path.suffix.lower()]
        settings = {**settings, **_lossless_settings(kind, origin)}
    space = {b"GRAY": ("L",), b"RGB ": ("RGB", "RGBA")}.get(origin.icc_profile[16:20], ())
    settings["icc_profile"] = origin.icc_profile if picture.mode in space else None
    for name, value in (("exif", origin.exif), ("dpi", origin.dpi)):
        if value:
            settings.setdefault(name, value)
    picture.info.clear()  # so that nothing but `settings` is written
    buffer = io.BytesIO()
    picture.save(buffer, kind, **settings)
    write_bytes(path, buffer.getvalue())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, by way of a hidden one beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(content)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _upright(file: Image.Image) -> tuple[bytes, bytes]:
    """EXIF and XMP of the picture once it is turned upright."""
    exif, whole = Image.Exif(), file.getexif()
    for tag, value in whole.items():
        if tag == _ORIENTATION or (tag != _XMP and (file.format != "TIFF" or tag in _TIFF_TAGS)):
            exif[tag] = whole.get_ifd(tag) if tag in _DIRECTORIES else value
    xmp = file.info.get("xmp") or b""
    carrier = Image.new("L", (1, 1))
    carrier.info = {"exif": exif.tobytes(), "xmp": xmp if isinstance(xmp, bytes) else xmp.encode()}
    carrier = ImageOps.exif_transpose(carrier)
    return (carrier.info.get("exif", b"") if carrier.getexif() else b""), carrier.info["xmp"]


def _jpeg_settings(picture: Image.Image, origin: Origin) -> dict[str, Any]:
    settings: dict[str, Any] = dict(_NEW_JPEG)
    if origin.jpeg.get("mode") == picture.mode:
        settings = {name: value for name, value in origin.jpeg.items() if name != "mode"}
    if picture.mode == "L":
        settings.pop("subsampling", None)
    settings |= {"xmp": origin.xmp} if origin.xmp else {}
    return settings | ({"comment": origin.comment} if origin.comment else {})


def _lossless_settings(kind: str, origin: Origin) -> dict[str, Any]:
    if kind == "WEBP":
        return {"xmp": origin.xmp} if origin.xmp else {}
    if kind == "TIFF":
        return _tiff_settings(origin)
    if kind != "PNG":
        return {}
    info = PngInfo()
    for keyword, value in origin.text.items():
        info.add_itxt(keyword, value, getattr(value, "lang", "") or "", getattr(value, "tkey", "") or "")
    if origin.comment:
        info.add_itxt("Comment", origin.comment.decode("utf-8", "replace"))
    if origin.xmp:
        info.add_itxt(_XMP_KEY, origin.xmp.decode("utf-8", "replace"))
    return {"pnginfo": info}


def _tiff_settings(origin: Origin) -> dict[str, Any]:
    known = origin.tiff_compression in _TIFF_LOSSLESS
    settings: dict[str, Any] = {"compression": origin.tiff_compression if known else "tiff_adobe_deflate"}
    exif = Image.Exif()
    exif.load(origin.exif)
    if any(tag in exif for tag in _DIRECTORIES):
        settings["compression"] = "raw"  # Pillow's compressors cannot write them
    if origin.xmp:
        exif[_XMP] = origin.xmp
    return settings | ({"exif": exif} if exif else {})
