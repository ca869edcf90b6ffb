"""Measure how fast the command line fills folders and data sets of photos, and plan 100,000 of them; prints JSON.

python -m benchmarks.batch_rate --json benchmarks/batch_rate.json

The photos are made: the example portrait at `KINDS`' sizes, each lit, shifted and compressed differently, half of them
faces cut out as data sets have them, with a mask over eyes, nose or mouth. Each run is the command itself as its own
process: rate is pictures by the seconds that its report gives, without starting up; whole is from start to end. The
shares are of processor time in one process with one thread, measured inside it.
"""

import argparse
import dataclasses
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageEnhance

import ngan.batch as batch
import ngan.inference as inference
from ngan.framing import Face
from ngan.inference import Inpainter
from ngan.tasks import file_tasks, list_pictures

ROOT = Path(__file__).parent.parent

PORTRAIT = ROOT / "examples" / "astronaut.png"
KINDS = ((178, 178, True), (178, 178, True), (512, 512, False), (1280, 960, False))  # width, height, face only
PARTS = (
    (0.3, 0.4, 0.7, 0.55),
    (0.4, 0.5, 0.6, 0.7),
    (0.35, 0.68, 0.65, 0.85),
)  # of a face's square
PLANNED, TARGET_HOURS = 100_000, (1, 8)
STAGES = ("reading and decoding", "finding and cutting faces", "networks", "the rest of filling", "writing")


def make_pictures(folder: Path, count: int) -> None:
    """Write JPEG photos to `folder`/photos, PNG masks of the same names to `folder`/masks."""
    portrait = Image.open(PORTRAIT).convert("RGB")
    found = inference.find_faces(np.asarray(portrait))
    if not found:
        raise ValueError(f"{PORTRAIT}: no face found")
    left, top, right, bottom = _square(found[0])
    random = np.random.default_rng(0)
    for name in ("photos", "masks"):
        (folder / name).mkdir(parents=True)
    for i in range(count):
        width, height, cut_out = KINDS[i % len(KINDS)]
        dx, dy = random.integers(-6, 7, 2)
        if cut_out:
            picture, face = portrait.crop((left + dx, top + dy, right + dx, bottom + dy)), (0, 0, width)
            picture = picture.resize((width, height), Image.Resampling.LANCZOS)
        else:
            side = min(width, height)
            picture = Image.new("RGB", (width, height), tuple(int(c) for c in random.integers(60, 200, 3)))
            start = (width - side) // 2
            picture.paste(portrait.resize((side, side), Image.Resampling.LANCZOS), (start, 0))
            scale = side / portrait.width
            face = (start + int(scale * left), int(scale * top), int(scale * (right - left)))
        picture = ImageEnhance.Brightness(picture).enhance(random.uniform(0.8, 1.2))
        mask = Image.new("L", picture.size)
        x0, y0, x1, y1 = (face[j % 2] + face[2] * edge for j, edge in enumerate(PARTS[i % len(PARTS)]))
        ImageDraw.Draw(mask).ellipse((x0, y0, x1, y1), fill=255)
        picture.save(folder / "photos" / f"{i:06}.jpg", quality=92)
        mask.save(folder / "masks" / f"{i:06}.png")


def _square(face: Face) -> tuple[int, int, int, int]:
    """Left, upper, right and lower border of a face's square, in pixels."""
    left, top, side = int(face.x - face.side / 2), int(face.y - face.side / 2), int(face.side)
    return left, top, left + side, top + side


def make_data_set(folder: Path, pictures: Path) -> None:
    """Write the photos and masks of `make_pictures` into one parquet file, as `datasets` describes pictures."""
    import datasets

    rows = {
        column: [{"bytes": path.read_bytes(), "path": path.name} for path in sorted((pictures / name).iterdir())]
        for column, name in (("image", "photos"), ("mask", "masks"))
    }
    features = datasets.Features({"image": datasets.Image(), "mask": datasets.Image()})
    folder.mkdir(parents=True)
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(folder / "train-00000-of-00001.parquet"))


def run(words: list[str], out: Path, processes: int) -> dict[str, Any]:
    """Run the command line to its end; return its time, rate, memory and what it wrote.

    Args:
        words: after `inpaint`.
        out: folder it writes to; its report lies beside it.
        processes: 1, or 2 through Accelerate's file for two processes on a CPU.

    Raises:
        RuntimeError: it failed.
    """
    report = out.with_suffix(".json")
    start = [sys.executable, "-m", "ngan"]
    if processes > 1:
        launcher = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", str(processes)]
        start = [*launcher, "--config_file", str(ROOT / "configs" / "two_cpu_processes.yaml"), "-m", "ngan"]
    began = time.perf_counter()
    command = [*start, "inpaint", *words, "-o", str(out), "--report", str(report)]
    with tempfile.TemporaryFile() as log:
        done = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        _, status, usage = os.wait4(done.pid, 0)
        whole = time.perf_counter() - began
        if status:
            log.seek(0)
            raise RuntimeError(f"{' '.join(command)} failed: {log.read().decode()[-2000:]}")
    names = [report] if processes == 1 else sorted(report.parent.glob(f"{report.stem}-*-of-*.json"))
    reports = [json.loads(name.read_text()) for name in names]
    filled, busy = sum(r["filled"] for r in reports), max(r["seconds"] for r in reports)
    return {
        "processes": processes,
        "pictures": sum(r["total"] for r in reports),
        "filled": filled,
        "seconds": round(busy, 2),
        "whole_seconds": round(whole, 2),
        "pictures_per_second": round(filled / busy, 2),
        "megabytes_of_the_largest_process": round(usage.ru_maxrss / 1000),
        "megabytes_written": round(sum(f.stat().st_size for f in out.iterdir()) / 1e6, 2),
    }


