"""What `python -m ngan inpaint` is to fill: tasks from its options, and what may not be written over."""

import argparse
import glob
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from ngan.disk import is_there
from ngan.saving import check_writable, output_suffix
from ngan.tasks import Task, file_tasks, list_pictures, read_task, row_tasks


def plan(options: argparse.Namespace) -> tuple[list[Task], dict[str, str], bool]:
    """Tasks, reasons by name for what cannot become one, and whether it is about one picture only."""
    if options.face is None and options.dataset is None:
        raise ValueError("inpaint needs FACE or --dataset")
    mask_given = options.mask_column if options.dataset is not None else options.mask
    words = "--mask-column" if options.dataset is not None else "MASK"
    if (mask_given is None) != options.find_damage:
        raise ValueError(f"inpaint needs either {words} or --find-damage, and not both")
    if options.dataset is not None:
        return _plan_rows(options), {}, False
    for name in ("dataset_config_name", "split", "image_column", "mask_column"):
        if getattr(options, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')} belongs to --dataset, which is not given")
    if options.mask is not None:
        _check_is_there(options.mask)
    face, mask, out, metadata = Path(options.face), options.mask, Path(options.out), not options.strip_metadata
    # `os.path`, not `Path`: before Python 3.14, that raises what is in a folder that cannot be read
    if not os.path.isdir(face) and (os.path.exists(face) or not set("*?[") & set(options.face)):
        _check_is_there(face)
        return [_plan_file(options, face)], {}, True
    if mask is not None and not mask.is_dir():
        if not face.is_dir() and not glob.glob(options.face, recursive=True):
            raise FileNotFoundError(f"{face}: no such file, and a pattern that matches none")
        raise ValueError(f"{face} and {mask}: give two files or two folders")
    if is_there(out) and not out.is_dir():
        raise ValueError(f"{out} is a file; many faces need a folder to write to")
    base, faces = list_pictures(options.face, options.recursive, [folder for folder in (out, mask) if folder])
    for folder in (base, mask):
        if folder is not None and out.exists() and out.samefile(folder):
            raise ValueError(f"{out} is an input; write somewhere else, so that nothing is lost")
    if mask is not None and mask.samefile(base):
        raise ValueError(f"{mask} is FACE and MASK: each face would be its own mask; name the folder of the masks")
    for folder in (out, mask) if options.recursive else ():
        if folder is not None and base.resolve() in folder.resolve().parents:
            raise ValueError(f"{folder} lies within {base}: with --recursive its pictures would be filled too")
    return *file_tasks(base, faces, mask, out, options.format, metadata), False


def _check_is_there(path: Path) -> None:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{path}: no such file or folder") from None


def is_folder(out: str) -> bool:
    """Tell whether an OUT is a folder, or is to be one by the slash at its end."""
    return Path(out).is_dir() or out.endswith(("/", os.sep))


def _plan_file(options: argparse.Namespace, face: Path) -> Task:
    mask, target = options.mask, Path(options.out)
    if mask is not None and mask.is_dir():
        raise ValueError(f"{face} and {mask}: give two files or two folders")
    if mask is not None and mask.is_file() and mask.samefile(face):
        raise ValueError(f"{mask} is FACE and MASK; name the face's mask, white where it is to be filled")
    if is_folder(options.out):
        target = target / f"{face.stem}{output_suffix(face.suffix, options.format)}"
    elif options.format not in ("lossless", "same"):
        raise ValueError(f"--format {options.format}: {target} tells the format by its ending; leave --format out")
    check_writable(target)
    for path in (face, mask):
        if path is not None and target.exists() and target.samefile(path):
            raise ValueError(f"{target} is an input; write somewhere else, so that nothing is lost")
    read = partial(read_task, partial(Path, face), lambda: mask, not options.strip_metadata)
    return Task(str(face), target, read)


def _plan_rows(options: argparse.Namespace) -> list[Task]:
    from ngan.sources import raw_rows  # `datasets` takes seconds to import and files have no use for it

    if options.face is not None:
        raise ValueError(f"{options.face} and --dataset: give one of them")
    if options.format == "same":
        raise ValueError("--format same is for files; of a data set, name one of the formats")
    out = Path(options.out)
    if is_there(out) and not out.is_dir():
        raise ValueError(f"{out} is a file; a data set needs a folder to write to")
    source, split, masks = options.dataset, options.split or "train", None
    how = {"streaming": False, "config_name": options.dataset_config_name}
    rows, column = raw_rows(source, split, options.image_column, masks=options.mask_column, **how)
    if options.mask_column == column:
        raise ValueError(f"column {column!r} holds the faces; --mask-column names that of the masks, another one")
    if options.mask_column is not None:
        masks, _ = raw_rows(source, split, options.mask_column, **how)
    suffix = output_suffix("", options.format)
    return row_tasks(rows, column, masks, options.mask_column, out, suffix, not options.strip_metadata)


def check_written(written: Sequence[Path | None], inputs: Iterable[str | Path], sets: Iterable[str | Path]) -> None:
    """Refuse files to be written that would take the place of what is read, or of one another.

    Args:
        written: the files; None is passed over.
        inputs: files that are read.
        sets: folders or files of which all is read, or ids on the Hub.

    Raises:
        ValueError: one of them would.
    """
    local = [path for path in (Path(entry).expanduser() for entry in sets) if path.exists()]
    within = {Path(os.path.realpath(path)): path for path in local}
    taken, seen = {os.path.realpath(path) for path in inputs}, set()
    elsewhere = "write somewhere else, so that nothing is lost"
    for path in filter(None, written):
        real = Path(os.path.realpath(path))
        if str(real) in taken:
            raise ValueError(f"{path} is an input; {elsewhere}")
        for folder in {real, *real.parents} & set(within):
            raise ValueError(f"{path} lies within {within[folder]}, an input; {elsewhere}")
        if real in seen:
            raise ValueError(f"{path} would be written twice; {elsewhere}")
        seen.add(real)
