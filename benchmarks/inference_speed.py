"""Measure how fast a CPU fills faces: NGAN in several ways, GLCIC's generator of the published size, OpenCV's Telea;
prints tables, writes JSON.

python -m benchmarks.inference_speed --threads 1 2 --output benchmarks/inference_speed.json

All ways of a size and batch take turns, so that noise hits all alike; figures are medians over the turns. In a turn a
way is called twice: the second call tells the rate at which it goes on, the first, whose weights and pictures the
other ways have driven out of the caches, is told beside it. Python's garbage collector rests meanwhile, as in
`timeit`: over what torch.compile leaves in a process, it would take a tenth of a short call. The machine's own rate
is that of its fastest 3x3 convolution, of 128 and 256 channels, measured in the same turns, by second calls too; a
network's share of it counts the operations of its layers as they stand, also where a way saves some. Peak memory is
what the process's resident memory rises by in the first call of a size and batch, in the second where a network is
compiled. Pictures are random with a centre hole: what is in them makes no difference to the time of the networks.
"""

import argparse
import ctypes
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import onnxruntime
import torch

from benchmarks.glcic import GLCICGenerator
from benchmarks.inference_ways import (
    COMPILED,
    ENSEMBLE,
    PRECISIONS,
    PREPARED,
    Call,
    convolution_calls,
    gflops,
    inputs,
    make_calls,
    time_shares,
)
from ngan.model import NGAN

ROOT = Path(__file__).parent.parent

CASES = ((128, 1), (128, 16), (256, 1), (256, 16))  # side of the pictures in pixels, pictures a call
Turn = tuple[float, float]  # seconds of the first and of the second call
Costs = dict[int, dict[str, float]]  # by side, by network, in 10^9 operations a picture


