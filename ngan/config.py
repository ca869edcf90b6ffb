"""`TrainConfig`, the one description of a training run: a frozen dataclass, a JSON file and `--field value`."""

import argparse
import collections
import dataclasses
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ngan import __version__
from ngan.comments import field_comments
from ngan.licenses import LICENSES, license_rule
from ngan.losses import DISTANCES
from ngan.masks import MASK_KINDS
from ngan.optimizers import OPTIMIZERS
from ngan.options import Parser, did_you_mean

RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    # Paper: MSE, binary cross-entropy, DCGAN-style training (so Adam), no EMA is named; the weight of the adversarial
    # terms is unknown, GLCIC's 4e-4 stands in.
    "paper": {
        "optimizer": "adam",
        "framing_jitter": 0.0,
        "local_zoom": 1.0,
        "distance": "mse",
        "hole_weight": 0.0,
        "lambda_coding": 1.0,
        "lambda_reconstruction": 1.0,
        "lambda_code_adversarial": 4e-4,
        "lambda_image_adversarial": 4e-4,
        "lambda_feature_matching": 0.0,
        "lambda_structure": 0.0,
        "r1_gamma": 0.0,
        "ema_half_life": 0.0,
    },
}

# The largest grids, in cells a side, of which the last convolution of the global and of the local critic reads one
# cell. On a CPU, in bfloat16, the gradient of its weights is then memory that nothing was written to (PyTorch 2.13).
_GLOBAL_CELL, _LOCAL_CELL = 16, 8
_AT_LEAST_1 = """code_width image_width patch discriminator_width discriminator_patch embedding batch_size
    gradient_accumulation_steps max_train_steps r1_every checkpoint_every checkpoints_keep log_every sample_faces"""
_AT_LEAST_0 = """blocks attention_every local_size hole_weight lambda_coding lambda_reconstruction
    lambda_location lambda_code_adversarial lambda_image_adversarial lambda_feature_matching lambda_projected
    lambda_perceptual lambda_structure r1_gamma max_train_minutes checkpoint_minutes
    generator_only_steps discriminator_only_steps warmup_steps ema_half_life seed sample_every evaluate_limit
    framing_jitter"""
# What a count may be at most: more would be a slip, and end in no such process, no such number of batches.
_AT_MOST = {
    "num_workers": 1024,
    "batch_size": 65_536,
    "gradient_accumulation_steps": 1_000_000,
    "max_train_steps": 1_000_000_000,
    "seed": 2**32 - 1,  # NumPy takes no more
}
_PATHS = ("dataset", "output_dir", "init_from", "init_discriminators_from", "resume_from_checkpoint")


