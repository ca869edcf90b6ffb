"""Tests of how the networks are run: precision, backend, and the mean with the mirror image."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from ngan import runner as runner_module
from ngan.inference import Inpainter
from ngan.onnx_model import export_onnx
from ngan.runner import Runner, mirror_mean


def runner(model, device=None, backend="torch", precision="float32", self_ensemble=True) -> Runner:
    return Runner(model, device, backend, precision, self_ensemble)


def parts(output) -> list[torch.Tensor]:
    return [output.code_image, output.location, output.image, output.composite]


@pytest.mark.parametrize("hidden", [False, True])
def test_the_mean_with_the_mirror_image_is_that_of_two_runs(tiny_nets, batch, hidden: bool):
    net, (images, masks) = tiny_nets[0].eval(), batch
    mask = None if hidden else masks
    with torch.inference_mode():
        straight, mirrored = net(images, mask), net(images.flip(-1), None if hidden else masks.flip(-1))
    for ours, a, b in zip(parts(runner(net)(images, mask)), parts(straight), parts(mirrored), strict=True):
        assert ours.dtype == torch.float32
        assert torch.allclose(ours, (a + b.flip(-1)) / 2, atol=1e-5)
        assert (ours - a).abs().max() > 1e-3


def test_the_mean_of_a_mirrored_picture_is_the_mirrored_mean_and_known_pixels_stay(tiny_nets, batch):
    net, (images, masks) = tiny_nets[0].eval(), batch
    with torch.inference_mode():
        one = mirror_mean(net, images, masks)
        other = mirror_mean(net, images.flip(-1), masks.flip(-1))
    assert torch.allclose(one.image, other.image.flip(-1), atol=1e-5)
    known = (masks == 0).expand_as(images)
    assert torch.equal(one.composite[known], images[known])


def test_bfloat16_stays_close_to_float32(tiny_nets, batch):
    net, (images, masks) = tiny_nets[0], batch
    exact, fast = (runner(net, precision=name)(images, masks) for name in ("float32", "bfloat16"))
    difference = (exact.image - fast.image).abs()
    assert 0 < difference.max() < 0.1 and difference.mean() < 0.01
    assert fast.image.dtype == torch.float32


@pytest.mark.parametrize(("has", "expected"), [({"avx512_bf16": True}, "bfloat16"), ({"avx512_f": True}, "float32")])
def test_auto_takes_bfloat16_only_where_the_cpu_computes_in_it(tiny_nets, monkeypatch, has: dict, expected: str):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    monkeypatch.setattr(runner_module, "can_prepare", lambda: False)  # what this CPU can makes no difference
    assert runner(tiny_nets[0], device="cpu", precision="auto").precision == expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert runner(tiny_nets[0], device="cpu", precision="auto").precision == "float32"


def test_a_cpu_that_does_not_compute_in_bfloat16_runs_it_unprepared(tiny_nets, batch, monkeypatch):
    """oneDNN refuses to pack weights in it there; autocast computes in it all the same."""
    exact = runner(tiny_nets[0])(*batch)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    monkeypatch.setattr(runner_module, "PreparedNGAN", None)
    assert (runner(tiny_nets[0], precision="bfloat16")(*batch).image - exact.image).abs().max() < 0.1


def test_nan_in_the_hole_makes_no_difference(tiny_nets, batch, tmp_path: Path):
    """So are missing pixels often marked; both the networks as they stand and the prepared ones leave it out."""
    pytest.importorskip("onnxruntime")
    net, (images, masks) = tiny_nets[0].eval(), batch
    marked = images.masked_fill(masks == 1, torch.nan)
    (tmp_path / "model.onnx").write_bytes(export_onnx(net))
    for run in (net, runner(net), runner(tmp_path / "model.onnx", backend="onnx", device="cpu")):
        with torch.inference_mode():
            for ours, expected in zip(parts(run(marked, masks)), parts(run(images, masks)), strict=True):
                assert torch.equal(ours, expected)


@pytest.mark.parametrize("backend", ["torch", "onnx"])
@pytest.mark.parametrize("self_ensemble", [False, True])
def test_outputs_that_are_not_finite_are_refused_by_name(tiny_nets, batch, tmp_path: Path, backend, self_ensemble):
    net = tiny_nets[0].eval()
    with torch.no_grad():
        net.image_generator.head.bias[0] = torch.inf  # so large a sum as bfloat16 and float32 do not hold
    if backend == "onnx":
        pytest.importorskip("onnxruntime")
        (tmp_path / "model.onnx").write_bytes(export_onnx(net))
        net = tmp_path / "model.onnx"
    run = runner(net, device="cpu", backend=backend, self_ensemble=self_ensemble)
    with pytest.raises(ValueError, match="the model's outputs are not finite: image; the weights are too large"):
        run(*batch)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda run: pickle.loads(pickle.dumps(run))])
def test_copies_fill_alike_so_that_other_processes_can_be_given_one(tiny_nets, batch, copied):
    run = runner(tiny_nets[0])
    other = copied(run)
    for ours, expected in zip(parts(other(*batch)), parts(run(*batch)), strict=True):
        assert torch.equal(ours, expected)
    assert (other._prepared is None) == (run._prepared is None)  # packed anew, and no slower way


def test_weights_that_are_replaced_or_changed_are_those_that_fill(tiny_nets, batch):
    net = tiny_nets[0]
    run = runner(net)
    before = run(*batch).image
    weights = {name: value * 0.5 for name, value in net.state_dict().items()}
    net.load_state_dict(weights, assign=True)
    replaced = run(*batch).image
    assert (replaced - before).abs().max() > 1e-3
    assert torch.equal(replaced, runner(net)(*batch).image)
    with torch.no_grad():
        next(net.parameters()).mul_(0.5)
    assert torch.equal(run(*batch).image, runner(net)(*batch).image)


def test_an_exported_file_fills_as_the_model_does(tiny_nets, tmp_path: Path):
    pytest.importorskip("onnxruntime")
    net = tiny_nets[0].eval()
    (tmp_path / "model.onnx").write_bytes(export_onnx(net))
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    ours = Inpainter(net, "cpu", precision="float32")
    theirs = Inpainter(tmp_path / "model.onnx", backend="onnx")
    for given in (mask, None):
        a, b = (np.asarray(inpainter(image, given), int) for inpainter in (ours, theirs))
        assert np.abs(a - b).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"backend": "tensorrt"}, "backend='tensorrt': must be one of torch, onnx"),
        ({"precision": "int8"}, "precision='int8': must be one of auto, float32, bfloat16"),
        ({"backend": "onnx", "device": "cuda"}, "on the CPU"),
        ({"backend": "onnx", "precision": "bfloat16"}, "float32 only"),
    ],
)
def test_unknown_ways_are_refused_by_name(arguments: dict[str, str], words: str):
    with pytest.raises(ValueError, match=words):
        Inpainter("nowhere", **arguments)
