"""Filled pictures keep the format and the metadata of the file they came from."""

import fcntl
import io
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, JpegImagePlugin, PngImagePlugin
from shell import SIDE, hole, picture, save_model

from ngan.__main__ import main
from ngan.pictures import PictureError
from ngan.saving import Origin, output_suffix, save_picture

PROFILE = b"\0" * 16 + b"RGB " + b"\0" * 108  # the colour space is at bytes 16 to 19
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'


@pytest.fixture
def model(tmp_path, monkeypatch) -> str:
    for name in ("NGAN_MODEL", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return save_model(tmp_path / "model")


def exif(orientation: int = 1) -> Image.Exif:
    data = Image.Exif()
    data[274], data[271] = orientation, "Maker"
    data.get_ifd(34665)[36867] = "2020:01:02 03:04:05"
    data.get_ifd(34853)[1] = "N"
    return data


def fill(model: str, face: str, out: str, *words: str) -> Image.Image:
    """Fill `face` by a mask of its upright size; return the file written, opened."""
    size = SIDE, SIDE + 8 * (Image.open(face).size[0] != Image.open(face).size[1])
    marked = np.zeros(size[::-1], np.uint8)
    marked[12:28, 10:30] = 255
    Image.fromarray(marked).save("mask.png")
    assert main(["inpaint", face, "mask.png", "-o", out, "--model", model, *words]) == 0
    return Image.open(out)


def turned(**given) -> None:
    """Write face.jpg, stored lying, upright by its EXIF."""
    upright = picture(0).resize((SIDE, SIDE + 8))
    upright.transpose(Image.Transpose.ROTATE_90).save("face.jpg", exif=exif(6), dpi=(300, 300), xmp=XMP, **given)


@pytest.mark.parametrize("out", ["out.png", "out.webp", "out.tif", "out.jpg"])
def test_a_turned_photo_comes_back_upright_with_its_metadata(model, out):
    turned(icc_profile=PROFILE, comment=b"of my aunt")
    filled = fill(model, "face.jpg", out)
    assert filled.size == (SIDE, SIDE + 8)
    found = filled.getexif()
    assert 274 not in found or found[274] == 1
    assert found[271] == "Maker"
    assert found.get_ifd(34665)[36867] == "2020:01:02 03:04:05"
    assert found.get_ifd(34853)[1] == "N"
    assert filled.info["icc_profile"] == PROFILE
    if out != "out.webp":
        assert filled.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    filled.load()
    assert b"xmpmeta" in filled.info["xmp"] and b"Orientation" not in filled.info["xmp"]
    if out == "out.png":
        assert filled.text["Comment"] == "of my aunt"
    if out == "out.jpg":
        assert filled.info["comment"] == b"of my aunt"
    else:
        face = np.asarray(Image.open("face.jpg").transpose(Image.Transpose.ROTATE_270))
        known = np.asarray(Image.open("mask.png")) == 0
        assert np.array_equal(np.asarray(filled)[known], face[known])


def test_pngs_text_and_resolution_stay(model):
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "Aunt")
    text.add_itxt("Beschreibung", "Tante im Gr\u00fcnen", lang="de", tkey="Description")
    picture(0).save("face.png", pnginfo=text, dpi=(150, 150), icc_profile=PROFILE, exif=exif())
    filled = fill(model, "face.png", "out.png")
    assert filled.text == {"Title": "Aunt", "Beschreibung": "Tante im Gr\u00fcnen"}
    assert filled.text["Beschreibung"].lang == "de"
    assert filled.info["dpi"] == pytest.approx((150, 150), abs=0.02)
    assert filled.info["icc_profile"] == PROFILE
    assert filled.getexif()[271] == "Maker"


def test_text_behind_the_pixels_stays(model):
    buffer = io.BytesIO()
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "Aunt", zip=False)
    picture(0).save(buffer, "PNG", pnginfo=text)
    data = buffer.getvalue()
    start = data.index(b"tEXt") - 4
    chunk, end = data[start : start + 4 + 4 + len(b"Title\0Aunt") + 4], data.index(b"IEND") - 4
    moved = data[:start] + data[start + len(chunk) : end] + chunk + data[end:]
    Path("face.png").write_bytes(moved)
    assert fill(model, "face.png", "out.png").text == {"Title": "Aunt"}


def test_a_tiffs_compression_and_description_stay(model):
    picture(0).save("face.tif", compression="tiff_lzw", description="Aunt", dpi=(72, 72))
    filled = fill(model, "face.tif", "out.tif")
    assert filled.info["compression"] == "tiff_lzw"
    assert filled.tag_v2[270] == "Aunt"
    assert filled.info["dpi"] == (72, 72)


