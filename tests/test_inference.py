"""Tests of `Inpainter`: any picture in, the hole filled, every other pixel as it was."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from painting import box_mask, noise
from PIL import Image

from ngan import hub
from ngan.inference import Inpainter
from ngan.model import NGAN
from ngan.paste import correct
from ngan.pictures import PictureError


@pytest.mark.parametrize("size", [(32, 32), (100, 75), (16, 16), (40, 300), (1500, 1100), (17, 2000)])
def test_known_pixels_are_untouched_and_the_hole_is_filled_at_any_size(inpainter: Inpainter, size: tuple[int, int]):
    image, mask = noise(*size, 3), box_mask(*size)
    result = np.asarray(inpainter(image, mask))
    assert result.shape == image.shape and result.dtype == np.uint8
    assert np.array_equal(result[~mask], image[~mask])
    assert (result[mask] != image[mask]).any(axis=-1).mean() > 0.9


def test_at_the_models_own_size_the_fill_is_the_networks_up_to_the_border_correction(net: NGAN):
    inpainter = Inpainter(net, "cpu", precision="float32", self_ensemble=False)
    image, mask = noise(32, 32, 3), np.zeros((32, 32), bool)
    mask[4:28, 4:28] = True
    with torch.inference_mode():
        x = torch.from_numpy(image / 127.5 - 1).permute(2, 0, 1)[None].float()
        hole = torch.from_numpy(mask)[None, None].float()
        raw = net(x, hole).image
        expected = correct(raw, x, hole, 1.0)
    expected = ((expected[0].permute(1, 2, 0) + 1) * 127.5).clamp(0, 255).round().numpy()
    inner = slice(7, 25), slice(7, 25)  # the border goes over into the photo
    assert np.abs(np.asarray(inpainter(image, mask))[inner] - expected[inner]).max() <= 1


def test_what_the_hole_held_makes_no_difference(inpainter: Inpainter):
    image, mask = noise(90, 70, 3), box_mask(90, 70)
    other = image.copy()
    other[mask] = 255 - other[mask]
    assert np.array_equal(np.asarray(inpainter(image, mask)), np.asarray(inpainter(other, mask)))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_modes_that_can_be_kept_are_kept(inpainter: Inpainter, mode: str):
    image = np.asarray(Image.fromarray(noise(50, 60, 4)).convert(mode))
    mask = box_mask(50, 60)
    result = inpainter(Image.fromarray(image), mask)
    pixels = np.asarray(result)
    assert result.mode == mode and np.array_equal(pixels[~mask], image[~mask])
    if mode.endswith("A"):
        assert (pixels[mask][:, -1] == 255).all()


@pytest.mark.parametrize(("mode", "kept"), [("1", "L"), *((m, "RGB") for m in ("P", "CMYK", "YCbCr", "HSV", "LAB"))])
def test_other_modes_come_back_as_the_plain_one_that_holds_them(inpainter: Inpainter, mode: str, kept: str):
    rgb = noise(50, 60, 3)
    image = Image.frombytes("LAB", (60, 50), rgb.tobytes()) if mode == "LAB" else Image.fromarray(rgb).convert(mode)
    result = inpainter(image, box_mask(50, 60))
    known = ~box_mask(50, 60)
    assert result.mode == kept and np.array_equal(np.asarray(result)[known], np.asarray(image.convert(kept))[known])


@pytest.mark.parametrize(("mode", "kept"), [("P", "RGBA"), ("L", "LA"), ("1", "LA"), ("RGB", "RGBA")])
def test_a_transparent_colour_stays_transparent(inpainter: Inpainter, tmp_path: Path, mode: str, kept: str):
    image = Image.fromarray(noise(50, 60, 3)).convert(mode)
    clear = image.getpixel((2, 3))
    image.save(tmp_path / "keyed.png", transparency=clear)
    result = inpainter(tmp_path / "keyed.png", box_mask(50, 60))
    expected = np.asarray(Image.open(tmp_path / "keyed.png").convert(kept))
    assert expected[3, 2, -1] == 0 and result.mode == kept
    known = ~box_mask(50, 60)
    assert np.array_equal(np.asarray(result)[known], expected[known])


def test_a_turned_photo_comes_back_upright(inpainter: Inpainter, tmp_path: Path):
    exif = Image.Exif()
    exif[274] = 6  # turn a quarter clockwise to see it upright
    Image.fromarray(noise(40, 60, 3)).save(tmp_path / "turned.png", exif=exif)
    upright = np.rot90(noise(40, 60, 3), -1)
    mask = box_mask(60, 40)
    result = inpainter(tmp_path / "turned.png", mask)
    assert result.size == (40, 60) and np.array_equal(np.asarray(result)[~mask], upright[~mask])
    with pytest.raises(PictureError, match="60x40.*upright.*40x60"):
        inpainter(tmp_path / "turned.png", box_mask(40, 60))


def test_transparent_pixels_count_as_white(inpainter: Inpainter):
    clear = noise(40, 40, 4)
    clear[..., 3] = 0
    white = np.full((40, 40, 3), 255, np.uint8)
    mask = box_mask(40, 40)
    filled = np.asarray(inpainter(clear, mask))[mask][:, :3]
    assert np.array_equal(filled, np.asarray(inpainter(white, mask))[mask])


def test_a_colour_profile_stays(inpainter: Inpainter):
    image = Image.fromarray(noise(40, 40, 3))
    image.info["icc_profile"] = b"profile"
    assert inpainter(image, box_mask(40, 40)).info["icc_profile"] == b"profile"


@pytest.mark.parametrize(
    ("mode", "space", "kept"),
    [("CMYK", b"CMYK", False), ("P", b"RGB ", True), ("1", b"GRAY", True), ("1", b"RGB ", False)],
)
def test_a_colour_profile_goes_where_the_colours_become_others(
    inpainter: Inpainter, tmp_path: Path, mode: str, space: bytes, kept: bool
):
    image = Image.fromarray(noise(40, 40, 3)).convert(mode)
    image.info["icc_profile"] = profile = bytes(16) + space + bytes(108)
    result = inpainter(image, box_mask(40, 40))
    assert result.info.get("icc_profile") == (profile if kept else None) and image.info["icc_profile"] == profile
    result.save(tmp_path / "out.png")
    assert Image.open(tmp_path / "out.png").info.get("icc_profile") == (profile if kept else None)


def test_mask_free_mode_fills_exactly_what_it_marks(inpainter: Inpainter, net: NGAN):
    with torch.no_grad():  # an untrained net sees damage at random: enough of both here
        net.code_generator.location.read.weight.mul_(1000)
    image = noise(48, 64, 3)
    stages = inpainter.stages(image)
    found = np.asarray(stages.mask) > 0
    assert 0 < found.sum() < found.size
    final = np.asarray(stages.final)
    assert np.array_equal(final[~found], image[~found]) and (final[found] != image[found]).any()
    assert np.array_equal(np.asarray(inpainter(image)), final)


def test_nothing_found_returns_the_picture_and_says_so(
    inpainter: Inpainter, net: NGAN, caplog: pytest.LogCaptureFixture
):
    image = noise(48, 64, 3)
    locate(net, -50.0)
    with caplog.at_level(logging.WARNING):
        stages = inpainter.stages(image)
    assert np.array_equal(np.asarray(stages.final), image) and stages.mask.getbbox() is None
    assert "no damage found" in caplog.text and np.asarray(stages.location).max() == 0


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_is_no_damage(inpainter: Inpainter, net: NGAN, mode: str):
    locate(net, 50.0)
    image = np.asarray(Image.fromarray(noise(48, 64, 4)).convert(mode)).copy()
    image[..., -1] = 255
    image[:10, :, -1] = 0
    final = np.asarray(inpainter(Image.fromarray(image)))
    assert np.array_equal(final[:10], image[:10]) and (final[10:] != image[10:]).any()


def test_damage_everywhere_is_an_error(inpainter: Inpainter, net: NGAN):
    locate(net, 50.0)
    with pytest.raises(PictureError, match="all of it looks damaged"):
        inpainter(noise(48, 64, 3))


def locate(net: NGAN, logit: float) -> None:
    """Have the code generator see damage everywhere or nowhere."""
    with torch.no_grad():
        net.code_generator.location.read.weight.zero_()
        net.code_generator.location.read.bias.fill_(logit)


def test_stages_have_the_pictures_size(inpainter: Inpainter):
    image, mask = noise(50, 70, 3), box_mask(50, 70)
    stages = inpainter.stages(image, mask)
    for name in ("corrupted", "code_image", "location", "mask", "final"):
        assert getattr(stages, name).size == (70, 50)
    corrupted = np.asarray(stages.corrupted)
    assert (corrupted[mask] == 128).all() and np.array_equal(corrupted[~mask], image[~mask])
    assert np.array_equal(np.asarray(stages.mask) > 0, mask)
    assert np.array_equal(np.asarray(stages.final), np.asarray(inpainter(image, mask)))


def test_threads_may_share_one(inpainter: Inpainter):
    images = [noise(40 + 3 * i, 50, 3, seed=i) for i in range(6)]
    alone = [np.asarray(inpainter(image, box_mask(*image.shape[:2]))) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: np.asarray(inpainter(image, box_mask(*image.shape[:2]))), images))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_device_that_is_not_there_is_refused_by_name(net: NGAN):
    for device in ("tpu9", "meta"):
        with pytest.raises(ValueError, match=f"device='{device}'"):
            Inpainter(net, device=device)


def test_models_come_from_a_folder_or_the_environment(net: NGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    net.save_pretrained(tmp_path / "model")
    monkeypatch.setenv("NGAN_MODEL", str(tmp_path / "model"))
    image, mask = noise(40, 40, 3), box_mask(40, 40)
    expected = np.asarray(Inpainter(net, device="cpu")(image, mask))
    for model in (None, tmp_path / "model", str(tmp_path / "model")):
        assert np.array_equal(np.asarray(Inpainter(model, device="cpu")(image, mask)), expected)


def test_a_missing_embedded_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NGAN_MODEL", raising=False)
    monkeypatch.setattr(hub, "EMBEDDED", tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere.*NGAN_MODEL"):
        hub.default_model()
