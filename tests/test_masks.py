import pytest
import torch
from torch.nn import functional as F

from ngan.damage import DAMAGE_KINDS, Damage, damage, draw_damage, join_damage
from ngan.masks import MASK_KINDS, MIX, box_masks, composite, crop, crop_box, make_masks

# Smallest and largest share of the image that one mask may cover, and the smallest and largest mean over many.
AREAS = {
    "center": (0.25, 0.25, 0.25, 0.25),
    "box": (0.06, 0.26, 0.11, 0.17),  # sides of 1/4 to 1/2, mean (3/8)^2 = 0.14
    "face": (0.07, 0.5, 0.21, 0.27),  # sides of 3/10 to 7/10, mean 1/2 each, less the corners
    "inner": (0.008, 0.26, 0.07, 0.11),  # sides of 1/10 to 1/2, mean 0.3^2 = 0.09
    "feature": (0.008, 0.2, 0.03, 0.08),  # one eye closely to eyes and mouth widely
    "freeform": (0.002, 0.7, 0.06, 0.25),
    "wide": (0.01, 0.9, 0.12, 0.45),
    "mixed": (0.002, 0.9, 0.1, 0.3),
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=4, height=64, width=64):
    return 2 * torch.rand(n, 3, height, width, generator=seeded(99)) - 1


@pytest.mark.parametrize("kind", MASK_KINDS)
@pytest.mark.parametrize("height, width", [(64, 64), (48, 80), (33, 47)])
def test_masks_are_zero_or_one_of_the_right_shape(kind, height, width):
    mask = make_masks(kind, 6, height, width, seeded())
    assert mask.shape == (6, 1, height, width) and mask.dtype == torch.float32
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert (mask.sum(dim=(1, 2, 3)) > 0).all()


@pytest.mark.parametrize("kind", MASK_KINDS)
def test_areas_stay_within_bounds(kind):
    low, high, mean_low, mean_high = AREAS[kind]
    area = make_masks(kind, 300, 64, 64, seeded(1)).mean(dim=(1, 2, 3))
    assert low <= area.min() and area.max() <= high
    assert mean_low <= area.mean() <= mean_high


def test_centre_hole_is_the_middle_half_of_each_side():
    mask = make_masks("center", 1, 8, 12, seeded())
    assert mask[0, 0, 2:6, 3:9].all() and mask.sum() == 24


def test_boxes_are_whole_and_inside():
    for mask in box_masks(200, 40, 60, seeded(), low=0.25, high=0.5)[:, 0]:
        rows, columns = mask.amax(1).nonzero().flatten(), mask.amax(0).nonzero().flatten()
        height, width = len(rows), len(columns)
        assert rows[-1] - rows[0] + 1 == height and columns[-1] - columns[0] + 1 == width
        assert mask.sum() == height * width
        assert 10 <= height <= 20 and 15 <= width <= 30


def test_boxes_reach_every_edge():
    mask = box_masks(500, 32, 32, seeded()).amax(0)[0]
    assert mask[0].any() and mask[-1].any() and mask[:, 0].any() and mask[:, -1].any()


@pytest.mark.parametrize("kind", MASK_KINDS)
def test_seed_decides_the_masks(kind):
    first = make_masks(kind, 5, 48, 48, seeded(7))
    assert torch.equal(first, make_masks(kind, 5, 48, 48, seeded(7)))
    if kind != "center":
        assert not torch.equal(first, make_masks(kind, 5, 48, 48, seeded(8)))
        assert len({tuple(mask.flatten().tolist()) for mask in first}) == 5


def test_global_random_state_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    make_masks("mixed", 4, 32, 32, seeded())
    damage(images(), seeded())
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("kind", MASK_KINDS)
def test_holes_scale_with_the_image(kind):
    small = make_masks(kind, 200, 64, 64, seeded(2)).mean(dim=(1, 2, 3))
    large = make_masks(kind, 200, 128, 128, seeded(2)).mean(dim=(1, 2, 3))
    assert large.mean().item() == pytest.approx(small.mean().item(), rel=0.08)
    assert (large - small).abs().max() < 0.08  # the same draws, so the same holes


def test_unknown_kinds_are_named():
    with pytest.raises(ValueError, match="'round' is not one of center, box"):
        make_masks("round", 1, 8, 8, seeded())
    with pytest.raises(ValueError, match="'rust' is not one of solid, noise"):
        damage(images(), seeded(), "rust")


@pytest.mark.parametrize("kind", [*DAMAGE_KINDS, None])
@pytest.mark.parametrize("height, width", [(64, 64), (33, 47)])
@pytest.mark.parametrize("soft", [0.0, 0.5])
def test_damage_stays_within_its_mask_and_range(kind, height, width, soft):
    image = images(6, height, width)
    before = image.clone()
    for seed in range(4):
        damaged, mask = damage(image, seeded(seed), kind, soft)
        assert damaged.shape == image.shape and mask.shape == (6, 1, height, width)
        assert set(mask.unique().tolist()) == {0.0, 1.0}
        known = (mask == 0).expand_as(image)
        assert torch.equal(damaged[known], image[known])
        assert damaged.isfinite().all() and damaged.abs().max() <= 1
    assert torch.equal(image, before)


