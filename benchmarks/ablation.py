"""Train NGAN, its parts taken away, and GLCIC on the same data, holes, updates and seeds; measure all of them alike.

    python -m benchmarks.ablation --dataset PATH_OR_ID --max_train_steps 20000 --image_size 128 --seeds 0 1
    python -m benchmarks.ablation_table

Each variant (`benchmarks.ablation_variants`) is trained by `train_accelerate.main`, and so resumes from its last
checkpoint when this program is started again; a finished one, whose JSON is there, is skipped. Options other than
those below go to the training script, for all variants; a variant's own fields stand over them. Common to all: holes
are given (find_share 0), since a peer can do nothing else, the local critic's window is of one size (local_zoom 1), as
GLCIC's is, and there is no structure loss (lambda_structure 0), which would serve all of them; the phases take the
shares of the updates that GLCIC published (18 % generators alone, 2 % critics alone), unless options say otherwise.

The Frechet distance needs `pip install --no-deps facenet-pytorch==2.6.0`, or `--features none`.
"""

import argparse
import dataclasses
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

import train_accelerate
from benchmarks.ablation_costs import forward_costs, machine
from benchmarks.ablation_features import FEATURES
from benchmarks.ablation_holes import holes_by_ratio
from benchmarks.ablation_variants import PHASES, VARIANTS
from ngan.card import public
from ngan.checkpoint import list_checkpoints
from ngan.config import TrainConfig, parse_config
from ngan.damage import DAMAGE_KINDS
from ngan.data import FaceSet, load_faces
from ngan.evaluation import Features, evaluate
from ngan.masks import MIX
from ngan.off_frame import measure_off_frame
from ngan.reframing import source_size

HOLES = ("center", "box", "freeform")
# Shares of the mixed holes in results that do not tell them.
FIRST_MIX = {"center": 0.12, "box": 0.18, "feature": 0.25, "inner": 0.15, "freeform": 0.15, "wide": 0.15}
HOLES_A_BIN = 200  # that are drawn where no file of masks is given, as many as NVIDIA's file has
RESULTS = Path(__file__).parent / "ablation_results"
_OWN = ("output_dir", "seed", "resume_from_checkpoint", "push_to_hub", "validation_split", "evaluate_limit")
_PATHS = ("dataset", "init_from", "init_discriminators_from")  # a result tells only their last part
_NOT_COMPARED = ("output_dir", "resume_from_checkpoint", "num_workers", "in_memory", "log_every")


def main(arguments: list[str] | None = None) -> int:
    """Train and measure every variant at every seed, one after the other.

    Args:
        arguments: words of the command line; None = those of this process.

    Returns:
        The exit status: 0, 2 after an error, 128 + its number after a signal.
    """
    options, rest = _parse(arguments)
    try:
        for name in _OWN:
            if any(word == f"--{name}" or word.startswith(f"--{name}=") for word in rest):
                raise ValueError(f"--{name}: is set for each variant; leave it out")
        if options.limit < 0:
            raise ValueError(f"--limit {options.limit}: must be at least 0")
        features = FEATURES[options.features]()  # what is missing shows before hours of training
        for seed in options.seeds:
            for name in options.variants:
                status = _one(name, seed, options, rest, features)
                if status:
                    return status
        _write(options.results_dir / "costs.json", _costs(options.variants, rest))
    except (ValueError, OSError) as error:
        print(f"ablation: error: {error}", file=sys.stderr)
        return 2
    return 0


