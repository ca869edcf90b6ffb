"""Training state on disk: safetensors and JSON only, complete or absent.

A checkpoint is the folder `checkpoint-0001234` (the number of updates made) with

    generators.safetensors, discriminators.safetensors   the weights, float32
    average.safetensors                                  the generators' moving average
    generators_adam.safetensors, discriminators_adam.safetensors   Adam's moments, named `<parameter>.<moment>`
    state.json                                           counters and the configuration, written last

It is written into a hidden temporary folder, flushed to the disk and then renamed, so that a kill leaves the old ones
only.
"""

import json
import logging
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ngan.model import check_weights
from ngan.training import EMA, Networks, Optimizers

_NAME = re.compile(r"checkpoint-(\d{7})")
_LOG = logging.getLogger("ngan")


@dataclass
class Counters:
    """How far a run has come.

    Attributes:
        step: updates made.
        images_seen: images of all processes.
        minutes: spent training, over all launches.
    """

    step: int = 0
    images_seen: int = 0
    minutes: float = 0.0


def save_checkpoint(
    output_dir: Path,
    networks: Networks,
    optimizers: Optimizers,
    average: EMA,
    counters: Counters,
    config: dict[str, Any],
    keep: int,
) -> Path:
    """Write `checkpoint-<step>` below `output_dir` and remove all others but those of the highest `keep` steps.

    Args:
        output_dir: folder of the run.
        networks: the bare modules, not wrapped for several processes.
        optimizers: their optimizers.
        average: the generators' moving average.
        counters: how far the run has come.
        config: fields of the configuration, to be kept beside the weights.
        keep: checkpoints that stay.

    Returns:
        The folder.

    Raises:
        OSError: the disk is full or not writable; no earlier checkpoint is touched then.
    """
    final = output_dir / f"checkpoint-{counters.step:07d}"
    output_dir.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".checkpoint-", dir=output_dir))
    try:
        _save(temporary / "generators.safetensors", networks.generators.state_dict())
        _save(temporary / "discriminators.safetensors", networks.discriminators.state_dict())
        _save(temporary / "average.safetensors", average.average)
        _save(temporary / "generators_adam.safetensors", _moments(networks.generators, optimizers.generators))
        _save(
            temporary / "discriminators_adam.safetensors", _moments(networks.discriminators, optimizers.discriminators)
        )
        state = {"counters": vars(counters), "config": config}
        (temporary / "state.json").write_text(json.dumps(state, indent=2))
        for path in temporary.iterdir():
            _flush(path)
        if final.exists():
            shutil.rmtree(final)
        os.rename(temporary, final)
        _flush(output_dir)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for old in list_checkpoints(output_dir)[:-keep]:
        if old != final:  # after a resume from an earlier one, the newest in time is not the highest in number
            shutil.rmtree(old)
    return final


def list_checkpoints(output_dir: Path) -> list[Path]:
    """Return the checkpoint folders of a run, oldest first."""
    return sorted(path for path in output_dir.glob("checkpoint-*") if _NAME.fullmatch(path.name))


def load_checkpoint(folder: Path, networks: Networks, optimizers: Optimizers, average: EMA) -> Counters:
    """Restore a checkpoint into the bare modules, their optimizers and the average.

    Returns:
        How far the run had come.

    Raises:
        ValueError: a damaged checkpoint, or one of other networks; nothing was changed then.
    """
    try:
        state = json.loads((folder / "state.json").read_text())
        names = ("generators", "discriminators", "average", "generators_adam", "discriminators_adam")
        loaded = {name: load_file(folder / f"{name}.safetensors") for name in names}
        counters = Counters(**state["counters"])
    except (OSError, SafetensorError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"checkpoint {folder} is damaged: {error}") from error
    check_weights(networks.generators, loaded["generators"], f"{folder}/generators.safetensors")
    check_weights(networks.discriminators, loaded["discriminators"], f"{folder}/discriminators.safetensors")
    check_weights(networks.generators, loaded["average"], f"{folder}/average.safetensors")
    networks.generators.load_state_dict(loaded["generators"])
    networks.discriminators.load_state_dict(loaded["discriminators"])
    for name, tensor in loaded["average"].items():
        average.average[name].copy_(tensor)
    _restore(networks.generators, optimizers.generators, loaded["generators_adam"])
    _restore(networks.discriminators, optimizers.discriminators, loaded["discriminators_adam"])
    return counters


def resume(output_dir: Path, which: str, networks: Networks, optimizers: Optimizers, average: EMA) -> Counters:
    """Restore the checkpoint that a configuration names.

    Args:
        output_dir: folder of the run.
        which: "latest", or a checkpoint's folder, or its name below `output_dir`.
        networks: the bare modules.
        optimizers: their optimizers.
        average: the generators' moving average.

    Returns:
        How far the run had come; zeros when "latest" finds a fresh run.

    Raises:
        ValueError: the named checkpoint is missing, damaged or of other networks; or "latest" finds only such.
    """
    if which != "latest":
        folder = Path(which) if Path(which).is_dir() else output_dir / which
        if not folder.is_dir():
            raise ValueError(f"resume_from_checkpoint={which!r}: no such folder, here or below {output_dir}")
        return load_checkpoint(folder, networks, optimizers, average)
    candidates = list_checkpoints(output_dir)
    for folder in reversed(candidates):
        try:
            return load_checkpoint(folder, networks, optimizers, average)
        except ValueError as error:
            _LOG.warning("%s; trying the one before", error)
            reason = error
    if candidates:
        raise ValueError(f"resume_from_checkpoint='latest': none of {len(candidates)} checkpoints fits; {reason}")
    return Counters()


def _save(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _moments(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    names = {parameter: name for name, parameter in module.named_parameters()}
    states = _bare(optimizer).state
    return {f"{names[p]}.{key}": torch.as_tensor(value) for p, state in states.items() for key, value in state.items()}


def _restore(module: nn.Module, optimizer: torch.optim.Optimizer, moments: dict[str, torch.Tensor]) -> None:
    bare = _bare(optimizer)
    for name, parameter in module.named_parameters():
        own = {key.removeprefix(f"{name}."): value for key, value in moments.items() if key.rpartition(".")[0] == name}
        if own:
            like = torch.preserve_format
            bare.state[parameter] = {
                key: value if key == "step" else torch.empty_like(parameter, memory_format=like).copy_(value)
                for key, value in own.items()
            }


def _bare(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Return the optimizer inside Accelerate's wrapper, or itself."""
    return getattr(optimizer, "optimizer", optimizer)
