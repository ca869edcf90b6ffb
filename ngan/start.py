"""How the networks of a run start: new, from a model's weights, or from those of a model on smaller patches.

On larger patches a cell of the grid stands for more pixels, so a model of 128-pixel faces becomes the start of one of
256-pixel faces that costs nearly the same arithmetic.
"""

import contextlib
import dataclasses
import logging
from collections.abc import Iterator

import torch
from huggingface_hub.errors import LocalEntryNotFoundError

from ngan.config import TrainConfig
from ngan.discriminators import HEADS
from ngan.features import ImageFeatures, load_features
from ngan.model import NGAN, NGANDiscriminators

CRITICS = "discriminators"  # folder of the critics within that of a model
_POSITION_CHANNELS = 2  # that `ngan.layers.coordinates` adds to what a network reads
_IMAGE_CHANNELS = 3
_CODE_READS = _IMAGE_CHANNELS + 1 + _POSITION_CHANNELS  # image, mask
_IMAGE_READS = 2 * _IMAGE_CHANNELS + 1 + _POSITION_CHANNELS  # image, code, mask
# Options that say which networks there are, but for patches and heads, by the names that models have for them.
_OPTIONS = {name: name for name in ("code_width", "image_width", "blocks", "attention_every", "embedding")}
_OPTIONS["width"] = "discriminator_width"
_logger = logging.getLogger(__name__)


def make_networks(config: TrainConfig) -> tuple[NGAN, NGANDiscriminators]:
    """Build the networks of a configuration, warm-started where it says so, in channels_last.

    Raises:
        ValueError: weights to start from that cannot be had, or belong to other networks.
    """
    torch.manual_seed(config.seed)
    generators, discriminators = _build(config)
    if config.init_from:
        _start_from(generators, config.init_from, "init_from")
    critics = config.init_discriminators_from
    if critics not in ("", "none"):
        subfolder = _critics_of(critics, "init_discriminators_from")
        _start_from(discriminators, critics, "init_discriminators_from", subfolder)
    elif config.init_from and critics == "":
        if _critics_of(config.init_from, "init_from") == CRITICS:
            _start_from(discriminators, config.init_from, "init_from", CRITICS)
        else:
            _logger.warning("init_from=%r holds no critics: these start anew", config.init_from)
    return generators.to(memory_format=torch.channels_last), discriminators.to(memory_format=torch.channels_last)


def critics_given(config: TrainConfig) -> bool:
    """Tell whether a configuration's critics start from the weights of others; raises as `make_networks` does."""
    if config.init_discriminators_from:
        return config.init_discriminators_from != "none"
    return config.init_from != "" and _critics_of(config.init_from, "init_from") == CRITICS


def without_start(config: TrainConfig) -> TrainConfig:
    """Return the configuration by which to build networks that a checkpoint is loaded into.

    All that they start from is in it, and its source may be gone by now; only `init_share` reads that again, at the
    end: better to hear now that it cannot.
    """
    init_from = config.init_from if config.init_share else ""
    return dataclasses.replace(config, init_from=init_from, init_discriminators_from="none")


def _build(config: TrainConfig) -> tuple[NGAN, NGANDiscriminators]:
    generators = NGAN(
        code_width=config.code_width,
        image_width=config.image_width,
        patch=config.patch,
        blocks=config.blocks,
        attention_every=config.attention_every,
        image_size=config.image_size,
    )
    discriminators = NGANDiscriminators(
        width=config.discriminator_width,
        embedding=config.embedding,
        projected=config.lambda_projected > 0,
        patch=config.discriminator_patch,
    )
    return generators, discriminators


def make_features(config: TrainConfig, device: torch.device) -> ImageFeatures | None:
    """Build the frozen network that a configuration's losses read, on a device; None if none does.

    Raises:
        ValueError: its weights are not installed.
    """
    if not config.uses_features:
        return None
    features = load_features().to(device)
    return features.in_bfloat16() if config.mixed_precision == "bf16" else features


def _critics_of(source: str, field: str) -> str:
    """Return in which folder of `source` critics are: `CRITICS`, beside a model, or "", itself."""
    with _named(field, source):
        try:
            NGANDiscriminators.from_pretrained(source, subfolder=CRITICS)
        except LocalEntryNotFoundError:
            raise  # the Hub does not answer: it may well hold critics
        except FileNotFoundError:
            return ""
    return CRITICS


