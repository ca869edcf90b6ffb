"""Fills of photos in a single tone, such as black and white or sepia, in that tone."""

import numpy as np
import torch

# A photo is in one tone if this share of its cells is so near, in red and blue, to the mean of those of their luma:
# one of 1,024 colour photos is; so are all grey ones, and of sepia ones saved as JPEG of quality 75 two thirds where a
# cell is a pixel, all where it is three wide.
_TONE_SHARE, _TONE_OFF = 0.95, 6 / 127.5
# Dark and faded photos have less colour, too: the limit is less by as much as their brightness varies less than usual.
_USUAL_SPREAD, _LEAST_OFF = 0.48, 1.5 / 127.5
_TONE_STEPS = 32  # of brightness, from black to white
_TONE_CELLS = 64  # that must be known to tell
_LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue (ITU-R BT.601)


def in_tone(image: torch.Tensor, seen: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
    """Give an image the tone of what is known, if that is black and white, sepia or toned otherwise; else return it.

    The networks learned from colour photos and leave a touch of skin colour. Of a photo in one tone, the brightness of
    a cell tells its colour: so the known cells' mean colour at each brightness replaces that of the image.

    Args:
        image: (1, 3, h, w), about [-1, 1].
        seen: the same, its known cells right.
        missing: (1, 1, h, w), {0, 1}, 1 = not known.
    """
    colours = _known(seen, missing)
    tone = _tone(colours)
    if tone is None:
        return image
    at, *curves = tone
    wanted = np.tensordot(_LUMA, image[0].double().numpy(), 1)
    red, blue = (wanted + np.interp(wanted, at, curve) for curve in curves)
    green = (wanted - _LUMA[0] * red - _LUMA[2] * blue) / _LUMA[1]
    return torch.from_numpy(np.stack([red, green, blue])).to(image).unsqueeze(0)


def is_toned(seen: torch.Tensor, missing: torch.Tensor | None = None) -> bool:
    """Tell whether an image (1, 3, h, w), [-1, 1], is in one tone: black and white, sepia or toned otherwise; by its
    cells where `missing`, (1, 1, h, w), is 0, or by all."""
    return _tone(_known(seen, torch.zeros_like(seen[:, :1]) if missing is None else missing)) is not None


def _known(seen: torch.Tensor, missing: torch.Tensor) -> np.ndarray:
    return seen[0][:, missing[0, 0] == 0].double().numpy()  # (3, K)


def _tone(colours: np.ndarray) -> list[np.ndarray] | None:
    """Return brightnesses, and how far red and blue are from each, of colours (3, K); None = not in one tone."""
    if colours.shape[1] < _TONE_CELLS:
        return None
    luma = _LUMA @ colours
    red_blue = colours[::2] - luma
    steps = np.rint((luma + 1) / 2 * _TONE_STEPS).astype(int)
    steps -= steps.min()
    count = np.bincount(steps)
    there = count > 0
    at, *curves = (np.bincount(steps, values)[there] / count[there] for values in (luma, *red_blue))
    off = np.abs(red_blue - [np.interp(luma, at, curve) for curve in curves]).max(axis=0)
    limit = max(_LEAST_OFF, _TONE_OFF * min(1.0, luma.std() / _USUAL_SPREAD))
    return None if np.quantile(off, _TONE_SHARE) > limit else [at, *curves]
