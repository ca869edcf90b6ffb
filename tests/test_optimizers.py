"""Muon for the inner matrices of generators and critics, Adam for the rest, as one optimizer."""

import pytest
import torch
from conftest import TINY
from torch import nn

from ngan.optimizers import MuonAdam, inner_matrices, make_optimizer, orthogonalise
from ngan.start import make_networks


def test_every_parameter_is_stepped_by_one_of_the_two_and_pixels_only_by_adam():
    generators, _ = make_networks(TINY)
    matrices, others = inner_matrices(generators)
    names = {parameter: name for name, parameter in generators.named_parameters()}
    assert sorted(names[p] for p in [*matrices, *others]) == sorted(names.values())
    adams = {names[p] for p in others if p.ndim == 4}
    assert {"code_generator.stem.weight", "code_generator.up2.weight", "image_generator.head.weight"} <= adams
    assert "image_generator.up2.weight" not in adams and all(p.ndim >= 2 for p in matrices)
    assert all(p.ndim == 1 for p in others if names[p] not in adams)


def test_of_the_critics_adam_steps_what_reads_pixels_or_writes_logits():
    _, critics = make_networks(TINY)
    matrices, others = inner_matrices(critics)
    names = {parameter: name for name, parameter in critics.named_parameters()}
    assert sorted(names[p] for p in [*matrices, *others]) == sorted(names.values())
    adams = {names[p] for p in others if p.ndim >= 2}
    first = {f"{critic}.convs.0.weight" for critic in ("code", "global_", "local")}
    last = {f"{critic}.classify.weight" for critic in ("code", "global_", "local", "joint")}
    assert adams == first | last, sorted(names.values())


def test_a_step_moves_all_directions_of_a_filter_matrix_alike_and_as_far_as_adam():
    weight = nn.Parameter(torch.zeros(8, 4, 3, 3))
    torch.manual_seed(0)
    directions = torch.linalg.qr(torch.randn(36, 8))[0].T  # rows of length 1, at right angles
    weight.grad = (directions * torch.logspace(0, -1.5, 8).unsqueeze(1)).view(8, 4, 3, 3)
    MuonAdam([weight], [], learning_rate=0.1).step()
    values = torch.linalg.svdvals(weight.detach().flatten(1)) / (0.1 * 0.2 * 36**0.5)
    assert values.min() > 0.5 and values.max() < 1.4  # the gradient's lie 1 to 30
    assert weight.detach().flatten(1).mul(directions).sum(1).max() < 0  # against the gradient
    assert 0.01 < weight.detach().square().mean().sqrt() < 0.03  # Adam's steps: about 0.2 of the rate (Liu et al.)


def test_the_memory_layout_makes_no_difference():
    torch.manual_seed(0)
    start, gradient = torch.randn(8, 4, 3, 3), torch.randn(8, 4, 3, 3)
    moved = []
    for layout in (torch.contiguous_format, torch.channels_last):
        weight = nn.Parameter(start.clone().contiguous(memory_format=layout))
        optimizer = MuonAdam([weight], [], learning_rate=0.1)
        for _ in range(2):
            weight.grad = gradient.clone()  # its own layout, whatever that of the weight
            optimizer.step()
        assert optimizer.state[weight]["momentum"].shape == weight.shape
        moved.append(weight.detach())
    # bfloat16 within: the columns' order changes roundings only
    assert torch.allclose(moved[0], moved[1], atol=2e-2) and not torch.allclose(moved[0], start, atol=0.05)


def test_adam_is_adam():
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 4), nn.Linear(5, 4)
    theirs.load_state_dict(ours.state_dict())
    optimizers = (
        make_optimizer(ours, "adam", 0.01, (0.5, 0.99)),
        torch.optim.Adam(theirs.parameters(), 0.01, (0.5, 0.99)),
    )
    for _ in range(3):
        for module, optimizer in zip((ours, theirs), optimizers, strict=True):
            module(torch.ones(2, 5)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert torch.allclose(ours.weight, theirs.weight) and torch.allclose(ours.bias, theirs.bias)


@pytest.mark.parametrize("kind", ["muon", "adam"])
def test_a_parameter_without_a_gradient_stays(kind: str):
    module = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    moving, before = module["a"].weight.detach().clone(), module["b"].weight.detach().clone()
    optimizer = make_optimizer(module, kind, 0.1, (0.9, 0.99))
    module["a"](torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert torch.equal(module["b"].weight, before)
    assert not torch.equal(module["a"].weight, moving)


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (8, 8)])
def test_orthogonalising_keeps_the_directions_and_evens_the_sizes(shape: tuple[int, int]):
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    values = torch.linspace(0.1, 1, min(shape))
    for scale in (1e-6, 1.0, 1e6):
        even = orthogonalise(scale * u @ values.diag() @ v, torch.float32)
        inner = u.T @ even @ v.T
        assert 0.65 < inner.diag().min() and inner.diag().max() < 1.25
        assert (inner - inner.diag().diag()).abs().max() < 1e-4
    assert torch.equal(orthogonalise(torch.zeros(shape), torch.float32), torch.zeros(shape))
