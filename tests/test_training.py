"""One update of five networks: who learns from what, in which phase, and what the average keeps."""

import copy
import dataclasses
import functools

import pytest
import torch
from conftest import TINY as CONFIG

from ngan.average import EMA
from ngan.config import RECIPES
from ngan.draws import Batch, make_batch
from ngan.features import ImageFeatures
from ngan.losses import adversarial_loss, discriminator_loss
from ngan.masks import composite
from ngan.start import blend_with_start, make_networks
from ngan.training import (
    LOSSES,
    Networks,
    Optimizers,
    compile_networks,
    learning_rate_factor,
    make_optimizers,
    phase,
    train_step,
)


@pytest.fixture
def networks() -> Networks:
    return Networks(*make_networks(CONFIG))


@pytest.fixture
def whole_batch(batch) -> Batch:
    images, masks = batch
    return Batch(images, images * (1 - masks), masks, hidden=False)


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(before: dict[str, torch.Tensor], module: torch.nn.Module) -> set[str]:
    return {name for name, tensor in module.state_dict().items() if not torch.equal(before[name], tensor)}


def backward(loss: torch.Tensor) -> None:
    loss.backward()


def test_a_joint_update_reports_the_five_losses_and_changes_every_network(networks, whole_batch):
    before = weights(networks.generators), weights(networks.discriminators)
    losses = train_step(networks, make_optimizers(networks, CONFIG), whole_batch, CONFIG, 0, backward)
    assert {name for name in losses if "/" not in name} == set(LOSSES)
    assert all(value.ndim == 0 and not value.requires_grad and value.isfinite() for value in losses.values())
    assert changed(before[0], networks.generators) == set(before[0])
    assert changed(before[1], networks.discriminators) == set(before[1])


def test_losses_are_the_sums_of_their_terms(networks, whole_batch):
    losses = train_step(networks, make_optimizers(networks, CONFIG), whole_batch, CONFIG, 1, backward)
    terms = ("reconstruction", "adversarial", "feature_matching", "structure")
    assert all(losses[f"image_g/{term}"] > 0 for term in terms)
    image_g = sum(losses[f"image_g/{term}"] for term in terms)
    code_g = sum(losses[f"code_g/{term}"] for term in ("coding", "location", "adversarial"))
    assert losses["image_g"] == pytest.approx(image_g.item(), rel=1e-5)
    assert losses["code_g"] == pytest.approx(code_g.item() + losses["image_g/reconstruction"].item(), rel=1e-5)


@pytest.mark.parametrize("half", ["generators", "discriminators"])
def test_each_half_leaves_the_other_networks_alone(networks, whole_batch, half):
    """An optimizer that does not step shows what the other half does: weights and gradients stay."""
    optimizers = make_optimizers(networks, CONFIG)
    still = {"generators": "discriminators", "discriminators": "generators"}[half]
    getattr(optimizers, still).step = lambda: None
    before = weights(getattr(networks, still))
    gradients = []
    module = getattr(networks, half)
    getattr(optimizers, half).step = lambda: gradients.extend(
        p.grad is None or bool((p.grad == 0).all()) for p in getattr(networks, still).parameters()
    )
    train_step(networks, optimizers, whole_batch, CONFIG, 1, backward)
    assert not changed(before, getattr(networks, still))
    assert gradients and all(gradients)
    assert all(p.requires_grad for p in module.parameters())


def test_the_critics_gradient_is_that_of_the_three_losses(networks, whole_batch):
    """Against the formulas written out with separate passes; no R1 at this step."""
    reference = copy.deepcopy(networks)
    seen = {}
    optimizers = make_optimizers(networks, CONFIG)
    optimizers.discriminators.step = lambda: seen.update(
        {name: p.grad.clone() for name, p in networks.discriminators.named_parameters()}
    )
    train_step(networks, optimizers, whole_batch, CONFIG, 1, backward)

    with torch.no_grad():
        output = reference.generators(whole_batch.corrupted, whole_batch.mask)
    code = composite(whole_batch.corrupted, output.code_image, whole_batch.mask)
    corners = [(8, 8), (16, 0)]  # of the window of 16 about centre holes at rows 8-23 and 20-31

    def crop(x):
        return torch.stack([x[i, :, top : top + 16, left : left + 16] for i, (top, left) in enumerate(corners)])

    real = reference.discriminators(whole_batch.image, whole_batch.image, crop(whole_batch.image))
    fake = reference.discriminators(code, output.composite, crop(output.composite))
    parts = {name: discriminator_loss(real[name].logits, fake[name].logits) for name in real}
    sum(parts.values()).backward()  # the joint head's loss counts half in global_d and half in local_d
    for name, p in reference.discriminators.named_parameters():
        torch.testing.assert_close(seen[name], p.grad, rtol=1e-4, atol=1e-6)


