"""Neither the update nor what makes its batch waits for the device: no value is read from it, and nothing is copied to
or from it but the batch, without a wait."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from conftest import TINY
from test_graphs import Tape
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ngan.average import EMA
from ngan.batches import TrainingBatches
from ngan.draws import Batch, make_batch
from ngan.features import ImageFeatures
from ngan.graphs import GraphedUpdates, set_learning_rate
from ngan.meter import Meter
from ngan.reframing import source_size
from ngan.start import make_networks
from ngan.training import Losses, Networks, Optimizers, make_optimizers, train_step

# all losses that there are
PROJECTED = dataclasses.replace(TINY, lambda_projected=0.5, lambda_perceptual=1.0, lambda_structure=1.0)
# Operations that must know values before they can go on.
READS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2")
# Calls that a mode below Python does not see: the first ones copy from a device, the last ones to it.
CALLS = (torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.cpu, torch.tensor, torch.as_tensor)


class _Operations(TorchDispatchMode):
    """Adds operations that read values, and those with tensors of two devices.

    If there is a list `sent`, values may be read on the CPU, and copies from it that do not wait go there.
    """

    def __init__(self, found: list[str], sent: list[torch.Tensor] | None) -> None:
        super().__init__()
        self.found, self.sent = found, sent

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        devices = {x.device.type for x in [*given, *tree_leaves(result)] if isinstance(x, torch.Tensor)}
        name = function.overloadpacket.__name__
        counts = name.startswith("index") and any(x.dtype == torch.bool for x in given)  # how many are picked?
        if self.sent is not None and devices == {"cpu"}:
            return result  # nothing of the device
        if self.sent is not None and name == "_to_copy" and kwargs.get("non_blocking") and given[0].is_cpu:
            self.sent.append(given[0])
        elif name in READS or counts or len(devices) > 1:
            self.found.append(str(function))
        return result


class _Calls(TorchFunctionMode):
    """Adds calls of `CALLS`."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in CALLS:
            self.found.append(function.__name__)
        return function(*args, **(kwargs or {}))


@contextlib.contextmanager
def host_traffic(sent: list[torch.Tensor] | None = None) -> Iterator[list[str]]:
    """Collect the names of what makes the host wait for the device in a with-block; `sent` is as above."""
    found: list[str] = []
    with _Operations(found, sent), _Calls(found):
        yield found


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def keep(values: torch.Tensor, _: str) -> torch.Tensor:
    return values


def updates(networks: Networks, optimizers: Optimizers, batch: Batch, count: int) -> Meter:
    """Make updates as the training script does between two logs: with the penalty at the first, average and meter."""
    average, meter = EMA(networks.generators, 10), Meter(keep)
    for step in range(count):
        meter.add(train_step(networks, optimizers, batch, PROJECTED, step, torch.Tensor.backward), step)
        average.update(networks.generators, TINY.batch_size, 100)
    return meter


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x[0].item(),
        lambda x: float(x[0]),
        lambda x: bool(x.any()),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x.numpy(),
        lambda x: x[x > 0],
        lambda x: torch.equal(x, x),
        lambda x: x.to("meta"),
        lambda x: torch.tensor([1.0], device="meta"),
    ],
)
def test_what_makes_the_host_wait_is_seen(wait):
    with host_traffic() as found:
        wait(torch.ones(2))
    assert found


@pytest.mark.parametrize("hidden", [False, True])
def test_no_update_reads_a_value_but_a_log_does(hidden):
    networks = Networks(*make_networks(PROJECTED), ImageFeatures())
    batch = make_batch(2 * torch.rand(2, 3, 32, 32, generator=seeded()) - 1, TINY, seeded())
    batch.hidden = hidden
    optimizers = make_optimizers(networks, PROJECTED)
    with host_traffic() as found:
        meter = updates(networks, optimizers, batch, 3)
    assert found == []
    with host_traffic() as found:
        meter.means(3)
    assert found == ["tolist"]


@pytest.mark.parametrize("hidden", [False, True])
def test_no_update_copies_between_devices(hidden, monkeypatch):
    """On the device without memory: it has no values to read, and what comes from the host is of another device."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # does not know that device
    networks = Networks(*(module.to("meta") for module in make_networks(PROJECTED)), ImageFeatures().to("meta"))
    both = networks.generators, networks.discriminators
    optimizers = Optimizers(*(torch.optim.SGD(m.parameters(), 0.1) for m in both))  # nor fused Adam
    image, mask = torch.empty(2, 3, 32, 32, device="meta"), torch.empty(2, 1, 32, 32, device="meta")
    with host_traffic() as found:
        updates(networks, optimizers, Batch(image, image, mask, hidden), 3)
    assert found == []


def test_no_recorded_update_reads_a_value():
    networks = Networks(*make_networks(PROJECTED), ImageFeatures())
    optimizers = make_optimizers(networks, PROJECTED)
    batch = make_batch(2 * torch.rand(2, 3, 32, 32, generator=seeded()) - 1, TINY, seeded())

    def step(batch: Batch, number: int) -> Losses:
        return train_step(networks, optimizers, batch, PROJECTED, number, torch.Tensor.backward)

    make = GraphedUpdates(step, lambda _: "all alike", optimizers, torch.device("cpu"), Tape())
    meter = Meter(keep)
    with host_traffic() as found:
        for number in range(1, 6):  # two as usual, one recorded, two replayed
            set_learning_rate(optimizers.generators, 1e-3 / number)
            meter.add(make(batch, number), number)
    assert found == []


@pytest.mark.parametrize("find_share", [0.0, 1.0])
def test_a_device_computes_a_batch_without_a_wait(find_share: float):
    config = dataclasses.replace(
        TINY, batch_size=16, framing_jitter=1.0, look_share=0.5, soft_share=0.8, line_share=0.5, find_share=find_share
    )
    size = source_size(config.image_size, config.framing_jitter)
    faces = [torch.zeros(3, size, size, dtype=torch.uint8)] * 16
    drafts, sent = TrainingBatches(faces, config, 0, 1, drafts=True), []
    for number in range(4):
        draft = drafts[number]
        with host_traffic(sent) as found:
            batch = draft.to(torch.device("meta"))
        assert found == [] and batch.image.is_meta and batch.hidden == bool(find_share)
    finished = 4 * sum(x.numel() * x.element_size() for x in (batch.image, batch.corrupted, batch.mask))
    assert 0 < sum(x.numel() * x.element_size() for x in sent) < finished / 2
