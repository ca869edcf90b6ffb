"""Colours changed as in old and badly lit photos: drawn alike from a seed, and pictures stay pictures."""

import dataclasses
import json

import pytest
import torch
from conftest import TINY
from launching import draw_faces

from benchmarks import looks as looks_benchmark
from ngan.damage import draw_damage
from ngan.draws import Draws, draw, join_draws, make_batch
from ngan.looks import Looks, draw_looks, join_looks
from ngan.model import NGAN

TINY_LOOKS = dataclasses.replace(TINY, look_share=0.5)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def faces(n: int, size: int = 32) -> torch.Tensor:
    return 2 * torch.rand(n, 3, size, size, generator=seeded(1)) - 1


def test_looks_are_drawn_for_their_share_and_within_their_bounds():
    looks = draw_looks(4000, 0.3, seeded())
    share = len(looks.changed) / 4000
    assert 0.27 < share < 0.33
    assert looks.saturation.shape == looks.contrast.shape == (len(looks.changed), 1, 1, 1)
    assert looks.added.shape == (len(looks.changed), 3, 1, 1)
    assert 0.55 < (looks.saturation == 0).float().mean() < 0.65
    assert 1.15 < looks.saturation.max() <= 1.2 and looks.saturation[looks.saturation > 0].min() >= 0.3
    assert 0.35 <= looks.contrast.min() < 0.37 and 1.08 < looks.contrast.max() <= 1.1
    untinted = (looks.added == looks.added[:, :1]).flatten(1).all(1)
    assert 0.45 < untinted.float().mean() < 0.55
    room = (1 - looks.contrast).abs()[:, 0, 0, 0]
    assert (looks.added[untinted, 0, 0, 0].abs() <= room[untinted] + 1e-6).all()
    assert (looks.added[:, 0] - looks.added[:, 2]).mean() > 0.03  # warmer, most often
    assert 0.65 < looks.late.float().mean() < 0.75
    again = draw_looks(4000, 0.3, seeded())
    assert all(torch.equal(getattr(again, name), value) for name, value in vars(looks).items())
    assert len(draw_looks(50, 1.0, seeded()).changed) == 50


def test_saturation_contrast_and_colour_are_changed_in_this_order():
    red = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(3, 3, 4, 4)
    looks = Looks(
        torch.tensor([0, 2]),
        torch.tensor([0.0, 1.0]).view(2, 1, 1, 1),
        torch.tensor([0.5, 0.25]).view(2, 1, 1, 1),
        torch.tensor([[0.25, 0.25, 0.25], [0.0, 0.1, 2.0]]).view(2, 3, 1, 1),
        torch.tensor([True, False]),
    )
    out = looks.apply(red)[..., 0, 0]
    grey = 0.5 * (2 * 0.299 - 1) + 0.25
    expected = torch.tensor([[grey] * 3, [1.0, -1.0, -1.0], [0.25, -0.15, 1.0]])  # clipped where they overflow
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=0)


def test_faces_that_are_not_changed_are_the_same_bit_for_bit_and_the_others_stay_pictures():
    images = faces(64)
    looks = draw_looks(64, 0.5, seeded())
    out = looks.apply(images)
    changed = torch.zeros(64, dtype=torch.bool)
    changed[looks.changed] = True
    assert torch.equal(out[~changed], images[~changed]) and 0 < changed.sum() < 64
    assert not any(torch.equal(a, b) for a, b in zip(out[changed], images[changed], strict=True))
    assert out.abs().max() <= 1
    monochrome = out[looks.changed[(looks.saturation == 0).flatten()]]
    spread = (monochrome - monochrome.mean(dim=(2, 3), keepdim=True)).diff(dim=1).abs()
    unclipped = (monochrome.abs() < 1).all(dim=1, keepdim=True).flatten(1).all(1)
    assert unclipped.any() and spread[unclipped].max() < 1e-5  # its tint apart
    nothing = draw_looks(4, 0.0, seeded())
    assert torch.equal(nothing.apply(images[:4]), images[:4])


def test_looks_of_parts_are_those_of_the_whole():
    looks, images = draw_looks(40, 0.5, seeded()), faces(40, 8)
    parts = [looks.of(0, 7), looks.of(7, 7), looks.of(7, 40)]
    counts = [7, 0, 33]
    joined = join_looks(parts, counts)
    assert all(torch.equal(getattr(joined, name), value) for name, value in vars(looks).items())
    apart = [part.apply(some) for part, some in zip(parts, images.split(counts), strict=True)]
    assert torch.equal(torch.cat(apart), looks.apply(images))


