"""The benchmark of fills of photos: holes lie where they are said to, and figures are what their names say."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import photo_fills
from benchmarks.photo_fills import HOLES, format_table, hole_of, measure, square_of
from ngan.features import ImageFeatures
from ngan.framing import Face

EXAMPLE = Path(__file__).parent.parent / "examples" / "astronaut.png"


def portraits() -> list[Image.Image]:
    """The same face twice, the second mirrored, and a picture without one."""
    face = Image.open(EXAMPLE).convert("RGB")
    return [face, face.transpose(Image.Transpose.FLIP_LEFT_RIGHT), Image.new("RGB", (200, 200), (90, 120, 150))]


def brighter(picture: Image.Image, mask: Image.Image, faces: list[Face]) -> Image.Image:
    pixels = np.asarray(picture).astype(np.int16)
    pixels += np.where(np.asarray(mask)[..., None] > 0, np.where(pixels > 127, -10, 10), 0)
    return Image.fromarray(pixels.astype(np.uint8))


def test_a_hole_lies_on_its_part_of_the_face_and_ends_with_the_photo():
    hole = hole_of(Face(100, 90, 80), "eyes", (200, 300))
    rows, columns = np.nonzero(hole)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (78, 96, 80, 120)
    assert hole_of(Face(10, 5, 80), "inner face", (200, 300))[:25, :30].all()


def test_a_square_holds_the_face():
    rgb = np.zeros((200, 300, 3), np.uint8)
    rgb[50:130, 60:140] = 200
    square = square_of(Face(100, 90, 80), rgb)
    assert square.shape == (1, 3, 256, 256) and square.dtype == torch.uint8
    assert (square[..., 4:-4, 4:-4] == 200).all()


def test_figures_are_of_the_hole_and_the_square_and_pictures_without_faces_are_left_out():
    seen = []

    def mean_colour(square: torch.Tensor) -> torch.Tensor:
        seen.append(square)
        return square.float().mean(dim=(2, 3))

    torch.manual_seed(0)
    kinds = ("eyes", "side")
    found = measure(brighter, portraits(), kinds, {"onet": mean_colour}, ImageFeatures())
    assert list(found) == list(kinds) and len(seen) == 2 * 2 * 2
    for values in found.values():
        assert values["psnr"] == pytest.approx(10 * np.log10(255**2 / 100))
        assert values["onet"] > 0 and values["features"] > 0
    table = format_table(found)
    assert "| eyes | 28.13 | " in table and "| hole | PSNR in hole (dB) | Frechet, face | ImageNet features |" in table
    assert "| hole | PSNR in hole (dB) |\n" in format_table(measure(brighter, portraits()[:1], kinds[:1]))


def test_the_command_writes_what_it_prints(tmp_path: Path, monkeypatch, capsys, model: str):
    for name, picture in zip("abc", portraits(), strict=True):
        picture.save(tmp_path / f"{name}.png")
    torch.manual_seed(0)
    features = ImageFeatures()
    monkeypatch.setattr(photo_fills, "onet_features", lambda: {"onet": lambda x: x.float().mean(dim=(2, 3))})
    monkeypatch.setattr(photo_fills, "load_features", lambda: features)
    given = ["--pictures", str(tmp_path), "--model", model, "--side", "160", "--json", str(tmp_path / "out.json")]
    assert photo_fills.main(given) == 0
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["pictures"] == 3 and report["longest side"] == 160 and list(report["holes"]) == list(HOLES)
    assert format_table(report["holes"]) in capsys.readouterr().out


@pytest.mark.parametrize("empty", [True, False])
def test_a_folder_without_pictures_is_one_line(tmp_path: Path, capsys, empty: bool):
    assert photo_fills.main(["--pictures", str(tmp_path if empty else tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("photo_fills: error: ") and error.count("\n") == 1 and str(tmp_path) in error
