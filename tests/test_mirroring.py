"""Tests of the face's other half: its detail comes to where it fits, and only there."""

import cv2
import numpy as np
import pytest
from PIL import Image

import ngan.finer
from ngan import Inpainter
from ngan.framing import Face
from ngan.mirroring import add_mirrored

_SIDE, _GRID = 320, 64
_ALL = slice(0, _SIDE), slice(0, _SIDE)
_FACE = Face(160, 160, 320, 0.0)
_HOLE = np.zeros((_SIDE, _SIDE), bool)
_HOLE[110:200, 190:290] = True


def _even(seed: int = 0) -> np.ndarray:
    """A photo, (H, W, 3), uint8, whose halves are each other's mirror images, with shapes and fine detail."""
    rng = np.random.default_rng(seed)
    coarse = cv2.GaussianBlur(rng.standard_normal((_SIDE, _SIDE // 2, 3)), (0, 0), 14)
    fine = cv2.GaussianBlur(rng.standard_normal((_SIDE, _SIDE // 2, 1)), (0, 0), 1.5)
    half = 128 + 30 * coarse / coarse.std() + 12 * fine[..., None] / fine.std()
    return np.hstack([half, half[:, ::-1]]).clip(0, 255).round().astype(np.uint8)


def _blurred(photo: np.ndarray, hole: np.ndarray, sigma: float = 8.0) -> np.ndarray:
    """The same, its hole filled with what is left of it after a blur."""
    canvas = photo.copy()
    canvas[hole] = cv2.GaussianBlur(photo, (0, 0), sigma)[hole]
    return canvas


def _error(canvas: np.ndarray, photo: np.ndarray, hole: np.ndarray) -> float:
    return float(np.square(canvas[hole].astype(float) - photo[hole]).mean())


@pytest.mark.parametrize("shift", [0, 6])
def test_detail_of_the_other_half_comes_to_its_place(shift: int):
    photo = np.roll(_even(), shift, axis=1)  # the face's middle is found a little beside
    canvas = _blurred(photo, _HOLE)
    before = canvas.copy()
    detail = add_mirrored(canvas, _HOLE, _HOLE, _ALL, _FACE.matrix(_GRID), _GRID)
    assert _error(canvas, photo, _HOLE) < 0.4 * _error(before, photo, _HOLE)
    assert np.array_equal(canvas[~_HOLE], before[~_HOLE])
    assert detail.window == (slice(110, 200), slice(190, 290)) and 0.5 < detail.share.max() <= 1


def test_a_tilted_face_is_mirrored_at_its_own_middle():
    face = Face(160, 160, 320, 25.0)
    turn = cv2.getRotationMatrix2D((159.5, 159.5), -25, 1)
    photo = cv2.warpAffine(_even(), turn, (_SIDE, _SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    hole = np.zeros((_SIDE, _SIDE), bool)
    cv2.circle(hole.view(np.uint8), (225, 185), 40, 1, -1)
    assert cv2.warpAffine(photo, face.matrix(_SIDE), (_SIDE, _SIDE))[100:220, 100:220].std() > 20
    canvas = _blurred(photo, hole)
    before = canvas.copy()
    add_mirrored(canvas, hole, hole, _ALL, face.matrix(_GRID), _GRID)
    assert _error(canvas, photo, hole) < 0.5 * _error(before, photo, hole)


def test_halves_that_are_not_alike_leave_it_as_it_is():
    photo = np.hstack([_even(1)[:, : _SIDE // 2], _even(2)[:, _SIDE // 2 :]])
    canvas = _blurred(photo, _HOLE)
    before = canvas.astype(float)
    add_mirrored(canvas, _HOLE, _HOLE, _ALL, _FACE.matrix(_GRID), _GRID)
    assert np.abs(canvas - before)[_HOLE].mean() < 1.5  # 9 where it is taken


def test_nothing_is_taken_from_a_hole():
    photo, hole = _even(), _HOLE.copy()
    hole |= hole[:, ::-1]
    canvas = _blurred(photo, hole)
    canvas[hole[:, ::-1] & hole & ~_HOLE] = (255, 0, 0)
    before = canvas.copy()
    assert add_mirrored(canvas, hole, hole, _ALL, _FACE.matrix(_GRID), _GRID) is None
    assert np.array_equal(canvas, before)
    hole[110:150, 30:130] = False  # a part of it is known
    canvas[110:150, 30:130] = photo[110:150, 30:130]
    add_mirrored(canvas, hole, hole, _ALL, _FACE.matrix(_GRID), _GRID)
    red = canvas[_HOLE].astype(int) - before[_HOLE].astype(int)
    assert (red[:, 0] - red[:, 1]).max() < 40


def test_only_what_is_left_within_the_box_is_changed():
    photo = _even()
    canvas = _blurred(photo, _HOLE)
    before, left = canvas.copy(), _HOLE.copy()
    left[:150] = False
    add_mirrored(canvas, _HOLE, left, (slice(0, _SIDE), slice(240, _SIDE)), _FACE.matrix(_GRID), _GRID)
    changed = (canvas != before).any(axis=2)
    assert changed[160:190, 250:280].mean() > 0.5
    changed[150:200, 240:290] = False
    assert not changed.any()


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (40, 9)])
@pytest.mark.parametrize("face", [Face(0, 0, 200, 0.0), Face(20, 5, 64, 77.0), Face(2, 2, 3000, 0.0)])
def test_pictures_of_any_size_and_faces_at_their_borders_do_no_harm(size: tuple[int, int], face: Face):
    canvas = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    hole = np.zeros(size, bool)
    hole[:, size[1] // 2 :] = True
    before = canvas.copy()
    add_mirrored(canvas, hole, hole, (slice(0, size[0]), slice(0, size[1])), face.matrix(_GRID), _GRID)
    assert np.array_equal(canvas[~hole], before[~hole])


def test_photos_get_it(monkeypatch: pytest.MonkeyPatch):
    photo, inpaint = _even(3), Inpainter(self_ensemble=False)
    with_it = np.asarray(inpaint(Image.fromarray(photo), _HOLE, [_FACE]))
    calls = []
    monkeypatch.setattr(ngan.finer, "add_mirrored", lambda *given: calls.append(given))
    without = np.asarray(inpaint(Image.fromarray(photo), _HOLE, [_FACE]))
    assert len(calls) == 1 and not np.array_equal(with_it, without)
    assert np.array_equal(with_it[~_HOLE], photo[~_HOLE])
