"""Photos of phones, HEIC and AVIF: read upright, turned once, filled on the page and by the command line.

data/gradient.heic is `gradient()`, lying on its side, with what turns it upright said twice, as phones do: by the
container, which counts, and by EXIF, which must not turn it again. It was written by pillow-heif 1.8.1, quality 90.
"""

import os
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from editor import page_model
from painting import of_one_look
from PIL import ExifTags, Image, features
from shell import only_error, save_model

from ngan.__main__ import main
from ngan.inference import Inpainter
from ngan.pictures import read_picture
from page.handlers import Handlers
from page.photos import Unusable, open_photo

FILE = Path(__file__).parent / "data" / "gradient.heic"
SIZE = 64, 48  # width and height of the upright picture
avif = pytest.mark.skipif(not features.check("avif"), reason="Pillow was built without AVIF")


def gradient() -> np.ndarray:
    """(48, 64, 3), uint8: red grows to the right, green downwards, blue falls to the lower right corner."""
    x, y = np.linspace(0, 1, SIZE[0])[None, :], np.linspace(0, 1, SIZE[1])[:, None]
    return np.stack([40 + 170 * x + 0 * y, 40 + 170 * y + 0 * x, 210 - 170 * x * y], -1).round().astype(np.uint8)


def error_of(picture: Image.Image, known: np.ndarray | None = None) -> float:
    """Mean absolute difference from the gradient, of 255."""
    assert picture.size == SIZE
    difference = np.abs(np.asarray(picture.convert("RGB")).astype(int) - gradient())
    return difference[slice(None) if known is None else known].mean()


def exif(orientation: int) -> Image.Exif:
    data = Image.Exif()
    data[ExifTags.Base.Orientation], data[ExifTags.Base.Make] = orientation, "Maker"
    return data


def check_metadata(file: Image.Image) -> None:
    kept = file.getexif()
    assert kept.get(ExifTags.Base.Orientation, 1) == 1 and kept[ExifTags.Base.Make] == "Maker"
    assert kept.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == "2020:01:02 03:04:05"


def with_brand(brand: bytes) -> bytes:
    content = FILE.read_bytes()
    return content[:8] + brand + content[12:]


