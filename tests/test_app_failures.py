"""Tests of what the page says of failures that are the server's own: a broken model, a full disk, and others."""

import errno
import logging
import os
from pathlib import Path
from types import ModuleType, SimpleNamespace

import gradio as gr
import pytest
import torch
from editor import ROOT, noise_picture
from painting import open_and_paint, refused
from PIL import Image

from page import photos, views

FACE, MASK = (str(ROOT / "examples" / name) for name in ("astronaut.png", "astronaut_mouth.png"))


@pytest.fixture
def drawing(app: ModuleType, tmp_path: Path) -> tuple[dict, str]:
    """A photo on the canvas with a part painted, and its name."""
    Image.fromarray(noise_picture(60, 50)).save(tmp_path / "photo.png")
    return open_and_paint(app, tmp_path / "photo.png", slice(0.2, 0.8), slice(0.5, 0.7))[:2]


@pytest.fixture
def broken(app: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's model returns NaN."""
    weight = app.loaded.inpainter.model.image_generator.head.bias
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.fill_(torch.nan)
    yield
    with torch.no_grad():
        weight.copy_(kept)


def test_a_broken_model_is_told_by_every_button_and_takes_nothing_away(
    app: ModuleType, drawing: tuple, said: list[str], broken: None
):
    """The canvas, which is an output of finding damage and of examples, stays as it is."""
    words, mine = refused(app, said, *drawing), SimpleNamespace(session_hash="broken")
    assert "weights are broken" in words and "another model" in words
    app.handlers.memory.note(drawing[1], "broken")
    for shown in (
        app.handlers.mark_damage(*drawing, None, mine),
        app.handlers.try_example(0, mine),
        app.handlers.try_example(3, mine),  # without a mask
    ):
        assert said.pop() == words and shown[-1] == views.message(words, kind="wrong")
        assert all(part == gr.skip() for part in shown[:-1])
    assert app.handlers.memory.latest("broken") == drawing[1]
    for call in (app.programs.inpaint, app.programs.find_damage):
        with pytest.raises(gr.Error, match="weights are broken"):
            call(FACE)


def test_what_nobody_expects_is_told_too_and_logged(
    app: ModuleType,
    drawing: tuple,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    def full(*given: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/somewhere.png")

    def short(*given: object) -> None:
        raise RuntimeError("CUDA out of memory")

    for place, name, failing, reason in (
        (photos, "save_result", full, "No space left"),
        (app.handlers, "fill", short, "CUDA out of memory"),
    ):
        with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
            patch.setattr(place, name, failing)
            words = refused(app, said, *drawing)
            assert words.startswith("This failed on the server") and "somewhere" not in words
            assert app.handlers.try_example(0)[-1] == views.message(said.pop(), kind="wrong")
        assert reason in caplog.text
    monkeypatch.setattr(app.programs, "fill", short)
    with pytest.raises(gr.Error, match="This failed on the server"):
        app.programs.inpaint(FACE, MASK)
