"""The refiner: what the generators filled on their grid, drawn at twice its resolution.

Eyes, teeth and the rims of lips and faces are a few cells of that grid: enlarged to a photo they are soft. Where the
photo holds nothing alike (see `ngan.finer`), only what many faces have in common tells how they go on. So this is a
super-resolution network (after Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative
Adversarial Network", CVPR 2017) that has seen fills beside real faces: `ngan.refining` trains it. It is no part of the
nested GAN, and one serves all models of its grid.
"""

import functools

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ngan.hub import REFINER
from ngan.layers import activate, coordinates, initialise
from ngan.model import HUB, hub_card
from ngan.strict import StrictHubMixin

FACTOR = 2  # sides of the refined grid, in those of the network's
_DILATIONS = (1, 2, 1, 2, 1, 1)
# What it adds is blurred by a Gaussian of so many cells of the refined grid: training compares no fill's details of
# that size with real ones, and rims of hair and faces came out dotted.
_SOFT = 0.35


class Refiner(
    nn.Module,
    StrictHubMixin,
    model_card_template=hub_card("the refiner", "Faces filled on a grid, drawn at twice its resolution."),
    **HUB,
):
    """Filled faces on the network's grid in, the same at twice its resolution out.

    Args:
        width: channels.
        dilations: rates of the first convolution of each residual block.
        image_size: side of the faces' squares of which it has seen fills, in cells.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, width: int = 32, dilations: list[int] | None = None, image_size: int = 128) -> None:
        super().__init__()
        dilations = list(_DILATIONS if dilations is None else dilations)
        given = [("width", width), ("image_size", image_size), *(("dilations", rate) for rate in dilations)]
        for name, value in given:
            if type(value) is not int or not 1 <= value <= 1024:
                raise ValueError(f"{name}={value!r}: must be a whole number from 1 to 1024")
        self.image_size = image_size
        self.stem = nn.Conv2d(3 + 1 + 2, width, 5, padding=2)
        self.blocks = nn.ModuleList(_Block(width, rate) for rate in dilations)
        self.head = nn.Conv2d(width, 3 * FACTOR**2, 3, padding=1)
        initialise(self)
        with torch.no_grad():
            self.head.weight.mul_(0.01)  # near cubic interpolation

    def forward(self, image: torch.Tensor, mask: torch.Tensor, position: torch.Tensor | None = None) -> torch.Tensor:
        """Draw images at twice their resolution.

        Args:
            image: (N, 3, H, W), about [-1, 1], filled, softer where it is than where it was known.
            mask: (N, 1, H, W), {0, 1}, 1 = filled.
            position: (N, 2, H, W), x and y of each cell in the face's square, from -1 to 1; None = the image is it.

        Returns:
            (N, 3, 2H, 2W), about [-1, 1]; known cells too are drawn anew.
        """
        position = coordinates(image) if position is None else position
        x = self.stem(torch.cat([image, mask, position.to(image)], dim=1))  # (N, w, H, W)
        for block in self.blocks:
            x = block(x)
        return doubled(image) + F.pixel_shuffle(self.head(x), FACTOR)


class _Block(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        initialise(self)
        with torch.no_grad():
            self.conv2.weight.mul_(0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv2(activate(self.conv1(activate(x))))


def doubled(image: torch.Tensor) -> torch.Tensor:
    """Double the sides of an image (N, 3, H, W) by cubic interpolation."""
    return F.interpolate(image, scale_factor=FACTOR, mode="bicubic", align_corners=False)


def doubled_matrix(matrix: np.ndarray) -> np.ndarray:
    """The matrix, (2, 3), that maps a photo's pixels to cells of the doubled grid, of that to cells of the grid."""
    fine = FACTOR * matrix
    fine[:, 2] += (FACTOR - 1) / 2  # cells lie at their middles
    return fine


def blurred(image: torch.Tensor, sigma: float, reach: int = 3) -> torch.Tensor:
    """Blur images (N, C, H, W) by a Gaussian of a standard deviation in pixels, which ends `reach` of them away."""
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(image.shape[1], 1, 1, -1)
    across = F.conv2d(F.pad(image, (reach, reach, 0, 0), mode="reflect"), kernel, groups=image.shape[1])
    return F.conv2d(F.pad(across, (0, 0, reach, reach), mode="reflect"), kernel.transpose(2, 3), groups=image.shape[1])


@functools.cache
def embedded_refiner(device: torch.device) -> Refiner | None:
    """Load the refiner that comes with the package; all who ask for a device share one. None if it came without."""
    if not (REFINER / "config.json").is_file():
        return None
    refiner = Refiner.from_pretrained(REFINER).requires_grad_(False)
    return refiner.to(device=device, memory_format=torch.channels_last)


@torch.inference_mode()
def refine(
    refiner: Refiner, image: torch.Tensor, mask: torch.Tensor, share: float, dtype: torch.dtype
) -> torch.Tensor:
    """Draw images at twice their resolution.

    Args:
        refiner: on any device.
        image: (N, 3, H, W), about [-1, 1], float32, on the CPU, filled.
        mask: (N, 1, H, W), {0, 1}, 1 = filled.
        share: of what the refiner draws; the rest is cubic interpolation.
        dtype: float32, or bfloat16 for convolutions in it.

    Returns:
        (N, 3, 2H, 2W), about [-1, 1], float32, on the CPU.
    """
    device = refiner.stem.weight.device
    given = (part.to(device, memory_format=torch.channels_last) for part in (image, mask))
    with torch.autocast(device.type, dtype, enabled=dtype == torch.bfloat16):
        drawn = refiner(*given).float().cpu()
    cubic = doubled(image)
    return cubic + share * blurred(drawn - cubic, _SOFT)
