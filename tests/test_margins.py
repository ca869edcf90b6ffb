"""What lies within paper margins and black bars: found where they are, and nowhere else."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ngan.inference import Inpainter
from ngan.margins import content, put_back

EXAMPLES = Path(__file__).parents[1] / "examples"
PAPER, BLACK = (236, 226, 204), (0, 0, 0)


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """The shipped portrait, (396, 396, 3), uint8."""
    return np.asarray(Image.open(EXAMPLES / "astronaut.png").convert("RGB"))


def framed(photo: np.ndarray, margins: tuple[int, int, int, int], colour: tuple[int, int, int]) -> np.ndarray:
    """Lay margins at the left, top, right and bottom around a photo, in pixels."""
    left, top, right, bottom = margins
    return cv2.copyMakeBorder(photo, top, bottom, left, right, cv2.BORDER_CONSTANT, value=colour)


def grainy(photo: np.ndarray, strength: float) -> np.ndarray:
    """Add grey grain of so many levels, and a sheet's shading of 10 levels from left to right."""
    noise = np.random.default_rng(0).normal(0, strength, photo.shape[:2])[..., None]
    shade = np.linspace(-5, 5, photo.shape[1])[None, :, None]
    return (photo + noise + shade).round().clip(0, 255).astype(np.uint8)


def errors(photo: np.ndarray, margins: tuple[int, int, int, int]) -> np.ndarray:
    """How many pixels more, on each side, are taken off than there is margin."""
    left, top, right, bottom = content(photo)
    return np.array([left, top, photo.shape[1] - right, photo.shape[0] - bottom]) - margins


@pytest.mark.parametrize("name", ["astronaut.png", "astronaut_marked.png", "scratched.jpg", "wide.jpg"])
def test_photos_without_margins_are_left_whole(name: str):
    photo = np.asarray(Image.open(EXAMPLES / name).convert("RGB"))
    assert content(photo) == (0, 0, photo.shape[1], photo.shape[0])


@pytest.mark.parametrize("colour", [PAPER, BLACK, (128, 128, 128)])
@pytest.mark.parametrize(
    "margins",
    [
        (20, 20, 20, 20),
        (20, 22, 20, 100),
        (0, 90, 0, 90),
        (90, 0, 90, 0),
        (25, 25, 0, 0),
        (0, 0, 30, 40),
    ],
)
@pytest.mark.parametrize("grain", [0.0, 5.0])
def test_margins_on_any_sides_end_where_the_photo_begins(
    face: np.ndarray, margins: tuple[int, int, int, int], colour: tuple[int, int, int], grain: float
):
    photo = framed(np.maximum(face, 30), margins, colour)  # where half of a border is black, bars beside it cannot end
    photo = grainy(photo, grain) if grain else photo
    assert np.abs(errors(photo, margins)).max() <= 2


@pytest.mark.parametrize("margins", [(0, 0, 30, 0), (0, 40, 0, 0)])
def test_one_side_alone_is_left(face: np.ndarray, margins: tuple[int, int, int, int]):
    photo = framed(np.maximum(face, 30), margins, PAPER)  # it may as well be a wall with a scratch along it
    assert content(photo) == (0, 0, photo.shape[1], photo.shape[0])


def test_a_large_photos_margins_are_found_to_the_pixel(face: np.ndarray):
    margins = (131, 97, 131, 402)
    photo = grainy(framed(cv2.resize(face, (1700, 1700), interpolation=cv2.INTER_CUBIC), margins, PAPER), 4.0)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_COLOR)
    for kind in (photo, jpeg):
        off = errors(kind, margins)
        assert off.min() >= 0 and off.max() <= 2


def test_a_margin_in_another_goes_too(face: np.ndarray):
    photo = framed(framed(face, (18, 18, 18, 18), PAPER), (0, 40, 0, 40), BLACK)
    assert np.abs(errors(photo, (18, 58, 18, 58))).max() <= 2


