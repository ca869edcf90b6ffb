"""Tests of the page without a browser: mask files, damage that is found, random holes."""

import re
from pathlib import Path
from types import ModuleType

import gradio as gr
import numpy as np
import pytest
from editor import noise_picture
from painting import fill, painted, value
from PIL import Image

from page.canvas import shrink_mask


def test_a_mask_file_is_painted_and_used_to_the_pixel(app: ModuleType, tmp_path: Path, said: list[str]):
    image, hole = noise_picture(900, 1100), np.zeros((900, 1100), bool)
    hole[301:403, 207:509] = True
    Image.fromarray(image).save(tmp_path / "photo.png")
    Image.fromarray(hole).save(tmp_path / "mask.png")
    canvas, photo, *_ = app.handlers.open_photo(str(tmp_path / "photo.png"))
    canvas, photo, _ = app.handlers.open_mask(str(tmp_path / "mask.png"), canvas, photo)
    result = np.asarray(Image.open(fill(app, canvas, photo)["download"]["value"]))
    assert np.array_equal(result[~hole], image[~hole]) and (result[hole] != image[hole]).any(axis=-1).mean() > 0.9

    more = Image.new("RGBA", canvas["background"].size)  # painted over: the file no longer says it all
    more.paste((255, 0, 0, 153), (0, 0, 100, 100))
    got = fill(app, value(canvas["background"], *canvas["layers"], more), photo)
    result = np.asarray(Image.open(got["download"]["value"]))
    assert (result[:140, :140] != image[:140, :140]).any(axis=-1).mean() > 0.9

    Image.new("L", (1100, 901), 255).save(tmp_path / "other.png")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / "other.png").read_bytes()[:-300])
    Image.new("L", (1100, 900), 0).save(tmp_path / "black.png")
    for name, message in (
        ("other.png", "cannot be used: it has 1100x901.*1100x900"),
        ("text.png", "mask file is not"),
        ("cut.png", "mask file is a broken picture"),
        ("black.png", "cannot be used: it marks no"),
    ):
        answer = app.handlers.open_mask(str(tmp_path / name), canvas, photo)
        assert re.search(message, said[-1]) and str(tmp_path) not in said[-1] and answer[0] == gr.skip()


