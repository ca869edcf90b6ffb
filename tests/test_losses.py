import math

import pytest
import torch
from torch.nn import functional as F

from ngan import losses
from ngan.metrics import ssim

LOG2 = math.log(2)


def constant(value, n=1, c=3, size=4):
    return torch.full((n, c, size, size), float(value))


def quarter_hole():
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2, :2] = 1
    return mask


def test_reconstruction_over_all_pixels():
    fake, real, mask = constant(0.5), constant(-0.5), quarter_hole()
    assert losses.reconstruction_loss(fake, real, mask).item() == pytest.approx(1.0)  # |0.5 + 0.5|
    assert losses.reconstruction_loss(fake, 2 * real, mask, "mse").item() == pytest.approx(2.25)  # 1.5^2


def test_reconstruction_weights_the_hole():
    mask = quarter_hole()
    fake, real = 0.8 * mask + 0.2 * (1 - mask), constant(0)
    # hole: mean |0.8| = 0.8, known: mean |0.2| = 0.2, whatever their areas
    assert losses.reconstruction_loss(fake.expand(1, 3, 4, 4), real, mask, "l1", 5).item() == pytest.approx(4.2)
    # squares: 6 * 0.64 + 0.04
    assert losses.reconstruction_loss(fake.expand(1, 3, 4, 4), real, mask, "mse", 6).item() == pytest.approx(3.88)
    # without a weight, the mean over 16 pixels: (4 * 0.8 + 12 * 0.2) / 16
    assert losses.reconstruction_loss(fake.expand(1, 3, 4, 4), real, mask).item() == pytest.approx(0.35)


@pytest.mark.parametrize("filled, expected", [(0.0, 0.5), (1.0, 2.0)])
def test_empty_hole_and_empty_rest_add_nothing(filled, expected):
    # error 0.5 everywhere; empty hole: only the known part, 0.5; no known part: 4 * 0.5
    value = losses.reconstruction_loss(constant(0.5), constant(0), constant(filled, c=1), hole_weight=4)
    assert value.item() == pytest.approx(expected)


def test_each_sample_counts_the_same_whatever_the_size_of_its_hole():
    mask = torch.cat([quarter_hole(), quarter_hole()])
    mask[1, :, :, :] = 0
    mask[1, :, 0, 0] = 1
    error = torch.tensor([0.2, 0.6]).view(2, 1, 1, 1)
    fake = (error * mask).expand(2, 3, 4, 4)
    # holes of 4 and 1 pixels: 5 * (0.2 + 0.6) / 2; over the pixels of both it would be 5 * (4 * 0.2 + 0.6) / 5
    loss = losses.reconstruction_loss(fake, constant(0, n=2), mask, hole_weight=5)
    assert loss.item() == pytest.approx(2.0)


def test_unknown_distance_is_not_taken():
    assert losses.DISTANCES == ("l1", "mse")
    with pytest.raises(KeyError):
        losses.reconstruction_loss(constant(0), constant(0), quarter_hole(), "l3")


def test_adversarial_losses_at_known_logits():
    zero, two = torch.zeros(3, 1), torch.full((3, 1), 2.0)
    assert losses.adversarial_loss(zero).item() == pytest.approx(LOG2)  # -log sigmoid(0)
    assert losses.discriminator_loss(zero, zero).item() == pytest.approx(2 * LOG2)
    # -log sigmoid(2) = log(1 + e^-2) = 0.126928, the same for fake -2
    assert losses.discriminator_loss(two, -two).item() == pytest.approx(2 * 0.126928, abs=1e-5)


def test_softplus_forms_are_binary_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    real, fake = 5 * torch.randn(2, 8, 1, generator=generator)
    bce = F.binary_cross_entropy_with_logits
    expected = bce(real, torch.ones(8, 1)) + bce(fake, torch.zeros(8, 1))
    assert losses.discriminator_loss(real, fake).item() == pytest.approx(expected.item(), rel=1e-6)
    assert losses.adversarial_loss(fake).item() == pytest.approx(bce(fake, torch.ones(8, 1)).item(), rel=1e-6)


def test_losses_stay_finite_at_huge_logits():
    huge = torch.full((1, 1), 1e4)
    assert losses.discriminator_loss(-huge, huge).item() == pytest.approx(2e4)
    assert losses.adversarial_loss(-huge).item() == pytest.approx(1e4)
    assert losses.adversarial_loss(huge.bfloat16()).dtype == torch.float32


