"""Measure how fast a CPU fills faces: NGAN in several ways, GLCIC's generator of the published size, OpenCV's Telea;
prints a table, writes JSON.

python benchmarks/inference_speed.py --output benchmarks/inference_speed.json

All ways of a size and batch alternate, so that noise hits all alike; figures are medians over the rounds. The
machine's own rate is that of its fastest 3x3 convolution, of 128 and 256 channels, measured in the same rounds. Peak
memory is what the process's resident memory rises by in the first call of a size and batch, which is the warm-up.
Pictures are random with a centre hole: what is in them makes no difference to the time of the networks.
"""

import argparse
import contextlib
import ctypes
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import onnxruntime
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.glcic import GLCICGenerator  # noqa: E402
from ngan.model import NGAN  # noqa: E402
from ngan.onnx_model import OnnxNGAN, export_onnx  # noqa: E402

CASES = ((128, 1), (128, 16), (256, 1), (256, 16))  # side of the pictures in pixels, pictures a call
GOALS = {"float32": 5.0, "bfloat16": 2.0}  # times as fast as GLCIC in the same precision
COMPILED_SIDE = 128  # in pixels; torch.compile takes minutes for each size and batch, so only these are measured
_CONVOLUTIONS = ((128, 64), (256, 32))  # channels, side of the grid
Call = Callable[[torch.Tensor, torch.Tensor], object]


def network_call(network: nn.Module, *, bf16: bool = False, channels_last: bool = False) -> Call:
    """Return a call of a network; weights in channels_last are shared with nothing else."""
    layout = torch.channels_last if channels_last else torch.contiguous_format

    def call(image: torch.Tensor, mask: torch.Tensor) -> object:
        precision = torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext()
        with torch.inference_mode(), precision:
            return network(image.contiguous(memory_format=layout), mask)

    return call


def telea(image: torch.Tensor, mask: torch.Tensor) -> object:
    """Fill by OpenCV's Telea, radius 3."""
    pixels = ((image + 1) * 127.5).byte().permute(0, 2, 3, 1).contiguous().numpy()
    holes = mask[:, 0].byte().numpy()
    return [cv2.inpaint(face, hole, 3, cv2.INPAINT_TELEA) for face, hole in zip(pixels, holes, strict=True)]


def make_calls(model: NGAN, threads: int, compiled: bool) -> dict[str, Call]:
    """Return all that is measured, by name; a network's name says its precision."""
    last = NGAN(**model._hub_mixin_config).eval().to(memory_format=torch.channels_last)
    last.load_state_dict(model.state_dict())
    glcic = GLCICGenerator().eval()
    glcic_last = GLCICGenerator().eval().to(memory_format=torch.channels_last)
    calls = {
        "NGAN float32": network_call(model),
        "NGAN float32 channels_last": network_call(last, channels_last=True),
        "NGAN float32 onnxruntime": OnnxNGAN(export_onnx(model), threads=threads),
        "NGAN bfloat16": network_call(model, bf16=True),
        "NGAN bfloat16 channels_last": network_call(last, bf16=True, channels_last=True),
        "GLCIC float32": network_call(glcic),
        "GLCIC float32 channels_last": network_call(glcic_last, channels_last=True),
        "GLCIC bfloat16": network_call(glcic, bf16=True),
        "GLCIC bfloat16 channels_last": network_call(glcic_last, bf16=True, channels_last=True),
        "OpenCV Telea": telea,
    }
    if compiled:
        fast = torch.compile(last, dynamic=False)
        calls["NGAN float32 compiled channels_last"] = network_call(fast, channels_last=True)
        calls["NGAN bfloat16 compiled channels_last"] = network_call(fast, bf16=True, channels_last=True)
    return calls


def convolution_calls() -> dict[str, list[tuple[Callable[[], object], float]]]:
    """Return, by precision, convolutions and their cost in operations, a multiply-add counted as two."""
    calls: dict[str, list[tuple[Callable[[], object], float]]] = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        for channels, side in _CONVOLUTIONS:
            x = torch.randn(16, channels, side, side).to(dtype).contiguous(memory_format=torch.channels_last)
            weight = torch.randn(channels, channels, 3, 3).to(dtype).contiguous(memory_format=torch.channels_last)

            def call(x: torch.Tensor = x, weight: torch.Tensor = weight) -> object:
                with torch.inference_mode():
                    return F.conv2d(x, weight, padding=1)

            calls.setdefault(name, []).append((call, 2.0 * 9 * channels**2 * side**2 * len(x)))
    return calls