@pytest.mark.parametrize("find_share", [0.0, 1.0])
def test_a_batch_is_damaged_after_its_colours_are_changed(find_share: float):
    config, images = dataclasses.replace(TINY_LOOKS, find_share=find_share), faces(12)
    changed, plain = (
        make_batch(images, dataclasses.replace(config, look_share=share), seeded()) for share in (1.0, 0.0)
    )
    assert (changed.image != images).flatten(1).any(1).all() and torch.equal(plain.image, images)
    known = (1 - changed.mask).bool().expand_as(images)
    assert torch.equal(changed.corrupted[known], changed.image[known])
    if not find_share:
        assert (changed.corrupted[~known] == 0).all()


def test_damage_is_in_the_colours_of_a_late_look_and_not_of_an_early_one():
    looks, images = draw_looks(40, 1.0, seeded()), faces(40)
    monochrome = (looks.saturation == 0).flatten() & (looks.added == looks.added[:, :1]).flatten(1).all(1)
    assert 0 < (monochrome & looks.late).sum() < monochrome.sum()
    hole = draw_damage(40, 32, 32, seeded(), "noise")
    batch = Draws(None, hole, 32, looks).apply(images)
    assert torch.equal(batch.image, looks.apply(images))
    coloured = (batch.corrupted.diff(dim=1).abs() > 1e-5).flatten(1).any(1)
    assert not coloured[monochrome & looks.late].any() and coloured[monochrome & ~looks.late].any()


def test_damage_is_soft_where_it_was_printed_in_one_tone_and_nowhere_else():
    config = dataclasses.replace(TINY_LOOKS, find_share=1.0, soft_share=1.0)
    draws = draw(200, 32, config, seeded())
    printed = draws.looks.changed[draws.looks.late & (draws.looks.saturation == 0).flatten()]
    assert torch.equal(draws.hole.soft, printed) and 20 < len(printed) < len(draws.looks.changed)
    some = draw(200, 32, dataclasses.replace(config, soft_share=0.5), seeded()).hole.soft
    assert set(some.tolist()) < set(printed.tolist()) and len(some) > 0.3 * len(printed)
    assert not len(draw(200, 32, dataclasses.replace(config, soft_share=0.0), seeded()).hole.soft)


def test_draws_of_parts_hold_their_looks():
    draws = draw(12, 32, TINY_LOOKS, seeded())
    joined = join_draws([draws.of(0, 5), draws.of(5, 12)])
    assert torch.equal(joined.packed().apply(faces(12)).image, draws.apply(faces(12)).image)
    assert len(draws.looks.changed) and torch.equal(joined.looks.changed, draws.looks.changed)


def test_models_are_measured_on_each_look(tmp_path, capsys):
    draw_faces(tmp_path / "faces", validation=4)
    torch.manual_seed(0)
    NGAN(code_width=4, image_width=8, blocks=1, attention_every=0, image_size=32).save_pretrained(tmp_path / "model")
    words = ["--models", str(tmp_path / "model"), "--dataset", str(tmp_path / "faces")]
    assert looks_benchmark.main([*words, "--json", str(tmp_path / "x.json")]) == 0
    result = json.loads((tmp_path / "x.json").read_text())
    assert result["n"] == 4 and list(result["models"]) == ["model"]
    looks = result["models"]["model"]
    assert list(looks) == list(looks_benchmark.LOOKS)
    assert all(list(values) == [*looks_benchmark.MASKS, *looks_benchmark.DAMAGES] for values in looks.values())
    assert f"| model | sepia | {looks['sepia']['face']:.2f} |" in capsys.readouterr().out
    assert looks_benchmark.main(["--models", "./nothing", "--dataset", "x"]) == 2
    assert "looks: error: ./nothing: no such folder" in capsys.readouterr().err


def test_looks_of_the_benchmark_clip_nothing():
    black_and_white = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    for look, (_, contrast, _) in looks_benchmark.LOOKS.items():
        black, white = looks_benchmark.recolour(black_and_white, look)
        assert torch.allclose(white - black, torch.tensor(2 * contrast), atol=1e-6)
