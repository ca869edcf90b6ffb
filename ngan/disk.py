"""Files and folders that are complete or absent, whatever kills the process or fills the disk.

Each is written beside its place under a hidden name, flushed to the disk and then renamed.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_PARTIAL = ".partial-"  # before the name of what is being written or removed


@contextlib.contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """Lend an empty folder of the same name that takes `final`'s place, if the with-block ends well.

    Args:
        final: the folder to be; an older one of this name stays untouched until the new one is complete.

    Raises:
        OSError: the disk is full or not writable; nothing is left of the new folder then.
    """
    workspace = final.parent / f"{_PARTIAL}{final.name}"
    _remove(workspace)
    new = workspace / final.name
    try:
        new.mkdir(parents=True)
        yield new
        readable = new.stat().st_mode & 0o666  # by whom the umask says; safetensors lets only the owner read
        for path in (*new.rglob("*"), new):
            if path.is_file():
                path.chmod(readable)
            _flush(path)
        if final.exists():
            os.rename(final, workspace / "old")
        os.rename(new, final)
        _flush(final.parent)
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


@contextlib.contextmanager
def plain_os_errors(path: Path) -> Iterator[None]:
    """Raise the `OSError` behind what safetensors makes of a full disk within the with-block, naming `path`."""
    try:
        yield
    except SafetensorError as error:
        found = _OS_ERROR.search(str(error))
        if not found:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number), str(path)) from error


def write_whole(path: Path, text: str) -> None:
    """Write a text file, or leave the one that is there."""
    partial = path.with_name(f"{_PARTIAL}{path.name}")
    try:
        partial.write_text(text)
        _flush(partial)
        os.replace(partial, path)
        _flush(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def remove_whole(folder: Path) -> None:
    """Remove a folder: once it begins to lose files it has lost its name."""
    gone = folder.with_name(f"{_PARTIAL}{folder.name}")
    _remove(gone)
    os.rename(folder, gone)
    _remove(gone)


def remove_partial(folder: Path) -> None:
    """Remove what a killed process left half-written, or half-removed, in `folder`."""
    for path in folder.glob(f"{_PARTIAL}*"):
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
