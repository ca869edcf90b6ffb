"""Means of the losses between two logs, without a wait for the device at every step."""

import math
import time
from collections.abc import Callable

import torch

from ngan.training import Losses


class Meter:
    """Sums losses on the device; their values are copied from it only when asked for.

    Args:
        reduce: takes a tensor and "mean", returns its mean over all processes, such as `Accelerator.reduce`.
    """

    def __init__(self, reduce: Callable[[torch.Tensor, str], torch.Tensor]) -> None:
        self._reduce = reduce
        self._sums: Losses = {}
        self._counts: dict[str, int] = {}
        self._since: tuple[float, int] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no update was added since the last restart."""
        return not self._sums

    def add(self, losses: Losses, step: int) -> None:
        """Add the detached scalars of update `step` (from 0)."""
        if self._since is None:
            self._since = time.monotonic(), step
        for name, value in losses.items():
            self._sums[name] = self._sums[name] + value.float() if name in self._sums else value.float()
            self._counts[name] = self._counts.get(name, 0) + 1

    def means(self, step: int) -> dict[str, float]:
        """Return the means since the last restart, over updates and processes, in a single copy from the device.

        Args:
            step: updates made, for the message.

        Raises:
            FloatingPointError: a loss was not finite, with its name and the step.
        """
        if not self._sums:
            return {}
        names = sorted(self._sums)
        stacked = torch.stack([self._sums[name] / self._counts[name] for name in names])
        means = dict(zip(names, self._reduce(stacked, "mean").tolist(), strict=True))
        for name, value in means.items():
            if not math.isfinite(value):
                raise FloatingPointError(f"{name}={value} by step {step}: lower the learning rate")
        return means

    def restart(self, step: int) -> float:
        """Forget the sums; return the updates a second since the last restart, which is due before the first too."""
        now = time.monotonic()
        since, since_step = self._since or (now, step)
        self._sums, self._counts, self._since = {}, {}, (now, step)
        return (step - since_step) / max(now - since, 1e-9)
