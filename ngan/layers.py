"""Blocks that two or more of the five networks use.

None of them knows an image size; none of them normalises over the batch, so a picture is filled the same whatever else
is in its batch.
"""

import torch
from torch import nn
from torch.nn import functional as F

NEGATIVE_SLOPE = 0.2  # of every leaky ReLU here, as in DCGAN


def activate(x: torch.Tensor) -> torch.Tensor:
    """Apply the leaky ReLU that all five networks use."""
    return F.leaky_relu(x, NEGATIVE_SLOPE)


def initialise(module: nn.Module) -> None:
    """Draw all convolutions and linear layers below `module` by He's normal rule for a leaky ReLU; biases are 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, a=NEGATIVE_SLOPE)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def coordinates(like: torch.Tensor) -> torch.Tensor:
    """Return a (N, 2, H, W) tensor of the x and y position of each pixel of `like`, each from -1 to 1.

    Training faces are aligned, so a position says which part of the face is expected there.
    """
    n, _, height, width = like.shape
    x = _positions(width, like).view(1, 1, 1, width)
    y = _positions(height, like).view(1, 1, height, 1)
    return torch.cat([x.expand(n, 1, height, width), y.expand(n, 1, height, width)], dim=1)


def _positions(count: int, like: torch.Tensor) -> torch.Tensor:
    """(count,), evenly from -1 to 1, of the device and type of `like`."""
    if torch.compiler.is_exporting():  # linspace would fix the size of the pictures that an exported network takes
        return torch.arange(count, device=like.device, dtype=like.dtype) * 2 / (count - 1) - 1
    return torch.linspace(-1, 1, count, device=like.device, dtype=like.dtype)


def pad_to_multiple(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """Replicate the last row and column of `x` (N, C, H, W) until both sides divide by `multiple`."""
    height, width = x.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


class DilatedResidual(nn.Module):
    """One dilated 3x3 convolution with a residual connection over it: x + activate(conv(x)), (N, C, H, W) -> same."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + activate(self.conv(x))


def upsample(x: torch.Tensor) -> torch.Tensor:
    """Double the sides of `x` (N, C, H, W) by nearest neighbour: no checkerboard, unlike a transposed convolution."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


@torch.no_grad()
def start_without_grid(conv: nn.Conv2d, patch: int, scale: float) -> None:
    """Give all pixels of a patch the same weights in a convolution that a pixel shuffle follows (Aitken et al. 2017),
    times `scale`.

    Different random weights would print a grid of the patch's period on the first images, which training removes
    slowly.
    """
    conv.weight.mul_(scale)
    pixels = conv.weight.unflatten(0, (-1, patch**2))  # (C, pp, C_in, 3, 3)
    pixels.copy_(pixels[:, :1].expand_as(pixels).clone())