def test_metadata_can_be_left_out_but_not_the_profile(model):
    turned(icc_profile=PROFILE)
    filled = fill(model, "face.jpg", "out.png", "--strip-metadata")
    assert filled.size == (SIDE, SIDE + 8)
    assert not filled.getexif() and not filled.text and "dpi" not in filled.info
    assert filled.info["icc_profile"] == PROFILE


def test_a_profile_of_other_colours_is_left_out(model):
    picture(0, "CMYK").save("face.jpg", icc_profile=PROFILE.replace(b"RGB ", b"CMYK"))
    assert "icc_profile" not in fill(model, "face.jpg", "out.png").info


@pytest.mark.parametrize(("sampling", "number"), [("4:4:4", 0), ("4:2:0", 2)])
def test_jpeg_for_jpeg_keeps_the_tables_and_changes_known_pixels_little(model, sampling, number):
    smooth = picture(0).point(lambda value: 80 + 0.3 * value)  # else colours are cut off at 0 and 255
    smooth.save("face.jpg", quality=71, subsampling=sampling, progressive=True)
    os.mkdir("out")
    words = ["inpaint", "face.jpg", "mask.png", "-o", "out", "--format", "same", "--model", model]
    Image.fromarray(hole()).save("mask.png")
    assert main(words) == 0
    face, filled = Image.open("face.jpg"), Image.open("out/face.jpg")
    assert filled.format == "JPEG" and filled.quantization == face.quantization
    assert JpegImagePlugin.get_sampling(filled) == number and filled.info["progressive"]
    far = np.ones((SIDE, SIDE), bool)
    far[:34, :34] = False  # the hole lies in the blocks, of 16 pixels where colour is halved, up to 32
    change = np.abs(np.asarray(filled).astype(int) - np.asarray(face))[far]
    assert change.mean() < 1.5


def test_a_grey_jpeg_stays_grey(model):
    picture(0, "L").save("face.jpg", quality=80)
    filled = fill(model, "face.jpg", "out.jpg")
    assert filled.mode == "L" and filled.quantization == Image.open("face.jpg").quantization


def test_transparent_pictures_are_put_on_white_in_jpeg_only(model):
    face = picture(0, "RGBA")
    face.putpixel((0, 0), (0, 0, 0, 0))
    face.save("face.png")
    assert fill(model, "face.png", "out.png").getpixel((0, 0)) == (0, 0, 0, 0)
    assert min(fill(model, "face.png", "out.jpg").getpixel((0, 0))) > 200


def test_broken_metadata_is_named_with_the_way_out(monkeypatch):
    file = Image.open(io.BytesIO(_png()))

    def broken(self):
        raise SyntaxError("bad tag")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "getexif", broken)
    with pytest.raises(PictureError, match=r"metadata cannot be read \(bad tag\); --strip-metadata leaves it out"):
        Origin.of(file)
    assert Origin.of(file, metadata=False) == Origin("PNG", "RGB")


def _png() -> bytes:
    buffer = io.BytesIO()
    picture(0).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("suffix", "kind", "expected"),
    [
        (".PNG", "lossless", ".PNG"),
        (".jpg", "lossless", ".png"),
        (".heic", "lossless", ".png"),
        ("", "lossless", ".png"),
        (".JPG", "same", ".JPG"),
        (".webp", "same", ".webp"),
        (".png", "jpeg", ".jpg"),
        (".png", "tiff", ".tif"),
        (".jpg", "webp", ".webp"),
        (".heic", "same", None),
    ],
)
def test_endings(suffix, kind, expected):
    if expected is None:
        with pytest.raises(ValueError, match="read from .heic but not written"):
            output_suffix(suffix, kind)
    else:
        assert output_suffix(suffix, kind) == expected


def test_the_writer_leaves_nothing_but_the_file(tmp_path):
    save_picture(tmp_path / "new" / "a.png", picture(0))
    assert os.listdir(tmp_path / "new") == ["a.png"]


