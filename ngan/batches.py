"""Endless batches of a training set: the same pictures at the same update, whether the run was interrupted or not."""

from collections.abc import Iterator

import torch

from ngan.config import TrainConfig
from ngan.data import load_faces, stream_faces


class FaceOrder(torch.utils.data.Sampler[int]):
    """Endless order of a process's pictures: a new permutation each epoch, a strided share, from any position.

    Args:
        length: pictures in the set.
        seed: of the permutations.
        rank: number of this process.
        world_size: processes in all.
        start: pictures of this process to pass over, for a resumed run.
    """

    def __init__(self, length: int, seed: int, rank: int, world_size: int, start: int) -> None:
        self.length, self.seed, self.rank, self.world_size, self.start = length, seed, rank, world_size, start

    def __iter__(self) -> Iterator[int]:
        position = self.start * self.world_size + self.rank
        epoch, order = -1, torch.empty(0)
        while True:
            if position // self.length != epoch:
                epoch = position // self.length
                generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
                order = torch.randperm(self.length, generator=generator)
            yield int(order[position % self.length])
            position += self.world_size


def make_batches(config: TrainConfig, rank: int, world_size: int, step: int, pin: bool) -> Iterator[torch.Tensor]:
    """Return an endless iterator of a process's batches, uint8 (N, 3, S, S), as they come from update `step` on.

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
    if config.streaming:
        faces = stream_faces(
            config.dataset, config.split, seed=config.seed, rank=rank, world_size=world_size, **common
        )
        order = None
    else:
        faces = load_faces(config.dataset, config.split, in_memory=config.in_memory, progress=rank == 0, **common)
        drawn = step * config.gradient_accumulation_steps * config.batch_size
        order = FaceOrder(len(faces), config.seed, rank, world_size, drawn)
    loader = torch.utils.data.DataLoader(
        faces,
        batch_size=config.batch_size,
        sampler=order,
        num_workers=0 if config.in_memory and not config.streaming else config.num_workers,
        drop_last=True,
        pin_memory=pin,
    )
    return _endless(loader, faces)


def _endless(loader: torch.utils.data.DataLoader, faces: torch.utils.data.Dataset) -> Iterator[torch.Tensor]:
    epoch = 0
    while True:
        if hasattr(faces, "set_epoch"):
            faces.set_epoch(epoch)
        empty = True
        for batch in loader:
            empty = False
            yield batch
        if empty:
            raise ValueError("dataset: holds fewer pictures than one batch; lower --batch_size")
        epoch += 1
