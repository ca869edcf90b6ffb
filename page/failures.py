"""What fails on the server, through no fault of whoever gave a photo: in words for them, and in full in the log."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from ngan.pictures import PictureError
from ngan.runner import NotFinite
from page.photos import Unusable

_BROKEN = (
    "The model draws no picture here: its weights are broken or too large. Nothing is lost, but whoever runs this "
    "page has to give it another model."
)
_FAILED = "This failed on the server, which noted why. Nothing is lost: try again in a while."

_logger = logging.getLogger(__name__)


@contextmanager
def in_words() -> Iterator[None]:
    """Say what fails within; as a decorator, in a function. What is in words already is left alone.

    Raises:
        Unusable: in the place of any other error.
    """
    try:
        yield
    except (Unusable, PictureError, gr.Error):
        raise
    except Exception as error:
        _logger.exception("A photo could not be worked on")
        raise Unusable(_BROKEN if isinstance(error, NotFinite) else _FAILED) from error
