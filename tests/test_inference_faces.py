"""Tests of `Inpainter` on photos: each face that is touched is filled, from its own square."""

import numpy as np
import pytest
from painting import box_mask, noise
from PIL import Image
from test_faces import mark, on_cheek, photo, profile
from test_inference import locate

from ngan.finding import _COLOURED, _TONED, _Levels
from ngan.framing import Face
from ngan.inference import Inpainter
from ngan.model import NGAN
from ngan.pictures import PictureError


def test_each_face_that_is_touched_is_filled_and_all_else_stays(inpainter: Inpainter):
    faces = Face(200, 200, 240), Face(560, 240, 200, 10.0), Face(880, 220, 220)
    canvas = photo(1100, 450, *faces)
    hole = np.zeros(canvas.shape[:2], bool)
    hole[215:255, 180:600] = True
    result = inpainter.fill(canvas, hole)
    final = np.asarray(result.final)
    assert len(result.faces) == len(result.inside) == 2 and result.notes == []
    assert np.array_equal(final[~hole], canvas[~hole]) and (final[hole] != canvas[hole]).any(axis=-1).mean() > 0.9
    assert np.array_equal(np.asarray(result.mask) > 0, hole)
    for face, stages in zip(result.faces, result.inside, strict=True):
        sizes = {getattr(stages, name).size for name in ("corrupted", "code_image", "location", "mask", "final")}
        assert sizes == {(round(face.side), round(face.side))}
        assert stages.mask.getbbox() is not None
    assert np.array_equal(np.asarray(inpainter(canvas, hole)), final)
    whole = inpainter.stages(canvas, hole)
    assert whole.code_image.size == whole.location.size == (1100, 450)
    assert np.array_equal(np.asarray(whole.code_image)[~hole], canvas[~hole])


def test_without_a_face_the_strokes_are_filled_and_it_is_said(inpainter: Inpainter):
    canvas = photo(900, 500)
    hole = np.zeros((500, 900), bool)
    hole[100:130, 50:700] = hole[300:420, 500:640] = True
    damaged = canvas.copy()
    damaged[hole] = (255, 45, 139)
    result = inpainter.fill(damaged, hole)
    assert result.faces == [] and result.inside == [] and "No face was found" in result.notes[0]
    final = np.asarray(result.final)
    assert np.array_equal(final[~hole], canvas[~hole])
    assert np.abs(final[hole].astype(int) - canvas[hole]).mean() < 12  # not a trace of the paint
    square = inpainter.fill(noise(60, 64, 3), box_mask(60, 64))
    assert "as a whole" in square.notes[0] and len(square.inside) == 1 and square.inside[0].final.size == (64, 60)


def test_a_part_that_lies_in_no_face_is_spoken_of_unless_it_is_small(inpainter: Inpainter):
    face = Face(200, 220, 240)
    canvas = photo(900, 450, face)
    hole = mark(canvas, face)
    assert inpainter.fill(canvas, hole).notes == []
    hole[100:108, 700:708] = True  # a speck
    assert inpainter.fill(canvas, hole).notes == []
    hole[200:240, 700:740] = True
    (note,) = inpainter.fill(canvas, hole).notes
    assert note == "Part of what was marked lies in none of the known faces: it was continued from its surroundings."
    hole[:] = mark(canvas, face)
    hole[210:220, 100:800] = True  # a line that crosses the face
    assert inpainter.fill(canvas, hole).notes == []


@pytest.mark.parametrize(("width", "how"), [(900, "it was continued"), (560, "the picture was taken as a whole")])
def test_a_face_that_is_not_marked_is_not_said_to_be_missing(inpainter: Inpainter, width: int, how: str):
    canvas, hole = photo(width, 500, Face(150, 300, 200)), np.zeros((500, width), bool)
    hole[60:100, width - 120 : width - 60] = True
    words = f"What was marked lies in none of the known faces: {how}"
    (note,) = inpainter.fill(canvas, hole).notes
    assert note.startswith(words)
    (note,) = inpainter.fill(canvas, hole, [Face(150, 300, 200)]).notes
    assert note.startswith("What was marked lies in none of the known faces: it was continued")
    assert inpainter.fill(canvas, hole, []).notes[0].startswith("No face was found:")


