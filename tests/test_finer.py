"""Tests of fine detail on large photos, which are shrunk for it, and of the blur that does without their size."""

import cv2
import numpy as np
import pytest
import torch

from ngan.blurring import blurred
from ngan.finer import lay_detail
from ngan.framing import Face
from ngan.grain import add_grain

_SIDE, _GRID = 960, 64
_HOLE = np.zeros((_SIDE, _SIDE), bool)
_HOLE[300:600, 560:860] = True
_ALL = slice(0, _SIDE), slice(0, _SIDE)
_FILLED = torch.zeros(1, 3, _GRID, _GRID)


def _laid(canvas: np.ndarray, face: Face, left: np.ndarray = _HOLE, box: tuple[slice, slice] = _ALL) -> list:
    return lay_detail(canvas, _HOLE, left, box, _FILLED, face.matrix(_GRID))


def _filled(texture: np.ndarray) -> np.ndarray:
    canvas = (128 + texture + np.zeros(3)).round().clip(0, 255).astype(np.uint8)
    canvas[_HOLE] = 128
    return canvas


@pytest.mark.parametrize("side", [960, 1120, 2000])  # cells of 15, 17 and 31 pixels, seen as 15, 8.75 and 10
def test_large_photos_get_their_texture_too_and_nothing_else_changes(side: int):
    noise = cv2.GaussianBlur(np.random.default_rng(0).standard_normal((_SIDE, _SIDE)), (0, 0), 4)[..., None]
    canvas = _filled(12 * noise / noise.std())
    before = canvas.copy()
    details = _laid(canvas, Face(480, 480, side, 0.0))
    assert 5 < canvas[340:560, 600:820].std() < 13 and np.array_equal(canvas[~_HOLE], before[~_HOLE])
    rows, columns = details[-1].window
    assert abs(rows.start - 300) < 8 and abs(rows.stop - 600) < 8 and abs(columns.start - 560) < 8


def test_on_a_large_photo_the_other_half_of_a_face_fits_to_the_pixel():
    half = cv2.GaussianBlur(np.random.default_rng(1).standard_normal((_SIDE, _SIDE // 2, 3)), (0, 0), 52)
    fine = cv2.GaussianBlur(np.random.default_rng(2).standard_normal((_SIDE, _SIDE // 2, 1)), (0, 0), 5)[..., None]
    half = 128 + 30 * half / half.std() + 12 * fine / fine.std()
    photo = np.hstack([half, half[:, ::-1]]).clip(0, 255).round().astype(np.uint8)
    canvas = photo.copy()
    canvas[_HOLE] = cv2.GaussianBlur(photo, (0, 0), 22)[_HOLE]
    errors = [np.square(canvas[_HOLE].astype(float) - photo[_HOLE]).mean()]
    _laid(canvas, Face(480, 480, 1200, 0.0))
    errors.append(np.square(canvas[_HOLE].astype(float) - photo[_HOLE]).mean())
    assert errors[1] < 0.4 * errors[0]


@pytest.mark.parametrize("coarseness", [0.5, 1.5, 3.0])
def test_grain_finer_than_the_shrunk_photo_is_drawn_all_the_same(coarseness: float):
    noise = cv2.GaussianBlur(np.random.default_rng(0).standard_normal((_SIDE, _SIDE)), (0, 0), coarseness)[..., None]
    canvas = _filled(6 * noise / noise.std())
    details = _laid(canvas, Face(480, 480, 2000, 0.0))
    add_grain(canvas, _HOLE, details)
    assert 0.8 < canvas[340:560, 600:820].std() / 6 < 1.15


def test_only_what_is_left_within_the_box_is_gone_over_on_large_photos():
    noise = cv2.GaussianBlur(np.random.default_rng(0).standard_normal((_SIDE, _SIDE)), (0, 0), 4)[..., None]
    canvas = _filled(12 * noise / noise.std())
    before, left = canvas.copy(), _HOLE.copy()
    left[:450] = False
    _laid(canvas, Face(480, 480, 2000, 0.0), left, (slice(0, _SIDE), slice(700, _SIDE)))
    changed = (canvas != before).any(axis=2)
    assert changed[480:570, 730:830].mean() > 0.5
    changed[450:600, 700:860] = False
    assert not changed.any()


def test_without_anything_left_nothing_is_laid():
    assert _laid(_filled(np.zeros((_SIDE, _SIDE, 1))), Face(480, 480, 2000, 0.0), np.zeros_like(_HOLE)) == []


@pytest.mark.parametrize("shape", [(300, 500), (301, 97, 3), (40, 700), (5, 5)])
@pytest.mark.parametrize("sigma", [2.0, 9.0, 31.0])
def test_a_wide_blur_is_that_of_a_gaussian(shape: tuple[int, ...], sigma: float):
    values = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    values[: shape[0] // 2] += 100
    exact = cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    found = blurred(values, sigma)
    assert found.shape == values.shape and np.abs(found - exact).max() < 6  # of 355
