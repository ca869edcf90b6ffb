"""NGAN, the nested generator, and NGANDiscriminators, its three critics, as models of the Hugging Face Hub.

The nesting of the paper: the sub-confrontation GAN (`CodeGenerator` against `CodeDiscriminator`) sits inside the
generator of the parent-confrontation GAN (`ImageGenerator` against `GlobalDiscriminator` and `LocalDiscriminator`). So
`NGAN` holds both generators, one folder serves every use of it, and the critics are needed for training only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ngan.discriminators import CodeDiscriminator, GlobalDiscriminator, JointHead, Judgement, LocalDiscriminator
from ngan.features import CHANNELS
from ngan.generators import CodeGenerator, ImageGenerator
from ngan.masks import composite
from ngan.strict import StrictHubMixin

_AT_MOST = 4096  # of any width or depth: beyond it a configuration is an error, not a model
_LARGEST = 1024  # image_size, in pixels: `Inpainter` brings every face to it
MASK_UNKNOWN = 0.5  # value of the code generator's mask channel when the damage is to be found

HUB = {  # of every model's card
    "library_name": "ngan",
    "pipeline_tag": "image-to-image",
    "tags": ["inpainting", "face-inpainting", "gan", "ngan"],
    "paper_url": "https://doi.org/10.1109/ACCESS.2019.2949614",
}


def hub_card(title: str, body: str) -> str:
    """Return the template of the card that `save_pretrained` writes."""
    return f"""---
{{{{ card_data }}}}
---

# NGAN: {title}

{body}

