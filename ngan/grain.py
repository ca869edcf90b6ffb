"""The grain of a photo: a sensor's noise, a film's, what a JPEG made of it.

It is measured where the photo is flat, and drawn anew over fills, which have none: as coarse and as coloured as the
photo's own, and as strong as where the photo is flat.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

_SIDE = 16  # pixels of a window in which grain is measured; what is slower than that is no grain
_PLACES = 24  # windows along each side of a picture, at most
# Of all windows: the flattest of the others has grain alone, those of variances near its own too. Of a quarter, where
# less than that is flat, hair was taken for grain: walls came out four times as rough as they are.
_FLAT = 0.15
_ALIKE = 0.5, 2.0  # times its variance: flatter ones may be painted or smeared, others have texture
_CLIPPED = 0.25  # of a window's values at an end of the scale, at most: grain is cut off there
_STRONGEST = 8.0  # of 255, standard deviation; what is stronger is texture
_FAINT = 0.05  # of 255: what is weaker is not drawn
_NEAR = 64  # pixels around a hole, at least, in which grain is measured
_ENDS = 16.0  # of 255: so near to black and white it fades
_PERIOD = 256  # pixels after which drawn grain repeats
_ROWS = 256  # drawn over at a time; bounds the memory that a large hole takes


@dataclass(frozen=True)
class Grain:
    """Grain as three independent parts, each of a colour and a coarseness of its own.

    Attributes:
        filters: (3, 16, 16), float32, what makes each part's values, of 255, of white noise of variance 1.
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
        windows = _windows(rgb, known)
        if not len(windows):
            return None
        smooth = _parabolas()
        noise = windows - windows @ smooth @ smooth.T
        variance = (noise**2).mean(axis=(1, 2))
        flat = np.partition(variance, int(_FLAT * len(variance)))[int(_FLAT * len(variance))]
        noise = noise[(variance >= _ALIKE[0] * flat) & (variance <= _ALIKE[1] * flat)]
        axes = np.linalg.eigh(np.einsum("ncp,ndp->cd", noise, noise))[1].T
        parts = (axes @ noise).reshape(-1, 3, _SIDE, _SIDE)
        taper = np.hanning(_SIDE + 2)[1:-1]
        taper = (taper[:, None] * taper).astype(np.float32)
        power = (np.abs(np.fft.fft2(parts * taper)) ** 2).mean(axis=0) / (taper**2).sum()
        power *= min(1, _STRONGEST**2 / max(power.mean(axis=(1, 2)).sum() / 3, 1e-9))
        filters = np.fft.fftshift(np.fft.ifft2(np.sqrt(power)).real, axes=(1, 2))
        return Grain(filters.astype(np.float32), axes)

    def draw(self) -> np.ndarray:
        """Draw a tile of it, (256, 256, 3), float32, of 255, that goes on beyond its borders with itself."""
        drawn = np.zeros((_PERIOD, _PERIOD, 3), np.float32)
        for white, part, colour in zip(_white(), self.filters, self.axes, strict=True):
            if (part**2).sum() > _FAINT**2:
                drawn += np.fft.irfft2(white * np.fft.rfft2(part, drawn.shape[:2]))[..., None] * colour
        return drawn


def add_grain(canvas: np.ndarray, hole: np.ndarray) -> None:
    """Draw the grain that a picture has around its filled hole over it, in place; the same each time.

    Args:
        canvas: (H, W, 3), uint8.
        hole: (H, W), bool, what was filled.
    """
    rows, columns = (np.flatnonzero(hole.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return
    margin = max(_NEAR, (rows[-1] - rows[0]) // 2, (columns[-1] - columns[0]) // 2)
    around = tuple(slice(max(line[0] - margin, 0), line[-1] + 1 + margin) for line in (rows, columns))
    grain = Grain.of(canvas[around], ~hole[around])
    if grain is None:
        return
    drawn = grain.draw()
    for top in range(rows[0], rows[-1] + 1, _ROWS):
        y, x = np.nonzero(hole[top : top + _ROWS])
        y += top
        colours = canvas[y, x].astype(np.float32)
        share = (np.minimum(colours, 255 - colours).min(axis=1, keepdims=True) / _ENDS).clip(0, 1)
        colours += share * drawn[y % _PERIOD, x % _PERIOD]
        canvas[y, x] = np.rint(colours).clip(0, 255)


def _windows(rgb: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Known windows from all over a picture, but for clipped ones: (n, 3, 256), float32."""
    if min(known.shape) < _SIDE:
        return np.zeros((0, 3, _SIDE**2), np.float32)
    places = np.ix_(
        *(
            np.unique(np.linspace(0, length - _SIDE, min(_PLACES, 2 * (length // _SIDE)), dtype=int))
            for length in known.shape
        )
    )
    whole = sliding_window_view(known, (_SIDE, _SIDE))[places].all(axis=(2, 3))
    windows = sliding_window_view(rgb, (_SIDE, _SIDE), axis=(0, 1))[places][whole].reshape(-1, 3, _SIDE**2)
    clipped = ((windows < 2) | (windows > 253)).mean(axis=(1, 2))
    return windows[clipped < _CLIPPED].astype(np.float32)


@cache
def _white() -> np.ndarray:
    """(3, 256, 129), the spectra of three tiles of white noise."""
    return np.fft.rfft2(np.random.default_rng(0).standard_normal((3, _PERIOD, _PERIOD), dtype=np.float32))


@cache
def _parabolas() -> np.ndarray:
    """(256, 6), float32, orthonormal: the slow shades of a window, which are no grain."""
    x = np.linspace(-1, 1, _SIDE)
    x, y = (axis.ravel() for axis in np.meshgrid(x, x))
    return np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1))[0].astype(np.float32)
