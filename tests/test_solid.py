"""Solid paint is found whole; what only looks like it is left."""

import io
import itertools

import cv2
import numpy as np
import pytest
from PIL import Image

from ngan.inference import _all_of
from ngan.solid import completed, solid

_BAR, _GLASSES, _STICKER = "bar", "glasses", "sticker"


def photo(side: int = 400) -> np.ndarray:
    """Uneven skin, hair and a wall, (side, side, 3), uint8."""
    random = np.random.default_rng(0)
    values = cv2.GaussianBlur(random.normal(0, 1, (side, side, 3)), (0, 0), side / 40)
    values = 150 + 10 * values / values.std() + random.normal(0, 2, (side, side, 3))
    values[: side // 4] -= 110
    return values.round().clip(0, 255).astype(np.uint8)


def mark(kind: str, side: int = 400) -> np.ndarray:
    image, unit = np.zeros((side, side), np.uint8), side / 400
    if kind == _BAR:
        cv2.rectangle(image, *(tuple(round(unit * x) for x in point) for point in ((80, 150), (320, 210))), 1, -1)
    elif kind == _GLASSES:
        for x in (140, 260):
            cv2.circle(image, (round(unit * x), round(unit * 180)), round(unit * 42), 1, -1)
        cv2.line(
            image, (round(unit * 140), round(unit * 170)), (round(unit * 260), round(unit * 170)), 1, round(9 * unit)
        )
    else:
        cv2.circle(image, (round(unit * 200), round(unit * 250)), round(unit * 60), 1, -1)
    return image > 0


def painted(rgb: np.ndarray, where: np.ndarray, colour: tuple[int, int, int], quality: int | None = 92) -> np.ndarray:
    """Paint with soft edges, saved as JPEG of a quality; None = not."""
    share = cv2.GaussianBlur(where.astype(np.float32), (0, 0), 0.7)[..., None]
    image = Image.fromarray((rgb * (1 - share) + np.array(colour) * share).round().astype(np.uint8))
    if quality is None:
        return np.asarray(image)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def half(where: np.ndarray) -> np.ndarray:
    """The upper half of what is marked, and a little more: what was found of it."""
    rows = np.flatnonzero(where.any(axis=1))
    found = where.copy()
    found[(rows[0] + rows[-1]) // 2 + 5 :] = False
    return found


@pytest.mark.parametrize("kind", [_BAR, _GLASSES, _STICKER])
@pytest.mark.parametrize(
    ("colour", "quality"),
    [((250, 205, 40), None), *itertools.product([(0, 0, 0), (18, 18, 22), (255, 255, 255)], [None, 92, 75])],
)
def test_paint_of_which_half_is_found_is_found_whole(kind, colour, quality):
    where = mark(kind)
    hole = completed(painted(photo(), where, colour, quality), half(where), 300)
    assert hole[where].all()
    assert not hole[cv2.dilate(where.astype(np.uint8), np.ones((19, 19))) == 0].any()


@pytest.mark.parametrize("side", [178, 1500])
def test_paint_on_small_and_large_photos(side):
    where = mark(_BAR, side)
    hole = completed(painted(photo(side), where, (0, 0, 0), None), half(where), 0.75 * side)
    assert hole[where].all() and hole.mean() < 1.3 * where.mean()


def test_a_bar_across_the_picture_is_paint_and_a_background_is_none():
    rgb = photo()
    rgb[150:210] = 0
    bar, background = np.zeros((400, 400), bool), np.zeros((400, 400), bool)
    bar[150:210, :150] = True
    assert completed(rgb, bar, 300)[150:210].all()
    rgb = photo()
    beside = cv2.ellipse(np.zeros((400, 400), np.uint8), (200, 260), (110, 150), 0, 0, 360, 1, -1) == 0
    rgb[beside & (np.arange(400) < 200)] = 255
    background[:, :60] = True
    assert np.array_equal(completed(rgb, background, 300), background)


def test_what_is_found_of_less_than_a_quarter_is_left():
    where, found = mark(_BAR), np.zeros((400, 400), bool)
    found[150:210, 80:120] = True
    assert np.array_equal(completed(painted(photo(), where, (0, 0, 0)), found, 300), found)
    nothing = np.zeros((400, 400), bool)
    assert not completed(painted(photo(), where, (0, 0, 0)), nothing, 300).any()


def test_a_part_of_a_wall_with_sharp_edges_is_no_paint():
    where = mark(_STICKER)
    rgb = photo()
    random = np.random.default_rng(1)
    rgb[where] = 210 + random.integers(0, 3, (int(where.sum()), 1))
    assert np.array_equal(completed(rgb, half(where), 300), half(where))
    rgb[where] = (150 + np.arange(400) // 8)[None, :, None].repeat(400, axis=0)[where]  # a shade
    assert np.array_equal(completed(rgb, half(where), 300), half(where))


def test_hair_in_black_without_a_shade_is_no_paint():
    strands = cv2.GaussianBlur(np.random.default_rng(2).normal(0, 1, (400, 400)), (0, 0), 6)
    away = np.hypot(*(np.mgrid[:400, :400] - 200)) / 90
    rgb = (
        np.clip(120 * (away - 1) + 40 * strands / strands.std(), 0, 220).astype(np.uint8)[..., None].repeat(3, axis=2)
    )
    found = np.zeros((400, 400), bool)
    found[120:280, 120:200] = True
    assert (rgb[found] == 0).mean() > 0.7
    assert np.array_equal(completed(rgb, found, 300), found)


def test_a_pupil_is_no_paint():
    rgb = photo()
    away = np.hypot(*(np.mgrid[:400, :400] - 200))
    rgb[away < 24] = (np.clip(away - 12, 0, 12) * 5)[away < 24][:, None]  # an iris around it
    found = away < 10
    assert np.array_equal(completed(rgb, found, 300), found)


def test_the_search_for_damage_completes_what_it_found():
    where = mark(_BAR)
    rgb = painted(photo(), where, (0, 0, 0))
    hole = _all_of(rgb, half(where), lambda picture: np.zeros(picture.shape[:2], bool), 300)
    assert hole[where].all() and hole.mean() < 1.3 * where.mean()


def test_wider_edges_may_be_asked_for():
    where = mark(_GLASSES)
    rgb = cv2.GaussianBlur(painted(photo(), where, (0, 0, 0)), (0, 0), 1.2)
    assert not solid(rgb, where, 10, 0.25).any()
    assert solid(rgb, where, 10, 0.25, blur=2).any()