def seconds(call: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak_megabytes(call: Callable[[], object]) -> float | None:
    """Return what resident memory rises by at most during a call; None where the system does not tell (not Linux)."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _status("VmRSS")
    call()
    return round((_status("VmHWM") - before) / 1000, 1)


def _status(field: str) -> float:
    """A field of the process's status, in kB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return float(line.split()[1]) * 1.024
    raise ValueError(f"/proc/self/status has no {field}")


def inputs(side: int, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random pictures and centre holes."""
    image = 2 * torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(0)) - 1
    mask = torch.zeros(batch, 1, side, side)
    mask[..., side // 4 : -(side // 4), side // 4 : -(side // 4)] = 1
    return image, mask


def gflops(network: nn.Module, side: int) -> float:
    """Return the cost of one picture by torch's counter, a multiply-add counted as two."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(*inputs(side, 1))
    return counter.get_total_flops() / 1e9


def measure(model: NGAN, rounds: int, budget: float, threads: int, compiled: bool) -> dict[str, Any]:
    """Measure everything.

    Args:
        model: the network.
        rounds: of each way, size and batch, at least 1 after a warm-up.
        budget: seconds after which a size and batch is given no further round.
        threads: that torch and ONNX Runtime may use; OpenCV's Telea has one in any case.
        compiled: measure torch.compile too, which takes minutes first.
    """
    torch.set_num_threads(threads)
    calls, convolutions = make_calls(model, threads, compiled), convolution_calls()
    costs = {side: {"NGAN": gflops(model, side), "GLCIC": gflops(GLCICGenerator(), side)} for side, _ in CASES}
    memory = {}
    for case in CASES:
        for name, call in calls.items():
            if "compiled" in name and case[0] != COMPILED_SIDE:
                continue
            given = inputs(*case)
            memory[case, name] = peak_megabytes(lambda call=call, given=given: call(*given))
    print("warmed up, measuring", file=sys.stderr, flush=True)

    times: dict[tuple[tuple[int, int], str], list[float]] = {}
    rates: dict[str, list[float]] = {}
    for case in CASES:
        given, since = inputs(*case), time.perf_counter()
        for number in range(rounds):
            if number and time.perf_counter() - since > budget:
                break
            for precision, convolving in convolutions.items():
                rates.setdefault(precision, []).append(max(cost / seconds(call) for call, cost in convolving) / 1e9)
            for name, call in calls.items():
                if (case, name) not in memory:
                    continue
                times.setdefault((case, name), []).append(seconds(lambda call=call, given=given: call(*given)))
    rate = {precision: statistics.median(values) for precision, values in rates.items()}
    table = [_row(case, name, times[case, name], memory[case, name], costs, rate) for case, name in times]
    return {
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "threads": threads},
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "opencv": cv2.__version__,
        "convolution_gflops_per_second": {precision: round(value, 1) for precision, value in rate.items()},
        "gflops_per_picture": costs,
        "parameters": {
            "NGAN": sum(p.numel() for p in model.parameters()),
            "GLCIC": sum(p.numel() for p in GLCICGenerator().parameters()),
        },
        "times_as_fast_as_glcic": _ratios(table),
        "rows": table,
    }


def _row(
    case: tuple[int, int],
    name: str,
    times: list[float],
    memory: float | None,
    costs: dict[int, dict[str, float]],
    rate: dict[str, float],
) -> dict[str, Any]:
    side, batch = case
    took = statistics.median(times)
    network, *words = name.split()
    row = {
        "way": name,
        "side": side,
        "batch": batch,
        "rounds": len(times),
        "milliseconds": round(1000 * took, 2),
        "fastest_milliseconds": round(1000 * min(times), 2),
        "images_per_second": round(batch / took, 2),
        "peak_megabytes": memory,
    }
    if network in costs[side]:
        row["share_of_convolution_rate"] = round(costs[side][network] * batch / took / rate[words[0]], 3)
    return row


def _ratios(table: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """How many times as fast as GLCIC's fastest way NGAN's fastest is, by precision, size and batch."""
    ratios: dict[str, dict[str, float]] = {}
    for precision in GOALS:
        for side, batch in CASES:
            best = {
                network: min(
                    row["milliseconds"]
                    for row in table
                    if row["way"].startswith(f"{network} {precision}") and (row["side"], row["batch"]) == (side, batch)
                )
                for network in ("NGAN", "GLCIC")
            }
            ratios.setdefault(precision, {})[f"{side}x{side}, batch {batch}"] = round(best["GLCIC"] / best["NGAN"], 2)
    return ratios


def format_table(result: dict[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    lines = ["| side | batch | way | ms | images/s | share | MB |", "|---:|---:|---|---:|---:|---:|---:|"]
    for row in result["rows"]:
        share, memory = row.get("share_of_convolution_rate"), row["peak_megabytes"]
        lines.append(
            f"| {row['side']} | {row['batch']} | {row['way']} | {row['milliseconds']:.1f} | "
            f"{row['images_per_second']:.1f} | {'' if share is None else f'{share:.0%}'} | "
            f"{'' if memory is None else f'{memory:.0f}'} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", help="folder of a model (default: networks of the default size, untrained)")
    parser.add_argument("--rounds", type=int, default=20, help="of each way (default 20)")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for one size and batch (default 60)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    if min(options.rounds, options.threads) < 1 or options.budget <= 0:
        parser.error("--rounds and --threads must be at least 1, --budget above 0")
    torch.manual_seed(0)
    model = (NGAN.from_pretrained(options.model) if options.model else NGAN()).eval()
    result = measure(model, options.rounds, options.budget, options.threads, not options.no_compile)
    print(format_table(result))
    print(json.dumps({key: value for key, value in result.items() if key != "rows"}, indent=2))
    if options.output:
        options.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
