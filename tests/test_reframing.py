"""Faces off their framing: drawn alike from a seed, holes move with them, and pictures stay pictures."""

import dataclasses

import pytest
import torch
from conftest import TINY
from torch.nn import functional as F

from ngan.draws import make_batch
from ngan.reframing import draw_framings, reframe, reframe_masks, source_size


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_framings_are_within_their_bounds_and_three_in_ten_are_none():
    framings = draw_framings(4000, 1.0, seeded())
    still = (framings == torch.eye(2, 3)).all(dim=2).all(dim=1)
    assert 0.27 < still.float().mean() < 0.33
    scale = framings[:, :, 0].norm(dim=1)
    turn = torch.atan2(framings[:, 1, 0], framings[:, 0, 0]).rad2deg()
    assert 1.15 < scale.max() <= 1.1801 and 1 / 1.1801 <= scale.min() < 1 / 1.15
    assert 7 < turn.abs().max() <= 8.001
    assert 0.11 < framings[:, :, 2].abs().max() <= 0.1201  # of a picture that is 2 wide
    assert torch.equal(draw_framings(5, 1.0, seeded()), draw_framings(5, 1.0, seeded()))
    assert (draw_framings(50, 2.0, seeded())[:, :, 2].abs().max()) > 0.13


def test_a_framing_enlarges_and_moves_what_is_seen():
    image = torch.full((1, 3, 56, 56), -1.0)
    image[..., 14:28, 14:28] = 1  # the quarter above and left of the middle
    nearer = torch.tensor([[[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]]])
    seen = reframe(image, nearer, 40)
    assert seen.shape == (1, 3, 40, 40)
    assert (seen[..., 2:18, 2:18] > 0.95).all() and (seen[..., 22:, :] < -0.95).all()
    right = torch.tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]])  # a place sees what lay 1/4 of the side to its right
    seen = reframe(image, right, 40)
    assert (seen[..., 12:18, 2:8] > 0.95).all() and (seen[..., 12:18, 12:28] < -0.95).all()
    assert seen.min() >= -1 and seen.max() <= 1


def test_the_identity_only_resizes():
    image = 2 * torch.rand(2, 3, 45, 45, generator=seeded()) - 1
    still = torch.eye(2, 3).expand(2, 2, 3)
    resized = F.interpolate(image, size=(32, 32), mode="bicubic", antialias=True).clamp(-1, 1)
    assert torch.equal(reframe(image, still, 32), resized)
    mask = (torch.rand(2, 1, 32, 32, generator=seeded()) > 0.5).float()
    assert torch.equal(reframe_masks(mask, still), mask)


def test_holes_move_with_the_face_and_none_is_lost():
    face = torch.full((1, 3, 64, 64), -1.0)
    face[..., 30:40, 20:34] = 1
    hole = (face[:, :1] > 0).float()
    framing = draw_framings(20, 1.0, seeded(3))[:, :, :]
    moved = framing[(framing != torch.eye(2, 3)).flatten(1).any(1)][:1]
    seen, mask = reframe(face, moved, 64), reframe_masks(hole, moved)
    assert not torch.equal(mask, hole) and set(mask.unique().tolist()) == {0.0, 1.0}
    assert ((seen[:, :1] > 0).float() != mask).float().mean() < 0.02
    corner = torch.zeros(1, 1, 64, 64)
    corner[..., :2, :2] = 1
    nearer = torch.tensor([[[0.8, 0.0, 0.0], [0.0, 0.8, 0.0]]])
    assert torch.equal(reframe_masks(corner, nearer), corner)


@pytest.mark.parametrize("find_share", [0.0, 1.0])
def test_a_batch_is_made_of_the_source_s_larger_pictures(find_share: float):
    config = dataclasses.replace(TINY, framing_jitter=1.0, find_share=find_share)
    side = source_size(config.image_size, config.framing_jitter)
    assert side == 45 and source_size(config.image_size, 0.0) == config.image_size
    images = 2 * torch.rand(6, 3, side, side, generator=seeded()) - 1
    batch = make_batch(images, config, seeded())
    assert batch.image.shape == (6, 3, 32, 32) and batch.mask.shape == (6, 1, 32, 32)
    assert batch.mask.flatten(1).any(1).all()
    known = (1 - batch.mask).bool().expand_as(batch.image)
    assert torch.equal(batch.corrupted[known], batch.image[known])
