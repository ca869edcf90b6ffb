"""Metrics against numbers worked out by hand and against scikit-image."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ngan.metrics import FeatureStatistics, border_band, frechet_distance, iou, l1, psnr, ssim


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Three images and a noisy copy of each, the last one flat: where a careless variance goes wrong."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(3, 3, 4, 5, generator=generator)
    real = torch.nn.functional.interpolate(coarse, size=(32, 44), mode="bicubic").clamp(0, 1)
    real[2] = 0.9
    noise = torch.randn(real.shape, generator=generator) * torch.tensor([0.02, 0.2, 0.001]).view(3, 1, 1, 1)
    return (real + noise).clamp(0, 1), real


def half_mask(n: int, height: int, width: int) -> torch.Tensor:
    mask = torch.zeros(n, 1, height, width)
    mask[..., : width // 2] = 1
    return mask


def test_l1_is_a_mean_per_image_and_over_the_mask_alone():
    real = torch.zeros(2, 3, 4, 4)
    fake = real.clone()
    fake[0, :, :, :2] = 0.5
    fake[1] = 0.25
    assert l1(fake, real).tolist() == [0.25, 0.25]
    assert l1(fake, real, half_mask(2, 4, 4)).tolist() == [0.5, 0.25]


def test_psnr_by_hand():
    # an error of 0.1 everywhere: 10 log10(1 / 0.01) = 20 dB; on a quarter of the pixels: 20 + 10 log10(4) = 26.0206 dB
    real = torch.full((2, 3, 8, 8), 0.5)
    fake = real.clone()
    fake[0] += 0.1
    fake[1, :, :4, :4] += 0.1
    quarter = torch.zeros(2, 1, 8, 8)
    quarter[:, :, :4, :4] = 1
    assert psnr(fake, real).tolist() == pytest.approx([20, 26.0206], abs=1e-3)
    assert psnr(fake, real, quarter).tolist() == pytest.approx([20, 20], abs=1e-3)
    assert psnr(fake * 255, real * 255, data_range=255).tolist() == pytest.approx([20, 26.0206], abs=1e-3)


def test_psnr_of_equal_images_is_infinite_and_of_no_pixels_is_nan():
    image = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    assert psnr(image, image).tolist() == [math.inf, math.inf]
    mask = half_mask(2, 4, 4)
    mask[1] = 0
    values = psnr(image, image, mask)
    assert values[0].item() == math.inf
    assert math.isnan(values[1].item())
    assert math.isnan(l1(image, image, mask)[1].item())


def test_psnr_agrees_with_scikit_image(pair):
    fake, real = pair
    expected = [peak_signal_noise_ratio(r.numpy(), f.numpy(), data_range=1) for f, r in zip(fake, real, strict=True)]
    assert psnr(fake, real).tolist() == pytest.approx(expected, abs=1e-3)


def test_ssim_agrees_with_scikit_image(pair):
    fake, real = pair
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    options |= {"data_range": 1, "channel_axis": 0}
    numpy_pairs = [(f.double().numpy(), r.double().numpy()) for f, r in zip(fake, real, strict=True)]
    expected = [structural_similarity(r, f, **options) for f, r in numpy_pairs]
    assert ssim(fake, real).tolist() == pytest.approx(expected, abs=1e-5)
    assert ssim(fake * 255, real * 255, data_range=255).tolist() == pytest.approx(expected, abs=1e-5)

    maps = [structural_similarity(r, f, full=True, **options)[1].mean(axis=0) for f, r in numpy_pairs]
    mask = half_mask(3, 32, 44)
    inside = np.zeros((32, 44), bool)
    inside[5:-5, 5:22] = True
    assert ssim(fake, real, mask).tolist() == pytest.approx([m[inside].mean() for m in maps], abs=1e-5)


def test_ssim_of_equal_images_is_one_and_of_flat_ones_is_the_luminance_term():
    flat = torch.full((1, 1, 11, 11), 0.5)
    assert ssim(flat, flat).item() == pytest.approx(1, abs=1e-6)
    # flat images: (2 * 0.5 * 1 + c1) / (0.25 + 1 + c1), c1 = 0.0001
    assert ssim(flat, flat * 2).item() == pytest.approx(1.0001 / 1.2501, abs=1e-6)


def test_border_band_takes_both_sides_of_the_border_and_not_the_image_edge():
    mask = torch.zeros(3, 1, 1, 10)
    mask[0, ..., :5] = 1
    mask[1] = 1
    band = border_band(mask, width=2)
    assert band[0].flatten().tolist() == [0, 0, 0, 1, 1, 1, 1, 0, 0, 0]
    assert band[1:].sum() == 0


def test_border_band_of_a_square_hole():
    mask = torch.zeros(1, 1, 40, 40)
    mask[:, :, 10:30, 10:30] = 1
    band = border_band(mask, width=3)
    assert band.sum() == 26 * 26 - 14 * 14  # the square grown by 3 to each side less the square shrunk by 3
    assert (band * mask).sum() == 20 * 20 - 14 * 14


def test_iou_by_hand():
    mask, found = torch.zeros(4, 1, 2, 4), torch.zeros(4, 1, 2, 4)
    mask[0, ..., :2] = 1  # 4 pixels
    found[0, ..., 1:3] = 1  # 4 pixels, 2 of them right: 2 / 6
    mask[1], found[1] = 1, 1
    mask[2, ..., 0] = 1  # nothing found
    assert iou(found, mask).tolist() == pytest.approx([1 / 3, 1, 0, 1])
    assert iou(found.bool(), mask).tolist() == pytest.approx([1 / 3, 1, 0, 1])


def gaussian(seed: int, n: int = 50, d: int = 6) -> torch.Tensor:
    """Correlated vectors (n, d) of unequal scales, float64."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(n, d, generator=generator) @ torch.randn(d, d, generator=generator)
    return (mixed * torch.logspace(-2, 1, d)).double()


