"""Tests of the models that come with the package, which every door knows by their names."""

import json
from pathlib import Path

import pytest
import torch

from ngan import NGAN, Inpainter
from ngan.__main__ import main
from ngan.config import TrainConfig
from ngan.hub import CRISP, EMBEDDED, default_model, located
from ngan.start import critics_given, make_networks

FOLDERS = pytest.mark.parametrize("folder", [EMBEDDED, CRISP])


def same(one: NGAN, other: NGAN) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


@FOLDERS
def test_every_door_knows_it_by_its_name(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    there = NGAN.from_pretrained(folder)
    assert same(NGAN.from_pretrained(folder.name), there)
    assert same(Inpainter(folder.name, device="cpu").model, there)
    monkeypatch.setenv("NGAN_MODEL", folder.name)
    assert default_model() == str(folder) and same(Inpainter(device="cpu").model, there)
    config = TrainConfig(dataset="faces", output_dir="out", init_from=folder.name, lambda_projected=0.6)
    assert same(make_networks(config)[0], there) and critics_given(config)


@FOLDERS
def test_the_shell_names_it_and_finds_its_card(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert main(["info", "--model", folder.name, "--json", "told.json"]) == 0
    told = json.loads(Path("told.json").read_text())
    assert told["model"] == folder.name and told["loaded_from"] == str(folder) and told["figures"]


def test_they_are_two_with_one_code_generator():
    """So both find the same damage."""
    close, crisp = NGAN.from_pretrained(EMBEDDED), NGAN.from_pretrained(CRISP)
    assert same(close.code_generator, crisp.code_generator)
    assert not same(close.image_generator, crisp.image_generator)


def test_what_is_here_goes_before_what_comes_with_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path(CRISP.name).mkdir()
    assert located(CRISP.name) == CRISP.name
    with pytest.raises(FileNotFoundError, match="holds no config.json"):
        NGAN.from_pretrained(CRISP.name)


def test_other_names_are_left_to_the_hub():
    for name in ("org/ngan-celeba-128", "ngan-celeba-256", "ngan-celeba-128@main", ""):
        assert located(name) == name
