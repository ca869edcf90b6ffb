"""Tests of cutting squares out of a photo and bringing fills back: geometry, leaks, borders."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from ngan.blending import weight, yielding
from ngan.framing import Face, rotation
from ngan.paste import (
    _by_thickness,
    carry_detail,
    cell_of,
    correct,
    crisp,
    cut,
    enlarge,
    fill_rest,
    near_eyes,
    network_share,
    shrink,
    shrink_mask,
    whole_matrix,
)
from ngan.spreading import spread
from ngan.tone import in_tone


def slope(height: int, width: int) -> np.ndarray:
    """A smooth picture, (H, W, 3), uint8: red grows with x, green with y."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x / width, 255 * y / height, np.full(x.shape, 90)], axis=-1).round().astype(np.uint8)


@pytest.mark.parametrize("angle", [0.0, 30.0, -75.0])
@pytest.mark.parametrize("side", [60.0, 300.0])
def test_a_cut_brought_back_is_the_photo(angle: float, side: float):
    rgb, face = slope(500, 560), Face(280, 250, side, angle)
    image, missing = cut(rgb, None, face, 64)
    assert image.shape == (1, 3, 64, 64) and not missing.any()
    hole = np.zeros(rgb.shape[:2], bool)
    hole[240:260, 270:292] = True
    box = (180, 150, 380, 350)
    windows = list(enlarge(image, face.matrix(64), rgb, hole, box))
    assert len(windows) == 1
    window, colours = windows[0]
    assert window == (slice(240, 260), slice(270, 292)) and colours.shape == (20, 22, 3)
    assert np.abs(colours - rgb[window]).max() < 2


def test_what_shrinking_blurred_is_sharpened():
    noise = np.random.default_rng(0).normal(0, 1, (300, 300)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 1.8)  # 0.6 cells
    rgb = (128 + 30 * noise[..., None] / noise.std()).clip(0, 255).round().astype(np.uint8).repeat(3, axis=2)
    face = Face(150, 150, 192, 0.0)
    image, _ = cut(rgb, None, face, 64)
    hole = np.zeros((300, 300), bool)
    hole[90:210, 90:210] = True
    ((window, colours),) = enlarge(image, face.matrix(64), rgb, hole, (54, 54, 246, 246))
    small = ((image[0] + 1) * 127.5).permute(1, 2, 0).contiguous().numpy()
    plain = cv2.warpAffine(small, face.matrix(64), (300, 300), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    truth, plain, deep = rgb[window].astype(np.float32), plain[window], np.s_[20:100, 20:100]
    assert np.square(colours - truth)[deep].mean() < 0.75 * np.square(plain - truth)[deep].mean()
    assert 0.97 < colours[deep].std() / truth[deep].std() < 1.05  # neither soft nor overdone


def test_a_cut_lets_no_marked_pixel_leak():
    rgb = np.full((200, 200, 3), (100, 150, 200), np.uint8)
    hole = np.zeros((200, 200), bool)
    hole[90:120, 60:101] = True
    rgb[hole] = (255, 0, 0)
    image, missing = cut(rgb, hole, Face(100, 100, 150, 20.0), 32)
    colours = (image[0].permute(1, 2, 0)[missing[0, 0] == 0] + 1) * 127.5
    assert missing.any() and (colours - torch.tensor([100.0, 150.0, 200.0])).abs().max() < 1.5


@pytest.mark.parametrize("axis", [0, 1])
def test_beyond_its_borders_a_photo_and_its_hole_go_on_mirrored(axis: int):
    rgb = slope(200, 200)
    hole = np.zeros((200, 200), bool)
    hole[20:40, 60:90] = hole[60:90, 20:40] = True
    face = Face(0, 100, 160) if axis else Face(100, 0, 160)
    image, missing = cut(rgb, hole, face, 32)
    for cells in (image * (1 - missing), missing):
        beyond, within = cells[0].movedim(1 + axis, 0).chunk(2)
        assert (beyond.flip(0) - within).abs().max() < 0.02
    assert 0 < missing.mean() < 0.2 and image.std() > 0.2


@pytest.mark.parametrize(
    "face", [Face(-400, 100, 100), Face(100, 700, 100), Face(100, -50.5, 100), Face(260, 100, 80)]
)
def test_a_square_outside_the_photo_is_missing(face: Face):
    assert cut(slope(200, 200), None, face, 32)[1].all()


def test_shrinking_lets_no_marked_pixel_leak():
    image, mask = Image.new("RGB", (96, 96), (100, 150, 200)), Image.new("L", (96, 96))
    image.paste((255, 0, 0), (20, 30, 61, 50))
    mask.paste(255, (20, 30, 61, 50))
    small, missing = shrink(image, mask, (32, 32)), shrink_mask(mask, (32, 32))
    colours = (small[0].permute(1, 2, 0)[missing[0, 0] == 0] + 1) * 127.5
    assert (colours - torch.tensor([100.0, 150.0, 200.0])).abs().max() < 2


def test_a_cell_is_missing_once_less_than_half_of_it_is_known():
    hole = Image.new("L", (320, 320))
    hole.paste(255, (120, 70, 125, 80))  # half of one cell
    hole.paste(255, (200, 150, 206, 160))  # more than half of another
    missing = shrink_mask(hole, (32, 32))
    assert missing.sum() == 1 and missing[0, 0, 15, 20] == 1
    _, missing = cut(np.zeros((320, 320, 3), np.uint8), np.asarray(hole) > 0, Face(160, 160, 320), 32)
    assert missing.sum() == 1 and missing[0, 0, 15, 20] == 1


def test_a_square_leaves_what_is_nearer_to_another_face_to_that():
    left, right = Face(100, 100, 160), Face(200, 100, 160)
    window = slice(90, 110), slice(20, 280)
    share = yielding(left, [right], window)[10]
    assert (share[:100] == 1).all()  # beyond the other's square, and as far as it is clearly nearer
    assert (share[140:240] == 0).all()
    assert ((share > 0) & (share < 1)).sum() >= 5 and (np.diff(share[:140]) <= 0).all()
    assert (yielding(left, [], window) == 1).all() and (yielding(left, [Face(900, 100, 160)], window) == 1).all()


def test_spread_continues_values_smoothly():
    known = torch.ones(1, 1, 24, 24)
    known[..., 6:18, 6:18] = 0
    values = torch.linspace(0, 1, 24).expand(1, 1, 24, 24)
    smooth = spread(values * known, known)
    assert torch.equal(smooth * known, values * known)
    assert (smooth - values).abs().max() < 0.1
    assert torch.equal(spread(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)), torch.zeros(1, 3, 8, 8))


