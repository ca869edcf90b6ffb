"""What `Inpainter` tells of a picture beside the picture: the steps, the faces, the notes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from PIL import Image

from ngan.deep import sixteen_bits
from ngan.framing import Face
from ngan.model import NGANOutput
from ngan.pictures import on_white

_SIDE = 512  # of the stages of a face, in pixels, at most


@dataclass
class Stages:
    """What happened to a picture, or to one face of it, step by step; all of one size.

    Attributes:
        corrupted: RGB, the picture with its hole painted grey.
        code_image: RGB, the code generator's image in the hole, the picture's known pixels around it: what the image
            generator decodes.
        location: L, where the code generator sees damage, 255 = surely.
        mask: L, {0, 255}, 255 = filled; the given mask, or the found one, all 0 if no damage was found.
        final: the result, as from `Inpainter.__call__`.
    """

    corrupted: Image.Image
    code_image: Image.Image
    location: Image.Image
    mask: Image.Image
    final: Image.Image


@dataclass
class Result:
    """A filled picture and how it came about.

    Attributes:
        final: as from `Inpainter.__call__`, but always of 8 bits a channel.
        mask: L, {0, 255}, of the same size, 255 = filled.
        faces: those that were filled, or that damage was looked for in; none if the picture was filled as a whole.
        inside: the stages of each of `faces`, upright, at most 512 pixels a side; the whole picture's own where it was
            filled as a whole.
        notes: what a person should know, a sentence each: no face found, no damage found.
    """

    final: Image.Image
    mask: Image.Image
    faces: list[Face] = field(default_factory=list)
    inside: list[Stages] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def sixteen_bits(self) -> np.ndarray | None:
        """`final` in 16 bits, uint16, (H, W), (H, W, 3) or (H, W, 4), if the picture had so many; else None."""
        return sixteen_bits(self.final)


def whole_stages(rgb: np.ndarray, hole: np.ndarray, final: Image.Image, look: NGANOutput) -> Stages:
    """The stages of a picture that the networks saw as a whole.

    Args:
        rgb: (H, W, 3), uint8, the picture.
        hole: (H, W), bool.
        final: the result.
        look: what the networks made of the picture.
    """
    size = final.size
    code = to_picture(look.code_image).resize(size, Image.Resampling.BICUBIC)
    return Stages(
        corrupted=Image.fromarray(_greyed(rgb, hole)),
        code_image=Image.composite(code, Image.fromarray(rgb), marked(hole)),
        location=to_picture(look.location.sigmoid() * 2 - 1).resize(size, Image.Resampling.BILINEAR),
        mask=marked(hole),
        final=final,
    )


def face_stages(rgb: np.ndarray, hole: np.ndarray, final: Image.Image, face: Face, look: NGANOutput) -> Stages:
    """The stages of one face, upright, at most 512 pixels a side; arguments as of `whole_stages`."""
    side = min(_SIDE, max(look.image.shape[-1], round(face.side)))
    given, result = (_crop(pixels, face, side) for pixels in (rgb, np.asarray(on_white(final))))
    inside = _crop(hole.astype(np.uint8) * 255, face, side) > 127
    return whole_stages(given, inside, Image.fromarray(result), look)


def photo_stages(
    rgb: np.ndarray, hole: np.ndarray, final: Image.Image, faces: Sequence[Face], looks: Sequence[NGANOutput]
) -> Stages:
    """The stages of a whole photo of which the networks saw the faces; other arguments as of `whole_stages`."""
    code, location = np.array(on_white(final)), np.zeros(hole.shape, np.uint8)
    for face, look in zip(faces, looks, strict=True):
        matrix = face.matrix(look.image.shape[-1])
        inside = warp_back(np.full(look.location.shape[-2:], 255, np.uint8), matrix, hole.shape) > 127
        image = warp_back(np.asarray(to_picture(look.code_image)), matrix, hole.shape)
        code[inside & hole] = image[inside & hole]
        seen = np.asarray(to_picture(look.location.sigmoid() * 2 - 1))
        location = np.maximum(location, warp_back(seen, matrix, hole.shape))
    return Stages(
        Image.fromarray(_greyed(rgb, hole)), Image.fromarray(code), Image.fromarray(location), marked(hole), final
    )


def warp_back(small: np.ndarray, matrix: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bring a grid to the photo's size, 0 outside of it; `matrix` maps the photo's pixels to the grid's."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(np.ascontiguousarray(small), matrix, (shape[1], shape[0]), flags=flags)


def _crop(pixels: np.ndarray, face: Face, side: int) -> np.ndarray:
    """The upright square of a face, for people to look at, beyond the photo as the networks see it (`paste.cut`)."""
    left, top, right, bottom = box_of(face, pixels.shape[1::-1])
    part = pixels[top:bottom, left:right]
    scale = min(1.0, side / face.side)
    shape = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    part = cv2.resize(part, shape, interpolation=cv2.INTER_AREA)
    matrix = face.matrix(side, left, top, scale)
    return cv2.warpAffine(part, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def box_of(face: Face, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, upper, right and lower border of a face's square within a picture of a size, in pixels."""
    low, high = np.floor(face.corners.min(axis=0)), np.ceil(face.corners.max(axis=0))
    left, top = (int(min(max(value, 0), length - 1)) for value, length in zip(low, size, strict=True))
    right, bottom = (int(min(max(value, 1), length)) for value, length in zip(high, size, strict=True))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _greyed(rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
    return np.where(hole[..., None], np.uint8(128), rgb)


def marked(hole: np.ndarray) -> Image.Image:
    """(H, W), bool, as an L picture, 255 = True."""
    return Image.fromarray(hole.astype(np.uint8) * 255)


def to_picture(x: torch.Tensor) -> Image.Image:
    """(1, C, h, w) in [-1, 1], C = 1 or 3, as an L or RGB picture."""
    pixels = ((x[0].float().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(
        pixels.permute(1, 2, 0).squeeze(2).numpy() if x.shape[1] == 1 else pixels.permute(1, 2, 0).contiguous().numpy()
    )
