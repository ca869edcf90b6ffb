"""Updates by recordings: of every kind the same as without, whatever the batch and the learning rate."""

import copy
import dataclasses
from collections.abc import Callable
from functools import partial

import pytest
import torch
from conftest import TINY

from ngan.config import TrainConfig
from ngan.data import to_float
from ngan.draws import make_batch
from ngan.features import ImageFeatures
from ngan.graphs import GraphedUpdates, Recorder, set_learning_rate
from ngan.start import make_networks
from ngan.training import Losses, Networks, make_optimizers, train_step, update_kind

CONFIG = dataclasses.replace(
    TINY,
    generator_only_steps=4,
    discriminator_only_steps=3,
    r1_every=4,
    find_share=0.4,
    framing_jitter=1.0,
    lambda_projected=0.5,
    lambda_perceptual=1.0,
    lambda_structure=0.0,
    discriminator_optimizer="muon",
)
STRUCTURE = dataclasses.replace(CONFIG, lambda_structure=1.0)


class Tape:
    """Stands in for the GPU's recorder: a recording is the function itself, called when replayed."""

    def __init__(self) -> None:
        self.recorded = 0

    def prepare(self, function: Callable[[], Losses]) -> Losses:
        return function()

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        self.recorded += 1
        return function


def batches(config: TrainConfig, count: int, device: str = "cpu") -> list:
    generator = torch.Generator().manual_seed(0)
    sides = (config.batch_size, 3, 45, 45)
    pictures = [torch.randint(0, 256, sides, generator=generator, dtype=torch.uint8) for _ in range(count)]
    return [make_batch(to_float(p), config, generator).to(torch.device(device)) for p in pictures]


def run(networks: Networks, config: TrainConfig, count: int, recorder: object | None, device: str = "cpu") -> list:
    """Make updates with a learning rate that changes; return their losses."""
    optimizers = make_optimizers(networks, config)

    def step(batch, number):
        return train_step(networks, optimizers, batch, config, number, torch.Tensor.backward)

    make = step
    if recorder is not None:
        make = GraphedUpdates(step, partial(update_kind, config=config), optimizers, torch.device(device), recorder)
    losses = []
    for number, batch in enumerate(batches(config, count, device)):
        for optimizer in (optimizers.generators, optimizers.discriminators):
            set_learning_rate(optimizer, 1e-3 / (1 + number))
        losses.append({name: float(value) for name, value in make(batch, number).items()})
    return losses


def assert_same(
    start: Networks, one: Networks, other: Networks, first: list, second: list, rel: float, way: float
) -> None:
    """The same losses within `rel`, and weights that differ by at most the share `way` of how far they went."""
    for here, there in zip(first, second, strict=True):
        assert there == pytest.approx(here, rel=rel, abs=1e-5)
    for name in ("generators", "discriminators"):
        before, mine, its = (getattr(networks, name).state_dict().values() for networks in (start, one, other))
        went = sum(float((a - b).square().sum()) for a, b in zip(mine, before, strict=True))
        apart = sum(float((a - b).square().sum()) for a, b in zip(mine, its, strict=True))
        assert went > 0 and apart**0.5 <= way * went**0.5


@pytest.fixture
def networks() -> Networks:
    torch.manual_seed(0)
    return Networks(*make_networks(CONFIG), ImageFeatures())


def test_recorded_updates_are_those_of_the_step(networks):
    start, other, tape = copy.deepcopy(networks), copy.deepcopy(networks), Tape()
    here, there = run(networks, CONFIG, 40, recorder=None), run(other, CONFIG, 40, recorder=tape)
    assert_same(start, networks, other, here, there, rel=1e-4, way=1e-3)
    assert tape.recorded > 6  # with holes and with hidden damage, three zooms, some with the penalty


def test_recorded_updates_have_the_structure_loss_too(networks):
    """Fewer updates, and Adam: Muon multiplies in bfloat16, where one rounding may part two runs by 1e-3."""
    config = dataclasses.replace(STRUCTURE, optimizer="adam", discriminator_optimizer="adam")
    start, other = copy.deepcopy(networks), copy.deepcopy(networks)
    here, there = run(networks, config, 12, recorder=None), run(other, config, 12, recorder=Tape())
    assert_same(start, networks, other, here, there, rel=1e-4, way=1e-3)
    assert sum(losses.get("image_g/structure", 0) > 0.1 for losses in there) == 9  # the critics alone in three


def test_an_update_is_of_its_kind_in_all_that_its_number_changes():
    kinds = [update_kind(step, CONFIG) for step in range(24)]
    assert [k[:2] for k in kinds[:8]] == [(True, False)] * 4 + [(False, True)] * 3 + [(True, True)]
    assert [step for step, k in enumerate(kinds) if k[2]] == [4, 8, 12, 16, 20]
    assert {k[3] for k in kinds[4:]} == {0, 1, 2}
    plain = dataclasses.replace(CONFIG, lambda_projected=0.0, lambda_perceptual=0.0, r1_gamma=0.0)
    assert {update_kind(step, plain)[2:] for step in range(24)} == {(False, 0)}


def test_losses_of_an_update_stay_when_the_next_is_made(networks):
    config = dataclasses.replace(CONFIG, generator_only_steps=100, find_share=0.0)
    optimizers = make_optimizers(networks, config)

    def step(batch, number):
        return train_step(networks, optimizers, batch, config, number, torch.Tensor.backward)

    make = GraphedUpdates(step, partial(update_kind, config=config), optimizers, torch.device("cpu"), Tape())
    kept = [make(batch, number) for number, batch in enumerate(batches(config, 6))]
    assert len({float(losses["image_g"]) for losses in kept}) == 6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_recorded_updates_on_the_gpu_are_those_of_the_step(networks):
    networks = Networks(*(m.cuda() for m in (networks.generators, networks.discriminators, networks.features)))
    start, other = copy.deepcopy(networks), copy.deepcopy(networks)
    there = run(other, STRUCTURE, 40, Recorder(torch.device("cuda")), "cuda")
    here = run(networks, STRUCTURE, 40, None, "cuda")
    assert_same(start, networks, other, here, there, rel=3e-2, way=0.1)  # sums on a GPU come in any order
