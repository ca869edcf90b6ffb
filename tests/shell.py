"""Pictures, masks and models for tests of the command line."""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ngan.model import NGAN

SIDE = 40  # of the pictures, in pixels
_INTERRUPTING = """
import signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started without

class Finder:
    def find_spec(self, name, *rest):
        if name == AT:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Finder())
"""
_HALTING = """
import os, sys, time

named = []

def halt(event, args):
    if event == "os.rename" and str(args[1]).endswith(".png") and os.environ.get("RANK") == RANK:
        named.append(args[1])
        if len(named) > OUTPUTS:
            time.sleep(3600)

sys.addaudithook(halt)
"""


def interrupting(folder: Path, module: str) -> dict[str, str]:
    """Return variables by which a Python process gets a Ctrl-C as it imports `module`, by a file in `folder`."""
    return _customised(folder, f"AT = {module!r}\n{_INTERRUPTING}")


def halting(folder: Path, rank: int, outputs: int) -> dict[str, str]:
    """Return variables by which a launcher's process `rank` stops once it has written so many PNG files, so that it is
    at work whenever it is killed."""
    return _customised(folder, f"RANK, OUTPUTS = '{rank}', {outputs}\n{_HALTING}")


def _customised(folder: Path, code: str) -> dict[str, str]:
    (folder / "sitecustomize.py").write_text(code)
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(Path(__file__).parents[1])))}


def save_model(folder: Path) -> str:
    """Write a tiny model; return the folder's name."""
    torch.manual_seed(0)
    NGAN(code_width=4, image_width=8, blocks=1, image_size=32).save_pretrained(folder)
    return str(folder)


def save_finder(folder: Path) -> str:
    """Write a model whose location map says "damaged", logit 20, where the picture is black, and -11.2 where white."""
    finder = NGAN(code_width=1, image_width=8, blocks=0, patch=1, image_size=32)
    with torch.no_grad():
        for parameter in finder.code_generator.parameters():
            parameter.zero_()
        head = finder.code_generator.location
        head.conv1.weight[
            0, 3:6, 1, 1
        ] = -1  # three features, then red, green, blue: 3 for black, -0.6 (leaky) for white
        head.conv2.weight[0, 0, 1, 1] = 1
        head.read.weight[0, 0, 1, 1] = 10
        head.read.bias[0] = -10
    finder.save_pretrained(folder)
    return str(folder)


def picture(seed: int, mode: str = "RGB") -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert(mode)


def hole(side: int = SIDE) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    mask[12:28, 10:30] = 255
    return mask


def write_pair(face: str = "face.png", mask: str = "mask.png", seed: int = 0) -> np.ndarray:
    picture(seed).save(face)
    Image.fromarray(hole()).save(mask)
    return np.asarray(Image.open(face))


def write_folders(names: list[str]) -> None:
    os.mkdir("faces")
    os.mkdir("masks")
    for i, name in enumerate(names):
        write_pair(f"faces/{name}", f"masks/{Path(name).stem}.png", seed=i)


def only_error(capsys) -> str:
    """Return the one line on stderr, an error without a traceback."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("ngan: error: ")
    return lines[0]


def known_of(path: str) -> np.ndarray:
    """Return the pixels of a picture that `hole` leaves, (n, 3), uint8."""
    return np.asarray(Image.open(path).convert("RGB"))[hole() == 0]


def summary(capsys) -> list[str]:
    """Return what the command line said on stderr, but for progress bars."""
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("ngan:")]
