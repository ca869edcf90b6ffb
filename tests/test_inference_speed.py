"""The benchmark of inference: its ways give the same pictures, its figures are those of its file."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ngan.model import NGAN

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import inference_speed  # noqa: E402


@pytest.fixture
def model() -> NGAN:
    torch.manual_seed(0)
    return NGAN(code_width=4, image_width=8, blocks=1, image_size=32).eval()


def test_all_ways_of_a_network_fill_alike(model):
    image, mask = inference_speed.inputs(32, 2)
    expected = inference_speed.network_call(model)(image, mask).composite
    last = model.to(memory_format=torch.channels_last)
    for way, tolerance in (({}, 1e-5), ({"bf16": True}, 0.05)):
        found = inference_speed.network_call(last, channels_last=True, **way)(image, mask).composite
        assert torch.allclose(found, expected, atol=tolerance)
        known = (mask == 0).expand_as(image)
        assert torch.equal(found.float()[known], image[known])


def test_telea_fills_the_hole_only():
    image, mask = inference_speed.inputs(32, 2)
    filled = torch.from_numpy(np.stack(inference_speed.telea(image, mask))).permute(0, 3, 1, 2)
    pixels = ((image + 1) * 127.5).byte()
    known = (mask == 0).expand_as(image)
    assert torch.equal(filled[known], pixels[known]) and not torch.equal(filled, pixels)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this system does not tell a process's peak")
def test_the_peak_is_that_of_the_call():
    used = inference_speed.peak_megabytes(lambda: np.ones(8_000_000).sum())
    assert 60 < used < 130


def test_cost_is_of_one_picture(model):
    assert inference_speed.gflops(model, 64) == pytest.approx(4 * inference_speed.gflops(model, 32))


def test_ratios_compare_the_fastest_ways():
    times = {"NGAN float32": 20, "NGAN float32 x": 10, "GLCIC float32": 90, "GLCIC float32 x": 80}
    times |= {"NGAN bfloat16": 5, "GLCIC bfloat16": 20, "OpenCV Telea": 1}
    rows = [
        {"way": way, "side": side, "batch": batch, "milliseconds": time}
        for way, time in times.items()
        for side, batch in inference_speed.CASES
    ]
    found = inference_speed._ratios(rows)
    assert set(found["float32"].values()) == {8.0} and set(found["bfloat16"].values()) == {4.0}


def test_the_committed_figures_belong_together():
    result = json.loads((ROOT / "benchmarks" / "inference_speed.json").read_text())
    assert result["times_as_fast_as_glcic"] == inference_speed._ratios(result["rows"])
    for row in result["rows"]:
        rate = 1000 * row["batch"] / row["milliseconds"]
        assert row["images_per_second"] == pytest.approx(rate, rel=0.02)
        network, *words = row["way"].split()
        if network in ("NGAN", "GLCIC"):
            cost = result["gflops_per_picture"][str(row["side"])][network]
            share = cost * rate / result["convolution_gflops_per_second"][words[0]]
            assert row["share_of_convolution_rate"] == pytest.approx(share, rel=0.02, abs=0.001)
    assert len(inference_speed.format_table(result).splitlines()) == len(result["rows"]) + 2
