"""What is to be filled: pictures of folders, patterns and data sets, each with its mask and the file to write."""

import glob
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ngan.pictures import PictureError, open_file, read_mask, read_picture
from ngan.saving import Origin, output_suffix

Content = Path | bytes  # a file, or what is in it
Reading = tuple[Image.Image, np.ndarray | None, Origin]  # upright picture, mask (H, W), bool, or None, and its file


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


def list_pictures(where: str, recursive: bool, without: Sequence[Path] = ()) -> tuple[Path, list[Path]]:
    """List the pictures of a folder or a pattern, without hidden ones, in the order of their names.

    Args:
        where: a folder, or a pattern such as "photos/*.jpg" or "photos/**/*.png".
        recursive: of a folder: take its subfolders' too.
        without: folders that pictures of a pattern are left out of, if they lie below its base.

    Returns:
        The folder that their outputs' paths are relative to, and the pictures.

    Raises:
        ValueError: there is none, or the pattern cannot be followed.
    """
    base = Path(where)
    if base.is_dir():
        found = base.rglob("*") if recursive else base.iterdir()
    else:
        fixed = [part for part in base.parts[:-1]]
        magic = next((i for i, part in enumerate(fixed) if glob.has_magic(part)), len(fixed))
        if ".." in fixed[magic:]:
            raise ValueError(f"{where}: a pattern takes no .. behind its first wildcard")
        base, found = Path(*fixed[:magic]), map(Path, glob.glob(where, recursive=True))
        inner = [folder.resolve() for folder in without if base.resolve() in folder.resolve().parents]
        found = [path for path in found if not any(path.parent.resolve().is_relative_to(folder) for folder in inner)]
    suffixes = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    pictures = [
        path
        for path in found
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in path.relative_to(base).parts)
        and path.is_file()
    ]
    if not pictures:
        raise ValueError(f"{where} {'holds' if Path(where).is_dir() else 'matches'} no picture")
    return base, sorted(set(pictures))  # a pattern may match one several times


def file_tasks(
    base: Path, faces: Sequence[Path], masks: Path | None, out: Path, kind: str, metadata: bool = True
) -> tuple[list[Task], dict[str, str]]:
    """Plan the filling of files into a folder, each to a file of its name.

    Args:
        base: folder that the outputs' paths are relative to.
        faces: pictures below it.
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
    return picture, None if marked is None else read_mask(_opened(_whole(marked)), picture.size), origin


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
