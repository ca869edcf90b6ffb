"""GLCIC (Iizuka, Simo-Serra, Ishikawa: Globally and Locally Consistent Image Completion, ACM ToG 36(4), 2017), written
here from its published layer tables and losses as a peer of NGAN, to be trained by NGAN's own script.

Deviations, each because the same script trains all networks of a comparison:

- The script's optimizers and learning rates instead of ADADELTA.
- Critics without batch normalisation: the script judges real and fake in one batch, whose mixed statistics would tell
  the critics which is which. The generator has it, as published.
- Known pixels are pasted before the loss, which then is the published |M (C - x)|^2, divided by all pixels' number;
  images in [-1, 1], so the output is a tanh where the paper has a sigmoid on [0, 1]; a hole holds mid-grey instead of
  the training set's mean colour.
- At sides other than 256 the critics' fully connected layers are as much smaller or larger as the grids they read.
- Hidden damage is not found: GLCIC needs the mask.
"""

import math

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import nn
from torch.nn import functional as F

from benchmarks.no_critic import NoCritic
from ngan.config import TrainConfig
from ngan.discriminators import Judgement
from ngan.masks import composite
from ngan.model import NGANOutput

ADVERSARIAL_WEIGHT = 4e-4
PHASES = (90_000 / 500_000, 10_000 / 500_000)  # shares of the updates: generator alone, then critics alone
DILATIONS = (2, 4, 8, 16)
# Published table 1: kind, kernel, dilation, stride, channels; all but the last with batch normalisation and ReLU.
_GENERATOR = (
    ("conv", 5, 1, 1, 64),
    ("conv", 3, 1, 2, 128),
    ("conv", 3, 1, 1, 128),
    ("conv", 3, 1, 2, 256),
    ("conv", 3, 1, 1, 256),
    ("conv", 3, 1, 1, 256),
    *(("conv", 3, rate, 1, 256) for rate in DILATIONS),
    ("conv", 3, 1, 1, 256),
    ("conv", 3, 1, 1, 256),
    ("deconv", 4, 1, 2, 128),
    ("conv", 3, 1, 1, 128),
    ("deconv", 4, 1, 2, 64),
    ("conv", 3, 1, 1, 32),
    ("conv", 3, 1, 1, 3),
)
_GLOBAL = (64, 128, 256, 512, 512, 512)  # channels of 5x5 convolutions of stride 2
_LOCAL = (64, 128, 256, 512, 512)
_EMBEDDING = 1024


class GLCICGenerator(nn.Module, PyTorchModelHubMixin):
    """GLCIC's completion network, 6.07 M parameters, behind the interface of `ngan.model.NGAN`.

    Args:
        narrow: divisor of all channels but the output's; 1 as published, more for tests.
    """

    def __init__(self, narrow: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        c_in = 4
        for kind, kernel, dilation, stride, channels in _GENERATOR[:-1]:
            c_out = max(1, channels // narrow)
            padding = dilation * (kernel - 1) // 2
            if kind == "deconv":
                layers.append(nn.ConvTranspose2d(c_in, c_out, kernel, stride, padding))
            else:
                layers.append(nn.Conv2d(c_in, c_out, kernel, stride, padding, dilation))
            layers += [nn.BatchNorm2d(c_out), nn.ReLU()]
            c_in = c_out
        self.stem = layers.pop(0)  # named as NGAN's layers at the pixels, which Muon leaves to Adam
        self.layers = nn.Sequential(*layers)
        self.head = nn.Conv2d(c_in, 3, 3, padding=1)

    def forward(self, image: torch.Tensor, mask: torch.Tensor | None = None) -> NGANOutput:
        """Fill the holes of images (N, 3, H, W), [-1, 1], sides multiples of 4, mask (N, 1, H, W), 1 = missing.

        The code image is the corrupted image and the location map the mask itself: there is no first stage.

        Raises:
            ValueError: no mask.
        """
        if mask is None:
            raise ValueError("GLCIC needs a mask: train and measure it with find_share 0")
        known = image * (1 - mask)
        features = self.layers(self.stem(torch.cat([known, mask.to(known.dtype)], dim=1)))
        filled = self.head(features).tanh()  # (N, 3, H, W)
        pasted = composite(known, filled, mask)
        return NGANOutput(known, 20 * mask - 10, pasted, pasted)


class GLCICCritics(nn.Module, PyTorchModelHubMixin):
    """GLCIC's global and local context discriminators and the layer that joins them, for NGAN's training step.

    Only the joint logit is judged, as published; NGAN's three single critics are not there.

    Args:
        image_size: side of the pictures, in pixels.
        window: side of the local critic's window, in pixels.
        narrow: divisor of all channels; 1 as published, more for tests.
    """

    def __init__(self, image_size: int = 256, window: int = 128, narrow: int = 1) -> None:
        super().__init__()
        self.global_ = _Branch(_GLOBAL, image_size, narrow)
        self.local = _Branch(_LOCAL, window, narrow)
        self.joint = nn.Linear(2 * max(1, _EMBEDDING // narrow), 1)
        self.none = NoCritic()

    def forward(self, code_image: torch.Tensor, image: torch.Tensor, crop: torch.Tensor) -> dict[str, Judgement]:
        """Judge whole images (N, 3, S, S) and windows (N, 3, s, s) together; the code image plays no part."""
        embedding = torch.cat([self.global_(image), self.local(crop)], dim=1)
        absent = {"code": self.none(code_image), "global": self.none(image), "local": self.none(crop)}
        return {**absent, "joint": Judgement(self.joint(embedding), [], embedding)}


class _Branch(nn.Module):
    """5x5 convolutions of stride 2 with ReLU, then one fully connected layer to 1024 values, with ReLU."""

    def __init__(self, channels: tuple[int, ...], side: int, narrow: int) -> None:
        super().__init__()
        widths = [max(1, c // narrow) for c in channels]
        pairs = zip([3, *widths[:-1]], widths, strict=True)
        self.convs = nn.ModuleList(nn.Conv2d(c_in, c_out, 5, stride=2, padding=2) for c_in, c_out in pairs)
        cells = math.ceil(side / 2 ** len(channels)) ** 2
        self.embed = nn.Linear(widths[-1] * cells, max(1, _EMBEDDING // narrow))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv in self.convs:
            x = F.relu(conv(x))
        return F.relu(self.embed(x.flatten(1)))


def glcic_networks(config: TrainConfig) -> tuple[GLCICGenerator, GLCICCritics]:
    """Build GLCIC for a configuration: of the published widths at the default `discriminator_width`, else of widths in
    proportion, for quick trials.
    """
    torch.manual_seed(config.seed)
    narrow = max(1, TrainConfig.discriminator_width // config.discriminator_width)
    generators = GLCICGenerator(narrow)
    critics = GLCICCritics(config.image_size, config.window, narrow)
    return generators.to(memory_format=torch.channels_last), critics.to(memory_format=torch.channels_last)
