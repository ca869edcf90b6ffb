"""The two generators of NGAN (Li et al., IEEE Access 2019): code generator inside, image generator around it.

What is known of the paper's code generator: 5 convolutional and 5 dilated convolutional layers, residual connections
that carry the original image to deeper layers, a blurry image and the location of the damage as output. Channel
counts, rates and the image generator's layers are not known; those here are this project's choice, each with its
reason beside it.
"""

import torch
from torch import nn
from torch.nn import functional as F

from ngan.layers import (
    DilatedResidual,
    activate,
    coordinates,
    initialise,
    pad_to_multiple,
    start_without_grid,
    upsample,
)

STRIDE = 4  # of the deepest grid of either generator, in cells of the patch grid


class CodeGenerator(nn.Module):
    """Generator of the sub-confrontation GAN: 5 convolutions + 5 dilated convolutions.

    The convolutions: one 5x5, two of stride 2, two after an upsampling, the last of which ends in the code; the
    dilated ones stand between, at a quarter of the patch grid. Residual connections run over each dilated convolution,
    from encoder to decoder where sizes match, and from the corrupted input to the code.

    # Paper: works on pixels as far as is known; here: on patches of `patch` x `patch` pixels, because the code is a
    # blurry image anyway, and the same arithmetic then sees a face twice as large.
    # Paper: how the location is read is not known; here: three more convolutions read it, from the last features and
    # from the input itself, because one linear layer misses what is thinner than a patch, such as scratches and text.

    Args:
        width: channels at the patch grid; twice as many at half of it, four times at a quarter.
        patch: side of the square of pixels that one cell of the patch grid stands for, in pixels.
        dilations: rates of the five dilated convolutions, in cells of a quarter of the patch grid.
    """

    def __init__(self, width: int = 32, patch: int = 2, dilations: list[int] | None = None) -> None:
        super().__init__()
        dilations = [1, 2, 4, 8, 1] if dilations is None else dilations
        self.patch = patch
        self.stem = nn.Conv2d((3 + 1 + 2) * patch**2, width, 5, padding=2)
        self.down1 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.down2 = nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1)
        self.dilated = nn.ModuleList(DilatedResidual(4 * width, rate) for rate in dilations)
        self.up1 = nn.Conv2d(4 * width, 2 * width, 3, padding=1)
        self.up2 = nn.Conv2d(3 * width, 3 * patch**2, 3, padding=1)
        self.location = LocationHead(3 * width + (3 + 1 + 2) * patch**2, width, patch)
        initialise(self)
        start_without_grid(self.up2, patch, scale=0.1)  # near the corrupted input
        start_without_grid(self.location.read, patch, scale=0.1)

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode a corrupted image.

        Args:
            image: (N, 3, H, W), [-1, 1], the corrupted image; any height and width.
            mask: (N, 1, H, W), 1 = missing, 0 = known, 0.5 = not known whether damaged.

        Returns:
            The code image (N, 3, H, W), about [-1, 1], and the location logits (N, 1, H, W), positive = damaged.
        """
        height, width = image.shape[-2:]
        padded = pad_to_multiple(torch.cat([image, mask], dim=1), STRIDE * self.patch)
        x = F.pixel_unshuffle(torch.cat([padded, coordinates(padded)], dim=1), self.patch)
        x0 = activate(self.stem(x))  # (N, w, H/p, W/p)
        x1 = activate(self.down1(x0))  # (N, 2w, H/2p, W/2p)
        x2 = activate(self.down2(x1))  # (N, 4w, H/4p, W/4p)
        z = x2
        for block in self.dilated:
            z = block(z)
        z = activate(self.up1(upsample(z + x2))) + x1  # (N, 2w, H/2p, W/2p)
        z = torch.cat([upsample(z), x0], dim=1)  # (N, 3w, H/p, W/p)
        code = padded[:, :3] + F.pixel_shuffle(self.up2(z), self.patch)  # (N, 3, H, W)
        location = self.location(torch.cat([z, x], dim=1))  # (N, 1, H, W)
        return code[..., :height, :width], location[..., :height, :width]


class LocationHead(nn.Module):
    """Reads the location map from features of the patch grid, (N, C, H/p, W/p) -> logits (N, 1, H, W).

    Args:
        channels: C, of the features and the input's patches together.
        width: channels in between.
        patch: side of a patch, in pixels.
    """

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.read = nn.Conv2d(width, patch**2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = activate(self.conv2(activate(self.conv1(x))))  # (N, w, H/p, W/p)
        return F.pixel_shuffle(self.read(x), self.patch)  # (N, 1, H, W)


class ImageGenerator(nn.Module):
    """Generator of the parent-confrontation GAN: decodes the code into the final image.

    A U-Net over patches whose deepest grid (a quarter of the patch grid) holds residual blocks of growing dilation and
    self-attention. Every cell sees the whole image through the attention, so a hole of any size has known pixels in
    view, and one eye can be drawn to match the other.

    Args:
        width: channels at the patch grid; twice as many at half of it, four times at a quarter.
        patch: side of the square of pixels that one cell of the patch grid stands for, in pixels.
        blocks: residual blocks of two convolutions each at the deepest grid.
        attention_every: a self-attention follows each such number of blocks; 0 = none.
    """

    def __init__(self, width: int = 40, patch: int = 2, blocks: int = 8, attention_every: int = 4) -> None:
        super().__init__()
        self.patch = patch
        self.stem = nn.Conv2d((3 + 3 + 1 + 2) * patch**2, width, 3, padding=1)
        self.down1 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.down2 = nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1)
        core: list[nn.Module] = []
        for i in range(blocks):
            core.append(_ResidualBlock(4 * width, dilation=2 ** (i % 3)))
            if attention_every and (i + 1) % attention_every == 0:
                core.append(_SelfAttention(4 * width))
        self.core = nn.Sequential(*core)
        self.up1 = nn.Conv2d(4 * width, 2 * width, 3, padding=1)
        self.fuse1 = nn.Conv2d(4 * width, 2 * width, 1)
        self.up2 = nn.Conv2d(2 * width, width, 3, padding=1)
        self.fuse2 = nn.Conv2d(2 * width, width, 3, padding=1)
        self.head = nn.Conv2d(width, 3 * patch**2, 3, padding=1)
        initialise(self)
        start_without_grid(self.head, patch, scale=0.1)  # near the code
        for layer in self.core:
            layer.damp()

    def forward(self, image: torch.Tensor, code: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Decode a code.

        Args:
            image: (N, 3, H, W), [-1, 1], the corrupted image, its damage zeroed; any height and width.
            code: (N, 3, H, W), about [-1, 1], the code image with the known pixels pasted back.
            mask: (N, 1, H, W), [0, 1], 1 = missing, 0 = known; a probability where the damage was found, not given.

        Returns:
            The final image (N, 3, H, W), about [-1, 1].
        """
        height, width = image.shape[-2:]
        padded = pad_to_multiple(torch.cat([image, code, mask], dim=1), STRIDE * self.patch)
        x = F.pixel_unshuffle(torch.cat([padded, coordinates(padded)], dim=1), self.patch)
        x0 = activate(self.stem(x))  # (N, w, H/p, W/p)
        x1 = activate(self.down1(x0))  # (N, 2w, H/2p, W/2p)
        x2 = activate(self.down2(x1))  # (N, 4w, H/4p, W/4p)
        z = self.core(x2)
        z = activate(self.up1(upsample(z)))  # (N, 2w, H/2p, W/2p)
        z = activate(self.fuse1(torch.cat([z, x1], dim=1)))
        z = activate(self.up2(upsample(z)))  # (N, w, H/p, W/p)
        z = activate(self.fuse2(torch.cat([z, x0], dim=1)))
        z = F.pixel_shuffle(self.head(z), self.patch)  # (N, 3, H, W)
        return (padded[:, 3:6] + z)[..., :height, :width]


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    @torch.no_grad()
    def damp(self) -> None:
        self.conv2.weight.mul_(0.2)  # without normalisation, a sum of undamped branches would grow with depth

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv2(activate(self.conv1(activate(x))))


class _SelfAttention(nn.Module):
    """Multi-head self-attention over all cells, as a residual; 32 channels a head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // 32)
        self.norm = nn.GroupNorm(1, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)

    @torch.no_grad()
    def damp(self) -> None:
        self.project.weight.mul_(0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).flatten(2).transpose(1, 2)  # (N, HW, 3C)
        q, k, v = qkv.reshape(n, h * w, 3, self.heads, c // self.heads).permute(
            2, 0, 3, 1, 4
        )  # each (N, heads, HW, C/heads)
        z = F.scaled_dot_product_attention(q, k, v)
        z = z.transpose(1, 2).reshape(n, h, w, c).permute(0, 3, 1, 2)
        return x + self.project(z)
