"""The grain of a photo: a sensor's noise, a film's, what a JPEG made of it.

It is measured where the photo is flat, and drawn anew over fills, which have none: as coarse and as coloured as the
photo's own, and as strong as where the photo is flat: up to a standard deviation of 24 of 255, and up to 4 pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ngan.detail import Detail

# Pixels of a window in which grain is measured; what is slower than that is no grain. Windows of 16 lose a fourth of
# grain of 4 pixels. Of 32 fewer are flat, and texture and shades of skin were taken for grain there, unless all they
# have is grain: then the flattest 5 % have `_STILL` of the variance of the flattest 15 %, at least (grain of 1 to 4
# pixels .8 to .95 of it, the 24 portraits without .6, small photos .05 to .67).
_COARSE, _FINE = 32, 16
_STILL = 0.7
_PLACES = {_COARSE: 14, _FINE: 24}  # windows along each side of a picture, at most
_FEWEST = 24  # windows of 32
# Of all windows: the flattest of the others has grain alone, those of variances near its own too. Of a quarter, where
# less than that is flat, hair was taken for grain: walls came out four times as rough as they are. Nor are 15 % flat
# in small photos: then the variance counts that the flattest 5 % have, and half as much again.
_FLAT, _FLATTEST, _SPREAD = 0.15, 0.05, 1.5
_BLANK = 0.01  # variance: what has less is painted, and is none of those 5 %
# Times its variance: flatter ones may be painted or smeared, others have texture. Of nothing but grain, 95 % have up
# to the power `_ABOVE` of the ratio of both variances: by windows up to twice fine grain came out 6 % too strong.
_ALIKE, _ABOVE = (0.5, 2.0), 4.4
_CLIPPED = 0.25  # of a window's values at an end of the scale, at most: grain is cut off there
# Of 255, standard deviation: what is stronger is texture, unless all of the photo is as rough: up to `_MOST` if the
# flattest 5 % of its windows have that over `_UNEVEN`, and `_DROWNED` of the variance of those in the middle, for
# strong grain drowns texture; and if values are spread in them as grain's are. The skewness of a window is .04 to .19
# of grain, .2 to .7 of hair, cloth, grass, gravel and brick, which have shadows; the kurtosis 2.8 to 3.6, stripes' 1.
_STRONGEST, _MOST = 8.0, 24.0
_UNEVEN, _DROWNED = 1.5, 0.25
_SKEWED, _PEAKED = 0.2, (2.5, 3.8)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue (ITU-R BT.601)
_FAINT = 0.05  # of 255: what is weaker is not drawn
_NEAR = 64  # pixels around a hole, at least, in which grain is measured
_ENDS = 16.0  # of 255: so near to black and white it fades
_FINER = 64  # values a side of a spectrum in which grain is parted
_PERIOD = 256  # pixels after which drawn grain repeats
_ROWS = 256  # drawn over at a time; bounds the memory that a large hole takes


@dataclass(frozen=True)
class Grain:
    """Grain as three independent parts, each of a colour and a coarseness of its own.

    Attributes:
        filters: (3, n, n), float32, what makes each part's values, of 255, of white noise of variance 1.
        axes: (3, 3), float32, orthonormal: a row for each part, its colour.
    """

    filters: np.ndarray
    axes: np.ndarray

    @staticmethod
    def of(rgb: np.ndarray, known: np.ndarray) -> "Grain | None":
        """Measure it in the flat parts of a picture.

        Args:
            rgb: (H, W, 3), uint8.
            known: (H, W), bool, the pixels to go by.

        Returns:
            The grain; None where no window of 16x16 pixels is known.
        """
        for side in (_COARSE, _FINE):
            flat = _flat(rgb, known, side)
            if flat is not None and (side == _FINE or (flat.is_alike and flat.is_noise)):
                break
        if flat is None:
            return None
        axes = np.linalg.eigh(np.einsum("ncp,ndp->cd", flat.noise, flat.noise))[1].T
        parts = (axes @ flat.noise).reshape(-1, 3, side, side)
        taper = np.hanning(side + 2)[1:-1]
        taper = (taper[:, None] * taper).astype(np.float32)
        power = (np.abs(np.fft.rfft2(parts * taper)) ** 2).mean(axis=0) / (taper**2).sum()
        filters = np.fft.fftshift(np.fft.irfft2(np.sqrt(power)), axes=(1, 2))
        return Grain(filters.astype(np.float32), axes)

    @property
    def strength(self) -> float:
        """Standard deviation of what is drawn, of 255, over the three colours."""
        return float(np.sqrt((self.filters**2).sum() / 3))

    def finer(self, sigma: float, step: int = 1) -> float:
        """The share of its variance that a Gaussian of a standard deviation, in pixels, takes away, and that is there
        yet in a copy smaller by `step`."""
        power = np.square(np.abs(np.fft.fft2(self.filters, (_FINER, _FINER)))).sum(axis=0)
        frequencies = np.fft.fftfreq(_FINER)  # cycles a pixel
        slow = np.exp(-2 * np.square(np.pi * sigma * frequencies))
        fast = np.square(1 - slow[:, None] * slow)
        if step > 1:
            kept = np.sinc(step * frequencies) ** 2 * (np.abs(frequencies) <= 0.5 / step)
            fast *= kept[:, None] * kept
        return float((power * fast).sum() / max(power.sum(), 1e-12))

    def draw(self) -> np.ndarray:
        """Draw a tile of it, (256, 256, 3), float32, of 255, that goes on beyond its borders with itself."""
        drawn = np.zeros((_PERIOD, _PERIOD, 3), np.float32)
        for white, part, colour in zip(_white(), self.filters, self.axes, strict=True):
            if (part**2).sum() > _FAINT**2:
                drawn += np.fft.irfft2(white * np.fft.rfft2(part, drawn.shape[:2]))[..., None] * colour
        return drawn


def add_grain(canvas: np.ndarray, hole: np.ndarray, details: Sequence[Detail] = ()) -> None:
    """Draw the grain that a picture has around its filled hole over it, in place; the same each time.

    Args:
        canvas: (H, W, 3), uint8.
        hole: (H, W), bool, what was filled.
        details: detail of the picture that was laid over it, and has a share of the grain already.
    """
    rows, columns = (np.flatnonzero(hole.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return
    margin = max(_NEAR, (rows[-1] - rows[0]) // 2, (columns[-1] - columns[0]) // 2)
    around = tuple(slice(max(line[0] - margin, 0), line[-1] + 1 + margin) for line in (rows, columns))
    grain = Grain.of(canvas[around], ~hole[around])
    if grain is None:
        return
    drawn, strength = grain.draw(), grain.strength
    if strength > _STRONGEST:
        photo = _flat(canvas, ~hole, grain.filters.shape[-1])
        drawn *= min(1, _strongest(photo) / strength)
    finer = [grain.finer(detail.sigma, detail.step) for detail in details]
    for top in range(rows[0], rows[-1] + 1, _ROWS):
        y, x = np.nonzero(hole[top : top + _ROWS])
        y += top
        colours = canvas[y, x].astype(np.float32)
        share = (np.minimum(colours, 255 - colours).min(axis=1, keepdims=True) / _ENDS).clip(0, 1)
        for part, detail in zip(finer, details, strict=True):
            share *= np.sqrt((1 - part * detail.at(y, x)).clip(0, 1))[:, None]
        colours += share * drawn[y % _PERIOD, x % _PERIOD]
        canvas[y, x] = np.rint(colours).clip(0, 255)


@dataclass(frozen=True)
class _Flat:
    """The flat windows of a picture.

    Attributes:
        noise: (n, 3, side * side), float32, what is not slow in them.
        count: of all windows.
        lowest: variance of the flattest 5 % of all that are not blank.
        flat: that of the flattest 15 % of all.
        middle: that of those in the middle.
    """

    noise: np.ndarray
    count: int
    lowest: float
    flat: float
    middle: float

    @property
    def is_alike(self) -> bool:
        """Tell whether those are as flat as each other, as where grain is all they have."""
        return self.count >= _FEWEST and self.lowest > _STILL * self.flat

    @property
    def is_noise(self) -> bool:
        """Tell whether values of luma are spread in them as those of grain are."""
        luma = np.tensordot(_LUMA, self.noise, (0, 1))  # (n, side * side)
        square = luma * luma
        variance = square.mean(axis=1) + 1e-6
        skew = np.einsum("np,np->n", square, luma) / luma.shape[1] / variance**1.5
        peaked = np.einsum("np,np->n", square, square) / luma.shape[1] / variance**2
        return bool(np.median(np.abs(skew)) < _SKEWED and _PEAKED[0] < peaked.mean() < _PEAKED[1])


def _flat(rgb: np.ndarray, known: np.ndarray, side: int) -> _Flat | None:
    """Find the flat windows of so many pixels a side in a picture, (H, W, 3), uint8, where it is known, (H, W), bool;
    None = no window is known."""
    windows = _windows(rgb, known, side)
    if not len(windows):
        return None
    slow = windows @ _slow(side)
    variance = (np.einsum("ncp,ncp->n", windows, windows) - np.einsum("ncp,ncp->n", slow, slow)) / windows[0].size
    flat, middle = np.quantile(variance, [_FLAT, 0.5], method="lower")
    lowest = np.quantile(variance[variance > _BLANK], _FLATTEST, method="lower") if variance.max() > _BLANK else 0
    usual = min(flat, _SPREAD * lowest)
    most = usual * min(_ALIKE[1], (usual / max(lowest, 1e-9)) ** _ABOVE)
    chosen = (variance >= _ALIKE[0] * usual) & (variance <= max(most, usual))
    noise = windows[chosen] - slow[chosen] @ _slow(side).T
    return _Flat(noise, len(windows), float(lowest), float(flat), float(middle))


def _strongest(photo: _Flat | None) -> float:
    """How strong grain may be in a photo, by its flat windows, None = it has none: standard deviation, of 255."""
    if photo is None or photo.lowest < _DROWNED * photo.middle or not photo.is_noise:
        return _STRONGEST
    return min(max(_UNEVEN * photo.lowest**0.5, _STRONGEST), _MOST)


def _windows(rgb: np.ndarray, known: np.ndarray, side: int) -> np.ndarray:
    """Known windows from all over a picture, but for clipped ones, less their means.

    Args:
        rgb: (H, W, 3), uint8.
        known: (H, W), bool.
        side: of the windows, in pixels.

    Returns:
        (n, 3, side * side), float32.
    """
    if min(known.shape) < side:
        return np.zeros((0, 3, side**2), np.float32)
    places = np.ix_(
        *(
            np.unique(np.linspace(0, length - side, min(_PLACES[side], 2 * (length // side)), dtype=int))
            for length in known.shape
        )
    )
    whole = sliding_window_view(known, (side, side))[places].all(axis=(2, 3))
    windows = sliding_window_view(rgb, (side, side), axis=(0, 1))[places][whole].reshape(-1, 3, side**2)
    clipped = ((windows < 2) | (windows > 253)).mean(axis=(1, 2))
    windows = windows[clipped < _CLIPPED].astype(np.float32)
    windows -= windows.mean(axis=2, keepdims=True)
    return windows


@cache
def _white() -> np.ndarray:
    """(3, 256, 129), the spectra of three tiles of white noise."""
    return np.fft.rfft2(np.random.default_rng(0).standard_normal((3, _PERIOD, _PERIOD), dtype=np.float32))


@cache
def _slow(side: int) -> np.ndarray:
    """(side * side, 6), float32, orthonormal: the slow shades of a window, which are no grain."""
    x = np.linspace(-1, 1, side)
    x, y = (axis.ravel() for axis in np.meshgrid(x, x))
    return np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1))[0].astype(np.float32)
