"""Writes a trained model in the Hub's own layout, NGAN at the top and its critics below, and pushes it."""

import json
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, get_token
from PIL import Image

from ngan.card import write_card
from ngan.checkpoint import Counters
from ngan.config import TrainConfig
from ngan.model import NGAN, NGANDiscriminators


def export_run(
    folder: Path,
    generators: NGAN,
    discriminators: NGANDiscriminators,
    config: TrainConfig,
    counters: Counters,
    result: dict[str, Any] | None,
    grid: Image.Image | None,
) -> None:
    """Write both models, the card with the run's own numbers, and the picture grid.

    Args:
        folder: gets NGAN; its subfolder `discriminators` gets the critics.
        generators: with the weights to publish.
        discriminators: the critics as they are.
        config: of the run; `half_precision_export` writes float16.
        counters: how far the run had come.
        result: what `ngan.evaluation.evaluate` returned, or None.
        grid: the sample pictures, or None.
    """
    for model, path in ((generators, folder), (discriminators, folder / "discriminators")):
        dtype = next(model.parameters()).dtype
        own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        model.to(torch.float16 if config.half_precision_export else dtype).save_pretrained(path)
        model.to(dtype).load_state_dict(own)  # what was rounded for the file goes on unrounded
    if grid is not None:
        grid.save(folder / "samples.png")
    if result is not None:
        (folder / "results.json").write_text(json.dumps(result, indent=2) + "\n")
    write_card(folder, generators, config, counters, result)


def check_push(repo_id: str) -> None:
    """Refuse to push without a token, before any work is done.

    Raises:
        ValueError: there is no token on this machine.
    """
    if repo_id and not get_token():
        raise ValueError(f"push_to_hub={repo_id!r}: no Hub token here; run `hf auth login` or set HF_TOKEN")


def push_run(folder: Path, repo_id: str) -> str:
    """Push an exported folder, and nothing else of the run, as one commit; return the repository's address."""
    api = HfApi()
    address = api.create_repo(repo_id, exist_ok=True)
    api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Train NGAN")
    return str(address)
