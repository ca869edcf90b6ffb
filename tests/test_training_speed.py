"""The benchmark of the update: its figures are there, and the plain trainer it is held against does the same work."""

import copy
import dataclasses
import json

import pytest
import torch
from conftest import TINY

from benchmarks import timed_trainer, training_speed
from benchmarks.plain_trainer import PlainTrainer
from ngan.draws import make_batch
from ngan.start import make_networks
from ngan.training import Networks, make_optimizers, train_step


def test_a_quick_run_writes_every_figure(tmp_path, capsys):
    path = tmp_path / "speed.json"
    threads = torch.get_num_threads()
    try:
        training_speed.main(["--quick", "--device", "cpu", "--workers", "0", "--threads", "1", "--output", str(path)])
    finally:
        torch.set_num_threads(threads)
    report = json.loads(path.read_text())
    for name in ("images_per_second", "plain_images_per_second", "ratio_to_plain", "gflop_per_image"):
        assert report[name] > 0
    assert report["bf16_matrix_tflops"] > 0 and report["peak_memory_mib"] > 0 and report["threads"] == 1
    parts = report["milliseconds_by_part"]
    assert set(parts) >= {"loader", "discriminator_half", "generator_half", "r1", "ema", "logging"}
    assert parts["discriminator_half"] > 0 and parts["generator_half"] > 0
    assert report["loader_images_per_second"]["0"] > 0
    table = capsys.readouterr().out
    assert all(name in table for name in report)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--repeats", "0"], "--repeats 0: must be at least 1"),
        (["--output", "nowhere/x.json"], "no such folder"),
        (["--image_size", "17"], "image_size=17"),
    ],
)
def test_what_cannot_be_measured_is_refused(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        training_speed.parse(words)
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_operations_of_an_image_do_not_depend_on_the_batch():
    counts = []
    for n in (2, 4):
        config = dataclasses.replace(TINY, batch_size=n)
        batch = make_batch(torch.zeros(n, 3, 32, 32), config, torch.Generator().manual_seed(0))
        trainer = timed_trainer.Trainer(config, torch.device("cpu"), [batch])
        counts.append(timed_trainer.count_flops(trainer))
    assert counts[0] == pytest.approx(counts[1], rel=1e-6)
    # At the least the image generator's first convolution, forward and for its weights: 36 channels to 8 at 16x16.
    assert counts[0] > 2 * 2 * 9 * 36 * 8 * 16 * 16


@pytest.mark.parametrize("hidden", [False, True])
def test_the_plain_trainer_makes_the_same_updates(hidden):
    config = dataclasses.replace(TINY, optimizer="adam")  # which the plain one has, as the public ones do
    networks = Networks(*make_networks(config))
    plain = PlainTrainer(*copy.deepcopy((networks.generators, networks.discriminators)), config)
    optimizers = make_optimizers(networks, config)
    generator = torch.Generator().manual_seed(0)
    batch = make_batch(2 * torch.rand(2, 3, 32, 32, generator=generator) - 1, config, generator)
    batch.hidden = hidden
    for step in range(3):  # the first has the penalty
        ours = train_step(networks, optimizers, batch, config, step, torch.Tensor.backward)
        theirs = plain.step(batch, step)
        for name in ("code_d", "global_d", "local_d", "image_g"):
            assert theirs[name] == pytest.approx(ours[name].item(), rel=2e-3)
    for name, weight in plain.generators.state_dict().items():
        torch.testing.assert_close(weight, networks.generators.state_dict()[name], rtol=1e-2, atol=5e-4)