def variant_arguments(name: str, seed: int, folder: Path, rest: list[str]) -> list[str]:
    """Return the training script's words for a variant: common ones, then the user's, then the variant's own."""
    steps = round(parse_config(rest)[0].max_train_steps * VARIANTS[name].updates)
    common = {
        "find_share": 0.0,
        "local_zoom": 1.0,
        "lambda_structure": 0.0,
        "generator_only_steps": round(PHASES[0] * steps),
        "discriminator_only_steps": round(PHASES[1] * steps),
        "warmup_steps": min(TrainConfig.warmup_steps, steps // 20),
        "sample_every": 0,
        "checkpoint_every": max(1, min(TrainConfig.checkpoint_every, steps // 10)),
        "checkpoints_keep": 1,
        "report_to": "none",
    }
    own = {
        **VARIANTS[name].fields,
        "max_train_steps": steps,
        "seed": seed,
        "output_dir": folder,
        "validation_split": "",
        "resume_from_checkpoint": "latest",
    }
    return [*_words(common), *rest, *_words(own)]


def _one(name: str, seed: int, options: argparse.Namespace, rest: list[str], features: dict[str, Features]) -> int:
    """Train and measure one variant at one seed, as far as it is not done yet; return an exit status."""
    folder = options.output_dir / f"{name}-seed{seed}"
    result_path = options.results_dir / f"{name}-seed{seed}.json"
    arguments = variant_arguments(name, seed, folder, rest)
    config, _ = parse_config(arguments)
    if result_path.exists():
        before = json.loads(result_path.read_text())
        _check_same(before["config"], config, result_path)
        if config.masks == "mixed" and before.get("mix", FIRST_MIX) != MIX:
            raise ValueError(
                f"{result_path} was made with other shares of mixed holes; remove it or take other folders"
            )
        print(f"{name}, seed {seed}: done before", file=sys.stderr)
        return 0
    if (folder / "config.json").exists():
        _check_same(json.loads((folder / "config.json").read_text()), config, folder)
    print(f"{name}, seed {seed}: training", file=sys.stderr)
    status = train_accelerate.main(arguments, networks=VARIANTS[name].networks)
    if status:
        return status
    shutil.rmtree(folder / "model", ignore_errors=True)  # its card would call every variant an NGAN
    checkpoint = list_checkpoints(folder)[-1]
    generators = _trained(name, config, checkpoint)
    counters = json.loads((checkpoint / "state.json").read_text())["counters"]
    sizes = config.image_size, source_size(config.image_size, 1.0)
    faces, larger = (
        load_faces(
            config.dataset,
            options.validation_split,
            image_size=size,
            column=config.image_column or None,
            limit=options.limit or None,
            in_memory=True,
            progress=False,
        )
        for size in sizes
    )
    result = {
        "variant": name,
        "title": VARIANTS[name].title,
        "seed": seed,
        "differs": VARIANTS[name].fields,
        "training": {"updates": counters["step"], "images": counters["images_seen"], "minutes": counters["minutes"]},
        "machine": machine(),
        "mix": MIX if config.masks == "mixed" else None,
        "split": options.validation_split,
        "features": options.features,
        "irregular_masks": options.irregular_masks.name if options.irregular_masks else "drawn free-form holes",
        "evaluation": measure(generators, faces, larger, config, options.irregular_masks, features),
        "config": {key: public(value) if key in _PATHS else value for key, value in _plain(config).items()},
    }
    _write(result_path, result)
    return 0


def measure(
    generators: nn.Module,
    faces: FaceSet,
    larger: FaceSet,
    config: TrainConfig,
    irregular_masks: Path | None,
    features: dict[str, Features],
) -> dict[str, Any]:
    """Measure generators with the project's own evaluation: by kind of hole, aligned and off frame, by share of the
    hole, and mask-free.

    Args:
        generators: of any variant.
        faces: validation faces.
        larger: the same, at `ngan.reframing.source_size`, for those off their frame.
        config: of the run; without `find_share` the mask-free mode is not measured.
        irregular_masks: as in `benchmarks.ablation_holes.holes_by_ratio`.
        features: by name, for Frechet distances over each kind of holes.

    Returns:
        As `ngan.evaluation.evaluate`, with the bins under `ratios`, each on as many faces as it has holes.
    """
    damages = DAMAGE_KINDS if config.find_share else ()
    device = "cuda" if _has_cuda() else "cpu"
    kinds = evaluate(generators, faces, masks=HOLES, damages=damages, peers=(), features=features, device=device)
    kinds["masks"] |= measure_off_frame(generators, larger, config.image_size, peers=(), device=device)
    holes = holes_by_ratio(irregular_masks, config.image_size, HOLES_A_BIN)
    limit = max(map(len, holes.values()))  # each hole once
    ratios = evaluate(
        generators, faces, masks=(), damages=(), peers=(), stored_masks=holes, limit=limit, device=device
    )
    for table in (kinds["masks"], ratios["masks"]):
        for entry in table.values():
            del entry["code_image"]  # only NGAN has one
    return {**kinds, "ratios": ratios["masks"]}


def _trained(name: str, config: TrainConfig, checkpoint: Path) -> nn.Module:
    generators = VARIANTS[name].networks(config)[0]
    try:
        generators.load_state_dict(load_file(checkpoint / "average.safetensors"))
    except SafetensorError as error:
        raise ValueError(f"{checkpoint}/average.safetensors: {error}; remove {checkpoint} and start again") from error
    return generators


def _costs(names: list[str], rest: list[str]) -> dict[str, Any]:
    configs = {name: parse_config(variant_arguments(name, 0, Path("-"), rest))[0] for name in names}
    generators = {name: VARIANTS[name].networks(config)[0] for name, config in configs.items()}
    size = configs[names[0]].image_size
    return {"image_size": size, "machine": machine(), "networks": forward_costs(generators, size)}


def _check_same(before: dict[str, Any], config: TrainConfig, where: Path) -> None:
    """Refuse to go on with, or to skip for, what another configuration made."""
    now = _plain(config)
    for key in before.keys() & now.keys() - set(_NOT_COMPARED):
        if public(str(now[key])) != public(str(before[key])):
            raise ValueError(
                f"{where} was made with {key}={before[key]!r}, now it is {now[key]!r}; remove it or take other folders"
            )


def _plain(config: TrainConfig) -> dict[str, Any]:
    left_out = ("output_dir", "resume_from_checkpoint", "push_to_hub", "data_note")
    return {key: value for key, value in dataclasses.asdict(config).items() if key not in left_out}


def _words(fields: dict[str, Any]) -> list[str]:
    return [word for key, value in fields.items() for word in (f"--{key}", str(value))]


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(temporary, path)


def _has_cuda() -> bool:
    return machine()["device"] != "CPU"


def _parse(arguments: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="Any other option is one of train_accelerate.py, for all variants.",
        allow_abbrev=False,
    )
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="INT", help="default: 0")
    parser.add_argument("--output_dir", type=Path, default=Path("runs/ablation"), help="gets a run's folder each")
    parser.add_argument("--results_dir", type=Path, default=RESULTS, help="gets a JSON each")
    parser.add_argument("--validation_split", default="validation", help="split to measure on (default: validation)")
    parser.add_argument("--limit", type=int, default=0, help="faces to measure on; 0 = all (default)")
    parser.add_argument("--irregular_masks", type=Path, help=".npz of packed masks by bin; default: drawn ones")
    parser.add_argument(
        "--features", choices=FEATURES, default="onet", help="for the Frechet distance (default: onet)"
    )
    return parser.parse_known_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
