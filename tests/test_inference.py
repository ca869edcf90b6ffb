"""Tests of `Inpainter`: any picture in, the hole filled, every other pixel as it was."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ngan import hub, pictures
from ngan.inference import Inpainter, _carry_detail, _shrink, _shrink_mask, _spread
from ngan.model import NGAN
from ngan.pictures import PictureError, read_mask, read_picture


@pytest.fixture
def net() -> NGAN:
    torch.manual_seed(0)
    return NGAN(code_width=8, image_width=8, blocks=2, attention_every=2, image_size=32)


@pytest.fixture
def inpainter(net: NGAN) -> Inpainter:
    return Inpainter(net, device="cpu")


def noise(*shape: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def box_mask(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 3 : width // 3 * 2] = True
    return mask


@pytest.mark.parametrize("size", [(32, 32), (100, 75), (16, 16), (40, 300), (1500, 1100), (17, 2000)])
def test_known_pixels_are_untouched_and_the_hole_is_filled_at_any_size(inpainter: Inpainter, size: tuple[int, int]):
    image, mask = noise(*size, 3), box_mask(*size)
    result = np.asarray(inpainter(image, mask))
    assert result.shape == image.shape and result.dtype == np.uint8
    assert np.array_equal(result[~mask], image[~mask])
    assert (result[mask] != image[mask]).any(axis=-1).mean() > 0.9


def test_at_the_models_own_size_the_fill_is_the_networks_up_to_the_border_correction(inpainter: Inpainter, net: NGAN):
    image, mask = noise(32, 32, 3), np.zeros((32, 32), bool)
    mask[4:28, 4:28] = True
    with torch.inference_mode():
        x = torch.from_numpy(image / 127.5 - 1).permute(2, 0, 1)[None].float()
        hole = torch.from_numpy(mask)[None, None].float()
        raw = net(x, hole).image
        expected = raw + _spread((x - raw) * (1 - hole), 1 - hole)
    expected = ((expected[0].permute(1, 2, 0) + 1) * 127.5).clamp(0, 255).round().numpy()
    assert np.abs(np.asarray(inpainter(image, mask))[mask] - expected[mask]).max() <= 1


def test_what_the_hole_held_makes_no_difference(inpainter: Inpainter):
    image, mask = noise(90, 70, 3), box_mask(90, 70)
    other = image.copy()
    other[mask] = 255 - other[mask]
    assert np.array_equal(np.asarray(inpainter(image, mask)), np.asarray(inpainter(other, mask)))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_modes_that_can_be_kept_are_kept(inpainter: Inpainter, mode: str):
    image = np.asarray(Image.fromarray(noise(50, 60, 4)).convert(mode))
    mask = box_mask(50, 60)
    result = inpainter(Image.fromarray(image), mask)
    pixels = np.asarray(result)
    assert result.mode == mode and np.array_equal(pixels[~mask], image[~mask])
    if mode == "RGBA":
        assert (pixels[mask][:, 3] == 255).all()


@pytest.mark.parametrize("mode", ["1", "LA", "P", "CMYK", "YCbCr", "HSV", "LAB"])
def test_other_modes_come_back_as_rgb(inpainter: Inpainter, mode: str):
    if mode == "LA":
        image = Image.fromarray(noise(50, 60, 2))
        expected = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")
    else:
        rgb = noise(50, 60, 3)
        image = (
            Image.frombytes("LAB", (60, 50), rgb.tobytes()) if mode == "LAB" else Image.fromarray(rgb).convert(mode)
        )
        expected = image.convert("RGB")
    result = inpainter(image, box_mask(50, 60))
    known = ~box_mask(50, 60)
    assert result.mode == "RGB" and np.array_equal(np.asarray(result)[known], np.asarray(expected)[known])


def test_sixteen_bit_grey_is_scaled_not_clipped(inpainter: Inpainter, tmp_path: Path):
    values = noise(40, 40, dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    mask = box_mask(40, 40)
    for source in (values, tmp_path / "deep.png"):
        result = np.asarray(inpainter(source, mask))
        assert np.abs(result[~mask][:, 0] - values[~mask] / 257.0).max() <= 0.51


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
    for name in ("text.png", "cut.png"):
        with pytest.raises(PictureError, match=f"{name} is not a picture that can be read"):
            read_picture(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "missing.png")


def test_mask_free_mode_fills_exactly_what_it_marks(inpainter: Inpainter, net: NGAN):
    with torch.no_grad():  # an untrained net sees damage at random: enough of both here
        net.code_generator.up2.weight.mul_(10)
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
    _locate(net, -50.0)
    with caplog.at_level(logging.WARNING):
        stages = inpainter.stages(image)
    assert np.array_equal(np.asarray(stages.final), image) and stages.mask.getbbox() is None
    assert "no damage found" in caplog.text and np.asarray(stages.location).max() == 0


def test_damage_everywhere_is_an_error(inpainter: Inpainter, net: NGAN):
    _locate(net, 50.0)
    with pytest.raises(PictureError, match="all of it looks damaged"):
        inpainter(noise(48, 64, 3))


def _locate(net: NGAN, logit: float) -> None:
    """Have the code generator see damage everywhere or nowhere."""
    with torch.no_grad():
        last = net.code_generator.up2
        patch = net.code_generator.patch**2
        last.weight[3 * patch :] = 0
        last.bias[3 * patch :] = logit


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


def test_a_single_marked_pixel_of_a_large_picture_makes_its_cell_missing():
    hole = Image.new("L", (3200, 3200))
    hole.putpixel((1234, 777), 255)
    missing = _shrink_mask(hole, (32, 32))
    assert missing.sum() == 1 and missing[0, 0, 7, 12] == 1


def test_shrinking_lets_no_marked_pixel_leak():
    image = Image.new("RGB", (96, 96), (100, 150, 200))
    mask = Image.new("L", (96, 96))
    image.paste((255, 0, 0), (20, 30, 61, 50))
    mask.paste(255, (20, 30, 61, 50))
    small, missing = _shrink(image, mask, (32, 32)), _shrink_mask(mask, (32, 32))
    colours = (small[0].permute(1, 2, 0)[missing[0, 0] == 0] + 1) * 127.5
    assert (colours - torch.tensor([100.0, 150.0, 200.0])).abs().max() < 2


def test_spread_continues_values_smoothly():
    known = torch.ones(1, 1, 24, 24)
    known[..., 6:18, 6:18] = 0
    slope = torch.linspace(0, 1, 24).expand(1, 1, 24, 24)
    spread = _spread(slope * known, known)
    assert torch.equal(spread * known, slope * known)
    assert (spread - slope).abs().max() < 0.1
    assert torch.equal(_spread(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)), torch.zeros(1, 3, 8, 8))


def test_detail_is_carried_to_the_border_and_fades_inwards():
    smooth = np.full((80, 80, 3), 100, np.float32)
    picture = np.full((80, 80, 3), 120, np.uint8)  # 20 brighter than what the small grid holds
    hole = np.zeros((80, 80), bool)
    hole[:, 40:] = True
    row = _carry_detail(smooth, picture, hole, cell=4.0)[40, :, 0]
    assert abs(row[40] - 120) < 5 and (np.diff(row[40:]) <= 1e-3).all() and abs(row[60:] - 100).max() < 0.1


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
