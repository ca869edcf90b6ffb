"""Writes a trained model in the Hub's own layout, NGAN at the top and its critics below, and pushes it."""

import json
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HTTPError
from huggingface_hub.utils import validate_repo_id
from PIL import Image

from ngan.card import write_card
from ngan.checkpoint import Counters
from ngan.config import TrainConfig
from ngan.disk import plain_os_errors, whole_folder
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
    """Write both models, the card with the run's own numbers, and the picture grid; all of it or nothing.

    Args:
        folder: gets NGAN; its subfolder `discriminators` gets the critics.
        generators: with the weights to publish.
        discriminators: the critics as they are.
        config: of the run; `half_precision_export` writes float16.
        counters: how far the run had come.
        result: what `ngan.evaluation.evaluate` returned, or None.
        grid: the sample pictures, or None.

    Raises:
        OSError: the disk is full or not writable; an earlier export is untouched then.
    """
    with whole_folder(folder) as new:
        for model, path in ((generators, new), (discriminators, new / "discriminators")):
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


def check_push(repo_id: str) -> None:
    """Refuse to push without a token or to what cannot be a Hub id, before any work is done.

    Raises:
        ValueError: there is no token on this machine, or the id is malformed.
    """
    if repo_id:
        try:
            validate_repo_id(repo_id)
        except ValueError as error:
            raise ValueError(f"push_to_hub={repo_id!r}: not a Hub id such as org/name ({error})") from error
    if repo_id and not get_token():
        raise ValueError(f"push_to_hub={repo_id!r}: no Hub token here; run `hf auth login` or set HF_TOKEN")


def push_run(folder: Path, repo_id: str) -> str:
    """Push an exported folder, and nothing else of the run, as one commit; return the repository's address.

    Raises:
        ValueError: the Hub cannot be reached or refuses; the message says how to push later.
    """
    try:
        api = HfApi()
        address = api.create_repo(repo_id, exist_ok=True)
        api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Train NGAN")
    except (OSError, HTTPError) as error:  # a refusal of the Hub is an OSError too
        raise ValueError(
            f"push_to_hub={repo_id!r}: {error}; the model is complete in {folder}, push it with "
            f"`hf upload {repo_id} {folder}`"
        ) from error
    return str(address)
