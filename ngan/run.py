"""The objects of one training run, and what its processes agree on."""

import datetime
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, set_seed
from torch import nn

from ngan.average import EMA
from ngan.card import public_fields
from ngan.checkpoint import Counters, is_resumed
from ngan.config import TrainConfig
from ngan.data import FaceSet
from ngan.graphs import set_learning_rate
from ngan.plans import check_written
from ngan.samples import allow_tf32
from ngan.start import make_features, without_start
from ngan.stopping import Stop
from ngan.training import Networks, Optimizers, compile_networks, make_optimizers

NetworkMaker = Callable[[TrainConfig], tuple[nn.Module, nn.Module]]
# The others wait while the main process evaluates, exports and pushes: minutes or hours, not a failure.
_PATIENCE = datetime.timedelta(days=1)
_ASK_EVERY = 5  # updates after which several processes ask each other whether to end: asking makes them wait


class Run:
    """The objects of one run, made once and shared by the stages of `main`."""

    def __init__(self, config: TrainConfig, networks: NetworkMaker, stop: Stop) -> None:
        self.config = config
        self.stop = stop
        self.folder = Path(config.output_dir)
        self.accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(),  # else processes without a GPU would not find together
            mixed_precision="no",  # the step itself casts: Accelerate's own cast could not be lifted for R1
            gradient_accumulation_steps=config.gradient_accumulation_steps,
            log_with=None if config.report_to == "none" else config.report_to,
            project_dir=self.folder,
            kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
        )
        world = int(os.environ.get("WORLD_SIZE", 1))
        if self.accelerator.num_processes != world:
            raise ValueError(
                f"the launcher started {world} processes, of which each found itself alone: they would train "
                f"{world} models; start them as configs/ does"
            )
        steps = self.accelerator.gradient_accumulation_steps
        if steps != config.gradient_accumulation_steps:
            raise ValueError(
                f"gradient_accumulation_steps={config.gradient_accumulation_steps}: the environment says otherwise, "
                f"ACCELERATE_GRADIENT_ACCUMULATION_STEPS={steps}; unset it"
            )
        set_seed(config.seed)
        forbid_tf32(config)
        resumed = is_resumed(self.folder, config.resume_from_checkpoint)
        self.generators, self.discriminators = networks(without_start(config) if resumed else config)
        self.generators.to(self.accelerator.device)
        self.discriminators.to(self.accelerator.device)
        self.average = EMA(self.generators, 1000 * config.ema_half_life)
        features = make_features(config, self.accelerator.device)
        bare = Networks(self.generators, self.discriminators, features)
        optimizers = make_optimizers(bare, config)
        prepared = self.accelerator.prepare(
            self.generators, self.discriminators, optimizers.generators, optimizers.discriminators
        )
        self.bare, self.networks, self.optimizers = bare, Networks(*prepared[:2], features), Optimizers(*prepared[2:])
        if config.compile:
            self.networks = compile_networks(self.networks)
        self.counters = Counters()
        self.validation: FaceSet | torch.Tensor | None = None
        self.validation_split = ""
        self.minutes = 0.0  # of training by the main process's clock, as last told to all
        self._group = group_of_cpus(self.accelerator)

    @property
    def images_per_update(self) -> int:
        """Images of all processes and accumulated batches in one update."""
        return self.config.batch_size * self.config.gradient_accumulation_steps * self.accelerator.num_processes

    @property
    def settings(self) -> dict[str, object]:
        """What a checkpoint keeps of the run, to be compared with the one that goes on from it."""
        return {**public_fields(self.config), "num_processes": self.accelerator.num_processes}

    @property
    def is_done(self) -> bool:
        """Whether all updates are made, or all minutes of training over."""
        counters, limit = self.counters, self.config.max_train_minutes
        return counters.step >= self.config.max_train_steps or 0 < limit <= counters.minutes

    def agree(self, minutes: float) -> tuple[bool, float]:
        """Tell whether time is up on the main process or a signal came to any, and the minutes of the main one.

        All processes must leave the loop after the same update, and have the same learning rate until then.
        """
        limit, main = self.config.max_train_minutes, self.accelerator.is_main_process
        end = bool(self.stop.number) or (main and 0 < limit <= minutes)
        if self.accelerator.num_processes == 1:
            return end, minutes
        if self.counters.step % _ASK_EVERY:
            return False, self.minutes
        end, number, self.minutes = self._sum([float(end), float(self.stop.number), minutes if main else 0.0])
        if number and not self.stop.number:
            self.stop.number = signal.SIGTERM
        return bool(end), self.minutes

    def _sum(self, numbers: list[float]) -> list[float]:
        """Add up over all processes, on their CPUs: no device is waited for."""
        told = torch.tensor(numbers, dtype=torch.float64)
        torch.distributed.all_reduce(told, group=self._group)
        return told.tolist()

    def count_pictures(self, number: int) -> None:
        """Note how many pictures the training set has; warn if they are not as many as before a resume."""
        before, self.counters.pictures = self.counters.pictures, number
        if before not in (0, number) and self.accelerator.is_main_process:
            logging.warning(
                "%s has %d training pictures, and had %d before: its batches are others from here on",
                self.config.dataset,
                number,
                before,
            )

    def set_learning_rates(self, factor: float) -> None:
        """Set both learning rates to a share of the configured ones."""
        for optimizer, rate in (
            (self.optimizers.generators, self.config.learning_rate),
            (self.optimizers.discriminators, self.config.discriminator_learning_rate),
        ):
            set_learning_rate(optimizer, rate * factor)


def check_output(config: TrainConfig) -> None:
    """Refuse to write among the pictures to train on: a later launch would take the run's own grids for faces.

    Raises:
        ValueError: the run's folder, or one of its folders of pictures, is or lies within the data set.
    """
    folder = Path(config.output_dir)
    try:
        check_written([folder, folder / "samples", folder / "model"], [], [config.dataset])
    except ValueError as error:
        raise ValueError(f"output_dir={config.output_dir!r}: {error}") from error


def forbid_tf32(config: TrainConfig) -> None:
    """Keep matrix products of float32 in float32, whatever the environment says, and without bf16 convolutions too.

    `ngan.losses.structure_loss` takes variances as differences of such products: rounded, they are noise. PyTorch's
    default lets only convolutions have TF32; images of NVIDIA's, and Accelerate with a dynamo backend, products too.
    """
    torch.set_float32_matmul_precision("highest")  # on a CPU too, where "medium" is bfloat16
    allow_tf32(torch.backends.cudnn.allow_tf32 and config.mixed_precision != "no", False)


def group_of_cpus(accelerator: Accelerator) -> "torch.distributed.ProcessGroup | None":
    """Return a group by which processes speak past their devices; None where the default one does."""
    if accelerator.num_processes == 1 or accelerator.device.type == "cpu":
        return None
    return torch.distributed.new_group(backend="gloo", timeout=_PATIENCE)  # a new group does not inherit it
