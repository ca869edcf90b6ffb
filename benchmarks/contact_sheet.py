"""Draw a contact sheet of filled faces at full size, to be looked at: figures do not tell whether a face is one.

python -m benchmarks.contact_sheet --dataset PATH_OR_ID --output sheet.png

Faces come from the split in its order, holes are seeded; each is filled as `Inpainter` fills, by the mean with its
mirror image. Above every fill stands what the networks were shown. Faces of CelebA are not to be published.
"""

import argparse
import sys
from pathlib import Path

import torch
from PIL import Image

from ngan.data import load_faces, to_float, to_uint8
from ngan.hub import EMBEDDED
from ngan.masks import MASK_KINDS, composite, make_masks
from ngan.model import NGAN


def contact_sheet(model: NGAN, faces: torch.Tensor, masks: torch.Tensor, columns: int = 8) -> Image.Image:
    """Draw corrupted faces, each with its fill below it.

    Args:
        model: fills them.
        faces: (N, 3, S, S), [-1, 1].
        masks: (N, 1, S, S), {0, 1}, 1 = missing.
        columns: faces a row.

    Returns:
        RGB, `columns` x S pixels wide.
    """
    size = faces.shape[-1]
    shown = faces * (1 - masks) + masks  # holes white
    filled = torch.cat([_fill(model, *pair) for pair in zip(faces.split(8), masks.split(8), strict=True)])
    rows = -(-len(faces) // columns)
    sheet = Image.new("RGB", (columns * size, 2 * rows * size), "white")
    for i, pair in enumerate(zip(to_uint8(shown), to_uint8(filled), strict=True)):
        for k, picture in enumerate(pair):
            tile = Image.fromarray(picture.permute(1, 2, 0).numpy())
            sheet.paste(tile, (i % columns * size, (2 * (i // columns) + k) * size))
    return sheet


@torch.inference_mode()
def _fill(model: NGAN, faces: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    image = model(faces, masks).image + model(faces.flip(3), masks.flip(3)).image.flip(3)
    return composite(faces, image / 2, masks)


def main(arguments: list[str] | None = None) -> int:
    """Draw and write; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--model", default=str(EMBEDDED), help="folder or Hub id; default: the embedded weights")
    parser.add_argument("--dataset", required=True, help="faces, as for python -m ngan evaluate")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--masks", choices=MASK_KINDS, default="center", help="kind of the holes (default: center)")
    parser.add_argument("--faces", type=int, default=64, help="how many (default: 64)")
    parser.add_argument("--output", type=Path, required=True, help="picture to write")
    options = parser.parse_args(arguments)
    try:
        if options.faces < 1:
            raise ValueError(f"--faces {options.faces}: must be at least 1")
        model = NGAN.from_pretrained(options.model).eval()
        size = model.image_size
        found = load_faces(options.dataset, options.split, image_size=size, limit=options.faces, in_memory=True)
        faces = to_float(torch.stack([found[i] for i in range(len(found))]))
        masks = make_masks(options.masks, len(faces), size, size, torch.Generator().manual_seed(0))
        contact_sheet(model, faces, masks).save(options.output)
    except (ValueError, OSError) as error:
        print(f"contact_sheet: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
