"""GLCIC against the figures its authors published."""

import pytest
import torch
from torch import nn

from benchmarks.glcic import GLCICCritics, GLCICGenerator, glcic_networks
from ngan.config import TrainConfig


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_generator_is_the_published_one():
    generator = GLCICGenerator()
    # convolutions 6,063,200 weights and 2,979 biases, batch normalisation of 2,976 channels x 2
    assert parameters(generator) == 6_063_200 + 2_979 + 2 * 2_976  # 6.07 M
    convs = [layer for layer in generator.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert [conv.dilation[0] for conv in convs] == [1] * 6 + [2, 4, 8, 16] + [1] * 7
    assert [conv.out_channels for conv in convs[:-1]] == [64, 128, 128] + [256] * 9 + [128, 128, 64, 32]
    assert [conv.stride[0] for conv in convs] == [1, 2, 1, 2] + [1] * 8 + [2, 1, 2, 1, 1]
    assert sum(isinstance(conv, nn.ConvTranspose2d) for conv in convs) == 2
    assert convs[0].kernel_size == (5, 5) and convs[-1].out_channels == 3


def test_the_critics_are_the_published_ones_at_256_pixels():
    with torch.device("meta"):
        critics = GLCICCritics(256, 128)
    assert [conv.out_channels for conv in critics.global_.convs] == [64, 128, 256, 512, 512, 512]
    assert [conv.out_channels for conv in critics.local.convs] == [64, 128, 256, 512, 512]
    assert {(conv.kernel_size, conv.stride) for conv in critics.global_.convs} == {((5, 5), (2, 2))}
    assert critics.global_.embed.weight.shape == critics.local.embed.weight.shape == (1024, 4 * 4 * 512)
    assert critics.joint.weight.shape == (1, 2048)


def test_the_hole_is_filled_the_rest_is_untouched_and_every_weight_learns(batch):
    image, mask = batch
    torch.manual_seed(0)
    generator, critics = GLCICGenerator(narrow=8), GLCICCritics(32, 16, narrow=8)
    output = generator(image, mask)
    assert output.composite.shape == image.shape
    assert torch.equal(output.composite * (1 - mask), image * (1 - mask))
    other = generator(image + mask, mask)  # what a hole hides makes no difference
    assert torch.equal(output.composite, other.composite)
    judged = critics(output.code_image, output.composite, output.composite[..., :16, :16])
    assert judged["joint"].logits.shape == (2, 1)
    assert all(not judged[name].logits.any() for name in ("code", "global", "local"))
    judged["joint"].logits.sum().backward()
    for name, parameter in [*generator.named_parameters(), *critics.named_parameters()]:
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    with pytest.raises(ValueError, match="needs a mask"):
        generator(image)


@pytest.mark.parametrize(("size", "window"), [(64, 32), (128, 64), (40, 20)])
def test_critics_fit_other_sides(size, window):
    critics = GLCICCritics(size, window, narrow=16)
    images = torch.zeros(1, 3, size, size)
    assert critics(images, images, images[..., :window, :window])["joint"].logits.shape == (1, 1)


def test_a_configuration_gives_the_published_widths_unless_it_is_a_trial():
    generator, critics = glcic_networks(TrainConfig(image_size=32, discriminator_width=4))
    assert generator.stem.out_channels == 8 and critics.local.convs[0].out_channels == 8
    with torch.device("meta"):
        assert parameters(glcic_networks(TrainConfig(image_size=64))[0]) == parameters(GLCICGenerator())
