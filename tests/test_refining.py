"""Tests of the refiner's training: what its windows show, what an update and a run do."""

import argparse
from pathlib import Path

import pytest
import torch
from launching import draw_face
from safetensors.torch import load_file
from torch.nn import functional as F

from ngan.data import load_faces
from ngan.features import load_features
from ngan.model import NGAN
from ngan.refiner import Refiner
from ngan.refiner_faces import Faces
from ngan.refining import RefinerCritic, RefinerTraining, main

OPTIONS = argparse.Namespace(batch_size=4, lambda_adversarial=0.3, lambda_feature_matching=0.1, lambda_perceptual=0.5)


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> tuple[Path, Path]:
    """Folders of a small model and of drawn faces."""
    place = tmp_path_factory.mktemp("refining")
    torch.manual_seed(0)
    NGAN(code_width=8, image_width=8, blocks=1, attention_every=0).save_pretrained(place / "model")
    (place / "faces").mkdir()
    for seed in range(6):
        draw_face(seed, 178).save(place / "faces" / f"{seed}.png")
    return place / "model", place / "faces"


@pytest.fixture(scope="module")
def faces(places) -> Faces:
    truth = load_faces(places[1], image_size=192, in_memory=True, progress=False).images
    return Faces(places[0], truth, torch.Generator().manual_seed(0))


def known_difference(windows, small: torch.Tensor) -> float:
    return ((windows.image - small).abs() * (1 - windows.mask)).sum().item() / (1 - windows.mask).sum().item() / 3


def test_windows_of_fills_lie_where_the_truth_does_at_holes_of_it(faces):
    windows = faces.fills(24)
    assert windows.image.shape == (24, 3, 64, 64) and windows.truth.shape == (24, 3, 96, 96)
    small = F.interpolate(windows.truth, size=64, mode="bicubic", antialias=True)
    shifted = small.roll(2, dims=3)
    assert known_difference(windows, small) < 0.3 * known_difference(windows, shifted)
    assert windows.mask.flatten(1).mean(dim=1).min() > 0.005
    assert (windows.image - small).abs().mul(windows.mask).sum() / windows.mask.sum() > 0.1  # filled, not copied


def test_pairs_are_the_same_face_at_half_the_size_blurred_where_a_hole_is(faces):
    windows = faces.pairs(24)
    assert windows.image.shape == (24, 3, 48, 48) and windows.truth.shape == (24, 3, 96, 96)
    small = F.avg_pool2d(windows.truth, 2)
    assert known_difference(windows, small) < 1e-6
    assert (windows.image - small).abs().mul(windows.mask).sum() > 0


def test_positions_grow_to_the_right_and_down_in_mirror_images_too(faces):
    for windows, cells in ((faces.fills(16), 128), (faces.pairs(16), 96)):
        for axis, dim in ((0, -1), (1, -2)):
            steps = windows.position[:, axis].diff(dim=dim)
            assert torch.allclose(steps, torch.full_like(steps, 2 / (cells - 1)), atol=1e-5)
        assert windows.position.abs().max() <= 1
        assert windows.position[:, 0].mean(dim=(1, 2)).unique().numel() > 4  # windows of many places


def test_updates_bring_the_refiner_nearer_to_the_truth_of_pairs(faces):
    torch.manual_seed(0)
    training = RefinerTraining(Refiner(width=8, dilations=[1]), RefinerCritic(4), faces, load_features(), OPTIONS)
    before = {name: weight.clone() for name, weight in training.critic.state_dict().items()}
    losses = [training.update(2e-3, heard=i > 2) for i in range(25)]
    assert "adversarial" not in losses[2] and losses[3]["adversarial"] > 0
    early, late = (sum(each["pixels"] for each in part) for part in (losses[:5], losses[-5:]))
    assert late < 0.9 * early
    assert any(not torch.equal(before[name], weight) for name, weight in training.critic.state_dict().items())
    assert all(weight.requires_grad for weight in training.critic.parameters())


def test_a_run_writes_a_refiner_that_the_next_one_goes_on_from(places, tmp_path):
    model, pictures = map(str, places)
    given = ["--dataset", pictures, "--model", model, "--batch_size", "2"]
    assert main([*given, "--output_dir", str(tmp_path / "a"), "--minutes", "0.02"]) == 0
    first = Refiner.from_pretrained(tmp_path / "a" / "model")
    assert first.image_size == 128
    again = ["--init_from", str(tmp_path / "a" / "model"), "--learning_rate", "1e-12", "--minutes", "0.02"]
    assert main([*given, "--output_dir", str(tmp_path / "b"), *again]) == 0
    second = Refiner.from_pretrained(tmp_path / "b" / "model")
    for own, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.allclose(own, other, atol=1e-6)
    critics = [load_file(tmp_path / name / "model" / "critic.safetensors") for name in "ab"]
    assert all(torch.allclose(critics[0][name], critics[1][name], atol=1e-6) for name in critics[0])


def test_models_whose_windows_the_features_cannot_read_are_refused(places, tmp_path, capsys):
    NGAN(code_width=8, image_width=8, blocks=1, attention_every=0, image_size=64).save_pretrained(tmp_path / "small")
    arguments = [
        "--dataset",
        str(places[1]),
        "--model",
        str(tmp_path / "small"),
        "--output_dir",
        str(tmp_path / "out"),
    ]
    assert main(arguments) == 2
    assert "faces of 64 pixels; must be a multiple of 128" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--minutes", "0"], "--minutes"),
        (["--batch_size", "3"], "--batch_size"),
        (["--dataset", "nowhere/at/all"], "nowhere/at/all"),
        (["--model", "no_such_folder"], "no_such_folder"),
        (["--faces", "0"], "limit"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_line(places, tmp_path, capsys, given, message):
    model, pictures = map(str, places)
    arguments = ["--dataset", pictures, "--model", model, "--output_dir", str(tmp_path / "out"), *given]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("refining: error:") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_losses_that_are_no_numbers_end_a_run_and_nothing_is_written(places, tmp_path, capsys):
    model, pictures = map(str, places)
    given = ["--dataset", pictures, "--model", model, "--output_dir", str(tmp_path), "--batch_size", "2"]
    assert main([*given, "--minutes", "1", "--learning_rate", "1e30"]) == 2
    assert "losses are not finite; lower --learning_rate" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
