"""Order of the pictures: every one once an epoch, each process its own, the same after a restart."""

import dataclasses
import itertools

import pytest
import torch

from ngan.batches import TrainingBatches, make_batches, workers_for_a_gpu
from ngan.config import TrainConfig
from ngan.data import FaceSet, memory_of_each_process
from ngan.reframing import source_size


def numbered(n: int) -> list[torch.Tensor]:
    """Faces that can be told apart: grey of value i."""
    return [torch.full((3, 16, 16), i, dtype=torch.uint8) for i in range(n)]


def order(length: int, batches: int, **arguments: int) -> list[int]:
    """The numbers of the faces that come first, in batches of 2, with `seed`, `rank`, `world_size` as given."""
    given = {"seed": 0, "rank": 0, "world_size": 1, **arguments}
    config = TrainConfig(image_size=16, mixed_precision="no", batch_size=2, max_train_steps=100, seed=given["seed"])
    made = TrainingBatches(numbered(length), config, given["rank"], given["world_size"])
    return [round((float(image.mean()) + 1) * 127.5) for i in range(batches) for image in made[i].image]


def test_every_picture_comes_once_an_epoch_in_an_order_of_its_own():
    whole = order(10, 15)
    epochs = [whole[i : i + 10] for i in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert whole != order(10, 15, seed=1)


def test_processes_share_an_epoch_between_them():
    ranks = [order(12, 2, rank=r, world_size=3) for r in range(3)]
    assert sorted(itertools.chain(*ranks)) == list(range(12))
    together = order(12, 6)
    assert [ranks[i // 2 % 3][i // 6 * 2 + i % 2] for i in range(12)] == together


@pytest.mark.parametrize("find_share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("batch_size", "world_size"), [(8, 3), (5, 2), (16, 2)])
def test_processes_see_together_what_one_with_their_images_sees(batch_size, world_size, find_share):
    generator = torch.Generator().manual_seed(0)
    faces = list(torch.randint(0, 256, (37, 3, 16, 16), generator=generator, dtype=torch.uint8))
    shared = TrainConfig(image_size=16, mixed_precision="no", batch_size=batch_size, find_share=find_share)
    alone = TrainingBatches(faces, dataclasses.replace(shared, batch_size=batch_size * world_size), 0, 1)
    parts = [TrainingBatches(faces, shared, rank, world_size) for rank in range(world_size)]
    hidden = []
    for number in (0, 1, 2, 5, 3):
        whole, pieces = alone[number], [part[number] for part in parts]
        for name in ("image", "corrupted", "mask"):
            assert torch.equal(getattr(whole, name), torch.cat([getattr(piece, name) for piece in pieces]))
        assert {piece.hidden for piece in pieces} == {whole.hidden}
        hidden.append(whole.hidden)
    assert find_share == 0.5 or set(hidden) == {bool(find_share)}


def test_processes_see_different_holes():
    config = TrainConfig(image_size=32, batch_size=4)
    faces = numbered(8)
    faces = [torch.full((3, 32, 32), int(face[0, 0, 0]), dtype=torch.uint8) for face in faces]
    here, there = (TrainingBatches(faces, config, rank, 2)[0] for rank in (0, 1))
    assert not torch.equal(here.mask, there.mask)


@pytest.mark.parametrize(("in_memory", "workers"), [(True, 0), (False, 0), (True, 2)])
def test_batches_are_the_same_after_a_restart_and_from_workers(face_folder, in_memory, workers):
    config = TrainConfig(
        dataset=str(face_folder), image_size=16, mixed_precision="no", batch_size=5, max_train_steps=4
    )
    whole = list(make_batches(config, 0, 1, 0, pin=False))
    again = TrainConfig(
        **{**vars(config), "in_memory": in_memory, "num_workers": workers, "gradient_accumulation_steps": 1}
    )
    later = list(make_batches(again, 0, 1, 2, pin=False))
    assert len(whole) == 4 and len(later) == 2
    for a, b in zip(whole[2:], later, strict=True):
        assert torch.equal(a.image, b.image) and torch.equal(a.mask, b.mask) and torch.equal(a.corrupted, b.corrupted)
        assert a.hidden == b.hidden
    assert whole[0].image.shape == (5, 3, 16, 16)
    assert not torch.equal(whole[0].image, whole[1].image)


def test_pictures_that_do_not_fit_into_memory_are_refused_before_any_is_decoded(face_folder, monkeypatch):
    config = TrainConfig(
        dataset=str(face_folder), image_size=16, mixed_precision="no", batch_size=5, framing_jitter=1.0
    )
    side = source_size(16, 1.0)
    room = 12 * 3 * side**2
    assert next(make_batches(config, 0, 1, 0, pin=False, room=room)).image.shape == (5, 3, 16, 16)
    monkeypatch.setattr(FaceSet, "_decode_all", lambda *_: pytest.fail("decoded"))
    complaint = f"12 pictures of {side}x{side} pixels take 0.00 GB .* 0.00 GB are available .*--in_memory false"
    with pytest.raises(ValueError, match=complaint):
        make_batches(config, 0, 1, 0, pin=False, room=room - 1)
    next(make_batches(dataclasses.replace(config, in_memory=False), 0, 1, 0, pin=False, room=0))


def test_processes_of_a_machine_share_its_memory(monkeypatch):
    alone = memory_of_each_process()
    assert 1e8 < alone < 1e14
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000")
    assert memory_of_each_process() < alone / 100


def test_a_stream_goes_on_without_end(face_folder):
    config = TrainConfig(dataset=str(face_folder), image_size=16, mixed_precision="no", batch_size=5, streaming=True)
    batches = list(itertools.islice(make_batches(config, 0, 1, 0, pin=False), 5))  # 2 batches a pass
    assert all(batch.image.shape == (5, 3, 16, 16) for batch in batches)


def test_a_stream_smaller_than_a_batch_is_refused(face_folder):
    config = TrainConfig(
        dataset=str(face_folder), image_size=16, mixed_precision="no", batch_size=5, num_workers=2, streaming=True
    )
    with pytest.raises(ValueError, match=r"fewer pictures than one batch for .* \(2 processes x 2 workers\)"):
        next(make_batches(config, 0, 2, 0, pin=False))


@pytest.mark.parametrize("find_share", [0.0, 1.0])
def test_a_draft_holds_all_that_the_batch_is_made_of(find_share):
    """With more than one block of draws, and all kinds of damage, which a draft keeps apart by sample."""
    config = TrainConfig(
        image_size=32, batch_size=40, find_share=find_share, look_share=0.3, soft_share=0.5, line_share=0.5
    )
    side = source_size(config.image_size, config.framing_jitter)
    generator = torch.Generator().manual_seed(0)
    faces = list(torch.randint(0, 256, (50, 3, side, side), generator=generator, dtype=torch.uint8))
    batches, drafts = (TrainingBatches(faces, config, 0, 1, drafts=drafts) for drafts in (False, True))
    for number in range(3):
        batch, draft = batches[number], drafts[number]
        made = draft.to(torch.device("cpu"))
        assert made.hidden == batch.hidden == bool(find_share)
        for name in ("image", "corrupted", "mask"):
            assert torch.equal(getattr(made, name), getattr(batch, name))
        if find_share:
            hole = draft.draws.hole
            assert hole.mask.dtype == torch.bool and min(len(hole.noisy), len(hole.blocks) + len(hole.blurred)) > 0
        assert draft.images.dtype == torch.uint8


def test_a_gpu_gets_loader_processes_unless_told_otherwise(face_folder, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(20), raising=False)
    assert workers_for_a_gpu() == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert workers_for_a_gpu() == 4
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "40")
    assert workers_for_a_gpu() == 1
    asked = []
    monkeypatch.setattr("ngan.batches.make_loader", lambda batches, *_: asked.append(batches.config.num_workers) or [])
    config = TrainConfig(dataset=str(face_folder), image_size=16, mixed_precision="no", batch_size=5)
    for given, pin in ((-1, True), (-1, False), (0, True), (3, False)):
        make_batches(dataclasses.replace(config, num_workers=given), 0, 1, 0, pin=pin)
    assert asked == [1, 0, 0, 3]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("find_share", [0.0, 1.0])
def test_the_gpu_makes_of_a_draft_what_the_cpu_does(find_share):
    config = TrainConfig(
        image_size=128, batch_size=64, find_share=find_share, look_share=0.3, soft_share=0.5, line_share=0.5
    )
    side = source_size(config.image_size, config.framing_jitter)
    faces = list(torch.randint(0, 256, (64, 3, side, side), dtype=torch.uint8))
    draft = TrainingBatches(faces, config, 0, 1, drafts=True)[0].pin_memory()
    here, there = draft.to(torch.device("cpu")), draft.to(torch.device("cuda"))
    assert there.image.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(there.image.cpu(), here.image, atol=1e-2, rtol=0)
    assert (there.mask.cpu() != here.mask).float().mean() < 1e-3  # nearest neighbour: at the edges either may win
    same = (there.mask.cpu() == here.mask).expand_as(here.image)
    torch.testing.assert_close(there.corrupted.cpu()[same], here.corrupted[same], atol=1e-2, rtol=0)
