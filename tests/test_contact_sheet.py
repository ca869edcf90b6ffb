"""The contact sheet: what was shown above what was filled, known pixels alike."""

import numpy as np
import torch
from launching import draw_faces
from PIL import Image

from benchmarks import contact_sheet
from ngan.model import NGAN


def test_each_fill_stands_below_what_was_shown(tmp_path):
    draw_faces(tmp_path / "faces", validation=5)
    torch.manual_seed(0)
    NGAN(code_width=4, image_width=8, blocks=1, image_size=32).save_pretrained(tmp_path / "model")
    words = ["--model", str(tmp_path / "model"), "--dataset", str(tmp_path / "faces"), "--faces", "5"]
    assert contact_sheet.main([*words, "--output", str(tmp_path / "sheet.png")]) == 0
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (64, 8 * 32, 3)
    shown, filled = sheet[:32, : 5 * 32], sheet[32:, : 5 * 32]
    hole = np.zeros((32, 5, 32), bool)
    hole[8:24, :, 8:24] = True
    hole = hole.reshape(32, 5 * 32)
    assert np.array_equal(shown[~hole], filled[~hole]) and (shown[hole] == 255).all()
    assert (filled[hole] != 255).any(-1).mean() > 0.9


def test_impossible_numbers_and_sets_are_refused_in_one_line(tmp_path, capsys):
    for words, told in ((["--faces", "0"], "--faces 0: must be at least 1"), ([], "no such folder")):
        assert contact_sheet.main(["--dataset", "./nowhere", "--output", str(tmp_path / "x.png"), *words]) == 2
        assert told in capsys.readouterr().err and not (tmp_path / "x.png").exists()
