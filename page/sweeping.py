"""Where the page's temporary files lie, and how they are deleted: by their age, whoever wrote them.

Gradio's own `delete_cache` knows only the files that its components handed out, forgets them when the process is
killed, and ends for good at the first upload that comes while it looks through them.
"""

import atexit
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

_NAME = "ngan"  # of the folder that is swept; what lies beside it is not the page's to delete


def own_folder() -> Path:
    """Make a folder for this process, which is deleted at its end; a killed one's is left beside it, to be swept.

    It lies where GRADIO_TEMP_DIR says, or where Gradio would put its files.
    """
    place = Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "gradio").resolve() / _NAME
    place.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=place))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def sweep(folder: Path, older_than_seconds: float) -> None:
    """Delete all files and empty folders in a folder that were not written to for so long.

    What cannot be deleted is left for the next time.
    """
    if folder.is_symlink():  # put there by another user of this machine, it could lead anywhere
        return
    latest, old = time.time() - older_than_seconds, []
    for place, folders, files in os.walk(folder):
        for path in (Path(place, name) for name in folders + files):
            with suppress(OSError):
                if path.lstat().st_mtime <= latest:
                    old.append(path)
    for path in reversed(old):  # what is in a folder before the folder
        with suppress(OSError):  # one that is not empty, too
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()


def keep_swept(folder: Path, older_than_seconds: float, every_seconds: float, kept: Collection[str]) -> None:
    """Sweep a folder now and ever again, in a thread that ends with the process.

    Args:
        folder: what is swept.
        older_than_seconds: as in `sweep`.
        every_seconds: time between two sweeps.
        kept: files that stay all the time.
    """

    def work() -> None:
        while True:
            for path in kept:
                with suppress(OSError):
                    os.utime(path)
            sweep(folder, older_than_seconds)
            time.sleep(every_seconds)

    threading.Thread(target=work, name="sweeper", daemon=True).start()
