"""Pictures of 16 bits a channel: read, carried beside the 8 bits that all else works with, and written.

Pillow has no picture of 16-bit colours and reads their upper halves only. OpenCV reads them whole; a picture carries
them in `info` and hands them on, so that known pixels are written as they were read.
"""

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin, TiffTags

_KEY = "sixteen_bits"  # of a picture's `info`
_PNG_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_TIFF_DEFLATE, _TIFF_NONE = 8, 1
_TURNS = {  # how the pixels of an EXIF orientation are brought upright
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # it warns of every TIFF tag that it does not know


def carrying(values: np.ndarray) -> Image.Image:
    """An 8-bit picture that carries its 16 bits along.

    Args:
        values: (H, W), (H, W, 3) or (H, W, 4), uint16.

    Returns:
        L, RGB or RGBA, each value the nearest one of 256 levels.
    """
    picture = Image.fromarray(_eight_bits(values))
    picture.info[_KEY] = values
    return picture


def sixteen_bits(picture: Image.Image) -> np.ndarray | None:
    """What a picture carries, as given to `carrying`; None if nothing, or if its pixels were changed since."""
    values = picture.info.get(_KEY)
    if values is None or values.shape[:2] != picture.size[::-1]:
        return None
    return values if np.array_equal(_eight_bits(values), np.asarray(picture)) else None


def with_sixteen_bits(picture: Image.Image, before: Image.Image, hole: np.ndarray) -> Image.Image:
    """Give a filled picture the 16 bits of what it was filled from, where that was known.

    Args:
        picture: the filled one.
        before: the one it was made from; of the same size and mode.
        hole: (H, W), bool, True = filled.
    """
    values = sixteen_bits(before)
    if values is None:
        return picture
    values = values.copy()
    values[hole] = np.asarray(picture)[hole].astype(np.uint16) * 257
    return carrying(values)


def content_of(file: Image.Image) -> bytes | None:
    """The bytes of a picture file whose colours have 16 bits, if it is opened and not loaded yet; else None."""
    tile = getattr(file, "tile", None)
    if not tile or not getattr(file, "fp", None):
        return None
    if not _is_deep(file) or file.mode.startswith(("I", "F")):
        return None
    place = file.fp.tell()
    file.fp.seek(0)
    content = file.fp.read()
    file.fp.seek(place)
    return content


def in_planes(file: Image.Image) -> bool:
    """Tell of a TIFF that `content_of` reads whether each channel lies by itself: Pillow may read noise of it then."""
    return file.format == "TIFF" and file.tag_v2.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2


def decoded(content: bytes, orientation: int, upright: Image.Image) -> np.ndarray:
    """Read 16-bit colours.

    Args:
        content: from `content_of`.
        orientation: of its EXIF data.
        upright: the picture as Pillow reads it, upright; its pixels are the upper halves.

    Returns:
        (H, W, 3) or (H, W, 4), uint16, upright.

    Raises:
        ValueError: it is stored in a way in which the two read different pixels.
    """
    try:
        values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        values = None
    if values is not None and values.dtype == np.uint16 and values.ndim == 3:
        seen = np.asarray(upright if upright.mode in ("RGB", "RGBA") else upright.convert("RGBA"))
        channels = seen.shape[2]
        keyed = "transparency" in upright.info  # a colour that is transparent, which OpenCV makes a channel
        values = values[..., [2, 1, 0, 3][: 4 if keyed else channels]]
        for turned in (_TURNS.get(orientation, np.asarray)(values), values):  # OpenCV turns TIFF by itself
            if turned.shape[:2] == seen.shape[:2] and np.array_equal(turned[..., :channels] >> 8, seen):
                return np.ascontiguousarray(turned)
    raise ValueError("has 16 bits a channel, stored in a way that cannot be read; save it as a plain 16-bit PNG")


def png(values: np.ndarray, settings: dict[str, Any], level: int) -> bytes:
    """Write a PNG of 16 bits a channel.

    Args:
        values: (H, W, 3) or (H, W, 4), uint16.
        settings: what Pillow's writer is called with; the data beside the pixels is taken of them.
        level: of the compression, 1 (fast) to 9.
    """
    order = [2, 1, 0, 3][: values.shape[2]]
    whole = cv2.imencode(".png", values[..., order], [cv2.IMWRITE_PNG_COMPRESSION, level])[1].tobytes()
    pixels = [chunk for chunk in _chunks(whole) if chunk[4:8] in _PNG_PIXELS]
    small = io.BytesIO()
    Image.new("RGB", (1, 1)).save(small, "PNG", **settings)
    beside = [chunk for chunk in _chunks(small.getvalue()) if chunk[4:8] not in _PNG_PIXELS]
    return _PNG_HEAD + b"".join([pixels[0], *beside, *pixels[1:]])


def tiff(values: np.ndarray, settings: dict[str, Any]) -> bytes:
    """Write a TIFF of 16 bits a channel, without loss.

    Args:
        values: (H, W, 3) or (H, W, 4), uint16.
        settings: what Pillow's writer is called with: "compression", "exif", "icc_profile" and "dpi".
    """
    packed = settings.get("compression") != "raw"
    data = values.astype("<u2").tobytes()
    data = zlib.compress(data, 1) if packed else data
    tags = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    exif = settings.get("exif") or {}
    for tag, value in exif.items():
        tags[tag] = exif.get_ifd(tag) if tag in TiffTags.TAGS_V2_GROUPS else value
    for tag, value in (
        (TiffImagePlugin.IMAGEWIDTH, values.shape[1]),
        (TiffImagePlugin.IMAGELENGTH, values.shape[0]),
        (TiffImagePlugin.BITSPERSAMPLE, (16,) * values.shape[2]),
        (TiffImagePlugin.COMPRESSION, _TIFF_DEFLATE if packed else _TIFF_NONE),
        (TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 2),
        (TiffImagePlugin.SAMPLESPERPIXEL, values.shape[2]),
        (TiffImagePlugin.ROWSPERSTRIP, values.shape[0]),
        (TiffImagePlugin.PLANAR_CONFIGURATION, 1),
        (TiffImagePlugin.STRIPBYTECOUNTS, len(data)),
        (TiffImagePlugin.STRIPOFFSETS, 0),  # the directory's end is added when it is written
    ):
        tags[tag] = value
    if values.shape[2] == 4:
        tags[TiffImagePlugin.EXTRASAMPLES] = 2  # transparency, not multiplied in
    if settings.get("dpi"):
        tags[TiffImagePlugin.RESOLUTION_UNIT] = 2  # inches
        tags[TiffImagePlugin.X_RESOLUTION], tags[TiffImagePlugin.Y_RESOLUTION] = settings["dpi"]
    if settings.get("icc_profile"):
        tags.tagtype[TiffImagePlugin.ICCPROFILE] = 7
        tags[TiffImagePlugin.ICCPROFILE] = settings["icc_profile"]
    head = b"II" + struct.pack("<HI", 42, 8)
    return head + tags.tobytes(len(head)) + data


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """The nearest of 256 levels to each of 65,536; uint8, of the same shape."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _is_deep(file: Image.Image) -> bool:
    """Tell whether the channels of an opened file, which is not loaded yet, have more than 8 bits."""
    if file.format == "TIFF":  # not by its first tile, which of channels that lie apart tells 8 bits
        return max(file.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))) > 8
    how = file.tile[0].args if isinstance(file.tile[0].args, tuple) else (file.tile[0].args,)
    if file.tile[0].codec_name == "ppm":
        return how[-1] > 255  # its largest value
    return isinstance(how[0], str) and ";16" in how[0]


def _chunks(content: bytes) -> list[bytes]:
    """The chunks of a PNG file, each with its length and checksum."""
    chunks, start = [], len(_PNG_HEAD)
    while start < len(content):
        stop = start + 12 + int.from_bytes(content[start : start + 4], "big")
        chunks.append(content[start:stop])
        start = stop
    return chunks
