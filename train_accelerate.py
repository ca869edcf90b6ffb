"""Train NGAN: `accelerate launch train_accelerate.py --dataset PATH_OR_ID --output_dir runs/x`.

Config, data, Accelerator, loop, checkpoints, evaluation, push; the update itself is `ngan.training.train_step`. Every
field of `ngan.config.TrainConfig` is an option; `--config FILE` reads them from JSON. The folder `output_dir` gets
config.json, metrics.jsonl, samples/, checkpoint-*/ and, at the end, model/ in the Hub's own layout.
"""

import contextlib
import dataclasses
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ngan.stopping import Stop, end_with_launcher, quiet_interrupts

if __name__ == "__main__":  # before what takes seconds to load
    quiet_interrupts("train_accelerate.py")

import torch
from accelerate.utils import gather_object
from torch import nn
from tqdm.auto import tqdm

from ngan.batch import one_line
from ngan.batches import make_batches
from ngan.card import described_set, origin
from ngan.checkpoint import check_finite, resume, save_checkpoint, set_aside_later
from ngan.config import TrainConfig, parse_config
from ngan.data import load_faces, memory_of_each_process, read_streamed
from ngan.differences import FEWEST, measure_differences
from ngan.disk import remove_partial, write_whole
from ngan.draws import Batch
from ngan.evaluation import evaluate, example_grid
from ngan.export import export_run
from ngan.graphs import GraphedUpdates
from ngan.holding import held
from ngan.launch import (
    check_same_start,
    check_tracker,
    check_unused,
    drop_logs_after,
    plain_thread_errors,
    tell,
    warn_of_idle_critics,
    warn_of_no_validation,
    warn_of_slow_bf16,
    words_of,
)
from ngan.meter import Meter
from ngan.push import check_push, open_repository, push_checkpoint, push_model
from ngan.run import NetworkMaker, Run, check_output
from ngan.samples import fixed_grid
from ngan.sources import ColumnError, split_names
from ngan.start import blend_with_start, check_networks, critics_given, make_networks
from ngan.tables import format_table
from ngan.training import Losses, learning_rate_factor, phase, train_step, update_kind

VALIDATION_NAMES = ("validation", "valid", "val")  # of splits, in order of preference
# Minutes from which on cuDNN searches for the quickest kernels. On an H200, batch 64, all five networks and the heads,
# the search took 60 s; updates were 4 % quicker after it.
_SEARCH_PAYS = 30


