"""Tests of reading pictures and masks: what means the same, and what is refused by name."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from painting import box_mask, noise
from PIL import Image, features
from rights import plain_rights

from ngan import pictures
from ngan.pictures import PictureError, open_file, read_mask, read_picture


def test_masks_of_all_kinds_mean_the_same(tmp_path: Path):
    hole = box_mask(30, 20)
    white = hole.astype(np.uint8) * 255
    Image.fromarray(white).save(tmp_path / "mask.png")
    strokes = np.zeros((30, 20, 4), np.uint8)
    strokes[hole] = 255
    kinds = [
        hole,
        hole.astype(np.float32),
        hole[..., None],
        white,
        tmp_path / "mask.png",
        str(tmp_path / "mask.png"),
        Image.fromarray(white).convert("1"),
        Image.fromarray(white).convert("RGB"),
        strokes,
        hole.astype(np.uint16) * 65535,
    ]
    for kind in kinds:
        assert np.array_equal(read_mask(kind, (20, 30)), hole)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((30, 20), np.uint8), "marks no pixel.*brightest value is 0"),
        (np.ones((30, 20), np.uint8), "marks no pixel.*brightest value is 1"),
        (np.ones((30, 20), bool), "marks every pixel"),
        (np.ones((20, 30), bool), "30x20.*20x30"),
        (np.full((30, 20), 2.0), r"\[0, 1\]"),
        (np.full((30, 20), np.nan), r"\[0, 1\]"),
        (np.zeros((30, 20), np.int64), "int64"),
        (np.zeros((30, 20, 2), np.uint8), r"\(30, 20, 2\)"),
        (7, "int"),
    ],
)
def test_masks_that_cannot_be_used_are_refused_by_name(mask: object, message: str):
    with pytest.raises(PictureError, match=f"(?s)mask.*{message}"):
        read_mask(mask, (20, 30))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((20, 20, 3), np.float32), "float32"),
        (np.zeros((20, 20, 5), np.uint8), r"\(20, 20, 5\)"),
        (np.zeros((0, 20), np.uint8), r"\(0, 20\)"),
        (np.zeros((15, 200, 3), np.uint8), "200x15 pixels; each side needs at least 16"),
        (Image.new("F", (20, 20)), "mode F"),
        (None, "NoneType"),
    ],
)
def test_pictures_that_cannot_be_used_are_refused_by_name(image: object, message: str):
    with pytest.raises(PictureError, match=f"image.*{message}"):
        read_picture(image)


def test_too_many_pixels_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 2_000_000)
    with pytest.raises(PictureError, match="2000x1001 pixels; at most 2 million"):
        read_picture(Image.new("RGB", (2000, 1001)))


def test_files_that_are_no_pictures_are_refused_by_name(tmp_path: Path):
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(noise(64, 64, 3)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:3000])
    Image.fromarray(noise(64, 64, 3)).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:3000])
    (tmp_path / "head.png").write_bytes((tmp_path / "whole.png").read_bytes()[:10])
    (tmp_path / "zero.jpg").write_bytes(b"")
    for name, why in {
        "text.png": "is not a picture that can be read",
        "head.png": "is not a picture that can be read",
        "cut.png": "breaks off or is damaged",
        "cut.jpg": "breaks off or is damaged",
        "zero.jpg": "is empty",
    }.items():
        for read in (read_picture, lambda path: read_mask(path, (64, 64))):
            with pytest.raises(PictureError, match=f"{name} {why}$"):
                read(tmp_path / name)
    with pytest.raises(PictureError, match="^the file is empty$"):
        open_file(io.BytesIO(), "the file")
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "missing.png")


def test_a_file_that_may_not_be_read_is_told_from_a_broken_one(tmp_path: Path):
    Image.fromarray(noise(64, 64, 3)).save(tmp_path / "closed.png")
    os.chmod(tmp_path / "closed.png", 0)
    with plain_rights(), pytest.raises(PictureError, match=r"closed.png cannot be read \(Permission denied\)$"):
        read_picture(tmp_path / "closed.png")


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_a_file_of_several_frames_is_refused_by_name(tmp_path: Path, kind: str):
    frames = [Image.fromarray(noise(40, 30, 3, seed=seed)) for seed in range(3)]
    for name, rest in (("moving", frames[1:]), ("still", [])):
        frames[0].save(tmp_path / f"{name}.{kind}", save_all=True, append_images=rest)
    assert read_picture(tmp_path / f"still.{kind}").size == (30, 40)
    for read in (read_picture, lambda path: read_mask(path, (30, 40))):
        with pytest.raises(PictureError, match=f"moving.{kind} holds 3 frames"):
            read(tmp_path / f"moving.{kind}")
    with Image.open(tmp_path / f"moving.{kind}") as file:  # a program knows at which one it stands
        assert read_picture(file).size == (30, 40)


def test_a_photo_with_previews_is_one_picture(tmp_path: Path):
    photo, preview = (Image.fromarray(noise(*size, 3)) for size in ((40, 30), (20, 15)))
    photo.save(tmp_path / "photo.jpg", "MPO", save_all=True, append_images=[preview])
    with Image.open(tmp_path / "photo.jpg") as file:
        assert file.format == "MPO" and file.n_frames == 2
    assert read_picture(tmp_path / "photo.jpg").size == (30, 40)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_a_damaged_avif_is_refused_by_name(tmp_path: Path):
    buffer = io.BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(buffer, "AVIF")
    content = bytearray(buffer.getvalue())
    start = content.index(b"mdat") + 10
    content[start:] = b"\xff" * (len(content) - start)
    (tmp_path / "broken.avif").write_bytes(content)
    with pytest.raises(PictureError, match="broken.avif breaks off or is damaged"):
        read_picture(tmp_path / "broken.avif")


def test_phone_photos_open():
    pytest.importorskip("pi_heif")
    assert {".heic", ".heif"} <= set(Image.registered_extensions())
