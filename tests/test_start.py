"""Networks start from the weights they are told to, on larger patches too."""

import dataclasses

import pytest
import torch
from conftest import TINY
from torch.nn import functional as F

from ngan.model import NGAN, NGANDiscriminators
from ngan.start import blend_with_start, grow_critics_patch, grow_patch, make_networks, without_start

SIZES = {"code_width": 4, "image_width": 4, "blocks": 2, "attention_every": 2}


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 4), (1, 3)])
def test_an_enlarged_picture_is_filled_as_the_small_one(before: int, after: int):
    torch.manual_seed(0)
    small = NGAN(patch=before, image_size=32, **SIZES).eval()
    for name, weight in small.state_dict().items():  # all layers speak up, and none of positions, which are not alike
        if name.endswith(("head.weight", "up2.weight", "read.weight")):
            weight.mul_(10)
        if name.endswith("stem.weight"):
            weight[:, -2 * before**2 :] = 0
        if name.endswith("location.conv1.weight"):
            weight[:, -2 * before**2 :] = 0
    large = NGAN(patch=after, image_size=32 * after // before, **SIZES).eval()
    large.load_state_dict(grow_patch(small, after))
    image = torch.rand(2, 3, 24, 24) * 2 - 1
    mask = torch.zeros(2, 1, 24, 24)
    mask[..., 6:14, 8:20] = 1

    def enlarge(x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, scale_factor=after / before, mode="nearest")

    with torch.no_grad():
        for holes in (mask, None):
            expected = small(image, holes)
            got = large(enlarge(image), None if holes is None else enlarge(holes))
            for name in ("code_image", "location", "image", "composite"):
                assert torch.allclose(getattr(got, name), enlarge(getattr(expected, name)), atol=1e-4), name


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 4), (1, 3)])
def test_critics_think_of_an_enlarged_picture_what_they_thought_of_the_small_one(before: int, after: int):
    torch.manual_seed(0)
    small = NGANDiscriminators(width=4, embedding=8, patch=before)
    large = NGANDiscriminators(width=4, embedding=8, patch=after)
    large.load_state_dict(grow_critics_patch(small, after))
    pictures = torch.rand(3, 2, 3, 24, 24) * 2 - 1
    enlarged = [F.interpolate(x, scale_factor=after / before, mode="nearest") for x in pictures]
    with torch.no_grad():
        expected, got = small(*pictures), large(*enlarged)
    for name, judgement in expected.items():
        assert torch.allclose(judgement.embedding, got[name].embedding, atol=1e-4), name
        assert torch.allclose(judgement.logits, got[name].logits, atol=1e-4), name


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match="patch=3: must be a multiple of the model's own, 2"):
        grow_patch(NGAN(patch=2, image_size=16, **SIZES), 3)
    with pytest.raises(ValueError, match="discriminator_patch=3: must be a multiple of the model's own, 2"):
        grow_critics_patch(NGANDiscriminators(width=4, embedding=8, patch=2), 3)


def test_a_run_starts_from_weights_that_fit_and_refuses_others(tmp_path):
    before = make_networks(TINY)
    before[0].save_pretrained(tmp_path / "model")
    before[1].save_pretrained(tmp_path / "critics")
    places = {"init_from": str(tmp_path / "model"), "init_discriminators_from": str(tmp_path / "critics")}
    config = dataclasses.replace(TINY, seed=5, **places)
    for module, started in zip(before, make_networks(config), strict=True):
        state = started.state_dict()
        assert all(torch.equal(weight, state[name]) for name, weight in module.state_dict().items())


@pytest.mark.parametrize(
    ("field", "changes", "told"),
    [
        ("init_from", {"code_width": 9, "blocks": 3}, ("code_width=8, blocks=2", "code_width=9, blocks=3")),
        ("init_discriminators_from", {"discriminator_width": 5}, ("discriminator_width=4", "discriminator_width=5")),
        ("init_discriminators_from", {"embedding": 9}, ("embedding=8", "embedding=9")),
    ],
)
def test_weights_of_other_networks_are_refused_by_their_settings(tmp_path, field, changes, told):
    make_networks(TINY)[field != "init_from"].save_pretrained(tmp_path)
    advice = " ".join(f"--{name} {getattr(TINY, name)}" for name in changes)
    with pytest.raises(ValueError) as caught:
        make_networks(dataclasses.replace(TINY, **changes, **{field: str(tmp_path)}))
    told = f"is of other networks: it has {told[0]}, this run {told[1]}; give {advice} to start from it"
    assert str(caught.value) == f"{field}={str(tmp_path)!r}: {told}"


