"""A head that can be turned to the side: the astronaut's face, wound around a surface of a head's shape.

The surface is given by rows of the picture: where the head's outline lies to both sides, and how far its front and its
back lie from the axis that it turns around.
"""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

FACE = np.asarray(Image.open(Path(__file__).parent.parent / "examples" / "astronaut.png").convert("RGB"))
SIDE = FACE.shape[0]
AXIS, TOP = 198, 28  # the axis's column, and the head's first row
NOSE = (190, 254, 24)  # first row, row of the tip, height, all in pixels
_OUTLINE = {  # row: left, right, front, back, in pixels
    28: (190, 215, 32, 60),
    45: (140, 270, 84, 105),
    80: (90, 315, 124, 140),
    120: (65, 340, 142, 155),
    160: (56, 350, 147, 160),
    182: (60, 348, 149, 158),
    205: (62, 346, 137, 155),
    240: (82, 322, 145, 135),
    262: (108, 302, 143, 117),
    285: (113, 285, 151, 97),
    308: (120, 270, 139, 85),
    338: (138, 249, 145, 85),
    352: (150, 240, 121, 85),
    370: (130, 265, 74, 85),
    395: (120, 275, 84, 85),
}


def turned_head(angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Render the head.

    Args:
        angle: by which it is turned to the picture's right, in degrees; 90 = a full profile.

    Returns:
        (396, 396, 3), uint8, and where the head is, (396, 396), bool.
    """
    around, row = np.meshgrid(np.linspace(-np.pi, np.pi, 1600), np.arange(TOP, SIDE, 0.5))
    left, right, front, back = (
        np.interp(row, list(_OUTLINE), values) for values in zip(*_OUTLINE.values(), strict=True)
    )
    ahead = np.cos(around) > 0
    x = np.where(np.sin(around) < 0, AXIS - left, right - AXIS) * np.sin(around)
    z = np.where(ahead, front, back) * np.sign(np.cos(around)) * np.abs(np.cos(around)) ** 1.5
    start, tip, height = NOSE
    along = ((row - start) / (tip - start)).clip(0, 1)
    ridge = np.where(row < tip, along**0.9, (1 - (row - tip) / 9).clip(0, 1) ** 0.7)
    z += ahead * height * ridge * np.exp(-0.5 * (x / (9 + 9 * along)) ** 2)
    # behind, the hair at the sides goes on
    column = np.where(ahead, AXIS + x, AXIS + np.sign(x) * np.maximum(np.abs(x), 60))
    column = column.clip(left + 6, right - 6).astype(np.float32)
    colours = cv2.remap(FACE, column, np.where(ahead, row, row.clip(40, 210)).astype(np.float32), cv2.INTER_LINEAR)
    turn = np.deg2rad(angle)
    across = np.rint(AXIS + x * np.cos(turn) + z * np.sin(turn)).astype(int)
    down, depth = np.rint(row).astype(int), z * np.cos(turn) - x * np.sin(turn)
    seen = (across >= 0) & (across < SIDE) & (down < SIDE)
    order = np.argsort(depth[seen], kind="stable")  # what is nearer is drawn later
    picture, drawn = np.zeros_like(FACE), np.zeros((SIDE, SIDE), np.uint8)
    place = down[seen][order], across[seen][order]
    picture[place], drawn[place] = colours[seen][order], 1
    whole = cv2.morphologyEx(drawn, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    return cv2.inpaint(picture, whole - drawn, 2, cv2.INPAINT_TELEA), whole > 0