@contextlib.contextmanager
def _named(field: str, source: str) -> Iterator[None]:
    """Put the field before what an error within the block says: the Hub client's own words name no model."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise ValueError(f"{field}={source!r}: {error}") from error


def check_networks(config: TrainConfig) -> None:
    """Refuse what the networks cannot be built of, before any work is done.

    Raises:
        ValueError: the network's own words.
    """
    with torch.device("meta"):
        _build(config)


def _start_from(module: NGAN | NGANDiscriminators, source: str, field: str, subfolder: str = "") -> None:
    weights = _weights_for(module, source, field, subfolder)
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{field}={source!r}: its networks differ from the configuration's: {error}") from error


def _weights_for(
    module: NGAN | NGANDiscriminators, source: str, field: str, subfolder: str = ""
) -> dict[str, torch.Tensor]:
    """Return the weights of a folder or Hub id, on the patches of `module`."""
    with _named(field, source):
        given = type(module).from_pretrained(source, subfolder=subfolder)
        _check_alike(given, module)
        if isinstance(module, NGANDiscriminators):
            weights = grow_critics_patch(given, module.code.patch)
            return _with_own_heads(module, weights, field, source)
        return grow_patch(given, module.code_generator.patch)


def _check_alike(given: NGAN | NGANDiscriminators, module: NGAN | NGANDiscriminators) -> None:
    """Refuse weights of other networks by their settings, which say more than a hundred names of weights would."""
    had, has = given._hub_mixin_config, module._hub_mixin_config  # what the mixin writes to config.json
    other = [name for name in _OPTIONS if name in has and had.get(name) != has[name]]
    if other:
        there, here = (", ".join(f"{_OPTIONS[name]}={of.get(name)}" for name in other) for of in (had, has))
        advice = " ".join(f"--{_OPTIONS[name]} {had.get(name)}" for name in other)
        raise ValueError(f"is of other networks: it has {there}, this run {here}; give {advice} to start from it")


def _with_own_heads(
    module: NGANDiscriminators, weights: dict[str, torch.Tensor], field: str, source: str
) -> dict[str, torch.Tensor]:
    """Return given weights; heads on frozen features that only one of both has are new, or are left."""
    own = module.state_dict()
    missing, more = (
        {name for name in a if HEADS in name and name not in b} for a, b in ((own, weights), (weights, own))
    )
    if missing:
        _logger.warning("%s=%r: its critics have no heads on ImageNet features: these start anew", field, source)
    if more:
        _logger.warning("%s=%r: its critics' heads on ImageNet features are left (lambda_projected=0)", field, source)
    return {**{name: own[name] for name in missing}, **{name: weights[name] for name in weights.keys() - more}}


@torch.no_grad()
def blend_with_start(generators: NGAN, config: TrainConfig) -> None:
    """Move the image generator `config.init_share` of the way back to what it started from (Wortsman et al. 2022).

    An adversarial phase sharpens at the cost of PSNR and SSIM; between the weights before and after it lie some that
    keep most of both. The code generator stays: the location map it learned has no such cost.
    """
    if config.init_share:
        start = _weights_for(generators, config.init_from, "init_from")
        for name, tensor in generators.image_generator.state_dict().items():
            tensor.lerp_(start[f"image_generator.{name}"].to(tensor), config.init_share)


def grow_patch(model: NGAN, patch: int) -> dict[str, torch.Tensor]:
    """Return a model's weights for patches of another size, before any training at it.

    A layer that reads patches sees the mean of each block of pixels that stands for one of before; one that writes
    them gives all pixels of a block the same value. So a picture enlarged by nearest neighbour is filled as the small
    one was, enlarged, but for the positions of the pixels, which lie a little closer to the border.

    Args:
        model: whose weights to take.
        patch: side of the new patches, in pixels; a multiple of the model's own.

    Returns:
        A state dict for an `NGAN` of this `patch` and otherwise the same arguments.

    Raises:
        ValueError: a patch that is no multiple.
    """
    own = model.code_generator.patch
    factor, weights = _growth(patch, own), model.state_dict()
    code, image = "code_generator", "image_generator"
    for name, channels in (
        (f"{code}.stem", _CODE_READS),
        (f"{code}.location.conv1", _CODE_READS),
        (f"{image}.stem", _IMAGE_READS),
    ):
        weight = weights[f"{name}.weight"]
        features = weight.shape[1] - channels * own**2  # come first, are not of pixels
        read = _read_means(weight[:, features:], channels, own, factor)
        weights[f"{name}.weight"] = torch.cat([weight[:, :features], read], dim=1)
    for name in (f"{code}.up2", f"{code}.location.read", f"{image}.head"):
        for part in ("weight", "bias"):
            pixels = weights[f"{name}.{part}"].unflatten(0, (-1, own, own))
            weights[f"{name}.{part}"] = _enlarge(pixels, 1, factor).flatten(0, 2)
    return weights


def grow_critics_patch(critics: NGANDiscriminators, patch: int) -> dict[str, torch.Tensor]:
    """Return critics' weights for patches of another size: of a picture enlarged by nearest neighbour they think what
    they thought of the small one.

    Args:
        critics: whose weights to take.
        patch: side of the new patches, in pixels; a multiple of their own.

    Returns:
        A state dict for `NGANDiscriminators` of this `patch` and otherwise the same arguments.

    Raises:
        ValueError: a patch that is no multiple.
    """
    own = critics.code.patch
    factor, weights = _growth(patch, own, "discriminator_patch"), critics.state_dict()
    for critic in ("code", "global_", "local"):
        name = f"{critic}.convs.0.weight"
        weights[name] = _read_means(weights[name], _IMAGE_CHANNELS, own, factor)
    return weights


def _growth(patch: int, own: int, name: str = "patch") -> int:
    if patch % own:
        raise ValueError(f"{name}={patch}: must be a multiple of the model's own, {own}")
    return patch // own


def _read_means(weight: torch.Tensor, channels: int, own: int, factor: int) -> torch.Tensor:
    """Spread (C_out, channels x own x own, k, k) over patches `factor` times as wide; it sees their blocks' means."""
    return (_enlarge(weight.unflatten(1, (channels, own, own)), 2, factor) / factor**2).flatten(1, 3)


def _enlarge(tensor: torch.Tensor, dim: int, factor: int) -> torch.Tensor:
    """Repeat each entry of the two dimensions from `dim` on."""
    return tensor.repeat_interleave(factor, dim).repeat_interleave(factor, dim + 1)
