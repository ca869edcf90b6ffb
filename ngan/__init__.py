"""Face inpainting by a nested GAN (Li et al., IEEE Access 2019).

The public names are loaded when they are first used: torch takes seconds, in which `python -m ngan`, whose package is
imported before the module that handles Ctrl-C, would end with a traceback.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ngan.framing import Face
    from ngan.inference import Inpainter
    from ngan.model import NGAN, NGANDiscriminators, NGANOutput
    from ngan.stages import Result, Stages

_HOMES = {
    "Face": "framing",
    "Inpainter": "inference",
    "NGAN": "model",
    "NGANDiscriminators": "model",
    "NGANOutput": "model",
    "Result": "stages",
    "Stages": "stages",
}
__all__ = list(_HOMES)
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