def test_the_generators_meet_the_updated_critics(networks, whole_batch):
    optimizers = make_optimizers(networks, dataclasses.replace(CONFIG, discriminator_learning_rate=0.05))
    before = copy.deepcopy(networks)
    losses = train_step(networks, optimizers, whole_batch, CONFIG, 1, backward)
    output = before.generators(whole_batch.corrupted, whole_batch.mask)
    code = composite(whole_batch.corrupted, output.code_image, whole_batch.mask)
    expected = CONFIG.lambda_code_adversarial * adversarial_loss(networks.discriminators.code(code).logits)
    assert losses["code_g/adversarial"] == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("hidden", [False, True])
def test_fifty_updates_on_one_batch_lower_the_reconstruction(networks, whole_batch, hidden):
    batch = dataclasses.replace(whole_batch, hidden=hidden)
    config = dataclasses.replace(CONFIG, learning_rate=2e-3)
    optimizers = make_optimizers(networks, config)
    values = [train_step(networks, optimizers, batch, config, i, backward) for i in range(50)]
    assert values[-1]["image_g/reconstruction"] < 0.8 * values[0]["image_g/reconstruction"]
    assert values[-1]["code_g/location"] < 0.8 * values[0]["code_g/location"]


def test_phases_follow_each_other(networks, whole_batch):
    config = dataclasses.replace(CONFIG, generator_only_steps=2, discriminator_only_steps=1)
    assert [phase(step, config) for step in range(4)] == [(True, False), (True, False), (False, True), (True, True)]
    optimizers = make_optimizers(networks, config)
    before = weights(networks.discriminators)
    losses = train_step(networks, optimizers, whole_batch, config, 0, backward)
    assert not changed(before, networks.discriminators)
    assert {name for name in losses if "/" not in name} == {"code_g", "image_g"}
    before = weights(networks.generators)
    losses = train_step(networks, optimizers, whole_batch, config, 2, backward)
    assert not changed(before, networks.generators)
    assert {name for name in losses if "/" not in name} == {"code_d", "global_d", "local_d"}


def test_r1_comes_every_so_many_updates_and_only_if_wanted(networks, whole_batch):
    config = dataclasses.replace(CONFIG, r1_every=4)
    optimizers = make_optimizers(networks, config)
    had = ["global_d/r1" in train_step(networks, optimizers, whole_batch, config, step, backward) for step in range(5)]
    assert had == [True, False, False, False, True]
    config = dataclasses.replace(config, r1_gamma=0.0)
    assert "global_d/r1" not in train_step(networks, optimizers, whole_batch, config, 0, backward)


def test_the_papers_recipe_runs(networks, whole_batch):
    config = dataclasses.replace(CONFIG, recipe="paper", **RECIPES["paper"])
    losses = train_step(networks, make_optimizers(networks, config), whole_batch, config, 0, backward)
    with torch.no_grad():
        reference = Networks(*make_networks(CONFIG))
        output = reference.generators(whole_batch.corrupted, whole_batch.mask)
    mse = (output.image - whole_batch.image).square().mean()
    assert losses["image_g/reconstruction"] == pytest.approx(mse.item(), rel=1e-4)
    assert losses["image_g/feature_matching"] == 0


def test_bfloat16_keeps_losses_and_weights_in_float32(networks, whole_batch):
    config = dataclasses.replace(CONFIG, mixed_precision="bf16")
    losses = train_step(networks, make_optimizers(networks, config), whole_batch, config, 0, backward)
    assert {value.dtype for name, value in losses.items() if value != 0} == {torch.float32}
    assert {p.dtype for p in networks.generators.parameters()} == {torch.float32}


