"""Tests of the page without a browser: its handlers called by hand, and the page as a program over HTTP."""

import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import gradio as gr
import httpx
import numpy as np
import pytest
from editor import ROOT, noise_picture, page_model, running_page
from gradio import FileData
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import ExifTags, Image, JpegImagePlugin
from test_sweeping import aged, wait_until_gone

from page import photos, views
from page.canvas import Look, Photo, shrink_mask
from page.memory import Memory
from page.photos import Unusable
from page.sweeping import sweep

NAMES = ("slider", "inside", "download", "lossless", "note", "picker", "photo", "examples", "status")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def app(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NGAN_MODEL", str(model))
        cache = tmp_path_factory.mktemp("cache")
        aged(cache / "ngan" / "killed" / "photo.png")
        patch.setenv("GRADIO_TEMP_DIR", str(cache))
        spec = importlib.util.spec_from_file_location("app_under_test", ROOT / "app.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
def url(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_page(model, tmp_path_factory.mktemp("page")) as address:
        yield address


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the page shows as a notice."""
    notices: list[str] = []
    monkeypatch.setattr(gr, "Warning", notices.append)
    monkeypatch.setattr(gr, "Info", notices.append)
    return notices


def layer(height: int, width: int, rows: slice = slice(0, 0), columns: slice = slice(0, 0)) -> Image.Image:
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[rows, columns] = (255, 45, 139, 153)
    return Image.fromarray(pixels)


def value(background: Image.Image | None, *layers: Image.Image) -> dict:
    return {"background": background, "layers": list(layers), "composite": None}


def painted(height: int, width: int) -> tuple[Image.Image, np.ndarray]:
    mask = np.zeros((height, width), bool)
    mask[20:40, 10:30] = True
    return layer(height, width, slice(20, 40), slice(10, 30)), mask


def fill(app: ModuleType, editor: dict | None, photo: str | None = None, picker: dict | None = None) -> dict:
    return dict(zip(NAMES, app.handlers.fill_painted(editor, photo, picker), strict=True))


def refused(app: ModuleType, said: list[str], *given: object) -> str:
    """What the page says instead of filling; all that it shows of a result is left alone."""
    got = fill(app, *given)
    words = said.pop()
    assert got.pop("status") == views.message(words, kind="wrong") and not said
    assert all(part == gr.skip() for part in got.values())
    return words


def check_filled(pictures: tuple, original: np.ndarray, mask: np.ndarray) -> None:
    before, after = (np.asarray(picture) for picture in pictures)
    assert np.array_equal(before, original) and np.array_equal(after[~mask], original[~mask])
    assert (after[mask] != original[mask]).any(axis=-1).mean() > 0.9


def open_and_paint(app: ModuleType, path: Path, rows: slice, columns: slice) -> tuple[dict, str, np.ndarray]:
    """Open a photo and paint a part of it, given in shares of the canvas."""
    canvas, photo, *_ = app.handlers.open_photo(str(path))
    width, height = canvas["background"].size
    part = (
        slice(round(side * part.start), round(side * part.stop)) for side, part in ((height, rows), (width, columns))
    )
    paint = layer(height, width, *part)
    mask = np.asarray(paint)[..., 3] > 0
    return value(canvas["background"].convert("RGBA"), paint), photo, mask


def test_what_is_painted_is_filled_and_nothing_else(app: ModuleType):
    image, (paint, mask) = noise_picture(60, 50), painted(60, 50)
    got = fill(app, value(Image.fromarray(image).convert("RGBA"), paint))
    check_filled(got["slider"]["value"], image, mask)
    assert got["inside"].count("<figure>") == 4 and got["inside"].count("alt=") == 4
    file = Image.open(got["download"]["value"])
    assert np.array_equal(np.asarray(file), np.asarray(got["slider"]["value"][1]))
    assert got["download"]["label"] == "Download PNG" and not got["lossless"]["visible"]
    assert re.search(r"Filled in \d+\.\d s.*50 x 60 pixels", got["status"])


@pytest.mark.parametrize(
    ("editor", "message"),
    [
        (None, "Open a picture first"),
        (value(None), "Open a picture first"),
        ({}, "Open a picture first"),
        (value(Image.new("RGBA", (50, 60), "red")), "Nothing is painted"),
        (value(Image.new("RGBA", (50, 60), "red"), layer(60, 50)), "Nothing is painted"),
        (value(Image.new("RGBA", (50, 60), "red"), layer(60, 50, slice(None), slice(None))), "Everything is painted"),
        (value(Image.new("RGBA", (9, 9), "red"), layer(9, 9, slice(4), slice(4))), "at least 16"),
    ],
)
def test_what_cannot_be_filled_is_said_in_plain_words(
    app: ModuleType, said: list[str], editor: dict | None, message: str
):
    assert re.search(message, refused(app, said, editor))


def test_a_canvas_that_undo_emptied_is_not_filled(app: ModuleType, said: list[str]):
    for sheet in (Image.new("RGBA", (60, 50)), Image.new("RGB", (60, 50), "white")):
        assert "canvas is empty" in refused(app, said, value(sheet, painted(50, 60)[0]))


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


def test_a_result_goes_when_another_photo_is_opened(app: ModuleType, tmp_path: Path):
    Image.fromarray(noise_picture(60, 50)).save(tmp_path / "photo.png")
    *_, slider, inside, download, lossless, note = app.handlers.open_photo(str(tmp_path / "photo.png"))
    assert not (slider["visible"] or download["visible"] or lossless["visible"] or note) and "Fill a picture" in inside


def test_specks_that_the_eraser_leaves_are_no_paint(app: ModuleType, said: list[str]):
    rest = layer(60, 50, slice(10, 40, 2), slice(20, 21))
    assert "Nothing is painted" in refused(app, said, value(Image.fromarray(noise_picture(60, 50)), rest))


def test_strokes_on_several_layers_of_other_sizes_are_joined(app: ModuleType):
    image, (paint, mask) = noise_picture(60, 50), painted(60, 50)
    half = layer(30, 25, slice(25, 30), slice(20, 25))
    mask[50:60, 40:50] = True
    check_filled(fill(app, value(Image.fromarray(image), paint, half))["slider"]["value"], image, mask)


def test_transparency_is_kept(app: ModuleType):
    image, (paint, mask) = noise_picture(60, 50, 4), painted(60, 50)
    _, after = fill(app, value(Image.fromarray(image), paint))["slider"]["value"]
    assert after.mode == "RGBA" and np.array_equal(np.asarray(after)[~mask], image[~mask])


def test_a_turned_picture_is_turned_upright(app: ModuleType):
    picture = Image.fromarray(noise_picture(50, 60))
    picture.getexif()[274] = 6
    paint, mask = painted(60, 50)
    got = fill(app, value(picture, paint))
    check_filled(got["slider"]["value"], np.rot90(noise_picture(50, 60), -1), mask)


def test_a_large_photo_is_painted_small_and_filled_large(app: ModuleType, tmp_path: Path, said: list[str]):
    image = noise_picture(1000, 2000)
    Image.fromarray(image).save(tmp_path / "photo.png")
    canvas, photo, _ = open_and_paint(app, tmp_path / "photo.png", slice(0.25, 0.5), slice(0.25, 0.5))
    assert canvas["background"].size == (768, 384)
    got = fill(app, canvas, photo)
    before, after = got["slider"]["value"]
    assert before.size == after.size == (1600, 800)
    result, mask = np.asarray(Image.open(got["download"]["value"])), np.zeros((1000, 2000), bool)
    mask[250:500, 500:1000] = True
    assert np.array_equal(result[~mask], image[~mask]) and (result[mask] != image[mask]).any(axis=-1).mean() > 0.9

    other, (paint, mask) = noise_picture(60, 50), painted(60, 50)  # another picture came onto the canvas since
    check_filled(fill(app, value(Image.fromarray(other), paint), photo)["slider"]["value"], other, mask)

    (tmp_path / "photo.png").unlink()
    assert "is deleted after an hour" in refused(app, said, canvas, photo)


def test_a_photo_that_the_server_forgot_is_asked_for_again(app: ModuleType, tmp_path: Path, said: list[str]):
    Image.fromarray(noise_picture(200, 300)).save(tmp_path / "photo.png")
    canvas, photo, _ = open_and_paint(app, tmp_path / "photo.png", slice(0.25, 0.5), slice(0.25, 0.5))
    app.handlers.memory = Memory(3000)  # as after a restart
    assert re.search("not on this server any more.*Open it again", refused(app, said, canvas, photo))
    for action in (app.handlers.mark_damage, app.handlers.random_hole):
        *_, words = action(canvas, photo, None)
        assert "Open it again" in words and "Open it again" in said.pop()


def test_photos_are_remembered_apart_and_not_for_ever(monkeypatch: pytest.MonkeyPatch):
    photos, memory = [Photo(str(number), Look((1, 1), b"")) for number in range(4)], Memory(60, most=3)
    names = [memory.keep(photo) for photo in photos]
    assert len(set(names)) == 4 and min(map(len, names)) >= 20 and memory.get(None) is memory.get("") is None
    assert [memory.get(name) for name in names[1:]] == photos[1:]
    for name in (names[0], "made up"):
        with pytest.raises(Unusable, match="Open it again"):
            memory.get(name)
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(Unusable, match="Open it again"):
        memory.get(names[3])


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP"])
def test_lossless_photos_come_back_in_their_format_bit_for_bit(app: ModuleType, tmp_path: Path, kind: str):
    image = noise_picture(96, 128)
    path = tmp_path / f"photo.{kind.lower()}"
    Image.fromarray(image).save(path, **({"lossless": True} if kind == "WEBP" else {}))
    canvas, photo, mask = open_and_paint(app, path, slice(0.25, 0.5), slice(0.25, 0.5))
    got = fill(app, canvas, photo)
    file = Image.open(got["download"]["value"])
    mask = np.asarray(Image.fromarray(mask).resize((128, 96), Image.Resampling.NEAREST))
    assert file.format == kind and Path(got["download"]["value"]).name.startswith("photo-filled.")
    assert np.array_equal(np.asarray(file)[~mask], image[~mask])
    assert f"{kind}: every pixel that you did not paint is bit for bit" in got["note"]


def test_a_jpeg_keeps_its_tables_and_data_and_stands_upright(app: ModuleType, tmp_path: Path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "Camera"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2020:01:02 03:04:05"
    picture = Image.fromarray(noise_picture(96, 128))
    profile = b"not a real profile, carried as it is"
    picture.save(tmp_path / "IMG 1.jpg", quality=71, subsampling=1, exif=exif, icc_profile=profile)
    canvas, photo, _ = open_and_paint(app, tmp_path / "IMG 1.jpg", slice(0.25, 0.5), slice(0.25, 0.5))
    got = fill(app, canvas, photo)
    given, jpeg, png = (
        Image.open(p) for p in (tmp_path / "IMG 1.jpg", got["download"]["value"], got["lossless"]["value"])
    )
    assert (jpeg.format, png.format) == ("JPEG", "PNG") and jpeg.size == png.size == (96, 128)
    assert jpeg.quantization == given.quantization
    assert JpegImagePlugin.get_sampling(jpeg) == JpegImagePlugin.get_sampling(given) == 1
    for file in (jpeg, png):
        kept = file.getexif()
        assert ExifTags.Base.Orientation not in kept and kept[ExifTags.Base.Make] == "Camera"
        assert kept.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == "2020:01:02 03:04:05"
        assert file.info["icc_profile"] == profile
    upright = np.rot90(np.asarray(given), -1)
    known = np.ones((128, 96), bool)
    known[30:66, 22:50] = False
    assert np.array_equal(np.asarray(png)[known], upright[known])
    assert "tables" in got["note"] and got["lossless"]["visible"]


def test_the_small_preview_in_exif_is_not_handed_on(tmp_path: Path):
    preview = b"\xff\xd8 the face that was painted over \xff\xd9"
    first = b"\x00\x01" + b"\x01\x0f\x00\x02\x00\x00\x00\x04Cam\x00" + b"\x00\x00\x00\x1a"
    second = b"\x00\x02" + b"\x02\x01\x00\x04\x00\x00\x00\x01\x00\x00\x00\x38"
    second += b"\x02\x02\x00\x04\x00\x00\x00\x01" + len(preview).to_bytes(4, "big") + bytes(4)
    data = b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08" + first + second + preview
    Image.fromarray(noise_picture(32, 32)).save(tmp_path / "photo.jpg", exif=data)
    assert preview in (tmp_path / "photo.jpg").read_bytes()
    saved = photos.save_result(photos.open_photo(tmp_path / "photo.jpg"), tmp_path / "photo.jpg", tmp_path)
    for file in (saved.file, saved.lossless):
        assert Image.open(file).getexif()[ExifTags.Base.Make] == "Cam"
        assert b"painted over" not in file.read_bytes()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("text.png", "not a picture that can be read"),
        ("broken.png", "broken picture"),
        ("moving.gif", "animated"),
        ("large.png", "9000 x 6000 pixels, 54 megapixels. At most 50 megapixels"),
        ("bomb.png", "At most 50 megapixels"),
        ("small.png", "at least 16"),
        ("photo.heic", "HEIC photo cannot be read here|broken picture"),
        (None, "Choose a file first"),
    ],
)
def test_files_that_cannot_be_opened_are_named_so(
    app: ModuleType, tmp_path: Path, said: list[str], name: str | None, message: str
):
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "green")]
    path = None if name is None else tmp_path / name
    if name == "text.png":
        path.write_text("no picture")
    elif name == "broken.png":
        Image.fromarray(noise_picture(80, 80)).save(path)
        path.write_bytes(path.read_bytes()[:3000])
    elif name == "moving.gif":
        frames[0].save(path, save_all=True, append_images=frames[1:])
    elif name in ("large.png", "bomb.png"):
        Image.new("1", (9000, 6000) if name == "large.png" else (20000, 20000)).save(path)
    elif name == "small.png":
        frames[0].resize((9, 9)).save(path)
    elif name:
        path.write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00heicmif1" + bytes(200))
    canvas, photo, opened, picker, words, *before = app.handlers.open_photo(path and str(path))
    assert len(said) == 1 and re.search(message, said[0]) and str(tmp_path) not in said[0]
    assert canvas == photo == picker == gr.skip() and opened is None and views.message(said[0], kind="wrong") == words
    assert before == [gr.skip()] * 5  # the result of the photo that is open stays
    if path:
        with pytest.raises(gr.Error, match=message):
            app.handlers.inpaint(str(path))


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
    Image.new("L", (1100, 900), 0).save(tmp_path / "black.png")
    for name, message in (
        ("other.png", "1100x901.*1100x900"),
        ("text.png", "mask file is not"),
        ("black.png", "marks no"),
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


def test_found_damage_is_painted_to_be_changed(app: ModuleType, said: list[str]):
    image = Image.fromarray(noise_picture(60, 50))
    given, _ = painted(60, 50)
    editor, words = app.handlers.mark_damage(value(image, given), None, None)
    found = np.asarray(editor["layers"][0])[..., 3] > 0
    direct = shrink_mask(app.inpainter.fill(image).mask, image.size)
    assert direct.any() and "Painted what looks damaged" in words
    assert np.array_equal(found, direct | (np.asarray(given)[..., 3] > 0))
    got = fill(app, editor)
    after = np.asarray(got["slider"]["value"][1])
    assert np.array_equal(after[~found], np.asarray(image)[~found])
    app.handlers.mark_damage(None, None, None)
    assert said == ["Open a picture first."]


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


def test_every_example_is_filled_by_one_click(app: ModuleType):
    for number, (_, name, mask) in enumerate(app.EXAMPLES):
        editor, *rest = app.handlers.try_example(number)
        got = dict(zip(NAMES, rest, strict=True))
        with Image.open(ROOT / "examples" / name) as picture:
            assert Image.open(got["lossless"]["value"] or got["download"]["value"]).size == picture.size
        assert editor["layers"] and "Filled in" in got["status"]
        if mask:
            Image.open(ROOT / "examples" / mask).verify()


def test_the_card_is_shown_without_its_front_matter():
    card = "---\nlicense: other\n---\n\n# Name\n\n![faces](samples.png)\n\n## Limits\n\nMany.\n"
    assert views.about(card) == "## Limits\n\nMany."


def test_nothing_is_kept_after_its_time(app: ModuleType):
    """Sweeps what a killed page left, and what a result and a refused file leave, as if an hour had passed."""
    cache = app.FOLDER.parent
    wait_until_gone(cache / "killed")  # swept at the start
    image, (paint, _) = noise_picture(60, 50), painted(60, 50)
    got = fill(app, value(Image.fromarray(image), paint))
    file = app.download.postprocess(got["download"]["value"])
    app.download.move_resource_to_block_cache(file.path)
    slider = app.slider.postprocess(got["slider"]["value"])
    written = [Path(file.path), Path(got["download"]["value"]), *(Path(picture.path) for picture in slider.root)]
    refused = app.FOLDER / "refused.txt"
    refused.write_text("no picture")
    app.opener.preprocess(FileData(path=str(refused)))  # leaves an empty file beside it
    sweep(cache, 3600)
    assert all(path.is_file() for path in written) and app.kept
    others = [path for path in cache.rglob("*") if str(path) not in app.kept and path.is_file()]
    assert len(others) > len(written)
    for path in cache.rglob("*"):
        if str(path) not in app.kept:
            os.utime(path, (0, 0))
    sweep(cache, app.KEPT_SECONDS)
    left = [path for path in cache.rglob("*") if path.is_file()]
    assert sorted(map(str, left)) == sorted(app.kept)
    assert {path for path in cache.rglob("*") if path.is_dir()} == {app.FOLDER, *(path.parent for path in left)}
    assert app.KEPT_SECONDS + app.SWEPT_SECONDS < 3600 and not app.demo.delete_cache
    assert not any(getattr(block, "flagging_mode", None) for block in app.demo.blocks.values())


@pytest.mark.slow
def test_programs_fill_pictures_over_http(url: str, tmp_path: Path):
    image, (_, mask) = noise_picture(60, 50), painted(60, 50)
    Image.fromarray(image).save(tmp_path / "face.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.new("L", (50, 61), 0).save(tmp_path / "other.png")
    (tmp_path / "text.png").write_text("no picture")
    face, marked, other, text = (handle_file(str(tmp_path / f"{n}.png")) for n in ("face", "mask", "other", "text"))
    client = Client(url, verbose=False, download_files=str(tmp_path / "got"))
    check_filled((image, Image.open(client.predict(face, marked, api_name="/inpaint"))), image, mask)
    found = Image.open(client.predict(face, api_name="/find_damage"))
    assert found.size == (50, 60) and found.mode == "L" and set(np.unique(found)) == {0, 255}
    filled = np.asarray(Image.open(client.predict(face, api_name="/inpaint")))
    known = np.asarray(found) == 0
    assert np.array_equal(filled[known], image[known])
    for arguments, message in (
        ((face, other), "50x61 pixels, but the picture .upright. has 50x60"),
        ((text, marked), "not a picture that can be read"),
        ((face, text), "mask file is not a picture"),
        ((None, None), "Choose a picture"),
    ):
        with pytest.raises(AppError, match=message):
            client.predict(*arguments, api_name="/inpaint")


@pytest.mark.slow
def test_the_readme_calls_the_api_as_printed(url: str, tmp_path: Path):
    api = (ROOT / "README.md").read_text().split("## From another program")[1].split("\n## ")[0]
    python, shell = (re.search(rf"```{kind}\n(.*?)```", api, re.S).group(1) for kind in ("python", "bash"))
    image, (_, mask) = noise_picture(60, 50), painted(60, 50)
    for folder, runner, script in (("a", [sys.executable, "-c"], python), ("b", ["bash", "-euc"], shell)):
        (tmp_path / folder).mkdir()
        Image.fromarray(image).save(tmp_path / folder / "face.png")
        Image.fromarray(mask).save(tmp_path / folder / "mask.png")
        script = script.replace("http://127.0.0.1:7860", url.rstrip("/"))
        subprocess.run([*runner, script], cwd=tmp_path / folder, check=True, timeout=120)
        check_filled((image, Image.open(tmp_path / folder / "filled.png")), image, mask)
        assert Image.open(tmp_path / folder / "damage.png").size == (50, 60)


@pytest.mark.slow
def test_the_page_names_its_limits_and_endpoints(url: str):
    with httpx.Client(base_url=url, timeout=60) as http:
        assert sorted(http.get("gradio_api/info").json()["named_endpoints"]) == ["/find_damage", "/inpaint"]
        assert http.get("monitoring").status_code == 403
        assert http.get("gradio_api/runs").status_code == 404
        assert http.get("gradio_api/mcp/").status_code == 404


@pytest.mark.slow
def test_the_mcp_switch_never_starts_without_mcp(model: Path, tmp_path: Path):
    """With the extra the page serves tools, without it it ends and names what is missing."""
    if importlib.util.find_spec("mcp") is None:
        with pytest.raises(AssertionError, match=r'NGAN_MCP=1 needs .*pip install "gradio\[mcp\]"'):
            with running_page(model, tmp_path, NGAN_MCP="1"):
                time.sleep(0)
        return
    with running_page(model, tmp_path, NGAN_MCP="1") as address:
        schema = httpx.get(f"{address}gradio_api/mcp/schema", timeout=60).json()
        assert sorted(tool["name"] for tool in schema) == ["find_damage", "inpaint"]
