"""The training script as people start it: tiny networks, drawn faces, a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from conftest import draw_face

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
    return subprocess.run(command, cwd=ROOT, env=environment(variables), capture_output=True, text=True, timeout=300)