@pytest.mark.slow
def test_compiled_networks_make_the_same_updates_and_share_their_weights(networks, whole_batch, monkeypatch):
    """Traced and differentiated as for the code generator of torch, which itself takes minutes."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    other = copy.deepcopy(networks)
    compiled = compile_networks(other)
    optimizers = make_optimizers(networks, CONFIG), make_optimizers(other, CONFIG)
    names = set(networks.generators.state_dict())
    for step in range(2):  # the first has the gradient penalty, which compiled code cannot give
        here = train_step(networks, optimizers[0], whole_batch, CONFIG, step, backward)
        there = train_step(compiled, optimizers[1], whole_batch, CONFIG, step, backward)
        for name, value in here.items():
            assert there[name].item() == pytest.approx(value.item(), rel=2e-3, abs=1e-5)
    assert set(other.generators.state_dict()) == names


def test_a_share_of_the_batches_hides_the_mask():
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    config = dataclasses.replace(CONFIG, find_share=0.25)
    batches = [make_batch(images, config, torch.Generator().manual_seed(i)) for i in range(200)]
    hidden = [b for b in batches if b.hidden]
    assert 30 <= len(hidden) <= 70
    for b in batches[:40]:
        known = (b.mask == 0).expand_as(images)
        assert torch.equal(b.corrupted[known], images[known])
        assert b.hidden or not (b.corrupted * b.mask).any()  # a hole says nothing of what was there


def test_the_average_halves_a_weights_share_in_its_half_life():
    module = torch.nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0.0)
    average = EMA(module, half_life=100)
    module.weight.data.fill_(1.0)
    for _ in range(10):
        average.update(module, images=10, images_seen=10_000)
    assert average.average["weight"].item() == pytest.approx(0.5, abs=1e-4)


def test_the_average_forgets_sooner_early_in_a_run_and_half_life_0_is_the_module():
    module = torch.nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0.0)
    early, none = EMA(module, half_life=10_000), EMA(module, half_life=0)
    module.weight.data.fill_(1.0)
    early.update(module, images=10, images_seen=200)  # half-life 0.05 x 200 = 10 images
    none.update(module, images=10, images_seen=200)
    assert early.average["weight"].item() == pytest.approx(0.5)
    assert none.average["weight"].item() == 1.0


def test_the_average_is_lent_and_taken_back_even_after_an_error(networks):
    average = EMA(networks.generators, half_life=10)
    for p in networks.generators.parameters():
        p.data.add_(1)
    own = weights(networks.generators)
    with pytest.raises(RuntimeError, match="stop"), average.applied(networks.generators):
        assert changed(own, networks.generators) == set(own)
        raise RuntimeError("stop")
    assert not changed(own, networks.generators)


def test_the_learning_rate_rises_then_falls():
    config = dataclasses.replace(CONFIG, warmup_steps=10, max_train_steps=100)
    assert learning_rate_factor(0, config) == pytest.approx(0.1)
    assert learning_rate_factor(50, config) == pytest.approx(0.5)
    assert learning_rate_factor(100, config) == pytest.approx(0.0)
    timed = dataclasses.replace(config, schedule="minutes", max_train_minutes=8.0)
    assert learning_rate_factor(20, timed, minutes=4.0) == pytest.approx(0.5)
    assert learning_rate_factor(20, dataclasses.replace(config, schedule="constant")) == 1.0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_update_on_the_gpu_is_that_of_the_cpu(networks, whole_batch):
    other = Networks(*(copy.deepcopy(module).cuda() for module in (networks.generators, networks.discriminators)))
    here = train_step(networks, make_optimizers(networks, CONFIG), whole_batch, CONFIG, 0, backward)
    optimizers: Optimizers = make_optimizers(other, CONFIG)
    there = train_step(other, optimizers, whole_batch.to(torch.device("cuda")), CONFIG, 0, backward)
    for name, value in here.items():
        assert there[name].item() == pytest.approx(value.item(), rel=1e-2, abs=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_export_goes_back_towards_the_start_by_the_share_asked_for(tmp_path, share):
    torch.manual_seed(1)
    start, _ = make_networks(CONFIG)
    start.save_pretrained(tmp_path)
    trained, _ = make_networks(dataclasses.replace(CONFIG, seed=9))
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    blend_with_start(trained, dataclasses.replace(CONFIG, init_from=str(tmp_path), init_share=share))
    for name, tensor in trained.state_dict().items():
        back = share if name.startswith("image_generator") else 0.0
        assert torch.allclose(tensor, (1 - back) * before[name] + back * start.state_dict()[name], atol=1e-6)


PROJECTED = dataclasses.replace(CONFIG, lambda_projected=0.5, lambda_perceptual=1.0, lambda_structure=1.0)


@pytest.fixture
def seeing() -> Networks:
    torch.manual_seed(0)
    return Networks(*make_networks(PROJECTED), ImageFeatures())


def test_heads_and_perceptual_loss_join_the_five_losses(seeing, whole_batch):
    before = weights(seeing.generators), weights(seeing.discriminators), weights(seeing.features)
    losses = train_step(seeing, make_optimizers(seeing, PROJECTED), whole_batch, PROJECTED, 1, backward)
    assert {name for name in losses if "/" not in name} == set(LOSSES)
    terms = ("reconstruction", "adversarial", "feature_matching", "projected", "perceptual", "structure")
    assert losses["image_g/structure"] > 0
    assert losses["image_g"] == pytest.approx(sum(losses[f"image_g/{term}"] for term in terms).item(), rel=1e-5)
    assert all(losses[f"{name}_d"] > losses[f"{name}_d/projected"] > 0 for name in ("global", "local"))
    assert changed(before[0], seeing.generators) == set(before[0])
    assert changed(before[1], seeing.discriminators) == set(before[1])
    assert not changed(before[2], seeing.features)


def test_the_generators_learn_from_the_heads_and_from_the_features(seeing, whole_batch):
    """All other weights of theirs at 0, one term at a time: what the networks learn then comes from it."""
    nothing = {f"lambda_{name}": 0.0 for name in ("coding", "reconstruction", "location", "feature_matching")}
    nothing |= {f"lambda_{name}_adversarial": 0.0 for name in ("code", "image")}
    names = ("lambda_projected", "lambda_perceptual", "lambda_structure")
    for name in names:
        config = dataclasses.replace(PROJECTED, **nothing, **dict.fromkeys(names, 0.0))
        config = dataclasses.replace(config, **{name: 1.0})
        networks = Networks(*make_networks(config), seeing.features)
        before = weights(networks.generators)
        train_step(networks, make_optimizers(networks, config), whole_batch, config, 1, backward)
        assert "image_generator.head.weight" in changed(before, networks.generators)


def test_twenty_updates_of_the_critics_alone_teach_the_heads(seeing, whole_batch):
    config = dataclasses.replace(PROJECTED, discriminator_only_steps=100, discriminator_learning_rate=3e-3)
    optimizers = make_optimizers(seeing, config)
    values = [train_step(seeing, optimizers, whole_batch, config, step, backward) for step in range(20)]
    for name in ("global_d/projected", "local_d/projected"):
        assert values[-1][name] < 0.9 * values[0][name]


def test_the_features_are_looked_at_once_of_each_picture(seeing, whole_batch, monkeypatch):
    sides = []
    forward = seeing.features.forward
    monkeypatch.setattr(seeing.features, "forward", lambda x: sides.append(tuple(x.shape[-2:])) or forward(x))
    optimizers = make_optimizers(seeing, PROJECTED)
    for step in range(1, 4):
        train_step(seeing, optimizers, whole_batch, PROJECTED, step, backward)
    assert sides == [(side, side) for side in (160, 192, 128) for _ in range(4)]  # truth and fake, whole and window


def test_losses_on_features_refuse_networks_without_them(networks, whole_batch):
    optimizers = make_optimizers(networks, CONFIG)
    for config in (PROJECTED, dataclasses.replace(CONFIG, lambda_perceptual=1.0)):
        with pytest.raises(ValueError, match="networks.features is None"):
            train_step(networks, optimizers, whole_batch, config, 1, backward)
