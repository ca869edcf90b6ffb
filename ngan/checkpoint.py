"""Training state on disk: safetensors and JSON only, complete or absent.

A checkpoint is the folder `checkpoint-0001234` (the number of updates made) with

    generators.safetensors, discriminators.safetensors   the weights, float32
    average.safetensors                                  the generators' moving average
    generators_adam.safetensors, discriminators_adam.safetensors   optimizer states, named `<parameter>.<state>`
    state.json      counters, the configuration and the SHA-256 of each file above, written last

It is written into a hidden temporary folder, flushed to the disk and then renamed, so that a kill leaves the old ones
only.
"""

import hashlib
import itertools
import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ngan.average import EMA
from ngan.disk import plain_os_errors, remove_whole, whole_folder
from ngan.strict import check_weights
from ngan.training import Networks, Optimizers

_STATES = ("generators", "discriminators", "average", "generators_adam", "discriminators_adam")
_NAME = re.compile(r"checkpoint-(\d{7,})")
_DAMAGE = (OSError, SafetensorError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError)
_LOG = logging.getLogger("ngan")
# Fields that say which networks there are, but for the critics' heads, which lambda_projected switches on.
_NETWORK_FIELDS = tuple(
    "code_width image_width patch blocks attention_every discriminator_width discriminator_patch embedding".split()
)
# Fields that may change at a resume without a word: the updates stay those of the uninterrupted run.
_FREE_FIELDS = frozenset(
    """output_dir num_workers cuda_graphs in_memory recipe init_from init_discriminators_from
    max_train_minutes resume_from_checkpoint checkpoint_every checkpoint_minutes checkpoints_keep log_every
    sample_every sample_faces evaluate_limit validation_split report_to half_precision_export push_to_hub
    hub_model_id hub_private hub_revision hub_strategy data_note license license_name license_link""".split()
)


