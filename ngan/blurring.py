"""A Gaussian blur whose time does not grow with its reach."""

import cv2
import numpy as np

_ENOUGH = 4  # pixels: of a blur as wide, a picture smaller by this much keeps all


def blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    """Blur by a Gaussian: a wide one in a smaller copy, within 1 % of the range of values.

    Args:
        values: (H, W) or (H, W, C), float32.
        sigma: standard deviation, in pixels.

    Returns:
        The same shape, float32.
    """
    height, width = values.shape[:2]
    step = int(sigma / _ENOUGH)
    size = max(1, round(width / max(step, 1))), max(1, round(height / max(step, 1)))
    if step < 2 or min(size) < 4:
        return cv2.GaussianBlur(values, (0, 0), sigma)
    across, down = width / size[0], height / size[1]
    # what shrinking and enlarging blur themselves: the variances of a box and of a triangle as wide as a pixel there
    own = 1 / 12 + 1 / 6
    small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    deviations = (float(np.sqrt((sigma / scale) ** 2 - own)) for scale in (across, down))
    small = cv2.GaussianBlur(small, (0, 0), *deviations)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
