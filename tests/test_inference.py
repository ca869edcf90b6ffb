"""Tests of `Inpainter`: any picture in, the hole filled, every other pixel as it was."""

import io
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, features
from test_faces import mark, on_cheek, photo, profile

from ngan import hub, pictures
from ngan.finding import _COLOURED, _TONED, _Levels
from ngan.framing import Face
from ngan.inference import Inpainter
from ngan.model import NGAN
from ngan.paste import correct
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


def test_at_the_models_own_size_the_fill_is_the_networks_up_to_the_border_correction(net: NGAN):
    inpainter = Inpainter(net, "cpu", precision="float32", self_ensemble=False)
    image, mask = noise(32, 32, 3), np.zeros((32, 32), bool)
    mask[4:28, 4:28] = True
    with torch.inference_mode():
        x = torch.from_numpy(image / 127.5 - 1).permute(2, 0, 1)[None].float()
        hole = torch.from_numpy(mask)[None, None].float()
        raw = net(x, hole).image
        expected = correct(raw, x, hole)
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
    _locate(net, -50.0)
    with caplog.at_level(logging.WARNING):
        stages = inpainter.stages(image)
    assert np.array_equal(np.asarray(stages.final), image) and stages.mask.getbbox() is None
    assert "no damage found" in caplog.text and np.asarray(stages.location).max() == 0


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_is_no_damage(inpainter: Inpainter, net: NGAN, mode: str):
    _locate(net, 50.0)
    image = np.asarray(Image.fromarray(noise(48, 64, 4)).convert(mode)).copy()
    image[..., -1] = 255
    image[:10, :, -1] = 0
    final = np.asarray(inpainter(Image.fromarray(image)))
    assert np.array_equal(final[:10], image[:10]) and (final[10:] != image[10:]).any()


def test_damage_everywhere_is_an_error(inpainter: Inpainter, net: NGAN):
    _locate(net, 50.0)
    with pytest.raises(PictureError, match="all of it looks damaged"):
        inpainter(noise(48, 64, 3))


def _locate(net: NGAN, logit: float) -> None:
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


def test_each_face_that_is_touched_is_filled_and_all_else_stays(inpainter: Inpainter):
    faces = Face(200, 200, 240), Face(560, 240, 200, 10.0), Face(880, 220, 220)
    canvas = photo(1100, 450, *faces)
    hole = np.zeros(canvas.shape[:2], bool)
    hole[215:255, 180:600] = True
    result = inpainter.fill(canvas, hole)
    final = np.asarray(result.final)
    assert len(result.faces) == len(result.inside) == 2 and result.notes == []
    assert np.array_equal(final[~hole], canvas[~hole]) and (final[hole] != canvas[hole]).any(axis=-1).mean() > 0.9
    assert np.array_equal(np.asarray(result.mask) > 0, hole)
    for face, stages in zip(result.faces, result.inside, strict=True):
        sizes = {getattr(stages, name).size for name in ("corrupted", "code_image", "location", "mask", "final")}
        assert sizes == {(round(face.side), round(face.side))}
        assert stages.mask.getbbox() is not None
    assert np.array_equal(np.asarray(inpainter(canvas, hole)), final)
    whole = inpainter.stages(canvas, hole)
    assert whole.code_image.size == whole.location.size == (1100, 450)
    assert np.array_equal(np.asarray(whole.code_image)[~hole], canvas[~hole])


def test_without_a_face_the_strokes_are_filled_and_it_is_said(inpainter: Inpainter):
    canvas = photo(900, 500)
    hole = np.zeros((500, 900), bool)
    hole[100:130, 50:700] = hole[300:420, 500:640] = True
    damaged = canvas.copy()
    damaged[hole] = (255, 45, 139)
    result = inpainter.fill(damaged, hole)
    assert result.faces == [] and result.inside == [] and "No face was found" in result.notes[0]
    final = np.asarray(result.final)
    assert np.array_equal(final[~hole], canvas[~hole])
    assert np.abs(final[hole].astype(int) - canvas[hole]).mean() < 12  # not a trace of the paint
    square = inpainter.fill(noise(60, 64, 3), box_mask(60, 64))
    assert "as a whole" in square.notes[0] and len(square.inside) == 1 and square.inside[0].final.size == (64, 60)


