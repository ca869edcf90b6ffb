"""Write SPEED.md: the figures of inference_speed.json and batch_rate.json, the goals they meet or miss, and why.

python -m benchmarks.speed_table
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.inference_ways import PREPARED

ROOT = Path(__file__).parent.parent

FOLDER = ROOT / "benchmarks"
SHARE_GOAL = 0.6  # of the machine's own convolution rate
RATIO_GOALS = {  # of `inference_speed.ratios`: what it is, times as fast
    "float32": ("both in float32", 5.0),
    "bfloat16": ("both in bfloat16", 2.0),
    "bfloat16 prepared against float32": ("NGAN as `Inpainter` runs it, once, against GLCIC in float32", 5.0),
    "bfloat16 prepared against float32, first calls": ("the same, each by its first call after other work", None),
    "bfloat16 self-ensemble against float32": ("as a self-ensemble, the default of `Inpainter`", None),
}
TIME_GOALS = {128: 20.0, 256: 75.0}  # side in pixels: milliseconds for one picture
_HEAD = """# Speed

Made by `python -m benchmarks.speed_table` from what `inference_speed.py` and `batch_rate.py` measured.

## The networks

{machine}. Medians of turns that all ways take, of two calls each:
milliseconds of the second, the share of the rate of the machine's own fastest 3x3 convolution in the same precision,
and what a call adds to the memory. (First calls, of weights that other work has driven out of the caches:
`first_milliseconds` in the JSON.) *Prepared* is what `Inpainter` runs (`ngan/prepared.py`), *self-ensemble* that on
the picture and its mirror image, its default; *compiled* is torch.compile with frozen weights. NGAN: {ngan} GFLOPs for
one picture at 128x128 and 256x256, GLCIC's generator of the published size: {glcic}. The share counts a network's
operations as its layers stand, twice for a self-ensemble.
"""
_STOPS = """
GLCIC does {ratio:.1f} times the operations of NGAN, in large convolutions, and comes to {glcic:.0%} of the
convolution rate (128x128, one picture, one thread, float32). To be five times as fast in the same precision, NGAN
would have to come to {needed:.0%} of it, for which the tenth of the operations that preparing saves is not enough: at
these widths that goal is out of reach. Where the time of a prepared run goes, by torch's profiler, one thread:
"""


def main() -> None:
    """Write SPEED.md."""
    speed, batch = (json.loads((FOLDER / name).read_text()) for name in ("inference_speed.json", "batch_rate.json"))
    (FOLDER / "SPEED.md").write_text(report(speed, batch))


def report(speed: dict[str, Any], batch: dict[str, Any]) -> str:
    """Return SPEED.md of what both benchmarks wrote."""
    costs = speed["gflops_per_picture"]
    named = {name: " and ".join(f"{costs[side][name]:.2f}" for side in costs) for name in ("NGAN", "GLCIC")}
    machine = f"{speed['machine']['cores']} cores of a {speed['machine']['processor']} CPU, torch {speed['torch']}"
    parts = [_HEAD.format(machine=machine, ngan=named["NGAN"], glcic=named["GLCIC"])]
    for threads, measured in speed["threads"].items():
        rate = measured["convolution_gflops_per_second"]
        told = ", ".join(f"{value:.0f} in {precision}" for precision, value in rate.items())
        parts.append(
            f"\n### {_threads(threads)}\n\nConvolution rate: {told} (GFLOPs a second).\n\n{_ways(measured['rows'])}"
        )
    parts.append(f"\n## Goals\n\n{_goals(speed['threads'])}")
    parts.append(_stops(speed))
    return "".join(parts) + _batch(batch)


def _threads(number: str) -> str:
    return "One thread" if number == "1" else f"{number} threads"


def _cases(rows: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return list(dict.fromkeys((row["side"], row["batch"]) for row in rows))


def _titles(cases: list[tuple[int, int]]) -> str:
    return " | ".join(f"{side}x{side}, {batch} at once" for side, batch in cases)


def _ways(rows: list[dict[str, Any]]) -> str:
    cases = _cases(rows)
    lines = [f"| way | {_titles(cases)} |", "|---|" + len(cases) * "---:|"]
    for way in dict.fromkeys(row["way"] for row in rows):
        cells = []
        for case in cases:
            (row,) = (r for r in rows if r["way"] == way and (r["side"], r["batch"]) == case)
            figures = [row["error"]] if "error" in row else [f"{row['milliseconds']:.1f} ms"]
            if "share_of_convolution_rate" in row:
                figures.append(f"{row['share_of_convolution_rate']:.0%}")
            if row.get("peak_megabytes") is not None:
                figures.append(f"{row['peak_megabytes']:.0f} MB")
            cells.append(", ".join(figures))
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _goals(threads: dict[str, Any]) -> str:
    cases = _cases(next(iter(threads.values()))["rows"])
    lines = [f"| goal | threads | {_titles(cases)} |", "|---|---:|" + len(cases) * "---:|"]

    def add(goal: str, number: str, cells: list[str]) -> None:
        lines.append(f"| {goal} | {number} | {' | '.join(cells)} |")

    for kind, (title, goal) in RATIO_GOALS.items():
        for number, measured in threads.items():
            values = measured["times_as_fast_as_glcic"][kind].values()
            wanted = f"{goal:.0f} times as fast as GLCIC at its fastest, " if goal else "no goal: "
            add(wanted + title, number, [f"{value:.1f}{_met(goal, value)}" for value in values])
    for number, measured in threads.items():
        times = {(row["way"], row["side"], row["batch"]): row.get("milliseconds") for row in measured["rows"]}
        values = [times[("GLCIC float32", *case)] / times[(f"NGAN bfloat16 {PREPARED}", *case)] for case in cases]
        wanted = "5 times as fast as GLCIC as it is written (float32, NCHW, not compiled)"
        add(f"{wanted}, NGAN as `Inpainter` runs it, once", number, [f"{x:.1f}{_met(5, x)}" for x in values])
    for precision in ("float32", "bfloat16"):
        for number, measured in threads.items():
            rows = {(r["side"], r["batch"]): r for r in measured["rows"] if r["way"] == f"NGAN {precision} {PREPARED}"}
            shares = [rows[case]["share_of_convolution_rate"] for case in cases]
            goal = f"{SHARE_GOAL:.0%} of the convolution rate, {precision}"
            add(goal, number, [f"{value:.0%}{_met(SHARE_GOAL, value)}" for value in shares])
            times = [
                f"{rows[case]['milliseconds']:.0f} ms{_met(-TIME_GOALS[case[0]], -rows[case]['milliseconds'])}"
                if case[1] == 1
                else ""
                for case in cases
            ]
            add(f"20 ms at 128x128, 75 ms at 256x256, {precision}", number, times)
    return "\n".join(lines) + "\n"


def _met(goal: float | None, value: float) -> str:
    return "" if goal is None else " (met)" if value >= goal else " (missed)"


def _stops(speed: dict[str, Any]) -> str:
    measured, costs = speed["threads"]["1"], speed["gflops_per_picture"]["128"]
    glcic = max(
        row["share_of_convolution_rate"]
        for row in measured["rows"]
        if row["way"].startswith("GLCIC float32") and (row["side"], row["batch"]) == (128, 1) and "error" not in row
    )
    ratio = costs["GLCIC"] / costs["NGAN"]
    shares = measured["shares_of_prepared_time"]
    kinds = list(next(iter(shares["float32"].values())))
    lines = [f"| precision | pictures | {' | '.join(kinds)} |", "|---|---|" + len(kinds) * "---:|"]
    for precision, cases in shares.items():
        for case, parts in cases.items():
            lines.append(f"| {precision} | {case} | {' | '.join(f'{part:.0%}' for part in parts.values())} |")
    text = _STOPS.format(ratio=ratio, glcic=glcic, needed=5 * glcic / ratio)
    return f"{text}\n" + "\n".join(lines) + "\n"


def _batch(batch: dict[str, Any]) -> str:
    kinds = ", ".join(f"{count} of {name}" for name, count in batch["pictures"].items())
    plan, runs = batch["plan"], batch["runs"]
    lines = [
        "| run of `python -m ngan inpaint` | pictures/s | to the end, s | largest process, MB |",
        "|---|---:|---:|---:|",
    ]
    for name, run in runs.items():
        rate = f"{run['pictures_per_second']:.1f}" if run["filled"] else "nothing to do"
        lines.append(f"| {name} | {rate} | {run['whole_seconds']:.0f} | {run['megabytes_of_the_largest_process']} |")
    shares = ", ".join(f"{name} {share:.0%}" for name, share in batch["shares_of_processor_time"].items())
    cores = " and ".join(f"{number} cores for {hours} h" for hours, number in plan["cores_for_hours"].items())
    return (
        f"\n## {plan['pictures']:,} pictures\n\n"
        f"JPEG photos with a painted eye region, nose or mouth, to PNG: {kinds}. "
        f"{batch['machine']['cores']} cores, one process if not said otherwise.\n\n"
        + "\n".join(lines)
        + f"\n\nProcessor time: {shares}.\n\n"
        f"{plan['pictures']:,} such pictures take {plan['hours_on_this_machine']:.1f} h on this machine in "
        f"{plan['processes_on_this_machine']} process(es), by the best of these rates with the self-ensemble; "
        f"{plan['gigabytes_read']:.1f} GB are read and {plan['gigabytes_written']:.1f} GB written. At the same rate "
        f"a core, {cores}. Started again with all {plan['restart']['outputs_that_are_there']} outputs there, it ends "
        f"after {plan['restart']['seconds']:.1f} s, most of it to start up: it looks once at each output; lost by a "
        "stop is what was being filled, at most ten pictures a process. Memory does not grow with the folder.\n"
    )


if __name__ == "__main__":
    main()
