import pytest
import torch
from torch import nn

from ngan.generators import CodeGenerator, ImageGenerator

SIZES = [(32, 32), (33, 47), (8, 20), (1, 5)]


def picture(height, width, n=1):
    return 2 * torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(0)) - 1


def hole(height, width):
    mask = torch.zeros(1, 1, height, width)
    mask[..., height // 4 : height // 4 + height // 2, width // 4 : width // 4 + width // 2] = 1
    return mask


def test_code_generator_has_five_dilated_and_five_other_convolutions():
    net = CodeGenerator()
    of_location = set(net.location.modules())
    convs = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d) and layer not in of_location]
    dilated = [block.conv for block in net.dilated]
    assert len(convs) == 10 and len(dilated) == 5
    assert [conv.dilation[0] for conv in dilated] == [1, 2, 4, 8, 1]


@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize("height, width", SIZES)
def test_code_generator_takes_any_size(height, width, patch):
    torch.manual_seed(0)
    code, location = CodeGenerator(width=4, patch=patch)(picture(height, width), hole(height, width))
    assert code.shape == (1, 3, height, width) and location.shape == (1, 1, height, width)
    assert code.isfinite().all() and location.isfinite().all()


@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize("height, width", SIZES)
def test_image_generator_takes_any_size(height, width, patch):
    torch.manual_seed(0)
    image = picture(height, width)
    final = ImageGenerator(width=4, patch=patch, blocks=2, attention_every=1)(image, image, hole(height, width))
    assert final.shape == image.shape and final.isfinite().all()


@pytest.mark.parametrize("blocks, attention_every", [(0, 4), (3, 0), (2, 1)])
def test_image_generator_takes_any_depth(blocks, attention_every):
    net = ImageGenerator(width=8, blocks=blocks, attention_every=attention_every)
    attention = sum(hasattr(layer, "qkv") for layer in net.core)
    assert attention == (blocks // attention_every if attention_every else 0)
    assert net(picture(16, 16), picture(16, 16), hole(16, 16)).shape == (1, 3, 16, 16)


def test_both_start_near_what_they_are_given():
    torch.manual_seed(0)
    image, mask = picture(64, 64), hole(64, 64)
    code, location = CodeGenerator()(image, mask)
    final = ImageGenerator()(image, code, mask)
    assert (code - image).abs().mean() < 0.5
    assert (final - code).abs().mean() < 0.5
    assert location.abs().mean() < 1


@pytest.mark.parametrize("size", [64, 128])
def test_code_at_the_centre_sees_past_a_hole_of_half_the_side(size):
    torch.manual_seed(0)
    image, mask = picture(size, size).requires_grad_(), hole(size, size)
    code, _ = CodeGenerator(width=8)(image * (1 - mask), mask)
    code[..., size // 2, size // 2].sum().backward()
    assert (image.grad * (1 - mask)).abs().sum() > 0


def test_image_at_the_centre_sees_every_pixel():
    torch.manual_seed(0)
    image, mask = picture(128, 128).requires_grad_(), hole(128, 128)
    known = image * (1 - mask)
    final = ImageGenerator(width=8, blocks=2, attention_every=1)(known, torch.zeros_like(image), mask)
    final[..., 64, 64].sum().backward()
    seen = image.grad.abs().sum(dim=1, keepdim=True) > 0
    assert seen[mask == 0].float().mean() > 0.99


def test_picture_is_filled_the_same_in_any_batch():
    torch.manual_seed(0)
    images, mask = picture(32, 32, n=3), hole(32, 32).expand(3, -1, -1, -1)
    net = ImageGenerator(width=8, blocks=2, attention_every=1)
    together = net(images, images, mask)
    alone = net(images[1:2], images[1:2], mask[1:2])
    assert torch.allclose(together[1:2], alone, atol=1e-5)


def test_code_generator_knows_where_on_the_face_it_is():
    torch.manual_seed(0)
    code, _ = CodeGenerator(width=8)(torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64))
    assert code[..., 32, 20].sub(code[..., 32, 44]).abs().max() > 1e-4
