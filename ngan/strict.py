"""Models that are read from a folder or the Hub whole, or refused by name."""

import contextlib
import json
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, ModelCard, PyTorchModelHubMixin, constants
from huggingface_hub.errors import RemoteEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ngan.devices import usable_device
from ngan.hub import check_hub_id, download, located, no_folder_either, split_revision
from ngan.merging import CARD, license_in

_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # of weights that are read, into float32
_NAMED = 4  # weights named of each kind of problem; the others are counted


class StrictHubMixin(PyTorchModelHubMixin):
    """`from_pretrained` that refuses whatever does not fit, by name, and reads safetensors only."""

    _card: dict[str, str | None] | None = None  # where on the Hub the card of the weights is, if it was not read yet
    _terms: dict[str, str] = {}  # the license of the weights, as a card's front matter names it

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        revision: str | None = None,
        subfolder: str | None = None,
        map_location: str | torch.device | None = "cpu",
        strict: bool = True,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        **arguments: Any,
    ) -> "StrictHubMixin":
        """Load a model from a folder or the Hub, in evaluation mode, float32.

        The mixin's own method is not called: it would read another class's config.json above a subfolder, and let the
        client's errors through.

        Args:
            pretrained_model_name_or_path: a folder that `save_pretrained` wrote, a Hub id, "organisation/name" or
                "organisation/name@revision", or the name of a model that comes with the package.
            revision: branch, tag or commit of the Hub's repository; None = main.
            subfolder: of the folder or the repository.
            map_location: the device that the weights are put on; None = "cpu".
            strict: must be true.
            cache_dir, token, local_files_only, force_download: as of `huggingface_hub.hf_hub_download`.
            **arguments: of the constructor, which go over the stored ones.

        Raises:
            FileNotFoundError: no such folder, or nothing of this kind in it.
            ValueError: a configuration or weights that do not fit, naming what is missing, unexpected, misshapen or of
                another type; or a device that is not there.
            ConnectionError: the download broke off, again and again.
            huggingface_hub.errors.HfHubHTTPError: the Hub has no such model or does not answer.
        """
        if not strict:
            raise ValueError("strict=False: weights that do not fit are always refused; leave strict out")
        device = usable_device(map_location or "cpu", "map_location")
        subfolder = subfolder or ""
        source, named = split_revision(located(str(pretrained_model_name_or_path)))
        if Path(source).is_file() and source.endswith(".onnx"):
            raise FileNotFoundError(f"{source} is an exported file, which backend='onnx' runs; here give a folder")
        if Path(source).is_file():
            raise FileNotFoundError(f"{source} is a file; give the folder it lies in, {Path(source).parent}")
        check_hub_id(source)
        if named is not None and (revision or named) != named:
            raise ValueError(f"{source}@{named}: revision={revision!r} says otherwise; give one")

        def fetch(name: str) -> Path:
            if Path(source).is_dir():
                path = Path(source) / subfolder / name
                if not path.is_file():
                    raise FileNotFoundError(
                        f"{Path(source, subfolder)} holds no {name}: not a folder written by "
                        f"{cls.__name__}.save_pretrained{_model_of_run(source)}"
                    )
                return path
            try:
                with no_folder_either(source):
                    return download(
                        source,
                        name,
                        revision=named or revision,
                        subfolder=subfolder or None,
                        cache_dir=cache_dir,
                        token=token,
                        local_files_only=local_files_only,
                        force_download=force_download,
                    )
            except RemoteEntryNotFoundError as error:
                raise FileNotFoundError(
                    f"{source} on the Hub holds no {name}: not a model of {cls.__name__}"
                ) from error

        config = _read_config(fetch(constants.CONFIG_NAME), f"{source}/{constants.CONFIG_NAME}")
        try:
            with torch.device("meta"):  # no memory is taken before the weights are known to fit
                model = cls(**{**config, **arguments})
        except (TypeError, ValueError) as error:
            reason = f"{source}/{constants.CONFIG_NAME} does not fit {cls.__name__}: {error}{_model_of_run(source)}"
            raise ValueError(reason) from error
        path = fetch(constants.SAFETENSORS_SINGLE_FILE)
        try:
            weights = load_file(path)
        except SafetensorError as error:
            raise ValueError(
                f"{source}/{constants.SAFETENSORS_SINGLE_FILE} is not a whole safetensors file: {error}"
            ) from error
        check_weights(model, weights, source)
        model.to_empty(device="cpu").load_state_dict(weights)
        if (path.parent / CARD).is_file():
            model._terms = _license_in(path.parent / CARD)
        elif not Path(source).is_dir():
            model._card = {"source": source, "revision": named or revision, "subfolder": subfolder or None}
        return model.to(device).eval()

    def generate_model_card(self, *arguments: Any, **named: Any) -> ModelCard:
        """Return the card that `save_pretrained` writes where there is none, with the license that the weights had
        where they came from, if a card there can be read and names one; on the Hub it is asked for now."""
        card = super().generate_model_card(*arguments, **named)
        if self._card is not None:
            with contextlib.suppress(OSError):  # the Hub has no card there, or does not answer
                self._terms, self._card = _license_in(download(name=CARD, **self._card)), None
        for name, value in self._terms.items():
            setattr(card.data, name, value)
        return card

    def push_to_hub(self, repo_id: str, *, ignore_patterns: list[str] | str | None = None, **options: Any) -> str:
        """Push to the Hub as the mixin does; a card that is there stays as people, or a training, wrote it.

        Args:
            repo_id: "organisation/name"; made if it is not there.
            ignore_patterns: names of files that are not sent.
            **options: as of `huggingface_hub.PyTorchModelHubMixin.push_to_hub`.

        Returns:
            The address of the commit.
        """
        ignored = [ignore_patterns] if isinstance(ignore_patterns, str) else list(ignore_patterns or [])
        token, branch = options.get("token"), options.get("branch")
        if HfApi(token=token).file_exists(repo_id, CARD, revision=branch):
            ignored.append(CARD)
        return super().push_to_hub(repo_id, ignore_patterns=ignored or None, **options)