def statistics(features: torch.Tensor, batch: int = 50) -> FeatureStatistics:
    gathered = FeatureStatistics()
    for part in features.split(batch):
        gathered.add(part)
    return gathered


def distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    return frechet_distance(a.mean, a.covariance, b.mean, b.covariance)


def test_feature_statistics_are_those_of_all_vectors_whatever_the_batches():
    features = gaussian(0) + 1e4  # a mean that would drown the covariance in E[xx] - E[x]E[x]
    for batch in (1, 7, 50):
        gathered = statistics(features, batch)
        assert gathered.n == 50
        assert torch.allclose(gathered.mean, features.mean(dim=0), rtol=1e-12)
        assert torch.allclose(gathered.covariance, torch.cov(features.T), rtol=1e-6, atol=1e-9)


def test_frechet_distance_at_equal_covariance_is_the_squared_distance_of_the_means():
    features = gaussian(0)
    shift = torch.tensor([3.0, 0, 0, -4, 0, 0], dtype=torch.float64)
    assert distance(statistics(features), statistics(features + shift)) == pytest.approx(25, rel=1e-6)
    assert distance(statistics(features), statistics(features)) == pytest.approx(0, abs=1e-5)


def test_frechet_distance_of_diagonal_covariances_by_hand():
    # no difference of means; (sqrt(4) - sqrt(1))^2 + (sqrt(9) - sqrt(25))^2 = 1 + 4
    zero, a, b = torch.zeros(2), torch.diag(torch.tensor([4.0, 9.0])), torch.diag(torch.tensor([1.0, 25.0]))
    assert frechet_distance(zero, a, zero, b) == pytest.approx(5)


def test_frechet_distance_is_symmetric_and_blind_to_the_order_of_images():
    a, b = gaussian(1), gaussian(2)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(3))
    there = distance(statistics(a), statistics(b))
    assert there > 1
    assert distance(statistics(b), statistics(a)) == pytest.approx(there, rel=1e-6)
    assert distance(statistics(a[order], 7), statistics(b[order], 11)) == pytest.approx(there, rel=1e-6)


def test_frechet_distance_agrees_with_the_root_of_the_product():
    a, b = statistics(gaussian(1)), statistics(gaussian(2))
    values, vectors = torch.linalg.eig(a.covariance @ b.covariance)
    root = (vectors @ torch.diag(values.sqrt()) @ torch.linalg.inv(vectors)).real
    expected = (a.mean - b.mean).square().sum() + (a.covariance + b.covariance - 2 * root).trace()
    assert distance(a, b) == pytest.approx(expected.item(), rel=1e-6)


def test_frechet_distance_of_fewer_images_than_features_is_finite():
    a, b = statistics(gaussian(1, n=4)), statistics(gaussian(2, n=4))
    assert math.isfinite(distance(a, b)) and distance(a, b) > 0
    assert distance(a, a) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (torch.zeros(2, 3, 4), r"features: shape \(2, 3, 4\), expected \(N, 6\)"),
        (torch.zeros(2, 5), r"features: shape \(2, 5\), expected \(N, 6\)"),
        (torch.full((1, 6), math.nan), "not finite"),
    ],
)
def test_features_that_do_not_fit_are_refused(features, message):
    gathered = statistics(gaussian(0))
    with pytest.raises(ValueError, match=message):
        gathered.add(features)
    assert gathered.n == 50


def test_a_distance_without_enough_images_or_of_other_shapes_is_refused():
    with pytest.raises(ValueError, match="covariance: of 1 feature vectors"):
        _ = statistics(gaussian(0, n=1)).covariance
    with pytest.raises(ValueError, match="frechet_distance: shapes"):
        frechet_distance(torch.zeros(2), torch.eye(2), torch.zeros(3), torch.eye(3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: l1(x, x[:, :1]), r"images: shapes \(1, 3, 12, 12\) and \(1, 1, 12, 12\)"),
        (lambda x: psnr(x, x, x), r"mask: shape \(1, 3, 12, 12\), expected \(1, 1, 12, 12\)"),
        (lambda x: psnr(x, x, data_range=0.0), r"data_range=0.0: must be above 0"),
        (lambda x: ssim(x[..., :8], x[..., :8]), r"ssim: image of 12x8 pixels, needs sides of at least 11"),
        (lambda x: border_band(x[:, :1], width=0), r"border_band: width=0"),
        (lambda x: iou(x, x[:, :1]), r"iou: found \(1, 3, 12, 12\) and mask \(1, 1, 12, 12\)"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(1, 3, 12, 12))
