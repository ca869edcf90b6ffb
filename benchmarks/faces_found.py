"""Count the faces that the search finds in portraits in larger photos, painted, tilted and scratched; prints JSON.

python -m benchmarks.faces_found --pictures FOLDER --json benchmarks/faces_found.json

Each picture of the folder, a portrait of one face, is pasted at a random size, place and tilt. It counts as found when
a face's middle lies within a quarter of the square, and its angle within 30 degrees, of where the same search finds it
in the portrait alone.
"""

import argparse
import json
import platform
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from ngan.faces import find_faces
from ngan.framing import Face

CANVAS = (1600, 1200)  # width and height of the photos, in pixels
SIDES = (240, 1000)  # shortest and longest side of a pasted portrait, in pixels
LYING = "lying on either side or upside down, tilted by up to 10 degrees more"
CASES = {  # greatest tilt in degrees, share of the face that is marked (None: nothing is), what is under it stays
    "upright, clean": (0, 0.0, False),
    "upright, a quarter painted": (0, 0.25, False),
    "upright, a quarter painted, what was under it known": (0, 0.25, True),
    "tilted by up to 30 degrees, clean": (30, 0.0, False),
    "tilted by up to 30 degrees, a quarter painted": (30, 0.25, False),
    f"{LYING}, nothing marked": (10, None, False),
    f"{LYING}, clean": (10, 0.0, False),
    f"{LYING}, a quarter painted": (10, 0.25, False),
}
SCRATCHED = "tilted by up to 10 degrees, scratched, nothing marked"


def pasted(
    portrait: np.ndarray, face: Face, tilt: float, random: np.random.Generator, quarters: int = 0
) -> tuple[np.ndarray, Face]:
    """Paste a portrait, (H, W, 3), uint8, into a photo of blurred noise, tilted after so many quarters of a turn.

    Returns:
        The photo and the face in it.
    """
    noise = random.integers(40, 220, (15, 20, 3), dtype=np.uint8)
    photo = cv2.resize(noise, CANVAS, interpolation=cv2.INTER_CUBIC)
    height, width = portrait.shape[:2]
    scale = np.exp(random.uniform(*np.log(SIDES))) / max(height, width)
    angle = random.uniform(-tilt, tilt) + 90 * quarters
    reach = 0.5 * scale * max(height, width)
    x, y = (random.uniform(reach, length - reach) for length in CANVAS)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -angle, scale)
    matrix[:, 2] += (x - 0.5 - (width - 1) / 2, y - 0.5 - (height - 1) / 2)
    small = cv2.GaussianBlur(portrait, (0, 0), 0.4 / scale) if scale < 1 else portrait
    warped = cv2.warpAffine(small, matrix, CANVAS, flags=cv2.INTER_LINEAR)
    inside = cv2.warpAffine(np.full((height, width), 255, np.uint8), matrix, CANVAS) == 255
    photo[inside] = warped[inside]
    middle = matrix @ (face.x - 0.5, face.y - 0.5, 1) + 0.5
    return photo, Face(float(middle[0]), float(middle[1]), face.side * scale, face.angle + angle)


def painted(face: Face, share: float, random: np.random.Generator) -> np.ndarray:
    """A hole, (H, W), bool: a box of a share of the face (not of the square: two thirds of its side), over its inside;
    a small mark on the face's middle for share 0."""
    side = (2 / 3) * face.side * max(share, 0.0025) ** 0.5
    x, y = (face.x, face.y) + random.uniform(-0.16, 0.16, 2) * face.side * (share > 0)
    hole = np.zeros(CANVAS[::-1], bool)
    hole[int(y - side / 2) : int(y + side / 2) + 1, int(x - side / 2) : int(x + side / 2) + 1] = True
    return hole


def scratched(photo: np.ndarray, face: Face, random: np.random.Generator) -> np.ndarray:
    """Draw 6 to 13 light or dark lines across a photo, (H, W, 3), uint8, every second through the face.

    They are 0.6 to 3.5 % of the side of its square wide.
    """
    image = Image.fromarray(photo)
    pen = ImageDraw.Draw(image)
    for _ in range(random.integers(6, 14)):
        down, across = random.random() < 0.6, random.random() < 0.5
        count = random.integers(3, 7)
        along, beside = np.linspace(0, 1, count), random.uniform(0.05, 0.95) + np.cumsum(random.normal(0, 0.04, count))
        if across:
            middle, length = (face.x, photo.shape[1]) if down else (face.y, photo.shape[0])
            beside += (middle + random.uniform(-0.4, 0.4) * face.side) / length - beside[count // 2]
        points = np.column_stack([beside, along] if down else [along, beside]) * photo.shape[1::-1]
        colour = (245, 240, 225) if random.random() < 0.7 else (25, 20, 15)
        pen.line([tuple(p) for p in points], fill=colour, width=max(1, int(face.side * random.uniform(0.006, 0.035))))
    return np.asarray(image)


def measure(portraits: list[np.ndarray], faces: list[Face], seed: int) -> dict[str, object]:
    """Return, for each case, the share found, and the median and 90 % errors of alignment."""
    results: dict[str, object] = {}
    for case, (tilt, share, known) in {**CASES, SCRATCHED: (10, None, True)}.items():
        random = np.random.default_rng(seed)
        errors = []
        for portrait, face in zip(portraits, faces, strict=True):
            photo, truth = pasted(portrait, face, tilt, random, quarters=random.integers(1, 4) if LYING in case else 0)
            hole = None if share is None else painted(truth, share, random)
            if share and not known:
                photo[hole] = (255, 45, 139)
            for found in find_faces(scratched(photo, truth, random) if case == SCRATCHED else photo, hole):
                off = float(np.hypot(found.x - truth.x, found.y - truth.y)) / truth.side
                turn = abs((found.angle - truth.angle + 180) % 360 - 180)
                if off < 0.25 and turn < 30:
                    errors.append((off, abs(np.log(found.side / truth.side)), turn))
                    break
        names = ("middle, of the side", "side, relative", "angle, degrees")
        results[case] = {
            "found": round(len(errors) / len(portraits), 4),
            "median error": dict(zip(names, np.median(errors, axis=0).round(3).tolist(), strict=True)),
            "90 % error": dict(zip(names, np.percentile(errors, 90, axis=0).round(3).tolist(), strict=True)),
        }
    return results


def main() -> None:
    """Parse the command line, measure, print or write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, required=True, help="folder of portraits of one face each")
    parser.add_argument("--limit", type=int, help="take the first so many only")
    parser.add_argument("--seed", type=int, default=0, help="of size, place, tilt and paint (default 0)")
    parser.add_argument("--json", type=Path, help="write the figures to this file instead")
    options = parser.parse_args()
    files = sorted(path for path in options.pictures.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    portraits = [np.asarray(Image.open(path).convert("RGB")) for path in files[: options.limit]]
    if not portraits:
        parser.error(f"--pictures {options.pictures}: holds no .jpg or .png")
    alone = [find_faces(portrait) for portrait in portraits]
    kept = [(portrait, faces[0]) for portrait, faces in zip(portraits, alone, strict=True) if faces]
    report = {
        "pictures": len(portraits),
        "found in the portrait alone": len(kept),
        "canvas": CANVAS,
        "sides of the portraits": SIDES,
        "seed": options.seed,
        "machine": platform.processor() or platform.machine(),
        "opencv": cv2.__version__,
        "cases": measure([portrait for portrait, _ in kept], [face for _, face in kept], options.seed),
    }
    text = json.dumps(report, indent=2)
    print(text) if options.json is None else options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