def test_a_fill_of_another_colour_is_shifted_to_meet_the_photo():
    seen = torch.full((1, 3, 32, 32), 0.2)
    missing = torch.zeros(1, 1, 32, 32)
    missing[..., 10:22, 10:22] = 1
    assert (correct(seen - 0.5, seen, missing, 3.0) - 0.2).abs().max() < 1e-5


def test_light_that_changes_across_a_face_is_met_but_an_edge_drawn_beside_itself_is_not_carried_on():
    missing = torch.zeros(1, 1, 32, 32)
    missing[..., 10:22, 10:22] = 1
    slope = torch.linspace(-0.3, 0.3, 32).expand(1, 3, 32, 32)
    assert (correct(torch.zeros(1, 3, 32, 32), slope, missing, 1.0) - slope).abs().max() < 0.1
    columns = torch.arange(32).expand(1, 3, 32, 32)
    seen, drawn = (torch.where(columns < edge, 0.8, -0.8) for edge in (16, 17))
    assert (correct(drawn, seen, missing, 1.0) - drawn)[..., 10:22, 10:22].abs().max() < 0.25


def coloured(slope: float, generator: torch.Generator) -> torch.Tensor:
    """A picture (1, 3, 32, 32) of random brightness whose red is by `slope` of it larger, and its blue smaller."""
    grey = 1.6 * torch.rand(1, 1, 32, 32, generator=generator) - 0.8
    red, blue = grey + slope * (grey + 1), grey - slope * (grey + 1)
    return torch.cat([red, (grey - 0.299 * red - 0.114 * blue) / 0.587, blue], dim=1)


@pytest.mark.parametrize("cell", [1.0, 3.0])
@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_a_photo_in_one_tone_is_filled_in_it(slope: float, cell: float):
    generator = torch.Generator().manual_seed(0)
    seen, missing = coloured(slope, generator), torch.zeros(1, 1, 32, 32)
    missing[..., 8:20, 8:20] = 1
    pinkish = seen + 0.1 * torch.randn(seen.shape, generator=generator)
    given = pinkish * missing + seen * (1 - missing)
    filled = correct(given, seen, missing, cell)
    assert torch.equal(filled[..., 20:, :], seen[..., 20:, :])
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    luma, hole = (filled * weights).sum(1), missing[:, 0] == 1
    assert ((filled[:, 0] - luma - slope * (luma + 1))[hole].abs() < 0.02).all()
    assert ((filled[:, 2] - luma + slope * (luma + 1))[hole].abs() < 0.02).all()
    assert (luma - (crisp(given, cell) * weights).sum(1))[hole].abs().max() < 0.05


