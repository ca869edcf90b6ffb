"""Measure the training update of the five networks: images a second, share of the device's matrix rate, time by part,
memory, the loader, and a plain trainer's update as the ratio; prints a table, writes JSON.

python -m benchmarks.training_speed --output benchmarks/training_speed.json

Ours, the plain trainer's and the matrix product's repeats alternate, so that noise hits all alike; figures are medians
over the repeats. All pictures are random: what is in them makes no difference to the time.
"""

import argparse
import dataclasses
import json
import os
import platform
import resource
import statistics
import sys
from pathlib import Path

import torch

from benchmarks.plain_trainer import PlainTrainer
from benchmarks.timed_trainer import Stopwatch, Trainer, count_flops, profile_kernels, time_parts, time_updates
from ngan.batches import TrainingBatches, make_loader
from ngan.config import TrainConfig
from ngan.draws import Batch
from ngan.reframing import source_size
from ngan.start import make_networks

PRODUCT_SIDE = {"cpu": 2048, "cuda": 8192}  # of the square matrices whose product tells the device's rate
LEARNING_RATE = 1e-5  # of all: random pictures teach nothing, and weights that explode may change the time


def matrix_rate(side: int, device: torch.device) -> float:
    """Return the bfloat16 operations a second of one product of two square matrices, a multiply-add counted as two."""
    matrix = torch.randn(side, side, device=device).to(torch.bfloat16)
    times = []
    for _ in range(3):
        watch = Stopwatch(device)
        matrix @ matrix
        times.append(watch.lap())
    return 2 * side**3 / min(times[1:])  # the first call warms up


