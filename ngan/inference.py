"""From photo to photo: `Inpainter` fills the damage of a picture of any size and mode, with any number of faces.

The networks know faces of one framing and work at the size they were trained at. Each face that the hole touches is
cut out in that framing, filled, and brought back to the photo's own size; what belongs to no face is continued from
its surroundings. Only the hole's pixels change: all others are returned bit for bit.

A picture that is framed as the training faces are, and one that is about square with no face found in it, is filled as
a whole. `Inpainter` keeps no state between calls: threads may share one.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ngan.alike import alike_lines
from ngan.deep import sixteen_bits
from ngan.faces import face_in, find_faces
from ngan.finding import CLOSER, continued, damage_in_face, damage_in_whole, looked_again
from ngan.framing import Face, inside, strokes, touches
from ngan.job import NO_FACE, NO_FACE_MARKED, PART_ELSEWHERE, Fill, Job
from ngan.levels import Levelled
from ngan.margins import content, put_back
from ngan.model import NGAN, NGANOutput
from ngan.paste import (
    cell_of,
    correct,
    cut,
    enlarged,
    shrink,
    shrink_mask,
    whole_matrix,
)
from ngan.pictures import MIN_SIDE, PictureError, Source, on_white, read_mask, read_picture
from ngan.refiner import embedded_refiner, refine
from ngan.runner import Runner
from ngan.solid import completed
from ngan.stages import Result, Stages, face_stages, marked, photo_stages, whole_stages
from ngan.tone import in_tone

_MAX_STRETCH = 4  # longest side of the network's grid, in sides of its training square
_SQUARE = 1.25  # longest side of a picture that is about square, in its shortest
_WIDER = 1.5  # side of the square in which damage that was found in a face's is followed, in sides of that
_EYE = 0.1  # breadth of an eye, in sides of a face's square
_LARGEST = 8  # side of a face's square that is given, and how far its middle may be off, in sides of the picture
_BATCH = 8  # faces that the networks see at a time

_logger = logging.getLogger(__name__)

FaceLike = Face | tuple[float, float, float, float]


class Inpainter:
    """Fill the damage of photos with faces.

    Args:
        model: an `NGAN` (it is moved to `device` and put into evaluation mode), a folder, a Hub id, or None for
            `ngan.hub.default_model()`.
        device: a torch device; None takes "cuda" where there is one, else "cpu".
        backend: "torch", or "onnx" for an exported file (`python -m ngan export`), run by ONNX Runtime on the CPU;
            `model` is then that file, a folder or a Hub id with a model.onnx.
        precision: "float32", "bfloat16", or "auto": bfloat16 on a CPU that computes in it by itself, else float32.
        self_ensemble: run the networks on each face and on its mirror image and take the mean; better, in twice the
            networks' time.
        refined: draw what is filled at twice the resolution of the networks' grid where the photo has more cells than
            that, by `ngan.refiner`; models of faces of another size than that was trained for go without.

    Raises:
        ValueError: a device that is not there, weights that do not fit, or an unknown backend or precision.
        FileNotFoundError: a folder without a model.
        ImportError: `backend="onnx"` without onnxruntime.
    """

    def __init__(
        self,
        model: NGAN | str | Path | None = None,
        device: str | torch.device | None = None,
        *,
        backend: str = "torch",
        precision: str = "auto",
        self_ensemble: bool = True,
        refined: bool = True,
    ) -> None:
        runner = Runner(model, device, backend, precision, self_ensemble)
        self._net = Levelled(runner)
        self.model, self.device = runner.model, runner.device
        refiner = embedded_refiner(self.device) if refined else None
        self._refiner = refiner if refiner and refiner.image_size == self.model.image_size else None
        self._dtype = getattr(torch, runner.precision)

    def __call__(
        self, image: Source, mask: Source | None = None, faces: Sequence[FaceLike] | None = None
    ) -> Image.Image:
        """Fill what the mask marks, or what looks damaged.

        Args:
            image: a picture, a file of one frame, or an array, uint8 or uint16, (H, W), (H, W, 3) or (H, W, 4). It is
                turned upright as its EXIF says.
            mask: a picture, a file, or an array of the upright picture's size: bool, float in [0, 1] or uint8; what is
                white (grey value over 127, True, over 0.5) is filled, transparent counts as black. None = find the
                damage.
            faces: where the faces are: a `Face`, or (left, upper, right, lower) of a rectangle around one, in pixels
                of the upright picture. None = find them. An empty list = there is none.

        Returns:
            A picture of the upright picture's size. L, LA, RGB, RGBA and 16-bit grey keep their mode; bilevel ones
            come back as L, all others as RGB, with an alpha channel if they had one, and their known pixels are those
            of that conversion. Known pixels are untouched; filled ones are opaque. The picture itself if no mask is
            given and no damage found. Of 16-bit colours, which Pillow cannot hold, it has the nearest 8 bits, and a
            warning is logged if they came from a file or an array: `fill` tells all 16, and `ngan.saving.save_picture`
            writes them.

        Raises:
            PictureError: a picture, mask or face that cannot be read or used; it is a ValueError.
            FileNotFoundError: no such file.
        """
        job = self._run(image, mask, faces)
        job.warn()
        final = job.final
        values = sixteen_bits(final)
        if values is not None and values.ndim == 2:
            profile = final.info.get("icc_profile")
            final = Image.fromarray(values)
            if profile:
                final.info["icc_profile"] = profile
        elif values is not None and not isinstance(image, Image.Image):
            _logger.warning("the picture has 16 bits a colour, what is returned has 8; fill(...).sixteen_bits has all")
        return final

    def fill(
        self,
        image: Source,
        mask: Source | None = None,
        faces: Sequence[FaceLike] | None = None,
        *,
        show_inside: bool = True,
    ) -> Result:
        """Fill as `__call__` does, and tell which faces were filled, by which steps, and what else to know.

        Args:
            image: as in `__call__`, and so are mask and faces.
            mask: what to fill.
            faces: where they are.
            show_inside: make pictures of the steps, `Result.inside`; they take time and memory.
        """
        job, inside = self._run(image, mask, faces), []
        if show_inside and job.whole is not None:
            inside = [whole_stages(job.rgb, job.hole, job.final, job.whole)]
        elif show_inside:
            pairs = zip(job.faces, job.looks, strict=True)
            inside = [face_stages(job.rgb, job.hole, job.final, face, look) for face, look in pairs]
        return Result(job.final, marked(job.hole), job.faces, inside, job.notes)

    def stages(self, image: Source, mask: Source | None = None, faces: Sequence[FaceLike] | None = None) -> Stages:
        """Fill as `__call__` does, and show the steps of the whole picture.

        Returns:
            All stages, of the upright picture's size. In mask-free mode, code image and location are those of the
            search for the damage; of a picture with margins that is filled as a whole, those of the filling. Outside
            of all faces' squares the code image is the result and the location 0.
        """
        job = self._run(image, mask, faces)
        job.warn()
        if job.whole is not None:
            return whole_stages(job.rgb, job.hole, job.final, job.whole)
        return photo_stages(job.rgb, job.hole, job.final, job.faces, job.looks)

    def _run(self, image: Source, mask: Source | None, faces: Sequence[FaceLike] | None) -> Job:
        picture = read_picture(image)
        hole = None if mask is None else read_mask(mask, picture.size)
        job = Job(picture, np.asarray(on_white(picture)), hole, picture, search=hole is None)
        job.faces = self._given_faces(job, faces) if faces is not None else find_faces(job.rgb, hole)
        lost = hole is None and not job.faces  # the whole picture is all there is to search for damage
        whole = lost or (faces is None and _fills_whole(job.faces, picture.size))
        if not job.faces:
            elsewhere = hole is not None and bool(find_faces(job.rgb) if faces is None else faces)
            job.notes.append(_note_of_no_face(elsewhere, whole))
        elif hole is not None and not whole and _has_part_elsewhere(hole, job.faces):
            job.notes.append(f"{PART_ELSEWHERE} it was continued from its surroundings.")
        if whole:
            job.faces = []
            self._fill_whole(job)
        else:
            self._fill_faces(job)
        return job

    def _given_faces(self, job: Job, given: Sequence[FaceLike]) -> list[Face]:
        faces = []
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise PictureError(f"faces: {given!r}; expected a list of rectangles or of `Face`")
        for entry in given:
            face = entry
            if not isinstance(entry, Face):
                face = face_in(job.rgb, _checked_box(entry, job.picture.size), job.hole)
                if face is None:
                    left, top, right, bottom = map(float, entry)
                    face = Face((left + right) / 2, (top + bottom) / 2, max(right - left, bottom - top))
                    job.notes.append("No face was found in the rectangle: its square was taken as the face's.")
            longest = max(job.picture.size)
            if max(face.side, abs(face.x), abs(face.y)) > _LARGEST * longest:
                raise PictureError(
                    f"faces: {entry}; side and middle may have {_LARGEST} times the picture's longer side, {longest}"
                )
            faces.append(face)
        return faces if job.hole is None else [face for face in faces if touches(face, job.hole)]

    def _fill_whole(self, job: Job) -> None:
        grid = self._grid(job.picture.size)
        if job.hole is None:
            left, top, right, bottom = box = content(job.rgb)
            part = np.ascontiguousarray(job.rgb[top:bottom, left:right])
            look, hole = self._look_at_whole(part)
            hole = _all_of(part, hole, lambda rgb: self._look_at_whole(rgb)[1], min(part.shape[:2]))
            job.hole = put_back(hole, box, job.rgb.shape[:2])
            job.whole = look if part.shape == job.rgb.shape else None  # that of a part shows none of the whole
        if not job.check():
            return
        hole = marked(job.hole)
        missing, seen = shrink_mask(hole, grid), shrink(Image.fromarray(job.rgb), hole, grid)
        output = self._net(seen, missing)
        job.whole = job.whole or output
        job.finish([self._fill_of(output.image, seen, missing, whole_matrix(job.picture.size, grid))])

    def _fill_faces(self, job: Job) -> None:
        size = self.model.image_size
        if job.hole is None:
            left, top, right, bottom = box = content(job.rgb)
            part = np.ascontiguousarray(job.rgb[top:bottom, left:right])
            faces = [replace(face, x=face.x - left, y=face.y - top) for face in job.faces]
            job.looks, hole = self._look_at_faces(part, faces)
            side = max(face.side for face in faces)
            hole = _all_of(part, hole, lambda rgb: self._look_at_faces(rgb, faces)[1], side)
            job.hole = put_back(hole, box, job.rgb.shape[:2])
        if not job.check():
            return
        cuts = [cut(job.rgb, job.hole, face, size) for face in job.faces]
        outputs, fills = [], []
        for start in range(0, len(cuts), _BATCH):
            seen, missing = (torch.cat(part) for part in zip(*cuts[start : start + _BATCH], strict=True))
            outputs += _split(self._net(seen, missing))
        for face, (seen, missing), output in zip(job.faces, cuts, outputs, strict=True):
            fills.append(self._fill_of(output.image, seen, missing, face.matrix(size), face))
        job.looks = job.looks or outputs
        job.finish(fills)

    def _fill_of(
        self,
        image: torch.Tensor,
        seen: torch.Tensor,
        missing: torch.Tensor,
        matrix: np.ndarray,
        face: Face | None = None,
    ) -> Fill:
        """Take over what the networks drew, (1, 3, h, w), as `correct` does, and refine it; see `Fill`."""
        cell = cell_of(matrix)
        if self._refiner is None or enlarged(cell) == 0:
            return Fill(correct(image, seen, missing, cell), matrix, face)
        grid = correct(image, seen, missing, cell=1)  # the refiner makes it crisp
        refined = refine(self._refiner, grid, missing, enlarged(cell), self._dtype)
        return Fill(grid, matrix, face, in_tone(refined, seen, missing))

    def _look_at_whole(self, rgb: np.ndarray) -> tuple[NGANOutput, np.ndarray]:
        """Look for damage in a picture as a whole: what the networks made of it, and the damage, (H, W), bool."""
        size = rgb.shape[1::-1]
        seen = shrink(Image.fromarray(rgb), None, self._grid(size))
        look = self._net(seen, None)
        return look, damage_in_whole(look, seen, size)

    def _look_at_faces(self, rgb: np.ndarray, faces: list[Face]) -> tuple[list[NGANOutput], np.ndarray]:
        """Look for damage in and around faces: what the networks made of each, and the damage, (H, W), bool."""
        size, looks, hole = self.model.image_size, [], np.zeros(rgb.shape[:2], bool)
        for face in faces:
            look, found = damage_in_face(self._net, rgb, face, size, CLOSER)
            looks.append(look)
            hole |= found
        for face in faces if hole.any() else []:
            wide = replace(face, side=_WIDER * face.side)
            # faces so small are not what training showed: in the face's own square its own look is the better one
            further = damage_in_face(self._net, rgb, wide, size)[1] & ~inside(face, hole.shape)
            hole = continued(hole, further)
        return looks, hole

    def _grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Size (width, height) at which the networks see a picture: the shorter side as trained, the aspect kept."""
        side = self.model.image_size
        scale = min(side / min(size), _MAX_STRETCH * side / max(size))
        return max(MIN_SIDE, round(size[0] * scale)), max(MIN_SIDE, round(size[1] * scale))


