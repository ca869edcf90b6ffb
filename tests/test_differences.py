"""Figures by thirds of the faces: the thirds are those of the trait, the figures those of their members."""

import pytest
import torch

from ngan.differences import THIRDS, TRAITS, _looks, _traits, format_differences, measure_differences
from ngan.masks import center_masks, composite
from ngan.metrics import psnr
from ngan.model import NGAN


@pytest.fixture
def model() -> NGAN:
    torch.manual_seed(0)
    return NGAN(code_width=4, image_width=8, blocks=1, attention_every=0, image_size=32)


def noise(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_the_figures_are_those_of_each_thirds_members(model):
    faces = (noise(9) * torch.linspace(0.2, 1, 9).view(9, 1, 1, 1)).byte()[torch.randperm(9)]
    model.train()
    found = measure_differences(model, faces, batch_size=2)
    assert model.training and set(found) == set(TRAITS)
    values = _traits(*_looks(faces))["brightness"]
    order = values.argsort()
    mask = center_masks(9, 32, 32, torch.Generator())
    image = faces / 127.5 - 1
    with torch.no_grad():
        model.eval()
        straight = model(image * (1 - mask), mask).image
        mirrored = model((image * (1 - mask)).flip(-1), mask.flip(-1)).image.flip(-1)
    filled = composite(image, (straight + mirrored) / 2, mask)
    filled = ((filled.clamp(-1, 1) + 1) * 127.5).round() / 255
    expected = psnr(filled, faces / 255, mask)
    for i, third in enumerate(THIRDS):
        members = order[3 * i : 3 * i + 3]
        entry = found["brightness"][third]
        assert entry["n"] == 3 and entry["mean"] == pytest.approx(float(values[members].mean()))
        assert entry["psnr_hole"] == pytest.approx(float(expected[members].mean()), abs=0.01)
        assert entry["standard_error"] == pytest.approx(float(expected[members].std()) / 3**0.5, abs=0.01)
    for name in TRAITS:
        means = [found[name][third]["mean"] for third in THIRDS]
        assert means == sorted(means) and sum(found[name][third]["n"] for third in THIRDS) == 9


def test_traits_are_what_they_are_called():
    dark, bright = (
        torch.full((1, 3, 32, 32), 40, dtype=torch.uint8),
        torch.full((1, 3, 32, 32), 200, dtype=torch.uint8),
    )
    lit = dark.clone()
    lit[..., 16:] = 200
    odd = noise(1)
    traits = _traits(*_looks(torch.cat([dark, bright, lit, dark, dark, odd])))
    assert torch.allclose(traits["brightness"][:2], torch.tensor([40, 200]) / 255)
    assert traits["asymmetry"][0] == 0 and traits["asymmetry"].argmax() == 2
    assert traits["asymmetry"][2] == pytest.approx(160 / 255, abs=1e-4)
    assert set(traits["distance"].topk(2).indices.tolist()) == {2, 5}


def test_the_table_holds_every_figure(model):
    found = measure_differences(model, noise(8), limit=7)
    assert sorted(found["distance"][third]["n"] for third in THIRDS) == [2, 2, 3]
    table = format_differences(found)
    assert len(table.splitlines()) == 2 + len(TRAITS)
    for name, title in TRAITS.items():
        (line,) = [line for line in table.splitlines() if line.startswith(f"| {title} |")]
        for third in found[name].values():
            assert (
                f"{third['psnr_hole']:.2f} ± {third['standard_error']:.2f}" in line and f"{third['ssim']:.3f}" in line
            )


def test_too_few_faces_are_refused(model):
    with pytest.raises(ValueError, match="5 faces: thirds of them need at least 6"):
        measure_differences(model, noise(5))
