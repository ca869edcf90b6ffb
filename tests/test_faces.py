"""Tests of the search for faces: on a photo in the public domain, pasted, turned, scaled and painted over."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from heads import AXIS, turned_head
from PIL import Image

from ngan import cascades, faces
from ngan.faces import face_in, find_faces
from ngan.framing import EYE_Y, LEFT_EYE_X, RIGHT_EYE_X, Face, rotation, strokes, touches

EXAMPLES = Path(__file__).parent.parent / "examples"
ASTRONAUT = np.asarray(Image.open(EXAMPLES / "astronaut.png").convert("RGB"))


def photo(width: int, height: int, *faces: Face, squeeze: float = 1.0) -> np.ndarray:
    """A blurred background with the astronaut's face at each of the squares, (H, W, 3), uint8."""
    noise = np.random.default_rng(0).integers(60, 200, (9, 12, 3), dtype=np.uint8)
    canvas = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    for face in faces:
        side = ASTRONAUT.shape[0]
        small = cv2.GaussianBlur(ASTRONAUT, (0, 0), 0.4 * side / face.side) if face.side < side else ASTRONAUT
        matrix = face.matrix(side)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(small, matrix, (width, height), flags=flags)
        inside = cv2.warpAffine(np.full((side, side), 255, np.uint8), matrix, (width, height), flags=flags) == 255
        canvas[inside] = warped[inside]
    return canvas


