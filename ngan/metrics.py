"""Measures of a filled image against the truth, per image, on images in [0, 1] with an explicit data range.

Masks as everywhere: float (N, 1, H, W), 1 = missing, 0 = known. With a mask, a measure is taken over the mask's pixels
only; an image whose mask is empty has no such pixels and gets nan, never a number that looks like a result.

The Frechet distance alone is a measure of two sets of images, by the features that some network makes of them.
"""

import torch
from torch.nn import functional as F

_WINDOW = 11  # side of SSIM's Gaussian window, in pixels, and its sigma: Wang et al. 2004
_SIGMA = 1.5


def l1(fake: torch.Tensor, real: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return the mean absolute difference of each image, in the images' own unit.

    Args:
        fake: (N, C, H, W).
        real: (N, C, H, W).
        mask: (N, 1, H, W), {0, 1}, where to measure; None = the whole image.

    Returns:
        (N,) float32; nan where the mask is empty.

    Raises:
        ValueError: shapes that do not fit.
    """
    _check(fake, real, mask)
    return _mean((fake.float() - real.float()).abs(), mask)


def psnr(
    fake: torch.Tensor, real: torch.Tensor, mask: torch.Tensor | None = None, data_range: float = 1.0
) -> torch.Tensor:
    """Return the peak signal-to-noise ratio of each image, 10 log10(data_range^2 / mean squared error), in dB.

    Args:
        fake: (N, C, H, W), [0, data_range].
        real: (N, C, H, W), [0, data_range].
        mask: (N, 1, H, W), {0, 1}, where to measure; None = the whole image.
        data_range: distance of white to black.

    Returns:
        (N,) float32; inf where fake equals real, nan where the mask is empty.

    Raises:
        ValueError: shapes that do not fit, or a data range that is not positive.
    """
    _check(fake, real, mask)
    _check_range(data_range)
    error = _mean(((fake.float() - real.float()) / data_range).square(), mask)
    return -10 * error.log10()


def ssim(
    fake: torch.Tensor, real: torch.Tensor, mask: torch.Tensor | None = None, data_range: float = 1.0
) -> torch.Tensor:
    """Return the structural similarity of each image (Wang et al. 2004), mean over channels and windows.

    Windows are 11x11 Gaussians of sigma 1.5 that lie wholly inside the image, so the border's 5 pixels are no window's
    centre; variances are those of the window (no n / (n - 1)). The same numbers as `structural_similarity` of
    scikit-image with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.

    Args:
        fake: (N, C, H, W), [0, data_range], sides of at least 11.
        real: (N, C, H, W), [0, data_range].
        mask: (N, 1, H, W), {0, 1}: only windows whose centre is in the mask count; None = all.
        data_range: distance of white to black.

    Returns:
        (N,) float32, [-1, 1]; nan where no window's centre is in the mask.

    Raises:
        ValueError: shapes that do not fit, sides below 11, or a data range that is not positive.
    """
    _check(fake, real, mask)
    _check_range(data_range)
    n, c, height, width = fake.shape
    if min(height, width) < _WINDOW:
        raise ValueError(f"ssim: image of {height}x{width} pixels, needs sides of at least {_WINDOW}")
    # float64, because the variance of a flat window is a difference of numbers near 1 set against 0.0009
    similar = similarity_of_windows(fake.double() / data_range, real.double() / data_range)
    edge = _WINDOW // 2
    inner = None if mask is None else mask[..., edge : height - edge, edge : width - edge]
    return _mean(similar, inner).float()


def similarity_of_windows(fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Return the structural similarity of every window that `ssim` averages: (N, C, H - 10, W - 10), of their dtype.

    Args:
        fake: (N, C, H, W), [0, 1], floating point, sides of at least 11.
        real: the same.
    """
    mx, my, xx, yy, xy = (mean_of_windows(part) for part in (fake, real, fake * fake, real * real, fake * real))
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mx * my + c1) / (mx * mx + my * my + c1)
    structure = (2 * (xy - mx * my) + c2) / (xx - mx * mx + yy - my * my + c2)
    return luminance * structure


def mean_of_windows(image: torch.Tensor) -> torch.Tensor:
    """Return the Gaussian mean of every window that lies wholly inside: (N, C, H, W) to (N, C, H - 10, W - 10)."""
    rows, columns = (_gaussian_band(side, image) for side in image.shape[-2:])
    return rows @ image @ columns.T


def border_band(mask: torch.Tensor, width: int = 8) -> torch.Tensor:
    """Return the band on both sides of the holes' border, where a seam would show.

    It holds the pixels of the hole with a known pixel within `width`, and the known pixels with a hole within `width`:
    `width` pixels to either side of a straight border. A diagonal step counts as one. The image's edge is no border.

    Args:
        mask: (N, 1, H, W), {0, 1}, 1 = missing.
        width: of the band to each side, in pixels.

    Returns:
        (N, 1, H, W), {0, 1}, 1 = in the band; all 0 where the mask is empty or full.

    Raises:
        ValueError: a width below 1.
    """
    if width < 1:
        raise ValueError(f"border_band: width={width}, must be at least 1 pixel")
    near_hole, near_known = (F.max_pool2d(m, 2 * width + 1, stride=1, padding=width) for m in (mask, 1 - mask))
    return near_hole * near_known


