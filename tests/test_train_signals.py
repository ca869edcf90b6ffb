"""Signals to the training script: a scheduler's, a closing terminal's, before, between and after the updates."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launching import ROOT, TINY, environment

import train_accelerate

pytestmark = pytest.mark.slow


def under_way(trained: Path, folder: Path, *launcher: str, options: tuple[str, ...] = ()) -> subprocess.Popen:
    """Start a training that does not end by itself, in a session of its own; return it once it has logged two
    updates."""
    command = [sys.executable, *launcher, str(ROOT / "train_accelerate.py"), *TINY]
    command += ["--dataset", str(trained / "faces"), "--output_dir", str(folder)]
    command += ["--max_train_steps", "100000", "--validation_split", "", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), start_new_session=True, **pipes)
    log, end = folder / "metrics.jsonl", time.monotonic() + 600
    while time.monotonic() < end:
        if log.is_file() and log.read_text().count("\n") >= 2:
            return process
        assert process.poll() is None
        time.sleep(0.1)
    pytest.fail("no updates within 600 seconds")


@pytest.mark.usefixtures("hearing_hang_ups")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_whole_group_saves_and_ends_with_its_number(trained, tmp_path, number):
    process = under_way(trained, tmp_path, options=("--num_workers", "1"))
    os.killpg(process.pid, number)  # a scheduler, or the terminal, tells the loader's worker too
    out, err = process.communicate(timeout=900)
    assert process.returncode == 128 + number, err
    assert "--resume_from_checkpoint latest" in out and "Traceback" not in err
    (checkpoint,) = tmp_path.glob("checkpoint-*")
    assert json.loads((checkpoint / "state.json").read_text())["counters"]["step"] >= 2


@pytest.mark.parametrize("config", ["cpu.yaml", "two_cpu_processes.yaml"])
def test_sigterm_to_the_launcher_alone_saves_too(trained, tmp_path, config):
    launcher = ["-m", "accelerate.commands.launch", "--config_file", str(ROOT / "configs" / config)]
    process = under_way(trained, tmp_path, *launcher)
    process.terminate()
    printed, errors = process.communicate(timeout=900)  # ends when the last of its children has closed its output
    assert "go on with --resume_from_checkpoint latest" in printed, errors
    (checkpoint,) = tmp_path.glob("checkpoint-*")
    logged = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads((checkpoint / "state.json").read_text())["counters"]["step"] == json.loads(logged[-1])["step"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_evaluation_ends_at_once_and_the_resumed_run_goes_straight_on_with_it(
    trained, tmp_path, main, monkeypatch, number
):
    with monkeypatch.context() as patch:
        patch.setattr(train_accelerate, "evaluate", lambda *_, **__: signal.raise_signal(number))
        done = main(trained / "faces", tmp_path, "--max_train_steps", "2")
    assert done.returncode == 128 + number
    assert done.stdout.splitlines()[-1] == (
        f"{number.name}: the state after update 2 is saved, go on with --resume_from_checkpoint latest"
    )
    assert not (tmp_path / "model").exists()
    with open(tmp_path / "metrics.jsonl", "a") as log:
        log.write('{"step": 2, "images_s')  # as a kill leaves a line
    (tmp_path / ".partial-model").mkdir()
    monkeypatch.setattr(train_accelerate, "train_step", lambda *_: pytest.fail("an update too many"))
    monkeypatch.setattr(train_accelerate, "make_batches", lambda *_, **__: pytest.fail("faces read for nothing"))
    done = main(trained / "faces", tmp_path, *"--max_train_steps 2 --resume_from_checkpoint latest".split())
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model/results.json").is_file() and not (tmp_path / ".partial-model").exists()
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1, 2]


def test_a_signal_before_the_first_update_does_not_claim_a_saved_state(trained, tmp_path, main, monkeypatch):
    def make(run):
        signal.raise_signal(signal.SIGTERM)
        return original(run)

    original = train_accelerate.update_maker
    with monkeypatch.context() as patch:
        patch.setattr(train_accelerate, "update_maker", make)
        done = main(trained / "faces", tmp_path, "--max_train_steps", "2")
    assert done.returncode == 128 + signal.SIGTERM and not list(tmp_path.glob("checkpoint-*"))
    told = "SIGTERM: no update was made yet, go on with --resume_from_checkpoint latest"
    assert done.stdout.splitlines()[-1] == told
    done = main(trained / "faces", tmp_path, *"--max_train_steps 2 --resume_from_checkpoint latest".split())
    assert done.returncode == 0 and (tmp_path / "model/model.safetensors").is_file()


def test_a_signal_while_the_faces_are_loaded_ends_the_run_at_once(trained, tmp_path, main, monkeypatch):
    def loading(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
        raise AssertionError("the signal waited for the faces")

    monkeypatch.setattr(train_accelerate, "make_batches", loading)
    done = main(trained / "faces", tmp_path / "run", "--max_train_steps", "2")
    assert done.returncode == 128 + signal.SIGTERM and "SIGTERM: stopped at once" in done.stdout
