"""Fills of several models are measured on the same holes, by PSNR and by the Frechet distance of features."""

import json

import pytest
import torch
from launching import draw_faces

from benchmarks import realism
from ngan.model import NGAN


def network(seed: int) -> NGAN:
    torch.manual_seed(seed)
    return NGAN(code_width=4, image_width=8, blocks=1, attention_every=0, image_size=32).eval()


def test_models_are_measured_alike_and_told_apart(tmp_path, monkeypatch, capsys):
    draw_faces(tmp_path / "faces", validation=6)
    for seed in (0, 1):
        network(seed).save_pretrained(tmp_path / f"model{seed}")
    means = {"onet": lambda x: x.float().mean(dim=(2, 3)), "onet_full": lambda x: x.float().amax(dim=(2, 3))}
    monkeypatch.setitem(realism.FEATURES, "onet", lambda: means)
    words = ["--models", *(str(tmp_path / f"model{seed}") for seed in (0, 1)), "--dataset", str(tmp_path / "faces")]
    assert realism.main([*words, "--masks", "center", "feature", "--json", str(tmp_path / "x.json")]) == 0
    result = json.loads((tmp_path / "x.json").read_text())
    assert result["n"] == 6 and list(result["models"]) == ["model0", "model1"]
    first, second = (result["models"][name]["center"] for name in ("model0", "model1"))
    assert first["telea"] == second["telea"] and first["ngan"] != second["ngan"]
    assert all(set(v) == {"psnr", "frechet_onet", "frechet_onet_full"} for v in (*first.values(), *second.values()))
    table = capsys.readouterr().out.splitlines()
    assert len([line for line in table if line.startswith("| model")]) == 1 + 2 * 2 * 3
    assert f"{first['ngan']['frechet_onet']:.4f}" in table[2]


def test_two_models_of_one_name_are_refused(tmp_path, capsys):
    draw_faces(tmp_path / "faces", validation=2)
    for folder in "ab":
        network(0).save_pretrained(tmp_path / folder / "model")
    words = ["--models", *(str(tmp_path / folder / "model") for folder in "ab"), "--dataset", str(tmp_path / "faces")]
    assert realism.main([*words, "--masks", "center", "--features", "none"]) == 2
    assert "another one is called model too" in capsys.readouterr().err


def test_a_result_that_could_not_be_written_is_refused_before_the_measuring(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(realism, "measure", lambda *_, **__: pytest.fail("measured"))
    words = ["--models", "x", "--dataset", "x", "--features", "none", "--json", str(tmp_path / "none" / "x.json")]
    assert realism.main(words) == 2
    assert "none/x.json: no such folder" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_one_line(capsys):
    assert realism.main(["--models", "./nothing", "--dataset", "x", "--features", "none"]) == 2
    assert "realism: error: ./nothing: no such folder" in capsys.readouterr().err
