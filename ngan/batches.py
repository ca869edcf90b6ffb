"""Batches of a training run: a pure function of their number, whether the run was interrupted or not.

Each holds its pictures, holes and damage, so loader workers make all of it beside the training step.
"""

from collections.abc import Iterator

import torch

from ngan.config import TrainConfig
from ngan.data import FaceSet, StreamedFaces, flip_horizontally, load_faces, stream_faces, to_float
from ngan.training import Batch, make_batch


class TrainingBatches(torch.utils.data.Dataset):
    """All batches of one process, by number: a new permutation each epoch, of which each process has a strided share.

    Args:
        faces: the pictures.
        config: of the run; `max_train_steps` x `gradient_accumulation_steps` batches.
        rank: number of this process.
        world_size: processes in all.
    """

    def __init__(self, faces: FaceSet, config: TrainConfig, rank: int, world_size: int) -> None:
        self.faces, self.config, self.rank, self.world_size = faces, config, rank, world_size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def __len__(self) -> int:
        return self.config.max_train_steps * self.config.gradient_accumulation_steps

    def __getitem__(self, number: int) -> Batch:
        first = number * self.config.batch_size
        picks = [self._pick((first + i) * self.world_size + self.rank) for i in range(self.config.batch_size)]
        return _damaged(torch.stack([self.faces[i] for i in picks]), self.config, number, self.rank)

    def _pick(self, position: int) -> int:
        epoch, place = divmod(position, len(self.faces))
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(_seed(self.config.seed, epoch))
            self._epoch, self._order = epoch, torch.randperm(len(self.faces), generator=generator)
        return int(self._order[place])


def make_batches(config: TrainConfig, rank: int, world_size: int, step: int, pin: bool) -> Iterator[Batch]:
    """Return the batches of a process from update `step` to the last.

    Args:
        config: of the run.
        rank: number of this process.
        world_size: processes in all.
        step: updates already made.
        pin: put batches into page-locked memory, for a quick way to the device.

    Raises:
        FileNotFoundError: the data set is a path to nothing.
        ValueError: a data set that cannot be used.
    """
    common = {"image_size": config.image_size, "column": config.image_column or None}
    number = step * config.gradient_accumulation_steps
    if config.streaming:
        faces = stream_faces(
            config.dataset, config.split, seed=config.seed, rank=rank, world_size=world_size, **common
        )
        return _streamed(faces, config, rank, number)
    faces = load_faces(config.dataset, config.split, in_memory=config.in_memory, progress=rank == 0, **common)
    batches = TrainingBatches(faces, config, rank, world_size)
    loader = torch.utils.data.DataLoader(
        batches,
        batch_size=None,  # a batch is made whole
        sampler=range(number, len(batches)),
        num_workers=config.num_workers,
        pin_memory=pin,
    )
    return iter(loader)


def _streamed(faces: StreamedFaces, config: TrainConfig, rank: int, number: int) -> Iterator[Batch]:
    loader = torch.utils.data.DataLoader(
        faces, batch_size=config.batch_size, num_workers=config.num_workers, drop_last=True
    )
    epoch = 0
    while True:
        faces.set_epoch(epoch)
        before = number
        for images in loader:
            yield _damaged(images, config, number, rank)
            number += 1
        if number == before:
            raise ValueError(f"dataset={config.dataset!r}: holds fewer pictures than one batch; lower batch_size")
        epoch += 1


def _damaged(images: torch.Tensor, config: TrainConfig, number: int, rank: int) -> Batch:
    generator = torch.Generator().manual_seed(_seed(config.seed, number, rank))
    return make_batch(flip_horizontally(to_float(images), generator), config, generator)


def _seed(*numbers: int) -> int:
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 1) % 2**63
    return seed
