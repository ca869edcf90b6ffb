"""The training update of the five networks, to be timed: whole, by part and by kernel, and its operations counted."""

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ngan.average import EMA
from ngan.config import TrainConfig
from ngan.draws import Batch
from ngan.graphs import GraphedUpdates
from ngan.meter import Meter
from ngan.start import make_features, make_networks
from ngan.training import Losses, Networks, compile_networks, make_optimizers, train_step, update_kind


class Stopwatch:
    """Seconds since the last lap, all work of the device done."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.lap()

    def lap(self) -> float:
        """Return the seconds since the last lap and start the next."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        seconds, self._since = now - getattr(self, "_since", now), now
        return seconds


class Trainer:
    """Ours, as `train_accelerate.py` runs it on one process: update, average, losses summed on the device."""

    def __init__(self, config: TrainConfig, device: torch.device, batches: list[Batch]) -> None:
        self.config, self.device, self.batches = config, device, batches
        self.bare = Networks(*(module.to(device) for module in make_networks(config)), make_features(config, device))
        self.networks = compile_networks(self.bare) if config.compile else self.bare
        self.optimizers = make_optimizers(self.bare, config)
        self.average = EMA(self.bare.generators, 1000 * config.ema_half_life)
        self.meter = Meter(lambda values, _: values)
        self._make = self._step
        if device.type == "cuda" and config.cuda_graphs:
            self._make = GraphedUpdates(self._step, partial(update_kind, config=config), self.optimizers, device)

    def update(self, step: int) -> None:
        """Make the update `step`: with the gradient penalty if it is a multiple of `r1_every`."""
        losses = self._make(self._batch(step), step)
        self.meter.add(losses, step)
        self.average.update(self.bare.generators, self.config.batch_size, 1_000_000)

    def forward_backward(self, step: int) -> Losses:
        """Make the update without average and log, and without a recording."""
        return self._step(self._batch(step), step)

    def _batch(self, step: int) -> Batch:
        return self.batches[step % len(self.batches)]

    def _step(self, batch: Batch, step: int) -> Losses:
        return train_step(self.networks, self.optimizers, batch, self.config, step, torch.Tensor.backward)


class _Untracked(contextlib.nullcontext):
    """Stands in for the counter's tracker of modules, whose hooks refuse the gradient penalty's gradient by images."""

    parents = frozenset({"Global"})


def count_flops(trainer: Trainer) -> float:
    """Return the operations of an image in one update, forward and backward, the penalty's at its share of updates.

    Convolutions and matrix products are counted, a multiply-add as two; the attention as its two products. Those that
    Muon makes of an update, whatever its batch, are left out.
    """
    every, own = trainer.config.r1_every, trainer.optimizers
    trainer.optimizers = make_optimizers(trainer.bare, dataclasses.replace(trainer.config, optimizer="adam"))
    counts = []
    for step in (0, 1):
        counter = FlopCounterMode(display=False)
        counter.mod_tracker = _Untracked()
        with sdpa_kernel(SDPBackend.MATH), counter:
            trainer.forward_backward(step)
        counts.append(counter.get_total_flops())
    trainer.optimizers = own
    with_penalty, ordinary = counts
    return (with_penalty + (every - 1) * ordinary) / every / trainer.config.batch_size


def time_updates(update: Callable[[int], object], every: int, steps: int, device: torch.device) -> float:
    """Return the seconds of a mean update: `steps` ordinary ones and one with the penalty, at its share of updates."""
    watch = Stopwatch(device)
    for i in range(steps):
        update(1 + i % (every - 1) if every > 1 else 0)
    ordinary = watch.lap() / steps
    update(0)
    return ((every - 1) * ordinary + watch.lap()) / every


def time_parts(trainer: Trainer, repeats: int, loader: torch.utils.data.DataLoader) -> dict[str, float]:
    """Return the median milliseconds of each part of an update, the device idle at its ends.

    Hooks on the generators' forward pass and the critics' optimizer part the update. `r1` is what the penalty adds to
    the discriminator half, at its share of updates; `logging` has its share of the copy from the device.
    """
    config, watch = trainer.config, Stopwatch(trainer.device)
    times: dict[str, list[float]] = {}
    penalised: list[float] = []

    def lap(part: str) -> None:
        (penalised if part == "discriminator_half" and step == 0 else times.setdefault(part, [])).append(watch.lap())

    hooks = [
        trainer.networks.generators.register_forward_hook(lambda *_: lap("generators_forward")),
        trainer.optimizers.discriminators.register_step_post_hook(lambda *_: lap("discriminator_half")),
    ]
    batches = iter(loader)
    for i in range(2 * repeats):
        step = i % 2  # every second update has the penalty
        watch.lap()
        trainer.batches[step % len(trainer.batches)] = next(batches).to(trainer.device)
        lap("loader")
        losses = trainer.forward_backward(step)
        lap("generator_half")
        trainer.average.update(trainer.bare.generators, config.batch_size, 1_000_000)
        lap("ema")
        trainer.meter.add(losses, step)
        lap("logging")
    trainer.meter.means(0)
    read = watch.lap() / config.log_every
    for hook in hooks:
        hook.remove()
    medians = {part: statistics.median(values) for part, values in times.items()}
    medians["logging"] += read
    medians["r1"] = max(0.0, statistics.median(penalised) - medians["discriminator_half"]) / config.r1_every
    order = ("loader", "generators_forward", "discriminator_half", "generator_half", "r1", "ema", "logging")
    return {part: round(1000 * medians[part], 3) for part in order}


def profile_kernels(trainer: Trainer, most: int = 12) -> dict[str, float]:
    """Return the milliseconds of an ordinary update's kernels, or on a CPU operations, of the longest `most` by name,
    of all others and of all together."""
    cuda = trainer.device.type == "cuda"
    activity = torch.profiler.ProfilerActivity.CUDA if cuda else torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[activity]) as profile:
        trainer.forward_backward(1)
        if cuda:
            torch.cuda.synchronize(trainer.device)
    times: dict[str, float] = {}
    for event in profile.key_averages():
        own = event.self_device_time_total if cuda else event.self_cpu_time_total
        times[event.key[:100]] = times.get(event.key[:100], 0.0) + own / 1000
    longest = sorted(times.items(), key=lambda item: -item[1])
    named = {name: round(value, 3) for name, value in longest[:most]}
    others = {"others": sum(value for _, value in longest[most:]), "all": sum(times.values())}
    return named | {name: round(value, 3) for name, value in others.items()}
