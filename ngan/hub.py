"""Which models come with the package, how they and the Hub's are named, and how files of the Hub are fetched."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from ngan.disk import is_there

_PRETRAINED = Path(__file__).parent / "pretrained"
EMBEDDED = _PRETRAINED / "ngan-celeba-128"  # the closest to the truth
CRISP = _PRETRAINED / "ngan-celeba-128-crisp"  # the nearest to real faces
REFINER = _PRETRAINED / "ngan-refiner-celeba-128"  # of the fills of both


def default_model() -> str:
    """Name the model that `Inpainter()` loads.

    Returns:
        The environment variable NGAN_MODEL (a folder, a Hub id, or the name of a model that comes with the package)
        where it is set, else the folder of `EMBEDDED`.

    Raises:
        FileNotFoundError: NGAN_MODEL is not set and the package came without its weights.
    """
    named = os.environ.get("NGAN_MODEL")
    if named:
        return located(named)
    if not (EMBEDDED / "config.json").is_file():
        raise FileNotFoundError(
            f"{EMBEDDED} holds no model: install the package with its weights or set NGAN_MODEL to a folder or Hub id"
        )
    return str(EMBEDDED)


def located(source: str) -> str:
    """Return the folder of a model that comes with the package and is named so, unless a file or folder here is.

    Args:
        source: "ngan-celeba-128", "ngan-celeba-128-crisp", or a folder or Hub id, which is returned as it is.
    """
    folder = embedded(source)
    return source if folder is None or is_there(source) else str(folder)


def embedded(name: str) -> Path | None:
    """Return the folder of the package's own model of a name; None if it has none of that name."""
    return next((folder for folder in (EMBEDDED, CRISP) if name == folder.name), None)


def split_revision(source: str) -> tuple[str, str | None]:
    """Part "organisation/name@revision" into the Hub id and the revision.

    Returns:
        Both; the source as it is and None if it names no revision, or a file or folder that is there.
    """
    if "@" not in source or is_there(source):
        return source, None
    name, revision = source.split("@", 1)
    return name, revision


def check_hub_id(source: str) -> None:
    """Refuse the name of a model that is no folder here and cannot be one on the Hub, before the Hub is asked.

    Raises:
        FileNotFoundError: so it is.
    """
    folder = is_there(source) and Path(source).is_dir()
    if not folder and (source.startswith((".", "~", os.sep)) or source.count("/") != 1):
        raise FileNotFoundError(f"{source}: no such folder, and not a Hub id, which reads organisation/name")


@contextlib.contextmanager
def no_folder_either(source: str) -> Iterator[None]:
    """Add to the Hub's refusal or silence, within the block, that no folder of that name is here."""
    try:
        yield
    except (RepositoryNotFoundError, LocalEntryNotFoundError) as error:  # the second, if the Hub does not answer
        error.args = (f"{error} And no folder {source} is here.",)
        raise


def download(source: str, name: str, **options: Any) -> Path:
    """Fetch a file of a repository on the Hub, or find it in the cache.

    Args:
        source: "organisation/name" or "organisation/name@revision".
        name: of the file.
        **options: of `hf_hub_download`; revision goes before that of `source`.

    Returns:
        Its place in the cache.

    Raises:
        ConnectionError: the download broke off, again and again.
        huggingface_hub.errors.LocalEntryNotFoundError: the Hub does not answer, and the cache has no copy.
        huggingface_hub.errors.HfHubHTTPError: the Hub refuses, or has no such file, revision or repository.
    """
    repository, revision = split_revision(source)
    try:
        return Path(hf_hub_download(repository, name, **{"revision": revision, **options}))
    except HfHubHTTPError:
        raise
    except (HTTPError, RuntimeError) as error:  # after the client's own retries, over HTTP and over Xet
        raise ConnectionError(f"{source}: the download of {name} broke off ({error}); try again") from error