def _all_of(rgb: np.ndarray, hole: np.ndarray, look: Callable[[np.ndarray], np.ndarray], side: float) -> np.ndarray:
    """Damage that was found, what shows once it is filled, all of its solid paint, the lines alike: (H, W), bool."""
    hole = completed(rgb, looked_again(rgb, hole, look), side)
    return hole | alike_lines(rgb, hole, side)


def _fills_whole(faces: list[Face], size: tuple[int, int]) -> bool:
    """Tell whether a picture is framed as the training faces are, as far as the search can tell, or may well be."""
    width, height = size
    if max(size) > _SQUARE * min(size):
        return False
    if not faces:
        return True
    face, side = faces[0], min(size)
    # as far as the search errs: the middle of 9 in 10 faces of the training framing is found within 0.016 of the side.
    # Portraits whose eyes stand 0.05 higher got neither eyes nor mouths when they were filled as a whole.
    near = max(abs(face.x - width / 2), abs(face.y - height / 2)) < 0.03 * side
    return len(faces) == 1 and near and 0.8 < face.side / side < 1.2 and abs(face.angle) < 6


def _note_of_no_face(elsewhere: bool, whole: bool) -> str:
    """Say what was done where no face is to be filled: whether there is one `elsewhere`, and how it was filled."""
    if whole:  # better than the surroundings with a face elsewhere too: L1 of 5.0 against 10.4 of 255 in 30 boxes
        return f"{NO_FACE_MARKED if elsewhere else NO_FACE} the picture was taken as a whole, as if it were a face."
    if elsewhere:
        return f"{NO_FACE_MARKED} it was continued from its surroundings."
    return f"{NO_FACE} what was marked was continued from its surroundings."