def scratched(folder: Path, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Write `folder`/photo.png, and mask.png of thin lines, dots and a blob; returns their pixels."""
    image, hole = noise_picture(side, side), np.zeros((side, side), bool)
    hole[side // 4, 20:-20] = hole[40:-40, side // 3] = hole[0, 5] = hole[-1, -1] = True
    hole[np.arange(90, 190), np.arange(90, 190)] = True
    hole[side // 2 : side // 2 + 31, side // 2 : side // 2 + 43] = True
    Image.fromarray(image).save(folder / "photo.png")
    Image.fromarray(hole).save(folder / "mask.png")
    return image, hole


@pytest.mark.parametrize("side", [300, 768, 1900])
def test_thin_marks_of_a_mask_file_are_shown_and_filled_to_the_pixel(app: ModuleType, tmp_path: Path, side: int):
    image, hole = scratched(tmp_path, side)
    hole[side // 2 : side // 2 + 31] = False  # scratches alone
    Image.fromarray(hole).save(tmp_path / "mask.png")
    canvas, photo, *_ = app.handlers.open_photo(str(tmp_path / "photo.png"))
    canvas, photo, words = app.handlers.open_mask(str(tmp_path / "mask.png"), canvas, photo)
    shown = np.asarray(canvas["layers"][0].resize((side, side), Image.Resampling.NEAREST))[..., 3] > 0
    assert shown[hole].all() and shown.mean() < 0.1 and "The mask is painted" in words
    result = np.asarray(Image.open(fill(app, canvas, photo)["download"]["value"]))
    changed = (result != image).any(axis=-1)
    assert not changed[~hole].any() and changed[hole].mean() > 0.8


@pytest.mark.parametrize("side", [300, 768, 1900])
def test_strokes_and_rubbing_out_leave_the_rest_of_a_mask_file_exact(app: ModuleType, tmp_path: Path, side: int):
    image, hole = scratched(tmp_path, side)
    canvas, photo, *_ = app.handlers.open_photo(str(tmp_path / "photo.png"))
    canvas, photo, _ = app.handlers.open_mask(str(tmp_path / "mask.png"), canvas, photo)
    layer = np.array(canvas["layers"][0])
    layer[600:700, 200:300] = (255, 45, 139, 153)  # a stroke across the upright line
    layer[150:250, 500:600] = 0  # a part of the lying line rubbed out
    got = fill(app, value(canvas["background"], Image.fromarray(layer)), photo)
    changed = (np.asarray(Image.open(got["download"]["value"])) != image).any(axis=-1)
    cell = side / 768
    inner, outer = ((slice(round((600 + k) * cell), round((700 - k) * cell)),
                     slice(round((200 + k) * cell), round((300 - k) * cell))) for k in (1, -5))  # fmt: skip
    rubbed = (slice(round(150 * cell), round(250 * cell)), slice(round(500 * cell), round(600 * cell)))
    expected, maybe = hole.copy(), np.zeros_like(hole)
    expected[rubbed] = False
    expected[inner] = maybe[outer] = True
    assert not changed[~(expected | maybe)].any() and changed[expected].mean() > 0.8
    assert changed[inner].mean() > 0.8 and changed[hole & expected & ~maybe].mean() > 0.8


def test_a_random_hole_takes_the_place_of_a_mask_file(app: ModuleType, tmp_path: Path):
    image, _ = scratched(tmp_path, 300)
    canvas, photo, *_ = app.handlers.open_photo(str(tmp_path / "photo.png"))
    canvas, photo, _ = app.handlers.open_mask(str(tmp_path / "mask.png"), canvas, photo)
    canvas, photo, _ = app.handlers.random_hole(canvas, photo, None)
    hole = np.asarray(canvas["layers"][0].resize((300, 300), Image.Resampling.NEAREST))[..., 3] > 0
    result = np.asarray(Image.open(fill(app, canvas, photo)["download"]["value"]))
    changed = (result != image).any(axis=-1)
    assert not changed[~hole].any() and changed[hole].mean() > 0.8


def test_single_pixels_of_a_very_long_mask_are_shown():
    hole = np.zeros((400, 100_000), bool)
    hole[123, 45_678] = True
    shown = shrink_mask(hole, (768, 3))
    assert shown[0, 350] and shown.sum() == 6


@pytest.mark.parametrize("size", [(16, 60_000), (60_000, 16)])
def test_a_very_narrow_picture_is_opened_and_filled(app: ModuleType, tmp_path: Path, size: tuple[int, int]):
    image, hole = noise_picture(*size[::-1]), np.zeros(size[::-1], bool)
    hole[4:10, 4:10] = True
    Image.fromarray(image).save(tmp_path / "photo.png")
    Image.fromarray(hole).save(tmp_path / "mask.png")
    canvas, photo, *_ = app.handlers.open_photo(str(tmp_path / "photo.png"))
    assert sorted(canvas["background"].size) == [2, 768] and app.handlers.find_faces(photo)[0]["faces"] == []
    canvas, photo, _ = app.handlers.open_mask(str(tmp_path / "mask.png"), canvas, photo)
    result = np.asarray(Image.open(fill(app, canvas, photo)["download"]["value"]))
    assert np.array_equal(result[~hole], image[~hole]) and (result[hole] != image[hole]).any(axis=-1).mean() > 0.8


def test_found_damage_is_painted_to_be_changed(app: ModuleType, tmp_path: Path, said: list[str]):
    image = Image.fromarray(noise_picture(60, 50))
    given, _ = painted(60, 50)
    editor, words = app.handlers.mark_damage(value(image, given), None, None)
    found = np.asarray(editor["layers"][0])[..., 3] > 0
    direct = shrink_mask(app.loaded.inpainter.fill(image).mask, image.size)
    assert direct.any() and "Painted what looks damaged, " in words
    image.save(tmp_path / "photo.png")
    canvas, photo, *_ = app.handlers.open_photo(str(tmp_path / "photo.png"))
    faces = [{"x": 25.0, "y": 30.0, "side": 40.0, "angle": 0.0, "by": "moved"}]
    *_, words = app.handlers.mark_damage(canvas, photo, {"faces": faces, "edited": True})
    assert "damaged on and around faces, " in words and "damage elsewhere" in words
    assert np.array_equal(found, direct | (np.asarray(given)[..., 3] > 0))
    got = fill(app, editor)
    after = np.asarray(got["slider"]["value"][1])
    assert np.array_equal(after[~found], np.asarray(image)[~found])
    app.handlers.mark_damage(None, None, None)
    assert said == ["Open a picture first."]
