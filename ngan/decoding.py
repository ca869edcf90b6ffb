"""From pictures as data sets store them to square tensors: bytes or a path in, uint8 (3, S, S) or a reason why not."""

import io
import struct
import zlib
from typing import Any

import fsspec
import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from ngan.pictures import on_white, read_picture

# What Pillow's decoders raise on broken bytes, where they never meant to included.
_BROKEN = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, ArithmeticError, RuntimeError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)


def decode_square(raw: dict[str, Any] | None, image_size: int) -> torch.Tensor | str:
    """Decode a stored picture to RGB, upright, on white where transparent, cut to its centre square and resized.

    Args:
        raw: "bytes" of the file, or the "path" to it (any that fsspec opens), as `datasets.Image` stores pictures.
        image_size: side S of the square, in pixels.

    Returns:
        The picture, uint8 (3, S, S); or the reason why it cannot be used.
    """
    if raw is None:
        return "the row holds no picture"
    try:
        with Image.open(_open(raw)) as image:
            image.draft(None, (2 * image_size, 2 * image_size))  # JPEG decodes a large photo at a fraction of its size
            return _to_square(on_white(read_picture(image)), image_size)
    except UnidentifiedImageError:  # whose own words are the address of the bytes
        return "not a picture of a format that can be read"
    except _BROKEN as error:
        return f"{type(error).__name__}: {error}"


def picture_name(raw: dict[str, Any] | None) -> str:
    """Return what to call a stored picture in a message: its path, or the checksum of its bytes."""
    raw = raw or {}
    data = raw.get("bytes")
    return raw.get("path") or ("no bytes" if data is None else f"{len(data)} bytes, crc32 {zlib.crc32(data):08x}")


def _open(raw: dict[str, Any]) -> io.BytesIO:
    if raw.get("bytes") is not None:
        return io.BytesIO(raw["bytes"])
    if not raw.get("path"):
        raise ValueError("neither bytes nor a path")
    with fsspec.open(raw["path"], "rb") as file:  # a streamed set names files on the Hub or within archives
        return io.BytesIO(file.read())


def _to_square(image: Image.Image, size: int) -> torch.Tensor:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    square = image.resize((size, size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()