@pytest.mark.parametrize("field", ["init_from", "init_discriminators_from"])
@pytest.mark.parametrize("source", ["./nowhere", "nowhere/atall"])
def test_weights_that_cannot_be_had_are_named_with_their_field(field, source, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=f"^{field}='{source}': ."):
        make_networks(dataclasses.replace(TINY, **{field: source}))


def test_networks_for_a_checkpoint_ask_for_no_weights_but_those_of_a_share():
    gone = dataclasses.replace(TINY, init_from="./nowhere", init_discriminators_from="./nowhere")
    new = make_networks(TINY)
    for module, built in zip(new, make_networks(without_start(gone)), strict=True):
        state = built.state_dict()
        assert all(torch.equal(weight, state[name]) for name, weight in module.state_dict().items())
    with pytest.raises(ValueError, match="^init_from='./nowhere': "):
        make_networks(without_start(dataclasses.replace(gone, init_share=0.5)))


def test_critics_are_found_beside_a_model_and_alone(tmp_path):
    generators, critics = make_networks(TINY)
    generators.save_pretrained(tmp_path)
    critics.save_pretrained(tmp_path / "discriminators")
    for place in (tmp_path, tmp_path / "discriminators"):
        config = dataclasses.replace(TINY, seed=5, init_discriminators_from=str(place))
        started = make_networks(config)[1].state_dict()
        assert all(torch.equal(weight, started[name]) for name, weight in critics.state_dict().items())


def test_a_run_on_larger_patches_starts_and_ends_with_grown_weights(tmp_path):
    before, critics = make_networks(TINY)
    before.save_pretrained(tmp_path)
    critics.save_pretrained(tmp_path / "discriminators")
    config = dataclasses.replace(
        TINY, patch=2 * TINY.patch, image_size=2 * TINY.image_size, init_from=str(tmp_path), init_share=1.0
    )
    config = dataclasses.replace(config, discriminator_patch=2)
    started, started_critics = make_networks(config)
    expected = grow_patch(before, config.patch)
    assert all(torch.equal(weight, expected[name]) for name, weight in started.state_dict().items())
    of_critics = grow_critics_patch(critics, 2)
    assert all(torch.equal(weight, of_critics[name]) for name, weight in started_critics.state_dict().items())
    with torch.no_grad():
        for weight in started.parameters():
            weight.add_(1)
    blend_with_start(started, config)
    kept = {name: weight for name, weight in started.state_dict().items() if name.startswith("image_generator")}
    assert all(torch.allclose(weight, expected[name]) for name, weight in kept.items())
    with pytest.raises(ValueError, match="init_from=.*must be a multiple of the model's own"):
        make_networks(dataclasses.replace(TINY, patch=1, init_from=str(tmp_path)))


def test_heads_on_features_start_anew_where_a_model_has_none_and_are_left_where_none_are_wanted(tmp_path, caplog):
    projected = dataclasses.replace(TINY, lambda_projected=0.5)
    for name, config in (("without", TINY), ("with", projected)):
        make_networks(config)[1].save_pretrained(tmp_path / name)
    for name, config in (("without", projected), ("with", dataclasses.replace(TINY, seed=5))):
        given = type(make_networks(TINY)[1]).from_pretrained(tmp_path / name).state_dict()
        started = make_networks(dataclasses.replace(config, init_discriminators_from=str(tmp_path / name)))[
            1
        ].state_dict()
        shared = given.keys() & started.keys()
        assert shared == {key for key in started if ".heads." not in key} and shared != given.keys() | started.keys()
        assert all(torch.equal(given[key], started[key]) for key in shared)
    assert "these start anew" in caplog.text and "are left" in caplog.text
    caplog.clear()
    again = make_networks(dataclasses.replace(projected, seed=5, init_discriminators_from=str(tmp_path / "with")))[1]
    given = type(again).from_pretrained(tmp_path / "with").state_dict()
    assert all(torch.equal(given[key], value) for key, value in again.state_dict().items()) and not caplog.text