def test_a_photo_in_colour_keeps_what_the_networks_drew():
    generator = torch.Generator().manual_seed(0)
    seen, missing = coloured(0.1, generator), torch.zeros(1, 1, 32, 32)
    seen[:, 0] += 0.2 * torch.randn(1, 32, 32, generator=generator)
    missing[..., 8:20, 8:20] = 1
    image = seen + 0.1
    assert in_tone(image, seen, missing) is image
    nearly_all = torch.ones(1, 1, 32, 32)
    nearly_all[..., :7, :9] = 0  # 63 cells are too few to tell
    assert in_tone(image, coloured(0.0, generator), nearly_all) is image


def test_a_fill_on_a_larger_photo_is_crisper_without_halos():
    x = torch.arange(32, dtype=torch.float32)
    edge = torch.sigmoid(2 * x - 24) - 0.3 * torch.exp(-0.5 * ((x - 24) / 1.2) ** 2)  # a step, and a thin dark line
    image, missing = edge.expand(1, 3, 32, 32).contiguous(), torch.zeros(1, 1, 32, 32)
    missing[..., 4:28, 4:28] = 1
    assert torch.equal(crisp(image, 1.0), image) and torch.equal(crisp(image, 0.5), image)
    small, large = crisp(image, 1.1)[0, 0, 16], crisp(image, 4.0)[0, 0, 16]
    slopes = [line.diff().max().item() for line in (edge, small, large)]
    assert slopes[0] < slopes[1] < slopes[2] and slopes[2] > 1.15 * slopes[0]
    assert large.min() >= edge.min() - 1e-6 and large.max() <= edge.max() + 1e-6
    filled = correct(image, image, missing, 4.0)
    assert torch.allclose(filled[0, 0, 16, 4:28], large[4:28], atol=1e-6)
    assert torch.equal(filled[missing.expand_as(filled) == 0], image[missing.expand_as(image) == 0])


def test_detail_is_carried_to_the_border_and_fades_inwards():
    smooth = np.full((80, 80, 3), 100, np.float32)
    picture = np.full((80, 80, 3), 120, np.uint8)  # 20 brighter than what the small grid holds
    hole = np.zeros((80, 80), bool)
    hole[:, 40:] = True
    row = carry_detail(smooth, picture, hole, cell=4.0)[40, :, 0]
    assert abs(row[40] - 120) < 5 and (np.diff(row[40:]) <= 1e-3).all() and abs(row[60:] - 100).max() < 0.1


def test_a_faces_weight_is_one_inside_and_fades_to_nothing_at_its_border():
    face, window = Face(60, 50, 80), (slice(0, 100), slice(0, 120))
    share = weight(face, window)
    assert share[50, 60] == 1 and share[50, 25] == 1 and 0 < share[50, 22] < 1 and share[50, 19] == 0
    assert np.allclose(share[:, 20:100], share[:, 20:100][::-1, ::-1], atol=1e-4)
    turned = weight(Face(60, 50, 80, 45.0), window)
    assert turned[50, 8] > 0 and turned[12, 22] == 0


def test_lines_are_not_the_networks_boxes_are():
    hole = np.zeros((200, 200), bool)
    hole[20:24, 10:190] = True  # a cell
    hole[80:160, 60:140] = True  # 20 cells
    share = network_share(hole, 4.0)
    assert (share[20:24, 10:190] == 0).all() and (share[88:152, 68:132] == 1).all()
    assert share[80, 100] < 0.1 and (np.diff(share[80:90, 100]) >= 0).all()
    assert not network_share(np.zeros((9, 9), bool), 1.0).any()


