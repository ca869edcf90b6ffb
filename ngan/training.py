"""One update of the five networks, its phases and schedule; knows no Accelerate."""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional as F

from ngan.config import TrainConfig
from ngan.draws import Batch
from ngan.features import STRIDE, ImageFeatures
from ngan.losses import (
    adversarial_loss,
    branch_discriminator_loss,
    code_discriminator_loss,
    code_generator_loss,
    feature_matching_loss,
    image_generator_loss,
    location_loss,
    perceptual_loss,
    projected_adversarial_loss,
    projected_discriminator_loss,
    r1_penalty,
    reconstruction_loss,
    structure_loss,
)
from ngan.masks import composite, crop, crop_box
from ngan.model import NGANOutput
from ngan.optimizers import make_optimizer

LOSSES = ("code_g", "code_d", "image_g", "global_d", "local_d")
_ZOOMS = 1.0, 1.25, 1.5  # of what the frozen network sees, in turn: no one grid of its cells to be fooled on
_LEAST_SIDE = 128  # of the same, in pixels: it was trained on pictures of 224
Losses = dict[str, torch.Tensor]
Seen = tuple[list[torch.Tensor], list[torch.Tensor]]


@dataclass
class Networks:
    """The five networks as the two modules that hold them, wrapped for several processes or not.

    Attributes:
        generators: both.
        discriminators: all three.
        features: the frozen network whose features the losses of `TrainConfig.uses_features` read; else None.
    """

    generators: nn.Module
    discriminators: nn.Module
    features: ImageFeatures | None = None


@dataclass
class View:
    """What the critics see: of the generators' pictures, or of the ground truth.

    Attributes:
        images: code image, whole image and the window around the damage, each (N, 3, h, w), [-1, 1].
        seen: what the frozen network sees in the last two; empty where no loss asks for it.
    """

    images: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    seen: Seen = field(default_factory=lambda: ([], []))

    def detached(self) -> "View":
        """Return the same without the way back to the generators."""
        seen = tuple([values.detach() for values in part] for part in self.seen)
        return View(tuple(image.detach() for image in self.images), seen)


@dataclass
class Optimizers:
    """One optimizer for both generators, one for all critics."""

    generators: torch.optim.Optimizer
    discriminators: torch.optim.Optimizer


def compile_networks(networks: Networks) -> Networks:
    """Return both modules as `torch.compile` runs them, each kind of call for its one shape; the weights are shared.

    Save, average and evaluate the modules that were given: names of weights stay those of the networks.
    """
    compiled = (torch.compile(m, dynamic=False) for m in (networks.generators, networks.discriminators))
    return Networks(*compiled, networks.features)


def _eager(module: nn.Module) -> nn.Module:
    """Return the module that `torch.compile` wraps: compiled code has no gradient of a gradient."""
    return getattr(module, "_orig_mod", module)


def make_optimizers(networks: Networks, config: TrainConfig) -> Optimizers:
    """Build the optimizers of both generators and of all critics."""
    dtype = torch.bfloat16 if config.mixed_precision == "bf16" else torch.float32
    return Optimizers(
        make_optimizer(networks.generators, config.optimizer, config.learning_rate, (config.beta1, 0.99), dtype),
        make_optimizer(
            networks.discriminators,
            config.discriminator_optimizer,
            config.discriminator_learning_rate,
            (config.discriminator_beta1, 0.99),
            dtype,
        ),
    )


def phase(step: int, config: TrainConfig) -> tuple[bool, bool]:
    """Tell whether the update `step` (from 0) trains the generators, and whether the critics take part."""
    if step < config.generator_only_steps:
        return True, False
    return step >= config.generator_only_steps + config.discriminator_only_steps, True


def update_kind(step: int, config: TrainConfig) -> tuple[bool, bool, bool, int]:
    """Return all that `train_step` reads of an update's number: two with the same launch the same work."""
    train_generators, use_critics = phase(step, config)
    penalised = use_critics and config.r1_gamma > 0 and step % config.r1_every == 0
    zoom = step % len(_ZOOMS) if use_critics and config.uses_features else 0
    return train_generators, use_critics, penalised, zoom


def learning_rate_factor(step: int, config: TrainConfig, minutes: float = 0.0) -> float:
    """Return what both learning rates are multiplied by at update `step` (from 0), after `minutes` of training,
    those of earlier launches included.

    A linear rise over `warmup_steps`, times a cosine from 1 to 0 over the run's updates, or over its minutes, or 1.
    """
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    done = {
        "cosine": step / config.max_train_steps,
        "minutes": minutes / max(config.max_train_minutes, 1e-9),
        "constant": 0.0,
    }
    return warmup * 0.5 * (1 + math.cos(math.pi * min(1.0, done[config.schedule])))


