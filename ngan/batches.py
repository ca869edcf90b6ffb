"""Batches of a training run: a pure function of their number, whether the run was interrupted or not.

Loader workers make it beside the training step: on a CPU all of it; for a GPU they only draw what is to be done to the
pictures, and the GPU does it: a quarter of the bytes, and ten times the images a second of each worker. All processes
together see, at each number, the batch that one process with their images together would see: a picture's place in the
run decides which one it is, how it is mirrored and where it is damaged.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from ngan.config import TrainConfig
from ngan.data import FaceSet, StreamedFaces, draw_mirrored, load_faces, mirror, stream_faces, to_float
from ngan.draws import Batch, Draws, draw, join_draws
from ngan.reframing import source_size
from ngan.stopping import deafen_tracker, outlive_the_end_signal

_BLOCK = 16  # pictures in a row whose damage is drawn together: one by one is much slower


@dataclass
class Draft:
    """A batch of which everything is drawn and nothing is computed.

    Attributes:
        images: uint8 (N, 3, S, S), as they were read.
        mirrored: (N,) bool, those to be mirrored.
        draws: what else is to be done to them.
    """

    images: torch.Tensor
    mirrored: torch.Tensor
    draws: Draws

    def pin_memory(self) -> "Draft":
        """Return it in page-locked memory; a data loader calls it."""
        return Draft(self.images.pin_memory(), self.mirrored.pin_memory(), self.draws.map(torch.Tensor.pin_memory))

    def to(self, device: torch.device) -> Batch:
        """Return the batch, computed on `device`, its images in channels_last."""
        return self.finish(device).to(device)

    def finish(self, device: torch.device) -> Batch:
        """Return the batch, computed on `device`."""
        images = mirror(self.images.to(device, non_blocking=True), self.mirrored)
        return self.draws.apply(to_float(images))


class TrainingBatches(torch.utils.data.Dataset):
    """All batches of one process, by number: a new permutation each epoch, each batch shared out evenly.

    Args:
        faces: the pictures.
        config: of the run; `max_train_steps` x `gradient_accumulation_steps` batches.
        rank: number of this process.
        world_size: processes in all.
        drafts: hand over what is drawn, for a device to compute.
    """

    def __init__(
        self, faces: FaceSet, config: TrainConfig, rank: int, world_size: int, *, drafts: bool = False
    ) -> None:
        self.faces, self.config, self.rank, self.world_size, self.drafts = faces, config, rank, world_size, drafts
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def __len__(self) -> int:
        return self.config.max_train_steps * self.config.gradient_accumulation_steps

    def __getitem__(self, number: int) -> Batch | Draft:
        first = _first_place(self.config, number, self.rank, self.world_size)
        picks = [self._pick(first + i) for i in range(self.config.batch_size)]
        images = torch.stack([self.faces[i] for i in picks])
        return _drafted(images, self.config, number, first, self.drafts)

    def _pick(self, position: int) -> int:
        epoch, place = divmod(position, len(self.faces))
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(_seed(self.config.seed, epoch))
            self._epoch, self._order = epoch, torch.randperm(len(self.faces), generator=generator)
        return int(self._order[place])


def make_batches(
    config: TrainConfig,
    rank: int,
    world_size: int,
    step: int,
    pin: bool,
    room: int | None = None,
    count: Callable[[int], None] | None = None,
) -> Iterator[Batch | Draft]:
    """Return the batches of a process from update `step` to the last.

    Args:
        config: of the run.
        rank: number of this process.
        world_size: processes in all.
        step: updates already made.
        pin: hand over drafts in page-locked memory, for a device to compute the batches.
        room: bytes of memory that the pictures may take with `config.in_memory`; None = any number.
        count: is told the number of pictures, which a stream does not know.

    Raises:
        FileNotFoundError: the data set is a path to nothing.
        ValueError: a data set that cannot be used.
    """
    size = source_size(config.image_size, config.framing_jitter)
    common = {"image_size": size, "column": config.image_column or None}
    common["config_name"] = config.dataset_config_name or None
    number = step * config.gradient_accumulation_steps
    if config.num_workers < 0:
        config = dataclasses.replace(config, num_workers=workers_for_a_gpu() if pin else 0)
    if config.num_workers:
        deafen_tracker()
    if config.streaming:
        faces = stream_faces(
            config.dataset, config.split, seed=config.seed, rank=rank, world_size=world_size, **common
        )
        return _streamed(faces, config, rank, world_size, number, drafts=pin)
    held = {"in_memory": config.in_memory, "room": room}
    faces = load_faces(config.dataset, config.split, progress=rank == 0, **held, **common)
    if count is not None:
        count(len(faces))
    return iter(make_loader(TrainingBatches(faces, config, rank, world_size, drafts=pin), number, pin))


def workers_for_a_gpu() -> int:
    """Return how many loader processes each GPU of this machine gets: what its cores allow, at most 8.

    On an H200 with 16 cores the training process alone drew 2,100 images a second, 4 workers 6,500, 14 workers 14,900;
    updates of all five networks take 3,300 (`benchmarks/training_speed_h200.json`).
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1)) - 1))


