"""Kill a training with SIGKILL again and again, resume it each time, and compare with one that nobody killed.

    python -m benchmarks.kill_resume --kills 20

The kills land at random moments of the four things a run does: updates, writing a checkpoint, the final evaluation,
the export. Where one landed is read from the folder it left behind, and one that came too late is not counted. After
every kill each checkpoint must be complete and the exported model complete or absent; at the end all weights, moments,
averages, figures and the exported model must be those of the uninterrupted run, bit for bit (CPU, float32).

Each launch is a process of its own, forked from this one once the libraries are imported, so that many are quick.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import train_accelerate
from ngan.average import EMA
from ngan.checkpoint import list_checkpoints, load_checkpoint
from ngan.config import parse_config
from ngan.model import NGAN, NGANDiscriminators
from ngan.start import make_networks
from ngan.training import Networks, make_optimizers

ROOT = Path(__file__).resolve().parent.parent

PHASES = ("update", "checkpoint", "evaluation", "export")
EVERY = 3  # updates between checkpoints
NETWORKS = (
    "--image_size 32 --code_width 8 --image_width 8 --blocks 1 --attention_every 1 --discriminator_width 4 "
    "--embedding 8 --batch_size 4 --generator_only_steps 4 --discriminator_only_steps 2 --warmup_steps 2 --r1_every 4 "
    f"--mixed_precision no --log_every 1 --report_to none --sample_every 5 --sample_faces 2 --checkpoint_every {EVERY}"
).split()


class Launches:
    """Launches of one training in one folder, each going on where the last one was killed."""

    def __init__(self, faces: Path, folder: Path, steps: int) -> None:
        self.folder, self.steps, self.launches = folder, steps, 0
        self.log = folder.with_suffix(".log")
        self.arguments = ["--dataset", str(faces), "--output_dir", str(folder), *NETWORKS]
        self.arguments += ["--max_train_steps", str(steps), "--resume_from_checkpoint", "latest"]

    def run(self, phase: str, wait: float) -> bool:
        """Launch once, and kill it a while after it has come into a phase.

        Args:
            phase: one of `PHASES`; "" = do not kill.
            wait: seconds from the phase's beginning to the kill; for "update", updates made by then, and its fraction
                in tenths of a second.

        Returns:
            Whether the kill landed in the phase, by what it left behind.

        Raises:
            RuntimeError: it ended badly by itself.
        """
        self.launches += 1
        self.log.write_bytes(b"")
        before, model = self._newest(), self._model()
        child = self._begin()
        clean = False  # of what the last kill left: only then is what is seen of this launch
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                if status:
                    code = os.waitstatus_to_exitcode(status)
                    raise RuntimeError(f"the run ended with {code}:\n{self.log.read_text()}")
                return False
            if phase:
                clean = clean or not (self._partial() or self._updates() > before)
                if clean and self._is_in(phase, before, wait):
                    break
            time.sleep(0.0002)
        time.sleep(wait % 1 / 10 if phase == "update" else wait)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        return os.WIFSIGNALED(status) and self._interrupted(model) == phase

    def _begin(self) -> int:
        child = os.fork()
        if child:
            return child
        log = os.open(self.log, os.O_WRONLY | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        status = 1
        try:
            status = train_accelerate.main(self.arguments)
            sys.stdout.flush()
        finally:
            os._exit(status)  # past what the parent has to clean up

    def _is_in(self, phase: str, before: int, wait: float) -> bool:
        if phase == "update":
            return self._updates() >= before + int(wait)
        if phase == "evaluation":
            return b"center" in self.log.read_bytes()  # its progress bar
        return bool(self._partial({"checkpoint": "checkpoint", "export": "model"}[phase]))

    def _interrupted(self, model: int) -> str:
        if self._partial("checkpoint"):
            return "checkpoint"
        if self._newest() < self.steps:
            return "update"
        if self._partial("model"):
            return "export"
        return "evaluation" if self._model() == model else ""

    def _updates(self) -> int:
        path = self.folder / "metrics.jsonl"
        return path.read_bytes().count(b"\n") if path.is_file() else 0

    def _newest(self) -> int:
        found = list_checkpoints(self.folder)
        return int(found[-1].name.removeprefix("checkpoint-")) if found else 0

    def _partial(self, name: str = "") -> list[Path]:
        return list(self.folder.glob(f".partial-{name}*"))

    def _model(self) -> int:
        path = self.folder / "model"
        return path.stat().st_mtime_ns if path.exists() else 0


def check_whole(folder: Path, arguments: list[str]) -> None:
    """Load every checkpoint and the exported model, if any, of a run just killed.

    Raises:
        ValueError: a damaged one.
        FileNotFoundError: a model with a part missing.
    """
    config, _ = parse_config(arguments)
    for checkpoint in list_checkpoints(folder):
        networks = Networks(*make_networks(config))
        load_checkpoint(checkpoint, networks, make_optimizers(networks, config), EMA(networks.generators, 1))
    if (folder / "model").exists():
        NGAN.from_pretrained(folder / "model")
        NGANDiscriminators.from_pretrained(folder / "model/discriminators")
        for name in ("README.md", "results.json", "samples.png", "train_config.json"):
            (folder / "model" / name).read_bytes()


def contents(run: Launches) -> dict[str, object]:
    """Return what must not depend on kills: checksums of the last checkpoint, the model, the pictures; the losses."""
    files = [
        *run.folder.glob(f"checkpoint-{run.steps:07d}/*.safetensors"),
        *run.folder.glob("model/**/*.safetensors"),
        *run.folder.glob("samples/*.png"),
        *(run.folder / "model" / name for name in ("results.json", "samples.png")),
    ]
    found: dict[str, object] = {
        str(path.relative_to(run.folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)
    }
    clocks = {"minutes", "images_per_second"}
    for line in (run.folder / "metrics.jsonl").read_text().splitlines():
        entry = json.loads(line)
        name = f"metrics {entry['step']}"
        if name in found:
            raise ValueError(f"update {entry['step']} was logged twice")
        found[name] = {key: value for key, value in entry.items() if key not in clocks}
    found["files of the run"] = sorted(path.name for path in run.folder.iterdir())
    return found


def draw_pictures(folder: Path) -> Path:
    """Write coarse random pictures as a set with two splits; return `folder`."""
    generator = np.random.default_rng(0)
    for split, n in (("train", 12), ("validation", 12)):
        (folder / split).mkdir(parents=True)
        for i in range(n):
            coarse = Image.fromarray(generator.integers(0, 256, (5, 5, 3), np.uint8))
            coarse.resize((40, 40), Image.Resampling.BICUBIC).save(folder / split / f"{i:02}.png")
    return folder


def plan(kills: int, seed: random.Random) -> list[str]:
    """Return the phases to kill in, in random order but for those at a run's end, which come last."""
    at_end = max(2, round(0.4 * kills))
    ends = [PHASES[2 + i % 2] for i in range(at_end)]
    middles = [PHASES[i % 2] for i in range(kills - at_end)]
    for part in (middles, ends):
        seed.shuffle(part)
    return middles + ends


