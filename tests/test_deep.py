"""Pictures of 16 bits a channel come back with all of them: from code, the command line and the page."""

import logging
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from painting import of_one_look
from PIL import Image, ImageOps, TiffImagePlugin
from shell import save_model

from ngan.__main__ import main
from ngan.deep import carrying, png, sixteen_bits, tiff
from ngan.inference import Inpainter
from ngan.model import NGAN
from ngan.pictures import PictureError, read_mask, read_picture
from ngan.saving import Origin, save_picture
from page import photos
from page.programs import Programs

HEIGHT, WIDTH = 40, 48
PROFILE = b"\0" * 16 + b"RGB " + b"\0" * 108  # the colour space is at bytes 16 to 19


def values(channels: int = 3) -> np.ndarray:
    random = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, channels), dtype=np.uint16)
    return random[..., 0] if channels == 1 else random


def box(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    hole[12:28, 10:30] = True
    return hole


def write(path: Path, pixels: np.ndarray) -> None:
    """By OpenCV, so that nothing of this project's own writers is in it."""
    order = {2: ..., 3: (..., [2, 1, 0, 3][: pixels.shape[-1]])}[pixels.ndim]
    path.write_bytes(cv2.imencode(path.suffix, pixels[order])[1].tobytes())


def read(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]


@pytest.fixture
def inpainter(tmp_path: Path) -> Inpainter:
    return Inpainter(NGAN.from_pretrained(save_model(tmp_path / "model")), "cpu")


def check(got: np.ndarray, before: np.ndarray, hole: np.ndarray) -> None:
    assert got.dtype == np.uint16 and got.shape == before.shape
    assert np.array_equal(got[~hole], before[~hole])
    assert (got[hole] != before[hole]).reshape(int(hole.sum()), -1).any(axis=1).mean() > 0.9


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_command_line_keeps_them(tmp_path: Path, suffix: str, channels: int):
    write(tmp_path / f"deep{suffix}", values(channels))
    Image.fromarray(box()).save(tmp_path / "mask.png")
    files = [str(tmp_path / name) for name in (f"deep{suffix}", "mask.png", f"out{suffix}")]
    assert main(["inpaint", *files[:2], "-o", files[2], "--model", save_model(tmp_path / "model")]) == 0
    check(read(Path(files[2])), values(channels), box())


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_page_keeps_them_and_says_so(tmp_path: Path, inpainter: Inpainter, suffix: str, channels: int):
    source = tmp_path / f"deep{suffix}"
    write(source, values(channels))
    opened = photos.open_photo(source)
    saved = photos.save_result(inpainter.fill(opened, box()).final, source, tmp_path)
    assert saved.file.suffix == suffix and saved.lossless is None and "All 16 bits" in saved.note
    check(read(saved.file), values(channels), box())


def test_the_call_for_programs_keeps_them(tmp_path: Path, inpainter: Inpainter):
    write(tmp_path / "deep.tif", values())
    Image.fromarray(box()).save(tmp_path / "mask.png")
    programs = Programs(of_one_look(inpainter), tmp_path / "results")
    filled = programs.inpaint(str(tmp_path / "deep.tif"), str(tmp_path / "mask.png"))
    check(read(Path(filled)), values(), box())


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_arrays_keep_them(inpainter: Inpainter, channels: int):
    result = inpainter.fill(values(channels), box())
    check(result.sixteen_bits, values(channels), box())
    assert np.array_equal(np.asarray(result.final), np.rint(result.sixteen_bits / 257).astype(np.uint8))
    assert inpainter.fill(np.asarray(result.final), box()).sixteen_bits is None


def test_a_picture_in_code_keeps_them_or_it_is_said(
    tmp_path: Path, inpainter: Inpainter, caplog: pytest.LogCaptureFixture
):
    write(tmp_path / "grey.png", values(1))
    write(tmp_path / "colour.png", values(3))
    with caplog.at_level(logging.WARNING):
        grey = inpainter(tmp_path / "grey.png", box())
        assert grey.mode == "I;16" and not caplog.records
        colour = inpainter(tmp_path / "colour.png", box())
        assert colour.mode == "RGB" and "16 bits a colour" in caplog.text
    check(np.asarray(grey), values(1), box())
    save_picture(tmp_path / "out.png", colour)
    check(read(tmp_path / "out.png"), values(3), box())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_they_stand_upright_however_the_photo_was_held(tmp_path: Path, orientation: int, kind: str):
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"deep.{kind.lower()}"
    settings = {"exif": exif, "dpi": (300, 300)}
    path.write_bytes(png(values(), settings, 1) if kind == "PNG" else tiff(values(), settings))
    with Image.open(path) as opened:
        halves = np.asarray(ImageOps.exif_transpose(opened))
    got = sixteen_bits(read_picture(path))
    assert np.array_equal(got >> 8, halves)
    assert np.array_equal(np.sort(got, axis=None), np.sort(values(), axis=None))
    assert (got.shape[:2] == (HEIGHT, WIDTH)) == (orientation < 5)


@pytest.mark.parametrize("name", ["out.png", "out.tif"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_what_the_file_holds_besides_stays(tmp_path: Path, name: str, compression: str):
    exif = Image.Exif()
    exif[271] = "Maker"
    if compression == "raw":
        exif.get_ifd(34665)[36867] = "2020:01:02 03:04:05"
    origin = Origin(
        *("TIFF", "RGB"), exif=exif.tobytes(), xmp=b"<x:xmpmeta/>", icc_profile=PROFILE, dpi=(300.0, 300.0)
    )
    origin = Origin(**{**vars(origin), "tiff_compression": compression})
    save_picture(tmp_path / name, carrying(values()), origin)
    assert np.array_equal(sixteen_bits(read_picture(tmp_path / name)), values())
    with Image.open(tmp_path / name) as file:
        file.load()
        assert file.getexif()[271] == "Maker" and file.info["icc_profile"] == PROFILE
        assert file.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        assert b"xmpmeta" in file.info["xmp"]
        if compression == "raw":
            assert file.getexif().get_ifd(34665)[36867] == "2020:01:02 03:04:05"


def test_a_file_of_8_bits_gets_the_nearest_ones(tmp_path: Path):
    for name in ("out.webp", "out.bmp"):
        save_picture(tmp_path / name, carrying(values()))
        assert np.array_equal(np.asarray(Image.open(tmp_path / name)), np.rint(values() / 257).astype(np.uint8))


def test_pixels_changed_since_are_not_overwritten_by_what_was_carried(tmp_path: Path):
    picture = carrying(values())
    picture.putpixel((3, 4), (1, 2, 3))
    assert sixteen_bits(picture) is None and sixteen_bits(carrying(values()).resize((8, 8))) is None
    save_picture(tmp_path / "out.png", picture)
    assert Image.open(tmp_path / "out.png").getpixel((3, 4)) == (1, 2, 3)


def test_a_mask_may_have_them(tmp_path: Path):
    write(tmp_path / "mask.png", np.repeat((box() * np.uint16(65535))[..., None], 3, axis=2))
    assert np.array_equal(read_mask(tmp_path / "mask.png", (WIDTH, HEIGHT)), box())


def test_a_grey_picture_with_transparency_becomes_colour_with_all_of_them(tmp_path: Path):
    grey = values(4)[..., [0, 3]]
    chunk = b"\x04"  # grey and transparency, in the header of a PNG
    content = png(values(4), {}, 1)
    rows = np.concatenate([np.zeros((HEIGHT, 1), np.uint8), grey.astype(">u2").reshape(HEIGHT, -1).view(np.uint8)], 1)
    header = content[16:24] + bytes([16]) + chunk + content[26:29]
    (tmp_path / "grey.png").write_bytes(content[:8] + _chunk(b"IHDR", header) + _idat(rows) + _chunk(b"IEND", b""))
    got = sixteen_bits(read_picture(tmp_path / "grey.png"))
    assert np.array_equal(got, grey[..., [0, 0, 0, 1]])


def test_a_colour_that_is_transparent_becomes_a_channel(tmp_path: Path):
    content = png(values(), {}, 1)
    place, key = content.index(b"IDAT") - 4, values()[3, 5]
    key = b"".join(int(value).to_bytes(2, "big") for value in key)
    (tmp_path / "key.png").write_bytes(content[:place] + _chunk(b"tRNS", key) + content[place:])
    got = sixteen_bits(read_picture(tmp_path / "key.png"))
    assert np.array_equal(got[..., :3], values())
    clear = got[..., 3] == 0
    assert clear[3, 5] and clear.sum() == 1 and (got[..., 3][~clear] == 65535).all()


def test_what_cannot_be_read_whole_is_refused_in_words(tmp_path: Path):
    # colours with transparency multiplied in: Pillow divides it out again, OpenCV does not
    content = bytearray(tiff(values(4), {"compression": "raw"}))
    place = content.index((338).to_bytes(2, "little"), 8)  # the tag that tells what the fourth channel is
    content[place + 8] = 1
    (tmp_path / "deep.tif").write_bytes(content)
    (tmp_path / "deep.ppm").write_bytes(b"P6 48 40 65535\n" + values().astype(">u2").tobytes())
    for name in ("deep.tif", "deep.ppm"):
        with pytest.raises(PictureError, match="16 bits a channel.*save it as"):
            read_picture(tmp_path / name)
    with pytest.raises(photos.Unusable, match="16 bits a colour"):
        photos.open_photo(tmp_path / "deep.tif")


@pytest.mark.parametrize("channels", [3, 4])
def test_a_tiff_of_channels_that_lie_apart_is_not_taken_for_8_bits(tmp_path: Path, channels: int):
    write_tiff(tmp_path / "planes.tif", values(channels), {262: 2, 284: 2})
    with pytest.raises(PictureError, match="16 bits a channel.*save it as"):
        read_picture(tmp_path / "planes.tif")
    with pytest.raises(PictureError, match="mask: has 16 bits a channel.*save it as"):
        read_mask(tmp_path / "planes.tif", (WIDTH, HEIGHT))


def test_grey_whose_white_is_zero_is_not_read_inverted(tmp_path: Path):
    write_tiff(tmp_path / "white.tif", values(1), {262: 0})
    write_tiff(tmp_path / "mask.tif", box() * np.uint16(65535) ^ 65535, {262: 0})
    write_tiff(tmp_path / "black.tif", values(1), {262: 1})
    assert np.array_equal(sixteen_bits(read_picture(tmp_path / "white.tif")), 65535 - values(1))
    assert np.array_equal(sixteen_bits(read_picture(tmp_path / "black.tif")), values(1))
    assert np.array_equal(read_mask(tmp_path / "mask.tif", (WIDTH, HEIGHT)), box())


def write_tiff(path: Path, pixels: np.ndarray, tags: dict[int, int]) -> None:
    """Write 16-bit pixels uncompressed, by hand: Pillow writes neither channels apart nor white as zero."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    planes = np.moveaxis(pixels, -1, 0) if tags.get(284) == 2 else pixels[None]
    data, size = planes.astype("<u2").tobytes(), 2 * planes[0].size
    entries = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    for tag, value in {256: WIDTH, 257: HEIGHT, 258: (16,) * channels, 277: channels, 278: HEIGHT, **tags}.items():
        entries[tag] = value
    if channels == 4:
        entries[338] = 2
    entries[279] = (size,) * len(planes)
    entries[273] = tuple(size * i for i in range(len(planes)))  # the directory's end is added when it is written
    path.write_bytes(b"II" + struct.pack("<HI", 42, 8) + entries.tobytes(8) + data)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def _idat(rows: np.ndarray) -> bytes:
    return _chunk(b"IDAT", zlib.compress(rows.tobytes()))
