"""Filled pictures as files: the format and the metadata of the file they came from, written whole or not at all.

Lossless formats only, unless JPEG is asked for: known pixels come back bit for bit, which JPEG does not let them.
"""

import io
import logging
import re
import struct
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin
from PIL.PngImagePlugin import PngInfo

from ngan import deep
from ngan.disk import write_bytes
from ngan.pictures import PictureError, on_white

LOSSLESS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".webp": ("WEBP", {"lossless": True, "exact": True}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
    ".bmp": ("BMP", {}),
}
JPEG = (".jpg", ".jpeg")
_DEEP = (".png", ".tif", ".tiff")  # hold 16 bits a channel
FORMATS = ("lossless", "same", "png", "webp", "tiff", "bmp", "jpeg")
_SUFFIXES = {"PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", "BMP": ".bmp"}  # by Pillow's names
_SUFFIXES |= dict.fromkeys(("JPEG", "MPO", "HEIF", "AVIF"), ".jpg")
_LONGEST = {"WEBP": 16383, "JPEG": 65500}  # sides, in pixels: the first by its format, the second by its encoder
_QUICK: dict[str, dict[str, Any]] = {"PNG": {"compress_level": 1}, "WEBP": {"quality": 0, "method": 0}}
_NEW_JPEG = {"quality": 95, "subsampling": "4:4:4"}  # of a picture that was no JPEG before
_TIFF_LOSSLESS = ("raw", "packbits", "lzma", "tiff_lzw", "tiff_adobe_deflate", "zstd")  # Pillow's names
# What a TIFF says about itself besides how its pixels lie: description, make, model, software, time, artist,
# copyright, and the EXIF and GPS directories.
_TIFF_TAGS = (270, 271, 272, 305, 306, 315, 33432, 34665, 34853)
_ORIENTATION, _XMP, _DIRECTORIES = 274, 700, (34665, 34853)
_XMP_KEY = "XML:com.adobe.xmp"
# Text by which other programs hide EXIF data, with its turn and its thumbnail, in a PNG; Pillow reads it as EXIF.
_HIDDEN_EXIF = "Raw profile type "
_XMP_THUMBNAILS = re.compile(rb"<(?:xmp|xap):Thumbnails\b[^<>]*(?<!/)>|</(?:xmp|xap):Thumbnails\s*>")
# What Pillow's readers and writers of metadata raise on what is broken.
_BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError),
    *(OverflowError, ZeroDivisionError, struct.error),
)
_PROFILE_MODES = {b"GRAY": ("L", "LA", "I;16"), b"RGB ": ("RGB", "RGBA"), b"CMYK": ()}  # that a colour space fits
_CONVERTED = ("CMYK", "LAB")  # modes that are filled and written as RGB
# What PNG's chunks say of sRGB: 1/2.2, white, red, green and blue (x, y), each by 100,000; code points of H.273.
_SRGB = {b"gAMA": (45455,), b"cHRM": (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)}
_SRGB_CODES, _NEAR_SRGB = bytes((1, 13, 0, 1)), 0.05  # programs round them by up to so much


