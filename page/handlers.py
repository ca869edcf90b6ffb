"""What the buttons of the page do. Every error is a sentence for the person at the page.

Where the editor is an output, an error is shown by `gr.Warning`: after a `gr.Error` the editor waits for ever.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import torch
from PIL import Image

from ngan.faces import Face, find_faces
from ngan.pictures import PictureError, on_white
from page import canvas, photos, views
from page.canvas import Photo
from page.failures import in_words
from page.memory import Memory
from page.photos import Expired, Unusable
from page.programs import Fill

SHOW_SIDE = 1600  # longest side of what the slider shows, in pixels; the download always has the picture's own size

_CLEAR_OF_HOLE = 2  # percent of the width, between the slider's handle and the hole, and the picture's border


class Handlers:
    """The page's actions.

    Args:
        fill: runs `Inpainter.fill`, here or elsewhere, of the model that makes fills look as its last argument names;
            None = the usual one.
        folder: where results are written; the page deletes what lies there after an hour.
        examples: pairs of a picture and a mask file that may be None.
        seconds: for which an opened photo is remembered.

    Where a photo is an argument or is returned, it is the name under which it is remembered, or None.
    """

    def __init__(
        self, fill: Fill, folder: Path, examples: Sequence[tuple[Path, Path | None]], seconds: float = 3000
    ) -> None:
        self.fill = fill
        self.folder = folder
        self.examples = examples
        self.memory = Memory(seconds)

    def open_photo(self, path: str | None, request: gr.Request | None = None, asked: float | None = None) -> tuple:
        """Put a photo on the canvas that was `asked` for when the page's clock said so.

        Returns:
            Editor, photo, the same if it opened, face picker, words; and the result of the photo before, gone.
        """
        try:
            if path is None:
                raise Unusable("Choose a file first.")
            picture = photos.open_photo(path)
        except Unusable as error:
            return gr.skip(), gr.skip(), None, gr.skip(), _refusal(error), *[gr.skip()] * 5
        value, photo = canvas.show(picture, path)
        name = self.memory.keep(photo)
        self.memory.note(name, _session(request), asked)
        hidden = gr.update(value=None, visible=False)
        gone = hidden, views.NOTHING_INSIDE, hidden, hidden, ""
        return value, name, name, None, views.message("Looking for faces…"), *gone

    def find_faces(self, name: str | None, request: gr.Request | None = None) -> tuple:
        """Look for faces in the opened photo; returns face picker, words and the part of the page to mark faces in."""
        try:
            photo = self.memory.get(name)
            if photo is None or photo.path is None:
                return gr.skip(), gr.skip(), gr.skip()
            picture = photos.open_photo(photo.path)
        except Unusable:  # it was said when the photo was opened
            return gr.skip(), gr.skip(), gr.skip()
        faces = find_faces(np.asarray(on_white(picture)))
        if self.memory.replaced(name, _session(request)):
            return gr.skip(), gr.skip(), gr.skip()
        shown = views.squares(views.small(on_white(picture), canvas.PAINT_SIDE), picture.size, faces)
        return shown, views.found_words(len(faces)), gr.skip() if faces else gr.update(open=True)

    def open_mask(
        self, path: str | None, value: dict | None, name: str | None, request: gr.Request | None = None
    ) -> tuple:
        """Paint what a mask file marks; returns editor, photo and words."""
        turn = self.memory.latest(_session(request))
        if self._too_late(name, request):
            return (gr.skip(),) * 3
        try:
            drawing = canvas.read(value, self.memory.get(name))
            if path is None:
                raise Unusable("Choose a mask file first.")
            painted, photo = canvas.with_mask(drawing, path)
        except Unusable as error:
            return gr.skip(), gr.skip(), _refusal(error)
        words = views.message("The mask is painted. Change it if you like, then press Fill.")
        shown = painted, self.memory.keep(photo, turn), words
        return shown if turn == self.memory.latest(_session(request)) else (gr.skip(),) * 3

    def mark_damage(
        self, value: dict | None, name: str | None, picker: dict | None, request: gr.Request | None = None
    ) -> tuple:
        """Paint what looks damaged, beside what is painted already; returns editor and words."""
        turn = self.memory.latest(_session(request))
        if self._too_late(name, request):
            return (gr.skip(),) * 2
        try:
            photo = self.memory.get(name)
            drawing = canvas.read(value, photo)
            with in_words():
                result = self.fill(drawing.picture, None, _faces(picker, drawing, photo), None)
        except (Unusable, PictureError) as error:
            return gr.skip(), _refusal(error)
        if turn != self.memory.latest(_session(request)):
            return (gr.skip(),) * 2
        found = canvas.shrink_mask(result.mask, drawing.canvas.size)
        if not found.any():
            text = "No damage was found. Paint over the part to fill: thin scratches and writing are often missed."
            gr.Info(text)
            return gr.skip(), views.message(text)
        where = " on and around faces" if result.faces else ""
        text = f"Painted what looks damaged{where}, {views.share(found.mean())} of the picture."
        text += f" Rub out or add{', such as damage elsewhere' if where else ''}, then press Fill."
        return canvas.paint(drawing.canvas, found | drawing.painted), views.message(text)

    def random_hole(
        self, value: dict | None, name: str | None, picker: dict | None, request: gr.Request | None = None
    ) -> tuple:
        """Paint a random hole in place of what is painted; returns editor, photo and words."""
        turn = self.memory.latest(_session(request))
        if self._too_late(name, request):
            return (gr.skip(),) * 3
        try:
            photo = self.memory.get(name)
            drawing = canvas.read(value, photo)
            faces = views.known_faces(picker) if photo and photo.canvas == drawing.photo.canvas else []
        except Unusable as error:
            return gr.skip(), gr.skip(), _refusal(error)
        scale = drawing.canvas.width / drawing.picture.width
        faces = [Face(face.x * scale, face.y * scale, max(1.0, face.side * scale)) for face in faces]
        generator = torch.Generator()
        generator.seed()
        hole = canvas.random_hole(drawing.canvas.size, faces, generator)
        forgotten = self.memory.keep(replace(drawing.photo, mask=None), turn) if drawing.photo.mask else gr.skip()
        words = views.message("A random hole. Press Fill to see it filled.")
        shown = canvas.paint(drawing.canvas, hole), forgotten, words
        return shown if turn == self.memory.latest(_session(request)) else (gr.skip(),) * 3

    def fill_painted(
        self,
        value: dict | None,
        name: str | None,
        picker: dict | None,
        request: gr.Request | None = None,
        look: str | None = None,
    ) -> tuple:
        """Fill what is painted; returns what to show of it, in the order of the page's results: of nothing, if another
        picture was opened meanwhile."""
        turn = self.memory.latest(_session(request))
        if self._too_late(name, request):
            return (gr.skip(),) * 9
        try:
            photo = self.memory.get(name)
            drawing = canvas.read(value, photo)
            mask = drawing.mask()
            if mask is None:
                raise Unusable("Nothing is painted yet: paint over the part to fill, or let the damage be found.")
            known = views.known_faces(picker) if photo == drawing.photo else []
            shown = self._filled(drawing, mask, _faces(picker, drawing, photo), known, turn, look)
        except (Unusable, PictureError) as error:
            shown = *[gr.skip()] * 8, _refusal(error)
        return shown if turn == self.memory.latest(_session(request)) else (gr.skip(),) * 9

    def fill_again(
        self,
        value: dict | None,
        name: str | None,
        picker: dict | None,
        note: str | None,
        request: gr.Request | None = None,
        look: str | None = None,
    ) -> tuple:
        """Fill what is painted once more, with another look; nothing if the page shows no result and its note."""
        return self.fill_painted(value, name, picker, request, look) if note else (gr.skip(),) * 9

    def try_example(
        self, number: int, request: gr.Request | None = None, asked: float | None = None, look: str | None = None
    ) -> tuple:
        """Open an example and fill it; returns editor and what `fill_painted` does: of nothing, if it waited while
        a photo was opened that was `asked` for later."""
        if self.memory.outrun(asked, _session(request)):
            return (gr.skip(),) * 10
        picture_file, mask_file = self.examples[number]
        value, photo = canvas.show(photos.open_photo(picture_file), str(picture_file))
        name, before = self.memory.keep(photo), self.memory.latest(_session(request))
        self.memory.note(name, _session(request), asked)
        try:
            shown = self._example(canvas.read(value, photo), mask_file, name, look)
        except Exception as error:
            if self.memory.replaced(name, _session(request)):
                return (gr.skip(),) * 10
            self.memory.note(before, _session(request))  # the page goes on showing that one
            if not isinstance(error, Unusable):
                raise
            return *[gr.skip()] * 9, _refusal(error)
        return (gr.skip(),) * 10 if self.memory.replaced(name, _session(request)) else shown

    def _too_late(self, name: str | None, request: gr.Request | None) -> bool:
        """Whether a press of a button is of a photo that was replaced, as its canvas took long to be sent; it is told,
        for the new photo may never have reached the page."""
        late = self.memory.replaced(name, _session(request))
        if late:
            gr.Info("Another photo was opened meanwhile. If it is not on the canvas, open it again.")
        return late

    @in_words()
    def _example(self, drawing: canvas.Drawing, mask_file: Path | None, name: str, look: str | None) -> tuple:
        if mask_file is None:
            mask = self.fill(drawing.picture, None, None, None).mask
            drawing.painted = canvas.shrink_mask(mask, drawing.canvas.size)
            value = canvas.paint(drawing.canvas, drawing.painted)
        else:
            value, _ = canvas.with_mask(drawing, str(mask_file))
            mask = drawing.mask()
        if mask.getbbox() is None:
            raise Unusable("No damage was found in this example by the model that is loaded.")
        return value, *self._filled(drawing, mask, None, [], name, look)

    @in_words()
    def _filled(
        self,
        drawing: canvas.Drawing,
        mask: Image.Image,
        faces: list | None,
        known: Sequence[Face],
        turn: str | None,
        look: str | None,
    ) -> tuple:
        start = time.perf_counter()
        result = self.fill(drawing.picture, mask, faces, look)
        seconds = time.perf_counter() - start
        size = drawing.picture.size
        pair = [views.small(picture, SHOW_SIDE) for picture in (drawing.picture, result.final)]
        pair = photos.save_shown(pair, photos.new_folder(self.folder))
        saved = photos.save_result(result.final, drawing.photo.path, photos.new_folder(self.folder))
        shown = views.squares(drawing.canvas, size, known, result.faces, faces is not None)
        kind = saved.file.suffix[1:].upper().replace("JPG", "JPEG").replace("TIF", "TIFF")
        return (
            gr.update(value=tuple(pair), visible=True, slider_position=_beside(mask)),
            views.stages_html(result.inside),
            gr.update(value=str(saved.file), label=f"Download {kind}", visible=True),
            gr.update(value=saved.lossless and str(saved.lossless), visible=saved.lossless is not None),
            saved.note,
            shown,
            self.memory.keep(drawing.photo, turn),
            gr.update(columns=4),
            views.summary(result, size, seconds, faces is not None, drawing.photo.path is not None, drawing.clear),
        )


def _refusal(error: Unusable | PictureError) -> str:
    """Say why something is not done, and in a notice too; returns the words. If the photo is gone there is no notice:
    the page opens it again by itself."""
    gone, words = isinstance(error, Expired), photos.words_of(error)
    if not gone:
        gr.Warning(words)
    return views.message(words, kind="wrong gone" if gone else "wrong")


def _session(request: gr.Request | None) -> str | None:
    return request.session_hash if request else None


def _beside(mask: Image.Image) -> float:
    """Where the slider stands, in percent of the width, so that all of a hole, L, shows the result."""
    left = mask.getbbox()[0]
    return max(_CLEAR_OF_HOLE, 100 * left / mask.width - _CLEAR_OF_HOLE)


def _faces(picker: dict | None, drawing: canvas.Drawing, photo: Photo | None) -> list | None:
    """The squares a person chose, if they were chosen on the picture that is on the canvas."""
    same = photo is not None and photo.canvas == drawing.photo.canvas
    return views.chosen_faces(picker, drawing.picture.size) if same else None
