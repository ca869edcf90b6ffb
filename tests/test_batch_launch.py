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
from types import SimpleNamespace

import pytest
from PIL import Image
from shell import halting, picture
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
    mask.save("mask.png")
    picture(0).resize((side, side)).save("face.png", compress_level=1)
    for i in range(good):
        Path(f"faces/{2 * i:03}.png").write_text("broken")
        os.link("face.png", f"faces/{2 * i + 1:03}.png")
        for number in (2 * i, 2 * i + 1):
            os.link("mask.png", f"masks/{number:03}.png")


def start(launcher: str, model: str, **variables: str) -> subprocess.Popen:
    words = ["-m", "ngan", "inpaint", "faces", "masks", "-o", "out", "--report", "r.json", "--model", model]
    return start_alone([sys.executable, "-m", *LAUNCHERS[launcher], *words], **variables)


def start_alone(command: list[str], **variables: str) -> subprocess.Popen:
    variables = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1", **variables}
    return subprocess.Popen(command, env={**os.environ, **variables}, stderr=subprocess.PIPE, text=True)


def end_at_first_output(run: subprocess.Popen, *patterns: str) -> None:
    """Send SIGTERM, as a scheduler does, to a run once it has written a picture, or one of each pattern."""
    deadline = time.monotonic() + 600
    while not all(list(Path("out").glob(pattern)) for pattern in patterns or ["*.png"]):
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.05)
    run.terminate()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_pictures_that_fail_cost_another_process_none_of_its_own(here, model, launcher):
    write_uneven(4)
    run = start(launcher, model)
    errors = run.communicate(timeout=900)[1]
    assert run.returncode != 0
    assert sorted(os.listdir("out")) == [f"{number:03}.png" for number in (1, 3, 5, 7)], errors
    reports = [json.loads(Path(f"r-{rank:02}-of-02.json").read_text()) for rank in range(2)]
    assert [(report["filled"], len(report["failed"])) for report in reports] == [(0, 4), (4, 0)]
    assert "process 1 of 2: 0 of 4 faces filled, 4 failed" in errors
    assert "process 2 of 2: 4 of 4 faces filled" in errors


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are told apart by /proc")
def test_a_killed_process_is_not_waited_for(here, model):
    write_uneven(60)
    run = start("torchrun", model, PYTHONPATH=halting(here, 1, 2)["PYTHONPATH"])  # process 1 does not end by itself
    try:
        deadline = time.monotonic() + 600
        while not (Path("r-00-of-02.json").exists() and Path("out").is_dir() and os.listdir("out")):
            assert time.monotonic() < deadline and run.poll() is None
            time.sleep(0.1)
        os.kill(child_of(run.pid, "1"), signal.SIGKILL)  # process 0 is done, and waits for it
        run.communicate(timeout=200)  # shorter than the silence that process 0 bears
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
    for name, value in {"_ASK": 0.01, "_BEAT": 0.01, "_SILENCE": 1.0}.items():
        monkeypatch.setattr(batch, name, value)
    return PrefixStore("ngan 2", server)


@pytest.fixture
def clock(store, monkeypatch) -> list[float]:
    """Seconds that pass only while process 0 waits; process 1 tells for the first 2.5 of them that it runs."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] < 2.5:
            store.add("beats 1", 1)

    monkeypatch.setattr(batch, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    return now


def test_one_that_runs_is_waited_for_and_one_that_falls_silent_is_not(store, clock, caplog):
    with caplog.at_level(logging.WARNING), leaving_together(Share(0, 2)):
        pass
    assert 3.4 < clock[0] < 3.6
    assert "process 2 of 2 is not waited for, silent for 1 s" in caplog.text
    assert store.check(["end 0"])


def test_one_that_runs_tells_so_until_it_ends(store):
    stopped = threading.Event()
    teller = threading.Thread(target=batch._tell_life, args=(store, 1, stopped), daemon=True)
    teller.start()
    while store.add("beats 1", 0) < 3:
        assert teller.is_alive()
    stopped.set()
    teller.join(300)
    assert not teller.is_alive()


def test_what_ended_is_not_waited_for_even_by_an_error(store, clock, caplog):
    store.set("end 1", "")
    with leaving_together(Share(0, 2)):
        pass
    assert clock == [0] and not caplog.records

    with pytest.raises(OSError, match="no model"), leaving_together(Share(1, 2)):
        raise OSError("no model")
    assert store.check(["end 1"])


def test_an_error_leaves_at_once(store, clock):
    with pytest.raises(KeyboardInterrupt), leaving_together(Share(0, 2)):
        raise KeyboardInterrupt
    assert clock == [0]


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
    write_uneven(200)
    words = ["inpaint", "faces", "masks", "-o", "out", "--report", "r.json", "--model", model]
    run = start_alone([sys.executable, "-m", "ngan", *words])
    end_at_first_output(run)
    errors = run.communicate(timeout=900)[1]
    assert run.returncode == 128 + signal.SIGTERM, errors
    report = json.loads(Path("r.json").read_text())
    assert report["interrupted"] and report["filled"] == len(os.listdir("out")) > 0
    assert f"ngan: {report['filled']} of 400 faces filled" in errors
    assert errors.endswith("ngan: interrupted; the same command goes on\n")


@pytest.mark.slow
def test_a_schedulers_signal_leaves_a_report_of_each_process_of_a_launcher(here, model):
    write_uneven(200)
    for path in sorted(Path("faces").glob("*.png"))[::2]:  # process 0 has work, too
        path.unlink()
        os.link("face.png", path)
    run = start("accelerate", model)
    end_at_first_output(run, "*[02468].png", "*[13579].png")  # of each of them: one may still be starting
    errors = run.communicate(timeout=900)[1]
    assert run.returncode != 0
    reports = [json.loads(Path(f"r-{rank:02}-of-02.json").read_text()) for rank in range(2)]
    assert all(report["interrupted"] and report["total"] == 200 for report in reports), errors
    assert sum(report["filled"] for report in reports) == len(os.listdir("out")) > 0
    assert all(f"process {n} of 2: {reports[n - 1]['filled']} of 200 faces filled" in errors for n in (1, 2))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a launcher's end is not seen")
def test_a_launcher_of_one_process_that_is_ended_leaves_none_behind(here, model):
    write_uneven(200)
    words = ["inpaint", "faces", "masks", "-o", "out", "--report", "r.json", "--model", model]
    launcher = ["accelerate.commands.launch", "--config_file", str(ROOT / "configs" / "cpu.yaml")]
    run = start_alone([sys.executable, "-m", *launcher, "-m", "ngan", *words])
    end_at_first_output(run)
    errors = run.communicate(timeout=900)[1]  # ends when its child has closed its output
    assert json.loads(Path("r.json").read_text())["interrupted"], errors
    assert errors.endswith("ngan: interrupted; the same command goes on\n")
