"""What is to be filled: pictures of folders, patterns and data sets, each with its mask and the file to write."""

import glob
import io
import itertools
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ngan.pictures import PictureError, open_file, read_mask, read_picture
from ngan.saving import Origin, output_suffix

Content = Path | bytes  # a file, or what is in it
COLOURED = "has colours; it is read as grey, and white is filled."  # end of a note, by which programs tell it apart
_CLEARLY, _COLOURED_SHARE = 32, 0.01  # by how much channels differ, of 255, and in which part of a mask's pixels
_SAMPLE = 256  # pixels along a side, of the sample of a mask that is looked at


class Reading(NamedTuple):
    """A picture that was read.

    Attributes:
        picture: upright.
        mask: (H, W), bool, True = to be filled; None = damage is to be found.
        origin: of the picture.
        notes: what a person should know of them, sentences.
    """

    picture: Image.Image
    mask: np.ndarray | None
    origin: Origin
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Task:
    """One picture to be filled.

    Attributes:
        name: what messages call it.
        target: file to write.
        read: decodes it.
    """

    name: str
    target: Path
    read: Callable[[], Reading]


def ends_like_picture(path: Path) -> bool:
    """Tell whether a name's ending is one of a picture that can be read."""
    return Image.registered_extensions().get(path.suffix.lower()) in Image.OPEN


def list_pictures(where: str, recursive: bool, without: Sequence[Path] = ()) -> tuple[Path, list[Path]]:
    """List the pictures of a folder or a pattern, without hidden ones, in the order of their names.

    Args:
        where: a folder, or a pattern such as "photos/*.jpg" or "photos/**/*.png".
        recursive: of a folder: take its subfolders' too, and those of folders that links lead to.
        without: folders that pictures of a pattern are left out of, if they lie below its base, and links not followed
            into.

    Returns:
        The folder that their outputs' paths are relative to, and the pictures. What cannot be looked at is among them,
        folders included, so that it fails by name: links that lead nowhere, and what the user may not read.

    Raises:
        ValueError: there is none, or the pattern cannot be followed.
        OSError: the folder cannot be read.
    """
    base = Path(where)
    is_folder = os.path.isdir(where)  # `Path.is_dir` raises in a folder that cannot be read, until Python 3.14
    if is_folder and recursive:
        found = _below(base, {folder.resolve() for folder in without})
    elif is_folder:
        found = (path for path in base.iterdir() if ends_like_picture(path) and not os.path.isdir(path))
    else:
        fixed = [part for part in base.parts[:-1]]
        magic = next((i for i, part in enumerate(fixed) if glob.has_magic(part)), len(fixed))
        if ".." in fixed[magic:]:
            raise ValueError(f"{where}: a pattern takes no .. behind its first wildcard")
        base, found = Path(*fixed[:magic]), map(Path, glob.glob(where, recursive=True))
        inner = [folder.resolve() for folder in without if base.resolve() in folder.resolve().parents]
        found = (path for path in found if ends_like_picture(path) and not os.path.isdir(path))
        found = itertools.chain(found, _closed(base, fixed[magic:]))
        found = (path for path in found if not any(path.parent.resolve().is_relative_to(folder) for folder in inner))
    pictures = [
        path
        for path in found
        if not any(part.startswith(".") for part in path.relative_to(base).parts) and not _is_special(path)
    ]
    if not pictures:
        raise ValueError(f"{where} {'holds' if is_folder else 'matches'} no picture")
    return base, sorted(set(pictures))  # a pattern may match one several times


def file_tasks(
    base: Path, faces: Sequence[Path], masks: Path | None, out: Path, kind: str, metadata: bool = True
) -> tuple[list[Task], dict[str, str]]:
    """Plan the filling of files into a folder, each to a file of its name.

    Args:
        base: folder that the outputs' paths are relative to.
        faces: as `list_pictures` returns them.
        masks: folder of masks of the same relative paths, endings aside; None = damage is looked for.
        out: folder to write to.
        kind: format to write, of `ngan.saving.FORMATS`.
        metadata: keep it.

    Returns:
        The tasks, and a reason by name for pictures that cannot become one.
    """
    tasks, refused = [], {}
    makers: dict[Path, Path] = {}
    find_mask = _MaskFinder(masks) if masks is not None else None
    for face in faces:
        relative = face.relative_to(base)
        if not ends_like_picture(face):
            refused[str(face)] = _why_unread(face)
            continue
        try:
            target = out / relative.with_suffix(output_suffix(face.suffix, kind))
            if target in makers:
                raise ValueError(f"would overwrite {target}, made from {makers[target].name}")
        except ValueError as error:
            refused[str(face)] = str(error)
            continue
        makers[target] = face
        mask = partial(find_mask, relative) if find_mask else _no_mask
        tasks.append(Task(str(face), target, partial(read_task, partial(Path, face), mask, metadata)))
    return tasks, refused


def row_tasks(
    rows: Any, column: str, mask_rows: Any | None, mask_column: str, out: Path, suffix: str, metadata: bool = True
) -> list[Task]:
    """Plan the filling of a data set's pictures into a folder, each to a file named by its row number.

    Args:
        rows: undecoded rows, as `ngan.sources.raw_rows` returns them.
        column: of the pictures.
        mask_rows: those of the masks; None = damage is looked for.
        mask_column: of the masks.
        out: folder to write to.
        suffix: ending of what is written.
        metadata: keep it.
    """
    digits = max(6, len(str(len(rows) - 1)))
    return [
        Task(
            f"row {i}",
            out / f"{i:0{digits}}{suffix}",
            partial(
                read_task,
                partial(_row_content, rows, i, column),
                partial(_row_content, mask_rows, i, mask_column) if mask_rows is not None else _no_mask,
                metadata,
            ),
        )
        for i in range(len(rows))
    ]


