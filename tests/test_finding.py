"""From the logits of the location map to the damage of a photo."""

import cv2
import numpy as np
import pytest
import torch

from ngan.finding import _found, _Levels, _marked, _moved, _off_walls, looked_again
from ngan.framing import Face

LEVELS = _Levels(part=0.0, likely=4.0, sure=10.0)
WALL, PAINT = 140, 60  # levels of grey


def test_damage_is_what_is_sure_somewhere_and_hangs_together():
    logits, same = np.full((40, 60), -3.0, np.float32), np.array([[1.0, 0, 0], [0, 1, 0]])
    logits[5:10, 5:10], logits[5, 5] = 1.0, 4.5  # likely in a cell
    logits[20:25, 5:10] = 3.5  # nowhere likely
    assert not _found(logits, same, (40, 60), LEVELS).any()  # and sure nowhere
    logits[20:25, 30:35] = 10.5
    marked = np.zeros((40, 60), bool)
    marked[3:12, 3:12] = marked[18:27, 28:37] = True  # with their fringe of two points
    assert np.array_equal(_found(logits, same, (40, 60), LEVELS), marked)
    lower = _Levels(part=-2.0, likely=2.0, sure=8.0)  # the same of what is less sure throughout
    assert np.array_equal(_found(logits - 2, same, (40, 60), lower), marked)


def test_looks_at_squares_of_two_sizes_meet_at_the_same_places():
    near, closer, fine = (Face(100, 90, side, 20.0) for side in (128, 96, 128))
    rows, columns = np.mgrid[0:180, 0:200].astype(np.float32)
    slope = columns / 20 - rows / 30
    at = {face: cv2.warpAffine(slope, face.matrix(32), (32, 32), flags=cv2.INTER_LINEAR) for face in (near, closer)}
    moved = [_moved(at[face], face.matrix(32), fine.matrix(64), 64) for face in (near, closer)]
    assert np.isfinite(moved[0]).all() and np.isnan(moved[1][0]).all() and np.isfinite(moved[1][10:54, 10:54]).all()
    truth = cv2.warpAffine(slope, fine.matrix(64), (64, 64), flags=cv2.INTER_LINEAR)
    for got in moved:
        assert np.abs(got - truth)[12:52, 12:52].max() < 0.02


def test_damage_that_shows_once_other_damage_is_filled_is_found():
    photo, looks = np.full((60, 80, 3), 200, np.uint8), []
    lines = [np.zeros((60, 80), bool) for _ in range(3)]
    for line, row in zip(lines, (10, 30, 50), strict=True):
        line[row : row + 3] = True
        photo[line] = 20
    echo = np.zeros((60, 80), bool)  # the fill of the first line, told as damage, and a little beside it
    echo[10:14] = True

    def look(picture: np.ndarray) -> np.ndarray:
        looks.append(picture)
        dark = [line for line in lines if (picture[line] == 20).all()]
        return echo | dark[0] if dark else echo

    assert np.array_equal(looked_again(photo, lines[0], look), lines[0] | lines[1] | lines[2])
    assert len(looks) == 2 and (photo[lines[0]] == 20).all()
    assert np.array_equal(looked_again(photo, lines[1] | lines[2] | echo, look), lines[1] | lines[2] | echo)
    assert len(looks) == 3  # nothing new: not once more
    for hole in (np.zeros((60, 80), bool), np.ones((60, 80), bool)):
        assert np.array_equal(looked_again(photo, hole, look), hole) and len(looks) == 3


def test_a_scratch_is_narrowed_once_all_is_found():
    photo, line = np.full((512, 512, 3), 120, np.uint8), np.zeros((512, 512), bool)
    line[:, 250:253] = True
    photo[line] = 240
    hole, seen = cv2.dilate(line.view(np.uint8), np.ones((15, 15), np.uint8)) > 0, []

    def look(picture: np.ndarray) -> np.ndarray:
        seen.append(picture)
        return np.zeros_like(line)

    got = looked_again(photo, hole, look)
    assert got[:, 248:255].all() and not got[:, :245].any() and not got[:, 258:].any()
    assert (seen[0][:, 243:260] < 130).all()  # what was filled before the second look was as wide as it was found


@pytest.fixture
def portrait() -> np.ndarray:
    """A wall, grey and a little uneven, with a textured head before its right half, (64, 64, 3), uint8."""
    random = np.random.default_rng(0)
    picture = np.repeat(np.linspace(WALL, WALL + 25, 64)[:, None], 64, axis=1) + random.normal(0, 1, (64, 64))
    picture[:, 34:] = random.uniform(60, 220, (64, 30))
    picture = np.repeat(picture[..., None], 3, axis=2)
    picture[:, 34:] *= (1.1, 0.9, 0.8)
    return picture.round().clip(0, 255).astype(np.uint8)


def told(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Logits of 12 in boxes (top, bottom, left, right) of the portrait's pixels, else -5: (128, 128), as the pixels'
    own points."""
    logits = np.full((128, 128), -5.0, np.float32)
    for top, bottom, left, right in boxes:
        logits[2 * top : 2 * bottom, 2 * left : 2 * right] = 12.0
    return logits


def as_seen(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None] / 127.5 - 1


def kept(picture: np.ndarray, logits: np.ndarray) -> np.ndarray:
    after = _off_walls(logits, as_seen(picture))
    assert np.array_equal(after[after > -np.inf], logits[after > -np.inf])
    return after > LEVELS.part


def test_what_is_told_of_a_part_of_a_wall_is_dropped_up_to_the_head_before_it(portrait):
    assert not kept(portrait, told((20, 50, 10, 34))).any()
    head = kept(portrait, told((20, 50, 10, 60)))  # of damage that reaches over both, what is on the head stays
    assert head[40:100, 80:120].all() and not head[:, :68].any()


@pytest.mark.parametrize("box", [(20, 40, 8, 28), (10, 30, 40, 60), (25, 27, 2, 32), (20, 64, 0, 30)])
def test_paint_stays_found(portrait, box):
    """A box on the wall, one on the head, a scratch across the wall, a corner that is gone."""
    top, bottom, left, right = box
    portrait[top:bottom, left:right] = PAINT
    logits = told(box)
    assert np.array_equal(kept(portrait, logits), logits > 0)


def test_a_wall_that_is_told_as_a_whole_stays_told(portrait):
    """Nothing tells it from a print whose one side is gone."""
    logits = told((0, 64, 0, 34))
    assert np.array_equal(kept(portrait, logits), logits > 0)


def test_a_plain_area_that_reaches_no_border_may_be_told_in_part(portrait):
    portrait[16:44, 38:60] = PAINT  # a large box of paint, of which the networks see half
    logits = told((20, 40, 40, 50))
    assert np.array_equal(kept(portrait, logits), logits > 0)


def test_a_bar_across_the_picture_is_no_wall_even_if_half_of_it_is_told(portrait):
    portrait[26:38] = 0
    logits = told((26, 38, 20, 64))
    assert np.array_equal(kept(portrait, logits), logits > 0)
    portrait[26:38] = np.random.default_rng(1).integers(0, 6, (12, 64, 1))  # a shelf, not of one colour
    assert not kept(portrait, logits)[54:74, 42:].any()


def test_walls_in_photos_in_one_tone_are_left_to_their_levels(portrait):
    logits = told((20, 50, 10, 34))
    grey = np.repeat(portrait.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    for picture, stays in ((grey, True), (portrait, False)):
        marks = _marked(logits, as_seen(picture), np.eye(2, 3), (128, 128))
        assert marks[40:100, 20:68].all() if stays else not marks.any()
