"""The training script as people start it: tiny networks, drawn faces, a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

NOTE = "Drawn by the tests, a/b and all. " * 20
ROOT = Path(__file__).parent.parent
TINY = (
    "--image_size 32 --code_width 8 --image_width 8 --blocks 1 --attention_every 1 --discriminator_width 4 "
    "--embedding 8 --batch_size 4 --generator_only_steps 1 --discriminator_only_steps 0 --warmup_steps 2 "
    "--mixed_precision no --log_every 1 --report_to none"
).split()


def draw_faces(folder: Path, train: int = 12, validation: int = 4) -> Path:
    """Draw faces of 40 x 40 pixels into `folder`/train and `folder`/validation; return `folder`."""
    for split, seeds in {"train": range(train), "validation": range(100, 100 + validation)}.items():
        (folder / split).mkdir(parents=True)
        for seed in seeds:
            draw_face(seed, 40).save(folder / split / f"{seed:03}.png")
    return folder


def assert_one_line(done: subprocess.CompletedProcess, *complaints: str) -> None:
    """Assert that a run ended with status 2 and one line of error that holds `complaints`."""
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("train_accelerate.py: error: ")]
    assert len(errors) == 1 and errors == done.stderr.splitlines()[-1:]
    for complaint in complaints:
        assert complaint in errors[0]


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """This process's variables, for one thread and no network, and `more`."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **(more or {})}


def train(
    faces: Path,
    output: Path,
    *arguments: str,
    accelerate_config: str = "",
    script: Path = ROOT / "train_accelerate.py",
    variables: dict[str, str] | None = None,
) -> subprocess.CompletedProcess:
    """Run a tiny training; by `accelerate launch` where the name of a file of configs/ is given."""
    launcher = ["-m", "accelerate.commands.launch", "--config_file", str(ROOT / "configs" / accelerate_config)]
    command = [sys.executable, *(launcher if accelerate_config else []), str(script)]
    command += ["--dataset", str(faces), "--output_dir", str(output), *TINY, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment(variables), capture_output=True, text=True, timeout=900)


def draw_face(seed: int, size: int = 64) -> Image.Image:
    """Draw hair, head, eyes, nose and mouth, about where an aligned face has them, RGB of `size` pixels a side."""
    random = np.random.default_rng(seed)

    def colour(low: int, high: int) -> tuple[int, ...]:
        return tuple(int(value) for value in random.integers(low, high, 3))

    def ellipse(x: float, y: float, rx: float, ry: float, fill: tuple[int, ...]) -> None:
        pen.ellipse([size * (x - rx), size * (y - ry), size * (x + rx), size * (y + ry)], fill=fill)

    image = Image.new("RGB", (size, size), colour(0, 256))
    pen = ImageDraw.Draw(image)
    x, y = 0.5 + random.uniform(-0.03, 0.03, 2)
    wide, iris, skin = random.uniform(0.26, 0.34), colour(10, 120), colour(120, 240)
    ellipse(x, y - 0.08, wide + 0.06, 0.40, colour(0, 130))
    ellipse(x, y + 0.02, wide, 0.38, skin)
    for side in (-1, 1):
        ellipse(x + 0.14 * side, y - 0.06, 0.06, 0.035, (245, 245, 245))
        ellipse(x + 0.14 * side, y - 0.06, 0.028, 0.028, iris)
    ellipse(x, y + 0.07, 0.03, 0.07, tuple(int(0.85 * value) for value in skin))
    ellipse(x, y + 0.22, random.uniform(0.08, 0.14), 0.03, (170, 50, 60))
    return image
