"""Tests of grain: fills have the photo's own, as strong, as coarse and as coloured."""

import cv2
import numpy as np
import pytest

from ngan import Inpainter
from ngan.grain import Grain, add_grain

_KNOWN = np.ones((200, 200), bool)
_KNOWN[60:140, 60:140] = False


def _noise(coarseness: float, colours: int, strength: float = 4.0) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal((200, 200, colours))
    noise = cv2.GaussianBlur(noise, (0, 0), coarseness).reshape(200, 200, colours)
    return (noise * strength / noise.std()).repeat(4 - colours if colours == 1 else 1, axis=2)


def _picture(noise: np.ndarray, level: float = 120.0) -> np.ndarray:
    slope = np.linspace(-30, 30, 200)[:, None, None]
    return np.rint(level + slope + noise).clip(0, 255).astype(np.uint8)


def _drawn(photo: np.ndarray) -> float:
    """How strong the grain is that is drawn into a flat hole in the middle of a photo."""
    canvas = photo.copy()
    middle = tuple(slice(length * 3 // 10, length * 7 // 10) for length in photo.shape[:2])
    hole = np.zeros(photo.shape[:2], bool)
    hole[middle] = True
    canvas[hole] = 120
    add_grain(canvas, hole)
    return float(canvas[hole].std())


def _neighbours(noise: np.ndarray) -> float:
    """How alike pixels side by side are: 0 for white noise, near 1 for coarse grain."""
    return float(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1])


@pytest.mark.parametrize("coarseness", [0.4, 1.0, 1.7])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("strength", [2.0, 8.0, 20.0])
def test_what_is_drawn_is_as_strong_as_coarse_and_as_coloured_as_what_was_measured(coarseness, colours, strength):
    noise = _noise(coarseness, colours, strength)
    canvas = _picture(noise)
    canvas[~_KNOWN] = 120
    add_grain(canvas, ~_KNOWN)
    drawn = canvas[60:140, 60:140] - 120.0
    assert 0.85 < drawn.std() / strength < 1.1 and abs(drawn.mean()) < strength / 8
    assert _neighbours(drawn[..., 0]) == pytest.approx(_neighbours(noise[..., 0]), abs=0.12)
    alike = np.corrcoef(drawn[..., 0].ravel(), drawn[..., 2].ravel())[0, 1]
    assert alike > 0.95 if colours == 1 else abs(alike) < 0.15


def test_the_same_is_drawn_each_time_and_nothing_else_is_touched():
    picture = _picture(_noise(0.6, 3))
    once, again = picture.copy(), picture.copy()
    add_grain(once, ~_KNOWN)
    add_grain(again, ~_KNOWN)
    assert np.array_equal(once, again)
    assert np.array_equal(once[_KNOWN], picture[_KNOWN]) and not np.array_equal(once, picture)


def test_a_photo_without_grain_gets_none():
    canvas = _picture(np.zeros((200, 200, 3)))
    before = canvas.astype(int)
    add_grain(canvas, ~_KNOWN)
    assert abs(canvas - before).max() <= 1


def test_white_and_black_stay_clean():
    canvas = _picture(_noise(0.6, 3))
    canvas[60:100, 60:140], canvas[100:140, 60:140] = 255, 0
    add_grain(canvas, ~_KNOWN)
    assert (canvas[60:100, 60:140] == 255).all() and (canvas[100:140, 60:140] == 0).all()


def test_a_blank_background_hides_no_grain():
    canvas = _picture(_noise(0.6, 3))
    canvas[:, :60] = 255  # overexposed
    canvas[~_KNOWN] = 120
    add_grain(canvas, ~_KNOWN)
    assert canvas[~_KNOWN].std() > 3


def test_flat_parts_beside_sharp_blocks_have_no_grain():
    rgb = np.full((300, 300, 3), 60, np.uint8)
    blocks = np.random.default_rng(0).integers(0, 256, (12, 20, 1), dtype=np.uint8)
    rgb[20:200] = np.kron(blocks, np.ones((15, 15, 3))).astype(np.uint8)
    assert abs(Grain.of(rgb, np.ones((300, 300), bool)).filters).max() < 1e-3


def test_stripes_are_texture_not_grain():
    stripes = np.full((100, 100, 3), 40, np.uint8)
    stripes[:, ::2] = 200
    assert _drawn(stripes) < 8.5


def test_stones_are_texture_not_grain():
    stones = np.exp(_noise(1.0, 1, strength=0.7)) * 60  # with deep shadows between them
    assert stones.std() > 30 and _drawn(stones.clip(0, 255).astype(np.uint8)) < 8.5


def test_cloth_around_a_hole_in_a_photo_that_is_flat_elsewhere_is_no_grain():
    cloth = _picture(_noise(1.0, 3, strength=20.0))
    assert 17 < _drawn(cloth) < 22
    photo = np.full((600, 600, 3), 120, np.uint8) + np.random.default_rng(0).integers(0, 4, (600, 600, 1), np.uint8)
    photo[200:400, 200:400] = cloth
    hole = np.pad(~_KNOWN, 200)
    photo[hole] = 120
    add_grain(photo, hole)
    assert photo[hole].std() < 8.5


def test_texture_all_over_a_small_photo_leaves_its_grain():
    texture = _noise(3.0, 1, strength=1.0) * np.linspace(0, 60, 200)[:, None]  # a twentieth of it is flat
    photo = _picture((texture + _noise(0.4, 1, strength=2.0)[::-1]).repeat(3, axis=2)[..., :3])
    assert 1.7 < _drawn(photo) < 3.0


def test_grain_is_measured_beside_painted_parts():
    photo = _picture(_noise(0.6, 3))
    photo[:, :26] = 90
    assert _drawn(photo) == pytest.approx(4, rel=0.1)


def test_where_nothing_is_known_in_one_piece_none_is_drawn():
    canvas = _picture(_noise(0.6, 3))
    hole = np.ones((200, 200), bool)
    hole[::8] = False
    before = canvas.copy()
    add_grain(canvas, hole)
    assert np.array_equal(canvas, before)
    assert Grain.of(canvas[:10], ~hole[:10]) is None


def test_it_goes_on_across_its_tiles():
    noise = _noise(1.5, 1)
    drawn = Grain.of(_picture(noise), np.ones((200, 200), bool)).draw()[..., 0]
    step = abs(np.diff(drawn, axis=0)).mean()
    assert abs(drawn[0] - drawn[-1]).mean() < 1.5 * step


def test_a_filled_photo_has_it_in_faces_and_lines_alike():
    picture = _picture(_noise(0.6, 3))
    hole = ~_KNOWN
    hole[20:26, 20:180] = True
    filled = Inpainter()(picture, hole)
    fine = np.asarray(filled).astype(float)
    fine -= cv2.GaussianBlur(fine, (0, 0), 2)
    ratios = [fine[part].std() / fine[150:190, 20:180].std() for part in (np.s_[80:120, 80:120], np.s_[21:25, 30:170])]
    assert all(0.7 < ratio < 1.4 for ratio in ratios), ratios


def test_hair_around_most_of_a_hole_is_no_grain():
    canvas = np.rint(120 + np.random.default_rng(1).normal(0, 1, (320, 320, 1))).astype(np.uint8).repeat(3, axis=2)
    hair = (60 + np.tile(_noise(1.5, 1, strength=20.0), (2, 2, 1)).clip(-50, 50))[:320, :320]
    canvas[:131], canvas[189:] = hair[:131], hair[189:]
    wall = np.zeros((320, 320), bool)
    wall[152:168, 100:200] = True
    canvas[wall] = 120
    add_grain(canvas, wall)
    assert 0.7 < canvas[wall].astype(float).std() < 1.4