@pytest.mark.parametrize(("width", "how"), [(900, "it was continued"), (560, "the picture was taken as a whole")])
def test_a_face_that_is_not_marked_is_not_said_to_be_missing(inpainter: Inpainter, width: int, how: str):
    canvas, hole = photo(width, 500, Face(150, 300, 200)), np.zeros((500, width), bool)
    hole[60:100, width - 120 : width - 60] = True
    words = f"What was marked lies in none of the known faces: {how}"
    (note,) = inpainter.fill(canvas, hole).notes
    assert note.startswith(words)
    (note,) = inpainter.fill(canvas, hole, [Face(150, 300, 200)]).notes
    assert note.startswith("What was marked lies in none of the known faces: it was continued")
    assert inpainter.fill(canvas, hole, []).notes[0].startswith("No face was found:")


def test_a_picture_framed_as_training_faces_is_filled_as_a_whole(inpainter: Inpainter):
    canvas = photo(200, 200, Face(100, 100, 225))
    hole = mark(canvas, Face(100, 100, 225), 0.2, y=0.2)
    result = inpainter.fill(canvas, hole)
    assert result.faces == [] and result.notes == [] and result.inside[0].final.size == (200, 200)


def test_the_caller_may_say_where_the_faces_are(inpainter: Inpainter):
    canvas = photo(640, 480, Face(420, 230, 220))
    hole = mark(canvas, Face(420, 230, 220), 0.3, y=0.1)
    face = Face(415, 235, 200, 3.0)
    assert inpainter.fill(canvas, hole, [face]).faces == [face]
    (aligned,) = inpainter.fill(canvas, hole, [(310, 110, 540, 330)]).faces
    assert abs(aligned.x - 420) < 15 and abs(aligned.y - 230) < 15
    result = inpainter.fill(photo(640, 480), hole, [(310, 120, 510, 320)])
    assert result.faces == [Face(410, 220, 200)] and "rectangle" in result.notes[0]
    assert inpainter.fill(canvas, hole, [Face(100, 100, 80)]).faces == []
    assert inpainter.fill(canvas, hole, []).faces == []


@pytest.mark.parametrize("side", ["right", "left"])
def test_of_a_full_profile_a_rectangle_is_enough(inpainter: Inpainter, side: str):
    canvas, eye, mouth = profile(90, side)
    hole = on_cheek(canvas, mouth, side)
    left, top = np.subtract((eye + mouth) / 2, 80)
    result = inpainter.fill(canvas, hole, [(left, top, left + 160, top + 160)])
    (face,) = result.faces
    assert left < face.x < left + 160 and top < face.y < top + 160 and 50 < face.side < 330
    assert len(result.inside) == 1 and np.array_equal(np.asarray(result.final)[~hole], canvas[~hole])
    assert (np.asarray(result.final)[hole] != canvas[hole]).any(axis=-1).mean() > 0.9


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((10, 10, 12, 40), "at least 8 pixels"),
        ((10, 10, 40), "left, upper, right, lower"),
        ((0, 0, np.nan, 40), "left, upper, right, lower"),
        ((700, 0, 800, 90), "outside the picture of 640x480"),
    ],
)
def test_rectangles_that_cannot_be_are_refused_by_name(inpainter: Inpainter, box: tuple, message: str):
    canvas = photo(640, 480)
    with pytest.raises(PictureError, match=f"faces: .*{message}"):
        inpainter(canvas, mark(canvas, Face(420, 230, 220)), [box])


@pytest.mark.parametrize(
    ("faces", "message"),
    [
        ((10, 20, 200, 200), "10; a rectangle is left, upper, right, lower, in a list"),
        ([None], "None; a rectangle is left, upper, right, lower, in a list"),
        (["left"], "'left'; a rectangle is left"),
        ("left", "'left'; expected a list"),
        (7, "7; expected a list"),
        ([Face(60, 50, 8 * 120 + 1)], "may have 8 times the picture's longer"),
    ],
)
def test_faces_that_cannot_be_are_refused_by_name(inpainter: Inpainter, faces: object, message: str):
    with pytest.raises(PictureError, match=f"faces: .*{message}"):
        inpainter(noise(100, 120, 3), box_mask(100, 120), faces)