def check_weights(model: nn.Module, weights: dict[str, torch.Tensor], source: str) -> None:
    """Refuse weights that are not exactly those of `model`.

    Args:
        model: what the weights are for.
        weights: tensors by name, as in a state dict.
        source: where they came from, for the message.

    Raises:
        ValueError: naming the missing, unexpected, misshapen and non-finite tensors, and those of a type that is not
            one of floating point or too narrow; where they are many, the first ones and the number of the others.
    """
    own = model.state_dict()
    known = {name: weights[name] for name in own if name in weights}
    found = {
        "missing": sorted(own.keys() - weights.keys()),
        "unexpected": sorted(weights.keys() - own.keys()),
        "of another shape": [
            f"{name} {tuple(tensor.shape)} instead of {tuple(own[name].shape)}"
            for name, tensor in known.items()
            if tensor.shape != own[name].shape
        ],
        "of another type": [
            f"{name} {str(tensor.dtype).removeprefix('torch.')}"
            for name, tensor in known.items()
            if tensor.dtype not in _TYPES and tensor.dtype != own[name].dtype  # counts are whole numbers
        ],
        "not finite": [
            name for name, tensor in known.items() if tensor.dtype in _TYPES and not tensor.float().isfinite().all()
        ],
    }
    problems = [f"{what}: {_some(names)}" for what, names in found.items() if names]
    if problems:
        raise ValueError(f"{source} does not fit {type(model).__name__}; weights {'; '.join(problems)}")


def _model_of_run(source: str) -> str:
    """Name a finished run's model, to follow an error, where `source` is the run's folder or a checkpoint in it."""
    path = Path(source)
    run = path.parent if (path / "state.json").is_file() else path
    model = run / "model"
    return f"; the model of this run is {model}" if (model / constants.CONFIG_NAME).is_file() else ""


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED:,} more"


def _license_in(card: Path) -> dict[str, str]:
    """The license that a card names; none where it cannot be read."""
    try:
        return license_in(card.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _read_config(path: Path, name: str) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # of JSON, UTF-8, numbers of thousands of digits, endless brackets
        raise ValueError(f"{name} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{name} is not a JSON object")
    return config