def mark(canvas: np.ndarray, face: Face, side: float = 0.2, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """A square hole, (H, W), bool; its side and its offset from the face's middle in sides of the face's square."""
    hole = np.zeros(canvas.shape[:2], bool)
    left, top = face.x + (x - side / 2) * face.side, face.y + (y - side / 2) * face.side
    hole[int(top) : int(top + side * face.side) + 1, int(left) : int(left + side * face.side) + 1] = True
    return hole


def check(found: Face, face: Face, middle: float = 0.06, side: float = 0.15, angle: float = 8.0) -> None:
    # this head is small for the distance of its eyes and held at a tilt: its middle is the square's, 0.83 of its side
    assert np.hypot(found.x - face.x, found.y - face.y) < middle * face.side
    assert abs(np.log(found.side / face.side / 0.83)) < side
    assert abs(found.angle - face.angle - 5) < angle


@pytest.mark.parametrize("angle", [0.0, -20.0, 45.0, -45.0, 30.0])
def test_faces_are_found_and_aligned_at_any_tilt_up_to_45_degrees(angle: float):
    face = Face(300, 220, 210, angle)
    canvas = photo(640, 480, face)
    (found,) = find_faces(canvas, mark(canvas, face, 0.1, y=0.2))
    check(found, face, middle=0.15, angle=12)


@pytest.mark.parametrize("angle", [90.0, -90.0, 180.0])
def test_lying_faces_and_photos_that_were_scanned_so_are_found(angle: float):
    face = Face(320, 240, 210, angle)
    canvas = photo(640, 480, face)
    for hole in (None, mark(canvas, face, 0.1, y=0.2)):
        (found,) = find_faces(canvas, hole)
        check(found, face, middle=0.15, angle=12)


def test_faces_that_lie_head_to_head_are_both_found():
    lying = Face(200, 240, 210, 90.0), Face(440, 240, 210, -90.0)
    canvas = photo(640, 480, *lying)
    found = sorted(find_faces(canvas), key=lambda face: face.x)
    assert len(found) == 2
    for one, other in zip(found, lying, strict=True):
        check(one, other, middle=0.15, angle=12)


@pytest.mark.parametrize(
    ("score", "upright", "lying", "told"),
    [(10, 12, 90, True), (10, 12, 25, False), (10, 60, 90, False), (70, 12, 90, False), (0, 0, 40, True)],
)
def test_a_photo_is_lying_only_if_faces_look_far_surer_so(
    monkeypatch: pytest.MonkeyPatch, score: float, upright: float, lying: float, told: bool
):
    """A chance likeness, as chins and collars of faces upside down have, does not keep lying ones from being found."""
    hits = {angle: cascades.Hit(Face(50, 50, 60, angle), 8.0, True) for angle in cascades.LYING}
    monkeypatch.setattr(cascades.Copies, "search", lambda self, turns: [hits[turn] for turn in turns])
    monkeypatch.setattr(
        faces, "likeness", lambda rgb, hole, face: {0.0: upright, 180.0: lying}.get(face.angle, lying / 2)
    )
    canvas = photo(100, 100)
    copies = cascades.Copies(canvas, None, (0, 0, 100, 100), 512)
    known = [cascades.Hit(Face(50, 50, 60), score, True)] if score else []
    assert [hit.face.angle for hit in faces._lying(canvas, None, copies, known)][:1] == [180.0] * told


def test_what_lies_must_be_more_like_a_face(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cascades, "_mean_hit", lambda rgb, hole, face, *_: (face, 10.0))  # as scratches had, and 9
    canvas = photo(100, 100)
    upright, lying = (cascades.Hit(Face(50, 50, 60, angle), 4.0, True) for angle in (0.0, 90.0))
    assert cascades.align(canvas, None, upright) is not None and cascades.align(canvas, None, lying) is None


@pytest.mark.parametrize(("size", "side"), [((1600, 1200), 68), ((2800, 2600), 2000)])
def test_faces_may_be_small_and_large(size: tuple[int, int], side: int):
    face = Face(size[0] * 0.45, size[1] * 0.5, side)  # the head itself takes some 40 of 68 pixels
    canvas = photo(*size, face)
    (found,) = find_faces(canvas, mark(canvas, face, 0.15, y=0.2))
    check(found, face, side=0.2)


@pytest.mark.parametrize("offset", [(0.0, 0.2), (0.15, -0.1), (0.0, -0.25)])
def test_paint_over_a_quarter_of_the_face_does_not_hide_it(offset: tuple[float, float]):
    face = Face(320, 240, 240)
    canvas = photo(640, 480, face)
    hole = mark(canvas, face, 1 / 3, *offset)
    canvas[hole] = (255, 45, 139)
    (found,) = find_faces(canvas, hole)
    check(found, face, middle=0.12, side=0.25, angle=12)


def test_what_the_paint_covers_helps_where_it_is_there():
    face = Face(320, 240, 240)
    canvas = photo(640, 480, face)
    (found,) = find_faces(canvas, mark(canvas, face, 0.6))
    check(found, face)


def test_a_face_in_half_profile_is_found():
    squeezed = photo(640, 480, Face(320, 240, 240))
    columns = np.arange(640, dtype=np.float32)
    # as if wound around a cylinder that is turned by 40 degrees: one half of the face narrows
    angle = np.arcsin(((columns - 320) / 130).clip(-0.99, 0.99)) - np.deg2rad(40)
    source = np.where(abs(columns - 320) < 125, 320 + 130 * (angle + np.deg2rad(40) * 0.55) * 0.8, columns)
    x, y = np.broadcast_arrays(source.astype(np.float32), np.arange(480, dtype=np.float32)[:, None])
    canvas = cv2.remap(squeezed, np.ascontiguousarray(x), np.ascontiguousarray(y), cv2.INTER_LINEAR)
    found = find_faces(canvas, mark(canvas, Face(320, 260, 240), 0.1))
    assert found and abs(found[0].x - 320) < 60 and abs(found[0].y - 240) < 50 and 170 < found[0].side < 340


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("angle", [60, 70])
@pytest.mark.parametrize("paint", [False, True])
def test_a_face_in_profile_is_found(side: str, angle: int, paint: bool):
    canvas, eye, mouth = profile(angle, side)
    hole = on_cheek(canvas, mouth, side)
    if paint:
        canvas[hole] = (255, 45, 139)
    (found,) = find_faces(canvas, hole)
    assert 100 < found.side < 260
    for point in (eye, mouth):
        assert np.abs(np.subtract(point, (found.x, found.y))).max() < 0.5 * found.side


def profile(angle: int, side: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A photo of 640 x 480 pixels with a turned head 260 pixels high; its eye and its mouth, (x, y)."""
    head, inside = turned_head(angle)
    small = cv2.resize(cv2.GaussianBlur(head, (0, 0), 0.75), (260, 260), interpolation=cv2.INTER_AREA)
    inside = cv2.resize(inside.view(np.uint8), (260, 260), interpolation=cv2.INTER_AREA) > 0
    turn = np.deg2rad(angle)
    points = [  # row, distance from the axis and depth of the nearer eye and of the mouth's middle in the head
        np.array([AXIS + x * np.cos(turn) + z * np.sin(turn), row]) * 260 / 396
        for row, x, z in ((201, -42, 125), (290, 0, 148))
    ]
    if side == "left":
        small, inside = small[:, ::-1], inside[:, ::-1]
        points = [np.array([259 - x, y]) for x, y in points]
    canvas = photo(640, 480)
    canvas[60:320, 160:420][inside] = small[inside]
    return canvas, *(point + (160, 60) for point in points)


def on_cheek(canvas: np.ndarray, mouth: np.ndarray, side: str) -> np.ndarray:
    """A hole of 26 pixels a side beside the mouth of a `profile`, (H, W), bool."""
    x, y = mouth + (-26 if side == "right" else 26, -26)
    hole = np.zeros(canvas.shape[:2], bool)
    hole[int(y - 13) : int(y + 13), int(x - 13) : int(x + 13)] = True
    return hole


def test_only_the_faces_that_a_stroke_touches_count():
    faces = Face(200, 200, 240), Face(560, 240, 200, 10.0), Face(880, 220, 220)
    canvas = photo(1100, 450, *faces)
    hole = np.zeros(canvas.shape[:2], bool)
    hole[228:236, 200:600] = True
    found = sorted(find_faces(canvas, hole), key=lambda face: face.x)
    assert len(found) == 2
    for face, truth in zip(found, faces, strict=False):
        check(face, truth)
    assert len(find_faces(canvas)) == 3


@pytest.mark.parametrize("side", [60, 100])
def test_a_small_face_within_the_square_of_a_large_one_is_found(side: int):
    large, small = Face(400, 400, 600), Face(640, 460, side)
    canvas = photo(1400, 840, large, small)
    found = find_faces(canvas, mark(canvas, small, 0.25, x=-0.1))
    assert len(found) == 2
    check(min(found, key=lambda face: face.side), small)


@pytest.mark.parametrize("box", [(267, 312, 370, 415), (306, 338, 409, 441), (430, 330, 700, 600)])
def test_clothes_beside_a_face_are_no_face(box: tuple[int, int, int, int]):
    canvas = np.asarray(Image.open(EXAMPLES / "wide.jpg").convert("RGB"))
    left, top, right, bottom = box
    hole = np.zeros(canvas.shape[:2], bool)
    hole[top:bottom, left:right] = True
    assert find_faces(canvas, hole) == []


def test_no_face_is_found_where_there_is_none():
    canvas = photo(640, 480)
    hole = np.zeros((480, 640), bool)
    hole[100:120, 100:400] = True
    assert find_faces(canvas, hole) == [] and find_faces(canvas) == []
    assert face_in(canvas, (100, 100, 300, 300)) is None


def test_scratches_hide_no_face_and_make_none():
    picture = np.asarray(Image.open(EXAMPLES / "scratched.jpg").convert("RGB"))
    marked = np.asarray(Image.open(EXAMPLES / "scratched_mask.png").convert("L")) > 127
    ((told,), (face,)) = find_faces(picture, marked), find_faces(picture)
    assert np.hypot(face.x - told.x, face.y - told.y) < 0.05 * told.side and abs(np.log(face.side / told.side)) < 0.1
    empty, lines = photo(640, 480), np.zeros((480, 640), np.uint8)
    for x in range(40, 640, 40):
        cv2.line(lines, (x, 0), (640 - x, 480), 1, 3)
    empty[lines > 0] = 250
    assert lines.mean() > 0.05 and find_faces(empty) == []


@pytest.mark.parametrize("angle", [0.0, 35.0])
def test_a_rectangle_drawn_around_a_face_is_aligned_to_it(angle: float):
    face = Face(420, 230, 220, angle)
    canvas = photo(640, 480, face)
    found = face_in(canvas, (310, 110, 540, 330))
    assert found is not None
    check(found, face)


def test_eyes_give_the_framing():
    for angle in (0.0, 25.0, -100.0):
        face = Face(100, 90, 80, angle)
        unit = cv2.invertAffineTransform(face.matrix(1))
        left, right = (unit @ (x - 0.5, EYE_Y - 0.5, 1) + 0.5 for x in (LEFT_EYE_X, RIGHT_EYE_X))
        framed = Face.from_eyes(tuple(left), tuple(right))
        assert np.allclose((framed.x, framed.y, framed.side, framed.angle), (100, 90, 80, angle))


def test_a_crop_of_the_whole_picture_is_the_picture():
    assert np.allclose(Face(50, 50, 100).matrix(100), np.eye(2, 3))
    assert np.allclose(Face(50, 50, 100).corners, [(0, 0), (100, 0), (100, 100), (0, 100)])


@pytest.mark.parametrize("values", [(0, 0, 0), (np.nan, 0, 9), (0, 0, np.inf), (0, 0, 9, np.nan)])
def test_a_square_that_cannot_be_is_refused(values: tuple[float, ...]):
    with pytest.raises(ValueError, match="must be finite"):
        Face(*values)


def test_strokes_are_told_apart_and_touch_what_they_touch():
    hole = np.zeros((400, 600), bool)
    hole[10:20, 10:200] = hole[300:330, 400:420] = True
    boxes = strokes(hole)
    assert len(boxes) == 2 and boxes[0][0] <= 10 and boxes[0][2] >= 200 and boxes[1][1] <= 300 <= boxes[1][3]
    assert touches(Face(410, 260, 90), hole) and not touches(Face(410, 240, 90), hole)
    assert not touches(Face(-500, -500, 60), hole)
    # the corner of an upright square reaches what that of a turned one of the same middle does not
    corner = np.zeros((100, 100), bool)
    corner[12, 12] = True
    assert touches(Face(50, 50, 80), corner) and not touches(Face(50, 50, 80, 45.0), corner)


def test_a_face_touches_a_hole_where_any_pixels_middle_lies_in_its_square():
    draw, told = np.random.default_rng(0), []
    for _ in range(500):
        face = Face(*draw.uniform(-10, 50, 2), draw.uniform(1, 40), draw.choice([0, 90, draw.uniform(-180, 180)]))
        hole = np.zeros((30, 40), bool)
        hole[draw.integers(30, size=2), draw.integers(40, size=2)] = True
        rows, columns = np.nonzero(hole)
        away = rotation(-face.angle) @ (columns + 0.5 - face.x, rows + 0.5 - face.y)
        told.append(bool((np.abs(away).max(axis=0) <= face.side / 2).any()))
        assert touches(face, hole) == told[-1]
    assert 50 < sum(told) < 450