@dataclass(frozen=True)
class TrainConfig:
    """Everything a run needs to be told; immutable, checked when made. Its comments are what --help says.

    Raises:
        ValueError: a value that no run can use, with its name and the rule.
    """

    # data
    dataset: str = ""  # Hub id, as org/name[@revision], folder of pictures, parquet or `save_to_disk` folder
    dataset_config_name: str = ""  # configuration (subset) of the data set; "" = its default or only one
    output_dir: str = ""  # where checkpoints, samples, metrics and the model go
    split: str = "train"  # split to train on
    validation_split: str = "auto"  # of samples and final table; "auto" = validation, valid or val; "" = none
    image_column: str = ""  # column of the pictures; "" = the only image column
    streaming: bool = False  # read the set as a stream, without a copy of it on disk
    # decode every picture once, into memory, in each process: image_size^2 * 3 bytes each, twice with framing_jitter
    in_memory: bool = True
    # loader processes, which also draw the damage; 0 = the training process draws it; -1 = 0 on a CPU, and up to 8 for
    # each GPU, as many as there are cores
    num_workers: int = -1
    recipe: str = "default"  # "default" or "paper": sets the losses below, unless they are given too
    # networks
    image_size: int = 128  # side of the training pictures, in pixels
    code_width: int = 32  # channels of the code generator at its finest grid
    image_width: int = 40  # channels of the image generator at its finest grid
    patch: int = 2  # side of a patch, in pixels
    blocks: int = 8  # residual blocks of the image generator
    attention_every: int = 4  # blocks between self-attentions; 0 = none
    discriminator_width: int = 32  # channels of each critic's first convolution
    discriminator_patch: int = 1  # side of a patch that each critic reads as one place, in pixels
    embedding: int = 256  # values that each branch hands to the joint head
    local_size: int = 0  # side of the local discriminator's window, in pixels; 0 = half the image
    # how many times the window of small damage, 1.5 times as wide as that, may be enlarged to this side; 1 = not
    local_zoom: float = 3.0
    # NGAN folder or Hub id to start from: networks as above, or on smaller patches, of which `patch` is a multiple
    init_from: str = ""
    # the same for the critics and `discriminator_patch`; "" = those in init_from, "none" = new ones
    init_discriminators_from: str = ""
    # share of init_from's image generator in the exported one, the rest from the run's average (WiSE-FT), in [0, 1]
    init_share: float = 0.0
    # damage
    # how far seven in ten faces may be off their framing: 1 = 18 % in size, 6 % of the side, 8 degrees; 0 = none
    framing_jitter: float = 1.0
    look_share: float = 0.0  # share of the faces shown faded, dark, black and white or tinted, in [0, 1]
    masks: str = "mixed"  # kind of hole, as in ngan.masks
    find_share: float = 0.33  # share of the batches whose mask is hidden from the networks, in [0, 1]
    # share of their faces in one tone, damage included, whose damage has soft edges, in [0, 1]; needs look_share
    soft_share: float = 0.0
    line_share: float = 0.0  # share of all of them with scratches in another tone over their damage, in [0, 1]
    # losses
    distance: str = "l1"  # of the reconstructions: "l1" or "mse"
    hole_weight: float = (
        6.0  # of the hole against the known pixels in a reconstruction; 0 = plain mean over all pixels
    )
    lambda_coding: float = 0.5  # reconstruction of the code image
    lambda_reconstruction: float = 1.0  # reconstruction of the final image
    lambda_location: float = 1.0  # location map
    lambda_code_adversarial: float = 0.05  # fooling the code discriminator
    lambda_image_adversarial: float = 0.25  # fooling the joint head
    lambda_feature_matching: float = 1.5  # features of the three critics
    # fooling the heads of two critics on ImageNet features, for which ngan.features names a package; 0 = no heads
    lambda_projected: float = 0.0
    lambda_perceptual: float = 0.0  # distance of those features to the truth's, while the critics take part
    lambda_structure: float = 3.0  # 1 - SSIM of the composite's windows over the hole
    r1_gamma: float = 0.1  # gradient penalty on real images; 0 = none
    r1_every: int = 16  # steps between penalties, each weighted by this number
    # schedule
    batch_size: int = 16  # images a process and step, before accumulation
    # batches an update; in all but its last, the generators meet the critics as they were before it
    gradient_accumulation_steps: int = 1
    max_train_steps: int = 100_000  # updates in all
    # of training, all launches together, after which it finishes the step, saves, evaluates and ends; 0 = no limit
    max_train_minutes: float = 0.0
    generator_only_steps: int = 3000  # first phase: reconstruction only
    discriminator_only_steps: int = 200  # second phase: critics only; then all five networks
    optimizer: str = "muon"  # of both generators: "muon" (inner matrices; Adam for the rest) or "adam"
    learning_rate: float = 5e-4  # of both generators
    discriminator_optimizer: str = "adam"  # of all three critics: "muon" or "adam"
    discriminator_learning_rate: float = 1e-3  # of all three critics
    beta1: float = 0.9  # of the generators' Adam
    discriminator_beta1: float = 0.5  # of the critics' Adam
    warmup_steps: int = 300  # updates over which both learning rates rise from 0
    schedule: str = (
        "cosine"  # "cosine" falls to 0 over max_train_steps, "minutes" over max_train_minutes, "constant" stays
    )
    ema_half_life: float = 10.0  # of the generators' average, in thousand images; 0 = no average
    # run
    seed: int = 0  # of everything random
    # "bf16" or "no"; losses and EMA are always float32; so is R1, its convolutions in TF32 on a GPU with "bf16"
    mixed_precision: str = "bf16"
    compile: bool = False  # run the networks through torch.compile: minutes at the start, and slower on a CPU
    cuda_graphs: bool = True  # on one GPU, without accumulation: record each kind of update once, then replay it
    resume_from_checkpoint: str = ""  # "latest" or a checkpoint folder; "" = start anew
    checkpoint_every: int = 1000  # updates
    checkpoint_minutes: float = 10.0  # of training after which one is written all the same; 0 = by updates alone
    checkpoints_keep: int = 2  # newest ones that stay
    log_every: int = 50  # updates
    sample_every: int = 1000  # updates between picture grids; 0 = none
    sample_faces: int = 8  # rows of the picture grid
    evaluate_limit: int = 0  # validation faces of the final table; 0 = all
    report_to: str = "tensorboard"  # tracker: tensorboard, wandb, trackio or none
    half_precision_export: bool = False  # write the final weights as float16
    push_to_hub: bool = False  # push the result to the Hub
    hub_model_id: str = ""  # where to: organisation/name, or a name of one's own
    hub_private: bool = False  # make a private repository; one that is there and public is refused
    hub_revision: str = ""  # branch to push to, made if need be; "" = main
    hub_strategy: str = "end"  # "end" pushes the result; "checkpoint" each checkpoint too, with optimizer states
    data_note: str = ""  # what the card says of the data and its terms, Markdown
    # of the weights, as the Hub spells it, such as "mit"; "" = that of init_from, non-commercial research where the
    # data set is called CelebA, else none
    license: str = ""
    license_name: str = ""  # of a license that the Hub has no word for, with license "other"
    license_link: str = ""  # where that one's text is: an address, or LICENSE, a file of the repository

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if field.type is float:
                self._check(field.name, math.isfinite(getattr(self, field.name)), "finite")
        for name in _AT_LEAST_1.split():
            self._check(name, getattr(self, name) >= 1, "at least 1")
        for name in _AT_LEAST_0.split():
            self._check(name, getattr(self, name) >= 0, "at least 0")
        self._check("num_workers", self.num_workers >= -1, "at least -1")
        for name in ("learning_rate", "discriminator_learning_rate"):
            self._check(name, 0 < getattr(self, name) < 1, "between 0 and 1")
        for name in ("beta1", "discriminator_beta1"):
            self._check(name, 0 <= getattr(self, name) < 1, "in [0, 1)")
        self._check(
            "image_size",
            self.image_size >= 16 and self.image_size % (4 * self.patch) == 0,
            f"a multiple of 4 x patch = {4 * self.patch}, from 16",
        )
        for name, most in _AT_MOST.items():
            self._check(name, getattr(self, name) <= most, f"at most {most:,}")
        self._check("local_size", self.local_size <= self.image_size, f"at most image_size = {self.image_size}")
        if self.mixed_precision == "bf16":
            for name, side, cells in (
                ("image_size", self.image_size, _GLOBAL_CELL),
                ("local_size", self.window, _LOCAL_CELL),
            ):
                most = cells * self.discriminator_patch
                rule = f"above {cells} x discriminator_patch = {most}, or mixed_precision no instead of bf16"
                self._check(name, side > most, rule)
        self._check("local_zoom", 1 <= self.local_zoom <= 8, "in [1, 8]")
        for name in ("init_share", "look_share", "find_share", "soft_share", "line_share"):
            self._check(name, 0 <= getattr(self, name) <= 1, "in [0, 1]")
        if self.soft_share:
            self._check("soft_share", self.look_share > 0, "0 without look_share")
        if self.init_share:
            self._check("init_share", self.init_from != "", "0 without init_from")
        self._check("framing_jitter", self.framing_jitter <= 2, "at most 2")
        choices = {
            "recipe": tuple(RECIPES),
            "distance": DISTANCES,
            "masks": MASK_KINDS,
            "optimizer": OPTIMIZERS,
            "discriminator_optimizer": OPTIMIZERS,
            "schedule": ("cosine", "minutes", "constant"),
            "mixed_precision": ("bf16", "no"),
            "report_to": ("tensorboard", "wandb", "trackio", "none"),
            "hub_strategy": ("end", "checkpoint"),
        }
        for name, allowed in choices.items():
            self._check(name, getattr(self, name) in allowed, f"one of {', '.join(allowed)}")
        if self.push_to_hub:
            self._check("hub_model_id", self.hub_model_id != "", "the Hub id to push to, such as org/name")
        else:
            self._check("hub_private", not self.hub_private, "false without push_to_hub")
            self._check("hub_strategy", self.hub_strategy == "end", "'end' without push_to_hub")
            named = not self.hub_revision or self.hub_model_id != ""  # the card then names both
            self._check("hub_revision", named, "empty without push_to_hub or hub_model_id")
        self._check("license", not self.license or self.license in LICENSES, license_rule(self.license))
        for name in ("license_name", "license_link"):
            self._check(name, not getattr(self, name) or self.license == "other", "empty unless license is 'other'")
        if self.license == "other":
            self._check("license_name", self.license_name != "", "the license's own name where license is 'other'")
        if self.schedule == "minutes":
            self._check("max_train_minutes", self.max_train_minutes > 0, "above 0 for schedule=minutes")

    def _check(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ValueError(f"{name}={getattr(self, name)!r}: must be {rule}")

    @property
    def window(self) -> int:
        """Side of the local discriminator's window, in pixels."""
        return self.local_size or self.image_size // 2

    @property
    def uses_features(self) -> bool:
        """Whether a loss reads the features of `ngan.features.ImageFeatures`."""
        return self.lambda_projected > 0 or self.lambda_perceptual > 0

    def to_json(self) -> str:
        """Return the JSON text that `--config` reads."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


def parse_config(arguments: list[str] | None = None) -> tuple[TrainConfig, bool]:
    """Read a command line: `--field value` goes over `--config FILE`, over the recipe's values, over the defaults.

    A `--recipe` of the command line itself goes over the file: a run's own config.json holds every field.

    Args:
        arguments: words of the command line; None = those of this process.

    Returns:
        The configuration, and whether `--dry-run` was given.

    Raises:
        ValueError: an unknown or impossible value, or a configuration file that is not one.
        SystemExit: an unknown option, as argparse does.
    """
    parser = Parser(
        usage="%(prog)s --dataset PATH_OR_ID --output_dir DIR [--FIELD VALUE ...] [--config FILE] [--dry-run]",
        description="Train NGAN: face inpainting by a nested GAN.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", help="JSON file of the fields below")
    parser.add_argument("--version", action="version", version=f"ngan {__version__}")
    parser.add_argument("--dry-run", action="store_true", help="check and print the configuration, then stop")
    fields = {field.name: field for field in dataclasses.fields(TrainConfig)}
    comments, groups = field_comments(TrainConfig), {}
    for name, field in fields.items():
        heading, explained = comments.get(name, ("fields", ""))
        if heading not in groups:
            groups[heading] = parser.add_argument_group(heading)
        told = f"{explained} (default: {field.default!r})".strip().replace("%", "%%")
        about = {"default": None, "metavar": field.type.__name__, "help": told}
        if field.type is bool:  # --name alone says true
            groups[heading].add_argument(f"--{name}", type=_parse_bool, nargs="?", const=True, **about)
        else:
            groups[heading].add_argument(f"--{name}", type=field.type, **about)
    given = {k: v for k, v in vars(parser.parse_args(arguments)).items() if v is not None}
    path, dry_run = given.pop("config", None), given.pop("dry_run")
    values = _read_config(Path(path), fields) if path else {}
    if "recipe" in given:
        values |= _recipe(given["recipe"])
    else:
        values = _recipe(values.get("recipe", "default")) | values
    values |= given
    # A shell replaces ~ at the start of a word only: neither in --output_dir=~/x nor in a file.
    homes = {name: os.path.expanduser(values[name]) for name in _PATHS if values.get(name, "").startswith("~")}
    return TrainConfig(**{**values, **homes}), dry_run


def _recipe(name: str) -> dict[str, Any]:
    """Return the value that a recipe has for each field that any of them sets."""
    defaults = TrainConfig()
    touched = {field: getattr(defaults, field) for recipe in RECIPES.values() for field in recipe}
    return touched | RECIPES.get(name, {})


def _read_config(path: Path, fields: dict[str, dataclasses.Field]) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows' editors put a mark in front
        values = json.loads(text, object_pairs_hook=_without_repeats)
    except OSError as error:
        raise ValueError(f"--config {path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"--config {path}: not text in UTF-8 ({error.reason} at byte {error.start})") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"--config {path}: not JSON ({error})") from error
    except ValueError as error:
        raise ValueError(f"--config {path}: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"--config {path}: holds {type(values).__name__}, must be an object of fields")
    unknown = sorted(values.keys() - fields.keys())
    if unknown:
        question = did_you_mean(unknown, {name: name for name in fields})
        raise ValueError(f"--config {path}: unknown field {', '.join(unknown)}{question}")
    for name, value in values.items():
        kind = fields[name].type
        if kind is float and type(value) is int:
            values[name] = float(value) if abs(value) < 1e300 else math.inf  # which no field may be
        elif type(value) is not kind:
            raise ValueError(f"--config {path}: {name}={value!r} must be of type {kind.__name__}")
    return values


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    counts = collections.Counter(name for name, _ in pairs)
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"gives {', '.join(repeated)} more than once")
    return dict(pairs)


def _parse_bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() == "true"
