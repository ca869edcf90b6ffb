"""Order of the pictures: every one once an epoch, each process its own, the same after a restart."""

import itertools

import pytest
import torch

from ngan.batches import FaceOrder, make_batches
from ngan.config import TrainConfig


def first(order: FaceOrder, n: int) -> list[int]:
    return list(itertools.islice(iter(order), n))


def test_every_picture_comes_once_an_epoch_in_an_order_of_its_own():
    order = first(FaceOrder(10, seed=0, rank=0, world_size=1, start=0), 30)
    epochs = [order[i : i + 10] for i in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert order != first(FaceOrder(10, seed=1, rank=0, world_size=1, start=0), 30)


def test_processes_share_an_epoch_between_them():
    ranks = [first(FaceOrder(12, seed=0, rank=r, world_size=3, start=0), 4) for r in range(3)]
    assert sorted(itertools.chain(*ranks)) == list(range(12))
    together = first(FaceOrder(12, seed=0, rank=0, world_size=1, start=0), 12)
    assert [ranks[i % 3][i // 3] for i in range(12)] == together


def test_a_later_start_goes_on_where_it_would_have_been():
    whole = first(FaceOrder(7, seed=0, rank=1, world_size=2, start=0), 20)
    assert first(FaceOrder(7, seed=0, rank=1, world_size=2, start=9), 11) == whole[9:]


@pytest.mark.parametrize("in_memory", [True, False])
def test_batches_of_a_later_update_are_those_of_an_uninterrupted_run(face_folder, in_memory):
    config = TrainConfig(dataset=str(face_folder), image_size=16, batch_size=5, in_memory=in_memory)
    whole = list(itertools.islice(make_batches(config, 0, 1, 0, pin=False), 4))
    later = list(itertools.islice(make_batches(config, 0, 1, 2, pin=False), 2))
    assert whole[0].shape == (5, 3, 16, 16) and whole[0].dtype == torch.uint8
    assert all(torch.equal(a, b) for a, b in zip(whole[2:], later, strict=True))
    assert not torch.equal(whole[0], whole[1])


def test_a_stream_smaller_than_a_batch_is_refused(face_folder):
    config = TrainConfig(dataset=str(face_folder), image_size=16, batch_size=50, streaming=True)
    with pytest.raises(ValueError, match="fewer pictures than one batch"):
        next(make_batches(config, 0, 1, 0, pin=False))
