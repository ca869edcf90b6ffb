"""The benchmark of inference: its ways give the same pictures, its figures are those of its file."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmarks import inference_speed, inference_ways
from ngan.model import NGAN

ROOT = Path(__file__).parent.parent


@pytest.fixture
def model() -> NGAN:
    torch.manual_seed(0)
    return NGAN(code_width=4, image_width=8, blocks=1, image_size=32).eval()


def test_all_ways_of_a_network_fill_alike(model):
    pytest.importorskip("onnxruntime")
    threads = torch.get_num_threads()
    image, mask = inference_ways.inputs(32, 2)
    expected = inference_ways.network_call(model)(image, mask).composite
    calls = {name: call for name, call in inference_ways.make_calls(model, threads, False).items() if "NGAN" in name}
    assert len(calls) == 9
    for name, call in calls.items():
        found = call(image, mask).composite.float()
        if inference_ways.ENSEMBLE in name:
            assert (found - expected).abs().max() > 1e-3
        else:
            assert torch.allclose(found, expected, atol=1e-4 if "float32" in name else 0.05), name
        known = (mask == 0).expand_as(image)
        assert torch.equal(found[known], image[known]), name


def test_telea_fills_the_hole_only():
    image, mask = inference_ways.inputs(32, 2)
    filled = torch.from_numpy(np.stack(inference_ways.telea(image, mask))).permute(0, 3, 1, 2)
    pixels = ((image + 1) * 127.5).byte()
    known = (mask == 0).expand_as(image)
    assert torch.equal(filled[known], pixels[known]) and not torch.equal(filled, pixels)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this system does not tell a process's peak")
def test_the_peak_is_that_of_the_call():
    used = inference_speed.peak_megabytes(lambda: np.ones(8_000_000).sum())
    assert 60 < used < 130


def test_cost_is_of_one_picture(model):
    assert inference_ways.gflops(model, 64) == pytest.approx(4 * inference_ways.gflops(model, 32))


def test_time_is_shared_out_by_what_operators_are_for():
    x, weight, large = torch.randn(1, 8, 64, 64), torch.randn(8, 8, 3, 3), torch.randn(1, 64, 256, 256)

    def call(*_: torch.Tensor) -> None:
        torch.conv2d(x, weight)
        F.scaled_dot_product_attention(x, x, x)
        large.contiguous(memory_format=torch.channels_last)

    call()
    shares = inference_ways.time_shares(call, inference_ways.inputs(32, 1))
    assert sum(shares.values()) == pytest.approx(1, abs=0.01)
    assert all(shares[kind] > 0 for kind in ("convolutions", "attention", "copies"))


def test_ratios_compare_the_fastest_ways_that_ran():
    times = {"NGAN float32": 20, "NGAN float32 x": 10, "GLCIC float32": 90, "GLCIC float32 x": 80}
    times |= {"NGAN bfloat16": 6, "NGAN bfloat16 prepared": 5, "NGAN bfloat16 self-ensemble": 16}
    times |= {"GLCIC bfloat16": 20, "OpenCV Telea": 1}
    rows = [
        {"way": way, "side": side, "batch": batch, "milliseconds": time, "first_milliseconds": time + 5}
        for way, time in times.items()
        for side, batch in inference_speed.CASES
    ]
    rows += [{"way": "GLCIC float32 compiled", "side": 128, "batch": 1, "error": "not compiled: no compiler"}]
    found = inference_speed.ratios(rows)
    assert {kind: set(values.values()) for kind, values in found.items()} == {
        "float32": {8.0},
        "bfloat16": {4.0},
        "bfloat16 prepared against float32": {16.0},
        "bfloat16 prepared against float32, first calls": {8.5},
        "bfloat16 self-ensemble against float32": {5.0},
    }
    assert "not compiled: no compiler" in inference_speed.format_table(rows[-1:])


def test_a_way_that_cannot_be_compiled_says_why_and_the_rest_is_measured(model, monkeypatch):
    pytest.importorskip("onnxruntime")

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no C++ compiler\nand more")

    monkeypatch.setattr(torch, "compile", lambda network, **_: broken)
    threads = torch.get_num_threads()
    result = inference_speed.measure(model, 1, 1.0, threads, True, cases=((32, 1),))
    failed = {row["way"]: row["error"] for row in result["rows"] if "error" in row}
    assert failed == {
        f"{network} {precision} compiled": "not compiled: RuntimeError: no C++ compiler"
        for network in ("NGAN", "GLCIC")
        for precision in ("float32", "bfloat16")
    }
    assert all("error" in row or min(row["milliseconds"], row["first_milliseconds"]) > 0 for row in result["rows"])
    assert set(result["shares_of_prepared_time"]["bfloat16"]) == {"32x32, batch 1"}


def test_the_committed_figures_belong_together():
    result = json.loads((ROOT / "benchmarks" / "inference_speed.json").read_text())
    assert set(result["threads"]) == {"1", "2"}
    for measured in result["threads"].values():
        assert measured["times_as_fast_as_glcic"] == inference_speed.ratios(measured["rows"])
        ways = {row["way"] for row in measured["rows"]}
        for case in inference_speed.CASES:
            assert {row["way"] for row in measured["rows"] if (row["side"], row["batch"]) == case} == ways
        for row in measured["rows"]:
            if "error" in row:
                continue
            rate = 1000 * row["batch"] / row["milliseconds"]
            assert row["images_per_second"] == pytest.approx(rate, rel=0.02)
            network, *words = row["way"].split()
            if network in ("NGAN", "GLCIC"):
                cost = result["gflops_per_picture"][str(row["side"])][network]
                runs = 2 if inference_ways.ENSEMBLE in row["way"] else 1
                share = runs * cost * rate / measured["convolution_gflops_per_second"][words[0]]
                assert row["share_of_convolution_rate"] == pytest.approx(share, rel=0.02, abs=0.001)
        assert len(inference_speed.format_table(measured["rows"]).splitlines()) == len(measured["rows"]) + 2