def test_a_picture_framed_as_training_faces_is_filled_as_a_whole(inpainter: Inpainter):
    canvas = photo(200, 200, Face(100, 100, 225))
    hole = mark(canvas, Face(100, 100, 225), 0.2, y=0.2)
    result = inpainter.fill(canvas, hole)
    assert result.faces == [] and result.notes == [] and result.inside[0].final.size == (200, 200)


def test_the_caller_may_say_where_the_faces_are(inpainter: Inpainter):
    canvas = photo(640, 480, Face(420, 230, 220))
    hole = mark(canvas, Face(420, 230, 220), 0.3, y=0.1)
    face = Face(415, 235, 200, 3.0)
    assert inpainter.fill(canvas, hole, [face]).faces == [face]
    (aligned,) = inpainter.fill(canvas, hole, [(310, 110, 540, 330)]).faces
    assert abs(aligned.x - 420) < 15 and abs(aligned.y - 230) < 15
    result = inpainter.fill(photo(640, 480), hole, [(310, 120, 510, 320)])
    assert result.faces == [Face(410, 220, 200)] and "rectangle" in result.notes[0]
    assert inpainter.fill(canvas, hole, [Face(100, 100, 80)]).faces == []
    assert inpainter.fill(canvas, hole, []).faces == []


@pytest.mark.parametrize("side", ["right", "left"])
def test_of_a_full_profile_a_rectangle_is_enough(inpainter: Inpainter, side: str):
    canvas, eye, mouth = profile(90, side)
    hole = on_cheek(canvas, mouth, side)
    left, top = np.subtract((eye + mouth) / 2, 80)
    result = inpainter.fill(canvas, hole, [(left, top, left + 160, top + 160)])
    (face,) = result.faces
    assert left < face.x < left + 160 and top < face.y < top + 160 and 50 < face.side < 330
    assert len(result.inside) == 1 and np.array_equal(np.asarray(result.final)[~hole], canvas[~hole])
    assert (np.asarray(result.final)[hole] != canvas[hole]).any(axis=-1).mean() > 0.9


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((10, 10, 12, 40), "at least 8 pixels"),
        ((10, 10, 40), "left, upper, right, lower"),
        ((0, 0, np.nan, 40), "left, upper, right, lower"),
        ((700, 0, 800, 90), "outside the picture of 640x480"),
    ],
)
def test_rectangles_that_cannot_be_are_refused_by_name(inpainter: Inpainter, box: tuple, message: str):
    canvas = photo(640, 480)
    with pytest.raises(PictureError, match=f"faces: .*{message}"):
        inpainter(canvas, mark(canvas, Face(420, 230, 220)), [box])


@pytest.mark.parametrize(
    ("faces", "message"),
    [
        ((10, 20, 200, 200), "10; a rectangle is left, upper, right, lower, in a list"),
        ([None], "None; a rectangle is left, upper, right, lower, in a list"),
        (["left"], "'left'; a rectangle is left"),
        ("left", "'left'; expected a list"),
        (7, "7; expected a list"),
        ([Face(60, 50, 8 * 120 + 1)], "may have 8 times the picture's longer side, 120"),
        ([Face(60, -1e300, 50)], "may have 8 times the picture's longer side, 120"),
        ([(-900, -900, 900, 900)], "may have 8 times the picture's longer side, 120"),
        ([(-1e9, -1e9, 1e9, 1e9)], "reaches too far beyond the picture of 120x100 pixels"),
    ],
)
def test_faces_that_cannot_be_are_refused_by_name(inpainter: Inpainter, faces: object, message: str):
    with pytest.raises(PictureError, match=f"faces: .*{message}"):
        inpainter(noise(100, 120, 3), box_mask(100, 120), faces)


def test_damage_is_looked_for_in_a_square_of_one_pixel(inpainter: Inpainter):
    inpainter(noise(100, 120, 3), None, [Face(60, 50, 1)])