def test_the_network_comes_in_faster_over_eyes_than_elsewhere():
    face = Face(100, 100, 128, 30.0)
    eyes = near_eyes(face.matrix(32), (32, 32), (slice(0, 200), slice(10, 200)))
    for x, y, share in (
        (0.112, 0.011, 1),
        (-0.112, 0.011, 1),
        (0.0, -0.06, 1),
        (0.0, 0.2, 0),
        (0.4, 0.0, 0),
        (0, -0.3, 0),
    ):
        column, row = np.add((100, 100), rotation(30.0) @ (128 * x, 128 * y))
        assert eyes[int(row), int(column) - 10] == share
    hole = np.zeros((200, 200), bool)
    hole[80:160, 60:140] = True
    usual, faster = (network_share(hole, 4.0, share)[80:92, 100] for share in (0.0, 1.0))
    assert (usual[:8] < 1).all() and (faster[4:] == 1).all() and (np.diff(faster) >= 0).all() and faster[0] < 0.2


def test_a_line_across_a_slope_vanishes():
    rgb = slope(120, 160)
    damaged, rest = rgb.copy(), np.zeros((120, 160), bool)
    rest[58:65, 20:140] = True
    damaged[rest] = (255, 0, 255)
    before = damaged.copy()
    fill_rest(damaged, rest)
    assert np.array_equal(damaged[~rest], before[~rest])
    assert np.abs(damaged[rest].astype(int) - rgb[rest]).max() < 8


def test_a_large_hole_is_filled_by_what_is_around_it():
    rgb = np.full((400, 400, 3), (90, 120, 60), np.uint8)
    rest = np.zeros((400, 400), bool)
    rest[100:300, 80:320] = True
    damaged = rgb.copy()
    damaged[rest] = 255
    fill_rest(damaged, rest)
    assert np.abs(damaged.astype(int) - rgb).max() <= 1


def test_a_long_line_is_filled_by_parts_without_a_seam():
    rgb = slope(600, 1400)
    damaged, rest = rgb.copy(), np.zeros((600, 1400), bool)
    rest[np.arange(590)[:, None] + np.arange(9), np.arange(590)[:, None] * 2 + np.arange(9)[:, None, None]] = True
    damaged[rest] = (255, 0, 255)
    before = damaged.copy()
    fill_rest(damaged, rest)
    assert np.array_equal(damaged[~rest], before[~rest])
    assert np.abs(damaged[rest].astype(int) - rgb[rest]).max() < 8


def test_what_is_far_from_all_that_is_known_is_filled_too():
    damaged, rest = np.full((60, 3000, 3), 80, np.uint8), np.ones((60, 3000), bool)
    rest[:, 2990:] = False
    damaged[rest] = 255
    fill_rest(damaged, rest)
    assert np.abs(damaged.astype(int) - 80).max() <= 2


def test_the_matrix_of_a_whole_picture_maps_corner_to_corner():
    matrix = whole_matrix((300, 200), (150, 100))
    assert np.allclose(matrix @ (-0.5, -0.5, 1), (-0.5, -0.5))
    assert np.allclose(matrix @ (299.5, 199.5, 1), (149.5, 99.5)) and cell_of(matrix) == 2


def test_a_scratch_that_meets_a_large_hole_is_filled_nearly_as_well_as_alone():
    y, x = np.mgrid[:400, :700]
    rgb = (128 + 60 * np.sin(x / 4) * np.sin(y / 5))[..., None].repeat(3, axis=2).astype(np.uint8)
    errors = np.zeros(2)
    for top in range(200, 205):  # how grids of 2, 4 and 8 pixels lie to it makes a difference too
        scratch, box = np.zeros((400, 700), bool), np.zeros((400, 700), bool)
        scratch[top : top + 4, 200:680], box[40:360, 20:220] = True, True
        away = scratch & (x > 260)
        for i, hole in enumerate((scratch, scratch | box)):
            canvas = np.where(hole[..., None], np.uint8(0), rgb)
            fill_rest(canvas, hole)
            assert np.array_equal(canvas[~hole], rgb[~hole]) and canvas[hole].min() > 30
            errors[i] += np.square(canvas[away].astype(float) - rgb[away]).mean()
    assert errors[1] < 2.5 * errors[0]  # 5.9 where all of a hole is continued as its thickest part is


def test_a_large_hole_is_thick_to_the_photos_border_and_a_scratch_that_meets_it_thin():
    hole = np.zeros((300, 400), bool)
    hole[:, 150:] = True
    everything = slice(0, 300), slice(0, 400)
    ((own, thick),) = _by_thickness(hole, everything)
    assert np.array_equal(own, hole) and thick > 200
    hole[140:146, :150] = True
    (thin, width), (own, _) = _by_thickness(hole, everything)
    assert thin[140:146, :140].all() and not thin[:, 160:].any() and width < 20
    assert np.array_equal(thin | own, hole) and not (thin & own).any()
