"""Time a large photo with one face and a painted mouth, from upload bytes to result bytes, by stage; prints JSON.

python -m benchmarks.photo --json benchmarks/photo.json
"""

import argparse
import io
import json
import os
import platform
import resource
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from PIL import Image

import ngan.inference as inference
from ngan.inference import Inpainter
from ngan.job import Job
from ngan.pictures import read_picture

ROOT = Path(__file__).parent.parent

SIZE = (4000, 3000)  # width and height of the photo, in pixels
FACE = (1400, 800, 1500)  # left, upper border and side of the pasted face, in pixels
PORTRAIT = ROOT / "examples" / "astronaut.png"


def photo() -> tuple[bytes, bytes]:
    """A photo as JPEG with a face and some noise in it, and as PNG the mask of its mouth."""
    random = np.random.default_rng(0)
    canvas = cv2.resize(random.integers(60, 200, (30, 40, 3), dtype=np.uint8), SIZE, interpolation=cv2.INTER_CUBIC)
    left, top, side = FACE
    canvas[top : top + side, left : left + side] = np.asarray(Image.open(PORTRAIT).convert("RGB").resize((side, side)))
    noise = cv2.randn(np.empty(canvas.shape, np.int16), (0, 0, 0), (4, 4, 4))
    canvas = cv2.add(canvas, noise, dtype=cv2.CV_8U)
    mask = np.zeros(SIZE[::-1], np.uint8)
    mouth = int(left + 0.5 * side), int(top + 0.78 * side)
    cv2.ellipse(mask, mouth, (int(0.17 * side), int(0.09 * side)), 0, 0, 360, 255, -1)
    files = []
    for picture, kind, options in ((canvas, "JPEG", {"quality": 92}), (mask, "PNG", {"compress_level": 1})):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, kind, **options)
        files.append(buffer.getvalue())
    return files[0], files[1]


class Clock:
    """Adds up the seconds that wrapped functions take, by name."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def wrap(self, owner: object, attribute: str, name: str) -> None:
        """Replace a function or method by one that is timed."""
        function = getattr(owner, attribute)

        def timed(*arguments: object, **options: object) -> object:
            start = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - start

        setattr(owner, attribute, timed)


def measure(model: str | None, repeats: int) -> dict[str, object]:
    """Return the median seconds of each stage, the total's spread, and the process's peak memory in MB."""
    inpainter, (upload, mask) = Inpainter(model, "cpu"), photo()
    clock = Clock()
    clock.wrap(inpainter, "_net", "networks")
    clock.wrap(Job, "finish", "paste")
    clock.wrap(inference, "find_faces", "detect")
    clock.wrap(inference, "cut", "cut")
    runs = []
    for _ in range(repeats + 1):
        clock.spent.clear()
        start = time.perf_counter()
        picture = read_picture(Image.open(io.BytesIO(upload)))
        marked = Image.open(io.BytesIO(mask))
        marked.load()
        decoded = time.perf_counter()
        result = inpainter(picture, marked)
        filled = time.perf_counter()
        result.save(io.BytesIO(), "JPEG", quality=95)
        encoded = time.perf_counter()
        stages = {"decode": decoded - start, **clock.spent, "encode": encoded - filled, "total": encoded - start}
        stages["other"] = filled - decoded - sum(clock.spent.values())
        runs.append(stages)
    runs = runs[1:]  # the first one loads the cascades
    totals = [run["total"] for run in runs]
    return {
        "photo": f"{SIZE[0]}x{SIZE[1]} JPEG, {len(upload)} bytes, one face, its mouth painted",
        "machine": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "torch": torch.__version__,
        "torch threads": torch.get_num_threads(),
        "repeats": repeats,
        "seconds": {name: round(median(run[name] for run in runs), 3) for name in runs[0]},
        "total seconds, least and most": [round(min(totals), 3), round(max(totals), 3)],
        "peak memory, MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    """Parse the command line, measure, print or write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder or Hub id (default: the one that comes with ngan)")
    parser.add_argument("--repeats", type=int, default=5, help="of the whole way (default 5)")
    parser.add_argument("--json", type=Path, help="write the figures to this file instead")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error(f"--repeats {options.repeats}: must be at least 1")
    text = json.dumps(measure(options.model, options.repeats), indent=2)
    print(text) if options.json is None else options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
