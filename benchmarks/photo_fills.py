"""Measure fills of photos at their own size, from file to result: how close, how like real faces, how sharp.

python -m benchmarks.photo_fills --pictures FOLDER --json benchmarks/photo_fills.json

Each portrait gets five holes, one at a time, by the face that is found in it: the inner face, both eyes, the lower
face, a side with an eye, hair and background, and an eye with its brow. Beside the PSNR in the hole stand the squared
Frechet distances of the filled squares of faces to the true ones, by the two readings of
`benchmarks.ablation_features` ("face" of the whole, "texture" of its sharpness), and the mean squared distance of each
fill's ImageNet features to the truth's (`ngan.features`, summed over its four depths). Prints a table.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from benchmarks.ablation_features import onet_features
from ngan.evaluation import Features
from ngan.faces import find_faces
from ngan.features import ImageFeatures, load_features
from ngan.framing import Face
from ngan.inference import Inpainter
from ngan.metrics import frechet_distance

HOLES = {  # left, upper, right and lower border, from the middle of a face's square, in its sides
    "inner face": (-0.25, -0.25, 0.25, 0.25),
    "eyes": (-0.25, -0.15, 0.25, 0.07),
    "lower face": (-0.25, 0.0, 0.25, 0.35),
    "side": (-0.05, -0.3, 0.35, 0.1),
    "one eye": (0.03, -0.12, 0.23, 0.06),
}
_SQUARE = 256  # pixels of the side at which squares of faces are compared
_FIGURES = {
    "psnr": "PSNR in hole (dB)",
    "onet": "Frechet, face",
    "onet_full": "Frechet, texture",
    "features": "ImageNet features",
}


def hole_of(face: Face, kind: str, shape: Sequence[int]) -> np.ndarray:
    """Return a hole of `HOLES` over a face of a photo of a shape (H, W): (H, W), bool."""
    left, top, right, bottom = HOLES[kind]
    hole = np.zeros(shape, bool)
    rows = slice(max(0, round(face.y + top * face.side)), max(0, round(face.y + bottom * face.side)))
    columns = slice(max(0, round(face.x + left * face.side)), max(0, round(face.x + right * face.side)))
    hole[rows, columns] = True
    return hole


def square_of(face: Face, rgb: np.ndarray) -> torch.Tensor:
    """Return a face's square, upright, (1, 3, 256, 256), uint8, of a photo (H, W, 3), uint8."""
    pixels = cv2.warpAffine(rgb, face.matrix(_SQUARE), (_SQUARE, _SQUARE), borderMode=cv2.BORDER_REFLECT)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


@torch.inference_mode()
def measure(
    fill: Callable[[Image.Image, Image.Image, list[Face]], Image.Image],
    pictures: Sequence[Image.Image],
    kinds: Sequence[str] = tuple(HOLES),
    frechet: dict[str, Features] | None = None,
    features: ImageFeatures | None = None,
) -> dict[str, dict[str, float]]:
    """Return the figures of fills, by kind of hole.

    Args:
        fill: returns a picture filled where a mask is white, given its faces.
        pictures: RGB; those in which no face is found are left out.
        kinds: of `HOLES`.
        frechet: features whose Frechet distances are told, by name.
        features: whose distance to the truth's is told.
    """
    known = [(picture, find_faces(np.asarray(picture))[:1]) for picture in pictures]
    known = [(picture, faces) for picture, faces in known if faces]
    report = {}
    for kind in kinds:
        rows, seen = [], {name: ([], []) for name in frechet or {}}
        for picture, faces in known:
            truth = np.asarray(picture)
            hole = hole_of(faces[0], kind, truth.shape[:2])
            filled = np.asarray(fill(picture, Image.fromarray(hole.astype(np.uint8) * 255), faces))
            error = np.square(filled[hole].astype(np.float64) - truth[hole]).mean()
            row = {"psnr": 10 * np.log10(255**2 / error)}
            squares = square_of(faces[0], filled), square_of(faces[0], truth)
            for name, (ours, real) in seen.items():
                ours.append(frechet[name](squares[0]))
                real.append(frechet[name](squares[1]))
            if features is not None:
                depths = zip(*(features(square / 127.5 - 1) for square in squares), strict=True)
                row["features"] = sum((one - other).square().mean().item() for one, other in depths)
            rows.append(row)
        means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        distances = {name: frechet_distance(*_moments(ours), *_moments(real)) for name, (ours, real) in seen.items()}
        report[kind] = {
            name: value for name in _FIGURES for value in [(means | distances).get(name)] if value is not None
        }
    return report


def _moments(features: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    values = torch.cat(features).double()
    return values.mean(dim=0), torch.cov(values.T)


def format_table(result: dict[str, dict[str, float]]) -> str:
    """Return what `measure` returned as a Markdown table."""
    names = [name for name in _FIGURES if any(name in values for values in result.values())]
    lines = [f"| hole | {' | '.join(_FIGURES[name] for name in names)} |", "|---|" + "---:|" * len(names)]
    for kind, values in result.items():
        cells = [f"{values[name]:.{2 if name == 'psnr' else 4}f}" for name in names]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--pictures", type=Path, required=True, help="folder of portraits without damage")
    parser.add_argument("--limit", type=int, default=0, help="pictures to take, from the first on; 0 = all (default)")
    parser.add_argument(
        "--side", type=int, default=0, help="shrink pictures to a longest side; 0 = as they are (default)"
    )
    parser.add_argument("--model", help="folder or Hub id; default: the embedded one")
    parser.add_argument("--json", type=Path, help="file for the result")
    options = parser.parse_args(arguments)
    try:
        paths = sorted(path for path in options.pictures.iterdir() if path.suffix.lower() in (".jpg", ".png", ".webp"))
        pictures = [Image.open(path).convert("RGB") for path in paths[: options.limit or None]]
        for picture in pictures if options.side else []:
            picture.thumbnail((options.side, options.side))
        if not pictures:
            raise ValueError(f"--pictures {options.pictures}: holds no .jpg, .png or .webp")
        found = measure(Inpainter(options.model), pictures, frechet=onet_features(), features=load_features())
    except (ValueError, OSError) as error:
        print(f"photo_fills: error: {error}", file=sys.stderr)
        return 2
    if options.json:
        result = {"pictures": len(pictures), "longest side": options.side or None, "holes": found}
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    print(format_table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
