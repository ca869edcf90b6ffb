"""Train NGAN: `accelerate launch train_accelerate.py --dataset PATH_OR_ID --output_dir runs/x`.

Config, data, Accelerator, loop, checkpoints, evaluation, push; the update itself is `ngan.training.train_step`. Every
field of `ngan.config.TrainConfig` is an option; `--config FILE` reads them from JSON. The folder `output_dir` gets
config.json, metrics.jsonl, samples/, checkpoint-*/ and, at the end, model/ in the Hub's own layout.
"""

import contextlib
import dataclasses
import importlib.util
import json
import logging
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from PIL import Image
from tqdm.auto import tqdm

from ngan.batches import make_batches
from ngan.card import public
from ngan.checkpoint import Counters, resume, save_checkpoint
from ngan.config import TrainConfig, parse_config
from ngan.data import FaceSet, load_faces, to_float
from ngan.evaluation import evaluate, example_grid, format_table
from ngan.export import check_push, export_run, push_run
from ngan.masks import make_masks
from ngan.meter import Meter
from ngan.samples import sample_grid
from ngan.sources import split_names
from ngan.training import (
    EMA,
    Networks,
    Optimizers,
    learning_rate_factor,
    make_networks,
    make_optimizers,
    phase,
    train_step,
)

VALIDATION_NAMES = ("validation", "valid", "val")  # of splits, in order of preference


class Run:
    """The objects of one run, made once and shared by the stages of `main`."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.folder = Path(config.output_dir)
        self.accelerator = Accelerator(
            mixed_precision="no",  # the step itself casts: Accelerate's own cast could not be lifted for R1
            gradient_accumulation_steps=config.gradient_accumulation_steps,
            log_with=None if config.report_to == "none" else config.report_to,
            project_dir=self.folder,
        )
        set_seed(config.seed)
        self.generators, self.discriminators = make_networks(config)
        self.generators.to(self.accelerator.device)
        self.discriminators.to(self.accelerator.device)
        self.average = EMA(self.generators, 1000 * config.ema_half_life)
        bare = Networks(self.generators, self.discriminators)
        optimizers = make_optimizers(bare, config)
        prepared = self.accelerator.prepare(
            self.generators, self.discriminators, optimizers.generators, optimizers.discriminators
        )
        self.bare, self.networks, self.optimizers = bare, Networks(*prepared[:2]), Optimizers(*prepared[2:])
        self.counters = Counters()
        self.validation: FaceSet | None = None
        self.validation_split = ""
        self.stopped_by = 0  # number of the signal that asked for an end

    @property
    def images_per_update(self) -> int:
        """Images of all processes and accumulated batches in one update."""
        return self.config.batch_size * self.config.gradient_accumulation_steps * self.accelerator.num_processes


def main(arguments: list[str] | None = None) -> int:
    """Run the whole training; return the exit status."""
    logging.basicConfig(format="%(levelname)s: %(message)s")
    try:
        config, dry_run = parse_config(arguments)
        for name in ("dataset", "output_dir"):
            if not getattr(config, name):
                raise ValueError(
                    f"--{name} is needed: {'a Hub id or a folder' if name == 'dataset' else 'a folder to write to'}"
                )
        check_push(config.push_to_hub)
        check_tracker(config.report_to)
        if dry_run:
            sys.stdout.write(config.to_json())
            return 0
        run = Run(config)
        start(run)
        with stopping_on_signals(run):
            train(run)
        if run.stopped_by:
            name = signal.Signals(run.stopped_by).name
            print(f"{name}: saved after update {run.counters.step}; go on with --resume_from_checkpoint latest")
            return 128 + run.stopped_by
        finish(run)
    except (ValueError, FileNotFoundError, FloatingPointError, OSError) as error:
        print(f"train_accelerate.py: error: {error}", file=sys.stderr)
        return 2
    return 0


def check_tracker(name: str) -> None:
    """Refuse a tracker whose package is missing: Accelerate would only warn and log nothing."""
    if name != "none" and importlib.util.find_spec(name) is None:
        raise ValueError(
            f"report_to={name!r}: the package {name} is not installed; install it or take --report_to none"
        )


@contextlib.contextmanager
def stopping_on_signals(run: Run) -> Iterator[None]:
    """Let Ctrl-C and a scheduler's SIGTERM end the loop after the update at hand, instead of in its middle."""

    def stop(number: int, _: object) -> None:
        run.stopped_by = number

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def start(run: Run) -> None:
    """Resume, open the validation set, write the configuration, start the tracker."""
    config, accelerator = run.config, run.accelerator
    if config.resume_from_checkpoint:
        run.counters = resume(run.folder, config.resume_from_checkpoint, run.bare, run.optimizers, run.average)
    run.validation_split = config.validation_split
    if config.validation_split == "auto":
        names = split_names(config.dataset)
        run.validation_split = next((name for name in VALIDATION_NAMES if name in names), "")
        if not run.validation_split and accelerator.is_main_process:
            logging.warning("%s has no validation split: no samples, no final table", config.dataset)
    if run.validation_split:
        run.validation = load_faces(
            config.dataset,
            run.validation_split,
            image_size=config.image_size,
            column=config.image_column or None,
            limit=config.evaluate_limit or None,
            in_memory=True,
            progress=False,
        )
    if accelerator.is_main_process:
        run.folder.mkdir(parents=True, exist_ok=True)
        (run.folder / "config.json").write_text(config.to_json())
        _drop_metrics_after(run.folder / "metrics.jsonl", run.counters.step)
        print(config.to_json(), file=sys.stderr)
    if config.report_to != "none":
        accelerator.init_trackers("ngan", config=dataclasses.asdict(config))


