"""Processes of a launcher that ends all of them once one exits with an error: none costs the others their pictures."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image
from shell import picture
from torch.distributed import PrefixStore, TCPStore

from ngan import batch
from ngan.batch import Share, leaving_together

ROOT = Path(__file__).parent.parent
LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--nproc_per_node", "2"],
    "accelerate": [
        *("accelerate.commands.launch", "--config_file"),
        str(ROOT / "configs" / "two_cpu_processes.yaml"),
    ],
}


def write_uneven(good: int) -> None:
    """Write faces and masks of which process 0 gets the broken ones, done at once, and process 1 the large ones."""
    for folder in ("faces", "masks"):
        os.mkdir(folder)
    side = 1000
    mask = Image.new("L", (side, side))
    mask.paste(255, (300, 300, 700, 700))
    for i in range(good):
        Path(f"faces/{2 * i:02}.png").write_text("broken")
        picture(i).resize((side, side)).save(f"faces/{2 * i + 1:02}.png", compress_level=1)
        for number in (2 * i, 2 * i + 1):
            mask.save(f"masks/{number:02}.png")


def start(launcher: str, model: str) -> subprocess.Popen:
    words = ["-m", "ngan", "inpaint", "faces", "masks", "-o", "out", "--report", "r.json", "--model", model]
    return start_alone([sys.executable, "-m", *LAUNCHERS[launcher], *words])


def start_alone(command: list[str]) -> subprocess.Popen:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
    return subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True)


def end_at_first_output(run: subprocess.Popen) -> None:
    """Send SIGTERM, as a scheduler does, to a run once it has written a picture."""
    deadline = time.monotonic() + 200
    while not list(Path("out").glob("*.png")):
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.05)
    run.terminate()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_pictures_that_fail_cost_another_process_none_of_its_own(here, model, launcher):
    write_uneven(4)
    run = start(launcher, model)
    errors = run.communicate(timeout=300)[1]
    assert run.returncode != 0
    assert sorted(os.listdir("out")) == [f"{number:02}.png" for number in (1, 3, 5, 7)], errors
    reports = [json.loads(Path(f"r-{rank:02}-of-02.json").read_text()) for rank in range(2)]
    assert [(report["filled"], len(report["failed"])) for report in reports] == [(0, 4), (4, 0)]
    assert "process 1 of 2: 0 of 4 faces filled, 4 failed" in errors
    assert "process 2 of 2: 4 of 4 faces filled" in errors


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are told apart by /proc")
def test_a_killed_process_is_not_waited_for(here, model):
    write_uneven(60)
    run = start("torchrun", model)
    try:
        deadline = time.monotonic() + 200
        while not (Path("r-00-of-02.json").exists() and Path("out").is_dir() and os.listdir("out")):
            assert time.monotonic() < deadline and run.poll() is None
            time.sleep(0.1)
        os.kill(child_of(run.pid, "1"), signal.SIGKILL)  # process 0 is done, and waits for it
        run.communicate(timeout=60)
    finally:
        run.terminate()
    assert run.returncode != 0
    assert len([name for name in os.listdir("out") if name.endswith(".png")]) < 60


def child_of(launcher: int, rank: str) -> int:
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    ranks = {child: Path(f"/proc/{child}/environ").read_bytes().split(b"\0") for child in children}
    (found,) = [child for child, variables in ranks.items() if f"RANK={rank}".encode() in variables]
    return int(found)


@pytest.fixture
def store(monkeypatch) -> PrefixStore:
    """The store of a launcher, for process 0 of 2 in this one, and as the other sees it."""
    server = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for name, value in {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(server.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "2",
    }.items():
        monkeypatch.setenv(name, value)
    for name, value in {"_ASK": 0.01, "_BEAT": 0.1, "_SILENCE": 1.0}.items():
        monkeypatch.setattr(batch, name, value)
    return PrefixStore("ngan 2", server)


def test_one_that_runs_is_waited_for_and_one_that_falls_silent_is_not(store, caplog):
    stopped, start = threading.Event(), time.monotonic()
    threading.Thread(target=batch._tell_life, args=(store, 1, stopped), daemon=True).start()
    threading.Timer(2.5, stopped.set).start()  # a kill: longer after than the silence that is borne
    with caplog.at_level(logging.WARNING), leaving_together(Share(0, 2)):
        pass
    assert 3.3 < time.monotonic() - start < 10
    assert "process 2 of 2 is not waited for, silent for 1 s" in caplog.text
    assert store.check(["end 0"])


def test_what_ended_is_not_waited_for_even_by_an_error(store, caplog):
    store.set("end 1", "")
    start = time.monotonic()
    with leaving_together(Share(0, 2)):
        pass
    assert time.monotonic() - start < 0.9 and not caplog.records

    with pytest.raises(OSError, match="no model"), leaving_together(Share(1, 2)):
        raise OSError("no model")
    assert store.check(["end 1"])


def test_an_error_leaves_at_once(store):
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), leaving_together(Share(0, 2)):
        raise KeyboardInterrupt
    assert time.monotonic() - start < 0.9


def test_a_launcher_that_does_not_answer_is_said_and_costs_nothing(store, monkeypatch, caplog):
    monkeypatch.setenv("MASTER_PORT", "none")
    done = []
    with leaving_together(Share(0, 2)):
        done.append(True)
    assert done and "the launcher at 127.0.0.1:none is silent, others are not waited for" in caplog.text


@pytest.mark.parametrize(("count", "agent"), [(1, "True"), (2, "False")])
def test_without_such_a_launcher_nobody_is_waited_for(store, monkeypatch, count, agent):
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", agent)
    with leaving_together(Share(0, count)):
        pass
    assert not store.check(["end 0"])


@pytest.mark.slow
def test_a_schedulers_signal_ends_a_run_as_ctrl_c_does(here, model):
    write_uneven(40)
    words = ["inpaint", "faces", "masks", "-o", "out", "--report", "r.json", "--model", model]
    run = start_alone([sys.executable, "-m", "ngan", *words])
    end_at_first_output(run)
    errors = run.communicate(timeout=100)[1]
    assert run.returncode == 128 + signal.SIGTERM, errors
    report = json.loads(Path("r.json").read_text())
    assert report["interrupted"] and report["filled"] == len(os.listdir("out")) > 0
    assert f"ngan: {report['filled']} of 80 faces filled" in errors
    assert errors.endswith("ngan: interrupted; the same command goes on\n")


@pytest.mark.slow
def test_a_schedulers_signal_leaves_a_report_of_each_process_of_a_launcher(here, model):
    write_uneven(40)
    for path in sorted(Path("faces").glob("*.png"))[::2]:  # process 0 has work, too
        path.write_bytes(Path("faces/01.png").read_bytes())
    run = start("accelerate", model)
    end_at_first_output(run)
    errors = run.communicate(timeout=100)[1]
    assert run.returncode != 0
    reports = [json.loads(Path(f"r-{rank:02}-of-02.json").read_text()) for rank in range(2)]
    assert all(report["interrupted"] and report["total"] == 40 for report in reports), errors
    assert sum(report["filled"] for report in reports) == len(os.listdir("out")) > 0
    assert all(f"process {n} of 2: {reports[n - 1]['filled']} of 40 faces filled" in errors for n in (1, 2))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a launcher's end is not seen")
def test_a_launcher_of_one_process_that_is_ended_leaves_none_behind(here, model):
    write_uneven(40)
    words = ["inpaint", "faces", "masks", "-o", "out", "--report", "r.json", "--model", model]
    launcher = ["accelerate.commands.launch", "--config_file", str(ROOT / "configs" / "cpu.yaml")]
    run = start_alone([sys.executable, "-m", *launcher, "-m", "ngan", *words])
    end_at_first_output(run)
    errors = run.communicate(timeout=100)[1]  # ends when its child has closed its output
    assert json.loads(Path("r.json").read_text())["interrupted"], errors
    assert errors.endswith("ngan: interrupted; the same command goes on\n")
