"""Writes a trained model in the Hub's own layout: NGAN at the top, its critics in a folder below."""

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ngan.card import write_card
from ngan.checkpoint import Counters
from ngan.config import TrainConfig
from ngan.disk import plain_os_errors, whole_folder
from ngan.model import NGAN, NGANDiscriminators
from ngan.start import CRITICS


def export_run(
    folder: Path,
    generators: NGAN,
    discriminators: NGANDiscriminators | None,
    config: TrainConfig,
    counters: Counters,
    result: dict[str, Any] | None,
    grid: Image.Image | None,
) -> None:
    """Write both models, the card with the run's own numbers, and the picture grid; all of it or nothing.

    Args:
        folder: gets NGAN; its subfolder `CRITICS` gets the critics.
        generators: with the weights to publish.
        discriminators: the critics as they are; None = they have learned nothing, and are left out.
        config: of the run; `half_precision_export` writes float16.
        counters: how far the run had come.
        result: what `ngan.evaluation.evaluate` returned, or None.
        grid: the sample pictures, or None.

    Raises:
        OSError: the disk is full or not writable; an earlier export is untouched then.
    """
    with whole_folder(folder) as new:
        for model, path in ((generators, new), (discriminators, new / CRITICS)):
            if model is None:
                continue
            dtype = next(model.parameters()).dtype
            own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            with plain_os_errors(path):
                model.to(torch.float16 if config.half_precision_export else dtype).save_pretrained(path)
            model.to(dtype).load_state_dict(own)  # what was rounded for the file goes on unrounded
        if grid is not None:
            grid.save(new / "samples.png")
        if result is not None:
            (new / "results.json").write_text(json.dumps(result, indent=2) + "\n")
        write_card(new, generators, config, counters, result)