def test_location_loss_at_known_values():
    mask = quarter_hole()
    # logits 0: BCE log 2; dice = 1 - (2 * 4 * 0.5 + 1) / (16 * 0.5 + 4 + 1) = 1 - 5 / 13
    assert losses.location_loss(torch.zeros(1, 1, 4, 4), mask).item() == pytest.approx(LOG2 + 8 / 13, rel=1e-5)
    sure = 40 * (2 * mask - 1)
    assert losses.location_loss(sure, mask).item() == pytest.approx(0, abs=1e-5)
    # all wrong: BCE 40; dice = 1 - 1 / (12 + 4 + 1)
    assert losses.location_loss(-sure, mask).item() == pytest.approx(40 + 16 / 17, rel=1e-5)
    # nothing damaged, nothing found
    assert losses.location_loss(constant(-40, c=1), constant(0, c=1)).item() == pytest.approx(0, abs=1e-5)


def test_feature_matching_at_known_values():
    # layer 1: |3 - 1| / mean |1| = 2; layer 2: |0 - 4| / mean |4| = 1
    fake, real = [constant(3), constant(0)], [constant(1), constant(4)]
    assert losses.feature_matching_loss(fake, real).item() == pytest.approx(1.5)
    assert losses.feature_matching_loss(real, real).item() == 0
    assert losses.feature_matching_loss([constant(1)], [constant(0)]).item() == pytest.approx(
        1e4
    )  # divisor at least 1e-4


def test_losses_of_a_batch_are_the_means_of_its_halves():
    generator = torch.Generator().manual_seed(0)
    fake, real = (
        torch.rand(4, 3, 12, 12, generator=generator) * torch.arange(1, 5).view(4, 1, 1, 1) for _ in range(2)
    )
    mask = (torch.rand(4, 1, 12, 12, generator=generator) < torch.arange(1, 5).view(4, 1, 1, 1) / 6).float()
    for loss in (
        lambda part: losses.feature_matching_loss([fake[part]], [real[part]]),
        lambda part: losses.reconstruction_loss(fake[part], real[part], mask[part], hole_weight=6.0),
        lambda part: losses.location_loss(fake[part, :1], mask[part]),
        lambda part: losses.structure_loss(fake[part], real[part], mask[part]),
        lambda part: losses.discriminator_loss(real[part], fake[part]),
    ):
        halves = loss(slice(0, 2)) + loss(slice(2, 4))
        assert loss(slice(0, 4)).item() == pytest.approx(halves.item() / 2, rel=1e-6)


def test_feature_matching_gives_no_gradient_to_real():
    fake, real = constant(3).requires_grad_(), constant(1).requires_grad_()
    losses.feature_matching_loss([fake], [real]).backward()
    assert real.grad is None
    assert fake.grad.sum().item() == pytest.approx(1.0)  # d mean|fake - 1| summed over all elements


def test_feature_matching_refuses_unequal_depths():
    with pytest.raises(ValueError):
        losses.feature_matching_loss([constant(1)], [constant(1), constant(1)])


def test_r1_of_a_linear_critic_is_the_square_of_its_weight():
    weight = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    images = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    penalty = losses.r1_penalty((images @ weight).unsqueeze(1), [images])
    assert penalty.item() == pytest.approx(14)  # 1 + 4 + 9 for each image
    penalty.backward()
    assert weight.grad.tolist() == pytest.approx([2, -4, 6])  # d |w|^2 = 2 w


def test_r1_of_two_inputs_is_the_sum():
    whole, window = torch.ones(2, 4, requires_grad=True), torch.ones(2, 9, requires_grad=True)
    logits = (3 * whole).sum(1, keepdim=True) + window.sum(1, keepdim=True)
    assert losses.r1_penalty(logits, [whole, window]).item() == pytest.approx(4 * 9 + 9 * 1)


def test_the_five_losses_are_the_sums_they_say():
    terms = [torch.tensor(value) for value in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)]
    assert losses.code_generator_loss(*terms[:4]).item() == 15
    assert losses.image_generator_loss(*terms).item() == 63
    zero = torch.zeros(2, 1)
    assert losses.code_discriminator_loss(zero, zero).item() == pytest.approx(2 * LOG2)
    # own 2 log 2, and half of the joint head's 2 log 2
    assert losses.branch_discriminator_loss(zero, zero, zero, zero).item() == pytest.approx(3 * LOG2)
    # only the joint logits away from 0: own 2 log 2 + softplus(-2) / 2 * 2
    joint = losses.branch_discriminator_loss(zero, zero, zero + 2, zero - 2).item()
    assert joint == pytest.approx(2 * LOG2 + 0.126928, abs=1e-5)


def test_location_loss_counts_small_damage_as_much_as_large():
    """Both samples' maps are sure; one's large damage is found whole, the other's 4 pixels are all missed."""
    mask = torch.zeros(2, 1, 16, 16)
    mask[0, :, :12] = 1
    mask[1, :, :2, :2] = 1
    logits = torch.where(mask > 0, 30.0, -30.0)
    logits[1] = -30.0
    # Dice: 0 of the first; 1 - (0 + 1) / (4 + 1) = 0.8 of the second. Cross-entropy: 4 pixels of 512 cost 30 each.
    assert losses.location_loss(logits, mask).item() == pytest.approx(0.4 + 4 * 30 / 512, rel=1e-3)


