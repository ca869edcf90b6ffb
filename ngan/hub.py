"""Which model is loaded when nobody names one, and how the Hub's models are named."""

import os
from pathlib import Path

EMBEDDED = Path(__file__).parent / "pretrained" / "ngan-celeba-128"


def default_model() -> str:
    """Name the model that `Inpainter()` loads.

    Returns:
        The environment variable NGAN_MODEL (a folder or a Hub id) where it is set, else the folder of the weights that
        come with the package.

    Raises:
        FileNotFoundError: NGAN_MODEL is not set and the package came without its weights.
    """
    named = os.environ.get("NGAN_MODEL")
    if named:
        return named
    if not (EMBEDDED / "config.json").is_file():
        raise FileNotFoundError(
            f"{EMBEDDED} holds no model: install the package with its weights or set NGAN_MODEL to a folder or Hub id"
        )
    return str(EMBEDDED)


def split_revision(source: str) -> tuple[str, str | None]:
    """Part "organisation/name@revision" into the Hub id and the revision.

    Returns:
        Both; the source as it is and None if it names no revision, or a file or folder that is there.
    """
    if "@" not in source or Path(source).exists():
        return source, None
    name, revision = source.split("@", 1)
    return name, revision
