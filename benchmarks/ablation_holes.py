"""Holes by the share of the picture that they cover: NVIDIA's irregular masks from a file, or free-form ones drawn."""

import logging
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from ngan.masks import freeform_masks

# (low, high] shares of the picture, as Liu et al. 2018 sort their test masks.
BINS = ((0.01, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.5), (0.5, 0.6))


def bin_name(low: float, high: float) -> str:
    """Return the name of a bin in results and tables, such as "10-20 %"."""
    return f"{100 * low:.0f}-{100 * high:.0f} %"


def holes_by_ratio(path: Path | None, size: int, each: int = 200, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return stored holes by bin, (K, 1, size, size), {0, 1}, 1 = missing.

    Args:
        path: .npz with `masks` (N, S, S / 8) uint8, bits packed along the last axis, 1 = hole, and `bin` (N,), the
            index in `BINS`; resized to `size` by nearest neighbour. None = free-form holes are drawn.
        size: side of the pictures, in pixels.
        each: holes a bin that are drawn.
        seed: of the drawing.

    Raises:
        ValueError: a file that cannot be read or holds something else.
    """
    return _drawn(size, each, seed) if path is None else _read(path, size)


def _drawn(size: int, each: int, seed: int) -> dict[str, torch.Tensor]:
    """Lay free-form holes over one another until their share is above a bin's lower end; keep those in the bin."""
    generator = torch.Generator().manual_seed(seed)
    holes: dict[str, torch.Tensor] = {}
    for low, high in BINS:
        kept: list[torch.Tensor] = []
        while len(kept) < each:
            mask = freeform_masks(1, size, size, generator)
            while mask.mean() <= low:
                mask = torch.maximum(mask, freeform_masks(1, size, size, generator))
            if mask.mean() <= high:
                kept.append(mask)
        holes[bin_name(low, high)] = torch.cat(kept)
    return holes


def _read(path: Path, size: int) -> dict[str, torch.Tensor]:
    try:
        with np.load(path, allow_pickle=False) as file:
            packed, index = file["masks"], file["bin"]
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"irregular_masks={path}: not a readable .npz with masks and bin ({error})") from error
    if packed.dtype != np.uint8 or packed.ndim != 3 or packed.shape[1] != 8 * packed.shape[2]:
        raise ValueError(
            f"irregular_masks={path}: masks are {packed.dtype} {packed.shape}, expected uint8 (N, S, S/8)"
        )
    if index.shape != packed.shape[:1]:
        raise ValueError(f"irregular_masks={path}: bin is of shape {index.shape}, expected {packed.shape[:1]}")
    masks = torch.from_numpy(np.unpackbits(packed, axis=-1)).float().unsqueeze(1)
    if masks.shape[-1] != size:
        logging.info("%s: masks of %d pixels, resized to %d", path, masks.shape[-1], size)
        masks = F.interpolate(masks, size=(size, size), mode="nearest-exact")
    chosen = {bin_name(*ends): masks[torch.from_numpy(index == i)] for i, ends in enumerate(BINS)}
    return {name: stored for name, stored in chosen.items() if len(stored)}
