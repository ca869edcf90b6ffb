"""Tests of the refiner: its geometry, what it adds, and when `Inpainter` asks it."""

import numpy as np
import pytest
import torch
from launching import draw_face
from painting import box_mask
from PIL import Image
from torch.nn import functional as F

from ngan import refiner as refiner_module
from ngan.__main__ import main
from ngan.framing import Face
from ngan.inference import Inpainter
from ngan.model import NGAN
from ngan.refiner import Refiner, doubled, doubled_matrix, embedded_refiner, refine

CPU = torch.device("cpu")


def model(image_size: int = 128) -> NGAN:
    torch.manual_seed(0)
    return NGAN(code_width=8, image_width=8, blocks=1, attention_every=0, image_size=image_size).eval()


def image(side: int = 128, n: int = 1) -> torch.Tensor:
    noise = torch.rand(n, 3, side // 8, side // 8, generator=torch.Generator().manual_seed(0))
    return F.interpolate(2 * noise - 1, size=(side, side), mode="bicubic").clamp(-1, 1)


def test_a_new_one_is_near_cubic_interpolation():
    torch.manual_seed(0)
    given, mask = image(32, 2), torch.ones(2, 1, 32, 32)
    drawn = Refiner(width=8)(given, mask)
    assert drawn.shape == (2, 3, 64, 64)
    assert 0 < (drawn - doubled(given)).square().mean() < 0.01 * given.square().mean()


@pytest.mark.parametrize("given", [{"width": 0}, {"dilations": [1, -2]}, {"image_size": 1.5}, {"width": 10**6}])
def test_absurd_configurations_are_refused_by_name(given: dict):
    with pytest.raises(ValueError, match=next(iter(given))):
        Refiner(**given)


def test_cells_of_the_doubled_grid_lie_where_the_photo_has_them():
    """A gradient over the photo, averaged over cells and doubled, is the gradient at the doubled grid's cells."""
    face = Face(300, 280, 512, 20.0)
    to_photo = np.linalg.inv(np.vstack([doubled_matrix(face.matrix(128)), [0, 0, 1]]))
    cells = np.linalg.inv(np.vstack([face.matrix(128), [0, 0, 1]]))
    y, x = np.mgrid[:128, :128]
    across = (cells @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)]))[0].reshape(1, 1, 128, 128)
    fine = doubled(torch.from_numpy(across).float())[0, 0].numpy()
    for row, column in ((20, 31), (128, 128), (201, 90)):
        assert fine[row, column] == pytest.approx(
            (to_photo @ [column, row, 1])[0], abs=0.4
        )  # of cells of 4 pixels; torch's cubic bends a line a little


def test_the_embedded_one_makes_soft_faces_crisper_and_keeps_their_colours():
    face = np.asarray(draw_face(0, 128), dtype=np.float32)
    given = torch.from_numpy(face / 127.5 - 1).permute(2, 0, 1)[None]
    given = F.avg_pool2d(F.pad(given, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    mask = torch.ones(1, 1, 128, 128)
    drawn, cubic = refine(embedded_refiner(CPU), given, mask, 1.0, torch.float32), doubled(given)
    assert drawn.shape == (1, 3, 256, 256) and drawn.dtype == torch.float32

    def fine(x: torch.Tensor) -> float:
        return (x - F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), 5, stride=1)).square().mean().item()

    assert fine(drawn) > 1.2 * fine(cubic)
    assert (F.avg_pool2d(drawn - cubic, 8)).abs().mean() < 0.03


def test_of_a_share_the_rest_is_cubic_and_bfloat16_differs_by_rounding():
    given, mask, embedded = image(), torch.ones(1, 1, 128, 128), embedded_refiner(CPU)
    whole = refine(embedded, given, mask, 1.0, torch.float32)
    half = refine(embedded, given, mask, 0.5, torch.float32)
    assert torch.allclose(half, (whole + doubled(given)) / 2, atol=1e-5)
    assert 0 < (refine(embedded, given, mask, 1.0, torch.bfloat16) - whole).abs().mean() < 0.01


def test_large_faces_are_refined_and_what_is_known_stays():
    photo = np.asarray(draw_face(1, 400))
    hole = box_mask(400, 400)
    faces = [Face(200, 200, 400)]
    plain = np.asarray(Inpainter(model(), CPU, refined=False)(photo, hole, faces))
    refined = np.asarray(Inpainter(model(), CPU)(photo, hole, faces))
    assert np.array_equal(refined[~hole], photo[~hole])
    assert (refined[hole] != plain[hole]).any(axis=-1).mean() > 0.5


def test_pictures_of_the_grids_own_size_and_other_models_go_without(monkeypatch):
    called = []
    monkeypatch.setattr("ngan.inference.refine", lambda *given: called.append(given) or refine(*given))
    photo = np.asarray(draw_face(1, 128))
    hole = box_mask(128, 128)
    Inpainter(model(), CPU)(photo, hole, [Face(64, 64, 128)])
    large = photo.repeat(3, axis=0).repeat(3, axis=1), hole.repeat(3, axis=0).repeat(3, axis=1), [Face(192, 192, 384)]
    Inpainter(model(64), CPU)(*large)
    assert not called
    Inpainter(model(), CPU)(*large)
    assert len(called) == 1


def test_black_and_white_photos_stay_so():
    grey = np.asarray(draw_face(2, 400).convert("L"))
    photo, hole = np.stack([grey] * 3, axis=-1), box_mask(400, 400)
    final = np.asarray(Inpainter(model(), CPU)(photo, hole, [Face(200, 200, 400)])).astype(int)
    assert np.abs(final - final.mean(axis=-1, keepdims=True))[hole].max() <= 1


def test_the_command_leaves_it_out_if_asked(tmp_path):
    model().save_pretrained(tmp_path / "model")
    face, mask = draw_face(1, 400), Image.fromarray(box_mask(400, 400))
    face.save(tmp_path / "face.png")
    mask.save(tmp_path / "mask.png")
    given = [str(tmp_path / name) for name in ("face.png", "mask.png")] + ["--model", str(tmp_path / "model")]
    for refined, more in ((True, []), (False, ["--no-refiner"])):
        assert main(["inpaint", *given, "-o", str(tmp_path / "out.png"), "--overwrite", *more]) == 0
        expected = Inpainter(tmp_path / "model", CPU, refined=refined)(face, mask)
        assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), np.asarray(expected))


def test_a_package_without_it_fills_all_the_same(monkeypatch, tmp_path):
    monkeypatch.setattr(refiner_module, "REFINER", tmp_path)
    embedded_refiner.cache_clear()
    try:
        assert embedded_refiner(CPU) is None
        photo = np.asarray(draw_face(1, 300))
        hole = box_mask(300, 300)
        filled = np.asarray(Inpainter(model(), CPU)(photo, hole))
        assert np.array_equal(filled[~hole], photo[~hole]) and not np.array_equal(filled, photo)
    finally:
        embedded_refiner.cache_clear()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_draws_what_the_cpu_does():
    given, mask, cuda = image(), torch.ones(1, 1, 128, 128), torch.device("cuda")
    drawn = refine(embedded_refiner(cuda), given, mask, 1.0, torch.float32)
    assert drawn.device == CPU
    assert (drawn - refine(embedded_refiner(CPU), given, mask, 1.0, torch.float32)).abs().max() < 0.01