@dataclass(frozen=True)
class Origin:
    """What a picture's file holds beside its pixels; the default is a picture that came from no file.

    Attributes:
        format: Pillow's name of it, or "".
        mode: of the picture as it is stored, or "".
        exif: for the upright picture: without its turn, and without the thumbnail, which shows what was filled.
        xmp: for the upright picture, without thumbnails too.
        icc_profile: of the file; written where it fits the picture's mode.
        colours: PNG's other chunks that tell how its colours are to be read, kind and content, in the file's order;
            sRGB is left out beside a profile, as the format has it.
        dpi: across and down, or None.
        text: PNG's text by keyword.
        comment: JPEG's.
        tiff_compression: Pillow's name of it, or "".
        jpeg: how a JPEG was made: quantisation tables, subsampling, progressive or not.
    """

    format: str = ""
    mode: str = ""
    exif: bytes = b""
    xmp: bytes = b""
    icc_profile: bytes = b""
    colours: tuple[tuple[bytes, bytes], ...] = ()
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
            metadata: False = how its colours are to be read and how the file is made only.

        Raises:
            PictureError: its metadata is broken.
        """
        made: dict[str, Any] = {"format": file.format or "", "mode": file.mode}
        made["icc_profile"] = file.info.get("icc_profile") or b""
        made["colours"] = getattr(file, "colour_chunks", ())  # of PNG, by `ngan.pictures`
        if file.format == "TIFF":
            made["tiff_compression"] = file.info.get("compression", "")
        if file.format in ("JPEG", "MPO"):
            made["jpeg"] = _jpeg_making(file)
        if not metadata:
            return cls(**made)
        try:
            Image.Exif().load(file.info.get("exif") or b"")  # Pillow's reader of JPEG may have swallowed the error
            exif, xmp = _upright(file)
            text = getattr(file, "text", {}).items()
            text = {key: value for key, value in text if key != _XMP_KEY and not key.startswith(_HIDDEN_EXIF)}
            dpi = _dpi(file)
        except _BROKEN as error:
            reason = f"its metadata cannot be read ({error}); --strip-metadata leaves it out"
            raise PictureError(reason) from error
        comment = file.info.get("comment", b"") if file.format in ("JPEG", "MPO") else b""
        return cls(exif=exif, xmp=xmp, dpi=dpi, text=text, comment=comment, **made)

    @property
    def suffix(self) -> str:
        """Ending of a file of this format, or else of JPEG for what is a lossy one too, or else of PNG."""
        return _SUFFIXES.get(self.format, ".png")

    def without_metadata(self) -> "Origin":
        """What `of` returns with `metadata=False`."""
        return replace(self, exif=b"", xmp=b"", dpi=None, text={}, comment=b"")

    def jpeg_for(self, mode: str) -> dict[str, Any]:
        """How a JPEG of a picture of `mode` is made as the file was; empty if it was no JPEG or of another mode."""
        if mode != self.mode:
            return {}
        return {name: value for name, value in self.jpeg.items() if mode != "L" or name != "subsampling"}


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


def longest_side(suffix: str) -> int:
    """Tell how many pixels a side may have in the format of an ending of `LOSSLESS` or `JPEG`."""
    kind = "JPEG" if suffix.lower() in JPEG else LOSSLESS[suffix.lower()][0]
    return _LONGEST.get(kind, 2**31 - 1)


def losses(picture: Image.Image, suffix: str, origin: Origin | None = None) -> list[str]:
    """Tell what of a picture and its origin, as `save_picture` takes them, the format of an ending cannot hold."""
    origin, suffix = origin or Origin(), suffix.lower()
    lost = conversions(picture, origin)
    if suffix not in _DEEP and (picture.mode == "I;16" or deep.sixteen_bits(picture) is not None):
        lost.append(f"{suffix} holds 8 of its 16 bits a channel; PNG and TIFF hold all.")
    if suffix in JPEG and picture.mode in ("LA", "RGBA"):
        lost.append(f"{suffix} holds no transparency: it is put on white.")
    fits = picture.mode in _profile_modes(origin)  # else it is told of as left out
    held = {"colour profile": origin.icc_profile and fits, "EXIF data": origin.exif}
    if suffix == ".bmp" and (names := [name for name, value in held.items() if value]):
        lost.append(f"{suffix} holds no {' and no '.join(names)}; PNG, TIFF and WebP do.")
    if suffix != ".png" and (names := _unlike_srgb(origin)):
        lost.append(f"{suffix} holds no {' and '.join(names)}: its colours will be read otherwise; PNG holds them.")
    return lost


def conversions(picture: Image.Image, origin: Origin) -> list[str]:
    """Tell what of a picture's colours, as its file held them, no format keeps: CMYK, LAB, a profile that misfits."""
    converted, space = origin.mode in _CONVERTED, origin.icc_profile[16:20]
    told = [f"Its {origin.mode} colours are written as RGB."] if converted else []
    if origin.icc_profile and (converted or space in _PROFILE_MODES) and picture.mode not in _profile_modes(origin):
        told.append("Its colour profile does not fit what is written and is left out.")
    return told


def save_picture(path: Path, picture: Image.Image, origin: Origin | None = None, quick: bool = False) -> None:
    """Write a picture whole or not at all, in the format that the file's ending tells.

    A JPEG that comes from a JPEG gets its quantisation tables and subsampling; its known pixels still change, by
    rounding.

    Args:
        path: ends in one of `LOSSLESS` or `JPEG`; folders above it are made.
        picture: of mode L, LA, RGB, RGBA or I;16; its `info` is emptied. PNG and TIFF hold its 16 bits if it has them.
        origin: of the picture.
        quick: rather a larger file than a longer wait.

    Raises:
        PictureError: the format cannot hold its metadata.
        ValueError: it cannot hold pictures of this size.
        OSError: it cannot be written.
    """
    origin, suffix = origin or Origin(), path.suffix.lower()
    if max(picture.size) > longest_side(suffix):
        size = f"{picture.width}x{picture.height}"
        raise ValueError(f"{path}: {size} pixels; {suffix} holds at most {longest_side(suffix)} on a side")
    values = np.asarray(picture) if picture.mode == "I;16" else deep.sixteen_bits(picture)
    if values is not None:
        whole = values.ndim == 2 and suffix in _DEEP
        picture = Image.fromarray(values) if whole else deep.carrying(values)
    if suffix in JPEG:
        picture = picture if picture.mode == "L" else on_white(picture)
    elif picture.mode == "LA" and suffix in (".bmp", ".webp"):
        picture = picture.convert("RGBA")
    elif picture.mode == "L" and suffix == ".webp":  # holds colours only, and so must its profile
        picture = picture.convert("RGB")
    picture.info.clear()  # so that nothing but the settings is written
    try:
        kind, settings = _settings(suffix, picture.mode, origin)
        if values is not None and values.ndim == 3 and suffix in _DEEP:
            content = deep.png(values, settings, 1 if quick else 6) if kind == "PNG" else deep.tiff(values, settings)
        elif kind == "BMP" and picture.mode == "RGBA":
            content = _transparent_bmp(picture, origin.dpi)
        else:
            buffer = io.BytesIO()
            picture.save(buffer, kind, **settings, **(_QUICK.get(kind, {}) if quick else {}))
            content = buffer.getvalue()
    except _BROKEN as error:
        if origin == origin.without_metadata():
            raise
        reason = f"its metadata cannot be written to {suffix} ({error}); --strip-metadata leaves it out"
        raise PictureError(reason) from error
    write_bytes(path, content)


