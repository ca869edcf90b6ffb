"""Lines alike those that were found: followed and found through the photo, and nothing else."""

import cv2
import numpy as np
import pytest

from ngan.alike import alike_lines

LIGHT, DARK = (245, 240, 225), (25, 20, 15)


@pytest.fixture
def photo() -> np.ndarray:
    """A wall of slow shades, (300, 400, 3), uint8."""
    rows, columns = np.mgrid[0:300, 0:400]
    return np.stack([110 + 0.15 * rows, 100 + 0.1 * columns, 90 + 0 * rows], axis=-1).round().astype(np.uint8)


def drawn(photo: np.ndarray, colour: tuple[int, int, int], *lines: tuple[int, int, int, int]) -> np.ndarray:
    """Draw lines (x, y, x, y) of 4 pixels; returns where, (H, W), bool."""
    mark = np.zeros(photo.shape[:2], np.uint8)
    for x1, y1, x2, y2 in lines:
        cv2.line(mark, (x1, y1), (x2, y2), 255, 4)
    photo[mark > 0] = colour
    return mark > 0


@pytest.mark.parametrize("colour", [LIGHT, DARK])
def test_what_goes_on_and_what_is_as_long_and_thin_is_alike(photo: np.ndarray, colour: tuple[int, int, int]):
    through, away = drawn(photo, colour, (100, 0, 130, 299)), drawn(photo, colour, (300, 20, 330, 280))
    other = drawn(photo, (30, 60, 200), (200, 0, 200, 299))  # a line, but of another colour
    dash = drawn(photo, colour, (360, 100, 370, 110))  # of the colour, but short
    wide = np.zeros_like(through)
    wide[120:180, 230:270] = True
    photo[wide] = colour
    hole = through.copy()
    hole[:100] = hole[200:] = False
    found = alike_lines(photo, hole, 256.0)
    assert found[through & ~hole].all() and found[away].all() and not (found & hole).any()
    for mark in (other, dash, wide):
        assert not found[mark].any()
    near = cv2.dilate((through | away).view(np.uint8), np.ones((7, 7), np.uint8)) > 0
    assert not found[~near].any()


def test_lines_of_a_larger_photo_are_as_much_wider(photo: np.ndarray):
    through = drawn(photo, LIGHT, (100, 0, 130, 299))
    large, mark = (cv2.resize(x, None, fx=4, fy=4) for x in (photo, through.astype(np.uint8)))
    hole = mark > 0
    hole[:400] = hole[800:] = False
    found = alike_lines(large, hole, 1024.0)
    assert found.shape == hole.shape and found[(mark > 0) & ~hole].mean() > 0.95
    assert not alike_lines(large, hole, 256.0).any()  # of so small a face these are no lines


def test_of_what_is_no_line_nothing_is_alike(photo: np.ndarray):
    drawn(photo, LIGHT, (300, 20, 330, 280))
    box = np.zeros(photo.shape[:2], bool)
    box[100:160, 80:150] = True
    for hole in (box, np.zeros_like(box), np.ones_like(box)):
        assert not alike_lines(photo, hole, 256.0).any()
    many = drawn(photo, LIGHT, (100, 0, 130, 299))
    photo[many] = np.random.default_rng(0).integers(0, 256, (many.sum(), 3))  # lines, but of all colours
    assert not alike_lines(photo, many, 256.0).any()
