"""Tests of fine detail: fills get that of the known parts that look like them, and grain is not drawn twice."""

import cv2
import numpy as np
import pytest
from PIL import Image

import ngan.finer
from ngan import Inpainter
from ngan.detail import add_detail
from ngan.framing import Face
from ngan.grain import add_grain

_SIDE, _CELL = 240, 4.0
_HOLE = np.zeros((_SIDE, _SIDE), bool)
_HOLE[80:160, 80:160] = True
_ALL = slice(0, _SIDE), slice(0, _SIDE)


def _noise(sigma: float = 0.8) -> np.ndarray:
    noise = cv2.GaussianBlur(np.random.default_rng(0).standard_normal((_SIDE, _SIDE)), (0, 0), sigma)
    return (noise / noise.std())[..., None]


def _filled(photo: np.ndarray, colours: np.ndarray | float) -> np.ndarray:
    """A photo, (H, W, 3), whose hole is filled with smooth colours."""
    canvas = np.rint(photo).clip(0, 255).astype(np.uint8)
    canvas[_HOLE] = np.broadcast_to(colours, canvas.shape)[_HOLE]
    return canvas


def _spread(canvas: np.ndarray, *window: slice) -> float:
    return float(canvas[window].std(axis=(0, 1)).mean())


def test_a_fill_gets_the_texture_around_it_and_nothing_else_changes():
    canvas = _filled(128 + 12 * _noise() + np.zeros(3), 128)
    before = canvas.copy()
    detail = add_detail(canvas, _HOLE, _HOLE, _ALL, _CELL)
    assert 7 < _spread(canvas, slice(90, 150), slice(90, 150)) < 13
    assert np.array_equal(canvas[~_HOLE], before[~_HOLE])
    assert detail.window == (slice(80, 160), slice(80, 160)) and detail.share.shape == (80, 80)
    again = before.copy()
    add_detail(again, _HOLE, _HOLE, _ALL, _CELL)
    assert np.array_equal(again, canvas)


def test_each_part_gets_that_of_what_looks_like_it():
    dark = np.zeros((_SIDE, _SIDE, 1), bool)
    dark[:, 120:] = True
    levels = np.where(dark, 60.0, 190.0) + np.zeros(3)
    canvas = _filled(levels + np.where(dark, 14, 1) * _noise(), levels)
    add_detail(canvas, _HOLE, _HOLE, _ALL, _CELL)
    rough, plain = (_spread(canvas, slice(90, 150), part) for part in (slice(134, 154), slice(86, 106)))
    assert rough > 7 and plain < 2


def test_what_nothing_looks_like_gets_next_to_none():
    canvas = _filled(128 + 12 * _noise() + np.zeros(3), np.array([220.0, 40.0, 40.0]))
    before = canvas.astype(int)
    add_detail(canvas, _HOLE, _HOLE, _ALL, _CELL)
    assert abs(canvas - before).max() <= 1


def test_an_edge_of_the_fill_stays_as_it_is():
    edge = cv2.GaussianBlur(np.where(np.arange(_SIDE) < 120, 40.0, 220.0)[None].repeat(_SIDE, 0), (0, 0), _CELL)
    sharp = np.where(np.arange(_SIDE) < 117, 40.0, 220.0)[None, :, None].repeat(_SIDE, 0) + np.zeros(3)
    canvas = _filled(sharp, edge[..., None])  # three pixels beside the photo's own, which is sharper
    before = canvas.astype(int)
    add_detail(canvas, _HOLE, _HOLE, _ALL, _CELL)
    assert abs(canvas - before)[84:156, 100:140].max() < 12  # of 90 that the photo's edge has beside its blur


def test_only_what_is_left_within_the_box_is_gone_over():
    canvas = _filled(128 + 12 * _noise() + np.zeros(3), 128)
    before, left = canvas.copy(), _HOLE.copy()
    left[:120] = False
    add_detail(canvas, _HOLE, left, (slice(0, _SIDE), slice(100, _SIDE)), _CELL)
    changed = (canvas != before).any(axis=2)
    assert changed[130:150, 110:150].mean() > 0.8
    changed[120:160, 100:160] = False
    assert not changed.any()


@pytest.mark.parametrize("coarseness", [0.4, 1.0, 2.0])
@pytest.mark.parametrize("strength", [3.0, 7.0])
def test_grain_that_came_with_it_is_not_drawn_again(coarseness: float, strength: float):
    noise = np.random.default_rng(1).standard_normal((_SIDE, _SIDE, 3))
    noise = cv2.GaussianBlur(noise, (0, 0), coarseness)
    canvas = _filled(128 + strength * noise / noise.std(), 128)
    detail = add_detail(canvas, _HOLE, _HOLE, _ALL, _CELL)
    add_grain(canvas, _HOLE, [detail])
    assert 0.8 < _spread(canvas, slice(90, 150), slice(90, 150)) / strength < 1.15


def test_a_grid_of_the_photos_own_pixels_lacks_none():
    canvas = _filled(128 + 12 * _noise() + np.zeros(3), 128)
    before = canvas.copy()
    add_detail(canvas, _HOLE, _HOLE, _ALL, 1.0)
    assert np.array_equal(canvas, before)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (41, 37), (240, 11)])
@pytest.mark.parametrize("cell", [1.3, 4.0, 30.0])
@pytest.mark.parametrize("share", [0.02, 1.0])
def test_pictures_too_small_and_holes_too_large_are_left_alone(size: tuple[int, int], cell: float, share: float):
    canvas = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    hole = np.random.default_rng(1).random(size) < share
    before = canvas.copy()
    add_detail(canvas, hole, hole, (slice(0, size[0]), slice(0, size[1])), cell)
    assert np.array_equal(canvas[~hole], before[~hole])
    if hole.all():
        assert np.array_equal(canvas, before)


def test_photos_get_it_where_squares_of_faces_overlap_too(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    photo = cv2.GaussianBlur(rng.normal(128, 60, (400, 560, 3)), (0, 0), 1.2).clip(0, 255).astype(np.uint8)
    hole = np.zeros(photo.shape[:2], bool)
    hole[150:250, 180:380] = True
    faces = [Face(200, 200, 260, 0.0), Face(360, 200, 300, 10.0)]
    inpaint = Inpainter(self_ensemble=False)
    with_it = np.asarray(inpaint(Image.fromarray(photo), hole, faces))
    monkeypatch.setattr(ngan.finer, "add_detail", lambda *_: None)
    without = np.asarray(inpaint(Image.fromarray(photo), hole, faces))
    changed = (with_it != without).any(axis=2)
    assert not changed[~hole].any() and np.array_equal(with_it[~hole], photo[~hole])
    for part in (slice(190, 250), slice(260, 300), slice(310, 370)):  # one square, both, the other
        assert changed[170:230, part].mean() > 0.5
