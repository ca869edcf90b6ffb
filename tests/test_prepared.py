"""The prepared networks against `NGAN`: the same pictures, whatever the size, the widths and the threads."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.nn import functional as F

from ngan import prepared
from ngan.model import NGAN
from ngan.prepared import PreparedNGAN, can_prepare
from ngan.runner import Runner, has_bfloat16

PARTS = ("code_image", "location", "image", "composite")
TINY = {"code_width": 8, "image_width": 8, "blocks": 3, "attention_every": 2, "image_size": 32}

pytestmark = pytest.mark.skipif(not can_prepare(), reason="not an x86 CPU with oneDNN")
in_bfloat16 = pytest.mark.skipif(
    not has_bfloat16(), reason="this CPU does not compute in bfloat16; nothing is prepared"
)


def network(**given: int) -> NGAN:
    torch.manual_seed(1)
    model = NGAN(**{**TINY, **given})
    with torch.no_grad():
        for parameter in model.parameters():  # biases and branches that start near zero take part
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def pictures(n: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = 2 * torch.rand(n, 3, height, width, generator=generator) - 1
    return image, (torch.rand(n, 1, height, width, generator=generator) > 0.6).float()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"patch": 1},
        {"patch": 4, "image_size": 64},
        {"attention_every": 0, "blocks": 1},
        {"code_width": 6, "image_width": 16},
        {"dilations": [1, 3, 2, 1, 1]},
    ],
)
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 64, 40), (2, 33, 21), (1, 5, 100)])
@pytest.mark.parametrize("masked", [True, False])
def test_float32_differs_by_rounding_only(given: dict, shape: tuple[int, int, int], masked: bool):
    model, (image, mask) = network(**given), pictures(*shape)
    mask = mask if masked else None
    with torch.inference_mode():
        expected = model(image, mask)
    found = PreparedNGAN(model, torch.float32)(image, mask)
    for name in PARTS:
        wanted, got = getattr(expected, name), getattr(found, name)
        assert got.dtype == torch.float32 and got.shape == wanted.shape
        assert (got - wanted).abs().max() <= 4e-6 * max(1.0, wanted.abs().max()), name


@in_bfloat16
@pytest.mark.parametrize("masked", [True, False])
def test_bfloat16_is_as_close_to_float32_as_autocast_is(masked: bool):
    model, (image, mask) = network(), pictures(4, 64, 64)
    mask = mask if masked else None
    with torch.inference_mode():
        exact = model(image, mask)
        with torch.autocast("cpu", torch.bfloat16):
            cast = model(image, mask)
    found = PreparedNGAN(model, torch.bfloat16)(image, mask)
    for name in PARTS:
        wanted, got, other = (getattr(output, name) for output in (exact, found, cast))
        assert got.dtype == torch.float32
        assert 0 < (got - wanted).square().mean() < 2 * (other - wanted).square().mean(), name


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=in_bfloat16)])
def test_known_pixels_come_back_bit_for_bit(dtype: torch.dtype):
    image, mask = pictures(2, 40, 36)
    found = PreparedNGAN(network(), dtype)(image, mask).composite
    known = (mask == 0).expand_as(image)
    assert torch.equal(found[known], image[known]) and not torch.equal(found, image)


def test_the_model_stays_as_it_is_and_later_changes_to_it_make_no_difference():
    model, (image, mask) = network(), pictures(1, 32, 32)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fast = PreparedNGAN(model, torch.float32)
    first = fast(image, mask).image
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(fast(image, mask).image, first)


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=in_bfloat16)])
def test_threads_with_pictures_of_different_sizes_do_not_disturb_each_other(dtype: torch.dtype):
    fast = PreparedNGAN(network(), dtype)
    given = [pictures(1, side, side + 8) for side in (32, 40, 48, 56)] * 6
    alone = [fast(*each).image for each in given[:4]]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda each: fast(*each).image, given))
    assert all(torch.equal(found, alone[i % 4]) for i, found in enumerate(together))


def test_attention_in_parts_is_attention(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(6, 50, 8, generator=generator) for _ in range(3))
    expected = F.scaled_dot_product_attention(q, k, v)
    for scores in (10**6, 6 * 50 * 7, 1):  # all at once, 7 rows at a time, row by row
        monkeypatch.setattr(prepared, "_SCORES", scores)
        assert torch.allclose(prepared._attend(q, k, v), expected, atol=1e-5)


@pytest.mark.parametrize("masked", [True, False])
def test_large_batches_are_taken_in_parts(monkeypatch, masked: bool):
    model, (image, mask) = network(), pictures(7, 16, 24)
    mask = mask if masked else None
    with torch.inference_mode():
        expected = model(image, mask)
    fast, sizes = PreparedNGAN(model, torch.float32), []
    fill = fast._fill
    monkeypatch.setattr(fast, "_fill", lambda image, mask: sizes.append(len(image)) or fill(image, mask))
    for pixels, parts in ((3 * 16 * 24, [3, 3, 1]), (1, 7 * [1]), (7 * 16 * 24, [7])):
        monkeypatch.setattr(prepared, "_PIXELS", pixels)
        sizes.clear()
        found = fast(image, mask)
        assert sizes == parts
        for name in PARTS:
            assert torch.allclose(getattr(found, name), getattr(expected, name), atol=1e-5, rtol=1e-5), name


def test_shapes_that_do_not_fit_are_refused_as_the_model_refuses_them():
    fast = PreparedNGAN(network(), torch.float32)
    for image, mask, message in (
        (torch.zeros(1, 1, 8, 8), None, "image: shape"),
        (torch.zeros(3, 8, 8), None, "image: shape"),
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 9), "mask: shape"),
    ):
        with pytest.raises(ValueError, match=message):
            fast(image, mask)


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=in_bfloat16)])
def test_a_runner_prepares_where_it_can_and_fills_alike_where_it_cannot(monkeypatch, precision: str):
    image, mask = pictures(2, 32, 32)
    prepares = []

    class Counted(PreparedNGAN):
        def __init__(self, *given) -> None:
            super().__init__(*given)
            prepares.append(given[1])

    monkeypatch.setattr("ngan.runner.PreparedNGAN", Counted)
    fast = Runner(network(), "cpu", "torch", precision, True)(image, mask)
    assert prepares == [getattr(torch, precision)]
    monkeypatch.setattr("ngan.runner.can_prepare", lambda: False)
    plain = Runner(network(), "cpu", "torch", precision, True)(image, mask)
    assert len(prepares) == 1
    assert plain.image.dtype == torch.float32
    assert torch.allclose(fast.image, plain.image, atol=1e-5 if precision == "float32" else 0.1)


@pytest.mark.parametrize("change", ["in place", "loaded", "data"])
def test_a_runner_follows_weights_that_change(change: str):
    model, (image, mask) = network(), pictures(1, 32, 32)
    runner = Runner(model, "cpu", "torch", "float32", False)
    first = runner(image, mask).image
    assert torch.equal(runner(image, mask).image, first)
    if change == "in place":
        with torch.no_grad():
            model.image_generator.head.bias.add_(0.5)
    elif change == "loaded":
        model.load_state_dict({name: value + 0.1 for name, value in model.state_dict().items()})
    else:
        model.image_generator.head.bias.data = model.image_generator.head.bias.data + 0.5
    with torch.inference_mode():
        expected = model(image, mask).image
    assert torch.allclose(runner(image, mask).image, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(expected, first, atol=0.01)
