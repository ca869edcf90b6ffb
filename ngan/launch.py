"""What a launch of the training looks at first: what it would lose, repeat or not hear of, and how it speaks."""

import contextlib
import errno
import importlib.util
import json
import logging
import math
import threading
from collections.abc import Iterator
from pathlib import Path

import torch

from ngan.batch import one_line
from ngan.checkpoint import list_checkpoints
from ngan.config import TrainConfig
from ngan.disk import write_whole
from ngan.runner import has_bfloat16

_OF_WORKER = "Caught "  # begins what torch makes of an error within a loader's worker


def check_tracker(name: str) -> None:
    """Refuse a tracker whose package is missing: Accelerate would only warn and log nothing."""
    if name != "none" and importlib.util.find_spec(name) is None:
        raise ValueError(
            f"report_to={name!r}: the package {name} is not installed; install it or take --report_to none"
        )


@contextlib.contextmanager
def plain_thread_errors() -> Iterator[None]:
    """Tell in one line of an `OSError` that ends a thread, such as the tracker's on a full disk, within the block."""

    def tell(end: threading.ExceptHookArgs) -> None:
        if not isinstance(end.exc_value, OSError):
            before(end)
        else:
            logging.warning("%s ended: %s", end.thread.name if end.thread else "a thread", end.exc_value)

    before, threading.excepthook = threading.excepthook, tell
    try:
        yield
    finally:
        threading.excepthook = before


def words_of(error: Exception, folder: Path) -> str:
    """Return on one line what to tell of an error that ended a run: its message, and how to go on if that is known.

    Args:
        error: whose message, from a loader's worker, has a traceback in front, which is left out.
        folder: of the run.
    """
    text = one_line(error)
    if text.startswith(_OF_WORKER):
        text = text.rpartition(f"{type(error).__name__}: ")[2]
    return text + _advice_on(error, folder)


def _advice_on(error: Exception, folder: Path) -> str:
    """Return how a run goes on after a full disk or a loss that is not finite; "" after any other error."""
    if isinstance(error, FloatingPointError):
        how = "go on with --resume_from_checkpoint latest" if list_checkpoints(folder) else "start anew"
        return f" and {how}"
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return ""
    place = "there" if error.filename else "on the disk of --output_dir"  # `write` itself names no file
    return f"; make room {place} and go on with --resume_from_checkpoint latest"


def tell(text: str) -> None:
    """Print, unless nobody is there to read it: a terminal or a pipe that closed costs neither model nor push."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def warn_of_slow_bf16(config: TrainConfig, device: torch.device) -> None:
    """Warn where a GPU or a CPU computes in bfloat16 only by way of float32: on a CPU that took nine times as long."""
    own = {"cuda": lambda: torch.cuda.is_bf16_supported(including_emulation=False), "cpu": has_bfloat16}
    if config.mixed_precision == "bf16" and device.type in own and not own[device.type]():
        name = "GPU" if device.type == "cuda" else "CPU"
        logging.warning("this %s has no bfloat16 of its own: --mixed_precision no may well be faster", name)


def warn_of_idle_critics(config: TrainConfig) -> None:
    """Warn of a run that ends before its critics take part."""
    if config.max_train_steps <= config.generator_only_steps:
        logging.warning(
            "max_train_steps=%d: no critic takes part before update %d; lower --generator_only_steps if one is to",
            config.max_train_steps,
            config.generator_only_steps + 1,
        )


def warn_of_no_validation(config: TrainConfig, names: list[str]) -> None:
    """Warn of a data set without a validation split, with what may take its place."""
    beside = "" if config.split == "train" else f" beside {config.split}, which it trains on"
    told = "%s has no validation split%s: no samples, no final table; --validation_split takes one of: %s%s"
    alone = " (what it trains on; in a folder of pictures, a subfolder validation is one)"
    logging.warning(told, config.dataset, beside, ", ".join(names), alone if names == [config.split] else "")


def check_unused(folder: Path) -> None:
    """Refuse to start anew over another run: its log and its model would be lost, and "latest" would go on from its
    checkpoints.
    """
    found = list_checkpoints(folder)
    if not found and (folder / "model").is_dir():
        raise ValueError(
            f"output_dir={str(folder)!r} holds the model of another run, and no checkpoint of it to go on from: give "
            "another folder, or move what it holds elsewhere"
        )
    if found:
        raise ValueError(
            f"output_dir={str(folder)!r} holds {found[-1].name} of another run: go on with "
            "--resume_from_checkpoint latest, or give another folder"
        )


def check_same_start(steps: list[int], folder: Path) -> None:
    """Refuse processes that resume after different updates, as they do where each machine has a folder of its own."""
    if len(set(steps)) > 1:
        raise ValueError(
            f"output_dir={str(folder)!r}: the processes resume after different updates ({steps}); give a folder that "
            "all machines share"
        )


def drop_logs_after(folder: Path, step: int) -> None:
    """Remove what an earlier launch logged, and drew, after the checkpoint that this one resumes from."""
    path = folder / "metrics.jsonl"
    if not path.is_file():
        return
    lines = path.read_text(errors="replace").splitlines(keepends=True)
    write_whole(path, "".join(line for line in lines if line.endswith("\n") and _step_of(line) <= step))
    for sample in folder.glob("samples/*.png"):
        if sample.stem.isdecimal() and int(sample.stem) > step:
            sample.unlink()


def _step_of(line: str) -> float:
    """Return the update that a line of metrics.jsonl tells of; infinity of one that a kill or a bad disk broke."""
    try:
        return json.loads(line)["step"]
    except (ValueError, LookupError, TypeError):
        return math.inf
