"""The three discriminators of NGAN and the fully connected layer that joins two of them.

Known of the paper: the code discriminator has 3 convolutional layers and 1 fully connected; the global one sees the
whole image, the local one only the reconstructed area, and a fully connected layer joins them. Kernel sizes follow
GLCIC (Iizuka et al. 2017): 5x5, stride 2. Each ends in average pooling to a fixed grid before its fully connected
layer, so that a critic trained at one image size can be trained on at another. Like the generators, all three can read
patches of pixels, so that a face twice as large costs nearly the same arithmetic: this project's addition.

Every discriminator returns logits, and the features of its convolutions for feature matching. The global and the
local one may have heads beside their convolutions, small critics of what a frozen network sees in the same picture
("Projected GANs Converge Faster", Sauer et al. 2021): this project's addition.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional as F

from ngan.layers import activate, initialise, pad_to_multiple

POOLED = 4  # cells a side that reach a fully connected layer
HEADS = ".heads."  # in the names of all weights of the heads on frozen features


@dataclass
class Judgement:
    """What a discriminator says of a batch.

    Attributes:
        logits: (N, 1), positive = real.
        features: of each convolution, (N, C_i, H_i, W_i), shallow to deep.
        embedding: (N, E), the flat vector before the last layer.
        maps: logits of the heads, (N, 1, h_i, w_i) each, positive = real there; empty without heads.
    """

    logits: torch.Tensor
    features: list[torch.Tensor]
    embedding: torch.Tensor
    maps: list[torch.Tensor] = field(default_factory=list)


class _Discriminator(nn.Module):
    """A stack of 5x5 stride-2 convolutions, one fully connected layer to an embedding of `embedding` values, one logit
    from it.

    With `embedding` 0 the pooled features themselves are the embedding and the fully connected layer ends in the
    logit. The first convolution reads patches of `patch` x `patch` pixels, each as one place. With `seen`, the
    channels of frozen features, it has a head for each of them.
    """

    def __init__(self, channels: list[int], embedding: int, patch: int = 1, seen: Sequence[int] = ()) -> None:
        super().__init__()
        self.patch = patch
        sizes = zip([3 * patch**2, *channels[:-1]], channels, strict=True)
        self.convs = nn.ModuleList(nn.Conv2d(c_in, c_out, 5, stride=2, padding=2) for c_in, c_out in sizes)
        flat = channels[-1] * POOLED**2
        self.embed = nn.Linear(flat, embedding) if embedding else None
        self.classify = nn.Linear(embedding or flat, 1)
        self.heads = nn.ModuleList(FeatureHead(c) for c in seen)
        initialise(self)

    def forward(self, image: torch.Tensor, seen: Sequence[torch.Tensor] = ()) -> Judgement:
        """Judge images (N, 3, H, W), [-1, 1], and what a frozen network sees in them, (N, C_i, h_i, w_i) each.

        Without `seen` the heads say nothing.
        """
        features = []
        x = F.pixel_unshuffle(pad_to_multiple(image, self.patch), self.patch)  # (N, 3pp, H/p, W/p)
        for conv in self.convs:
            x = activate(conv(x))
            features.append(x)
        x = F.adaptive_avg_pool2d(x, POOLED).flatten(1)
        if self.embed is not None:
            x = activate(self.embed(x))  # (N, embedding)
        maps = [head(s) for head, s in zip(self.heads, seen, strict=True)] if seen else []
        return Judgement(self.classify(x), features, x, maps)


class FeatureHead(nn.Module):
    """A small critic of one grid of frozen features, (N, C, h, w) -> logits (N, 1, h, w), positive = real there."""

    def __init__(self, channels: int, width: int = 64) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, width, 1)
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.classify = nn.Conv2d(width, 1, 1)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        return self.classify(activate(self.conv(activate(self.mix(seen)))))


class CodeDiscriminator(_Discriminator):
    """Discriminator of the sub-confrontation GAN, 3 convolutions + 1 fully connected layer: code image or truth?"""

    def __init__(self, width: int = 32, patch: int = 1) -> None:
        super().__init__([width, 2 * width, 4 * width], 0, patch)


class GlobalDiscriminator(_Discriminator):
    """Parent-confrontation discriminator of the whole image, 5 convolutions + fully connected: composite or truth?"""

    def __init__(self, width: int = 32, embedding: int = 256, patch: int = 1, seen: Sequence[int] = ()) -> None:
        super().__init__([width, 2 * width, 4 * width, 8 * width, 8 * width], embedding, patch, seen)


class LocalDiscriminator(_Discriminator):
    """Parent-confrontation discriminator of a fixed window around the damage, 4 convolutions + fully connected."""

    def __init__(self, width: int = 32, embedding: int = 256, patch: int = 1, seen: Sequence[int] = ()) -> None:
        super().__init__([width, 2 * width, 4 * width, 8 * width], embedding, patch, seen)


class JointHead(nn.Module):
    """The fully connected layer over both branches' embeddings, (N, E) + (N, E) -> D_GL logits (N, 1)."""

    def __init__(self, embedding: int = 256) -> None:
        super().__init__()
        self.classify = nn.Linear(2 * embedding, 1)
        initialise(self)

    def forward(self, global_embedding: torch.Tensor, local_embedding: torch.Tensor) -> torch.Tensor:
        """Return the logits D_GL (N, 1), positive = real."""
        return self.classify(torch.cat([global_embedding, local_embedding], dim=1))
