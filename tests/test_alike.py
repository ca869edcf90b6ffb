"""Lines alike those that were found: followed and found through the photo, and nothing else."""

import cv2
import numpy as np
import pytest

from ngan.alike import alike_lines, narrowed

LIGHT, DARK = (245, 240, 225), (25, 20, 15)


@pytest.fixture
def photo() -> np.ndarray:
    """A wall of slow shades, (300, 400, 3), uint8."""
    rows, columns = np.mgrid[0:300, 0:400]
    return np.stack([110 + 0.15 * rows, 100 + 0.1 * columns, 90 + 0 * rows], axis=-1).round().astype(np.uint8)


def drawn(
    photo: np.ndarray, colour: tuple[int, int, int], *lines: tuple[int, int, int, int], width: int = 4
) -> np.ndarray:
    """Draw lines (x, y, x, y) of a `width` of OpenCV, 2 = 3 pixels, 4 = 5; returns where, (H, W), bool."""
    mark = np.zeros(photo.shape[:2], np.uint8)
    for x1, y1, x2, y2 in lines:
        cv2.line(mark, (x1, y1), (x2, y2), 255, width)
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


@pytest.mark.parametrize("colour", [LIGHT, DARK])
@pytest.mark.parametrize("hides", [True, False])
def test_a_line_goes_on_where_what_has_its_colour_hides_it(
    photo: np.ndarray, colour: tuple[int, int, int], hides: bool
):
    photo[:, 170:230] = colour if hides else (150, 140, 130)
    through = drawn(photo, colour, (0, 140, 399, 180))
    if not hides:
        photo[:, 170:230] = (150, 140, 130)  # the line passes behind
    hole = through.copy()
    hole[:, 160:] = False
    hole[:, 260:] = through[:, 260:]
    found = alike_lines(photo, hole, 256.0)
    gap = np.s_[:, 175:225]
    assert found[gap].any() == hides and not found[gap][~grown(through, 5)[gap]].any()
    assert not hides or found[gap][through[gap]].mean() > 0.95


def test_lines_that_do_not_meet_are_not_joined(photo: np.ndarray):
    photo[:, 170:230] = LIGHT
    marks = drawn(photo, LIGHT, (0, 100, 399, 100), (0, 220, 160, 220))
    marks[:, 165:235] = False
    assert not alike_lines(photo, marks, 256.0)[190:, 180:].any()


def test_lines_of_a_larger_photo_are_as_much_wider(photo: np.ndarray):
    through = drawn(photo, LIGHT, (100, 0, 130, 299))
    large, mark = (cv2.resize(x, None, fx=4, fy=4) for x in (photo, through.astype(np.uint8)))
    hole = mark > 0
    hole[:400] = hole[800:] = False
    found = alike_lines(large, hole, 1024.0)
    assert found.shape == hole.shape and found[(mark > 0) & ~hole].mean() > 0.95
    assert not alike_lines(large, hole, 256.0).any()  # of so small a face these are no lines


def grown(mark: np.ndarray, by: int) -> np.ndarray:
    return cv2.dilate(mark.view(np.uint8), np.ones((2 * by + 1, 2 * by + 1), np.uint8)) > 0


@pytest.mark.parametrize("colour", [LIGHT, DARK])
def test_scratches_of_three_pixels_of_a_face_of_512_are_lines(colour: tuple[int, int, int]):
    """Half as large, most of them is mixed with what lies beside them: patches of all colours."""
    patches = np.random.default_rng(0).integers(60, 180, (30, 40, 3)).astype(np.uint8)
    photo = cv2.resize(patches, (800, 600), interpolation=cv2.INTER_CUBIC)
    lines = [(150 + 100 * i, 0, 190 + 80 * i, 599) for i in range(5)]
    through = drawn(photo, colour, *lines, width=2)
    hole = grown(through, 7)
    hole[:, 400:] = False
    found = alike_lines(photo, hole, 512.0)
    assert found[through & ~hole].mean() > 0.95
    assert not found[~grown(through, 4)].any()


@pytest.mark.parametrize(("colour", "scale"), [(LIGHT, 1), (DARK, 1), (LIGHT, 3)])
def test_a_part_is_narrowed_to_the_line_in_it(photo: np.ndarray, colour: tuple[int, int, int], scale: int):
    photo = cv2.resize(photo, None, fx=2, fy=2)
    line = drawn(photo, colour, *((200 + 80 * i, 0, 240 + 80 * i, 599) for i in range(5)), width=2)
    box, other = np.zeros_like(line), drawn(photo, (200, 60, 30), (680, 200, 700, 400), width=2)
    box[200:252, 60:112] = True  # damage that is no line: it stays, and so does a line of another kind
    photo[box] = colour
    hole = grown(line, 6) | grown(box, 6) | grown(other, 6)
    photo, line, hole, box, other = (
        cv2.resize(x.astype(np.uint8), None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
        for x in (photo, line, hole, box, other)
    )
    line, hole, box, other = (x > 0 for x in (line, hole, box, other))
    got = narrowed(photo, hole, 512.0 * scale)
    assert not (got & ~hole).any() and got[grown(line, 2 * scale) & hole].all()
    assert not got[grown(line, 6 * scale) & ~grown(line, 5 * scale)].any()
    for stays in (grown(box, 6 * scale), grown(other, 6 * scale)):
        assert got[stays & hole].all()


def test_where_no_line_is_clear_a_part_stays_as_wide(photo: np.ndarray):
    photo = cv2.resize(photo, None, fx=2, fy=2)
    line = drawn(photo, LIGHT, (300, 0, 340, 599), width=2)
    hole = grown(line, 7)
    photo[280:320] = 240  # a window, as light as the scratch across it
    got = narrowed(photo, hole, 512.0)
    assert got[270:330][hole[270:330]].all() and got[line].all()
    assert not got[100:200][~grown(line, 5)[100:200]].any()
    large, marks = cv2.resize(photo, None, fx=4, fy=4), cv2.resize(hole.astype(np.uint8), None, fx=4, fy=4) > 0
    marks[200, 3000] = True  # a pixel that is lost in the small copy
    assert narrowed(large, marks, 2048.0)[200, 3000]


def test_a_hole_without_lines_is_not_narrowed(photo: np.ndarray):
    box = np.zeros(photo.shape[:2], bool)
    box[100:160, 80:150] = True
    for hole in (box, np.zeros_like(box), np.ones_like(box)):
        assert np.array_equal(narrowed(photo, hole, 256.0), hole)
    drawn(photo, LIGHT, (300, 20, 330, 280))
    assert narrowed(photo, np.ones_like(box), 256.0).all()


def test_of_what_is_no_line_nothing_is_alike(photo: np.ndarray):
    drawn(photo, LIGHT, (300, 20, 330, 280))
    box = np.zeros(photo.shape[:2], bool)
    box[100:160, 80:150] = True
    for hole in (box, np.zeros_like(box), np.ones_like(box)):
        assert not alike_lines(photo, hole, 256.0).any()
    many = drawn(photo, LIGHT, (100, 0, 130, 299))
    photo[many] = np.random.default_rng(0).integers(0, 256, (many.sum(), 3))  # lines, but of all colours
    assert not alike_lines(photo, many, 256.0).any()