def test_damage_is_looked_for_in_each_face(inpainter: Inpainter, net: NGAN):
    _locate(net, 50.0)
    canvas = photo(900, 450, Face(200, 220, 220), Face(650, 220, 220))
    result = inpainter.fill(canvas)
    found = np.asarray(result.mask) > 0
    assert len(result.faces) == 2 and found[220, 200] and found[220, 650] and not found[220, 430]
    assert np.array_equal(np.asarray(result.final)[~found], canvas[~found])
    _locate(net, -50.0)
    result = inpainter.fill(canvas)
    assert np.array_equal(np.asarray(result.final), canvas) and "No damage was found" in result.notes[0]


@pytest.mark.parametrize("whole", [False, True])
def test_photos_in_one_tone_have_their_own_levels(inpainter: Inpainter, monkeypatch: pytest.MonkeyPatch, whole: bool):
    asked = []

    def found(logits: object, matrix: object, shape: tuple[int, int], levels: _Levels) -> np.ndarray:
        asked.append(levels)
        return np.zeros(shape, bool)

    monkeypatch.setattr("ngan.finding._found", found)
    canvas = Image.fromarray(photo(240, 240))
    sepia = Image.merge("RGB", [canvas.convert("L").point(lambda v, f=f: int(v * f)) for f in (1.0, 0.85, 0.6)])
    notes = [
        inpainter.fill(picture, None, [] if whole else [Face(120, 120, 200)]).notes
        for picture in (canvas, canvas.convert("L"), sepia)
    ]
    assert asked == [_COLOURED, _TONED, _TONED]
    assert ["paint over it" in own[-1] for own in notes] == [False, True, True]


def test_damage_is_followed_beyond_the_squares(inpainter: Inpainter, monkeypatch: pytest.MonkeyPatch):
    face, canvas = Face(450, 225, 200), photo(900, 450)
    seen = []

    def found(logits: object, matrix: np.ndarray, shape: tuple[int, int], levels: object) -> np.ndarray:
        side = 64 / matrix[0, 0]  # of the square that was looked at, two points a cell
        seen.append(round(side))
        marks = np.zeros(shape, bool)
        reach = slice(int(450 - side / 2), int(450 + side / 2))
        marks[220:230, reach] = True  # a stroke through the square and out of it
        marks[225 + int(0.45 * side) :, reach] = side > 250  # another mark, outside of it
        return marks

    monkeypatch.setattr("ngan.finding._found", found)
    marked = np.asarray(inpainter.fill(canvas, None, [face]).mask) > 0
    assert seen == [200, 300]  # 200: of the mean of both looks
    assert marked[220:230, 301:599].all() and marked.sum() == 10 * 300


def test_overlapping_faces_and_squares_over_the_edge_are_filled(inpainter: Inpainter):
    canvas = photo(300, 400)
    hole = np.zeros((400, 300), bool)
    hole[150:260, 0:280] = True
    result = np.asarray(inpainter(canvas, hole, [Face(60, 200, 180), Face(150, 210, 180, 30.0), Face(-900, 0, 50)]))
    assert np.array_equal(result[~hole], canvas[~hole]) and (result[hole] != canvas[hole]).any(axis=-1).mean() > 0.9


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_a_damaged_avif_is_refused_by_name(tmp_path: Path):
    buffer = io.BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(buffer, "AVIF")
    content = bytearray(buffer.getvalue())
    start = content.index(b"mdat") + 10
    content[start:] = b"\xff" * (len(content) - start)
    (tmp_path / "broken.avif").write_bytes(content)
    with pytest.raises(PictureError, match="broken.avif is not a picture that can be read"):
        read_picture(tmp_path / "broken.avif")


def test_phone_photos_open():
    pytest.importorskip("pi_heif")
    assert {".heic", ".heif"} <= set(Image.registered_extensions())


@pytest.mark.parametrize(
    ("face", "aligned"), [(Face(50, 51, 108, 2), False), (Face(50, 45, 110, 0), True), (Face(50, 50, 100, 7), True)]
)
def test_only_a_face_as_the_training_faces_stand_is_filled_as_the_whole_picture(inpainter, monkeypatch, face, aligned):
    monkeypatch.setattr("ngan.inference.find_faces", lambda *_: [face])
    result = inpainter.fill(noise(100, 100, 3), box_mask(100, 100))
    assert result.faces == ([face] if aligned else [])
