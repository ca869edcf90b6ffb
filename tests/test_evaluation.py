"""The evaluation's figures against ones made step by step here, and its independence of batch size, limit and mode."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from ngan.damage import DAMAGE_KINDS, damage
from ngan.data import to_float, to_uint8
from ngan.evaluation import PSNR_CAP, evaluate, example_grid
from ngan.masks import make_masks
from ngan.metrics import iou, psnr
from ngan.model import NGAN, NGANOutput
from ngan.samples import sample_grid
from ngan.tables import format_table

SIZE = 32


@pytest.fixture
def model() -> NGAN:
    torch.manual_seed(0)
    return NGAN(code_width=4, image_width=8, blocks=2, attention_every=2, image_size=SIZE).train()


@pytest.fixture
def faces() -> torch.Tensor:
    """Five smooth pictures, uint8 (5, 3, 32, 32)."""
    coarse = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return to_uint8(torch.nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear"))


def run(model, faces, **options):
    return evaluate(model, faces, progress=False, **options)


@pytest.mark.parametrize("allowed", [True, False])
def test_figures_are_of_float32_without_tf32_which_is_as_it_was_afterwards(model, faces, monkeypatch, allowed):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
    seen = set()
    model.register_forward_hook(lambda *_: seen.add(torch.backends.cudnn.allow_tf32))
    run(model, faces, masks=("center",), damages=())
    assert seen == {False} and torch.backends.cudnn.allow_tf32 is allowed


class Oracle(NGAN):
    """An NGAN that knows the truth of one picture, and finds damage wherever a pixel differs from it."""

    def __init__(self, truth: torch.Tensor) -> None:
        super().__init__(code_width=1, image_width=8, blocks=0, image_size=SIZE)
        self.truth = to_float(truth)

    def forward(self, image, mask=None):
        truth = self.truth.expand_as(image)
        location = 20 * ((image != truth).any(dim=1, keepdim=True).float() - 0.5)
        return NGANOutput(torch.zeros_like(truth), location, truth, truth)


def test_figures_are_those_of_the_rounded_composite(model, faces):
    result = run(model, faces, masks=["box"], damages=["solid"], seed=3)
    model.eval()
    filled, found, whole, ratio = [], [], [], []
    for i, face in enumerate(faces):
        real = to_float(face[None])
        mask = make_masks("box", 1, SIZE, SIZE, torch.Generator().manual_seed(3 * 1_000_003 + i))
        with torch.no_grad():
            fill = to_uint8(model(real, mask).image)
        picture = torch.where(mask.bool(), fill, face[None])
        filled.append(psnr(picture / 255, face[None] / 255))
        ratio.append(mask.mean())
        damaged, truth = damage(real, torch.Generator().manual_seed(3 * 1_000_003 + i), "solid")
        with torch.no_grad():
            output = model(damaged, None)
        found.append(iou(output.location > 0, truth))
        whole.append(psnr(to_uint8(output.composite) / 255, face[None] / 255))
    box, solid = result["masks"]["box"], result["damages"]["solid"]
    assert box["n"] == solid["n"] == result["n"] == 5
    assert box["ngan"]["psnr"] == pytest.approx(torch.stack(filled).mean().item(), abs=1e-4)
    assert box["hole_ratio"] == pytest.approx(torch.stack(ratio).mean().item(), abs=1e-6)
    assert solid["iou"] == pytest.approx(torch.stack(found).mean().item(), abs=1e-4)
    assert solid["psnr"] == pytest.approx(torch.stack(whole).mean().item(), abs=1e-4)


def test_whole_image_and_hole_agree(model, faces):
    # all error is in the hole, a quarter of the pixels: L1 is a quarter of its L1, PSNR 10 log10(4) = 6.02 dB higher
    center = run(model, faces, masks=["center"], damages=[])["masks"]["center"]
    assert center["hole_ratio"] == 0.25
    for method in ("ngan", "code_image", "telea"):
        assert center[method]["l1"] == pytest.approx(center[method]["l1_hole"] / 4, rel=1e-4)
        assert center[method]["psnr"] == pytest.approx(center[method]["psnr_hole"] + 6.0206, abs=1e-3)
        assert 0 < center[method]["l1_border"] < center[method]["l1_hole"]
        assert 0 < center[method]["ssim"] < 1
    assert center["telea"]["psnr"] > center["ngan"]["psnr"]  # smooth pictures; the model is untrained


def test_batch_size_and_limit_change_nothing(model, faces):
    options = {"masks": ["freeform", "wide"], "damages": ["text", "blur"], "seed": 1}
    one, all_ = run(model, faces, batch_size=1, **options), run(model, faces, batch_size=5, **options)
    flat_one, flat_all = flatten(one), flatten(all_)
    assert flat_one.keys() == flat_all.keys()
    for key, value in flat_one.items():
        assert value == pytest.approx(flat_all[key], abs=2e-2), key  # a value at a half may round either way
    assert flatten(run(model, faces, limit=2, **options)) == flatten(run(model, faces[:2], **options))


def test_the_seed_decides_the_holes(model, faces):
    options = {"masks": ["box"], "damages": []}
    first = run(model, faces, seed=0, **options)
    assert run(model, faces, seed=0, **options) == first
    assert run(model, faces, seed=1, **options)["masks"]["box"]["hole_ratio"] != first["masks"]["box"]["hole_ratio"]


def test_the_self_ensemble_is_the_mean_with_the_mirror_image(model, faces):
    result = run(model, faces, masks=["center"], damages=[], peers=(), self_ensemble=True)
    mask = make_masks("center", 5, SIZE, SIZE, torch.Generator().manual_seed(0))
    images = to_float(faces) * (1 - mask)
    model.eval()
    with torch.no_grad():
        fill = (model(images, mask).image + model(images.flip(3), mask.flip(3)).image.flip(3)) / 2
    picture = torch.where(mask.bool(), to_uint8(fill), faces)
    expected = psnr(picture / 255, faces / 255).mean().item()
    entry = result["masks"]["center"]
    assert entry["self_ensemble"]["psnr"] == pytest.approx(expected, abs=1e-2)
    assert entry["self_ensemble"]["psnr"] != entry["ngan"]["psnr"]
    assert "NGAN, self-ensemble" in format_table(result)
    assert "self_ensemble" not in run(model, faces, masks=["center"], damages=[], peers=())["masks"]["center"]


def test_a_perfect_model_gets_finite_figures(faces):
    result = run(Oracle(faces[:1]), faces[:1], masks=["center"], damages=["noise"])
    perfect = {"psnr": PSNR_CAP, "ssim": 1, "l1": 0, "psnr_hole": PSNR_CAP, "l1_hole": 0, "l1_border": 0}
    assert result["masks"]["center"]["ngan"] == pytest.approx(perfect)
    assert result["masks"]["center"]["code_image"]["psnr"] < 40
    assert result["damages"]["noise"]["iou"] > 0.9  # where the noise happens to equal the picture, none is seen
    assert result["damages"]["noise"]["psnr"] == PSNR_CAP
    assert result["damages"]["noise"]["psnr_damaged"] < 40
    json.dumps(result, allow_nan=False)


def test_the_model_comes_back_in_its_mode_without_gradients(model, faces):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run(model, faces[:2])
    assert model.training and model.code_generator.training
    model.eval()
    run(model, faces[:2], damages=[])
    assert not model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_autocast_around_it_changes_nothing(model, faces):
    options = {"masks": ["center"], "damages": ["solid"]}
    plain = run(model, faces[:2], **options)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert run(model, faces[:2], **options) == plain


def test_without_opencv_telea_is_left_out_with_a_warning(model, faces, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.warns(UserWarning, match="OpenCV is not installed"):
        result = run(model, faces[:1], masks=["center"], damages=[])
    assert set(result["masks"]["center"]) == {"n", "hole_ratio", "ngan", "code_image"}
    assert "Telea" not in format_table(result)


def test_table_is_markdown_with_the_figures(model, faces):
    result = run(model, faces[:2], masks=["center", "box"], damages=["solid"])
    holes, damages = format_table(result).split("\n\n")
    lines = holes.splitlines()
    assert len(lines) == 2 + 2 * 3 and len(damages.splitlines()) == 3
    assert len({line.count("|") for line in lines}) == 1
    telea = result["masks"]["center"]["telea"]
    row = next(line for line in lines if line.startswith("| center") and "Telea" in line)
    assert f"| 25 % | OpenCV Telea | {telea['psnr']:.2f} | {telea['ssim']:.3f} |" in row
    assert damages.splitlines()[2].startswith("| solid |")


def test_table_shows_what_could_not_be_measured_as_a_dash(model, faces):
    result = run(model, faces[:1], masks=[], damages=["solid"])
    result["damages"]["solid"]["iou"] = None
    assert "| - |" in format_table(result)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": ["centre"]}, "masks: 'centre' is not one of center, box"),
        ({"damages": ["rain"]}, "damages: 'rain' is not one of solid"),
        ({"peers": ["lama"]}, "peers: 'lama' is not one of telea"),
        ({"masks": [], "damages": []}, "nothing to measure"),
        ({"limit": 0}, "limit=0: must be at least 1"),
        ({"batch_size": 0}, "batch_size=0: must be at least 1"),
    ],
)
def test_impossible_options_are_refused_by_name(model, faces, options, message):
    with pytest.raises(ValueError, match=message):
        run(model, faces, **options)


def test_faces_of_another_kind_are_refused(model, faces):
    with pytest.raises(ValueError, match="faces: there are none"):
        run(model, faces[:0])
    with pytest.raises(ValueError, match=r"faces: torch.float32 of shape \(3, 32, 32\)"):
        run(model, to_float(faces))


def cell(grid: Image.Image, row: int, column: int, size: int = 96) -> np.ndarray:
    left, top = 2 + column * (size + 2), 18 + row * (size + 2)
    return np.asarray(grid)[top : top + size, left : left + size]


def test_sample_grid_shows_the_stages_in_order(model, faces):
    masks = make_masks("center", 2, SIZE, SIZE, torch.Generator())
    grid = sample_grid(model, to_float(faces[:2]), masks)
    assert model.training
    assert grid.size == (5 * 98 + 2, 18 + 2 * 98)
    hole = masks[1, 0].repeat_interleave(3, 0).repeat_interleave(3, 1).bool().numpy()
    truth = faces[1].permute(1, 2, 0).numpy().repeat(3, 0).repeat(3, 1)
    corrupted, code, location, filled, shown = (cell(grid, 1, column) for column in range(5))
    assert np.array_equal(shown, truth)
    assert set(corrupted[hole].ravel()) <= {127, 128}
    for picture in (corrupted, code, filled):
        assert np.array_equal(picture[~hole], truth[~hole])
        assert not np.array_equal(picture[hole], truth[hole])
    assert np.array_equal(location[..., 0], location[..., 1])
    assert not np.array_equal(code[hole], filled[hole])


def test_sample_grid_without_masks_finds_the_damage(faces):
    real = to_float(faces[:1])
    damaged, mask = damage(real, torch.Generator().manual_seed(0), "solid")
    grid = sample_grid(Oracle(faces[:1]), real, None, damaged)
    given = to_uint8(damaged)[0].permute(1, 2, 0).numpy().repeat(3, 0).repeat(3, 1)
    assert np.array_equal(cell(grid, 0, 0), given)
    hole = mask[0, 0].repeat_interleave(3, 0).repeat_interleave(3, 1).bool().numpy()
    assert (cell(grid, 0, 2)[hole] == 255).all() and (cell(grid, 0, 2)[~hole] == 0).all()


def test_sample_grid_wants_masks_or_damage(model, faces):
    with pytest.raises(ValueError, match="give either masks or damaged"):
        sample_grid(model, to_float(faces), None)


def test_example_grid_has_two_rows_a_hole_and_one_a_damage(model, faces):
    grid = example_grid(model, faces[:3], masks=["center", "box"], damages=DAMAGE_KINDS, seed=0)
    assert grid.size == (5 * 98 + 2, (18 + 4 * 98) + (18 + 5 * 98))
    for row, face in enumerate([0, 1, 2, 0]):
        truth = faces[face].permute(1, 2, 0).numpy().repeat(3, 0).repeat(3, 1)
        assert np.array_equal(cell(grid, row, 4), truth)
    assert np.array_equal(
        np.asarray(example_grid(model, faces[:3], masks=["center"], damages=[]))[:18], np.asarray(grid)[:18]
    )


def flatten(result: dict, prefix: str = "") -> dict[str, float]:
    flat = {}
    for key, value in result.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return {key: value for key, value in flat.items() if not isinstance(value, str)}


def test_stored_masks_are_measured_as_drawn_ones_are_and_given_out_in_turn(model, faces):
    drawn = torch.cat([make_masks("box", 1, SIZE, SIZE, torch.Generator().manual_seed(i)) for i in range(5)])
    options = {"damages": [], "peers": ["telea"]}
    by_kind = run(model, faces, masks=["box"], **options)["masks"]["box"]
    assert run(model, faces, masks=[], stored_masks={"mine": drawn}, **options)["masks"] == {"mine": by_kind}
    twice = {"mine": drawn[[0, 1, 0, 1, 0]]}
    first = run(model, faces, masks=[], stored_masks=twice, batch_size=2, **options)["masks"]
    assert run(model, faces, masks=[], stored_masks={"mine": drawn[:2].bool()}, **options)["masks"] == first


def test_frechet_distances_are_of_the_pictures_of_each_method(model, faces):
    def colours(pictures):
        assert pictures.dtype == torch.uint8
        return pictures.float().mean(dim=(2, 3))

    features = {"colour": colours, "constant": lambda pictures: torch.ones(len(pictures), 2)}
    center = run(model, faces, masks=["center"], damages=[], features=features, batch_size=2)["masks"]["center"]
    for method in ("ngan", "code_image", "telea"):
        assert center[method]["frechet_constant"] == 0
    assert center["ngan"]["frechet_colour"] > 0
    oracle = run(Oracle(faces[:1]), faces[:1].repeat(2, 1, 1, 1), masks=["center"], damages=[], features=features)
    assert oracle["masks"]["center"]["ngan"]["frechet_colour"] == pytest.approx(0, abs=1e-9)
    single = run(model, faces[:1], masks=["center"], damages=[], features=features)["masks"]["center"]["ngan"]
    assert single["frechet_colour"] is None  # no covariance of one picture


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"box": torch.zeros(1, 1, SIZE, SIZE)}, "'box' is a kind of masks"),
        ({"mine": torch.zeros(1, 1, 8, SIZE)}, r"stored_masks\['mine'\]: shape \(1, 1, 8, 32\)"),
        ({"mine": torch.zeros(0, 1, SIZE, SIZE)}, r"shape \(0, 1, 32, 32\)"),
    ],
)
def test_stored_masks_that_do_not_fit_are_refused(model, faces, stored, message):
    with pytest.raises(ValueError, match=message):
        run(model, faces, stored_masks=stored)
