"""NGAN with parts taken away: the nesting itself, or the code critic alone."""

import bisect

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import nn

from benchmarks.no_critic import NoCritic
from ngan.config import TrainConfig
from ngan.generators import ImageGenerator
from ngan.masks import composite
from ngan.model import NGANDiscriminators, NGANOutput
from ngan.start import make_networks


class SingleStage(nn.Module, PyTorchModelHubMixin):
    """The image generator alone, behind the interface of `ngan.model.NGAN`; the corrupted image stands for the code.

    Args:
        width: channels at the patch grid.
        patch: side of a patch, in pixels.
        blocks: residual blocks at the deepest grid.
        attention_every: blocks between self-attentions; 0 = none.
    """

    def __init__(self, width: int = 42, patch: int = 2, blocks: int = 9, attention_every: int = 4) -> None:
        super().__init__()
        self.image_generator = ImageGenerator(width, patch, blocks, attention_every)
        for layer in self.image_generator.core:
            if hasattr(layer, "heads"):  # about 32 channels a head, at widths too that 32 does not divide
                layer.heads = max(heads for heads in range(1, layer.heads + 1) if 4 * width % heads == 0)

    def forward(self, image: torch.Tensor, mask: torch.Tensor | None = None) -> NGANOutput:
        """Fill the holes of images (N, 3, H, W), [-1, 1], with a mask (N, 1, H, W), 1 = missing.

        The code image is the corrupted image and the location map the mask itself: there is no first stage.

        Raises:
            ValueError: no mask; finding the damage is the code generator's work.
        """
        if mask is None:
            raise ValueError("a single stage needs a mask: train and measure it with find_share 0")
        mask = mask.to(image.dtype)
        known = image * (1 - mask)
        final = self.image_generator(known, known, mask)
        return NGANOutput(known, 20 * mask - 10, final, composite(image, final, mask))


def count(module: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def matching_sizes(config: TrainConfig) -> tuple[int, int]:
    """Return the width and the number of blocks of the image generator alone whose parameters come nearest to those of
    the configuration's NGAN: wider, with at most two blocks more.

    Width alone moves the number in steps of over 4 % at the default size.
    """
    with torch.device("meta"):  # shapes only
        target = count(make_networks(config)[0])

        def excess(width: int, blocks: int) -> int:
            return count(ImageGenerator(width, config.patch, blocks, config.attention_every)) - target

        candidates = []
        for blocks in range(config.blocks, config.blocks + 3):
            widths = range(config.image_width, 2 * config.image_width)
            first_above = bisect.bisect_left(widths, 0, key=lambda width, blocks=blocks: excess(width, blocks))
            near = widths[max(0, first_above - 1) : first_above + 1]
            candidates += [(width, blocks) for width in near]
        return min(candidates, key=lambda size: abs(excess(*size)))


def single_stage_networks(config: TrainConfig) -> tuple[SingleStage, NGANDiscriminators]:
    """Build the single stage of about NGAN's number of parameters, and NGAN's critics without the code critic."""
    width, blocks = matching_sizes(config)
    torch.manual_seed(config.seed)
    generators = SingleStage(width, config.patch, blocks, config.attention_every)
    critics = NGANDiscriminators(width=config.discriminator_width, embedding=config.embedding)
    critics.code = NoCritic()
    return generators.to(memory_format=torch.channels_last), critics.to(memory_format=torch.channels_last)


def networks_without_code_critic(config: TrainConfig) -> tuple[nn.Module, NGANDiscriminators]:
    """Build NGAN as it is, from the same first weights, and its critics without the code critic."""
    generators, critics = make_networks(config)
    critics.code = NoCritic()
    return generators, critics