def test_projected_losses_count_places_by_the_holes_share():
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2, :1] = 1  # half of the upper left one of four places, nothing of the others
    real, fake = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    real[..., 1, 1] = fake[..., 1, 1] = 50.0  # where there is no hole
    assert losses.projected_discriminator_loss([real], [fake], mask).item() == pytest.approx(2 * LOG2, rel=1e-3)
    assert losses.projected_adversarial_loss([fake], mask).item() == pytest.approx(LOG2, rel=1e-3)
    fake[..., 0, 0] = 3.0
    assert losses.projected_adversarial_loss([fake], mask).item() == pytest.approx(math.log1p(math.exp(-3)), rel=1e-3)
    whole = torch.full((1, 1, 3, 3), 3.0)  # a second grid counts as much as the first
    both = losses.projected_adversarial_loss([torch.zeros(1, 1, 2, 2), whole], torch.ones_like(mask)).item()
    assert both == pytest.approx((LOG2 + math.log1p(math.exp(-3))) / 2, rel=1e-3)


def test_perceptual_loss_is_the_distance_in_the_hole_and_pulls_the_fake_only():
    mask = torch.zeros(2, 1, 4, 4)
    mask[0, :, :2] = 1
    mask[1] = 1
    fake, real = torch.zeros(2, 5, 2, 2, requires_grad=True), torch.zeros(2, 5, 2, 2, requires_grad=True)
    with torch.no_grad():
        real[0, :, 0] = 2.0  # under the hole
        real[0, :, 1] = 9.0  # beside it
        real[1] = 4.0
    loss = losses.perceptual_loss([fake], [real], mask)
    assert loss.item() == pytest.approx(3.0, rel=1e-3)
    loss.backward()
    assert real.grad is None and (fake.grad[0, :, 0] < 0).all() and fake.grad[0, :, 1].abs().max() < 1e-4


def test_structure_loss_is_what_ssim_lacks_to_1_over_the_hole():
    generator = torch.Generator().manual_seed(0)
    fake, real = (2 * torch.rand(2, 3, 24, 20, generator=generator) - 1 for _ in range(2))
    whole = torch.ones(2, 1, 24, 20)
    expected = 1 - ssim((fake + 1) / 2, (real + 1) / 2).mean()
    assert losses.structure_loss(fake, real, whole).item() == pytest.approx(expected.item(), abs=1e-5)
    assert losses.structure_loss(fake, real, 0 * whole).item() == pytest.approx(expected.item(), abs=1e-5)
    assert losses.structure_loss(real, real, whole).item() == pytest.approx(0, abs=1e-6)
    # of a composite only the windows over the hole count, and a hole half as large counts as much
    mask = torch.zeros_like(whole)
    mask[0, :, :12, 8:12], mask[1, :, 12:] = 1, 1
    few = losses.structure_loss(torch.where(mask > 0, fake, real), real, mask).item()
    assert 0.5 * expected.item() < few < expected.item()


def test_structure_loss_asks_for_contrast_where_a_mean_has_the_smallest_distance():
    """Stripes of unknown phase: grey is nearest by L1, stripes of the truth's contrast are better by structure."""
    stripes = (torch.arange(24) % 8 < 4).float().mul(2).sub(1).expand(1, 3, 24, 24)
    whole, moved = torch.ones(1, 1, 24, 24), stripes.roll(1, dims=-1)
    assert (moved - stripes).abs().mean() < (0 * stripes - stripes).abs().mean()
    assert losses.structure_loss(moved, stripes, whole) < losses.structure_loss(0 * stripes, stripes, whole)


def test_structure_loss_pulls_the_fake_in_and_around_the_hole_only():
    generator = torch.Generator().manual_seed(0)
    fake, real = (2 * torch.rand(1, 3, 40, 40, generator=generator) - 1 for _ in range(2))
    mask = torch.zeros(1, 1, 40, 40)
    mask[..., 25:, 25:] = 1
    fake.requires_grad_()
    losses.structure_loss(fake, real, mask).backward()
    assert fake.grad[..., 27:38, 27:38].abs().mean() > 1e-5
    assert fake.grad[..., :14, :14].abs().max() < 1e-7  # further than two windows' reach


def test_an_empty_hole_weighs_all_places_alike():
    logits = torch.tensor([0.0, 3.0]).view(1, 1, 1, 2)
    expected = (LOG2 + math.log1p(math.exp(-3))) / 2
    loss = losses.projected_adversarial_loss([logits], torch.zeros(1, 1, 4, 4))
    assert loss.item() == pytest.approx(expected, rel=1e-4)