def stage_shares(pictures: Path, out: Path, model: str | None) -> dict[str, float]:
    """Fill a folder inside this process, with one thread, and return each stage's share of the processor time."""
    inpainter, spent = Inpainter(model, "cpu"), dict.fromkeys(STAGES, 0.0)
    base, faces = list_pictures(str(pictures / "photos"), recursive=False)
    tasks, refused = file_tasks(base, faces, pictures / "masks", out, "lossless")
    if refused:
        raise RuntimeError(f"not planned: {refused}")

    def timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                spent[stage] += time.thread_time() - start

        return call

    reading, finding, networks, filling, writing = STAGES
    tasks = [dataclasses.replace(task, read=timed(reading, task.read)) for task in tasks]
    inpainter._net = timed(networks, inpainter._net)
    kept, threads = (inference.find_faces, batch.save_picture), torch.get_num_threads()
    inference.find_faces, batch.save_picture = timed(finding, kept[0]), timed(writing, kept[1])
    torch.set_num_threads(1)
    try:
        outcome = batch.run_tasks(tasks, timed(filling, partial(inpainter.fill, show_inside=False)), progress=False)
    finally:
        torch.set_num_threads(threads)
        inference.find_faces, batch.save_picture = kept
    if outcome.failed:
        raise RuntimeError(f"failed: {outcome.failed}")
    spent[filling] -= spent[finding] + spent[networks]
    return {stage: round(seconds / sum(spent.values()), 3) for stage, seconds in spent.items()}


def plan(runs: dict[str, dict[str, Any]], given_megabytes: float) -> dict[str, Any]:
    """Plan `PLANNED` such pictures from what was measured.

    Args:
        runs: by name, as `measure` makes them.
        given_megabytes: of the photos and masks of one run.
    """
    one, again = runs["folder"], runs["folder, started again"]
    best = max(
        (r for name, r in runs.items() if r["filled"] and "without" not in name),
        key=lambda r: r["pictures_per_second"],
    )
    cores = os.cpu_count() or 1
    per_core = best["pictures_per_second"] / cores
    return {
        "pictures": PLANNED,
        "hours_on_this_machine": round(PLANNED / best["pictures_per_second"] / 3600, 2),
        "processes_on_this_machine": best["processes"],
        "gigabytes_read": round(PLANNED * given_megabytes / one["pictures"] / 1000, 2),
        "gigabytes_written": round(PLANNED * one["megabytes_written"] / one["filled"] / 1000, 2),
        "cores_for_hours": {str(h): math.ceil(PLANNED / (per_core * 3600 * h)) for h in TARGET_HOURS},
        "restart": {"outputs_that_are_there": again["pictures"], "seconds": again["whole_seconds"]},
    }


def measure(count: int, model: str | None, folder: Path) -> dict[str, Any]:
    """Measure all runs over so many pictures, in a folder that is made."""
    make_pictures(folder, count)
    make_data_set(folder / "set", folder)
    files = [str(folder / "photos"), str(folder / "masks")]
    rows = ["--dataset", str(folder / "set"), "--image-column", "image", "--mask-column", "mask"]
    more = ["--model", model] if model else []
    runs = {
        "folder": run([*files, *more], folder / "one", 1),
        "folder, started again": run([*files, *more], folder / "one", 1),
        "folder, two processes": run([*files, *more], folder / "two", 2),
        "data set": run([*rows, *more], folder / "rows", 1),
        "data set, two processes": run([*rows, *more], folder / "rows-two", 2),
        "folder, without self-ensemble": run([*files, *more, "--no-self-ensemble"], folder / "single", 1),
    }
    given = sum(f.stat().st_size for name in ("photos", "masks") for f in (folder / name).iterdir()) / 1e6
    few = folder / "few"
    make_pictures(few, min(count, 100))
    return {
        "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
        "torch": torch.__version__,
        "pictures": {
            f"{w}x{h}{', face only' if cut else ''}": count * KINDS.count((w, h, cut)) // len(KINDS)
            for w, h, cut in dict.fromkeys(KINDS)
        },
        "runs": runs,
        "shares_of_processor_time": stage_shares(few, few / "out", model),
        "plan": plan(runs, given),
    }


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", help="folder or Hub id (default: the embedded one)")
    parser.add_argument("--pictures", type=int, default=600, help="of each run (default 600)")
    parser.add_argument("--json", type=Path, help="file to write")
    options = parser.parse_args()
    if options.pictures < len(KINDS):
        parser.error(f"--pictures must be at least {len(KINDS)}")
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options.pictures, options.model, Path(folder) / "batch")
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
