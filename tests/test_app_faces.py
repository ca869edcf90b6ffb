"""Tests of the page without a browser: the squares around faces."""

from pathlib import Path
from types import ModuleType

import gradio as gr
import numpy as np
import pytest
from editor import ROOT, noise_picture
from painting import fill, open_and_paint, refused
from PIL import Image


def test_a_refused_file_leaves_the_open_photo_and_its_squares(app: ModuleType, tmp_path: Path, said: list[str]):
    """Runs the events of the button as they are wired, on what the page holds."""
    (tmp_path / "text.png").write_text("no picture")
    opening = next(event for event in app.demo.fns.values() if event.name == "open_photo")
    chain = [opening, *(event for event in app.demo.fns.values() if event.trigger_after == opening._id)]
    held = {}

    def choose(path: Path) -> None:
        held[app.opener] = str(path)
        for event in chain:
            answers = event.fn(*(held.get(block) for block in event.inputs))
            held.update((block, got) for block, got in zip(event.outputs, answers, strict=True) if got != gr.skip())

    choose(ROOT / "examples" / "wide.jpg")
    assert "2 faces found" in held[app.status] and len(held[app.picker]["faces"]) == 2
    held[app.picker] = {**held[app.picker], "faces": held[app.picker]["faces"][:1], "edited": True}
    before = {block: held[block] for block in (app.editor, app.photo, app.picker)}
    choose(tmp_path / "text.png")
    assert "not a picture that can be read" in held[app.status] and len(chain) == 2
    assert all(held[block] is kept for block, kept in before.items())


def test_a_random_hole_is_drawn_on_the_faces_that_are_known(app: ModuleType, tmp_path: Path):
    Image.fromarray(noise_picture(200, 400)).save(tmp_path / "photo.png")
    canvas, photo, *_ = app.handlers.open_photo(str(tmp_path / "photo.png"))
    picker = {"faces": [{"x": 300.0, "y": 100.0, "side": 80.0, "angle": 0.0}]}
    holes = []
    for _ in range(4):
        editor, *_ = app.handlers.random_hole(canvas, photo, picker)
        hole = np.asarray(editor["layers"][0])[..., 3] > 0
        rows, columns = np.nonzero(hole)
        assert columns.min() >= 260 * 768 / 400 - 2 and columns.max() <= 340 * 768 / 400 + 2
        assert rows.min() >= 60 * 768 / 400 - 2 and rows.max() <= 140 * 768 / 400 + 2
        holes.append(hole.tobytes())
    assert len(set(holes)) > 1


def test_squares_that_a_person_chose_are_used(app: ModuleType, tmp_path: Path):
    Image.linear_gradient("L").resize((500, 200)).convert("RGB").save(tmp_path / "photo.png")
    canvas, photo, _ = open_and_paint(app, tmp_path / "photo.png", slice(0.2, 0.8), slice(0.5, 0.7))
    got = fill(app, canvas, photo)
    assert "No face was found" in got["status"] and got["picker"]["faces"] == []
    square = {"x": 300.0, "y": 100.0, "side": 150.0, "angle": 10.0, "by": "moved"}
    far = {**square, "x": 60.0, "by": "added"}
    got = fill(app, canvas, photo, {"faces": [square, far], "edited": True})
    assert "1 face" in got["status"] and got["picker"]["edited"]
    assert [face["filled"] for face in got["picker"]["faces"]] == [True, False]
    assert {key: got["picker"]["faces"][0][key] for key in ("x", "y", "side", "angle")} == {
        key: square[key] for key in ("x", "y", "side", "angle")
    }
    added = fill(app, canvas, photo, {"faces": [{**square, "by": "added"}], "edited": True})
    assert "No face was found in the rectangle" in added["status"] and "1 face" in added["status"]
    none = fill(app, canvas, photo, {"faces": [], "edited": True})["status"]
    assert "No face is marked: what" in none and "If there is one, add it" in none and "found" not in none
    elsewhere = fill(app, canvas, photo, {"faces": [{**square, "x": 60.0, "side": 60.0}], "edited": True})["status"]
    assert "lies in none of the known faces" in elsewhere and "If there is a face there, add it" in elsewhere


@pytest.mark.parametrize(
    "faces",
    ["no list", [1], [{}], [{"x": "a", "y": 1, "side": 1, "angle": 0}], [{"x": 1, "y": 1, "side": -5, "angle": 0}],
     [{"x": float("nan"), "y": 1, "side": 9, "angle": 0}], [{"x": 1e9, "y": 1, "side": 9, "angle": 0}],
     [{"x": 5, "y": 5, "side": 50, "angle": 0}] * 65, 3],
)  # fmt: skip
def test_squares_that_the_page_does_not_make_are_refused(
    app: ModuleType, tmp_path: Path, said: list[str], faces: object
):
    Image.fromarray(noise_picture(60, 80)).save(tmp_path / "photo.png")
    canvas, photo, _ = open_and_paint(app, tmp_path / "photo.png", slice(0.2, 0.8), slice(0.5, 0.7))
    assert "face" in refused(app, said, canvas, photo, {"faces": faces, "edited": True})


def test_many_faces_may_be_found_but_not_chosen(
    app: ModuleType, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
):
    Image.fromarray(noise_picture(60, 80)).save(tmp_path / "photo.png")
    canvas, photo, _ = open_and_paint(app, tmp_path / "photo.png", slice(0.2, 0.8), slice(0.5, 0.7))
    faces = [{"x": 9 + number, "y": 9, "side": 9, "angle": 0, "by": "found"} for number in range(70)]
    got = fill(app, canvas, photo, {"faces": faces})
    assert "Filled in" in got["status"] and len(got["picker"]["faces"]) >= 70
    *_, words = app.handlers.random_hole(canvas, photo, {"faces": faces})
    assert "A random hole" in words
    monkeypatch.setattr(app.handlers, "fill", lambda *_: pytest.fail("work was done for nothing"))
    assert "70 faces are marked; at most 64" in refused(app, said, canvas, photo, {"faces": faces, "edited": True})


def test_where_no_face_is_found_the_page_says_what_to_do(app: ModuleType, tmp_path: Path):
    Image.fromarray(noise_picture(60, 50) // 64).save(tmp_path / "photo.png")
    canvas, photo, *_ = app.handlers.open_photo(str(tmp_path / "photo.png"))
    picker, words, part = app.handlers.find_faces(photo)
    assert picker["faces"] == [] and "Add it under" in words and part["open"]
    canvas, photo, _ = open_and_paint(app, tmp_path / "photo.png", slice(0.2, 0.5), slice(0.2, 0.5))
    assert "No face was found" in (words := fill(app, canvas, photo)["status"]) and "press Fill again" in words
    _, photo, *_ = app.handlers.open_photo(str(ROOT / "examples" / "wide.jpg"))
    picker, words, part = app.handlers.find_faces(photo)
    assert len(picker["faces"]) == 2 and "2 faces found" in words and part == gr.skip()
