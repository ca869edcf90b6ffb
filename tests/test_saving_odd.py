"""Files out of the common are filled too: what of their format and metadata is kept, and what is said of the rest."""

import io
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, JpegImagePlugin, PngImagePlugin
from shell import SIDE, hole, only_error, picture
from test_saving import PROFILE, exif, fill
from test_saving import model as model

from ngan.__main__ import main
from ngan.saving import Origin, save_picture
from page import photos


def saved_by_the_page(path: Path, folder: Path) -> tuple[photos.Saved, Image.Image]:
    folder.mkdir()
    saved = photos.save_result(photos.open_photo(path), path, folder)
    assert sorted(folder.iterdir()) == sorted(filter(None, (saved.file, saved.lossless)))
    return saved, Image.open(saved.file)


def jpeg_of_unnamed_sampling(path: Path) -> None:
    pixels = np.asarray(picture(0))[..., ::-1]
    options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440, cv2.IMWRITE_JPEG_QUALITY, 71]
    path.write_bytes(cv2.imencode(".jpg", pixels, options)[1].tobytes())


@pytest.mark.parametrize("kind", ["several pictures", "three tables", "one table", "unnamed sampling", "ink"])
def test_jpegs_out_of_the_common_keep_what_they_can(model, kind):
    if kind == "several pictures":
        picture(0).save("face.jpg", "MPO", save_all=True, append_images=[picture(1)], quality=71, subsampling=1)
        assert Image.open("face.jpg").format == "MPO"
    elif kind == "unnamed sampling":
        jpeg_of_unnamed_sampling(Path("face.jpg"))
        assert JpegImagePlugin.get_sampling(Image.open("face.jpg")) == -1
    elif kind == "ink":
        picture(0, "CMYK").save("face.jpg", quality=71)
    else:
        tables = [[16 + i] * 64 for i in range(3 if kind == "three tables" else 1)]
        picture(0).save("face.jpg", qtables=tables)
    face, filled = Image.open("face.jpg"), fill(model, "face.jpg", "out.jpg")
    saved, paged = saved_by_the_page(Path("face.jpg"), Path("page"))
    for file in (filled, paged):
        assert file.format == "JPEG" and file.mode == "RGB"
        assert (file.quantization == face.quantization) == (kind != "ink")
        sampling = {"several pictures": 1, "unnamed sampling": 0, "ink": 0}.get(kind, 2)
        assert JpegImagePlugin.get_sampling(file) == sampling
    assert ("at high quality" in saved.note) == (kind == "ink") and saved.lossless


def test_exif_hidden_in_pngs_text_turns_the_picture_once(model):
    text = PngImagePlugin.PngInfo()
    data = b"Exif\0\0" + exif(6).tobytes().removeprefix(b"Exif\0\0")
    text.add_text("Raw profile type exif", f"\nexif\n{len(data):8}\n{data.hex()}\n")
    text.add_text("Title", "Aunt")
    upright = picture(0).resize((SIDE, SIDE + 8))
    upright.transpose(Image.Transpose.ROTATE_90).save("face.png", pnginfo=text)
    _, paged = saved_by_the_page(Path("face.png"), Path("page"))
    for file in (fill(model, "face.png", "out.png"), paged):
        assert file.size == upright.size and file.text == {"Title": "Aunt"}
        assert file.getexif().get(274, 1) == 1 and file.getexif()[271] == "Maker"
    assert np.array_equal(np.asarray(paged), np.asarray(upright))


@pytest.mark.parametrize(
    ("xmp", "kept"),
    [
        (b"<a><xmp:Thumbnails><b>painted over</b></xmp:Thumbnails><c/></a>", b"<a><c/></a>"),
        (b"<a><xap:Thumbnails x='1'>painted over</xap:Thumbnails ></a>", b"<a></a>"),
        (b"<a><xmp:Thumbnails/><c/></a>", b"<a><xmp:Thumbnails/><c/></a>"),
        (b"<a><xmp:Thumbnails>painted over</a>", b""),
    ],
)
def test_thumbnails_in_xmp_are_not_handed_on(xmp, kept):
    buffer = io.BytesIO()
    picture(0).save(buffer, "WEBP", xmp=xmp, lossless=True)
    assert Origin.of(Image.open(buffer)).xmp == kept


@pytest.mark.parametrize("dpi", [None, (72, 72)])  # Pillow looks for what is missing here in the EXIF data
def test_exif_that_is_none_costs_the_metadata_and_not_the_photo(model, capsys, dpi):
    picture(0).save("face.jpg", exif=b"Exif\0\0garbage12345", **({"dpi": dpi} if dpi else {}))
    Image.fromarray(hole()).save("mask.png")
    words = ["inpaint", "face.jpg", "mask.png", "-o", "out.png", "--model", model]
    assert main(words) == 1
    error = only_error(capsys)
    assert "face.jpg: its metadata cannot be read" in error and "--strip-metadata leaves it out" in error
    assert main([*words, "--strip-metadata"]) == 0
    saved, paged = saved_by_the_page(Path("face.jpg"), Path("page"))
    assert "broken or too long, and is left out" in saved.note and not paged.getexif()