@pytest.mark.parametrize("degrees", [-1.0, -0.5, 0.5, 1.0])
def test_of_a_tilted_print_what_stays_has_no_margin_but_at_its_corners(face: np.ndarray, degrees: float):
    print_ = framed(face, (80, 80, 80, 80), PAPER)
    middle = print_.shape[1] / 2, print_.shape[0] / 2
    turn = cv2.getRotationMatrix2D(middle, degrees, 1.0)
    kept = slice(50, -50), slice(50, -50)
    size = print_.shape[1::-1]
    photo = np.ascontiguousarray(cv2.warpAffine(print_, turn, size, borderValue=PAPER)[kept])
    within = cv2.warpAffine(framed(np.full_like(face, 255), (80, 80, 80, 80), BLACK), turn, size)[kept][..., 0]
    left, top, right, bottom = content(photo)
    assert (within[top:bottom, left:right] < 128).mean() < 0.003  # at most a pixel or two at the corners
    assert min(right - left, bottom - top) >= 396 - 20


def test_writing_on_a_margin_does_not_hide_it(face: np.ndarray):
    photo = framed(face, (20, 20, 20, 90), PAPER)
    cv2.putText(photo, "Aunt Mary, 1961", (60, 470), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (40, 40, 90), 2)
    assert np.abs(errors(photo, (20, 20, 20, 90))).max() <= 2


def test_plain_walls_and_straight_things_that_do_not_pass_through_are_no_margins(face: np.ndarray):
    rows, columns = np.mgrid[0:400, 0:500]
    wall = np.full((400, 500, 3), 225, np.uint8)  # of one colour up to the border, a head before it
    cv2.ellipse(wall, (250, 260), (110, 150), 0, 0, 360, (150, 110, 90), -1)
    shaded = np.repeat((230 - rows // 4 - columns // 10)[..., None], 3, axis=2).astype(np.uint8)
    shelf = face.copy()  # painted over half of its width
    shelf[:40, :198] = 250
    assert shaded.max() <= 230  # and none has passed below 0
    for photo in (wall, shaded, np.full((400, 500, 3), 90, np.uint8), shelf):
        assert content(photo) == (0, 0, photo.shape[1], photo.shape[0])


def test_at_least_half_of_each_side_stays(face: np.ndarray):
    narrow = framed(face[:, :180], (110, 0, 110, 0), PAPER)
    assert content(narrow) == (0, 0, 400, 396)
    small = framed(face[100:150, 100:150], (10, 10, 10, 10), PAPER)  # too small to tell
    assert content(small) == (0, 0, 70, 70)


def test_a_hole_of_what_lies_within_comes_back_to_its_place():
    hole = np.zeros((30, 40), bool)
    hole[3:5, 7] = True
    whole = put_back(hole, (10, 20, 50, 50), (60, 70))
    assert whole.sum() == 2 and whole[23:25, 17].all()
    assert put_back(~np.zeros_like(hole), (10, 20, 50, 50), (60, 70)).all()  # nothing but paper is left


@pytest.mark.parametrize("faces", [[], [(100, 100, 300, 300)]])
def test_the_search_for_damage_sees_no_margin_and_marks_nothing_in_it(
    inpainter: Inpainter, face: np.ndarray, monkeypatch: pytest.MonkeyPatch, faces: list
):
    green, seen = (0, 255, 0), []
    photo = framed(face, (30, 40, 30, 40), green)

    def look(rgb: np.ndarray, faces: tuple | list = ()) -> tuple[list, np.ndarray]:
        seen.append((rgb, faces))
        hole = np.zeros(rgb.shape[:2], bool)
        hole[:20, 50:60] = True
        return [], hole

    monkeypatch.setattr(inpainter, "_look_at_whole", look)
    monkeypatch.setattr(inpainter, "_look_at_faces", look)
    result = inpainter.fill(photo, faces=faces)
    left, top, right, bottom = content(photo)
    for rgb, looked_at in seen:
        assert rgb.shape == (bottom - top, right - left, 3) and not (rgb == green).all(axis=-1).any()
        for moved, own in zip(looked_at, result.faces, strict=True):
            assert (moved.x + left, moved.y + top, moved.side) == pytest.approx((own.x, own.y, own.side))
    assert len(seen) > 1 and bool(seen[0][1]) == bool(faces)
    marked = np.asarray(result.mask) > 0
    assert marked[top : top + 18, left + 52 : left + 58].all() and not marked[:top].any()
    final = np.asarray(result.final)
    assert final.shape == photo.shape and np.array_equal(final[~marked], photo[~marked])
    assert (final[marked] != photo[marked]).any()
