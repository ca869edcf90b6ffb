"""Models that are read from a folder or the Hub whole, or refused by name."""

import json
import os
from pathlib import Path
from typing import Any

import httpx2
import torch
from huggingface_hub import PyTorchModelHubMixin, constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, RemoteEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ngan.hub import split_revision


class StrictHubMixin(PyTorchModelHubMixin):
    """`from_pretrained` that refuses whatever does not fit, by name, and reads safetensors only."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> "StrictHubMixin":
        """Load a model from a folder or the Hub, in evaluation mode, float32.

        Args:
            pretrained_model_name_or_path: a folder that `save_pretrained` wrote, or a Hub id, "organisation/name" or
                "organisation/name@revision".
            **kwargs: as of `PyTorchModelHubMixin.from_pretrained`: revision, cache_dir, token, local_files_only,
                force_download, map_location; subfolder, of the folder or the repository; and arguments of the
                constructor, which go over the stored ones.

        Raises:
            FileNotFoundError: no such folder, or nothing of this kind in it.
            ValueError: a configuration or weights that do not fit, naming what is missing, unexpected or misshapen.
            ConnectionError: the download broke off, again and again.
            huggingface_hub.errors.HfHubHTTPError: the Hub has no such model or does not answer.
        """
        source, revision = split_revision(str(pretrained_model_name_or_path))
        if Path(source).is_file():
            raise FileNotFoundError(f"{source} is a file; give the folder it lies in, {Path(source).parent}")
        if not Path(source).is_dir() and (source.startswith((".", "~", os.sep)) or source.count("/") > 1):
            raise FileNotFoundError(f"{source}: no such folder, and not a Hub id, which reads organisation/name")
        if revision is not None and kwargs.setdefault("revision", revision) != revision:
            raise ValueError(f"{source}@{revision}: revision={kwargs['revision']!r} says otherwise; give one")
        try:
            if kwargs.get("subfolder"):  # the mixin would take arguments from another class's config.json, one up
                defaults = dict.fromkeys(("revision", "cache_dir", "token"))
                defaults |= dict.fromkeys(("force_download", "local_files_only"), False)
                return cls._from_pretrained(model_id=source, **(defaults | kwargs))
            return super().from_pretrained(source, **kwargs)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{source}/{constants.CONFIG_NAME} is not JSON: {error}") from error
        except AttributeError as error:  # the mixin takes whatever JSON holds for a dictionary
            raise ValueError(f"{source}/{constants.CONFIG_NAME} is not a JSON object") from error

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        map_location: str = "cpu",
        strict: bool = True,
        subfolder: str = "",
        **model_kwargs: Any,
    ) -> "StrictHubMixin":
        if not strict:
            raise ValueError("strict=False: weights that do not fit are always refused; leave strict out")

        def fetch(name: str) -> Path:
            if Path(model_id).is_dir():
                path = Path(model_id) / subfolder / name
                if not path.is_file():
                    raise FileNotFoundError(
                        f"{Path(model_id, subfolder)} holds no {name}: not a folder written by "
                        f"{cls.__name__}.save_pretrained"
                    )
                return path
            try:
                return Path(
                    hf_hub_download(
                        repo_id=model_id,
                        filename=name,
                        subfolder=subfolder or None,
                        revision=revision,
                        cache_dir=cache_dir,
                        force_download=force_download,
                        token=token,
                        local_files_only=local_files_only,
                    )
                )
            except RemoteEntryNotFoundError as error:
                raise FileNotFoundError(
                    f"{model_id} on the Hub holds no {name}: not a model of {cls.__name__}"
                ) from error
            except HfHubHTTPError:
                raise
            except httpx2.HTTPError as error:  # after the client's own retries
                raise ConnectionError(
                    f"{model_id}: the download of {name} broke off ({error}); another try goes on where it stopped"
                ) from error

        config = json.loads(fetch(constants.CONFIG_NAME).read_text())
        try:
            with torch.device("meta"):  # no memory is taken before the weights are known to fit
                model = cls(**{**config, **model_kwargs})
        except TypeError as error:
            raise ValueError(f"{model_id}/{constants.CONFIG_NAME} does not fit {cls.__name__}: {error}") from error
        try:
            weights = load_file(fetch(constants.SAFETENSORS_SINGLE_FILE), device=map_location)
        except SafetensorError as error:
            raise ValueError(
                f"{model_id}/{constants.SAFETENSORS_SINGLE_FILE} is not a whole safetensors file: {error}"
            ) from error
        check_weights(model, weights, model_id)
        model.to_empty(device=map_location).load_state_dict(weights)
        return model.eval()


def check_weights(model: nn.Module, weights: dict[str, torch.Tensor], source: str) -> None:
    """Refuse weights that are not exactly those of `model`.

    Args:
        model: what the weights are for.
        weights: tensors by name, as in a state dict.
        source: where they came from, for the message.

    Raises:
        ValueError: naming the missing, unexpected, misshapen and non-finite tensors.
    """
    own = model.state_dict()
    shapes = [
        f"{k} {tuple(weights[k].shape)} instead of {tuple(own[k].shape)}"
        for k in own
        if k in weights and weights[k].shape != own[k].shape
    ]
    found = {
        "missing": sorted(own.keys() - weights.keys()),
        "unexpected": sorted(weights.keys() - own.keys()),
        "of another shape": shapes,
        "not finite": [k for k in own if k in weights and not weights[k].isfinite().all()],
    }
    problems = [f"{what}: {', '.join(names)}" for what, names in found.items() if names]
    if problems:
        raise ValueError(f"{source} does not fit {type(model).__name__}; weights {'; '.join(problems)}")
