"""The five losses of NGAN, one per network, from shared terms; pure functions, tensors in, scalar tensors out.

`code_g`, `code_d`, `image_g`, `global_d`, `local_d`: Li et al. 2019, their parts and the order of training as known of
the paper. With X the ground truth, M the mask (1 = missing), C the code generator's image, G the image generator's
image and Y = X(1-M) + GM the composite:

    code_g   = coding(C, X) + reconstruction(G, X) + lambda adv(D_code(C)) + lambda location(logits, M)
    code_d   = discriminator(D_code(X), D_code(C))
    image_g  = reconstruction(G, X) + lambda adv(D_GL(Y)) + lambda feature_matching
               + lambda adv(heads(Y)) + lambda perceptual(Y, X) + lambda structure(Y, X)
    global_d = discriminator(D_global(X), D_global(Y)) + 1/2 discriminator(D_GL(X), D_GL(Y))
               + discriminator(heads(X), heads(Y))
    local_d  = the same with D_local on the window around the damage

The paper names MSE for the reconstructions and binary cross-entropy for the critics. The location loss, feature
matching, the heads on frozen features, the perceptual and the structure loss are this project's additions. The joint
head belongs to both critics, so its loss is shared in halves.
"""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

from ngan.metrics import mean_of_windows, similarity_of_windows

Distance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
_DISTANCES: dict[str, Distance] = {
    "l1": lambda a, b: F.l1_loss(a, b, reduction="none"),
    "mse": lambda a, b: F.mse_loss(a, b, reduction="none"),
}
DISTANCES = tuple(_DISTANCES)


def reconstruction_loss(
    fake: torch.Tensor, real: torch.Tensor, mask: torch.Tensor, distance: str = "l1", hole_weight: float = 0.0
) -> torch.Tensor:
    """Return the pixel-wise distance of an image to the ground truth.

    With `hole_weight` w > 0: w * mean over the hole + mean over the known pixels, of each sample over its own pixels
    and then over the samples, so that a small hole counts as much as a large one; an empty hole, or an empty rest,
    adds 0. With w = 0 (the paper): the mean over all pixels.

    Args:
        fake: (N, 3, H, W), about [-1, 1].
        real: (N, 3, H, W), [-1, 1].
        mask: (N, 1, H, W), {0, 1}, 1 = missing.
        distance: "l1" or "mse".
        hole_weight: weight of the hole against the known pixels; 0 = no difference between them.
    """
    error = _DISTANCES[distance](fake.float(), real.float())
    if hole_weight == 0:
        return error.mean()
    mask = mask.float()
    error = error.mean(dim=1, keepdim=True)  # (N, 1, H, W)
    hole = (error * mask).sum(dim=(1, 2, 3)) / mask.sum(dim=(1, 2, 3)).clamp(min=1)
    known = (error * (1 - mask)).sum(dim=(1, 2, 3)) / (1 - mask).sum(dim=(1, 2, 3)).clamp(min=1)
    return (hole_weight * hole + known).mean()


def adversarial_loss(fake_logits: torch.Tensor) -> torch.Tensor:
    """Return mean softplus(-D(fake)) = -log sigmoid D(fake): the generator's non-saturating loss (Goodfellow 2014)."""
    return F.softplus(-fake_logits.float()).mean()