def test_damage_is_looked_for_in_each_face(inpainter: Inpainter, net: NGAN):
    locate(net, 50.0)
    canvas = photo(900, 450, Face(200, 220, 220), Face(650, 220, 220))
    result = inpainter.fill(canvas)
    found = np.asarray(result.mask) > 0
    assert len(result.faces) == 2 and found[220, 200] and found[220, 650] and not found[220, 430]
    assert np.array_equal(np.asarray(result.final)[~found], canvas[~found])
    locate(net, -50.0)
    result = inpainter.fill(canvas)
    assert np.array_equal(np.asarray(result.final), canvas) and "No damage was found" in result.notes[0]


@pytest.mark.parametrize("whole", [False, True])
def test_photos_in_one_tone_have_their_own_levels(inpainter: Inpainter, monkeypatch: pytest.MonkeyPatch, whole: bool):
    asked = []

    def found(logits: object, matrix: object, shape: tuple[int, int], levels: _Levels) -> np.ndarray:
        asked.append(levels)
        return np.zeros(shape, bool)

    monkeypatch.setattr("ngan.finding._found", found)
    canvas = Image.fromarray(photo(240, 240))
    sepia = Image.merge("RGB", [canvas.convert("L").point(lambda v, f=f: int(v * f)) for f in (1.0, 0.85, 0.6)])
    notes = [
        inpainter.fill(picture, None, [] if whole else [Face(120, 120, 200)]).notes
        for picture in (canvas, canvas.convert("L"), sepia)
    ]
    assert asked == [_COLOURED, _TONED, _TONED]
    assert ["paint over it" in own[-1] for own in notes] == [False, True, True]


def test_damage_is_followed_beyond_the_squares(inpainter: Inpainter, monkeypatch: pytest.MonkeyPatch):
    face, canvas = Face(450, 225, 200), photo(900, 450)
    seen = []

    def found(logits: object, matrix: np.ndarray, shape: tuple[int, int], levels: object) -> np.ndarray:
        side = 64 / matrix[0, 0]  # of the square that was looked at, two points a cell
        seen.append(round(side))
        marks = np.zeros(shape, bool)
        reach = slice(int(450 - side / 2), int(450 + side / 2))
        marks[220:230, reach] = True  # a stroke through the square and out of it
        marks[225 + int(0.45 * side) :, reach] = side > 250  # another mark, outside of it
        return marks

    monkeypatch.setattr("ngan.finding._found", found)
    marked = np.asarray(inpainter.fill(canvas, None, [face]).mask) > 0
    assert seen == [200, 300] * 2  # 200: of the mean of both looks; and once more with that filled
    assert marked[220:230, 301:599].all() and marked.sum() == 10 * 300


def test_overlapping_faces_and_squares_over_the_edge_are_filled(inpainter: Inpainter):
    canvas = photo(300, 400)
    hole = np.zeros((400, 300), bool)
    hole[150:260, 0:280] = True
    result = np.asarray(inpainter(canvas, hole, [Face(60, 200, 180), Face(150, 210, 180, 30.0), Face(-900, 0, 50)]))
    assert np.array_equal(result[~hole], canvas[~hole]) and (result[hole] != canvas[hole]).any(axis=-1).mean() > 0.9


def test_the_steps_show_beyond_the_photo_what_the_networks_are_given(inpainter: Inpainter):
    canvas = photo(400, 400)
    (stages,) = inpainter.fill(canvas, mark(canvas, Face(200, 200, 200)), [Face(100, 200, 300)]).inside
    shown = np.asarray(stages.corrupted).astype(int)
    assert np.abs(shown[:, :50] - shown[:, 99:49:-1]).max() <= 2  # the square begins 50 pixels left of the photo


@pytest.mark.parametrize(
    ("face", "aligned"), [(Face(50, 51, 108, 2), False), (Face(50, 45, 110, 0), True), (Face(50, 50, 100, 7), True)]
)
def test_only_a_face_as_the_training_faces_stand_is_filled_as_the_whole_picture(inpainter, monkeypatch, face, aligned):
    monkeypatch.setattr("ngan.inference.find_faces", lambda *_: [face])
    result = inpainter.fill(noise(100, 100, 3), box_mask(100, 100))
    assert result.faces == ([face] if aligned else [])