@pytest.mark.parametrize("kind", DAMAGE_KINDS)
def test_damage_changes_what_its_mask_marks(kind):
    image = images()
    for seed in range(4):
        damaged, mask = damage(image, seeded(seed), kind)
        assert (mask.sum(dim=(1, 2, 3)) > 0).all()
        changed = (damaged - image).abs().amax(dim=1, keepdim=True) > 0.02
        assert changed[mask == 1].float().mean() > 0.95


@pytest.mark.parametrize("kind", [*DAMAGE_KINDS, None])
def test_soft_damage_is_the_same_with_its_edges_spread(kind):
    image = images()
    (hard, inside), (soft, touched) = (damage(image, seeded(1), kind, share) for share in (0.0, 1.0))
    assert (touched >= inside).all() and (touched > inside).flatten(1).any(1).all()
    deep = -F.max_pool2d(-inside, 3, 1, 1) == 1  # all neighbours are damaged too
    assert deep.any() or kind == "text"
    assert torch.allclose(soft[deep.expand_as(soft)], hard[deep.expand_as(soft)], atol=1e-6)
    edge = ((touched == 1) & ~deep).expand_as(image)
    assert not torch.allclose(soft[edge], hard[edge], atol=0.02)
    assert torch.equal(soft, damage(image, seeded(1), kind, 1.0)[0])


def test_soft_lines_cover_half_and_touch_their_sides():
    line = torch.zeros(1, 1, 9, 9)
    line[..., 4] = 1
    none = torch.empty(0, dtype=torch.long)
    paint = Damage(line, torch.ones(1, 3, 1, 1), torch.empty(0, 3, 9, 9), none, none, none, torch.zeros(1).long())
    damaged, mask = paint.apply(torch.zeros(1, 3, 9, 9))
    assert torch.equal(mask[0, 0, 4], torch.tensor([0.0, 0, 0, 1, 1, 1, 0, 0, 0]))
    assert torch.equal(damaged[0, 0, 4], torch.tensor([0.0, 0, 0, 0.25, 0.5, 0.25, 0, 0, 0]))


def test_scratches_in_another_tone_lie_over_the_damage_and_change_nothing_else():
    n, image = 40, images(40)
    soft = torch.full((n,), 0.5)
    plain, lined = (draw_damage(n, 64, 64, seeded(2), soft=soft, lined=share) for share in (0.0, 0.5))
    (before, inside), (after, marked) = plain.apply(image), lined.apply(image)
    numbers = lined.lines.numbers
    assert 10 < len(numbers) < 30 and torch.equal(lined.soft, plain.soft)
    others = [number for number in range(n) if number not in numbers]
    assert torch.equal(after[others], before[others]) and torch.equal(marked[others], inside[others])
    assert (marked >= inside).all() and (marked > inside)[numbers].flatten(1).any(1).float().mean() > 0.9
    hard = torch.tensor([number not in lined.soft for number in numbers])
    assert hard.any() and not hard.all()  # with soft edges where the damage has them
    on, colour = lined.lines.mask.bool().expand(-1, 3, -1, -1), lined.lines.colour.expand(-1, 3, 64, 64)
    assert torch.equal(after[numbers][hard][on[hard]], colour[hard][on[hard]])
    assert torch.equal(after[numbers][hard][~on[hard]], before[numbers][hard][~on[hard]])
    joined = join_damage([lined.of(0, 15), lined.of(15, n)])
    assert torch.equal(joined.apply(image)[0], after) and torch.equal(joined.lines.numbers, numbers)


@pytest.mark.parametrize("kind", [*DAMAGE_KINDS, None])
def test_seed_decides_the_damage(kind):
    first, mask = damage(images(), seeded(3), kind)
    again, same = damage(images(), seeded(3), kind)
    assert torch.equal(first, again) and torch.equal(mask, same)
    assert not torch.equal(first, damage(images(), seeded(4), kind)[0])
    assert len({tuple(m.flatten().tolist()) for m in mask}) > 1


def test_composite_is_exact_on_both_sides():
    known, fill = images(2), images(2).flip(-1)
    mask = make_masks("box", 2, 64, 64, seeded())
    joined = composite(known, fill, mask)
    hole = (mask == 1).expand_as(known)
    assert torch.equal(joined[hole], fill[hole]) and torch.equal(joined[~hole], known[~hole])