def _has_part_elsewhere(hole: np.ndarray, faces: list[Face]) -> bool:
    """Tell whether a part of a hole that is as large as an eye of the smallest face lies in no face's square."""
    least = _EYE * min(face.side for face in faces)
    for left, top, right, bottom in strokes(hole):
        if min(right - left, bottom - top) < least:
            continue
        part = np.zeros_like(hole)
        part[top:bottom, left:right] = hole[top:bottom, left:right]
        if not any(touches(face, part) for face in faces):
            return True
    return False


def _checked_box(box: Sequence[float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    try:
        box = tuple(map(float, box))
    except (TypeError, ValueError) as error:
        raise PictureError(f"faces: {box!r}; a rectangle is left, upper, right, lower, in a list of them") from error
    if len(box) != 4 or not np.isfinite(box).all() or not (box[0] + 8 <= box[2] and box[1] + 8 <= box[3]):
        raise PictureError(f"faces: {tuple(box)}; a rectangle is left, upper, right, lower, at least 8 pixels a side")
    if max(map(abs, box)) > _LARGEST * max(size):
        raise PictureError(f"faces: {tuple(box)} reaches too far beyond the picture of {size[0]}x{size[1]} pixels")
    if box[0] >= size[0] or box[1] >= size[1] or box[2] <= 0 or box[3] <= 0:
        raise PictureError(f"faces: {tuple(box)} lies outside the picture of {size[0]}x{size[1]} pixels")
    return tuple(float(value) for value in box)


def _split(output: NGANOutput) -> list[NGANOutput]:
    fields = ("code_image", "location", "image", "composite")
    return [
        NGANOutput(**{name: getattr(output, name)[i : i + 1] for name in fields}) for i in range(len(output.image))
    ]
