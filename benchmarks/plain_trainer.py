"""The same update of the same five networks, written as public GAN trainers are: the peer of `training_speed.py`.

float32, NCHW, one Adam and one backward pass for each network's loss, real and fake in passes of their own, windows
cut sample by sample, each loss read with `.item()`, an average kept by a loop over the parameters, no compilation. The
mathematics are those of `ngan.training.train_step`: in float32 both end in the same weights.
"""

import copy
import itertools

import torch
from torch.nn import functional as F

from ngan.config import TrainConfig
from ngan.draws import Batch
from ngan.losses import (
    adversarial_loss,
    branch_discriminator_loss,
    code_discriminator_loss,
    feature_matching_loss,
    location_loss,
    r1_penalty,
    reconstruction_loss,
    structure_loss,
)
from ngan.masks import composite, crop_box
from ngan.model import NGAN, NGANDiscriminators, NGANOutput


class PlainTrainer:
    """Trains NGAN's five networks without this project's engineering.

    Args:
        generators: the code generator and the image generator; their weights change.
        discriminators: the three critics and the joint head; their weights change.
        config: weights of the losses, learning rates, the window's side.
    """

    def __init__(self, generators: NGAN, discriminators: NGANDiscriminators, config: TrainConfig) -> None:
        self.generators = generators.to(memory_format=torch.contiguous_format)
        self.discriminators = discriminators.to(memory_format=torch.contiguous_format)
        self.config = config
        critics, betas = self.discriminators, (config.discriminator_beta1, 0.99)
        rate, critic_rate = config.learning_rate, config.discriminator_learning_rate
        self.code_g = torch.optim.Adam(generators.code_generator.parameters(), rate, (config.beta1, 0.99))
        self.image_g = torch.optim.Adam(generators.image_generator.parameters(), rate, (config.beta1, 0.99))
        self.code_d = torch.optim.Adam(critics.code.parameters(), critic_rate, betas)
        joined = itertools.chain(critics.global_.parameters(), critics.joint.parameters())
        self.global_d = torch.optim.Adam(joined, critic_rate, betas)
        self.local_d = torch.optim.Adam(critics.local.parameters(), critic_rate, betas)
        self.average = copy.deepcopy(generators)

    def step(self, batch: Batch, step: int) -> dict[str, float]:
        """Make one update of all five networks.

        Args:
            batch: its images and mask in NCHW.
            step: number of this update, from 0; the gradient penalty comes every `r1_every`.

        Returns:
            The losses by name.
        """
        output = self.generators(batch.corrupted, None if batch.hidden else batch.mask)
        shown = output.location.sigmoid() if batch.hidden else batch.mask
        code = composite(batch.corrupted, output.code_image, shown)
        boxes = crop_box(batch.mask, self.config.window, self.config.local_zoom).tolist()
        fake = (code, output.composite, self._crop(output.composite, boxes))
        real = (batch.image, batch.image, self._crop(batch.image, boxes))
        losses = self._update_discriminators(real, tuple(image.detach() for image in fake), step)
        losses |= self._update_generators(batch, output, real, fake)
        for average, own in zip(self.average.parameters(), self.generators.parameters(), strict=True):
            average.data.mul_(0.999).add_(own.data, alpha=0.001)
        return losses

    def _crop(self, images: torch.Tensor, boxes: list[list[int]]) -> torch.Tensor:
        size = self.config.window
        windows = (
            F.interpolate(x[None, :, top : top + side, left : left + side], (size, size), mode="bilinear")
            for x, (top, left, side) in zip(images, boxes, strict=True)
        )
        return torch.cat(list(windows))

    def _update_discriminators(
        self, real: tuple[torch.Tensor, ...], fake: tuple[torch.Tensor, ...], step: int
    ) -> dict[str, float]:
        on_real, on_fake = self.discriminators(*real), self.discriminators(*fake)
        joint = on_real["joint"].logits, on_fake["joint"].logits
        code_d = code_discriminator_loss(on_real["code"].logits, on_fake["code"].logits)
        global_d = branch_discriminator_loss(on_real["global"].logits, on_fake["global"].logits, *joint)
        local_d = branch_discriminator_loss(on_real["local"].logits, on_fake["local"].logits, *joint)
        for optimizer in (self.code_d, self.global_d, self.local_d):
            optimizer.zero_grad()
        code_d.backward()
        global_d.backward(retain_graph=True)  # the joint head's loss belongs to local_d too
        local_d.backward()
        losses = {"code_d": code_d.item(), "global_d": global_d.item(), "local_d": local_d.item()}
        if self.config.r1_gamma and step % self.config.r1_every == 0:
            images = [image.detach().clone().requires_grad_() for image in real]
            penalty = r1_penalty(sum(judged.logits for judged in self.discriminators(*images).values()), images)
            (self.config.r1_gamma / 2 * self.config.r1_every * penalty).backward()
            losses["global_d/r1"] = penalty.item()
        for optimizer in (self.code_d, self.global_d, self.local_d):
            optimizer.step()
        return losses

    def _update_generators(
        self, batch: Batch, output: NGANOutput, real: tuple[torch.Tensor, ...], fake: tuple[torch.Tensor, ...]
    ) -> dict[str, float]:
        config = self.config

        def reconstruction(image: torch.Tensor) -> torch.Tensor:
            return reconstruction_loss(image, batch.image, batch.mask, config.distance, config.hole_weight)

        self.discriminators.requires_grad_(False)
        on_fake, on_real = self.discriminators(*fake), self.discriminators(*real)
        matching = [
            feature_matching_loss(on_fake[name].features, on_real[name].features)
            for name in ("code", "global", "local")
        ]
        code_g = (
            config.lambda_coding * reconstruction(output.code_image)
            + config.lambda_location * location_loss(output.location, batch.mask)
            + config.lambda_code_adversarial * adversarial_loss(on_fake["code"].logits)
        )
        image_g = (
            config.lambda_reconstruction * reconstruction(output.image)
            + config.lambda_image_adversarial * adversarial_loss(on_fake["joint"].logits)
            + config.lambda_feature_matching * sum(matching) / len(matching)
            + config.lambda_structure * structure_loss(output.composite, batch.image, batch.mask)
        )
        self.code_g.zero_grad()
        self.image_g.zero_grad()
        code_g.backward(retain_graph=True)
        image_g.backward()  # reaches the code generator too: code_g's own share of the reconstruction
        self.code_g.step()
        self.image_g.step()
        self.discriminators.requires_grad_(True)
        return {"code_g": code_g.item(), "image_g": image_g.item()}
