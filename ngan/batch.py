"""Many pictures at once: the share of this process, and the run over it.

A picture whose output exists is left alone, so that a run that was stopped goes on where it was. Of several processes,
as `accelerate launch` and `torchrun` start them, each takes every n-th picture; they tell each other only that they
run and that they are done.
"""

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from ngan.job import NO_DAMAGE, NO_FACE
from ngan.saving import losses, save_picture
from ngan.stages import Result
from ngan.tasks import COLOURED, Task

if TYPE_CHECKING:
    from torch.distributed import Store

# What a picture, a model or a device can be wrong with; torch reports exhausted memory as a RuntimeError.
REPORTED = (ValueError, OSError, RuntimeError, MemoryError, cv2.error)
_READERS, _WRITERS = 3, 2  # threads that decode and encode while the networks run
_AHEAD = 4  # pictures that are read ahead at most, and as many that wait to be written: this bounds the memory
# Of processes that wait for each other, in seconds: how often each asks and tells that it runs, and how long one may
# be silent before it is taken for dead. This is for other machines; on its own the launcher ends the rest at once.
_ASK, _BEAT, _SILENCE = 0.3, 10.0, 300.0


@dataclass(frozen=True)
class Share:
    """Which pictures are this process's: number `rank` of every `count`."""

    rank: int = 0
    count: int = 1

    @classmethod
    def of_environment(cls) -> "Share":
        """Read RANK and WORLD_SIZE, which launchers set.

        Raises:
            ValueError: only one of them is set, or they are no numbers that fit.
        """
        given = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
        if given == (None, None):
            return cls()
        if not all((text or "").isdecimal() for text in given) or not int(given[0]) < int(given[1]):
            raise ValueError(f"RANK={given[0]}, WORLD_SIZE={given[1]}: must be whole numbers, RANK below WORLD_SIZE")
        return cls(int(given[0]), int(given[1]))