def train_step(
    networks: Networks,
    optimizers: Optimizers,
    batch: Batch,
    config: TrainConfig,
    step: int,
    backward: Callable[[torch.Tensor], None],
) -> Losses:
    """Make one update: critics first, then generators against the updated critics, as GANs alternate (Goodfellow
    2014).

    Args:
        networks: the five networks; their weights change.
        optimizers: one for the generators, one for the critics; they step.
        batch: ground truth, corrupted image, mask.
        config: weights of the losses and phases.
        step: number of this update, from 0.
        backward: takes the summed loss of a half, such as `Accelerator.backward`.

    Returns:
        Detached scalars: the losses of the networks that took part under their five names, terms as `<loss>/<term>`.

    Raises:
        ValueError: a loss is to read frozen features, and `networks` has none.
    """
    if config.uses_features and networks.features is None:
        raise ValueError("networks.features is None: lambda_projected and lambda_perceptual above 0 need it")
    train_generators, use_critics = phase(step, config)
    autocast = torch.autocast(batch.image.device.type, torch.bfloat16, enabled=config.mixed_precision == "bf16")
    with autocast, contextlib.nullcontext() if train_generators else torch.no_grad():
        # (a), (b) corrupted image through the code generator and then the image generator
        output: NGANOutput = networks.generators(batch.corrupted, None if batch.hidden else batch.mask)
    # (c) known pixels pasted, windows around the damage cut, once
    shown = output.location.sigmoid() if batch.hidden else batch.mask
    code = composite(batch.corrupted, output.code_image, shown)
    box = crop_box(batch.mask, config.window, config.local_zoom)
    fake = View((code, output.composite, crop(output.composite, box, config.window)))
    real = View((batch.image, batch.image, crop(batch.image, box, config.window)))
    holes = batch.mask, crop(batch.mask, box, config.window)
    if use_critics and config.uses_features:
        with autocast:
            with torch.no_grad():
                real.seen = _look(networks.features, real, step)
            with contextlib.nullcontext() if train_generators else torch.no_grad():
                fake.seen = _look(networks.features, fake, step)
    losses: Losses = {}
    if use_critics:
        # (d) critics: code_d, global_d, local_d on detached fakes
        losses |= _discriminator_half(
            networks, optimizers, real, fake.detached(), holes, config, step, autocast, backward
        )
    if train_generators:
        # (e) generators: code_g, image_g against the updated, frozen critics
        losses |= _generator_half(
            networks, optimizers, batch, output, real, fake, holes, config, use_critics, autocast, backward
        )
    return losses


def _look(features: ImageFeatures, view: View, step: int) -> Seen:
    """Return what the frozen network sees in the whole image and in the window, both brought to one side.

    Of a large image only the window is seen in all its detail: the whole one, at four times the cost, has little more
    to tell than where its parts are.
    """
    _, image, window = view.images
    side = STRIDE * round(max(_LEAST_SIDE, window.shape[-1]) * _ZOOMS[step % len(_ZOOMS)] / STRIDE)
    whole, part = (
        F.interpolate(x, size=(side, side), mode="bilinear", antialias=side < x.shape[-1]) for x in (image, window)
    )
    return features(whole), features(part)


def _discriminator_half(
    networks: Networks,
    optimizers: Optimizers,
    real: View,
    fake: View,
    holes: tuple[torch.Tensor, torch.Tensor],
    config: TrainConfig,
    step: int,
    autocast: torch.autocast,
    backward: Callable[[torch.Tensor], None],
) -> Losses:
    projected = config.lambda_projected > 0
    with autocast:
        # Real and fake in one pass: no layer looks across the batch, and one large pass is faster than two.
        given = [torch.cat(pair) for pair in zip(real.images, fake.images, strict=True)]
        for pair in zip(real.seen, fake.seen, strict=True) if projected else ():
            given.append([torch.cat(grids) for grids in zip(*pair, strict=True)])
        judged = networks.discriminators(*given)
    (code_r, code_f), (global_r, global_f), (local_r, local_f), (joint_r, joint_f) = (
        judged[name].logits.chunk(2) for name in ("code", "global", "local", "joint")
    )
    losses = {
        "code_d": code_discriminator_loss(code_r, code_f),
        "global_d": branch_discriminator_loss(global_r, global_f, joint_r, joint_f),
        "local_d": branch_discriminator_loss(local_r, local_f, joint_r, joint_f),
    }
    for name, hole in zip(("global", "local"), holes, strict=True) if projected else ():
        halves = zip(*(logits.chunk(2) for logits in judged[name].maps), strict=True)
        losses[f"{name}_d/projected"] = projected_discriminator_loss(*halves, hole)
        losses[f"{name}_d"] = losses[f"{name}_d"] + losses[f"{name}_d/projected"]
    total = torch.stack([losses[name] for name in ("code_d", "global_d", "local_d")]).sum()
    if config.r1_gamma and step % config.r1_every == 0:
        images = [image.detach().clone().requires_grad_() for image in real.images]
        judged = _eager(networks.discriminators)(*images)  # float32: a gradient of a gradient
        penalty = r1_penalty(sum(j.logits for j in judged.values()), images)
        total = total + config.r1_gamma / 2 * config.r1_every * penalty
        losses["global_d/r1"] = penalty
    backward(total)
    optimizers.discriminators.step()
    optimizers.discriminators.zero_grad()
    return {name: loss.detach() for name, loss in losses.items()}


