"""A critic that is not there: for comparisons in which one of NGAN's critics is taken away."""

import torch
from torch import nn

from ngan.discriminators import Judgement


class NoCritic(nn.Module):
    """Stands where a critic is expected and has no opinion, no weights, and no gradient but zeros.

    The training step then adds a constant to the logged losses and nothing to any network's gradient; in feature
    matching, the mean over the three critics, the other two keep their weight.
    """

    def forward(self, image: torch.Tensor) -> Judgement:
        """Return logits 0 (N, 1), tied to `image` (N, C, H, W) so that a gradient by it exists, and is 0."""
        logits = 0.0 * image.float().mean(dim=(1, 2, 3)).unsqueeze(1)
        return Judgement(logits, [torch.zeros_like(logits)], logits)
