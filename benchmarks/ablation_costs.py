"""What a network costs: parameters, floating-point operations, milliseconds a picture, seconds an update.

    python -m benchmarks.ablation_costs --variants ngan single glcic --image_size 128 --batch_size 16 --minutes 240

prints seconds an update of each variant, and the updates that all of them can make in `--minutes` together.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.ablation_variants import VARIANTS
from benchmarks.single_stage import count
from ngan.config import TrainConfig, parse_config
from ngan.draws import make_batch
from ngan.start import make_features
from ngan.training import Networks, make_optimizers, train_step


def machine() -> dict[str, Any]:
    """Return what a figure of speed depends on: device, processor, cores this process may use, threads, torch."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return {
        "device": device,
        "processor": _processor(),
        "cores": cores,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def forward_costs(generators: dict[str, nn.Module], image_size: int, rounds: int = 20) -> dict[str, dict[str, float]]:
    """Measure generators side by side, a picture at a time, in float32.

    Args:
        generators: by name; called as `NGAN` is, with a mask.
        image_size: side of the picture, in pixels.
        rounds: timings of each, taken in turns, so that a change of the machine's load meets all of them.

    Returns:
        By name: `parameters`, `gflops` of one picture (a multiplication and an addition count as two), `ms`, the
        median time of one picture.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    image = torch.zeros(1, 3, image_size, image_size, device=device)
    mask = torch.zeros(1, 1, image_size, image_size, device=device)
    mask[..., : image_size // 2] = 1
    costs: dict[str, dict[str, float]] = {}
    times: dict[str, list[float]] = {name: [] for name in generators}
    with torch.no_grad():
        for name, model in generators.items():
            model.to(device).eval()
            # the counter knows no fused attention of the CPU, only the matrix products that it stands for
            with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
                model(image, mask)
            costs[name] = {"parameters": count(model), "gflops": counter.get_total_flops() / 1e9}
        for _ in range(rounds):
            for name, model in generators.items():
                times[name].append(_timed(lambda model=model: model(image, mask)))
    return {name: {**cost, "ms": 1000 * statistics.median(times[name])} for name, cost in costs.items()}


def update_seconds(name: str, arguments: list[str], updates: int = 5) -> dict[str, float]:
    """Measure whole updates of a variant, all networks taking part, on noise; the median of `updates` after one.

    Args:
        name: of `VARIANTS`.
        arguments: words for `TrainConfig`.
        updates: how many are timed.

    Returns:
        `seconds` an update and `r1_seconds` of one with the lazy R1 penalty (equal where there is none).
    """
    variant = VARIANTS[name]
    config = _config(arguments, name)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    networks = Networks(
        *(network.to(device).train() for network in variant.networks(config)), make_features(config, device)
    )
    optimizers = make_optimizers(networks, config)
    generator = torch.Generator().manual_seed(config.seed)
    side = (config.batch_size, 3, config.image_size, config.image_size)
    batch = make_batch(2 * torch.rand(side, generator=generator) - 1, config, generator).to(device)

    def update(step: int) -> float:
        return _timed(lambda: train_step(networks, optimizers, batch, config, step, torch.Tensor.backward))

    first = config.generator_only_steps + config.discriminator_only_steps
    plain = (
        next(step for step in range(first, first + 2 + config.r1_every) if step % config.r1_every)
        if (config.r1_every > 1)
        else first
    )
    update(plain)
    seconds = statistics.median(update(plain) for _ in range(updates))
    with_r1 = update(-(-first // config.r1_every) * config.r1_every) if config.r1_gamma else seconds
    return {"seconds": seconds, "r1_seconds": with_r1}


def main(arguments: list[str] | None = None) -> int:
    """Print the seconds an update of each variant as JSON; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--updates", type=int, default=5, help="that are timed (default 5)")
    parser.add_argument("--minutes", type=float, default=0.0, help="of training, all variants together")
    options, rest = parser.parse_known_args(arguments)
    try:
        if options.updates < 1:
            raise ValueError(f"--updates {options.updates}: must be at least 1")
        config = _config(rest, options.variants[0])
        seconds = {}
        for name in options.variants:
            seconds[name] = update_seconds(name, rest, options.updates)
            print(f"{name}: {seconds[name]['seconds']:.3f} s an update", file=sys.stderr)
    except ValueError as error:
        print(f"ablation_costs: error: {error}", file=sys.stderr)
        return 2
    report = {
        "image_size": config.image_size,
        "batch_size": config.batch_size,
        "machine": machine(),
        "seconds_an_update": seconds,
    }
    if options.minutes:
        share = 1 / config.r1_every
        total = sum((1 - share) * s["seconds"] + share * s["r1_seconds"] for s in seconds.values())
        report["updates_in_budget"] = int(60 * options.minutes / total)
    print(json.dumps(report, indent=2))
    return 0


def _config(arguments: list[str], name: str) -> TrainConfig:
    fields = [word for key, value in VARIANTS[name].fields.items() for word in (f"--{key}", str(value))]
    return parse_config(["--find_share", "0", *arguments, *fields])[0]


def _timed(call: Any) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if (info.is_file())
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
