"""Files and folders that are complete or absent, whatever kills the process or fills the disk.

Each is written beside its place under a hidden name, flushed to the disk and then renamed.
"""

import contextlib
import errno
import os
import re
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from safetensors import SafetensorError

_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_NAMELESS = re.compile(r"\.[0-9a-f]{32}\.part")  # of an output that is being written
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


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, by way of a hidden one beside it; a pipe or device gets it as it is.

    Raises:
        OSError: it cannot be written; the error names `path`.
    """
    try:
        if is_written_in_place(path):
            sys.stdout.flush()  # where it may lead: what was printed comes first
            with _opened_in_place(path) as file:
                file.write(content)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{uuid.uuid4().hex}.part")  # its length does not depend on the name's
        try:
            partial.write_bytes(content)
            with partial.open("r+b") as file:  # Windows takes no other
                os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def is_there(path: str | os.PathLike[str]) -> bool:
    """Tell whether there is a file or folder, links followed.

    `Path.exists` does so too, but says from Python 3.14 on that nothing is there where it may not be looked.

    Raises:
        PermissionError: a folder above it may not be entered.
    """
    try:
        os.stat(path)
    except PermissionError:
        raise
    except (OSError, ValueError):  # the latter: no name of a file, as of one with a null character
        return False
    return True


def is_written_in_place(path: Path) -> bool:
    """Tell whether a file may not be replaced: a pipe, a device, or a link as /dev/stdout, whatever it leads to."""
    if path.is_symlink() and path.parent.resolve().parts[1:2] in (("dev",), ("proc",)):
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


def _opened_in_place(path: Path) -> BinaryIO:
    """Open a pipe or device; of this process's own descriptors, as /dev/stdout leads to one, that very descriptor.

    Linux would open the file behind it anew, at a place of its own, where what others write to it next goes over it.
    """
    while path.is_symlink():
        if os.path.realpath(path.parent) == f"/proc/{os.getpid()}/fd":
            return os.fdopen(os.dup(int(path.name)), "wb")
        path = path.parent / os.readlink(path)
    return path.open("ab")


def check_place(path: Path) -> None:
    """Try whether a file can be written, and leave nothing behind; folders above it need not exist.

    Raises:
        OSError: it cannot.
    """
    try:
        if not is_written_in_place(path):
            with tempfile.TemporaryFile(dir=next(folder for folder in path.parents if os.path.lexists(folder))):
                pass
        elif not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OSError(f"{path}: cannot be written there ({error.strerror})") from error


def remove_stale(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder.

    Several processes, on several machines, may be writing there, of which no process id tells; but none writes at a
    file for an hour.
    """
    for path in folder.glob(".*.part"):
        with contextlib.suppress(OSError):  # another process was faster, or it is another user's
            if _NAMELESS.fullmatch(path.name) and time.time() - path.stat().st_mtime > 3600:
                path.unlink()


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