@dataclass
class Counters:
    """How far a run has come, and what a later launch could not find out by itself.

    Attributes:
        step: updates made.
        images_seen: images of all processes.
        minutes: spent training, over all launches.
        pictures: of the training set, usable ones; 0 = not known: a stream, or an older checkpoint.
        critics_given: whether the critics started from the weights of others; None = an older checkpoint.
        license: of the weights that the run started from, as the card says it, none of new ones; None = as above.
        base_model: Hub id of those weights, "" = they are not of the Hub; None = as above.
    """

    step: int = 0
    images_seen: int = 0
    minutes: float = 0.0
    pictures: int = 0
    critics_given: bool | None = None
    license: dict[str, str] | None = None
    base_model: str | None = None


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
        config: fields of the configuration, and whatever else is to be compared at a resume.
        keep: checkpoints that stay.

    Returns:
        The folder.

    Raises:
        OSError: the disk is full or not writable; no earlier checkpoint is touched then.
    """
    final = output_dir / f"checkpoint-{counters.step:07d}"
    with whole_folder(final) as folder:
        _save(folder / "generators.safetensors", networks.generators.state_dict())
        _save(folder / "discriminators.safetensors", networks.discriminators.state_dict())
        _save(folder / "average.safetensors", average.average)
        _save(folder / "generators_adam.safetensors", _moments(networks.generators, optimizers.generators))
        _save(folder / "discriminators_adam.safetensors", _moments(networks.discriminators, optimizers.discriminators))
        sums = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
        state = {"counters": vars(counters), "config": config, "sha256": sums}
        (folder / "state.json").write_text(json.dumps(state, indent=2))
    for old in list_checkpoints(output_dir)[:-keep]:
        if old != final:  # after a resume from an earlier one, the newest in time is not the highest in number
            remove_whole(old)
    return final


def check_finite(networks: Networks, step: int) -> None:
    """Refuse weights that the latest update broke, after which every loss would be NaN.

    Raises:
        FloatingPointError: naming the first such weight and the step.
    """
    weights = [*networks.generators.named_parameters(), *networks.discriminators.named_parameters()]
    finite = torch.stack([weight.isfinite().all() for _, weight in weights]).tolist()
    for (name, _), good in zip(weights, finite, strict=True):
        if not good:
            raise FloatingPointError(f"{name} is not finite after step {step}: lower the learning rate")


def list_checkpoints(output_dir: Path) -> list[Path]:
    """Return the checkpoint folders of a run, oldest first."""
    return sorted((path for path in output_dir.glob("checkpoint-*") if _NAME.fullmatch(path.name)), key=_step_of)


def _step_of(checkpoint: Path) -> int:
    return int(_NAME.fullmatch(checkpoint.name)[1])


def set_aside_later(output_dir: Path, step: int) -> list[Path]:
    """Rename the checkpoints of a run after `step` to `<name>-abandoned`: "latest" is of the run that goes on from it.

    Returns:
        The new names.
    """
    later = [path for path in list_checkpoints(output_dir) if _step_of(path) > step]
    return [path.rename(_unused(path.with_name(f"{path.name}-abandoned"))) for path in later]


def _unused(path: Path) -> Path:
    """Return the path, or the first of path-2, path-3 and so on that does not exist."""
    names = (path.with_name(f"{path.name}-{i}") if i > 1 else path for i in itertools.count(1))
    return next(name for name in names if not name.exists())


def load_checkpoint(
    folder: Path, networks: Networks, optimizers: Optimizers, average: EMA, config: dict[str, Any] | None = None
) -> Counters:
    """Restore a checkpoint into the bare modules, their optimizers and the average.

    Args:
        folder: the checkpoint.
        networks: the bare modules.
        optimizers: their optimizers.
        average: the generators' moving average.
        config: what `save_checkpoint` would keep of the run that goes on; a warning names what it changes. None = not
            compared.

    Returns:
        How far the run had come.

    Raises:
        ValueError: a damaged checkpoint, or one of other networks; nothing was changed then.
    """
    try:
        state = json.loads((folder / "state.json").read_text())
        changed = [name for name, known in state.get("sha256", {}).items() if _sha256(folder / name) != known]
        if changed:
            raise OSError(f"{', '.join(changed)}: not as it was written")
        loaded = {name: load_file(folder / f"{name}.safetensors") for name in _STATES}
        counters = Counters(**state["counters"])
        before = state["config"]
        before = {"optimizer": "adam", "discriminator_optimizer": "adam"} | before  # older ones do not say
    except _DAMAGE as error:
        raise ValueError(f"checkpoint {folder} is damaged: {error}") from error
    _check_networks(folder, before, config or {})
    check_weights(networks.generators, loaded["generators"], f"{folder}/generators.safetensors")
    check_weights(networks.discriminators, loaded["discriminators"], f"{folder}/discriminators.safetensors")
    check_weights(networks.generators, loaded["average"], f"{folder}/average.safetensors")
    changed = [
        f"{name} {value!r} -> {config[name]!r}"
        for name, value in before.items()
        if config and name not in _FREE_FIELDS and config.get(name, value) != value
    ]
    if changed:
        _LOG.warning("%s was made with other settings, the run goes on with the new: %s", folder, ", ".join(changed))
    networks.generators.load_state_dict(loaded["generators"])
    networks.discriminators.load_state_dict(loaded["discriminators"])
    for name, tensor in loaded["average"].items():
        average.average[name].copy_(tensor)
    same = {name: not config or config.get(name) == before[name] for name in ("optimizer", "discriminator_optimizer")}
    if same["optimizer"]:  # else its moments start anew
        _restore(networks.generators, optimizers.generators, loaded["generators_adam"])
    if same["discriminator_optimizer"]:
        _restore(networks.discriminators, optimizers.discriminators, loaded["discriminators_adam"])
    return counters


def is_resumed(output_dir: Path, which: str) -> bool:
    """Tell whether a run loads a checkpoint or ends: not if it is to start anew, and if "latest" finds a fresh one."""
    return which != "" and (which != "latest" or bool(list_checkpoints(output_dir)))


def resume(
    output_dir: Path,
    which: str,
    networks: Networks,
    optimizers: Optimizers,
    average: EMA,
    config: dict[str, Any] | None = None,
) -> Counters:
    """Restore the checkpoint that a configuration names.

    Args:
        output_dir: folder of the run.
        which: "latest", or a checkpoint's folder, or its name below `output_dir`.
        networks: the bare modules.
        optimizers: their optimizers.
        average: the generators' moving average.
        config: as for `load_checkpoint`.

    Returns:
        How far the run had come; zeros when "latest" finds a fresh run.

    Raises:
        ValueError: the named checkpoint is missing, damaged or of other networks; or "latest" finds only such; or it
            lies elsewhere, and `output_dir` holds checkpoints, which the run would remove as older ones of its own.
    """
    own = list_checkpoints(output_dir)
    if which != "latest":
        folder = Path(which) if Path(which).is_dir() else output_dir / which
        if not folder.is_dir():
            raise ValueError(f"resume_from_checkpoint={which!r}: no such folder, here or below {output_dir}")
        within = list_checkpoints(folder)
        if within:
            raise ValueError(
                f"resume_from_checkpoint={which!r}: the folder of a run, not of a checkpoint; give one of those in "
                f"it, such as {within[-1]}, or latest for the newest one of output_dir"
            )
        if not (folder / "state.json").is_file() and (folder / "model.safetensors").is_file():
            raise ValueError(
                f"resume_from_checkpoint={which!r}: the folder of a model, not of a checkpoint; --init_from {which} "
                "starts a new run from its weights"
            )
        if own and folder.resolve().parent != output_dir.resolve():
            raise ValueError(
                f"resume_from_checkpoint={which!r}: {output_dir} holds checkpoints of its own, such as "
                f"{own[-1].name}; give another output_dir, or one of those"
            )
        return load_checkpoint(folder, networks, optimizers, average, config)
    for folder in reversed(own):
        try:
            return load_checkpoint(folder, networks, optimizers, average, config)
        except ValueError as error:
            _LOG.warning("%s; trying the one before", error)
            reason = error
    if own:
        raise ValueError(f"resume_from_checkpoint='latest': none of {len(own)} checkpoints fits; {reason}")
    return Counters()


def _check_networks(folder: Path, before: dict[str, Any], config: dict[str, Any]) -> None:
    """Refuse to go on with other networks by their settings, which say more than thousands of weights would."""
    other = [name for name in _NETWORK_FIELDS if config.get(name, before.get(name)) != before.get(name)]
    heads = "lambda_projected"
    if config and (before.get(heads, 0) > 0) != (config.get(heads, 0) > 0):
        other.append(heads)
    if other:
        had, has = (", ".join(f"{name}={fields.get(name)}" for name in other) for fields in (before, config))
        advice = " ".join(f"--{name} {before.get(name)}" for name in other)
        raise ValueError(
            f"checkpoint {folder} is of other networks: it has {had}, this run {has}; give {advice} to go on from it, "
            "or another output_dir"
        )


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _save(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    with plain_os_errors(path):
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)


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
                # a fused optimizer counts its steps on the device
                key: value.to(parameter.device)
                if key == "step"
                else torch.empty_like(parameter, memory_format=like).copy_(value)
                for key, value in own.items()
            }


def _bare(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Return the optimizer inside Accelerate's wrapper, or itself."""
    return getattr(optimizer, "optimizer", optimizer)
