"""Ctrl-C, a scheduler's SIGTERM and a terminal that closes: between two updates while training, at once elsewhere."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from types import TracebackType

_PR_SET_PDEATHSIG = 1  # of Linux's prctl
_ECHO = 1.0  # seconds within which a signal again is the same one: a launcher passes on what the terminal sent to all


class Stop:
    """Takes the signals that ask for an end, for the length of a with-block.

    The first one raises `KeyboardInterrupt`, unless the block is `deferred`: then it is only noted, for the loop to
    end after the update at hand. Ctrl-C pressed again raises in any case; another signal again does not. Only the
    main thread can take signals: in any other, the block changes nothing.

    Attributes:
        number: of the signal that came, or 0.
    """

    def __init__(self) -> None:
        self.number = 0
        self._came = 0.0
        self._deferred = False
        self._before: dict[int, object] = {}

    @property
    def name(self) -> str:
        """Name of the signal that came."""
        return signal.Signals(self.number).name

    def __enter__(self) -> "Stop":
        main = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGINT, signal.SIGTERM, *hang_ups()) if main else ()
        self._before = {number: signal.signal(number, self._take) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Let signals wait for the end of this with-block's update."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def _take(self, number: int, _: object) -> None:
        now, first = time.monotonic(), not self.number
        if not first and (number != signal.SIGINT or now - self._came < _ECHO):
            return
        self.number, self._came = number, now
        if not (first and self._deferred):
            raise KeyboardInterrupt


def quiet_interrupts(program: str) -> None:
    """Have a Ctrl-C that nothing else takes end this process with status 130 and one line in place of a traceback."""
    before = sys.excepthook

    def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            return before(kind, error, trace)
        print(f"{program}: interrupted", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT)

    sys.excepthook = tell


def end_with_launcher() -> None:
    """Have SIGTERM sent to this process when the `accelerate launch` that started it ends, however that does.

    For a single process Accelerate starts it and waits, and passes no signal on: one that a scheduler sends to the
    launcher would leave the training behind, or end it unsaved. Linux only; elsewhere nothing is done.
    """
    launcher = os.getppid()
    try:
        words = Path(f"/proc/{launcher}/cmdline").read_bytes()
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return
    if is_accelerate(words.split(b"\0")):
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != launcher:  # it ended before
            signal.raise_signal(signal.SIGTERM)


def is_accelerate(command: list[bytes]) -> bool:
    """Tell whether a command line is Accelerate's own, and not that of a shell which has its name in a line to run."""
    modules = (b"accelerate.commands.launch", b"accelerate.commands.accelerate_cli")
    return any(word in modules or os.path.basename(word) == b"accelerate" for word in command[:3])


def hang_ups() -> list[signal.Signals]:
    """Return the signal that a closing terminal sends, unless this process is to outlive that, as under nohup."""
    number = getattr(signal, "SIGHUP", None)  # Windows has none
    return [] if number is None or signal.getsignal(number) == signal.SIG_IGN else [number]


def outlive_the_end_signal(_: int) -> None:
    """Keep a loader's worker alive for half a minute after SIGTERM, which a scheduler sends to the whole group.

    So does a terminal that closes, SIGHUP. Its death would end the training process in the middle of an update. A
    `worker_init_fn`.
    """
    for number in (signal.SIGTERM, *hang_ups()):
        signal.signal(number, lambda *_: signal.alarm(30))
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def deafen_tracker() -> None:
    """Have multiprocessing's resource tracker outlive a terminal that closes, as it does Ctrl-C and SIGTERM by itself.

    Where workers are not forked, as by default from Python 3.14 on, its death would be told in tracebacks. To be
    called before the first worker starts.
    """
    if multiprocessing.get_all_start_methods()[0] == "fork" or not hasattr(signal, "pthread_sigmask"):
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, hang_ups())  # which it inherits
    try:
        resource_tracker.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