def peak_memory(device: torch.device) -> float:
    """Return the most memory in MiB so far: of the device, or on a CPU of this process, Python and torch included."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def time_loader(config: TrainConfig, faces: torch.Tensor, workers: int, device: torch.device, count: int) -> float:
    """Return the images a second that come to the device with `workers` processes, over `count` batches."""
    batches = iter(_loader(dataclasses.replace(config, num_workers=workers), faces, count + workers + 1, device))
    for _ in range(workers + 1):  # the workers have started when each has handed over a batch
        next(batches).to(device)
    watch = Stopwatch(device)
    images = sum(len(batch.to(device).image) for batch in batches)
    return round(images / watch.lap(), 1)


def measure(arguments: argparse.Namespace, config: TrainConfig) -> dict[str, object]:
    """Return the whole report: machine, configuration, rates, counts, parts, loader, memory.

    Args:
        arguments: of the command line.
        config: all five networks trained from the first update; the penalty wanted.
    """
    device = torch.device(arguments.device)
    side = source_size(config.image_size, config.framing_jitter)
    faces = torch.randint(0, 256, (4 * config.batch_size, 3, side, side), dtype=torch.uint8)
    made = TrainingBatches(faces, config, 0, 1)
    batches = [made[number].to(device) for number in range(4)]
    ours = Trainer(config, device, batches)
    for step in 3 * (0, 1):  # compiled, chosen or recorded at the first calls of each kind
        ours.update(step)
    memory = peak_memory(device)
    flops = count_flops(ours)

    in_order = [_in_nchw(batch) for batch in batches]
    plain_config = dataclasses.replace(config, mixed_precision="no")
    plain = PlainTrainer(*(module.to(device) for module in make_networks(plain_config)), plain_config)

    def update_plain(step: int) -> None:
        plain.step(in_order[step % 4], step)

    for step in (0, 1):
        update_plain(step)
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    rates = []
    for _ in range(arguments.repeats):
        rates.append(matrix_rate(arguments.product_side or PRODUCT_SIDE[device.type], device))
        for name, update in (("ours", ours.update), ("plain", update_plain)):
            seconds[name].append(time_updates(update, config.r1_every, arguments.steps, device))
    parts = time_parts(ours, arguments.repeats, _loader(config, faces, 2 * arguments.repeats, device))
    kernels = profile_kernels(ours)
    loader = {
        str(workers): time_loader(config, faces, workers, device, arguments.loader_batches)
        for workers in arguments.workers
    }
    return _report(device, config, arguments, seconds, rates, flops, parts, kernels, loader, memory)


def _loader(config: TrainConfig, faces: torch.Tensor, count: int, device: torch.device) -> torch.utils.data.DataLoader:
    config = dataclasses.replace(config, max_train_steps=count)
    cuda = device.type == "cuda"
    return make_loader(TrainingBatches(faces, config, 0, 1, drafts=cuda), 0, cuda)


def _in_nchw(batch: Batch) -> Batch:
    return Batch(batch.image.contiguous(), batch.corrupted.contiguous(), batch.mask.contiguous(), batch.hidden)


def _report(
    device: torch.device,
    config: TrainConfig,
    arguments: argparse.Namespace,
    seconds: dict[str, list[float]],
    rates: list[float],
    flops: float,
    parts: dict[str, float],
    kernels: dict[str, float],
    loader: dict[str, float],
    memory: float,
) -> dict[str, object]:
    images = {name: sorted(config.batch_size / s for s in values) for name, values in seconds.items()}
    median = {name: statistics.median(values) for name, values in images.items()}
    rate = statistics.median(rates)
    ratios = [plain / ours for ours, plain in zip(seconds["ours"], seconds["plain"], strict=True)]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "device": name,
        "torch": torch.__version__,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "image_size": config.image_size,
        "batch": config.batch_size,
        "mixed_precision": config.mixed_precision,
        "compile": config.compile,
        "cuda_graphs": device.type == "cuda" and config.cuda_graphs,
        "r1_every": config.r1_every,
        "repeats": arguments.repeats,
        "images_per_second": round(median["ours"], 2),
        "images_per_second_range": [round(images["ours"][i], 2) for i in (0, -1)],
        "plain_images_per_second": round(median["plain"], 2),
        "plain_images_per_second_range": [round(images["plain"][i], 2) for i in (0, -1)],
        "ratio_to_plain": round(statistics.median(ratios), 2),
        "gflop_per_image": round(flops / 1e9, 3),
        "tflops": round(flops * median["ours"] / 1e12, 4),
        "bf16_matrix_tflops": round(rate / 1e12, 4),
        "share_of_matrix_rate": round(flops * median["ours"] / rate, 4),
        "milliseconds_by_part": parts,
        "milliseconds_by_kernel": kernels,
        "loader_images_per_second": loader,
        "loader_to_update": round(max(loader.values()) / median["ours"], 1),
        "peak_memory_mib": round(memory, 1),
    }


def format_report(report: dict[str, object]) -> str:
    """Return the report as lines of names and values, the parts with their shares of an update."""
    lines = []
    for name, value in report.items():
        if isinstance(value, dict):
            total = value.get("all") or sum(value.values())
            share = name.startswith("milliseconds")
            lines.append(f"{name}:")
            lines += [f"  {k:<32} {v:>12,}" + (f" {100 * v / total:6.1f} %" * share) for k, v in value.items()]
        else:
            text = " to ".join(map(str, value)) if isinstance(value, list) else str(value)
            lines.append(f"{name:<34} {text:>12}")
    return "\n".join(lines)


def parse(words: list[str] | None) -> tuple[argparse.Namespace, TrainConfig]:
    """Parse the command line into what to measure and the configuration that is measured."""
    parser = argparse.ArgumentParser(description=__doc__.split(";")[0].replace("\n", " "))
    add = parser.add_argument
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    add("--image_size", type=int, default=128, help="side of the pictures (default 128)")
    add("--batch", type=int, default=16, help="images an update (default 16)")
    add("--precision", default="bf16", choices=("bf16", "no"), help="of ours; the plain trainer is float32")
    add("--compile", action="store_true", help="ours through torch.compile")
    add("--eager", action="store_true", help="ours on a GPU without recorded updates")
    add("--threads", type=int, default=torch.get_num_threads(), help="of torch (default: as it chooses)")
    add("--repeats", type=int, default=5, help="measurements of each, alternately (default 5)")
    add("--steps", type=int, default=2, help="updates without penalty a measurement; one with it is added (default 2)")
    add("--workers", type=int, nargs="+", default=[0, 1, 2], help="of the loader alone (default 0 1 2)")
    add("--loader_batches", type=int, default=100, help="batches of the loader alone (default 100)")
    add("--product_side", type=int, default=0, help=f"of the matrices; 0 = {PRODUCT_SIDE} (default 0)")
    add("--quick", action="store_true", help="tiny networks, one repeat: only whether it runs")
    add("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args(words)
    for name in ("threads", "repeats", "steps", "loader_batches"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} {getattr(arguments, name)}: must be at least 1")
    if arguments.product_side < 0 or min(arguments.workers) < 0:
        parser.error("--product_side and --workers: must be at least 0")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no CUDA device here")
    if arguments.output and not arguments.output.parent.is_dir():
        parser.error(f"--output {arguments.output}: no such folder")
    small = {"code_width": 8, "image_width": 8, "blocks": 2, "attention_every": 2, "discriminator_width": 4}
    if arguments.quick:
        arguments.repeats, arguments.loader_batches, arguments.product_side = 1, 4, 64
    try:
        config = TrainConfig(
            image_size=32 if arguments.quick else arguments.image_size,
            batch_size=2 if arguments.quick else arguments.batch,
            mixed_precision=arguments.precision,
            compile=arguments.compile,
            cuda_graphs=not arguments.eager,
            generator_only_steps=0,
            discriminator_only_steps=0,
            learning_rate=LEARNING_RATE,
            discriminator_learning_rate=LEARNING_RATE,
            **(small if arguments.quick else {}),
        )
    except ValueError as error:
        parser.error(str(error))
    return arguments, config


def main(words: list[str] | None = None) -> None:
    """Measure, print the table, write the JSON."""
    arguments, config = parse(words)
    torch.set_num_threads(arguments.threads)
    report = measure(arguments, config)
    print(format_report(report))
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
