import math

import pytest
import torch
from torch import nn

from ngan.layers import NEGATIVE_SLOPE, DilatedResidual, activate, coordinates, initialise, pad_to_multiple, upsample


def test_activation_keeps_a_fifth_of_the_negative():
    assert activate(torch.tensor([-1.0, 0.0, 2.0])).tolist() == pytest.approx([-0.2, 0.0, 2.0])


def test_initialise_follows_he_and_clears_biases():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(64, 64, 3), nn.Linear(600, 400))
    initialise(module)
    for layer, fan_in in zip(module, (64 * 9, 600), strict=True):
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / (1 + NEGATIVE_SLOPE**2) / fan_in), rel=0.03)
        assert layer.weight.mean().abs() < 0.001
        assert not layer.bias.any()


def test_coordinates_run_from_minus_one_to_one():
    grid = coordinates(torch.zeros(2, 5, 3, 4))
    assert grid.shape == (2, 2, 3, 4)
    assert grid[0, 0, 1].tolist() == pytest.approx([-1, -1 / 3, 1 / 3, 1])  # x
    assert grid[1, 1, :, 2].tolist() == pytest.approx([-1, 0, 1])  # y
    assert coordinates(torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_padding_repeats_the_last_row_and_column():
    x = torch.arange(6.0).view(1, 1, 2, 3)
    padded = pad_to_multiple(x, 4)
    assert padded.shape == (1, 1, 4, 4)
    assert torch.equal(padded[..., :2, :3], x)
    assert padded[0, 0, 3].tolist() == [3, 4, 5, 5]


def test_padding_leaves_a_fitting_size_alone():
    x = torch.zeros(1, 1, 4, 8)
    assert pad_to_multiple(x, 4) is x


def test_dilated_residual_without_weights_is_the_identity():
    block = DilatedResidual(4, dilation=8)
    nn.init.zeros_(block.conv.weight)
    nn.init.zeros_(block.conv.bias)
    x = torch.randn(1, 4, 9, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(x), x)


def test_dilated_residual_reaches_its_rate():
    block = DilatedResidual(1, dilation=3)
    nn.init.ones_(block.conv.weight)
    x = torch.zeros(1, 1, 9, 9, requires_grad=True)
    block(x)[0, 0, 4, 4].backward()
    rows, columns = x.grad[0, 0].nonzero(as_tuple=True)
    assert sorted(set(rows.tolist())) == sorted(set(columns.tolist())) == [1, 4, 7]


def test_upsampling_repeats_each_cell_fourfold():
    assert upsample(torch.tensor([[[[1.0, 2.0]]]])).tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]