def train(run: Run) -> None:
    """Make updates until the last step or the last minute; save the state at the end."""
    config, accelerator, counters = run.config, run.accelerator, run.counters
    rank, world = accelerator.process_index, accelerator.num_processes
    batches = make_batches(config, rank, world, counters.step, pin=accelerator.device.type == "cuda")
    began, minutes_before, saved = time.monotonic(), counters.minutes, counters.step
    meter = Meter(accelerator.reduce)
    bar = tqdm(
        total=config.max_train_steps,
        initial=counters.step,
        disable=not accelerator.is_main_process,
        dynamic_ncols=True,
    )
    while counters.step < config.max_train_steps:
        minutes = (time.monotonic() - began) / 60
        if _is_to_end(run, minutes):
            break
        factor = learning_rate_factor(counters.step, config, minutes)
        _set_learning_rates(run, factor)
        for _ in range(config.gradient_accumulation_steps):
            batch = next(batches).to(accelerator.device)
            with accelerator.accumulate(run.networks.generators, run.networks.discriminators):
                losses = train_step(run.networks, run.optimizers, batch, config, counters.step, accelerator.backward)
            meter.add(losses, counters.step)
        counters.step += 1
        counters.images_seen += run.images_per_update
        counters.minutes = minutes_before + (time.monotonic() - began) / 60
        if phase(counters.step - 1, config)[0]:
            run.average.update(run.generators, run.images_per_update, counters.images_seen)
        bar.update()
        if counters.step % config.log_every == 0:
            bar.set_postfix(log(run, meter, factor))
        if config.sample_every and counters.step % config.sample_every == 0:
            write_sample(run)
        if counters.step % config.checkpoint_every == 0:
            saved = save(run, meter)
    bar.close()
    if saved != counters.step:
        save(run, meter)