def test_metadata_too_long_for_the_format_is_named_with_the_way_out(model, capsys):
    long = exif()
    long[270] = "n" * 70_000  # a JPEG holds 65,533 bytes
    picture(0).save("face.png", exif=long)
    Image.fromarray(hole()).save("mask.png")
    words = ["inpaint", "face.png", "mask.png", "-o", "out.jpg", "--model", model]
    assert main(words) == 1
    error = only_error(capsys)
    assert "its metadata cannot be written to .jpg" in error and "--strip-metadata leaves it out" in error
    assert sorted(os.listdir()) == ["face.png", "mask.png", "model"]
    assert main([*words, "--strip-metadata"]) == 0
    if photos.Image.OPEN.get("AVIF"):
        picture(0).save("face.avif", exif=long)
        saved, paged = saved_by_the_page(Path("face.avif"), Path("page"))
        assert "broken or too long, and is left out" in saved.note and not paged.getexif()
        assert Image.open(saved.lossless).getexif()[271] == "Maker"


def test_broken_metadata_costs_no_result_on_the_page(tmp_path):
    path = tmp_path / "face.jpg"
    picture(0).save(path, icc_profile=PROFILE)

    def broken(self):
        raise SyntaxError("bad tag")

    final = photos.open_photo(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JpegImagePlugin.JpegImageFile, "getexif", broken)
        saved = photos.save_result(final, path, tmp_path)
    assert "broken or too long, and is left out" in saved.note and "own compression tables" in saved.note
    assert Image.open(saved.file).info["icc_profile"] == PROFILE


def test_pillows_warnings_reach_nobody(model, capsys, recwarn):
    broken = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x0f\x01\x02\0"  # five entries told, none there
    picture(0).save("face.jpg", exif=broken)
    Image.fromarray(hole()).save("mask.png")
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        Image.open("face.jpg").getexif()
    assert main(["inpaint", "face.jpg", "mask.png", "-o", "out.png", "--model", model]) == 0
    assert "EXIF" not in capsys.readouterr().err and not [w for w in recwarn if "PIL" in w.filename]


@pytest.mark.parametrize(("suffix", "longest"), [(".webp", 16_383), (".jpg", 65_500)])
def test_pictures_too_long_for_the_format_are_refused(tmp_path, suffix, longest):
    with pytest.raises(ValueError, match=f"{longest + 1}x16 pixels; {suffix} holds at most {longest} on a side"):
        save_picture(tmp_path / f"out{suffix}", Image.new("L", (longest + 1, 16)))
    assert os.listdir(tmp_path) == []
    save_picture(tmp_path / f"out{suffix}", Image.new("L", (longest, 16)), quick=True)


def test_the_page_gives_a_png_where_jpeg_is_too_short(tmp_path):
    Image.new("RGB", (65_501, 16)).save(tmp_path / "photo.png")
    final = photos.open_photo(tmp_path / "photo.png")
    origin = Origin("AVIF", "RGB")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photos, "_origin", lambda final, source: (origin, True))
        saved = photos.save_result(final, tmp_path / "photo.avif", tmp_path)
    assert saved.file.suffix == ".png" and saved.lossless is None and saved.note.startswith("PNG: every pixel")


@pytest.mark.parametrize("kind", [".jpg", ".tif"])
def test_the_page_tells_that_cmyk_became_rgb(tmp_path, kind):
    path = tmp_path / f"photo{kind}"
    picture(0, "CMYK").save(path, icc_profile=PROFILE.replace(b"RGB ", b"CMYK"))
    saved = photos.save_result(photos.open_photo(path), path, tmp_path)
    assert saved.note.endswith(
        "Its CMYK colours are written as RGB. Its colour profile does not fit what is written and is left out."
    )
    assert Image.open(saved.file).mode == "RGB" and "icc_profile" not in Image.open(saved.file).info


@pytest.mark.parametrize(
    ("mode", "profile", "kept"),
    [
        ("RGB", b"of no known kind, long enough", True),
        ("P", b"of no known kind, long enough", False),  # it is RGB now
        ("P", PROFILE, True),
        ("L", PROFILE, False),
        ("RGB", PROFILE.replace(b"RGB ", b"CMYK"), False),
        ("L", PROFILE.replace(b"RGB ", b"GRAY"), True),
    ],
)
def test_profiles_are_kept_where_they_fit(model, mode, profile, kept):
    picture(0, mode).save("face.png", icc_profile=profile)
    _, paged = saved_by_the_page(Path("face.png"), Path("page"))
    for file in (fill(model, "face.png", "out.png"), paged):
        assert file.info.get("icc_profile") == (profile if kept else None)
