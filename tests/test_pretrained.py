"""The embedded weights: there, whole, better than a method without weights on a face they never saw; or crisper."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from card_rules import card_troubles
from PIL import Image

from benchmarks.photo_fills import hole_of
from ngan import Inpainter
from ngan.damage import damage
from ngan.faces import find_faces
from ngan.framing import inside
from ngan.hub import CRISP, EMBEDDED
from ngan.masks import box_masks, center_masks
from ngan.metrics import iou, psnr
from ngan.model import NGANDiscriminators

ROOT = Path(__file__).parent.parent
LIMIT = 24_000_000  # bytes of either weight file
BOTH = pytest.mark.parametrize("folder", [EMBEDDED, CRISP])


@pytest.fixture(scope="module")
def inpainter() -> Inpainter:
    return Inpainter(EMBEDDED, "cpu")


@pytest.fixture(scope="module")
def face() -> Image.Image:
    return Image.open(ROOT / "examples/astronaut.png").convert("RGB").resize((128, 128), Image.Resampling.LANCZOS)


def as_tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None] / 255


def as_mask(mask: torch.Tensor) -> Image.Image:
    return Image.fromarray((mask[0, 0].numpy() * 255).astype(np.uint8))


@BOTH
def test_both_weight_files_are_small_enough_and_load(folder):
    assert (folder / "model.safetensors").stat().st_size <= LIMIT
    assert (folder / "discriminators/model.safetensors").stat().st_size <= LIMIT
    assert NGANDiscriminators.from_pretrained(folder / "discriminators").local.classify.weight.isfinite().all()


@BOTH
def test_the_card_states_terms_limits_and_the_measured_figures(folder):
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card_troubles(card) == [] and "- l1\n" in card.split("model-index:")[0]
    result = json.loads((folder / "results.json").read_text())
    assert f"- name: {folder.name}\n" in card and result["n"] == 1024 and result["split"] == "validation"
    for words in ("non-commercial research", "CelebA", "Limits and bias", "train_accelerate.py"):
        assert words in card
    for kind in ("center", "box", "freeform"):
        assert f"| {result['masks'][kind]['ngan']['psnr']:.2f} |" in card
        assert f"| {result['masks'][kind]['telea']['psnr']:.2f} |" in card
    for section in ("title", "usage", "data", "training", "figures", "limits"):
        assert card.count(f"<!-- ngan: {section} -->") == card.count(f"<!-- /ngan: {section} -->") == 1


@BOTH
def test_usage_in_the_card_runs_as_printed_from_any_folder(folder, face, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NGAN_MODEL", raising=False)
    face.save("face.png")
    as_mask(center_masks(1, 128, 128, torch.Generator())).save("mask.png")
    exec((folder / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0], {})
    assert np.array_equal(np.asarray(Image.open("filled.png")), np.asarray(Inpainter(folder)(face, "mask.png")))


@pytest.mark.parametrize("kind", ["eyes", "lower face", "inner face"])
def test_the_crisp_fills_are_crisper_and_no_crisper_than_the_truth(inpainter, kind):
    import cv2

    truth = Image.open(ROOT / "examples/astronaut.png").convert("RGB")
    hole = hole_of(find_faces(np.asarray(truth))[0], kind, truth.size[::-1])

    def fine(picture: Image.Image) -> float:
        luma = np.asarray(picture.convert("L")).astype(np.float32)
        return np.abs(luma - cv2.GaussianBlur(luma, (0, 0), 3))[hole].mean()

    careful, crisp = (fine(model(truth, hole)) for model in (inpainter, Inpainter(CRISP, "cpu")))
    assert 1.03 * careful < crisp < fine(truth)


def test_a_face_never_seen_is_filled_better_than_by_telea(inpainter, face):
    import cv2

    truth = as_tensor(face)
    for mask in (center_masks(1, 128, 128, torch.Generator()), *_boxes(4)):
        marked = as_mask(mask)
        filled = inpainter(face, marked)
        telea = cv2.inpaint(np.asarray(face), np.asarray(marked), 3, cv2.INPAINT_TELEA)
        ours, theirs = psnr(as_tensor(filled), truth, mask), psnr(as_tensor(Image.fromarray(telea)), truth, mask)
        assert ours > theirs + 1, f"{ours.item():.2f} dB against {theirs.item():.2f} dB in the hole"


def _boxes(n: int) -> list[torch.Tensor]:
    """Boxes of a third of the side over the inner face, where more than skin or background has to be drawn."""
    generator = torch.Generator().manual_seed(1)
    small = box_masks(n, 64, 64, generator, 0.5, 0.7)
    return [torch.nn.functional.pad(mask[None], (32, 32, 32, 32)) for mask in small]


@pytest.mark.parametrize("kind", ["solid", "noise"])
def test_damage_is_found_without_a_mask(inpainter, face, kind):
    image = 2 * as_tensor(face).expand(8, -1, -1, -1) - 1
    damaged, mask = damage(image, torch.Generator().manual_seed(0), kind)
    with torch.no_grad():
        found = (inpainter.model(damaged).location > 0).float()
    assert iou(found, mask).mean() > 0.6


def test_the_marked_example_is_mended(inpainter):
    marked = Image.open(ROOT / "examples/astronaut_marked.png").convert("RGB")
    truth = Image.open(ROOT / "examples/astronaut.png").convert("RGB")
    mended = inpainter(marked)
    before, after = psnr(as_tensor(marked), as_tensor(truth)), psnr(as_tensor(mended), as_tensor(truth))
    assert after > before + 1


def test_scratches_on_a_face_in_an_old_photo_are_found(inpainter):
    """In one tone, where damage has the photo's own colours, and across the face, which they hide from the search."""
    marked = np.asarray(Image.open(ROOT / "examples/scratched_mask.png").convert("L")) > 127
    result = inpainter.fill(ROOT / "examples/scratched.jpg", show_inside=False)
    (face,) = result.faces
    found, near = np.asarray(result.mask) > 0, inside(face, marked.shape)
    assert (found & marked & near).sum() > 0.6 * (marked & near).sum()
    assert (found & ~marked & near).sum() < 0.05 * near.sum()
