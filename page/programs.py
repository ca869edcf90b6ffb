"""What programs may call: plain files in, a plain file out. Every error is a sentence for whoever reads it."""

from collections.abc import Callable
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image

from ngan.inference import Result
from ngan.pictures import PictureError
from ngan.saving import Origin, save_picture
from page import photos
from page.failures import in_words
from page.models import CAREFUL
from page.photos import Unusable

Fill = Callable[[Image.Image, Image.Image | np.ndarray | None, list | None, str | None], Result]


class Programs:
    """The page's calls without a page.

    Args:
        fill: as of `page.handlers.Handlers`.
        folder: where results are written.
    """

    def __init__(self, fill: Fill, folder: Path) -> None:
        self.fill = fill
        self.folder = folder

    def inpaint(self, image: str | None, mask: str | None = None) -> str:
        """Fill a picture file where a mask file is white; all other pixels are returned bit for bit.

        Args:
            image: a picture file with any number of faces, up to 50 megapixels.
            mask: a picture file of the (upright) picture's size, white = fill; without it, damage is found and filled.

        Returns:
            A PNG file of the picture's own size.
        """
        return self._run(image, mask, None, "filled.png")

    def inpaint_careful(self, image: str | None, mask: str | None = None) -> str:
        """Fill a picture file as `inpaint` does, softer, and on average closer to what was there.

        Args:
            image: a picture file with any number of faces, up to 50 megapixels.
            mask: a picture file of the (upright) picture's size, white = fill; without it, damage is found and filled.

        Returns:
            A PNG file of the picture's own size.
        """
        return self._run(image, mask, CAREFUL, "filled.png")

    def find_damage(self, image: str | None) -> str:
        """Mark what looks damaged in a picture file: plain colours and noise are found best.

        Args:
            image: a picture file, up to 50 megapixels.

        Returns:
            A PNG file of the (upright) picture's size, white where it looks damaged, else black.
        """
        return self._run(image, None, None, "damage.png", "mask")

    def _run(self, image: str | None, mask: str | None, look: str | None, name: str, part: str = "final") -> str:
        """Write a part of a `Result` to a file of some name; returns its path."""
        try:
            with in_words():
                picture = photos.open_photo(image)
                hole = None if mask is None else photos.open_mask(mask, picture.size)
                made = getattr(self.fill(picture, hole, None, look), part)
                path = photos.new_folder(self.folder) / name
                profile = made.info.get("icc_profile") or b""
                save_picture(path, made, Origin(mode=made.mode, icc_profile=profile), quick=True)
        except (Unusable, PictureError) as error:
            raise gr.Error(photos.words_of(error), print_exception=False) from error
        return str(path)
