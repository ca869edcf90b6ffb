"""What `benchmarks.ablation` compares: a table of named variants. One more is one more line."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from benchmarks.glcic import ADVERSARIAL_WEIGHT, PHASES, glcic_networks
from benchmarks.single_stage import networks_without_code_critic, single_stage_networks
from ngan.config import TrainConfig
from ngan.start import make_networks

__all__ = ["PHASES", "VARIANTS", "Variant"]


@dataclass(frozen=True)
class Variant:
    """One row of the comparison.

    Attributes:
        title: what a reader of the table sees.
        fields: of `TrainConfig`, where they differ from the comparison's common ones.
        networks: makes generators and critics of a configuration.
        updates: how many times the comparison's updates it is trained for.
    """

    title: str
    fields: dict[str, Any] = field(default_factory=dict)
    networks: Callable[[TrainConfig], tuple[nn.Module, nn.Module]] = make_networks
    updates: float = 1.0


_NO_CODE = {"lambda_code_adversarial": 0.0}
_NO_FIRST_STAGE = {**_NO_CODE, "lambda_coding": 0.0, "lambda_location": 0.0}
_GLCIC = {
    **_NO_FIRST_STAGE,
    "distance": "mse",
    "hole_weight": 0.0,
    "lambda_image_adversarial": ADVERSARIAL_WEIGHT,
    "lambda_feature_matching": 0.0,
    "r1_gamma": 0.0,
    "ema_half_life": 0.0,
}
_STRUCTURE = {"lambda_structure": TrainConfig.lambda_structure}  # that the comparison's common fields switch off
_RATE = TrainConfig.learning_rate
# Operations of an update of GLCIC over those of one of NGAN, all networks, forward and backward, at 64x64 pixels:
# 16.51 to 4.79 GFLOPs an image, by `benchmarks.timed_trainer.count_flops`.
_GLCIC_COST = 3.45

VARIANTS: dict[str, Variant] = {
    "default": Variant("NGAN, default recipe", _STRUCTURE),
    "default_longer": Variant(
        f"NGAN, default recipe, with as many operations in training as GLCIC ({_GLCIC_COST} times the updates)",
        _STRUCTURE,
        updates=_GLCIC_COST,
    ),
    "default_single": Variant(
        "no nesting: image generator alone, widened", {**_STRUCTURE, **_NO_FIRST_STAGE}, single_stage_networks
    ),
    "default_no_code_critic": Variant(
        "default recipe, no code critic", {**_STRUCTURE, **_NO_CODE}, networks_without_code_critic
    ),
    "default_perceptual": Variant("default recipe and perceptual loss", {**_STRUCTURE, "lambda_perceptual": 1.0}),
    "ngan": Variant("NGAN, base of the rows below: default recipe without the structure loss"),
    "ngan_find": Variant("NGAN, base, a third of its batches mask-free", {"find_share": TrainConfig.find_share}),
    "ngan_longer": Variant(
        f"NGAN, base, with as many operations in training as GLCIC ({_GLCIC_COST} times the updates)",
        updates=_GLCIC_COST,
    ),
    "paper": Variant("NGAN, the paper's losses, with Adam", {"recipe": "paper", "framing_jitter": 1.0}),
    "single": Variant("base, no nesting: image generator alone, widened", _NO_FIRST_STAGE, single_stage_networks),
    "no_code_critic": Variant("base, no code critic", _NO_CODE, networks_without_code_critic),
    "glcic": Variant("GLCIC", _GLCIC, glcic_networks),
    "adam": Variant("Adam instead of Muon", {"optimizer": "adam"}),
    "projected": Variant(
        "heads on ImageNet features, perceptual loss", {"lambda_projected": 0.5, "lambda_perceptual": 1.0}
    ),
    "structure": Variant("the structure loss weighted 1", {"lambda_structure": 1.0}),
    "zoom": Variant("the local critic's window enlarged around small holes", {"local_zoom": 3.0}),
    "aligned": Variant("aligned faces only", {"framing_jitter": 0.0}),
    "no_feature_matching": Variant("no feature matching", {"lambda_feature_matching": 0.0}),
    "no_r1": Variant("no R1 penalty", {"r1_gamma": 0.0}),
    "no_ema": Variant("no moving average", {"ema_half_life": 0.0}),
    "no_hole_weight": Variant("reconstruction over all pixels alike", {"hole_weight": 0.0}),
    "mse": Variant("MSE instead of L1", {"distance": "mse"}),
    "reconstruction": Variant(
        "no adversary at all",
        {**_NO_CODE, "lambda_image_adversarial": 0.0, "lambda_feature_matching": 0.0},
    ),
    "muon_critics": Variant(
        "Muon for the critics", {"discriminator_optimizer": "muon", "discriminator_learning_rate": _RATE}
    ),
    "equal_rates": Variant("critics learn as fast as generators", {"discriminator_learning_rate": _RATE}),
    "slow_critics": Variant("critics learn ten times slower", {"discriminator_learning_rate": _RATE / 10}),
    "no_attention": Variant("no self-attention", {"attention_every": 0}),
    "r1_formula": Variant("R1 by StyleGAN2's formula: 0.0002 x side^2 / batch", {"r1_gamma": 0.0512}),
    "short_ema": Variant("moving average over 1,000 images instead of 10,000", {"ema_half_life": 1.0}),
    "wide_masks": Variant("wide strokes and boxes only, as LaMa trains", {"masks": "wide"}),
    "two_head_ratios": Variant(
        "adversarial : L1 : feature matching = 1 : 10 : 10",
        {"lambda_code_adversarial": 0.02, "lambda_image_adversarial": 0.1, "lambda_feature_matching": 1.0},
    ),
    "lama_ratios": Variant(
        "adversarial : perceptual : feature matching = 1 : 3 : 10, LaMa's",
        {
            "lambda_code_adversarial": 0.02,
            "lambda_image_adversarial": 0.1,
            "lambda_perceptual": 0.3,
            "lambda_feature_matching": 1.0,
        },
    ),
    "perceptual": Variant("perceptual loss", {"lambda_perceptual": 1.0}),
    "heads": Variant("heads on ImageNet features", {"lambda_projected": 0.5}),
}