@pytest.fixture
def here(tmp_path, monkeypatch) -> str:
    """An empty folder to work in; returns that of a tiny model beside it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in ("NGAN_MODEL", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[12:28, 10:30] = 255
    Image.fromarray(mask).save("mask.png")
    return save_model(tmp_path / "model")


def handlers(tmp_path: Path) -> Handlers:
    inpainter = Inpainter(str(page_model(tmp_path / "page")), "cpu")
    return Handlers(of_one_look(inpainter), tmp_path / "results", [])


@pytest.mark.parametrize("read", [read_picture, open_photo])
def test_a_heic_photo_stands_upright(read):
    with Image.open(FILE) as file:
        assert file.format == "HEIF" and file.info["original_orientation"] == 6
    assert b"irot" in FILE.read_bytes()
    assert error_of(read(FILE)) < 2


@pytest.mark.parametrize("brand", [b"mif1", b"heix"])
def test_other_brands_are_read_too(tmp_path, brand):
    (tmp_path / "photo.heic").write_bytes(with_brand(brand))
    assert error_of(open_photo(tmp_path / "photo.heic")) < 2
    assert error_of(read_picture(tmp_path / "photo.heic")) < 2


@avif
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_avif_photo_stands_upright_however_it_was_held(tmp_path, orientation):
    kinds = Image.Transpose
    undo = [None, kinds.FLIP_LEFT_RIGHT, kinds.ROTATE_180, kinds.FLIP_TOP_BOTTOM]
    undo += [kinds.TRANSPOSE, kinds.ROTATE_90, kinds.TRANSVERSE, kinds.ROTATE_270]
    turn, stored = undo[orientation - 1], Image.fromarray(gradient())
    stored = stored if turn is None else stored.transpose(turn)
    stored.save(tmp_path / "photo.avif", exif=exif(orientation), quality=90)
    assert error_of(read_picture(tmp_path / "photo.avif")) < 2
    assert error_of(open_photo(tmp_path / "photo.avif")) < 2


@pytest.mark.parametrize("name", ["photo.heic", pytest.param("photo.avif", marks=avif)])
def test_the_page_fills_it_and_returns_a_jpeg_and_an_exact_png(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FILE.read_bytes())
    if name == "photo.avif":
        turned = exif(6)
        turned.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2020:01:02 03:04:05"
        lying = Image.fromarray(gradient()).transpose(Image.Transpose.ROTATE_90)
        lying.save(path, "AVIF", exif=turned, quality=90)
    page = handlers(tmp_path)
    editor, photo, *_ = page.open_photo(str(path))
    width, height = editor["background"].size
    assert width * SIZE[1] == height * SIZE[0]
    paint = np.zeros((height, width, 4), np.uint8)
    paint[height // 4 : height // 2, width // 4 : width // 2] = (255, 45, 139, 153)
    painted = {"background": editor["background"], "layers": [Image.fromarray(paint)], "composite": None}
    _, _, download, lossless, note, *_ = page.fill_painted(painted, photo, None)

    known = np.ones(SIZE[::-1], bool)
    known[11:25, 15:33] = False
    jpeg, png = Image.open(download["value"]), Image.open(lossless["value"])
    assert (jpeg.format, png.format) == ("JPEG", "PNG") and download["label"] == "Download JPEG"
    assert [Path(file.filename).name for file in (jpeg, png)] == ["photo-filled.jpg", "photo-filled.png"]
    assert "at high quality" in note and "EXIF" not in note
    read = np.asarray(open_photo(path))
    assert np.array_equal(np.asarray(png)[known], read[known]) and (np.asarray(png) != read).any()
    known[8:32, 8:40] = False  # blocks of the JPEG that the paint touches
    for file in (jpeg, png):
        assert error_of(file, known) < 3
        check_metadata(file)


def test_the_command_line_writes_png_or_on_demand_another_format(here):
    words = [str(FILE), "mask.png", "--model", here]
    known = np.asarray(Image.open("mask.png")) == 0
    os.mkdir("out")
    assert main(["inpaint", *words, "-o", "out"]) == 0
    assert os.listdir("out") == ["gradient.png"]
    filled, read = Image.open("out/gradient.png"), np.asarray(read_picture(FILE))
    assert np.array_equal(np.asarray(filled)[known], read[known]) and (np.asarray(filled) != read).any()
    assert b"xmpmeta" in filled.info["xmp"] and b"Orientation" not in filled.info["xmp"]
    check_metadata(filled)
    for name in ("out.jpg", "out.webp", "out.tif"):
        assert main(["inpaint", *words, "-o", name]) == 0
        assert error_of(Image.open(name), known) < (6 if name == "out.jpg" else 2)
        check_metadata(Image.open(name))


def test_heic_for_heic_is_refused_in_words(here, capsys):
    os.mkdir("out")
    assert main(["inpaint", str(FILE), "mask.png", "-o", "out", "--format", "same", "--model", here]) == 2
    assert "pictures are read from .heic but not written to it; leave out --format same" in only_error(capsys)
    assert os.listdir("out") == []


def bad_files() -> dict[str, bytes]:
    """Broken photos by what is broken; the first two crash pi-heif 1.4 unless they are refused before."""
    good = FILE.read_bytes()
    item, pixels = good.index(b"mime\0application"), good.index(b"mdat") + 4
    return {
        "kind": good[: item + 3] + b"\xb8" + good[item + 4 :],
        "name": good[: item + 8] + b"\xf7" + good[item + 9 :],
        "cut": good[: len(good) // 2],
        "head": good[:40],
        "pixels": good[:pixels] + bytes(100) + good[pixels + 100 :],
    }


@pytest.mark.parametrize("what", list(bad_files()))
def test_broken_files_are_refused_in_words(here, tmp_path, monkeypatch, capsys, what):
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", said.append)
    path = tmp_path / "photo.heic"
    path.write_bytes(bad_files()[what])
    handlers(tmp_path).open_photo(str(path))
    assert len(said) == 1 and ("HEIC photo cannot be read" in said[0] or "is a broken picture" in said[0])
    assert main(["inpaint", str(path), "mask.png", "-o", "out.png", "--model", here]) == 1
    why = "breaks off or is damaged" if what == "pixels" else "is not a picture that can be read"
    assert why in only_error(capsys)
    assert not Path("out.png").exists()


def test_mutated_files_are_read_or_refused(tmp_path):
    random, good = np.random.default_rng(0), FILE.read_bytes()
    refused = 0
    for _ in range(60):
        data = bytearray(good)
        for place in random.integers(0, len(data), int(random.integers(1, 8))):
            data[place] = random.integers(256)
        (tmp_path / "photo.heic").write_bytes(data)
        try:
            open_photo(tmp_path / "photo.heic")
        except Unusable:
            refused += 1
    assert 0 < refused < 60
