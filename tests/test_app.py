"""Tests of the page without a browser: its handlers called by hand, and the page as a program over HTTP."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import gradio as gr
import httpx
import numpy as np
import pytest
import torch
from editor import ROOT, running_page
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from ngan.model import NGAN


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    net = NGAN(code_width=8, image_width=8, blocks=1, attention_every=0, image_size=32)
    with torch.no_grad():
        net.code_generator.up2.weight.mul_(10)  # sees damage here and there, not everywhere
    net.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def app(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NGAN_MODEL", str(model))
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        spec = importlib.util.spec_from_file_location("app_under_test", ROOT / "app.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
def url(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_page(model, tmp_path_factory.mktemp("page")) as address:
        yield address


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def layer(height: int, width: int, rows: slice = slice(0, 0), columns: slice = slice(0, 0)) -> Image.Image:
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[rows, columns] = (255, 45, 139, 153)
    return Image.fromarray(pixels)


def value(background: Image.Image | None, *layers: Image.Image) -> dict:
    return {"background": background, "layers": list(layers), "composite": None}


def check_filled(pictures: tuple, original: np.ndarray, mask: np.ndarray) -> None:
    before, after = (np.asarray(picture)[..., :3] for picture in pictures)
    assert np.array_equal(before, original) and np.array_equal(after[~mask], original[~mask])
    assert (after[mask] != original[mask]).any(axis=-1).mean() > 0.9


def painted(height: int, width: int) -> tuple[Image.Image, np.ndarray]:
    mask = np.zeros((height, width), bool)
    mask[20:40, 10:30] = True
    return layer(height, width, slice(20, 40), slice(10, 30)), mask


def test_what_is_painted_is_filled_and_nothing_else(app: ModuleType):
    image, (paint, mask) = noise(60, 50), painted(60, 50)
    pictures, inside, file = app.fill_painted(value(Image.fromarray(image).convert("RGBA"), paint))
    check_filled(pictures, image, mask)
    assert [caption for _, caption in inside] == ["1 Given", "2 Code", "3 Damage", "4 Final"]
    assert all(stage.size == (50, 60) for stage, _ in inside)
    assert np.array_equal(np.asarray(Image.open(file)), np.asarray(pictures[1]))


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
def test_what_cannot_be_filled_is_said_in_plain_words(app: ModuleType, editor: dict | None, message: str):
    with pytest.raises(gr.Error, match=message) as error:
        app.fill_painted(editor)
    assert not error.value.print_exception


def test_specks_that_the_eraser_leaves_are_no_paint(app: ModuleType):
    rest = layer(60, 50, slice(10, 40, 2), slice(20, 21))
    with pytest.raises(gr.Error, match="Nothing is painted"):
        app.fill_painted(value(Image.fromarray(noise(60, 50)), rest))


def test_strokes_on_several_layers_of_other_sizes_are_joined(app: ModuleType):
    image, (paint, mask) = noise(60, 50), painted(60, 50)
    half = layer(30, 25, slice(25, 30), slice(20, 25))
    mask[50:60, 40:50] = True
    pictures, _, _ = app.fill_painted(value(Image.fromarray(image), paint, half))
    check_filled(pictures, image, mask)


def test_transparency_is_kept(app: ModuleType):
    image, (paint, mask) = noise(60, 50, 4), painted(60, 50)
    (_, after), _, _ = app.fill_painted(value(Image.fromarray(image), paint))
    assert after.mode == "RGBA" and np.array_equal(np.asarray(after)[~mask], image[~mask])


def test_a_turned_picture_is_turned_upright(app: ModuleType):
    picture = Image.fromarray(noise(50, 60))
    picture.getexif()[274] = 6
    paint, mask = painted(60, 50)
    pictures, _, _ = app.fill_painted(value(picture, paint))
    check_filled(pictures, np.rot90(noise(50, 60), -1), mask)


def test_a_large_photo_is_painted_small_and_filled_large(app: ModuleType, tmp_path: Path):
    image = noise(1000, 2000)
    Image.fromarray(image).save(tmp_path / "photo.png")
    canvas, photo = app.open_photo(str(tmp_path / "photo.png"))
    assert canvas["background"].size == (768, 384) and canvas["layers"] == []
    paint = layer(384, 768, slice(96, 192), slice(192, 384))
    canvas = value(canvas["background"].convert("RGBA"), paint)
    (before, after), _, file = app.fill_painted(canvas, photo)
    assert before.size == after.size == (1600, 800)
    result, mask = np.asarray(Image.open(file)), np.zeros((1000, 2000), bool)
    mask[250:500, 500:1000] = True
    assert np.array_equal(result[~mask], image[~mask]) and (result[mask] != image[mask]).any(axis=-1).mean() > 0.9

    other, (paint, mask) = noise(60, 50), painted(60, 50)  # another picture came onto the canvas since
    pictures, _, _ = app.fill_painted(value(Image.fromarray(other), paint), photo)
    check_filled(pictures, other, mask)

    (tmp_path / "photo.png").unlink()
    with pytest.raises(gr.Error, match="was deleted"):
        app.fill_painted(canvas, photo)


def test_a_file_that_is_no_picture_is_told_apart(app: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "text.png").write_text("no picture")
    said = []
    monkeypatch.setattr(gr, "Warning", said.append)
    canvas, photo = app.open_photo(str(tmp_path / "text.png"))
    assert said and "not a picture" in said[0] and str(tmp_path) not in said[0]
    assert canvas == photo == gr.skip()


def test_damage_is_found_without_paint(app: ModuleType):
    image = noise(60, 50)
    (before, after), inside, _ = app.fill_found(value(Image.fromarray(image)))
    given = np.asarray(inside[0][0])
    found = (given == 128).all(axis=-1) & (image != 128).any(axis=-1)
    assert found.any() and np.array_equal(np.asarray(after)[~found], image[~found])
    assert np.array_equal(np.asarray(before), image)


@pytest.mark.slow
def test_programs_fill_pictures_over_http(url: str, tmp_path: Path):
    image, (paint, mask) = noise(60, 50), painted(60, 50)
    Image.fromarray(image).save(tmp_path / "face.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.new("L", (50, 61), 0).save(tmp_path / "other.png")
    paint.save(tmp_path / "layer.png")
    (tmp_path / "text.png").write_text("no picture")
    face, marked = handle_file(str(tmp_path / "face.png")), handle_file(str(tmp_path / "mask.png"))
    client = Client(url, verbose=False, download_files=str(tmp_path / "got"))
    drawn = {"background": face, "layers": [handle_file(str(tmp_path / "layer.png"))], "composite": None}
    for arguments, name in (((drawn,), "/inpaint"), ((face, marked), "/inpaint_mask")):
        (before, after), inside, file = client.predict(*arguments, api_name=name)
        check_filled((Image.open(before), Image.open(after)), image, mask)
        check_filled((Image.open(before), Image.open(file)), image, mask)
        assert len(inside) == 4
    (before, _), _, _ = client.predict(face, api_name="/inpaint_mask")
    assert np.array_equal(np.asarray(Image.open(before)), image)
    for arguments, message in (
        ((face, handle_file(str(tmp_path / "other.png"))), "50x61 pixels, but the picture .upright. has 50x60"),
        ((handle_file(str(tmp_path / "text.png")), marked), "cannot be read"),
        ((face, handle_file(str(tmp_path / "text.png"))), "mask file is not a picture"),
        ((None, None), "Choose a picture"),
    ):
        with pytest.raises(AppError, match=message):
            client.predict(*arguments, api_name="/inpaint_mask")
    with pytest.raises(AppError, match="Nothing is painted"):
        client.predict({**drawn, "layers": []}, api_name="/inpaint")


@pytest.mark.slow
def test_the_server_gives_nothing_else_away(url: str, tmp_path: Path):
    secret = tmp_path / "secret.png"
    Image.fromarray(noise(40, 40)).save(secret)
    with httpx.Client(base_url=url, timeout=60) as http:
        assert sorted(http.get("gradio_api/info").json()["named_endpoints"]) == [
            "/inpaint",
            "/inpaint_found",
            "/inpaint_mask",
        ]
        for path in (secret, ROOT / "app.py"):
            assert http.get(f"gradio_api/file={path}").status_code == 403
        assert http.get("monitoring").status_code == 403
        assert http.get("gradio_api/runs").status_code == 404
        file = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
        event = http.post("gradio_api/call/inpaint_mask", json={"data": [file, None]}).json()["event_id"]
        answer = http.get(f"gradio_api/call/inpaint_mask/{event}").text
        assert "event: error" in answer and str(tmp_path) not in answer