def seconds(call: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def turn(call: Callable[[], object]) -> Turn:
    """Return how long two calls in a row take."""
    return seconds(call), seconds(call)


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


def measure(
    model: NGAN, rounds: int, budget: float, threads: int, compiled: bool, cases: tuple[tuple[int, int], ...] = CASES
) -> dict[str, Any]:
    """Measure everything at one number of threads.

    Args:
        model: the network.
        rounds: turns of each way, size and batch, at least 1 after a warm-up.
        budget: seconds after which a size and batch is given no further round of turns.
        threads: that torch and ONNX Runtime may use; OpenCV's Telea has one in any case.
        compiled: measure torch.compile too, which takes minutes first; a network that cannot be compiled gets a row
            with the reason.
        cases: sides in pixels and pictures a call.
    """
    torch.set_num_threads(threads)
    torch.compiler.reset()
    calls, convolutions = make_calls(model, threads, compiled), convolution_calls()
    costs = {side: {"NGAN": gflops(model, side), "GLCIC": gflops(GLCICGenerator(), side)} for side, _ in cases}
    rows: dict[tuple[tuple[int, int], str], dict[str, Any]] = {}
    for case in cases:
        for name, call in calls.items():
            rows[case, name] = {"way": name, "side": case[0], "batch": case[1]}
            _warm_up(rows[case, name], partial(call, *inputs(*case)), COMPILED in name)
    print(f"{threads} threads: warmed up, measuring", file=sys.stderr, flush=True)

    times: dict[tuple[tuple[int, int], str], list[Turn]] = {}
    rates: dict[str, list[float]] = {}
    for case in cases:
        given, since = inputs(*case), time.perf_counter()
        for number in range(rounds):
            if number and time.perf_counter() - since > budget:
                break
            with _no_garbage_collection():
                for precision, convolving in convolutions.items():
                    rates.setdefault(precision, []).append(
                        max(cost / turn(call)[1] for call, cost in convolving) / 1e9
                    )
                for name, call in calls.items():
                    if "error" not in rows[case, name]:
                        times.setdefault((case, name), []).append(turn(partial(call, *given)))
    rate = {precision: statistics.median(values) for precision, values in rates.items()}
    for key, taken in times.items():
        _add_figures(rows[key], taken, costs, rate)
    table = list(rows.values())
    return {
        "convolution_gflops_per_second": {precision: round(value, 1) for precision, value in rate.items()},
        "times_as_fast_as_glcic": ratios(table),
        "shares_of_prepared_time": {precision: _shares(calls, precision, cases) for precision in PRECISIONS},
        "rows": table,
    }


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collect garbage first, and none meanwhile."""
    gc.collect()
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _shares(calls: dict[str, Call], precision: str, cases: tuple[tuple[int, int], ...]) -> dict[str, dict[str, float]]:
    call = calls[f"NGAN {precision} {PREPARED}"]
    return {f"{side}x{side}, batch {batch}": time_shares(call, inputs(side, batch)) for side, batch in cases}


def _warm_up(row: dict[str, Any], call: Callable[[], object], compiled: bool) -> None:
    """Make a way's first call, and note the peak of memory, or why it fails."""
    if compiled:
        try:
            call()
        except Exception as error:  # whatever a compiler may raise: the row tells it
            row["error"] = f"not compiled: {type(error).__name__}: {str(error).strip().splitlines()[0]}"
            return
    row["peak_megabytes"] = peak_megabytes(call)


def _add_figures(row: dict[str, Any], times: list[Turn], costs: Costs, rate: dict[str, float]) -> None:
    firsts, again = zip(*times, strict=True)
    took, network = statistics.median(again), row["way"].split()[0]
    row |= {
        "rounds": len(times),
        "milliseconds": round(1000 * took, 2),
        "fastest_milliseconds": round(1000 * min(again), 2),
        "first_milliseconds": round(1000 * statistics.median(firsts), 2),
        "images_per_second": round(row["batch"] / took, 2),
    }
    if network in costs[row["side"]]:
        runs = row["batch"] * (2 if ENSEMBLE in row["way"] else 1)
        work = runs * costs[row["side"]][network]
        row["share_of_convolution_rate"] = round(work / took / rate[row["way"].split()[1]], 3)


def ratios(table: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return how many times as fast as GLCIC's generator NGAN is, each the fastest way of its kind, by size and batch.

    Both in float32, both in bfloat16, and what `Inpainter` runs by default in bfloat16, once, also by the first calls
    of turns, or as a self-ensemble, against GLCIC in float32.
    """
    often, prepared = "milliseconds", "bfloat16 prepared against float32"
    compared = {
        "float32": ("NGAN float32", "GLCIC float32", often),
        "bfloat16": ("NGAN bfloat16", "GLCIC bfloat16", often),
        prepared: (f"NGAN bfloat16 {PREPARED}", "GLCIC float32", often),
        f"{prepared}, first calls": (f"NGAN bfloat16 {PREPARED}", "GLCIC float32", "first_milliseconds"),
        "bfloat16 self-ensemble against float32": (f"NGAN bfloat16 {ENSEMBLE}", "GLCIC float32", often),
    }
    found: dict[str, dict[str, float]] = {}
    for kind, (ours, theirs, figure) in compared.items():
        for case in dict.fromkeys((row["side"], row["batch"]) for row in table):
            ours_ms, theirs_ms = (
                min(
                    row[figure]
                    for row in table
                    if row["way"].startswith(way) and (row["side"], row["batch"]) == case and "error" not in row
                )
                for way in (ours, theirs)
            )
            found.setdefault(kind, {})[f"{case[0]}x{case[0]}, batch {case[1]}"] = round(theirs_ms / ours_ms, 2)
    return found


def format_table(rows: list[dict[str, Any]]) -> str:
    """Return the rows of one number of threads as a Markdown table."""
    lines = ["| side | batch | way | ms | images/s | share | MB |", "|---:|---:|---|---:|---:|---:|---:|"]
    for row in rows:
        start = f"| {row['side']} | {row['batch']} | {row['way']} | "
        if "error" in row:
            lines.append(f"{start}{row['error']} | | | |")
            continue
        share, memory = row.get("share_of_convolution_rate"), row["peak_megabytes"]
        lines.append(
            f"{start}{row['milliseconds']:.1f} | {row['images_per_second']:.1f} | "
            f"{'' if share is None else f'{share:.0%}'} | {'' if memory is None else f'{memory:.0f}'} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", help="folder of a model (default: networks of the default size, untrained)")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each way (default 20)")
    parser.add_argument("--budget", type=float, default=30.0, help="seconds for one size and batch (default 30)")
    parser.add_argument("--threads", type=int, nargs="+", default=[os.cpu_count()], help="default: all cores")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    if min(options.rounds, *options.threads) < 1 or options.budget <= 0:
        parser.error("--rounds and --threads must be at least 1, --budget above 0")
    torch.manual_seed(0)
    model = (NGAN.from_pretrained(options.model) if options.model else NGAN()).eval()
    networks = {"NGAN": model, "GLCIC": GLCICGenerator().eval()}
    result: dict[str, Any] = {
        "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "opencv": cv2.__version__,
        "gflops_per_picture": {
            str(side): {name: gflops(network, side) for name, network in networks.items()} for side in (128, 256)
        },
        "parameters": {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()},
    }
    earlier = json.loads(options.output.read_text()) if options.output and options.output.exists() else {}
    kept = earlier.pop("threads", {}) if isinstance(earlier, dict) else {}
    result["threads"] = kept if earlier == result else {}  # other numbers of threads, measured on the same
    for threads in options.threads:
        measured = measure(model, options.rounds, options.budget, threads, not options.no_compile)
        result["threads"][str(threads)] = measured
        print(f"{threads} threads\n\n{format_table(measured['rows'])}\n")
        print(json.dumps({key: value for key, value in measured.items() if key != "rows"}, indent=2))
        if options.output:
            options.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