def test_what_is_written_is_synced_by_a_file_open_for_writing(tmp_path, monkeypatch):
    modes = []
    monkeypatch.setattr(os, "fsync", lambda place: modes.append(fcntl.fcntl(place, fcntl.F_GETFL) & os.O_ACCMODE))
    save_picture(tmp_path / "a.png", picture(0))
    assert modes == [os.O_RDWR]  # Windows syncs no file that is open for reading only


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_grey_profile_is_left_out_of_webp_which_holds_colours(tmp_path, mode):
    grey = PROFILE.replace(b"RGB ", b"GRAY")
    save_picture(tmp_path / "a.webp", picture(0, mode), Origin("PNG", mode, icc_profile=grey))
    written = Image.open(tmp_path / "a.webp")
    assert "icc_profile" not in written.info
    assert np.array_equal(np.asarray(written.convert(mode)), np.asarray(picture(0, mode)))


@pytest.mark.parametrize("face", ["face.bmp", "face.png"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_bmp_keeps_transparency(model, face, mode):
    clear = picture(0, mode)
    clear.putpixel((3, 5), (1,) * (len(mode) - 1) + (77,))
    save_picture(Path(face), clear, Origin(dpi=(300, 300)))
    filled, known = fill(model, face, "out.bmp"), hole() == 0
    assert filled.mode == "RGBA" and filled.getpixel((3, 5)) == (1, 1, 1, 77)
    assert filled.info["dpi"] == pytest.approx((300, 300), abs=0.02)
    assert np.array_equal(np.asarray(filled)[known], np.asarray(clear.convert("RGBA"))[known])
    assert np.array_equal(cv2.imread("out.bmp", cv2.IMREAD_UNCHANGED)[..., [2, 1, 0, 3]], np.asarray(filled))


@pytest.mark.parametrize(
    ("face", "out", "lost"),
    [
        ("deep.png", "out.webp", [".webp holds 8 of its 16 bits"]),
        ("deep.png", "out.bmp", [".bmp holds 8 of its 16 bits"]),
        ("deep.png", "out.jpg", [".jpg holds 8 of its 16 bits"]),
        ("deep.png", "out.png", []),
        ("clear.png", "out.jpg", [".jpg holds no transparency"]),
        ("clear.png", "out.bmp", []),
        ("whole.png", "out.bmp", [".bmp holds no colour profile and no EXIF data"]),
        ("whole.png", "out.tif", []),
    ],
)
def test_what_a_format_cannot_hold_is_told(model, capsys, face, out, lost):
    picture(0, "RGBA").save("clear.png")
    picture(0).save("whole.png", icc_profile=PROFILE, exif=exif())
    cv2.imwrite("deep.png", np.random.default_rng(0).integers(0, 65536, (SIDE, SIDE, 3), dtype=np.uint16))
    fill(model, face, out, "--report", "report.json")
    (notes,) = json.loads(Path("report.json").read_text())["notes"].values()
    told = [note for note in notes if "holds" in note]
    assert len(told) == len(lost) and all(a.startswith(b) for a, b in zip(told, lost, strict=True))
    assert all(note in capsys.readouterr().err for note in told)


@pytest.mark.parametrize("out", ["out.png", "out.jpg", "out.tif"])
@pytest.mark.parametrize(
    ("face", "profile", "lost"),
    [
        ("cmyk.tif", b"", ["Its CMYK colours are written as RGB."]),
        ("cmyk.jpg", b"CMYK", ["Its CMYK colours are written as RGB.", "Its colour profile does not fit"]),
        ("lab.tif", b"Lab ", ["Its LAB colours are written as RGB.", "Its colour profile does not fit"]),
        ("rgb.png", b"CMYK", ["Its colour profile does not fit"]),
        ("rgb.png", b"RGB ", []),
    ],
)
def test_colours_that_become_rgb_are_told_and_their_profile_is_left_out(model, capsys, face, profile, lost, out):
    profile = PROFILE.replace(b"RGB ", profile) if profile else b""
    mode = face.split(".")[0].upper()
    Image.frombytes(mode, (SIDE, SIDE), picture(0, "CMYK" if mode == "CMYK" else "RGB").tobytes()).save(
        face, icc_profile=profile
    )
    filled = fill(model, face, out, "--report", "report.json")
    assert filled.mode == "RGB" and ("icc_profile" in filled.info) == (not lost)
    (notes,) = json.loads(Path("report.json").read_text())["notes"].values()
    told = [note for note in notes if note.startswith("Its ")]
    assert len(told) == len(lost) and all(a.startswith(b) for a, b in zip(told, lost, strict=True))
    shown = capsys.readouterr().err
    assert all(note in shown for note in told)


def test_names_may_be_as_long_as_the_disk_allows(tmp_path):
    save_picture(tmp_path / f"{'n' * 251}.png", picture(0))
    assert os.listdir(tmp_path) == [f"{'n' * 251}.png"]