def test_window_is_centred_on_the_damage_and_inside():
    mask = torch.zeros(4, 1, 20, 30)
    mask[0, :, 7:10, 12:15] = 1  # centre (8, 13): a window of 8 starts at (8 - 4, 13 - 4)
    mask[1, :, :2, :2] = 1
    mask[2, :, -1, -1] = 1
    box = crop_box(mask, 8)
    assert box[:3].tolist() == [[4, 9, 8], [0, 0, 8], [12, 22, 8]]
    assert (box[3] - torch.tensor([6, 11, 8])).abs().max() <= 1  # an empty mask: the image's centre


def test_window_shrinks_around_small_damage():
    mask = torch.zeros(5, 1, 40, 60)
    mask[0, :, 20:23, 30:36] = 1  # 6 wide: a window of 9
    mask[1, :, 20:23, 50:59] = 1  # 9 wide: one of 14, at the border
    mask[2, :, 5:35, 30] = 1  # 30 high: the greatest
    mask[3, :, 8, 8] = 1  # one pixel: the smallest, a third of the greatest
    box = crop_box(mask, 20, zoom=3.0)
    assert box[:4, 2].tolist() == [9, 14, 20, 7] and box[4, 2] == 20
    assert box[1, 1] == 60 - 14 and box[3].tolist() == [5, 5, 7]
    for window, hole in zip(box[:2].tolist(), mask[:2, 0], strict=True):
        top, left, side = window
        assert hole[top : top + side, left : left + side].sum() == hole.sum()


def test_crop_cuts_each_window_and_passes_gradients():
    image = torch.arange(2 * 3 * 6 * 5.0).view(2, 3, 6, 5).requires_grad_()
    cut = crop(image, torch.tensor([[0, 1, 3], [3, 2, 3]]), 3)
    torch.testing.assert_close(cut[0], image[0, :, 0:3, 1:4])
    torch.testing.assert_close(cut[1], image[1, :, 3:6, 2:5])
    cut.sum().backward()
    assert image.grad.sum().item() == pytest.approx(cut.numel()) and image.grad[0, 0, 5, 0] == 0


def test_crop_enlarges_a_small_window():
    ramp = torch.arange(24.0).expand(1, 1, 24, 24)
    cut = crop(ramp, torch.tensor([[6, 8, 6]]), 12)
    expected = 8 + (torch.arange(12) + 0.5) / 2 - 0.5
    torch.testing.assert_close(cut[0, 0], expected.expand(12, 12))
    assert crop(ramp, torch.tensor([[0, 18, 6]]), 12).max() == 23  # nothing from beyond the border


def test_inner_holes_lie_over_the_inner_face_and_are_often_bars():
    masks = make_masks("inner", 300, 100, 100, seeded(2))
    assert not masks[:, :, :4].any() and not masks[..., 96:].any()
    heights, widths = masks.amax(3).sum((1, 2)), masks.amax(2).sum((1, 2))
    assert (masks.sum((1, 2, 3)) == heights * widths).all()  # one box each
    assert ((heights / widths > 2) | (widths / heights > 2)).float().mean() > 0.2


def test_face_holes_hide_most_of_the_face_at_no_fixed_place():
    masks = make_masks("face", 400, 100, 100, seeded(4))[:, 0]
    assert masks[:, 60, 50].mean() > 0.95  # the middle of the face
    assert 0.5 < masks[:, 51, [39, 61]].amin(1).mean() < 0.97  # both eyes in most, not in all
    assert 0.5 < masks[:, 74, 50].mean() < 0.97  # the mouth
    tops = masks.amax(2).argmax(1).float()
    assert tops.std() > 8 and tops.min() >= 10
    corners = torch.stack([mask[y.min(), x.min()] for mask in masks for y, x in [mask.nonzero().T]])
    assert 0.4 < corners.mean() < 0.6  # the others are round


def test_mixed_holes_hold_all_kinds_and_their_shares_sum_to_1():
    assert set(MIX) == set(MASK_KINDS) - {"mixed"} and sum(MIX.values()) == pytest.approx(1)
    centre = make_masks("center", 1, 64, 64, seeded())
    mixed = make_masks("mixed", 2000, 64, 64, seeded(5))
    assert (mixed == centre).all(dim=3).all(dim=2).float().mean().item() == pytest.approx(MIX["center"], abs=0.025)


def test_feature_holes_cover_eyes_nose_or_mouth_and_little_else():
    masks = make_masks("feature", 400, 100, 100, seeded(3))[:, 0]
    assert not masks[:, :30].any() and not masks[:, 96:].any() and not masks[..., :10].any()
    eyes, nose, mouth = masks[:, 51, [39, 61]], masks[:, 62, 50], masks[:, 74, 50]
    assert (eyes.amax(1) + nose + mouth > 0).float().mean() > 0.95
    for part, low, high in ((eyes[:, 0], 0.3, 0.7), (eyes[:, 1], 0.3, 0.7), (nose, 0.15, 0.6), (mouth, 0.25, 0.7)):
        assert low < part.mean() < high
    assert 0.1 < eyes.amin(1).mean() < eyes.amax(1).mean() - 0.15  # both eyes, and one alone
