"""Tests of what becomes of an answer of the page's handlers if another photo was opened meanwhile."""

from pathlib import Path
from types import ModuleType, SimpleNamespace

import gradio as gr
import pytest
from editor import noise_picture
from painting import layer, open_and_paint, painted, value
from PIL import Image


def test_a_photo_opened_during_a_fill_is_the_one_that_stays(
    app: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    Image.fromarray(noise_picture(60, 50)).save(tmp_path / "photo.png")
    canvas, photo, _ = open_and_paint(app, tmp_path / "photo.png", slice(0.2, 0.8), slice(0.5, 0.7))
    mine, other = (SimpleNamespace(session_hash=name) for name in "ab")
    run = app.handlers.fill

    def opening(by: object) -> None:
        def fill_meanwhile(*given: object) -> object:
            app.handlers.open_photo(str(tmp_path / "photo.png"), by)
            return run(*given)

        monkeypatch.setattr(app.handlers, "fill", fill_meanwhile)

    opening(other)  # somebody else's page
    shown = app.handlers.fill_painted(canvas, photo, None, mine)
    assert shown[0]["visible"] and "Filled in" in shown[-1]
    opening(mine)
    assert all(part == gr.skip() for part in app.handlers.fill_painted(canvas, photo, None, mine))
    assert all(part == gr.skip() for part in app.handlers.try_example(0, mine))
    canvas, photo, *_ = app.handlers.open_photo(str(tmp_path / "photo.png"), mine)
    assert all(part == gr.skip() for part in app.handlers.mark_damage(canvas, photo, None, mine))


def test_what_was_pressed_for_a_photo_before_is_dropped(app: ModuleType, tmp_path: Path, said: list[str]):
    """Its canvas takes a while to be sent, so another photo may be there before anything is done for it."""
    for name, shape in (("a", (60, 50)), ("b", (50, 60))):
        Image.fromarray(noise_picture(*shape)).save(tmp_path / f"{name}.png")
    Image.fromarray(painted(60, 50)[1]).save(tmp_path / "mask.png")
    mine, do = SimpleNamespace(session_hash="mine"), app.handlers
    sheet, (paint, _) = noise_picture(60, 50), painted(60, 50)
    pasted = value(Image.fromarray(sheet), paint)

    def act(canvas: dict, photo: str | None) -> list[tuple]:
        return [
            do.fill_painted(canvas, photo, None, mine),
            do.mark_damage(canvas, photo, None, mine),
            do.random_hole(canvas, photo, None, mine),
            do.open_mask(str(tmp_path / "mask.png"), canvas, photo, mine),
        ]

    def names(got: list[tuple]) -> list[str]:
        assert not any("wrong" in shown[-1] for shown in got)
        return [got[0][6], got[3][1]]

    of_pasted = names(act(pasted, None))  # nothing was opened yet
    canvas, first, *_ = do.open_photo(str(tmp_path / "a.png"), mine)
    canvas["layers"] = [layer(*canvas["background"].size[::-1], slice(20, 400), slice(10, 300))]
    of_first = [first, *names(act(canvas, first))]
    of_first += names(act(canvas, of_first[1])) + names(act(pasted, first))  # a camera's picture, on the same page
    said.clear()
    other, second, *_ = do.open_photo(str(tmp_path / "b.png"), mine)
    for name in (*of_pasted, *of_first):
        for shown in act(canvas, name):
            assert all(part == gr.skip() for part in shown) and "Another photo was opened" in said.pop()
    assert all(part == gr.skip() for part in do.find_faces(first, mine))
    other["layers"] = [layer(*other["background"].size[::-1], slice(20, 400), slice(10, 300))]
    assert "full size, 60 x 50 pixels" in act(other, second)[0][-1]
    of_example = do.try_example(0, mine)[7]
    assert all(part == gr.skip() for shown in act(other, second) for part in shown)
    assert do.find_faces(of_example, mine)[0] != gr.skip()


def test_an_example_that_waited_does_not_take_the_place_of_a_photo_that_was_asked_for_later(
    app: ModuleType, tmp_path: Path
):
    Image.fromarray(noise_picture(60, 50)).save(tmp_path / "photo.png")
    mine, do = SimpleNamespace(session_hash="three"), app.handlers
    first, second, third = (do.try_example(0, mine, asked) for asked in (1.0, 2.0, 3.0))
    assert all("Filled in" in shown[-1] for shown in (first, second, third))
    _, photo, *_ = do.open_photo(str(tmp_path / "photo.png"), mine, 5.0)
    assert all(part == gr.skip() for part in do.try_example(0, mine, 4.0))
    assert do.find_faces(photo, mine)[0] != gr.skip()
    assert "Filled in" in do.try_example(0, mine, 6.0)[-1]
    assert "Filled in" in do.try_example(0, SimpleNamespace(session_hash="another"), 4.0)[-1]


def test_an_example_that_fails_leaves_the_photo_that_is_open(
    app: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    Image.fromarray(noise_picture(60, 50)).save(tmp_path / "photo.png")
    canvas, photo, _ = open_and_paint(app, tmp_path / "photo.png", slice(0.2, 0.8), slice(0.5, 0.7))
    mine = SimpleNamespace(session_hash="fails")
    app.handlers.memory.note(photo, "fails")

    def failing(*given: object) -> None:
        raise gr.Error("as on a busy machine")

    with monkeypatch.context() as patch, pytest.raises(gr.Error):
        patch.setattr(app.handlers, "fill", failing)
        app.handlers.try_example(0, mine)
    assert "Filled in" in app.handlers.fill_painted(canvas, photo, None, mine)[-1]
