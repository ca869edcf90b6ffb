"""What goes wrong in a run over many pictures: too little memory, Ctrl-C, more processes than pictures."""

import json
import os
from pathlib import Path

import cv2
import pytest
from shell import picture, write_folders, write_pair

from ngan.__main__ import main
from ngan.batch import run_tasks
from ngan.inference import Inpainter
from ngan.saving import Origin
from ngan.stages import Result
from ngan.tasks import Reading, Task


@pytest.mark.parametrize("where", ["reading", "filling", "writing"])
@pytest.mark.parametrize("kind", [MemoryError, cv2.error])
def test_a_picture_too_large_for_the_memory_ends_nothing_but_itself(here, monkeypatch, where, kind):
    error = kind("Unable to allocate 9 GiB")
    error.code = cv2.Error.StsNoMem
    large = picture(1)

    def too_large_when(now: bool) -> None:
        if now:
            raise error

    def read():
        too_large_when(where == "reading")
        return Reading(large, None, Origin())

    def fill(image, mask):
        too_large_when(where == "filling" and image is large)
        return Result(image, image)

    def save(path, picture, origin):
        too_large_when(where == "writing" and picture is large)

    monkeypatch.setattr("ngan.batch.save_picture", save)
    tasks = [Task("large", here / "l.png", read)]
    tasks += [Task(str(i), here / f"{i}.png", lambda: Reading(picture(0), None, Origin())) for i in range(3)]
    outcome = run_tasks(tasks, fill, progress=False)
    assert outcome.failed == {"large": "the picture needs more memory than there is; make it smaller"}
    assert outcome.filled == 3


def test_a_run_that_is_interrupted_counts_what_it_wrote_and_leaves_nothing_else(here):
    asked = []

    def fill(image, mask):
        asked.append(image)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return Result(image, image)

    tasks = [Task(str(i), here / f"{i}.png", lambda: Reading(picture(0), None, Origin())) for i in range(9)]
    outcome = run_tasks(tasks, fill, progress=False)
    assert (outcome.interrupted, outcome.total, outcome.filled, outcome.failed) == (True, 9, 2, {})
    assert sorted(os.listdir()) == ["0.png", "1.png"]


def test_what_was_done_before_ctrl_c_is_reported(here, model, capsys, monkeypatch):
    write_folders(["a.png", "b.png", "c.png", "d.png"])
    Path("faces/b.png").write_bytes(b"none")
    true_fill, filled = Inpainter.fill, []

    def fill(self, *given, **how):
        filled.append(given)
        if len(filled) == 2:
            raise KeyboardInterrupt
        return true_fill(self, *given, **how)

    words = ["inpaint", "faces", "masks", "-o", "out", "--report", "r.json", "--model", model]
    with monkeypatch.context() as patch:
        patch.setattr(Inpainter, "fill", fill)
        assert main(words) == 130
    report = json.loads(Path("r.json").read_text())
    told = {key: report[key] for key in ("interrupted", "total", "filled", "present")}
    assert told == {"interrupted": True, "total": 4, "filled": 1, "present": 0}
    assert list(report["failed"]) == ["faces/b.png"] and os.listdir("out") == ["a.png"]
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ngan:")]
    assert lines[0].startswith("ngan: error: faces/b.png is not a picture")
    assert lines[1:] == [
        "ngan: 1 of 4 faces filled (1 without a face found), 1 failed",
        "ngan: interrupted; the same command goes on",
    ]
    assert main(words) == 1
    report = json.loads(Path("r.json").read_text())
    assert (report["interrupted"], report["filled"], report["present"]) == (False, 2, 1)


def test_a_process_without_a_picture_says_so(here, model, capsys, monkeypatch):
    write_pair()
    monkeypatch.setenv("WORLD_SIZE", "2")
    words = ["inpaint", "face.png", "mask.png", "-o", "out.png", "--report", "r.json", "--model", model]
    monkeypatch.setenv("RANK", "1")
    assert main(words) == 0
    told = "ngan: process 2 of 2, by RANK and WORLD_SIZE: nothing to do, pictures in all: 1\n"
    assert capsys.readouterr().err == told
    assert not Path("out.png").exists() and json.loads(Path("r-01-of-02.json").read_text())["total"] == 0
    monkeypatch.setenv("RANK", "0")
    assert main(words) == 0
    assert Path("out.png").is_file() and "nothing to do" not in capsys.readouterr().err
