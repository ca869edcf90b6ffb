"""Tests of the page without a browser: photos opened, painted and filled by its handlers, and what is kept of them."""

import os
import re
import time
from pathlib import Path
from types import ModuleType

import gradio as gr
import numpy as np
import pytest
from editor import ROOT, noise_picture, wait_until_gone
from gradio import FileData
from painting import NAMES, check_filled, fill, layer, open_and_paint, painted, refused, value
from PIL import ExifTags, Image, JpegImagePlugin

from page import photos, views
from page.canvas import Look, Photo
from page.memory import Memory
from page.photos import Unusable
from page.sweeping import sweep


def test_what_is_painted_is_filled_and_nothing_else(app: ModuleType):
    image, (paint, mask) = noise_picture(60, 50), painted(60, 50)
    got = fill(app, value(Image.fromarray(image).convert("RGBA"), paint))
    check_filled(got["slider"]["value"], image, mask)
    assert got["inside"].count("<figure>") == 4 and got["inside"].count("alt=") == 4
    file = Image.open(got["download"]["value"])
    assert np.array_equal(np.asarray(file), np.asarray(got["slider"]["value"][1]))
    assert got["download"]["label"] == "Download PNG" and not got["lossless"]["visible"]
    assert re.search(r"Filled in \d+\.\d s.*the canvas's size, 50 x 60 pixels", got["status"])
    assert got["slider"]["slider_position"] == 18  # the hole begins at 20 %
    paint = layer(60, 50, slice(20, 40), slice(0, 30))
    assert fill(app, value(Image.fromarray(image), paint))["slider"]["slider_position"] == 2


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
        words = refused(app, said, value(sheet, painted(50, 60)[0]))
        assert "canvas is empty. Open a photo" in words


def test_a_photo_that_is_all_white_is_filled(app: ModuleType, tmp_path: Path):
    Image.new("RGB", (60, 50), "white").save(tmp_path / "white.png")
    canvas, photo, _ = open_and_paint(app, tmp_path / "white.png", slice(0.2, 0.8), slice(0.5, 0.7))
    assert "Filled in" in fill(app, canvas, photo)["status"]


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


def test_what_is_transparent_around_a_cut_out_picture_stays_so(app: ModuleType, said: list[str]):
    image, (paint, mask) = noise_picture(60, 50, 4), painted(60, 50)
    image[..., 3] = 255
    image[:, :15, 3], image[25:30, 20:25, 3] = 100, 0  # around it, and a hole in it
    picture = Image.fromarray(image)
    got = fill(app, value(picture, paint))
    after = np.asarray(got["slider"]["value"][1])
    mask[:, :15] = False
    assert np.array_equal(after[~mask], image[~mask]) and "transparent around the picture stays so" in got["status"]
    assert (after[mask] != image[mask]).any(axis=-1).mean() > 0.9 and (after[mask][:, 3] == 255).all()
    assert "stays as it is" in refused(app, said, value(picture, layer(60, 50, slice(5, 50), slice(2, 12))))
    assert "Everything is painted" in refused(app, said, value(picture, layer(60, 50, slice(0, 60), slice(12, 50))))


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
        assert "Open it again" in words and "gone" in words and not said


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
            app.programs.inpaint(str(path))


def test_every_example_is_filled_by_one_click(app: ModuleType):
    for number, (caption, name, mask) in enumerate(app.EXAMPLES):
        editor, *rest = app.handlers.try_example(number)
        got = dict(zip(NAMES, rest, strict=True))
        with Image.open(ROOT / "examples" / name) as picture:
            assert Image.open(got["lossless"]["value"] or got["download"]["value"]).size == picture.size
        assert editor["layers"] and "Filled in" in got["status"]
        assert ("1 face, the picture as a whole. The result" in got["status"]) == (caption == "Mouth")
        if mask:
            Image.open(ROOT / "examples" / mask).verify()


def test_the_card_begins_with_limits_and_terms_and_its_training_is_folded():
    head = "---\nlicense: other\n---\n\n# Name\n\n![faces](samples.png)\n\n"
    training = "<!-- t -->\n## Training\n\n| a |\n|---|"
    parts = ["What it is.", "Its use.", training, "## More\n\nText.", "## Data\n\nTerms.", "## Limits\n\nMany."]
    folded = "<details><summary>Training</summary>\n\n| a |\n|---|\n\n</details>"
    shown = [parts[0], parts[5], parts[4], parts[1], folded, parts[3]]
    assert views.about(head + "\n\n".join(parts)) == "\n\n".join(shown)
    assert views.about(head + "## Limits\n\nMany.\n") == "## Limits\n\nMany."


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
