"""A picture on its way through `ngan.inference`: its hole and faces, what the networks saw, and the result."""

import logging
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image

from ngan.blending import weight, yielding
from ngan.deep import with_sixteen_bits
from ngan.detail import Detail
from ngan.finer import lay_detail
from ngan.framing import Face
from ngan.grain import add_grain
from ngan.model import NGANOutput
from ngan.paste import cell_of, enlarge, fill_rest, near_eyes, network_share, shrink
from ngan.pictures import PictureError
from ngan.refiner import doubled_matrix
from ngan.stages import box_of
from ngan.tone import is_toned

_TONE_SIDE = 128  # in pixels, of the copy by which it is told whether a photo is in one tone

# Beginnings of `Result.notes`, by which programs tell them apart
NO_FACE = "No face was found:"
NO_FACE_MARKED = "What was marked lies in none of the known faces:"
PART_ELSEWHERE = "Part of what was marked lies in none of the known faces:"
NO_DAMAGE = "No damage was found:"

_logger = logging.getLogger(__name__)


@dataclass
class Fill:
    """What the networks filled of a picture: a face's square, or all of it.

    Attributes:
        grid: (1, 3, h, w), about [-1, 1], its known cells as they were.
        matrix: (2, 3), maps pixels of the picture to cells of the grid.
        face: whose square it is; None = all of the picture.
        refined: (1, 3, 2h, 2w), `grid` as the refiner drew it; None = it did not.
    """

    grid: torch.Tensor
    matrix: np.ndarray
    face: Face | None = None
    refined: torch.Tensor | None = None

    def box(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left, upper, right and lower border in a picture of a size (w, h), in pixels."""
        return (0, 0, *size) if self.face is None else box_of(self.face, size)

    def finest(self) -> tuple[torch.Tensor, np.ndarray]:
        """The finest grid there is, and its matrix."""
        return (self.grid, self.matrix) if self.refined is None else (self.refined, doubled_matrix(self.matrix))


@dataclass
class Job:
    """One picture on its way: as given, and what became of it.

    Attributes:
        picture: as read, upright.
        rgb: the same, (H, W, 3), uint8, laid on white where it is transparent.
        hole: (H, W), bool, what is to be filled; None = not found yet.
        final: the result; the picture until `finish` sets it.
        faces: those that are filled.
        looks: what the networks made of each, in mask-free mode when they looked for damage.
        whole: what they made of the picture as a whole, if it is filled so.
        notes: what else to know, for people.
        search: the hole is found, not given.
    """

    picture: Image.Image
    rgb: np.ndarray
    hole: np.ndarray | None
    final: Image.Image
    faces: list[Face] = field(default_factory=list)
    looks: list[NGANOutput] = field(default_factory=list)
    whole: NGANOutput | None = None
    notes: list[str] = field(default_factory=list)
    search: bool = False

    def check(self) -> bool:
        """Tell whether there is anything to fill. What is transparent is no damage that was found.

        Raises:
            PictureError: nothing is left to fill it from.
        """
        if self.search and self.picture.mode.endswith("A"):
            self.hole &= np.asarray(self.picture)[..., -1] > 0
        if self.hole.all():
            raise PictureError("image: all of it looks damaged, nothing known is left to fill it from; give a mask")
        if not self.hole.any():
            self.notes.append(f"{NO_DAMAGE} the picture is as it was.")
            if self.search and is_toned(shrink(Image.fromarray(self.rgb), None, (_TONE_SIDE, _TONE_SIDE))):
                self.notes.append("In a photo in one tone, thin damage is often missed: paint over it.")
        return bool(self.hole.any())

    def warn(self) -> None:
        """Log what a picture alone does not tell and `fill` notes."""
        if any(note.startswith(NO_DAMAGE) for note in self.notes):
            _logger.warning("no damage found, the picture is returned as it is")

    def finish(self, fills: list[Fill]) -> None:
        """Bring fills to the photo's size, blend them, fill what is left, and set the result."""
        canvas, rest, rings = self.rgb.copy(), self.hole.copy(), []
        fills = sorted(fills, key=lambda fill: fill.face.side if fill.face else 0)  # the rims of small lie in large
        for i, fill in enumerate(fills):
            box, face = fill.box(self.picture.size), fill.face
            around = slice(box[1], box[3]), slice(box[0], box[2])
            eyes = near_eyes(fill.matrix, tuple(fill.grid.shape[:1:-1]), around)
            shares = network_share(self.hole[around], cell_of(fill.matrix), eyes)
            for window, colours in enlarge(*fill.finest(), self.rgb, self.hole, box):
                part = (
                    slice(line.start - start, line.stop - start)
                    for line, start in zip(window, box[1::-1], strict=True)
                )
                share = shares[tuple(part)]
                if face is not None:
                    later = (other.face for other in fills[i + 1 :])
                    share = share * weight(face, window) * yielding(face, later, window)
                pixels = np.rint(colours).clip(0, 255).astype(np.uint8)
                core, ring = rest[window] & (share >= 1), rest[window] & (share > 0) & (share < 1)
                canvas[window][core] = pixels[core]
                rings.append((window, ring, pixels[ring], share[ring][:, None]))
                rest[window] &= ~core
        fill_rest(canvas, rest)
        for window, ring, pixels, share in rings:
            canvas[window][ring] = np.rint(share * pixels + (1 - share) * canvas[window][ring])
        add_grain(canvas, self.hole, self._detailed(canvas, fills))
        result = np.array(self.picture)
        result[self.hole] = _in_mode(canvas[self.hole].astype(np.float32), self.picture.mode)
        self.final = with_sixteen_bits(Image.fromarray(result), self.picture, self.hole)
        if "icc_profile" in self.picture.info:
            self.final.info["icc_profile"] = self.picture.info["icc_profile"]

    def _detailed(self, canvas: np.ndarray, fills: list[Fill]) -> list[Detail]:
        """Lay fine detail of the photo over what was filled, in place, each pixel by its smallest grid."""
        left, details = self.hole.copy(), []
        for fill in fills:
            box = fill.box(self.picture.size)
            part = slice(box[1], box[3]), slice(box[0], box[2])
            details += lay_detail(canvas, self.hole, left, part, fill.grid, fill.matrix)
            left[part] = False
        return details


def _in_mode(colours: np.ndarray, mode: str) -> np.ndarray:
    """(n, 3) float colours in [0, 255] as uint8 pixels of mode L, LA, RGB or RGBA."""
    if mode in ("L", "LA"):
        colours = colours @ np.array([[0.299], [0.587], [0.114]], dtype=np.float32)
    pixels = np.rint(colours).clip(0, 255).astype(np.uint8)
    if mode.endswith("A"):
        return np.pad(pixels, ((0, 0), (0, 1)), constant_values=255)
    return pixels[:, 0] if mode == "L" else pixels