Paper: {{{{ paper_url }}}}. Written by `save_pretrained`; a trained model's card has figures here.
"""


@dataclass
class NGANOutput:
    """What the nested generators make of a batch.

    Attributes:
        code_image: (N, 3, H, W), about [-1, 1], the code generator's image before the known pixels are pasted back.
        location: (N, 1, H, W), logits, positive = damaged.
        image: (N, 3, H, W), about [-1, 1], the image generator's image.
        composite: (N, 3, H, W), `image` where missing and the input where known.
    """

    code_image: torch.Tensor
    location: torch.Tensor
    image: torch.Tensor
    composite: torch.Tensor


class NGAN(
    nn.Module,
    StrictHubMixin,
    model_card_template=hub_card(
        "face inpainting by a nested GAN", "Both generators: image and mask in, whole face out."
    ),
    **HUB,
):
    """Both generators, nested: corrupted image (and mask) in, code image, location, final image and composite out.

    Args:
        code_width: channels of the code generator at the patch grid.
        image_width: channels of the image generator at the patch grid.
        patch: side of a patch in pixels; 1 works on pixels.
        dilations: rates of the code generator's five dilated convolutions.
        blocks: residual blocks at the image generator's deepest grid.
        attention_every: a self-attention follows each such number of blocks; 0 = none.
        image_size: side of the square pictures this model was trained at, in pixels, up to 1024; a note to its user,
            no limit to what it takes.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self,
        code_width: int = 32,
        image_width: int = 40,
        patch: int = 2,
        dilations: list[int] | None = None,
        blocks: int = 8,
        attention_every: int = 4,
        image_size: int = 128,
    ) -> None:
        super().__init__()
        dilations = [1, 2, 4, 8, 1] if dilations is None else list(dilations)
        _require("code_width", code_width, 1)
        _require("image_width", image_width, 1)
        _require("patch", patch, 1, _LARGEST // 4)  # image_size is four patches at least
        _require("blocks", blocks, 0)
        _require("attention_every", attention_every, 0)
        _require("image_size", image_size, 4 * patch, _LARGEST)
        if len(dilations) != 5:
            raise ValueError(
                f"dilations={dilations}: the code generator has five dilated convolutions, so five rates are needed"
            )
        for rate in dilations:
            _require("dilations", rate, 1)
        if attention_every and 4 * image_width > 32 and (4 * image_width) % (4 * image_width // 32):
            raise ValueError(
                f"image_width={image_width}: 4 x image_width must divide into heads; take a multiple of 8"
            )
        self.image_size = image_size
        self.code_generator = CodeGenerator(code_width, patch, dilations)
        self.image_generator = ImageGenerator(image_width, patch, blocks, attention_every)

    def forward(self, image: torch.Tensor, mask: torch.Tensor | None = None) -> NGANOutput:
        """Fill the damage of a batch of images.

        Args:
            image: (N, 3, H, W), [-1, 1], of any height and width; what it holds where `mask` is 1, NaN included,
                makes no difference.
            mask: (N, 1, H, W), {0, 1}, 1 = missing, 0 = known; None = find the damage: the sigmoid of the location
                map takes the mask's place.

        Returns:
            The images of both stages. With a mask, `composite` equals `image` exactly wherever the mask is 0.

        Raises:
            ValueError: shapes that do not fit.
        """
        check_shapes(image, mask)
        if mask is None:
            hint = torch.full_like(image[:, :1], MASK_UNKNOWN)
            code_image, location = self.code_generator(image, hint)
            mask = location.sigmoid().to(image.dtype)
        else:
            mask = mask.to(image.dtype)
            image = image.masked_fill(mask == 1, 0)  # NaN times 0 is NaN
            code_image, location = self.code_generator(image * (1 - mask), mask)
        code = composite(image, code_image, mask)
        final = self.image_generator(image * (1 - mask), code, mask)
        return NGANOutput(code_image, location, final, composite(image, final, mask))


class NGANDiscriminators(
    nn.Module,
    StrictHubMixin,
    model_card_template=hub_card("the critics", "The three discriminators and their joint head, to train on from."),
    **HUB,
):
    """All three critics and the fully connected head that joins the global and the local one.

    Args:
        width: channels of each critic's first convolution.
        embedding: values of the global and local embeddings that the joint head reads.
        projected: the global and the local critic have heads on the features of `ngan.features.ImageFeatures`.
        patch: side of a patch in pixels, which each critic's first convolution reads as one place; 1 works on pixels.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, width: int = 32, embedding: int = 256, projected: bool = False, patch: int = 1) -> None:
        super().__init__()
        if not isinstance(projected, bool):
            raise ValueError(f"projected={projected!r}: must be true or false")
        _require("width", width, 1)
        _require("embedding", embedding, 1)
        _require("patch", patch, 1)
        seen = CHANNELS if projected else ()
        self.code = CodeDiscriminator(width, patch)
        self.global_ = GlobalDiscriminator(width, embedding, patch, seen)
        self.local = LocalDiscriminator(width, embedding, patch, seen)
        self.joint = JointHead(embedding)

    def forward(
        self,
        code_image: torch.Tensor,
        image: torch.Tensor,
        crop: torch.Tensor,
        image_seen: Sequence[torch.Tensor] = (),
        crop_seen: Sequence[torch.Tensor] = (),
    ) -> dict[str, Judgement]:
        """Judge what both generators made, or the ground truth in its place.

        Args:
            code_image: (N, 3, H, W), [-1, 1], for the code discriminator.
            image: (N, 3, H, W), [-1, 1], for the global discriminator.
            crop: (N, 3, h, w), [-1, 1], the window of `image` around the damage, for the local discriminator.
            image_seen: what `ImageFeatures` sees in `image`, for the global one's heads; empty = they say nothing.
            crop_seen: the same of `crop`, for the local one's.

        Returns:
            Judgements under "code", "global", "local" and "joint"; the last one's logits are D_GL, it has no features.
        """
        whole, window = self.global_(image, image_seen), self.local(crop, crop_seen)
        logits = self.joint(whole.embedding, window.embedding)
        joint = Judgement(logits, [], torch.cat([whole.embedding, window.embedding], dim=1))
        return {"code": self.code(code_image), "global": whole, "local": window, "joint": joint}


def check_shapes(image: torch.Tensor, mask: torch.Tensor | None) -> None:
    """Refuse pictures and masks that `NGAN` cannot be called with.

    Raises:
        ValueError: image is not (N, 3, H, W), or mask not (N, 1, H, W) of the same N, H and W.
    """
    if image.ndim != 4 or image.shape[1] != 3 or 0 in image.shape:
        raise ValueError(f"image: shape {tuple(image.shape)}, expected (N, 3, H, W) without an empty side")
    expected = (image.shape[0], 1, *image.shape[2:])
    if mask is not None and mask.shape != expected:
        raise ValueError(f"mask: shape {tuple(mask.shape)}, expected {expected} for image {tuple(image.shape)}")


def _require(name: str, value: Any, at_least: int, at_most: int = _AT_MOST) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not at_least <= value <= at_most:
        raise ValueError(f"{name}={value!r}: must be an integer from {at_least} to {at_most}")