@contextlib.contextmanager
def leaving_together(share: Share) -> Iterator[None]:
    """Keep this process, at the end of the block, until the others of its launch are at theirs, done or dead.

    `torchrun`, and `accelerate launch` by way of it, ends all processes once one exits with an error, so one with a
    picture that failed would cost the others theirs. They speak by the launcher's own store, which outlives each of
    them as long as any waits. An exception leaves the block at once; other launchers are not waited for.
    """
    store = _store_of_launcher(share)
    if store is None:
        yield
        return
    ended = threading.Event()
    threading.Thread(target=_tell_life, args=(store, share.rank, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        with contextlib.suppress(RuntimeError):  # the launcher has ended
            store.set(f"end {share.rank}", "")
    with contextlib.suppress(RuntimeError):
        _wait_for_others(store, share)


@dataclass
class Outcome:
    """What became of a run; paths and names are as they were given.

    Attributes:
        total: pictures of this process's share.
        filled: how many were filled and written.
        faceless: how many of them without a face found.
        coloured: how many of them by a mask that has colours.
        undamaged: how many were written as they were, because no damage was found.
        present: how many were left alone because their output existed.
        failed: reason by name.
        notes: of reading, `Result.notes`, and what the format cannot hold, by name, of those that have any.
        interrupted: the run ended before its end, by a signal; pictures that are not counted were not filled.
    """

    total: int = 0
    filled: int = 0
    faceless: int = 0
    coloured: int = 0
    undamaged: int = 0
    present: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    interrupted: bool = False

    def add(self, name: str, notes: list[str]) -> None:
        """Count a picture that was written."""
        if notes:
            self.notes[name] = notes
        if any(note.startswith(NO_DAMAGE) for note in notes):
            self.undamaged += 1
        else:
            self.filled += 1
            self.faceless += any(note.startswith(NO_FACE) for note in notes)
            self.coloured += any(note.endswith(COLOURED) for note in notes)


def run_tasks(
    tasks: Sequence[Task],
    fill: Callable[[Image.Image, np.ndarray | None], Result],
    *,
    overwrite: bool = False,
    progress: bool = True,
) -> Outcome:
    """Fill pictures one by one; others are decoded and encoded meanwhile. A failure ends none but its own picture.

    Ctrl-C, or what `ngan.stopping.Stop` takes, ends the run; what was filled by then is written and counted.

    Args:
        tasks: with different targets.
        fill: fills an upright picture by its mask, as `Inpainter.fill` does.
        overwrite: fill what has an output too.
        progress: show a bar.
    """
    outcome = Outcome(total=len(tasks))
    writing: deque[tuple[Task, list[str], Future]] = deque()

    def settle_next() -> None:
        task, notes, written = writing[0]  # it stays there while it is waited for: Ctrl-C loses none
        try:
            written.result()
            outcome.add(task.name, notes)
        except REPORTED as error:
            outcome.failed[task.name] = one_line(error)
        writing.popleft()

    try:
        with (
            ThreadPoolExecutor(_READERS) as readers,
            ThreadPoolExecutor(_WRITERS) as writers,
            tqdm(total=len(tasks), unit="face", disable=not progress) as bar,
        ):

            def to_do() -> Iterator[Task]:
                for task in tasks:
                    if is_done(task, overwrite):
                        outcome.present += 1
                        bar.update()
                    else:
                        yield task

            for task, reading in _ahead(readers, to_do()):
                try:
                    read = reading.result()
                    result = fill(read.picture, read.mask)
                except REPORTED as error:
                    outcome.failed[task.name] = one_line(error)
                    bar.update()
                    continue
                # asked before it is written, which empties its `info`
                notes = [*read.notes, *result.notes, *losses(result.final, task.target.suffix, read.origin)]
                writing.append((task, notes, writers.submit(save_picture, task.target, result.final, read.origin)))
                if len(writing) > _AHEAD:
                    settle_next()
                    bar.update()
            while writing:
                settle_next()
                bar.update()
    except KeyboardInterrupt:
        outcome.interrupted = True
    while writing:  # of a run that was interrupted
        settle_next()
    return outcome


def is_done(task: Task, overwrite: bool) -> bool:
    """Tell whether a picture has its output already."""
    return not overwrite and task.target.is_file()


def one_line(error: Exception) -> str:
    """An error's message on one line."""
    if isinstance(error, MemoryError) or getattr(error, "code", None) == cv2.Error.StsNoMem:
        return "the picture needs more memory than there is; make it smaller"
    if isinstance(error, OSError) and error.strerror and isinstance(error.filename, str | Path):
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _ahead(pool: ThreadPoolExecutor, tasks: Iterator[Task]) -> Iterator[tuple[Task, Future]]:
    reading: deque[tuple[Task, Future]] = deque()
    for task in tasks:
        reading.append((task, pool.submit(task.read)))
        if len(reading) > _AHEAD:
            yield reading.popleft()
    yield from reading


def _store_of_launcher(share: Share) -> "Store | None":
    """What the processes of a launch that ends all for one's error share; None of any other, or if it is silent."""
    if share.count == 1 or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    from torch.distributed import PrefixStore, TCPStore  # not in every build of torch

    place = os.environ.get("MASTER_ADDR", ""), os.environ.get("MASTER_PORT", "")
    try:
        store = TCPStore(place[0], int(place[1]), is_master=False, timeout=timedelta(seconds=60))
    except (RuntimeError, ValueError) as error:
        logging.warning("the launcher at %s:%s is silent, others are not waited for: %s", *place, one_line(error))
        return None
    return PrefixStore(f"ngan {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)  # a restart's own


def _tell_life(store: "Store", rank: int, ended: threading.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the launcher has ended
        while not ended.wait(_BEAT):
            store.add(f"beats {rank}", 1)


def _wait_for_others(store: "Store", share: Share) -> None:
    heard = {rank: (0, time.monotonic()) for rank in range(share.count) if rank != share.rank}
    while heard:
        for rank, (beats, since) in list(heard.items()):
            now, beats_now = time.monotonic(), store.add(f"beats {rank}", 0)
            if store.check([f"end {rank}"]):
                del heard[rank]
            elif beats_now != beats:
                heard[rank] = beats_now, now
            elif now - since > _SILENCE:
                logging.warning("process %d of %d is not waited for, silent for %g s", rank + 1, share.count, _SILENCE)
                del heard[rank]
        time.sleep(_ASK if heard else 0)
