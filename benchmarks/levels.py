"""Fill and search portraits in little contrast or in coloured light, as they are and levelled; prints JSON.

python -m benchmarks.levels --pictures FOLDER --json benchmarks/levels.json

Each picture of the folder, a portrait of one face, is made dark, faded or tinted. In a hole over nose and mouth, the
PSNR is measured; under a scratch of four points that nobody marked, the share of it that is found, and without one the
share of the picture that is marked all the same.
"""

import argparse
import json
import platform
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ngan.faces import find_faces
from ngan.inference import Inpainter

LOOKS = {  # gain of red, green and blue, and what is added to them, of 255
    "as it is": ((1, 1, 1), (0, 0, 0)),
    "dark": ((0.22, 0.22, 0.22), (4, 4, 4)),
    "very faded": ((0.3, 0.3, 0.3), (120, 120, 120)),
    "magenta, faded": ((0.5, 0.2, 0.35), (120, 90, 95)),
    "dim, warm": ((0.4, 0.28, 0.16), (0, 0, 0)),
    "red light": ((1, 0.35, 0.3), (0, 0, 0)),
    "under water": ((0.2, 0.8, 0.8), (10, 10, 10)),
}
GREY = "black and white, faded"  # 0.4 times its brightness, and 100 added
_LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue (ITU-R BT.601)
_BREADTH = 7  # of the scratch, in pixels


def seen_as(portrait: np.ndarray, look: str) -> np.ndarray:
    """A portrait (H, W, 3), uint8, in a look of `LOOKS`, or `GREY`."""
    colours = portrait.astype(np.float64)
    if look == GREY:
        changed = 0.4 * np.repeat((colours @ _LUMA)[..., None], 3, axis=2) + 100
    else:
        gain, added = LOOKS[look]
        changed = colours * gain + added
    return np.rint(changed).clip(0, 255).astype(np.uint8)


def measure(inpainter: Inpainter, portraits: list[np.ndarray], look: str, seed: int) -> dict[str, float]:
    """Return the mean PSNR in the hole in dB, and the shares of scratches found and of sound pictures marked."""
    random, figures = np.random.default_rng(seed), []
    for portrait in portraits:
        face = find_faces(portrait)[0]
        photo = seen_as(portrait, look)
        left, top, right, bottom = (
            round(value + share * face.side)
            for value, share in ((face.x, -0.18), (face.y, -0.05), (face.x, 0.18), (face.y, 0.32))
        )
        hole = np.zeros(photo.shape[:2], bool)
        hole[max(top, 0) : bottom, max(left, 0) : right] = True
        error = np.asarray(inpainter(photo, hole))[hole].astype(float) - photo[hole]
        points = random.integers(0.2 * min(photo.shape[:2]), 0.8 * min(photo.shape[:2]), (4, 2)).astype(np.int32)
        scratch = np.zeros(photo.shape[:2], np.uint8)
        cv2.polylines(scratch, [points], False, 1, _BREADTH)
        colours = photo.reshape(-1, 3)
        colour = colours.mean(axis=0) + random.choice([-2, 2]) * colours.std(axis=0)
        damaged = np.where(scratch[..., None] > 0, np.rint(colour.clip(0, 255)).astype(np.uint8), photo)
        found, wrong = (np.asarray(inpainter.fill(given, show_inside=False).mask) > 0 for given in (damaged, photo))
        figures.append((10 * np.log10(255**2 / np.square(error).mean()), found[scratch > 0].mean(), wrong.mean()))
    names = "psnr_hole", "scratch_found", "sound_marked"
    return {name: round(float(value), 4) for name, value in zip(names, np.mean(figures, axis=0), strict=True)}


def main() -> None:
    """Parse the command line, measure, print or write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, required=True, help="folder of portraits of one face each")
    parser.add_argument("--limit", type=int, help="take the first so many only")
    parser.add_argument("--seed", type=int, default=0, help="of the scratches (default 0)")
    parser.add_argument("--json", type=Path, help="write the figures to this file instead")
    options = parser.parse_args()
    files = sorted(path for path in options.pictures.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    portraits = [np.asarray(Image.open(path).convert("RGB")) for path in files[: options.limit]]
    portraits = [portrait for portrait in portraits if find_faces(portrait)]
    if not portraits:
        parser.error(f"--pictures {options.pictures}: holds no .jpg or .png with a face")
    levelled, plain = Inpainter(), Inpainter()
    plain._net = plain._net.networks
    report = {
        "pictures": len(portraits),
        "seed": options.seed,
        "machine": platform.processor() or platform.machine(),
        "looks": {
            look: {
                "as it is": measure(plain, portraits, look, options.seed),
                "levelled": measure(levelled, portraits, look, options.seed),
            }
            for look in (*LOOKS, GREY)
        },
    }
    text = json.dumps(report, indent=2)
    print(text) if options.json is None else options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