def main(arguments: list[str] | None = None, networks: NetworkMaker = make_networks) -> int:
    """Run the whole training.

    Args:
        arguments: words of the command line; None = those of this process.
        networks: makes the generators and the critics of a configuration; other than NGAN's for a comparison.

    Returns:
        The exit status: 0, 2 after an error, 128 + its number after a signal.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s")
    config = TrainConfig()
    try:
        config, dry_run = parse_config(arguments)
        for name in ("dataset", "output_dir"):
            if not getattr(config, name):
                raise ValueError(
                    f"--{name} is needed: {'a Hub id or a folder' if name == 'dataset' else 'a folder to write to'}"
                )
        if os.environ.get("RANK", "0") == "0":  # the only process that pushes
            check_push(config)
        check_output(config)
        check_tracker(config.report_to)
        check_networks(config)
        if dry_run:
            sys.stdout.write(config.to_json())
            return 0
        with plain_thread_errors(), Stop() as stop:
            end_with_launcher()
            return run_stages(config, networks, stop)
    except torch.OutOfMemoryError as error:
        print(f"train_accelerate.py: error: lower --batch_size: {one_line(error)}", file=sys.stderr)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        print(f"train_accelerate.py: error: lower --num_workers: {one_line(error)}", file=sys.stderr)
    except (ValueError, FloatingPointError, OSError) as error:
        print(f"train_accelerate.py: error: {words_of(error, Path(config.output_dir))}", file=sys.stderr)
    return 2


def run_stages(config: TrainConfig, networks: NetworkMaker, stop: Stop) -> int:
    """Start, train, finish; return the exit status."""
    saved = ""
    try:
        run = Run(config, networks, stop)
        with held(run.folder) if run.accelerator.is_main_process else contextlib.nullcontext():
            start(run)
            batches = open_batches(run)
            with stop.deferred():
                train(run, batches)
            step = run.counters.step
            saved = f"the state after update {step} is saved, " if step else "no update was made yet, "
            if not stop.number:
                finish(run)
    except KeyboardInterrupt:
        saved = saved or "stopped at once, "
    if not stop.number:
        return 0
    tell(f"{stop.name}: {saved}go on with --resume_from_checkpoint latest")
    return 128 + stop.number


def start(run: Run) -> None:
    """Resume, open the validation set, write the configuration, start the tracker."""
    config, accelerator = run.config, run.accelerator
    if config.resume_from_checkpoint:
        which, states = config.resume_from_checkpoint, (run.bare, run.optimizers, run.average)
        run.counters = resume(run.folder, which, *states, run.settings)
        check_same_start(gather_object([run.counters.step]), run.folder)
    if not run.counters.step:
        check_unused(run.folder)
        run.counters.critics_given = critics_given(config)
        run.counters.license, run.counters.base_model = origin(config)
    open_validation(run)
    if accelerator.is_main_process:
        warn_of_slow_bf16(config, accelerator.device)
        warn_of_idle_critics(config)
        if config.push_to_hub:  # refused now rather than after the training
            config = run.config = dataclasses.replace(config, hub_model_id=open_repository(config))
        if config.resume_from_checkpoint == "latest" and not run.counters.step:
            logging.warning("%s holds no checkpoint to go on from: the run starts anew", run.folder)
        elif run.counters.step:
            print(f"{run.folder} goes on from update {run.counters.step}", file=sys.stderr)
        remove_partial(run.folder)
        for path in set_aside_later(run.folder, run.counters.step):
            logging.warning("%s: of updates after the one that this run resumes from", path)
        write_whole(run.folder / "config.json", config.to_json())
        drop_logs_after(run.folder, run.counters.step)
        print(config.to_json(), file=sys.stderr)
    if config.report_to != "none":
        done = run.counters.step  # what an earlier launch logged of later updates is hidden
        purge = {"tensorboard": {"purge_step": done + 1}} if done else {}
        accelerator.init_trackers("ngan", config=dataclasses.asdict(config), init_kwargs=purge)


def open_validation(run: Run) -> None:
    """Find the validation split; load its faces in the main process."""
    config = run.config
    run.validation_split = config.validation_split
    if config.validation_split == "auto":
        names = split_names(config.dataset, config.dataset_config_name or None)
        unseen = (name for name in VALIDATION_NAMES if name in names and name != config.split)
        run.validation_split = next(unseen, "")
        if not run.validation_split and run.accelerator.is_main_process:
            warn_of_no_validation(config, names)
    if run.validation_split and run.accelerator.is_main_process:  # the only one that reads it
        load = read_streamed if config.streaming else partial(load_faces, in_memory=True, progress=False)
        try:
            run.validation = load(
                config.dataset,
                run.validation_split,
                image_size=config.image_size,
                column=config.image_column or None,
                config_name=config.dataset_config_name or None,
                limit=config.evaluate_limit or None,
            )
        except ColumnError:
            raise
        except ValueError as error:
            raise ValueError(f"{error}; give another --validation_split, or '' to train without") from error


def open_batches(run: Run) -> Iterator[Batch]:
    """Load the training set and return its batches from the next update on; none if there is none left to make."""
    if run.is_done:
        return iter(())
    config, accelerator, step = run.config, run.accelerator, run.counters.step
    room = memory_of_each_process()
    accelerator.wait_for_everyone()  # no process takes any before all have looked
    rank, world = accelerator.process_index, accelerator.num_processes
    pin = accelerator.device.type == "cuda"
    return make_batches(config, rank, world, step, pin=pin, room=room, count=run.count_pictures)


def train(run: Run, batches: Iterator[Batch]) -> None:
    """Make updates until the last step or the last minute; save the state at the end."""
    if run.is_done:
        return
    config, accelerator, counters, factor = run.config, run.accelerator, run.counters, 0.0
    began, saved, saved_at = time.monotonic() - 60 * counters.minutes, counters.step, counters.minutes
    run.minutes = counters.minutes
    torch.backends.cudnn.benchmark = not 0 < config.max_train_minutes < _SEARCH_PAYS
    meter, make_update = Meter(accelerator.reduce), update_maker(run)
    meter.restart(counters.step)  # starts its clock
    with tqdm(
        total=config.max_train_steps,
        initial=counters.step,
        disable=not accelerator.is_main_process,
        dynamic_ncols=True,
        mininterval=0.1 if sys.stderr.isatty() else 10,  # seconds: in a file every change is a line of its own
    ) as bar:
        while counters.step < config.max_train_steps:
            end, minutes = run.agree(counters.minutes)
            if end:
                break
            factor = learning_rate_factor(counters.step, config, minutes)
            run.set_learning_rates(factor)
            update(run, batches, meter, make_update)
            counters.minutes = (time.monotonic() - began) / 60
            bar.update()
            if counters.step % config.log_every == 0:
                bar.set_postfix(log(run, meter, factor), refresh=False)
            if config.sample_every and counters.step % config.sample_every == 0:
                write_sample(run)
            late = 0 < config.checkpoint_minutes <= minutes - saved_at
            if late or counters.step % config.checkpoint_every == 0:
                saved, saved_at = save(run, meter), minutes
    torch.backends.cudnn.benchmark = False
    if saved != counters.step:
        save(run, meter)
    if not meter.is_empty:  # what came after the last log
        log(run, meter, factor)


def update_maker(run: Run) -> Callable[[Batch, int], Losses]:
    """Return what makes the update of a batch and its number; on one GPU by recordings, if the run may."""
    config, accelerator = run.config, run.accelerator

    def step(batch: Batch, number: int) -> Losses:
        return train_step(run.networks, run.optimizers, batch, config, number, accelerator.backward)

    alone = accelerator.num_processes == config.gradient_accumulation_steps == 1
    if accelerator.device.type == "cuda" and alone and config.cuda_graphs:
        return GraphedUpdates(step, partial(update_kind, config=config), run.optimizers, accelerator.device)
    return step


def update(run: Run, batches: Iterator[Batch], meter: Meter, make_update: Callable[[Batch, int], Losses]) -> None:
    """Make one update of the networks and of the average."""
    config, accelerator, counters = run.config, run.accelerator, run.counters
    for _ in range(config.gradient_accumulation_steps):
        batch = next(batches).to(accelerator.device)
        with accelerator.accumulate(run.networks.generators, run.networks.discriminators):
            losses = make_update(batch, counters.step)
        meter.add(losses, counters.step)
    counters.step += 1
    counters.images_seen += run.images_per_update
    if phase(counters.step - 1, config)[0]:
        run.average.update(run.generators, run.images_per_update, counters.images_seen)


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
    """Write a checkpoint, unless a loss since the last log, or a weight, is not finite; return its step."""
    meter.means(run.counters.step)  # raises if not finite
    check_finite(run.bare, run.counters.step)
    if run.accelerator.is_main_process:
        checkpoint = save_checkpoint(
            run.folder,
            run.bare,
            run.optimizers,
            run.average,
            run.counters,
            run.settings,
            run.config.checkpoints_keep,
        )
        if run.config.push_to_hub and run.config.hub_strategy == "checkpoint":
            try:
                push_checkpoint(checkpoint, run.config)
            except ValueError as error:  # the next one may come through: no reason to lose the run
                logging.warning("%s is not pushed: %s", checkpoint, one_line(error))
    run.accelerator.wait_for_everyone()
    return run.counters.step


def finish(run: Run) -> None:
    """Evaluate the average, export both models with their cards, push if asked to."""
    accelerator = run.accelerator
    if accelerator.is_main_process:
        with run.average.applied(run.generators):
            blend_with_start(run.generators, run.config)
            result, grid = None, None
            if run.validation is not None:
                figures = evaluate(run.generators, run.validation, seed=run.config.seed, device=accelerator.device)
                if len(run.validation) >= FEWEST:
                    figures["differences"] = measure_differences(run.generators, run.validation)
                chosen = described_set(run.config.dataset, run.config.dataset_config_name, run.validation_split)
                result = {**chosen, "trained_on": run.validation_split == run.config.split, **figures}
                grid = example_grid(run.generators, run.validation, seed=run.config.seed)
            folder = run.folder / "model"
            export_run(folder, run.generators, taught_critics(run), run.config, run.counters, result, grid)
        if result is not None:
            tell(format_table(result))
        if run.config.push_to_hub:
            tell(push_model(folder, run.folder / "metrics.jsonl", run.config))
        command = f"python -m ngan inpaint PHOTO MASK -o OUT --model {shlex.quote(str(folder))}"
        tell(f"{folder} holds the model and its card; try it: {command}")
    accelerator.wait_for_everyone()
    accelerator.end_training()


def taught_critics(run: Run) -> nn.Module | None:
    """Return the critics, if an update trained them or weights were given to them; else None, with a warning."""
    trained = run.counters.step > run.config.generator_only_steps or run.optimizers.discriminators.state
    given = run.counters.critics_given
    if trained or (critics_given(run.config) if given is None else given):
        return run.discriminators
    logging.warning("no update trained the critics: the model is written without them")
    return None


def write_sample(run: Run) -> None:
    """Write samples/<step>.png from the average: fixed validation faces under fixed holes."""
    if run.accelerator.is_main_process and run.validation is not None:
        with run.average.applied(run.generators):
            grid = fixed_grid(run.generators, run.validation, run.config.sample_faces)
        (run.folder / "samples").mkdir(exist_ok=True)
        grid.save(run.folder / "samples" / f"{run.counters.step:07d}.png")


if __name__ == "__main__":
    sys.exit(main())
