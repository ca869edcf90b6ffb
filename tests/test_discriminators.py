import pytest
import torch
from torch import nn

from ngan.discriminators import POOLED, CodeDiscriminator, GlobalDiscriminator, JointHead, LocalDiscriminator

CRITICS = {
    "code": (lambda: CodeDiscriminator(width=4), 3),
    "global": (lambda: GlobalDiscriminator(width=4, embedding=6), 5),
    "local": (lambda: LocalDiscriminator(width=4, embedding=6), 4),
}


def pictures(height=32, width=32, n=2):
    return 2 * torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(0)) - 1


@pytest.mark.parametrize("name", CRITICS)
@pytest.mark.parametrize("height, width", [(32, 32), (33, 47), (5, 70)])
def test_one_logit_a_picture_of_any_size(name, height, width):
    torch.manual_seed(0)
    make, convs = CRITICS[name]
    judgement = make()(pictures(height, width))
    assert judgement.logits.shape == (2, 1) and judgement.logits.isfinite().all()
    assert len(judgement.features) == convs
    assert [feature.shape[-1] for feature in judgement.features] == [-(-width // 2**i) for i in range(1, convs + 1)]


@pytest.mark.parametrize("name, linears", [("code", 1), ("global", 2), ("local", 2)])
def test_layers_are_those_of_the_paper(name, linears):
    make, convs = CRITICS[name]
    layers = list(make().modules())
    assert sum(isinstance(layer, nn.Conv2d) for layer in layers) == convs
    assert sum(isinstance(layer, nn.Linear) for layer in layers) == linears
    assert not any(isinstance(layer, nn.Sigmoid) for layer in layers)


@pytest.mark.parametrize("name", CRITICS)
def test_logits_are_not_squashed(name):
    torch.manual_seed(0)
    critic = CRITICS[name][0]()
    before = critic(pictures()).logits
    with torch.no_grad():
        critic.classify.weight.mul_(1000)
    assert torch.allclose(critic(pictures()).logits, 1000 * before, rtol=1e-3, atol=1e-3)


def test_embeddings_are_what_the_joint_head_reads():
    torch.manual_seed(0)
    judgement = GlobalDiscriminator(width=4, embedding=6)(pictures())
    assert judgement.embedding.shape == (2, 6)
    assert CodeDiscriminator(width=4)(pictures()).embedding.shape == (2, 16 * POOLED**2)


def test_joint_head_depends_on_both_branches():
    torch.manual_seed(0)
    whole, window = torch.randn(2, 2, 6).requires_grad_().unbind()
    whole.retain_grad()
    window.retain_grad()
    logits = JointHead(6)(whole, window)
    assert logits.shape == (2, 1)
    logits.sum().backward()
    assert (whole.grad != 0).all() and (window.grad != 0).all()


def test_all_three_judge_together(tiny_nets, batch):
    _, critics = tiny_nets
    images, _ = batch
    judgements = critics(images, images, images[..., 8:24, 8:24])
    assert list(judgements) == ["code", "global", "local", "joint"]
    assert all(judgement.logits.shape == (2, 1) for judgement in judgements.values())
    embeddings = torch.cat([judgements["global"].embedding, judgements["local"].embedding], dim=1)
    assert torch.equal(judgements["joint"].embedding, embeddings)
    assert judgements["joint"].features == []


def test_every_parameter_receives_a_finite_gradient(tiny_nets, batch):
    _, critics = tiny_nets
    images, _ = batch
    judgements = critics(images, images, images[..., 8:24, 8:24])
    sum(judgement.logits.square().sum() for judgement in judgements.values()).backward()
    for name, parameter in critics.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_picture_is_judged_the_same_in_any_batch():
    torch.manual_seed(0)
    critic = GlobalDiscriminator(width=4, embedding=6)
    images = pictures(n=3)
    assert torch.allclose(critic(images).logits[1:2], critic(images[1:2]).logits, atol=1e-5)


def test_heads_judge_each_grid_place_by_place_and_nothing_else_hears_them():
    torch.manual_seed(0)
    critic = LocalDiscriminator(width=4, embedding=6, seen=(3, 5))
    seen = [torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)]
    judgement, alone = critic(pictures(), seen), critic(pictures())
    assert [tuple(logits.shape) for logits in judgement.maps] == [(2, 1, 8, 8), (2, 1, 4, 4)]
    assert torch.equal(judgement.logits, alone.logits) and alone.maps == []
    moved = [seen[0].clone(), seen[1]]
    moved[0][:, :, 0, 0] += 1
    far = (critic(pictures(), moved).maps[0] - judgement.maps[0]).abs()
    assert far[..., :2, :2].amin() > 0 and far[..., 2:, :].max() == 0


def test_heads_without_their_grid_are_an_error():
    critic = GlobalDiscriminator(width=4, embedding=6, seen=(3, 5))
    with pytest.raises(ValueError, match="shorter"):
        critic(pictures(), [torch.randn(2, 3, 8, 8)])