def _generator_half(
    networks: Networks,
    optimizers: Optimizers,
    batch: Batch,
    output: NGANOutput,
    real: View,
    fake: View,
    holes: tuple[torch.Tensor, torch.Tensor],
    config: TrainConfig,
    use_critics: bool,
    autocast: torch.autocast,
    backward: Callable[[torch.Tensor], None],
) -> Losses:
    def reconstruction(image: torch.Tensor) -> torch.Tensor:
        return reconstruction_loss(image, batch.image, batch.mask, config.distance, config.hole_weight)

    zero = output.image.new_zeros(())
    terms = {
        "code_g/coding": config.lambda_coding * reconstruction(output.code_image),
        "code_g/location": config.lambda_location * location_loss(output.location, batch.mask),
        "code_g/adversarial": zero,
        "image_g/reconstruction": config.lambda_reconstruction * reconstruction(output.image),
        "image_g/adversarial": zero,
        "image_g/feature_matching": zero,
        "image_g/projected": zero,
        "image_g/perceptual": zero,
        "image_g/structure": zero,
    }
    if config.lambda_structure:
        alike = structure_loss(output.composite, batch.image, batch.mask)
        terms["image_g/structure"] = config.lambda_structure * alike
    if use_critics:
        networks.discriminators.requires_grad_(False)  # else they would collect the generators' gradient
        with autocast:
            judged = networks.discriminators(*fake.images, *(fake.seen if config.lambda_projected else ()))
            with torch.no_grad():
                truth = networks.discriminators(*real.images)
        matching = [
            feature_matching_loss(judged[name].features, truth[name].features) for name in ("code", "global", "local")
        ]
        terms["code_g/adversarial"] = config.lambda_code_adversarial * adversarial_loss(judged["code"].logits)
        terms["image_g/adversarial"] = config.lambda_image_adversarial * adversarial_loss(judged["joint"].logits)
        terms["image_g/feature_matching"] = config.lambda_feature_matching * torch.stack(matching).mean()
        if config.lambda_projected:
            fooled = [
                projected_adversarial_loss(judged[name].maps, hole)
                for name, hole in zip(("global", "local"), holes, strict=True)
            ]
            terms["image_g/projected"] = config.lambda_projected * torch.stack(fooled).mean()
        if config.lambda_perceptual:
            far = [perceptual_loss(f, r, hole) for f, r, hole in zip(fake.seen, real.seen, holes, strict=True)]
            terms["image_g/perceptual"] = config.lambda_perceptual * torch.stack(far).mean()
    image_g = image_generator_loss(
        *(
            terms[f"image_g/{term}"]
            for term in ("reconstruction", "adversarial", "feature_matching", "projected", "perceptual", "structure")
        )
    )
    # The code is not detached on its way into the image generator: so the reconstruction of the final image reaches
    # the code generator too, which is the "reconstruction" part of code_g. One backward sums both losses, so it is
    # added once.
    backward(image_g + terms["code_g/coding"] + terms["code_g/location"] + terms["code_g/adversarial"])
    optimizers.generators.step()
    optimizers.generators.zero_grad()
    networks.discriminators.requires_grad_(True)
    code_g = code_generator_loss(
        terms["code_g/coding"], terms["image_g/reconstruction"], terms["code_g/adversarial"], terms["code_g/location"]
    )
    return {name: value.detach() for name, value in {"code_g": code_g, "image_g": image_g, **terms}.items()}
