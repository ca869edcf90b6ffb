"""Faces off their framing are a set of their own, the same each time, to measure a model on."""

import torch

from ngan.model import NGAN
from ngan.off_frame import ReframedFaces, measure_off_frame
from ngan.tables import format_table


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_set_to_measure_on_is_off_everywhere_and_the_same_each_time():
    faces = torch.randint(0, 256, (5, 3, 45, 45), generator=seeded(), dtype=torch.uint8)
    off, again = ReframedFaces(faces, 32, seed=1), ReframedFaces(faces, 32, seed=1)
    assert len(off) == 5 and off[0].shape == (3, 32, 32) and off[0].dtype == torch.uint8
    assert all(torch.equal(off[i], again[i]) for i in range(5))
    aligned = ReframedFaces(faces, 32, jitter=0.0)
    assert not any(torch.equal(off[i], aligned[i]) for i in range(5))
    assert off.masks("feature").shape == (5, 1, 32, 32)
    assert torch.equal(off.masks("center"), again.masks("center"))
    assert not torch.equal(off.masks("center"), aligned.masks("center"))


def test_centre_and_feature_holes_are_measured_off_the_frame():
    torch.manual_seed(0)
    model = NGAN(code_width=4, image_width=4, blocks=1, attention_every=0, image_size=32)
    faces = torch.randint(0, 256, (3, 3, 45, 45), generator=seeded(), dtype=torch.uint8)
    result = measure_off_frame(model, faces, 32, peers=(), self_ensemble=True, progress=False)
    assert list(result) == ["center off frame", "feature off frame"]
    center = result["center off frame"]
    assert center["n"] == 3 and 0.1 < center["hole_ratio"] < 0.4 and center["self_ensemble"]["psnr"] > 0
    assert measure_off_frame(model, faces, 32, peers=(), self_ensemble=True, progress=False) == result
    assert "| center off frame |" in format_table({"masks": result, "damages": {}})