def quiet_pillow() -> None:
    """Keep Pillow's warnings, of broken metadata and large pictures, from a program's user: they ask for no action."""
    warnings.filterwarnings("ignore", module=r"(PIL|pi_heif)\b")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)


def _unlike_srgb(origin: Origin) -> list[str]:
    """The chunks of a PNG without which its colours are read otherwise; the newer a kind, the more it counts."""
    chunks = dict(origin.colours)
    if b"cICP" in chunks:
        return [] if chunks[b"cICP"] == _SRGB_CODES else ["cICP"]
    if origin.icc_profile or b"sRGB" in chunks:
        return []
    return [
        kind.decode()
        for kind in (b"gAMA", b"cHRM")
        if kind in chunks and not np.allclose(np.frombuffer(chunks[kind], ">u4"), _SRGB[kind], rtol=_NEAR_SRGB)
    ]


def _jpeg_making(file: Image.Image) -> dict[str, Any]:
    tables = file.quantization
    if sorted(tables) not in ([0], [0, 1], [0, 1, 2]):  # Pillow gives the first to the first channel, and so on
        return {}
    # -1: of no name, for which Pillow would halve the colours both ways
    sampling = max(0, JpegImagePlugin.get_sampling(file))
    return {"qtables": tables, "subsampling": sampling, "progressive": bool(file.info.get("progressive"))}


def _dpi(file: Image.Image) -> tuple[float, float] | None:
    across, down = (float(value) for value in file.info.get("dpi") or (0, 0))
    return (across, down) if 0 < across < 65536 and 0 < down < 65536 else None


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
    return (carrier.info.get("exif", b"") if carrier.getexif() else b""), _without_thumbnails(carrier.info["xmp"])


def _without_thumbnails(xmp: bytes) -> bytes:
    parts = _XMP_THUMBNAILS.split(xmp)  # every second one stands between a beginning and its end
    return b"".join(parts[::2]) if len(parts) % 2 else b""


def _settings(suffix: str, mode: str, origin: Origin) -> tuple[str, dict[str, Any]]:
    """Pillow's name of the format, and what to call its writer with."""
    if suffix in JPEG:
        kind, settings = "JPEG", dict(origin.jpeg_for(mode) or _NEW_JPEG)
        settings |= {name: value for name in ("xmp", "comment") if (value := getattr(origin, name))}
    else:
        kind, settings = LOSSLESS[suffix]
        settings = {**settings, **_lossless_settings(kind, origin)}
    settings["icc_profile"] = (origin.icc_profile or None) if mode in _profile_modes(origin) else None
    for name, value in (("exif", origin.exif), ("dpi", origin.dpi)):
        if value:
            settings.setdefault(name, value)
    return kind, settings


def _profile_modes(origin: Origin) -> tuple[str, ...]:
    return _PROFILE_MODES.get(origin.icc_profile[16:20], (origin.mode,))  # of an unknown space: as the file had it


def _transparent_bmp(picture: Image.Image, dpi: tuple[float, float] | None) -> bytes:
    """A BMP with a header that says which channel is transparency; Pillow's own does not, so that it is lost."""
    pixels = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes("raw", "BGRA")
    start, bitfields = 14 + 108, 3  # of the file's header and the fourth version of the picture's
    across, down = (round(value / 0.0254) for value in dpi or (96, 96))  # pixels a metre
    masks = struct.pack("<4I4s", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs")  # sRGB
    head = struct.pack("<2sI4xI", b"BM", start + len(pixels), start)
    head += struct.pack("<IiiHHIIiiII", 108, *picture.size, 1, 32, bitfields, len(pixels), across, down, 0, 0)
    return head + masks + bytes(48) + pixels


def _lossless_settings(kind: str, origin: Origin) -> dict[str, Any]:
    if kind == "WEBP":
        return {"xmp": origin.xmp} if origin.xmp else {}
    if kind == "TIFF":
        return _tiff_settings(origin)
    if kind != "PNG":
        return {}
    info = PngInfo()
    for chunk in origin.colours:
        info.add(*chunk)
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