def read_task(face: Callable[[], Content], mask: Callable[[], Content | None], metadata: bool) -> Reading:
    """Decode a picture and its mask, and read what else its file holds.

    Raises:
        PictureError: they cannot be read or used.
        OSError: a file is not there or not readable.
    """
    content = _whole(face())
    picture = read_picture(_opened(content))
    with Image.open(content if isinstance(content, Path) else io.BytesIO(content)) as file:
        if metadata and file.format == "PNG":
            file.load()  # text may stand behind the pixels
        origin = Origin.of(file, metadata)
    marked = mask()
    if marked is None:
        return Reading(picture, None, origin)
    name, marked = str(marked) if isinstance(marked, Path) else "the mask", _whole(marked)
    hole = read_mask(_opened(marked), picture.size)
    return Reading(picture, hole, origin, [f"{name} {COLOURED}"] if _has_colours(marked) else [])


def _below(folder: Path, without: set[Path], above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """The pictures below a folder, and what cannot be looked at.

    Args:
        folder: to look into.
        without: folders, resolved, that are left out where a link leads into them.
        above: those that led here, resolved: a link back to one of them would go round for ever.

    Raises:
        OSError: the folder cannot be read and none led here.
    """
    real = folder.resolve()
    if real in above or (above and real in without):
        return
    try:
        paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        if not above:
            raise
        yield folder
        return
    for path in paths:
        if os.path.isdir(path):
            yield from _below(path, without, (*above, real))
        # a link without an ending that leads nowhere may have led to a folder
        elif ends_like_picture(path) or not (path.suffix or os.path.exists(path)):
            yield path


def _closed(base: Path, parts: Sequence[str]) -> Iterator[Path]:
    """The folders that a pattern leads into and that cannot be read: glob passes over them.

    Args:
        base: the folder before the first wildcard.
        parts: the pattern's folders behind it.

    Raises:
        OSError: it is `base` that cannot be read.
    """
    if base.is_dir():
        os.listdir(base)
    for count in range(1, len(parts) + 1):
        for path in map(Path, glob.iglob(str(Path(glob.escape(str(base)), *parts[:count])), recursive=True)):
            try:
                if path.is_dir():
                    os.listdir(path)
            except OSError:
                yield path


def _is_special(path: Path) -> bool:
    """Whether it is a pipe, a device or the like; what cannot be looked at is none."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _why_unread(path: Path) -> str:
    try:
        os.listdir(path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "could not be read"  # but can be now


def _has_colours(mask: Content) -> bool:
    """Tell whether a mask is no picture in grey: then it may be a photo that was given in a mask's place."""
    with Image.open(mask if isinstance(mask, Path) else io.BytesIO(mask)) as file:
        if file.mode in ("1", "L", "LA", "La") or file.mode.startswith("I"):
            return False
        file.draft("RGB", (_SAMPLE, _SAMPLE))  # a large JPEG at a fraction of its size
        sample = file.resize((_SAMPLE, _SAMPLE), Image.Resampling.NEAREST)
    pixels = np.asarray(sample.convert("RGBA" if sample.has_transparency_data else "RGB")).astype(int)
    spread = np.ptp(pixels[..., :3], axis=2)
    if pixels.shape[2] == 4:
        spread = spread * pixels[..., 3] // 255  # as on black, which is what is transparent in a mask
    return bool((spread > _CLEARLY).mean() > _COLOURED_SHARE)


def _no_mask() -> None:
    return None


def _row_content(rows: Any, index: int, column: str) -> Content:
    raw = rows[index][column] or {}
    if raw.get("bytes") is not None:
        return raw["bytes"]
    if not raw.get("path"):
        raise PictureError(f"column {column!r} holds no picture")
    return Path(raw["path"])


def _whole(content: Content) -> Content:
    """What can be read more than once: the bytes of a pipe, which cannot."""
    piped = isinstance(content, Path) and (content.is_fifo() or content.is_char_device())
    return content.read_bytes() if piped else content


def _opened(content: Content) -> Path | Image.Image:
    return content if isinstance(content, Path) else open_file(io.BytesIO(content), "the file")


class _MaskFinder:
    """Finds a face's mask: the picture of the same name, or else the only one of the same stem."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stems: dict[Path, dict[str, list[Path]]] = {}

    def __call__(self, face: Path) -> Path:
        """Find the mask of a face by its path relative to the faces' folder.

        Raises:
            ValueError: none fits, or several do.
        """
        if (self._folder / face).is_file():
            return self._folder / face
        folder = self._folder / face.parent
        if folder not in self._stems:
            stems: dict[str, list[Path]] = {}
            for path in list_pictures(str(folder), recursive=False)[1] if folder.is_dir() else []:
                stems.setdefault(path.stem, []).append(path)
            self._stems[folder] = stems
        found = self._stems[folder].get(face.stem, [])
        if len(found) != 1:
            several = f"several masks fit: {', '.join(path.name for path in found)}"
            raise ValueError(several if found else f"no mask of this name in {folder}")
        return found[0]
