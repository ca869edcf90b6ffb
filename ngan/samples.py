"""Pictures of what both stages of a model make: for training logs, model cards and the README."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ngan.data import FaceSet, to_float, to_uint8
from ngan.masks import composite, make_masks
from ngan.model import NGAN

_CAPTIONS = ("corrupted", "code image", "location", "filled", "truth")


def sample_grid(
    model: NGAN, images: torch.Tensor, masks: torch.Tensor | None, damaged: torch.Tensor | None = None
) -> Image.Image:
    """Draw what both stages make of some images: a row each of corrupted, code image, location, filled and truth.

    Args:
        model: the nested generators; left in the mode it came in.
        images: (N, 3, H, W), [-1, 1], the truth.
        masks: (N, 1, H, W), {0, 1}, 1 = missing, shown grey; None = the model is to find the damage of `damaged`.
        damaged: (N, 3, H, W), [-1, 1], what the model is given if `masks` is None.

    Returns:
        An RGB picture with a caption over each column; small images are enlarged to cells of at least 96 pixels.

    Raises:
        ValueError: neither or both of `masks` and `damaged`.
    """
    if (masks is None) == (damaged is None):
        raise ValueError("sample_grid: give either masks or damaged")
    device = next(model.parameters()).device
    images = images.to(device)
    if masks is None:
        given = damaged.to(device)
    else:
        masks = masks.to(device)
        given = composite(images, torch.zeros_like(images), masks)
    with frozen(model):
        output = model(given, masks)
    location = output.location.sigmoid()
    code = composite(given, output.code_image, location if masks is None else masks)
    columns = [given, code, (2 * location - 1).expand_as(images), output.composite, images]
    cells = to_uint8(torch.stack(columns, dim=1))  # (N, 5, 3, H, W)
    return _draw_grid(cells.permute(0, 1, 3, 4, 2).cpu().numpy())


def fixed_grid(model: NGAN, faces: FaceSet | torch.Tensor, rows: int) -> Image.Image:
    """Draw what a model makes of the first of some faces under holes that never change, to follow a training.

    Args:
        model: the nested generators.
        faces: uint8 (3, S, S) each.
        rows: faces to show, if there are as many.
    """
    n, size, kinds = min(rows, len(faces)), faces[0].shape[-1], ("center", "box", "freeform", "wide")
    images = to_float(torch.stack([faces[i] for i in range(n)]))
    masks = [make_masks(kinds[i % len(kinds)], 1, size, size, torch.Generator().manual_seed(i)) for i in range(n)]
    return sample_grid(model, images, torch.cat(masks))


@contextmanager
def frozen(model: NGAN) -> Iterator[None]:
    """Put the model into eval mode, float32 (TF32 is not), without gradients, and back again."""
    training, tf32 = model.training, (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
    model.eval()
    allow_tf32(False, False)
    try:
        with torch.no_grad(), torch.autocast(next(model.parameters()).device.type, enabled=False):
            yield
    finally:
        model.train(training)
        allow_tf32(*tf32)


def allow_tf32(convolutions: bool, products: bool) -> None:
    """Say whether a GPU may round the inputs of float32 convolutions, of matrix products, to 10 bits of mantissa."""
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = convolutions, products


def _draw_grid(cells: np.ndarray) -> Image.Image:
    """Lay uint8 (rows, 5, H, W, 3) out under the captions."""
    rows, columns, height, width, _ = cells.shape
    scale, gap, header = max(1, -(-96 // width)), 2, 18
    height, width = height * scale, width * scale
    grid = Image.new("RGB", (columns * (width + gap) + gap, header + rows * (height + gap)), "white")
    draw, font = ImageDraw.Draw(grid), ImageFont.load_default(12)
    for column, caption in enumerate(_CAPTIONS):
        left = gap + column * (width + gap)
        draw.text((left + width // 2, header // 2), caption, fill="black", font=font, anchor="mm")
        for row in range(rows):
            cell = Image.fromarray(cells[row, column]).resize((width, height), Image.Resampling.NEAREST)
            grid.paste(cell, (left, header + row * (height + gap)))
    return grid