def measure(kills: int, seed: int, folder: Path) -> dict[str, object]:
    """Make both runs below `folder` and compare them.

    Returns:
        JSON-able: whether they are equal, what differs, kills by phase, launches, updates, seconds, machine.
    """
    began, draws = time.monotonic(), random.Random(seed)
    phases = plan(kills, draws)
    training_kills = sum(phase in PHASES[:2] for phase in phases)
    steps = EVERY * (4 * training_kills + 2)
    faces = draw_pictures(folder / "faces")
    straight, killed = (Launches(faces, folder / name, steps) for name in ("straight", "killed"))
    straight.run("", 0)
    late = 0
    for phase in phases:
        # Longest waits: two checkpoints' worth of updates; else seconds, about as long as the phase is here.
        longest = {"update": EVERY + 1, "checkpoint": 0.02, "evaluation": 0.3, "export": 0.03}[phase]
        while not killed.run(phase, draws.uniform(1 if phase == "update" else 0, longest)):
            late += 1
            if late > 10 * kills:
                raise RuntimeError(f"{late} kills came too late for their phase, the last for {phase!r}")
        check_whole(killed.folder, killed.arguments)
    killed.run("", 0)
    expected, got = contents(straight), contents(killed)
    differing = sorted(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
    return {
        "equal": not differing,
        "differing": differing,
        "compared": len(expected),
        "kills": {phase: phases.count(phase) for phase in PHASES},
        "kills_that_came_too_late": late,
        "launches": killed.launches,
        "updates": steps,
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
        "machine": f"one thread on {os.cpu_count()} shared CPU cores, {platform.machine()}",
        "torch": torch.__version__,
    }


def main() -> int:
    """Parse the command line, print and write the result; return 1 if the runs differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="in all, at least 4 (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default 0)")
    parser.add_argument("--json", type=Path, help="file to write the result to")
    arguments = parser.parse_args()
    if arguments.kills < len(PHASES):
        parser.error(f"--kills {arguments.kills}: must be at least {len(PHASES)}, one for each phase")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments.kills, arguments.seed, Path(folder))
    text = json.dumps(result, indent=2) + "\n"
    if arguments.json:
        arguments.json.write_text(text)
    print(text, end="")
    return 0 if result["equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