def discriminator_loss(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
    """Return mean softplus(-D(real)) + mean softplus(D(fake)): the sum of a critic's two binary cross-entropies."""
    return F.softplus(-real_logits.float()).mean() + F.softplus(fake_logits.float()).mean()


def location_loss(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return binary cross-entropy plus soft Dice of the location map (N, 1, H, W) against the mask, over all pixels.

    Dice = 1 - 2 |P M| / (|P| + |M|) of each sample, averaged, keeps thin damage from being outvoted by the rest of the
    picture, and by large damage of other samples.
    """
    logits, mask = logits.float(), mask.float()
    p = logits.sigmoid()
    overlap, total = (p * mask).sum(dim=(1, 2, 3)), (p + mask).sum(dim=(1, 2, 3))
    dice = 1 - (2 * overlap + 1) / (total + 1)  # 1 pixel in both: an empty mask is met by an empty map
    return F.binary_cross_entropy_with_logits(logits, mask) + dice.mean()


def feature_matching_loss(fake: list[torch.Tensor], real: list[torch.Tensor]) -> torch.Tensor:
    """Return the mean over layers of the L1 distance between a critic's features of fake and real (pix2pixHD, eq. 3).

    `real` is a constant: no gradient reaches it. Each layer's distance is divided by the mean size of its real
    features, so that no layer outweighs another by its scale; both are of each sample, so that the loss of a batch is
    the mean of the losses of its parts, as several processes need.

    Args:
        fake: features (N, ...) of each layer.
        real: the same of the ground truth.
    """
    terms = []
    for f, r in zip(fake, real, strict=True):
        r = r.detach().float()
        of_sample = tuple(range(1, r.ndim))
        distance, size = (f.float() - r).abs().mean(dim=of_sample), r.abs().mean(dim=of_sample)
        terms.append((distance / size.clamp(min=1e-4)).mean())
    return torch.stack(terms).mean()


def projected_adversarial_loss(fake: Sequence[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
    """Return what `adversarial_loss` does, of logits that heads give place by place, in and around the hole.

    Args:
        fake: logits (N, 1, h_i, w_i) of each head.
        mask: (N, 1, H, W), [0, 1], 1 = missing. A place counts by the hole's share of it: elsewhere the picture is the
            truth itself, and a critic that calls it false there learns to mistrust what is real.
    """
    return _over_hole([F.softplus(-logits.float()) for logits in fake], mask)


def projected_discriminator_loss(
    real: Sequence[torch.Tensor], fake: Sequence[torch.Tensor], mask: torch.Tensor
) -> torch.Tensor:
    """Return what `discriminator_loss` does, of logits that heads give place by place, in and around the hole.

    Args:
        real: logits (N, 1, h_i, w_i) of each head, of the ground truth.
        fake: the same of the fake.
        mask: as of `projected_adversarial_loss`.
    """
    pairs = zip(real, fake, strict=True)
    return _over_hole([F.softplus(-r.float()) + F.softplus(f.float()) for r, f in pairs], mask)


def perceptual_loss(fake: Sequence[torch.Tensor], real: Sequence[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
    """Return the L1 distance between frozen features of fake and real, in and around the hole, averaged over grids.

    Args:
        fake: (N, C_i, h_i, w_i) of each grid, as `ngan.features.ImageFeatures` returns them.
        real: the same of the ground truth; no gradient reaches it.
        mask: as of `projected_adversarial_loss`.
    """
    pairs = zip(fake, real, strict=True)
    return _over_hole([(f - r.detach()).abs().mean(dim=1, keepdim=True) for f, r in pairs], mask)


def structure_loss(fake: torch.Tensor, real: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return 1 - SSIM of the windows over the hole, of each sample and then over the samples (Zhao et al. 2017).

    A window counts by the hole's share of it: those wholly on known pixels are alike in a composite. Unlike a distance
    of pixels, which a grey mean serves best wherever it cannot know, it also asks for the truth's contrast.

    It needs matrix products in full float32: variances are differences of such, and in TF32 or bfloat16 their gradient
    is noise. `ngan.run.forbid_tf32` sees to it.

    Args:
        fake: (N, 3, H, W), about [-1, 1], sides of at least 11 pixels.
        real: (N, 3, H, W), [-1, 1].
        mask: (N, 1, H, W), {0, 1}, 1 = missing; an empty one weighs all windows alike.
    """
    far = 1 - similarity_of_windows((fake.float() + 1) / 2, (real.float() + 1) / 2).mean(dim=1, keepdim=True)
    return _weighted(far, mean_of_windows(mask.float()))


def _over_hole(values: list[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
    """Mean over grids and samples of values (N, 1, h, w), each place weighted by the hole's share of it."""
    shares = [F.adaptive_avg_pool2d(mask.float(), value.shape[-2:]) for value in values]
    return torch.stack([_weighted(value, share) for value, share in zip(values, shares, strict=True)]).mean()


def _weighted(values: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Mean over samples of values (N, 1, h, w), each place weighted by the hole's share of it."""
    weight = share + 1e-6  # an empty hole: all places alike
    return ((values * weight).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3))).mean()


def r1_penalty(real_logits: torch.Tensor, images: list[torch.Tensor]) -> torch.Tensor:
    """Return the mean over the batch of |grad of D(real) by the real images|^2 (Mescheder et al. 2018), to be weighted
    by gamma / 2.

    Args:
        real_logits: (N, 1) or a sum of such, made from `images` in float32.
        images: tensors (N, ...) that require a gradient.
    """
    gradients = torch.autograd.grad(real_logits.sum(), images, create_graph=True)
    return torch.stack([g.float().square().flatten(1).sum(1).mean() for g in gradients]).sum()


def code_generator_loss(
    coding: torch.Tensor, reconstruction: torch.Tensor, adversarial: torch.Tensor, location: torch.Tensor
) -> torch.Tensor:
    """Return `code_g`: the sum of its weighted terms, all scalars."""
    return coding + reconstruction + adversarial + location


def image_generator_loss(
    reconstruction: torch.Tensor,
    adversarial: torch.Tensor,
    feature_matching: torch.Tensor,
    projected: torch.Tensor,
    perceptual: torch.Tensor,
    structure: torch.Tensor,
) -> torch.Tensor:
    """Return `image_g`: the sum of its weighted terms, all scalars."""
    return reconstruction + adversarial + feature_matching + projected + perceptual + structure


def code_discriminator_loss(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
    """Return `code_d` from the code discriminator's logits (N, 1) of the ground truth and of the code image."""
    return discriminator_loss(real_logits, fake_logits)


def branch_discriminator_loss(
    real_logits: torch.Tensor, fake_logits: torch.Tensor, joint_real: torch.Tensor, joint_fake: torch.Tensor
) -> torch.Tensor:
    """Return `global_d` or `local_d`: the branch's own loss plus half of the joint head's; all logits are (N, 1)."""
    return discriminator_loss(real_logits, fake_logits) + 0.5 * discriminator_loss(joint_real, joint_fake)
