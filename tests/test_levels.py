"""Tests of the colours in which the networks see a photo: with networks that tell what they were given."""

import pytest
import torch

from ngan.levels import Levelled
from ngan.model import NGANOutput


class Echo:
    """Networks that draw what they see."""

    def __call__(self, image: torch.Tensor, mask: torch.Tensor | None) -> NGANOutput:
        self.seen = image
        return NGANOutput(image, image[:, :1], image, image)


@pytest.fixture
def usual() -> torch.Tensor:
    """(2, 3, 32, 32), in colours as training faces have."""
    noise = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)).clamp(-1.8, 1.8)
    mean, spread = (torch.tensor(values)[:, None, None] for values in ((0.02, -0.15, -0.24), (0.52, 0.48, 0.47)))
    return (noise * spread + mean).clamp(-1, 1)


@pytest.fixture
def hole() -> torch.Tensor:
    mask = torch.zeros(2, 1, 32, 32)
    mask[..., 8:20, 8:20] = 1
    return mask


@pytest.mark.parametrize("searched", [False, True])
def test_usual_photos_are_given_as_they_are(usual: torch.Tensor, hole: torch.Tensor, searched: bool):
    echo = Echo()
    output = Levelled(echo)(usual, None if searched else hole)
    assert echo.seen is usual and torch.equal(output.image, usual)


@pytest.mark.parametrize("searched", [False, True])
@pytest.mark.parametrize("gain", [(0.2, 0.2, 0.2), (0.9, 0.2, 0.25)])  # faded, and in red light
def test_photos_of_little_contrast_are_seen_in_more_and_drawn_in_their_own(
    usual: torch.Tensor, hole: torch.Tensor, searched: bool, gain: tuple[float, ...]
):
    echo = Echo()
    photo = usual * torch.tensor(gain)[:, None, None] + 0.1
    output = Levelled(echo)(photo, None if searched else hole)
    least = torch.tensor((0.52, 0.48, 0.47) if searched else (0.29, 0.27, 0.23))
    seen = echo.seen.std(dim=(2, 3))
    assert (seen > 0.9 * least).all() and echo.seen.abs().max() <= 1
    for part in (output.image, output.code_image, output.composite):
        assert torch.allclose(part, photo, atol=1e-5) or (part - photo).abs().median() < 1e-5  # but what was clipped
    if not searched:
        assert torch.equal(output.composite[hole.expand_as(photo) == 0], photo[hole.expand_as(photo) == 0])


def test_what_is_hidden_makes_no_difference(usual: torch.Tensor, hole: torch.Tensor):
    one, other = Echo(), Echo()
    photo = 0.2 * usual
    Levelled(one)(photo, hole)
    Levelled(other)(torch.where(hole > 0, 1.0, photo), hole)
    known = (hole == 0).expand_as(photo)
    assert torch.equal(one.seen[known], other.seen[known])


def test_each_picture_of_a_batch_has_its_own_levels(usual: torch.Tensor, hole: torch.Tensor):
    echo = Echo()
    Levelled(echo)(torch.stack([usual[0], 0.2 * usual[1]]), hole)
    assert torch.equal(echo.seen[0], usual[0]) and echo.seen[1].std() > 2 * (0.2 * usual[1]).std()


@pytest.mark.parametrize("searched", [False, True])
def test_black_and_white_stays_so(usual: torch.Tensor, hole: torch.Tensor, searched: bool):
    echo = Echo()
    Levelled(echo)(0.2 * usual[:, :1].expand(-1, 3, -1, -1), None if searched else hole)
    assert torch.allclose(echo.seen[:, 0], echo.seen[:, 2], atol=1e-6) and echo.seen.std() > 0.25


def test_a_picture_of_which_nothing_is_known_and_a_flat_one_are_no_trouble(usual: torch.Tensor):
    for photo, mask in ((usual, torch.ones(2, 1, 32, 32)), (torch.zeros_like(usual), torch.zeros(2, 1, 32, 32))):
        assert Levelled(Echo())(photo, mask).image.isfinite().all()
    assert Levelled(Echo())(torch.zeros_like(usual), None).image.isfinite().all()
