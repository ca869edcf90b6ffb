"""A run's folder, held by one process at a time: of two that train there, each removes what the other is writing."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_HELD: set[int] = set()  # descriptors of the folders that this process holds


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make the folder of a run, if need be, and hold it for the length of the with-block.

    The system lets go of it when the process ends, however that does; no file tells of it. Where a file system, or
    Windows, has no such locks, nothing is held.

    Args:
        folder: of the run; one that was made here and is empty at the end is removed.

    Raises:
        ValueError: another process holds it, or it cannot be made.
    """
    made = not folder.is_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = _locked(folder)
    except BlockingIOError as error:
        raise ValueError(
            f"output_dir={str(folder)!r}: another training writes there; wait for its end, or give another folder"
        ) from error
    except OSError as error:
        raise ValueError(f"output_dir={str(folder)!r}: cannot be made or opened ({error.strerror})") from error
    try:
        yield
    finally:
        _HELD.discard(handle)
        if handle is not None:
            os.close(handle)
        if made:
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()


def _locked(folder: Path) -> int | None:
    """Return a descriptor of a folder that no other process holds; None without locks.

    Raises:
        BlockingIOError: another does.
    """
    if fcntl is None:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            raise
        return None  # a file system without locks
    _HELD.add(handle)
    return handle


def _let_go() -> None:
    """Close what the parent holds, in a process forked from it: a loader's worker outlives a killed one by seconds."""
    while _HELD:
        os.close(_HELD.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