def make_loader(batches: TrainingBatches, number: int, pin: bool) -> torch.utils.data.DataLoader:
    """Return a loader of `batches` from batch `number` on, with the workers of their configuration; `pin` as above."""
    return torch.utils.data.DataLoader(
        batches,
        batch_size=None,  # a batch is made whole
        sampler=range(number, len(batches)),
        num_workers=max(0, batches.config.num_workers),
        worker_init_fn=outlive_the_end_signal,
        pin_memory=pin,
    )


def _streamed(
    faces: StreamedFaces, config: TrainConfig, rank: int, world_size: int, number: int, drafts: bool
) -> Iterator[Batch | Draft]:
    loader = torch.utils.data.DataLoader(
        faces,
        batch_size=config.batch_size,
        num_workers=config.num_workers,
        worker_init_fn=outlive_the_end_signal,
        drop_last=True,
    )
    epoch = 0
    while True:
        faces.set_epoch(epoch)
        before = number
        for images in loader:
            yield _drafted(images, config, number, _first_place(config, number, rank, world_size), drafts)
            number += 1
        if number == before:
            raise ValueError(
                f"dataset={config.dataset!r}: holds fewer pictures than one batch for each of its readers "
                f"({world_size} processes x {max(1, config.num_workers)} workers); lower batch_size or num_workers"
            )
        epoch += 1


def _first_place(config: TrainConfig, number: int, rank: int, world_size: int) -> int:
    """Return the place in the run, counted over all processes, of the first picture of a process's batch `number`."""
    return (number * world_size + rank) * config.batch_size


def _drafted(images: torch.Tensor, config: TrainConfig, number: int, first: int, drafts: bool) -> Batch | Draft:
    """Draw what is done to uint8 pictures (N, 3, S, S), those of batch `number` from the place `first` on, and do it
    unless `drafts`."""
    end = first + len(images)
    generator = torch.Generator().manual_seed(_seed(config.seed, number))
    hidden = bool(torch.rand((), generator=generator) < config.find_share)
    decided = dataclasses.replace(config, find_share=float(hidden))  # one answer for all blocks and processes
    mirrored, draws = [], []
    for start in range(first - first % _BLOCK, end, _BLOCK):
        mine = max(start, first) - start, min(start + _BLOCK, end) - start  # the others: another batch's or process's
        generator = torch.Generator().manual_seed(_seed(config.seed, start // _BLOCK, 0))
        mirrored.append(draw_mirrored(_BLOCK, generator)[slice(*mine)])
        draws.append(draw(_BLOCK, config.image_size, decided, generator).of(*mine))
    joined = join_draws(draws)
    if drafts:
        return Draft(images, torch.cat(mirrored), joined.packed())
    return Draft(images, torch.cat(mirrored), joined).finish(images.device)


def _seed(*numbers: int) -> int:
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 1) % 2**63
    return seed