def iou(found: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the intersection over union of the damage found and the damage there is.

    Args:
        found: (N, 1, H, W), {0, 1} or bool, 1 = found to be damaged.
        mask: (N, 1, H, W), {0, 1}, 1 = damaged.

    Returns:
        (N,) float32, [0, 1]; 1 where there is no damage and none was found.

    Raises:
        ValueError: shapes that do not fit.
    """
    if found.shape != mask.shape:
        raise ValueError(f"iou: found {tuple(found.shape)} and mask {tuple(mask.shape)} differ in shape")
    found, mask = found.flatten(1) > 0.5, mask.flatten(1) > 0.5
    both, either = (found & mask).sum(1), (found | mask).sum(1)
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)


class FeatureStatistics:
    """Mean and covariance of feature vectors that arrive in batches, in float64, whatever the batches.

    Attributes:
        n: vectors seen.
        mean: (D,) float64.
    """

    def __init__(self) -> None:
        self.n = 0
        self.mean = torch.zeros(0, dtype=torch.float64)
        self._scatter = torch.zeros(0, 0, dtype=torch.float64)  # sum of outer products of the deviations

    @property
    def covariance(self) -> torch.Tensor:
        """Covariance (D, D), float64, with the divisor n - 1.

        Raises:
            ValueError: fewer than two vectors were seen.
        """
        if self.n < 2:
            raise ValueError(f"covariance: of {self.n} feature vectors, needs at least 2")
        return self._scatter / (self.n - 1)

    def add(self, features: torch.Tensor) -> None:
        """Take a batch in, (N, D).

        Raises:
            ValueError: not of shape (N, D), another D than before, or a value that is not finite.
        """
        known = self.mean.shape[0] or "D"
        if features.ndim != 2 or 0 in features.shape or (self.n and features.shape[1] != known):
            raise ValueError(f"features: shape {tuple(features.shape)}, expected (N, {known}), neither of them 0")
        if not features.isfinite().all():
            raise ValueError("features: hold a value that is not finite")
        features = features.detach().cpu().double()
        n, mean = len(features), features.mean(dim=0)
        if not self.n:
            self.mean, self._scatter = torch.zeros_like(mean), torch.zeros(len(mean), len(mean), dtype=torch.float64)
        # Chan et al. 1979: sums of two parts and of their distance, free of the cancellation in E[xx] - E[x]E[x]
        shift, total = mean - self.mean, self.n + n
        deviations = features - mean
        self._scatter += deviations.T @ deviations + torch.outer(shift, shift) * (self.n * n / total)
        self.mean = self.mean + shift * (n / total)
        self.n = total


def frechet_distance(
    mean1: torch.Tensor, covariance1: torch.Tensor, mean2: torch.Tensor, covariance2: torch.Tensor
) -> float:
    """Return the squared Frechet distance of two Gaussians, |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Dowson and
    Landau 1982); on Inception's features it is the FID of Heusel et al. 2017.

    The trace of the root is the sum of the roots of the eigenvalues of C1^(1/2) C2 C1^(1/2), which is symmetric, so a
    covariance without full rank (fewer images than features) does no harm. The figure grows as images get fewer:
    compare at equal numbers only.

    Args:
        mean1: (D,).
        covariance1: (D, D), symmetric, positive semidefinite.
        mean2: (D,).
        covariance2: (D, D), likewise.

    Raises:
        ValueError: shapes that do not fit.
    """
    d = mean1.shape[0] if mean1.ndim == 1 else -1
    shapes = [tuple(t.shape) for t in (mean1, covariance1, mean2, covariance2)]
    if shapes != [(d,), (d, d), (d,), (d, d)]:
        raise ValueError(f"frechet_distance: shapes {shapes}, expected (D,), (D, D), (D,), (D, D)")
    mean1, covariance1, mean2, covariance2 = (t.double() for t in (mean1, covariance1, mean2, covariance2))
    values, vectors = torch.linalg.eigh(covariance1)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ covariance2 @ root).clamp(min=0).sqrt().sum()
    distance = (mean1 - mean2).square().sum() + covariance1.trace() + covariance2.trace() - 2 * cross
    return max(0.0, distance.item())


def _mean(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Average (N, C, H, W) over each image, or over its mask's pixels: (N,), nan (0 / 0) where there are none."""
    if mask is None:
        return values.mean(dim=(1, 2, 3))
    mask = mask.to(values.dtype)
    return (values * mask).sum(dim=(1, 2, 3)) / (mask.sum(dim=(1, 2, 3)) * values.shape[1])


def _gaussian_band(side: int, like: torch.Tensor) -> torch.Tensor:
    """Return the (side - 10, side) matrix whose product with a column of pixels is its blur, without the border."""
    pixels = torch.arange(side, device=like.device)
    offsets = pixels[None, :] - pixels[: side - _WINDOW + 1, None] - _WINDOW // 2
    weights = torch.exp(-0.5 * (offsets.double() / _SIGMA).square()) * (offsets.abs() <= _WINDOW // 2)
    return (weights / weights.sum(dim=1, keepdim=True)).to(like.dtype)


def _check(fake: torch.Tensor, real: torch.Tensor, mask: torch.Tensor | None) -> None:
    if fake.ndim != 4 or 0 in fake.shape or fake.shape != real.shape:
        shapes = f"{tuple(fake.shape)} and {tuple(real.shape)}"
        raise ValueError(f"images: shapes {shapes}, expected the same (N, C, H, W) without an empty side")
    expected = (fake.shape[0], 1, *fake.shape[2:])
    if mask is not None and mask.shape != expected:
        raise ValueError(f"mask: shape {tuple(mask.shape)}, expected {expected} for images {tuple(fake.shape)}")


def _check_range(data_range: float) -> None:
    if not data_range > 0:
        raise ValueError(f"data_range={data_range}: must be above 0")