def log(run: Run, meter: Meter, factor: float) -> dict[str, str]:
    """Write the means since the last log to metrics.jsonl and the tracker; return what the progress bar shows."""
    counters = run.counters
    means, updates_per_second = meter.means(counters.step), meter.restart(counters.step)
    rate = updates_per_second * run.images_per_update
    entry = {"step": counters.step, "images_seen": counters.images_seen, "minutes": round(counters.minutes, 3)}
    entry |= {"images_per_second": round(rate, 2), "learning_rate": run.config.learning_rate * factor, **means}
    if run.accelerator.is_main_process:
        with open(run.folder / "metrics.jsonl", "a") as file:
            file.write(json.dumps(entry) + "\n")
    run.accelerator.log({k: v for k, v in entry.items() if k != "step"}, step=counters.step)
    return {name: f"{value:.3f}" for name, value in means.items() if "/" not in name} | {"img/s": f"{rate:.1f}"}


def save(run: Run, meter: Meter) -> int:
    """Write a checkpoint, unless a loss since the last log was not finite; return its step."""
    meter.means(run.counters.step)  # raises if not finite
    if run.accelerator.is_main_process:
        save_checkpoint(
            run.folder,
            run.bare,
            run.optimizers,
            run.average,
            run.counters,
            dataclasses.asdict(run.config),
            run.config.checkpoints_keep,
        )
    run.accelerator.wait_for_everyone()
    return run.counters.step


def finish(run: Run) -> None:
    """Evaluate the average, export both models with their cards, push if asked to."""
    accelerator = run.accelerator
    if accelerator.is_main_process:
        with run.average.applied(run.generators):
            result, grid = None, None
            if run.validation is not None:
                figures = evaluate(run.generators, run.validation, seed=run.config.seed, device=accelerator.device)
                result = {"dataset": public(run.config.dataset), "split": run.validation_split, **figures}
                grid = example_grid(run.generators, run.validation, seed=run.config.seed)
                print(format_table(result))
            folder = run.folder / "model"
            export_run(folder, run.generators, run.discriminators, run.config, run.counters, result, grid)
        if run.config.push_to_hub:
            print(push_run(folder, run.config.push_to_hub))
    accelerator.wait_for_everyone()
    accelerator.end_training()


def write_sample(run: Run) -> None:
    """Write samples/<step>.png from the average: fixed validation faces under fixed holes."""
    if run.accelerator.is_main_process and run.validation is not None:
        with run.average.applied(run.generators):
            grid = fixed_grid(run)
        (run.folder / "samples").mkdir(exist_ok=True)
        grid.save(run.folder / "samples" / f"{run.counters.step:07d}.png")


def fixed_grid(run: Run) -> Image.Image:
    """Fill the first validation faces under holes that never change."""
    size, kinds = run.config.image_size, ("center", "box", "freeform", "wide")
    n = min(run.config.sample_faces, len(run.validation))
    images = to_float(torch.stack([run.validation[i] for i in range(n)]))
    masks = [make_masks(kinds[i % len(kinds)], 1, size, size, torch.Generator().manual_seed(i)) for i in range(n)]
    return sample_grid(run.generators, images, torch.cat(masks))


def _is_to_end(run: Run, minutes: float) -> bool:
    """Tell whether time is up or a signal came, on any process: all must leave the loop at the same update."""
    limit = run.config.max_train_minutes
    end = bool(run.stopped_by) or (limit > 0 and minutes >= limit)
    if run.accelerator.num_processes > 1:
        flags = torch.tensor([float(end), float(run.stopped_by)], device=run.accelerator.device)
        end, number = run.accelerator.reduce(flags, "sum").tolist()
        if number and not run.stopped_by:
            run.stopped_by = signal.SIGTERM
    return bool(end)


def _set_learning_rates(run: Run, factor: float) -> None:
    for optimizer, rate in (
        (run.optimizers.generators, run.config.learning_rate),
        (run.optimizers.discriminators, run.config.discriminator_learning_rate),
    ):
        for group in optimizer.param_groups:
            group["lr"] = rate * factor


def _drop_metrics_after(path: Path, step: int) -> None:
    """Remove what an earlier launch logged after the checkpoint that this one resumes from."""
    if path.is_file():
        lines = [line for line in path.read_text().splitlines(keepends=True) if json.loads(line)["step"] <= step]
        path.write_text("".join(lines))


if __name__ == "__main__":
    sys.exit(main())
