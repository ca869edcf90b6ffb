"""Measure the search for damage on portraits that have none, and on the same damaged at their own size; prints JSON.

python -m benchmarks.damage_found --pictures FOLDER --json benchmarks/damage_found.json

Nothing of it is as training draws it: scratches of a few pixels, writing and plain boxes are painted on photos of any
size, each in one colour, and many scratches, light ones and dark ones, across the whole photo; then photo and damage
are taken once more in black and white. Counted are what is marked of sound pictures, and for damaged ones the share of
the damage that is marked, the share of the sound rest that is, but for a margin of 2 % of the shorter side around the
damage, and the PSNR of the whole picture before and after it was found and filled.
"""

import argparse
import json
import platform
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.faces_found import scratched
from ngan.faces import find_faces
from ngan.framing import Face
from ngan.inference import Inpainter

KINDS = ("scratches", "writing", "box", "many scratches")
MODES = {"colour": "RGB", "black and white": "L"}
_FIGURES = ("share found", "share of the rest marked", "psnr before", "psnr after")


def damaged(picture: Image.Image, kind: str, random: np.random.Generator) -> tuple[Image.Image, np.ndarray]:
    """Damage an RGB picture; returns it and where, (H, W), bool."""
    width, height = picture.size
    if kind == "many scratches":
        before = np.asarray(picture)
        after = scratched(before, (find_faces(before) or [Face(width / 2, height / 2, min(width, height))])[0], random)
        return Image.fromarray(after), (after != before).any(axis=2)
    mark = Image.new("L", picture.size, 0)
    draw, unit = ImageDraw.Draw(mark), min(picture.size) / 512
    if kind == "scratches":
        for _ in range(4):
            points = random.uniform(0.1, 0.9, (3, 2)) * (width, height)
            draw.line([tuple(point) for point in points], fill=255, width=max(1, round(unit * random.integers(5, 12))))
    elif kind == "writing":
        draw.fontmode = "1"
        place = 0.1 * width, random.uniform(0.3, 0.65) * height
        draw.text(place, "SAMPLE", fill=255, font=ImageFont.load_default(90 * unit))
    else:
        left, top = random.uniform(0.2, 0.6, 2) * (width, height)
        draw.rectangle((left, top, *((left, top) + random.uniform(50, 140, 2) * unit)), fill=255)
    colour = tuple(int(value) for value in random.integers(0, 256, 3))
    return Image.composite(Image.new("RGB", picture.size, colour), picture, mark), np.asarray(mark) > 0


def psnr(picture: Image.Image, truth: Image.Image) -> float:
    """PSNR of all of a picture, in dB; at least one pixel must differ."""
    error = np.square(np.asarray(picture, dtype=np.float64) - np.asarray(truth)).mean()
    return float(10 * np.log10(255**2 / error))


def measure(inpainter: Inpainter, pictures: list[Path], mode: str = "RGB") -> dict[str, object]:
    """Measure on picture files, and return what `main` prints of a mode.

    Args:
        inpainter: what looks and fills.
        pictures: files.
        mode: "RGB", or "L" for photos and damage in black and white.
    """
    sound, rows = [], {kind: [] for kind in KINDS}
    for number, path in enumerate(pictures):
        colour, random = Image.open(path).convert("RGB"), np.random.default_rng(number)
        truth = colour.convert(mode)
        sound.append((np.asarray(inpainter.fill(truth, show_inside=False).mask) > 0).mean())
        for kind in KINDS:
            picture, mark = damaged(colour, kind, random)
            picture = picture.convert(mode)
            result = inpainter.fill(picture, show_inside=False)
            marked = np.asarray(result.mask) > 0
            margin = round(0.02 * min(mark.shape))
            near = cv2.dilate(mark.view(np.uint8), np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)) > 0
            shares = (marked & mark).sum() / mark.sum(), (marked & ~near).sum() / (~near).sum()
            rows[kind].append((*shares, psnr(picture, truth), psnr(result.final, truth)))
    return {
        "sound": {
            "pictures in which anything is marked": float(np.mean(np.array(sound) > 0)),
            "share marked, mean": float(np.mean(sound)),
            "share marked, most": float(np.max(sound)),
        },
        "damaged": {
            kind: dict(zip(_FIGURES, map(float, np.mean(own, axis=0)), strict=True)) for kind, own in rows.items()
        },
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--pictures", type=Path, required=True, help="folder of portraits without damage")
    parser.add_argument("--limit", type=int, default=0, help="pictures to take, from the first on; 0 = all (default)")
    parser.add_argument("--model", help="folder or Hub id; default: the embedded one")
    parser.add_argument("--json", type=Path, help="file for the result")
    options = parser.parse_args(arguments)
    found = sorted(path for path in options.pictures.iterdir() if path.suffix.lower() in (".jpg", ".png", ".webp"))
    pictures = found[: options.limit or None]
    if not pictures:
        parser.error(f"--pictures {options.pictures}: holds no .jpg, .png or .webp")
    try:
        inpainter = Inpainter(options.model)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    result = {"pictures": len(pictures), "machine": platform.machine()}
    result |= {name: measure(inpainter, pictures, mode) for name, mode in MODES.items()}
    report = json.dumps(result, indent=2) + "\n"
    if options.json:
        options.json.write_text(report)
    print(report, end="")


if __name__ == "__main__":
    main()
