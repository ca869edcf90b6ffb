"""Load on the running page: many requests at once, then many one after another; every answer is checked.

    python -m benchmarks.load --json benchmarks/load.json

It starts `app.py` with the embedded weights on two threads, sends 50 requests of mixed sizes at the same moment and
then `--soak` small ones, and watches the memory of the server's process. With 0 of either, that part is not run, and
what the file says of it stays.
"""

import argparse
import io
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent
SIZES = ((128, 128), (256, 320), (640, 480), (1024, 768), (1600, 1200))  # (width, height), in pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=50, help="requests at once")
    parser.add_argument("--soak", type=int, default=2000, help="small requests after that, four at a time")
    parser.add_argument("--threads", type=int, default=2, help="of torch and OpenCV in the server")
    parser.add_argument("--json", type=Path, help="where the figures go")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, url = start(Path(folder), args.threads)
        try:
            memory = Memory(process.pid)
            idle = memory.now()
            print(f"idle: {idle:.0f} MB", flush=True)
            parts = {}
            if args.requests:
                jobs = [make_request(i, SIZES[i % len(SIZES)]) for i in range(args.requests)]
                parts["at_once"] = run(url, jobs, args.requests) | {"peak_memory_mb": round(memory.peak)}
                print(json.dumps(parts["at_once"]), flush=True)
            if args.soak:
                parts["soak"] = soaked(url, args.soak, memory)
        finally:
            memory.stop()
            process.terminate()
            process.wait(20)
    result = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}
    result |= {
        "machine": f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} CPU cores",
        "server_threads": args.threads,
        "idle_memory_mb": round(idle),
        **parts,
    }
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    if any(part["right"] != part["requests"] for part in parts.values()):
        sys.exit("not every request was answered rightly")


def soaked(url: str, requests: int, memory: "Memory") -> dict:
    """Send small requests, four at a time, and note the server's memory after each tenth of them."""
    marks, result = [], {"requests": 0, "right": 0, "failed": []}
    for part in range(10):
        count = requests * (part + 1) // 10 - result["requests"]
        done = run(url, [make_request(1000 * part + i, (160, 160)) for i in range(count)], 4)
        for name in result:
            result[name] += done[name]
        marks.append(round(memory.now()))
        print(f"soak {result['requests']}: {marks[-1]} MB", flush=True)
    return result | {"memory_mb_after_each_tenth": marks, "growth_mb_second_half": marks[-1] - marks[4]}


class Memory(threading.Thread):
    """Watches a process's resident memory, in MB.

    Args:
        pid: of the process.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.status = Path(f"/proc/{pid}/status")
        self.peak = 0.0
        self.ended = threading.Event()
        self.start()

    def now(self) -> float:
        return int(re.search(r"VmRSS:\s+(\d+)", self.status.read_text()).group(1)) / 1024

    def run(self) -> None:
        while not self.ended.wait(0.1):
            self.peak = max(self.peak, self.now())

    def stop(self) -> None:
        self.ended.set()
        self.join()


def start(folder: Path, threads: int) -> tuple[subprocess.Popen, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port), "OMP_NUM_THREADS": str(threads)}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py")],
        env={**os.environ, **settings, "GRADIO_TEMP_DIR": str(folder)},
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}/gradio_api/"
    for _ in range(600):
        try:
            httpx.get(url + "info", timeout=5).raise_for_status()
            return process, url
        except httpx.HTTPError:
            if process.poll() is not None:
                sys.exit("app.py ended by itself")
            time.sleep(0.3)
    process.terminate()
    sys.exit("app.py did not answer in 180 s")


def make_request(seed: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A drawn face on a smooth ground, (H, W, 3) uint8, and a box to fill, (H, W) bool."""
    random = np.random.default_rng(seed)
    width, height = size
    y, x = np.mgrid[:height, :width]
    side = min(size)
    picture = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=-1).astype(np.uint8)
    picture[np.hypot((x - width / 2) / 0.32, (y - height / 2) / 0.42) < side] = (222, 178, 150)
    for eye in (-1, 1):
        picture[np.hypot(x - width / 2 - eye * 0.12 * side, y - 0.45 * height) < 0.035 * side] = (40, 30, 30)
    hole = np.zeros((height, width), bool)
    top, left = (int(random.integers(length // 4, length // 2)) for length in (height, width))
    hole[top : top + side // 4, left : left + side // 4] = True
    return picture, hole


def run(url: str, jobs: list[tuple[np.ndarray, np.ndarray]], at_once: int) -> dict:
    """Send requests, `at_once` at the same time, and check every answer."""
    start = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        answers = list(pool.map(lambda job: _timed(url, job), jobs))
    seconds = time.perf_counter() - start
    times = sorted(time for time, _ in answers)
    return {
        "requests": len(jobs),
        "right": sum(not wrong for _, wrong in answers),
        "failed": [wrong for _, wrong in answers if wrong],
        "seconds": round(seconds, 1),
        "median_s": round(statistics.median(times), 2),
        "p95_s": round(times[max(0, -(-95 * len(times) // 100) - 1)], 2),
    }


def _timed(url: str, job: tuple[np.ndarray, np.ndarray]) -> tuple[float, str]:
    start = time.perf_counter()
    try:
        wrong = _ask(url, *job)
    except (httpx.HTTPError, ValueError, OSError) as error:
        wrong = repr(error)
    return time.perf_counter() - start, wrong


def _ask(url: str, picture: np.ndarray, hole: np.ndarray) -> str:
    """Fill one picture over HTTP; returns what is wrong with the answer, "" if nothing is."""
    with httpx.Client(base_url=url, timeout=600, verify=False) as http:  # reading certificates takes 20 ms
        files = [("files", (name, _png(pixels))) for name, pixels in (("face.png", picture), ("mask.png", hole))]
        paths = http.post("upload", files=files).raise_for_status().json()
        data = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in paths]
        event = http.post("call/inpaint", json={"data": data}).raise_for_status().json()["event_id"]
        answer = http.get(f"call/inpaint/{event}").text
        if "event: complete" not in answer:
            return answer[-300:]
        file = json.loads(answer.rpartition("data: ")[2])[0]
        got = Image.open(io.BytesIO(http.get(f"file={file['path']}").raise_for_status().content))
    if got.size != picture.shape[1::-1]:
        return f"size {got.size}"
    got = np.asarray(got)
    if not np.array_equal(got[~hole], picture[~hole]):
        return "known pixels changed"
    return "" if (got[hole] != picture[hole]).any() else "nothing was filled"


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
