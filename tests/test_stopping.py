"""Signals that ask for an end: noted in the loop, at once elsewhere, and twice."""

import signal
import threading

import pytest

import ngan.stopping
from ngan.stopping import Stop, is_accelerate, outlive_the_end_signal


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when told to."""
    now = [100.0]
    monkeypatch.setattr(ngan.stopping.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.usefixtures("hearing_hang_ups")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_loop_is_noted_and_elsewhere_ends_at_once(number):
    with Stop() as stop:
        with stop.deferred():
            signal.raise_signal(number)
        assert stop.number == number and stop.name == number.name
    with Stop() as stop, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    assert stop.number == number


def test_ctrl_c_again_ends_at_once_but_not_its_echo_through_a_launcher(clock):
    with Stop() as stop, stop.deferred():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        clock[0] += 2
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_second_signal_does_not_break_off_the_tidying_up_after_the_first(clock):
    with Stop():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        clock[0] += 2
        signal.raise_signal(signal.SIGTERM)


def test_a_closing_terminal_is_ignored_where_it_was_before():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with Stop() as stop:
            signal.raise_signal(signal.SIGHUP)
            outlive_the_end_signal(0)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert not stop.number
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_handlers_from_before_come_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Stop():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize(
    ("command", "launcher"),
    [
        ("python3|/venv/bin/accelerate|launch|train_accelerate.py", True),
        ("python3|-m|accelerate.commands.launch|--config_file|a.yaml|train_accelerate.py", True),
        ("bash|-c|nohup python train_accelerate.py &", False),
        ("bash|-c|accelerate launch train_accelerate.py; sleep 5", False),
        ("bash|/home/me/accelerate/run.sh", False),
        ("python3|train_accelerate.py", False),
    ],
)
def test_only_accelerates_own_command_is_its_launcher(command, launcher):
    assert is_accelerate([word.encode() for word in command.split("|")]) is launcher


def test_a_thread_changes_no_handlers():
    found = []

    def work() -> None:
        with Stop() as stop:
            found.append((stop.number, signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(0, before)]
