"""Measure whether a model of larger faces beats a smaller one whose fills are enlarged, on the same faces and holes.

python -m benchmarks.enlarged --small ngan/pretrained/ngan-celeba-128 --large runs/x/model --dataset PATH_OR_ID \\
    --json benchmarks/enlarged.json

Faces and holes are of the large model's size. The small model sees the face shrunk, a cell being missing in which any
pixel is, and its fill is enlarged (bicubic) into the hole. Prints JSON.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ngan.data import load_faces
from ngan.evaluation import evaluate
from ngan.masks import composite
from ngan.model import NGAN, NGANOutput

KINDS = ("center", "box", "freeform", "feature")  # of holes that are measured


class Enlarged(nn.Module):
    """A model behind the interface of one of faces `factor` times as large: shrinks, fills, enlarges.

    Args:
        model: the smaller one.
        factor: how many times larger pictures come and go.
    """

    def __init__(self, model: NGAN, factor: int) -> None:
        super().__init__()
        self.model, self.factor = model, factor

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> NGANOutput:
        """Fill images (N, 3, H, W), [-1, 1], with a mask (N, 1, H, W), 1 = missing; no marked pixel is read."""
        known = F.avg_pool2d(1 - mask, self.factor)
        small = F.avg_pool2d(image * (1 - mask), self.factor) / known.clamp(min=1e-6)
        output = self.model(small, (known < 1).to(image.dtype))
        code, location, final = (
            F.interpolate(x, scale_factor=self.factor, mode="bicubic")
            for x in (output.code_image, output.location, output.composite)
        )
        return NGANOutput(code, location, final, composite(image, final, mask))


def compare(small: NGAN, large: NGAN, faces: Any, **options: Any) -> dict[str, Any]:
    """Measure both models on faces of the large one's size.

    Args:
        small: the model whose fills are enlarged.
        large: the other one.
        faces: uint8 (3, S, S) each, S = the large model's size.
        **options: further arguments of `ngan.evaluation.evaluate`.

    Returns:
        JSON-able: `n`, `image_size`, and by kind of hole the measures of "small, enlarged" and "large".

    Raises:
        ValueError: a size that is no multiple of the small model's.
    """
    factor, rest = divmod(large.image_size, small.image_size)
    if rest or factor < 2:
        raise ValueError(
            f"sizes {small.image_size} and {large.image_size}: the second must be a multiple of the first"
        )
    models = {"small, enlarged": Enlarged(small, factor).eval(), "large": large}
    results = {
        name: evaluate(model, faces, masks=KINDS, damages=(), peers=(), **options) for name, model in models.items()
    }
    first = results["large"]
    return {
        "n": first["n"],
        "image_size": first["image_size"],
        "holes": {
            kind: {name: result["masks"][kind]["ngan"] for name, result in results.items()} for kind in first["masks"]
        },
    }


def main(arguments: list[str] | None = None) -> int:
    """Compare and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", required=True, help="folder or Hub id of the smaller model")
    parser.add_argument("--large", required=True, help="of the larger one")
    parser.add_argument("--dataset", required=True, help="faces, as for python -m ngan evaluate")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--limit", type=int, help="faces to measure on; default: all")
    parser.add_argument("--json", type=Path, help="file for the result")
    options = parser.parse_args(arguments)
    try:
        small, large = (NGAN.from_pretrained(source) for source in (options.small, options.large))
        faces = load_faces(options.dataset, options.split, image_size=large.image_size, limit=options.limit)
        result = json.dumps(compare(small, large, faces), indent=2)
    except (ValueError, OSError) as error:
        print(f"enlarged: error: {error}", file=sys.stderr)
        return 2
    if options.json:
        options.json.write_text(result + "\n")
    print(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
