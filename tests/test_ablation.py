"""The comparison with peers: every variant trained and measured for some tiny updates, resumed, and made a table."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks import ablation, ablation_table
from benchmarks.ablation_costs import forward_costs
from benchmarks.ablation_features import ONet, onet_features
from benchmarks.ablation_holes import BINS, bin_name, holes_by_ratio
from benchmarks.ablation_variants import VARIANTS
from benchmarks.single_stage import (
    SingleStage,
    count,
    matching_sizes,
    networks_without_code_critic,
    single_stage_networks,
)
from ngan.config import TrainConfig
from ngan.draws import Batch
from ngan.model import NGAN
from ngan.start import make_networks
from ngan.training import Networks, make_optimizers, train_step

TINY = (
    "--image_size 32 --code_width 8 --image_width 8 --blocks 1 --attention_every 1 --discriminator_width 4 "
    "--embedding 8 --batch_size 2 --mixed_precision no --r1_every 2 --log_every 2"
).split()
NAMES = ("code_g", "code_d", "image_g", "global_d", "local_d")


def compare(faces: Path, folder: Path, variants: list[str], steps: int, *more: str) -> int:
    words = ["--dataset", str(faces), "--max_train_steps", str(steps), "--variants", *variants, *TINY, *more]
    return ablation.main([*words, "--output_dir", str(folder / "runs"), "--results_dir", str(folder / "results")])


@pytest.fixture(autouse=True)
def few_and_plain(monkeypatch):
    """Two holes a bin, and features that need no package."""
    colours = {"onet": lambda image: image.float().mean(dim=(2, 3))}
    monkeypatch.setitem(ablation.FEATURES, "onet", lambda: colours)
    monkeypatch.setattr(ablation, "HOLES_A_BIN", 2)


@pytest.mark.slow
def test_every_variant_trains_is_measured_and_stands_in_the_table(face_folder, tmp_path, capsys):
    assert compare(face_folder, tmp_path, list(VARIANTS), 6) == 0
    files = {path.name for path in (tmp_path / "results").iterdir()}
    assert files == {"costs.json", *(f"{name}-seed0.json" for name in VARIANTS)}
    for name, variant in VARIANTS.items():
        result = json.loads((tmp_path / f"results/{name}-seed0.json").read_text())
        updates = 21 if name.endswith("longer") else 6  # 3.45 times as many
        assert result["training"]["updates"] == updates and result["training"]["images"] == 2 * updates
        kinds = {"center", "box", "freeform", "center off frame", "feature off frame"}
        assert set(result["evaluation"]["masks"]) == kinds
        assert list(result["evaluation"]["ratios"]) == [bin_name(*ends) for ends in BINS]
        center = result["evaluation"]["masks"]["center"]["ngan"]
        assert all(math.isfinite(value) for value in center.values()) and center["frechet_onet"] >= 0
        assert bool(result["evaluation"]["damages"]) == (name == "ngan_find")
        assert all(result["config"][key] == value for key, value in variant.fields.items())
        assert str(tmp_path) not in json.dumps(result)
        log = (tmp_path / f"runs/{name}-seed0/metrics.jsonl").read_text().splitlines()
        last = json.loads(log[-1])
        assert all(math.isfinite(last[loss]) for loss in NAMES)
        assert not (tmp_path / f"runs/{name}-seed0/model").exists()
    first = {json.loads((tmp_path / f"results/{n}-seed0.json").read_text())["config"]["masks"] for n in VARIANTS}
    assert first == {"mixed", "wide"}

    report = tmp_path / "RESULTS.md"
    words = ["--results_dir", str(tmp_path / "results"), "--output", str(report)]
    assert ablation_table.main(words) == 0
    text = report.read_text()
    assert all(f"| `{name}` |" in text for name in VARIANTS)
    assert "6 updates of 2 images" in text and "LPIPS is left out" in text and "50-60 %" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows if line.startswith("| `glcic` |")} <= {line.count("|") for line in rows}

    capsys.readouterr()
    assert compare(face_folder, tmp_path, ["ngan", "glcic"], 6) == 0  # nothing is trained again
    assert capsys.readouterr().err.count("done before") == 2
    assert compare(face_folder, tmp_path, ["ngan"], 8) == 2
    assert "max_train_steps=6, now it is 8" in capsys.readouterr().err

    other = json.loads((tmp_path / "results/glcic-seed0.json").read_text())
    (tmp_path / "results/glcic-seed0.json").write_text(json.dumps({k: v for k, v in other.items() if k != "mix"}))
    assert compare(face_folder, tmp_path, ["glcic"], 6) == 2  # of the mix of results that do not tell theirs
    assert "other shares of mixed holes" in capsys.readouterr().err
    assert ablation_table.main(words) == 2
    assert "shares of mixed holes is" in capsys.readouterr().err

    other["training"]["updates"] = 21  # longer than the others, and not as its variant says
    (tmp_path / "results/glcic-seed0.json").write_text(json.dumps(other))
    assert ablation_table.main(words) == 2
    assert "updates is 21" in capsys.readouterr().err

    other["training"]["updates"], other["config"]["batch_size"] = 6, 3
    (tmp_path / "results/glcic-seed0.json").write_text(json.dumps(other))
    assert ablation_table.main(words) == 2
    assert "batch_size is" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["glcic", "no_code_critic"])
def test_a_variant_cut_off_goes_on_to_the_same_weights_and_figures(face_folder, tmp_path, monkeypatch, name):
    assert compare(face_folder, tmp_path / "whole", [name], 8, "--checkpoint_every", "3") == 0

    def stop_at_5(networks, optimizers, batch, config, step, backward):
        if step == 5:
            raise OSError("cut off")
        return train_step(networks, optimizers, batch, config, step, backward)

    with monkeypatch.context() as patch:
        patch.setattr(ablation.train_accelerate, "train_step", stop_at_5)
        assert compare(face_folder, tmp_path / "cut", [name], 8, "--checkpoint_every", "3") == 2
    assert not (tmp_path / "cut/results").exists()
    assert compare(face_folder, tmp_path / "cut", [name], 8, "--checkpoint_every", "3") == 0
    whole, cut = (tmp_path / f"{way}/runs/{name}-seed0/checkpoint-0000008" for way in ("whole", "cut"))
    for part in ("average", "discriminators", "generators_adam"):
        ours, theirs = load_file(whole / f"{part}.safetensors"), load_file(cut / f"{part}.safetensors")
        assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
    figures = [
        json.loads((tmp_path / f"{way}/results/{name}-seed0.json").read_text())["evaluation"]
        for way in ("whole", "cut")
    ]
    assert figures[0] == figures[1]


def test_the_single_stage_has_ngans_parameters_within_1_percent():
    config = TrainConfig()
    width, blocks = matching_sizes(config)
    assert width > config.image_width and blocks <= config.blocks + 2
    generators, critics = single_stage_networks(config)
    assert abs(count(generators) / count(make_networks(config)[0]) - 1) < 0.01
    assert not any(name.startswith("code.") for name in critics.state_dict())
    assert not hasattr(generators, "code_generator")


def test_a_missing_code_critic_changes_nothing_but_its_own_part(batch):
    config = TrainConfig(
        image_size=32, code_width=8, image_width=8, blocks=1, discriminator_width=4, embedding=8, mixed_precision="no"
    )
    full, without = make_networks(config), networks_without_code_critic(config)
    kept = without[1].state_dict()
    assert all(torch.equal(tensor, full[0].state_dict()[key]) for key, tensor in without[0].state_dict().items())
    assert kept and all(torch.equal(full[1].state_dict()[key], tensor) for key, tensor in kept.items())
    image, mask = batch
    networks = Networks(*without)
    before = {key: tensor.clone() for key, tensor in networks.generators.code_generator.state_dict().items()}
    losses = train_step(
        networks,
        make_optimizers(networks, config),
        Batch(image, image * (1 - mask), mask, hidden=False),
        config,
        8000 - 8000 % config.r1_every,  # with the gradient penalty
        torch.Tensor.backward,
    )
    assert losses["code_d"].item() == pytest.approx(2 * math.log(2))  # logits 0: knows nothing
    after = networks.generators.code_generator.state_dict()
    assert any(not torch.equal(before[key], after[key]) for key in before)


def test_a_single_stage_fills_the_hole_only_and_needs_a_mask(batch):
    image, mask = batch
    torch.manual_seed(0)
    output = SingleStage(width=11, blocks=2, attention_every=1)(image, mask)  # 44 channels: not a multiple of 32
    assert torch.equal(output.composite * (1 - mask), image * (1 - mask))
    assert not torch.equal(output.composite, image)
    with pytest.raises(ValueError, match="needs a mask"):
        SingleStage(width=8, blocks=1)(image)


def test_drawn_holes_lie_in_their_bins_and_come_from_the_seed():
    holes = holes_by_ratio(None, 64, each=3, seed=1)
    for low, high in BINS:
        stored = holes[bin_name(low, high)]
        assert stored.shape == (3, 1, 64, 64) and set(stored.unique().tolist()) == {0, 1}
        assert all(low < share <= high for share in stored.mean(dim=(1, 2, 3)).tolist())
    again, other = holes_by_ratio(None, 64, each=3, seed=1), holes_by_ratio(None, 64, each=3, seed=2)
    assert all(torch.equal(holes[name], again[name]) for name in holes)
    assert not torch.equal(holes["10-20 %"], other["10-20 %"])


def test_holes_are_read_from_a_file_and_resized(tmp_path):
    masks = np.zeros((3, 16, 16), np.uint8)
    masks[0, :4, :8], masks[1, :, :8], masks[2, :8, :8] = 1, 1, 1  # 12.5 %, 50 %, 25 %
    path = tmp_path / "masks.npz"
    np.savez(path, masks=np.packbits(masks, axis=-1), bin=np.array([1, 4, 2]))
    holes = holes_by_ratio(path, 32)
    assert list(holes) == ["10-20 %", "20-30 %", "40-50 %"]
    assert holes["10-20 %"].shape == (1, 1, 32, 32) and holes["10-20 %"][0, 0, :8, :16].all()
    assert [holes[name].mean().item() for name in holes] == [0.125, 0.25, 0.5]


@pytest.mark.parametrize(
    "content", [b"", b"no masks", {"masks": np.zeros((2, 8, 8), np.uint8)}, {"other": np.zeros(1)}]
)
def test_a_bad_file_of_holes_is_refused_by_name(tmp_path, content):
    path = tmp_path / "masks.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, **{"bin": np.zeros(2, int)} | content)
    with pytest.raises(ValueError, match="irregular_masks=.*masks.npz"):
        holes_by_ratio(path, 32)


def test_costs_of_one_convolution_by_hand():
    class One(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, image, mask):
            return self.conv(image)

    costs = forward_costs({"one": One(), "ngan": NGAN(code_width=8, image_width=8, blocks=1)}, 16, rounds=3)
    assert costs["one"]["parameters"] == 4 * 3 * 9 + 4
    assert costs["one"]["gflops"] == pytest.approx(2 * 16 * 16 * 3 * 4 * 9 / 1e9)
    assert costs["ngan"]["ms"] > 0


def test_attention_counts_among_the_operations():
    # 32 channels on 2 x 2 cells of 8 x 8 pixels: weights of 3 C x C and C x C, then two products of cells by cells
    plain, attentive = (NGAN(code_width=8, image_width=8, blocks=1, attention_every=every) for every in (0, 1))
    costs = forward_costs({"plain": plain, "attentive": attentive}, 16, rounds=1)
    cells, channels = 4, 32
    more = 2 * cells * channels * (4 * channels + 2 * cells)
    assert 1e9 * (costs["attentive"]["gflops"] - costs["plain"]["gflops"]) == pytest.approx(more)


def test_features_see_faces_of_any_size_and_missing_weights_are_named(monkeypatch):
    network = ONet().eval()
    image = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert network.face_features(image).shape == (2, 256)
    assert network.texture_features(image).shape == (2, 128)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install --no-deps facenet-pytorch==2.6.0"):
        onet_features()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--seed", "3"], "--seed: is set for each variant"),
        (["--limit", "-1"], "--limit -1: must be at least 0"),
        (["--batch_size", "0"], "batch_size=0: must be at least 1"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(face_folder, tmp_path, capsys, words, complaint):
    assert compare(face_folder, tmp_path, ["ngan"], 2, *words) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_the_committed_report_is_made_of_the_committed_results(tmp_path):
    assert ablation_table.main(["--output", str(tmp_path / "RESULTS.md")]) == 0
    committed = Path(ablation_table.__file__).parent / "RESULTS.md"
    assert (tmp_path / "RESULTS.md").read_text() == committed.read_text()
