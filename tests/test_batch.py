"""Many pictures at once: folders and patterns, shared out among processes, stopped and started again."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shell import SIDE, hole, known_of, picture, save_finder, summary, write_folders, write_pair

from ngan import batch
from ngan.__main__ import main
from ngan.batch import Share, run_tasks
from ngan.saving import Origin
from ngan.stages import Result
from ngan.tasks import Reading, Task

ROOT = Path(__file__).parent.parent


def test_a_folder_is_filled_by_name_each_in_its_own_format(here, model, capsys):
    write_folders(["a.png", "b.jpg", "c.webp", "d.TIF", ".hidden.png"])
    Path("faces/notes.txt").write_text("no picture")
    assert main(["inpaint", "faces", "masks", "-o", "out", "--model", model]) == 0
    assert sorted(os.listdir("out")) == ["a.png", "b.png", "c.webp", "d.TIF"]
    for name in os.listdir("out"):
        source = "b.jpg" if name == "b.png" else name
        assert np.array_equal(known_of(f"out/{name}"), known_of(f"faces/{source}"))
        filled, face = (np.asarray(Image.open(path)) for path in (f"out/{name}", f"faces/{source}"))
        assert (filled != face).any()
    shown = capsys.readouterr().err
    assert "4/4" in shown and "ngan: 4 of 4 faces filled" in shown


def test_one_format_for_all(here, model):
    write_folders(["a.png", "b.jpg"])
    assert main(["inpaint", "faces", "masks", "-o", "out", "--format", "webp", "--model", model]) == 0
    assert sorted(os.listdir("out")) == ["a.webp", "b.webp"]
    assert np.array_equal(known_of("out/b.webp"), known_of("faces/b.jpg"))


def test_the_mask_of_the_same_full_name_is_preferred(here, model):
    write_folders(["a.webp"])
    write_pair("faces/a.webp", "masks/a.webp")
    Image.fromarray(hole() * 0).save("masks/a.png")  # empty: would be refused
    assert main(["inpaint", "faces", "masks", "-o", "out", "--model", model]) == 0


def test_masks_that_cannot_be_chosen_between_are_named(here, model, capsys):
    write_folders(["a.jpg"])
    Image.fromarray(hole()).save("masks/a.bmp")
    assert main(["inpaint", "faces", "masks", "-o", "out", "--model", model]) == 1
    assert "several masks fit: a.bmp, a.png" in capsys.readouterr().err


def test_failures_end_nothing_but_their_own_picture_and_are_summed_up(here, model, capsys):
    write_folders(["a.png", "b.png", "c.png", "d.png", "e.png"])
    Path("faces/b.png").write_bytes(Path("faces/b.png").read_bytes()[:60])
    os.remove("masks/c.png")
    Image.fromarray(hole(30)).save("masks/d.png")
    picture(9).save("faces/e.jpg")
    words = ["inpaint", "faces", "masks", "-o", "out", "--report", "new/report.json", "--model", model]
    assert main(words) == 1
    assert sorted(os.listdir("out")) == ["a.png", "e.png"]
    lines = summary(capsys)
    assert "faces/e.png: would overwrite out/e.png, made from e.jpg" in lines[0]
    assert "faces/b.png" in lines[1]
    assert "faces/c.png: no mask of this name in masks" in lines[2]
    assert "faces/d.png" in lines[3] and "30x30" in lines[3]
    assert lines[4:] == ["ngan: 2 of 6 faces filled (2 without a face found), 4 failed"]
    report = json.loads(Path("new/report.json").read_text())
    told = {"model": model, "total": 6, "filled": 2, "present": 0, "process": 0, "processes": 1}
    assert {key: report[key] for key in told} == told
    assert list(report["failed"]) == [f"faces/{name}.png" for name in "ebcd"]
    assert "30x30" in report["failed"]["faces/d.png"]


def test_a_face_that_is_not_found_and_damage_that_is_not_are_told_by_name(here, tmp_path, capsys, caplog):
    astronaut = Image.open(ROOT / "examples" / "astronaut.png").convert("RGB")
    astronaut.paste(0, (200, 200, 240, 230))
    white = Image.new("RGB", (SIDE, SIDE), "white")
    os.mkdir("faces")
    astronaut.save("faces/a.png")
    white.save("faces/c.png")
    white.paste(0, (10, 10, 20, 20))
    white.save("faces/b.png")
    words = ["inpaint", "faces", "--find-damage", "-o", "out", "--model", save_finder(tmp_path / "finder")]
    assert main([*words, "--report", "r.json"]) == 0
    assert summary(capsys) == [
        "ngan: 2 of 3 faces filled (1 without a face found), 1 written as they were, without damage found"
    ]
    report = json.loads(Path("r.json").read_text())
    assert {key: report[key] for key in ("filled", "faceless", "undamaged")} == {
        "filled": 2,
        "faceless": 1,
        "undamaged": 1,
    }
    assert list(report["notes"]) == ["faces/b.png", "faces/c.png"] and not caplog.records
    assert report["notes"]["faces/b.png"][0].startswith("No face was found:")
    assert any(note.startswith("No damage was found:") for note in report["notes"]["faces/c.png"])
    assert main(["inpaint", "faces/c.png", *words[2:3], "-o", "c.png", *words[5:]]) == 0
    assert summary(capsys)[0].startswith("ngan: faces/c.png: No face was found: ") and not caplog.records


def test_a_run_goes_on_where_it_stopped(here, model, capsys):
    write_folders(["a.png", "b.png", "c.png"])
    os.mkdir("out")
    Path("out/b.png").write_bytes(b"of another day")
    words = ["inpaint", "faces", "masks", "-o", "out", "--model", model]
    assert main(words) == 0
    assert Path("out/b.png").read_bytes() == b"of another day"
    left = "left alone because their output exists; --overwrite fills them again"
    assert summary(capsys) == [f"ngan: 2 of 3 faces filled (2 without a face found), 1 {left}"]
    written = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
    assert main(words) == 0
    assert {path: path.stat().st_mtime_ns for path in Path("out").iterdir()} == written
    assert main([*words, "--overwrite"]) == 0
    assert np.array_equal(known_of("out/b.png"), known_of("faces/b.png"))


def test_a_folder_in_an_outputs_place_is_no_output(here, model, capsys):
    write_folders(["a.png", "b.png"])
    os.makedirs("out/a.png")
    assert main(["inpaint", "faces", "masks", "-o", "out", "--model", model]) == 1
    lines = summary(capsys)
    assert "faces/a.png" in lines[0] and "irectory" in lines[0]
    assert lines[1] == "ngan: 1 of 2 faces filled (1 without a face found), 1 failed"
    assert os.listdir("out/a.png") == [] and sorted(os.listdir("out")) == ["a.png", "b.png"]


def test_subfolders_keep_their_names(here, model):
    write_folders(["a.png"])
    for folder in ("faces/x/y", "masks/x/y"):
        os.makedirs(folder)
    write_pair("faces/x/y/a.jpg", "masks/x/y/a.png", seed=3)
    write_pair("faces/x/b.png", "masks/x/b.png", seed=4)
    assert main(["inpaint", "faces", "masks", "-o", "flat", "--model", model]) == 0
    assert main(["inpaint", "faces", "masks", "-o", "out", "--recursive", "--model", model]) == 0
    found = [sorted(str(path.relative_to(top)) for path in Path(top).rglob("*.*")) for top in ("flat", "out")]
    assert found == [["a.png"], ["a.png", "x/b.png", "x/y/a.png"]]
    assert np.array_equal(known_of("out/x/y/a.png"), known_of("faces/x/y/a.jpg"))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("faces/[ab]*.png", ["a.png", "b.png"]),
        ("faces/**/*.jpg", ["x/d.png"]),
        ("f*/x/*", ["faces/x/d.png"]),
        ("faces/**/**/*.jpg", ["x/d.png"]),
        ("faces/x/../x/*.jpg", ["d.png"]),
    ],
)
def test_patterns_are_resolved_here_not_by_the_shell(here, tmp_path, pattern, expected):
    write_folders(["a.png", "b.png", "c.png"])
    os.mkdir("faces/x")
    picture(3).save("faces/x/d.jpg")
    finder = save_finder(tmp_path / "finder")
    assert main(["inpaint", pattern, "--find-damage", "-o", "out", "--model", finder]) == 0
    assert sorted(str(path.relative_to("out")) for path in Path("out").rglob("*.*")) == expected


def test_a_pattern_leaves_out_what_lies_within_the_output_and_the_masks(here, model, capsys):
    for folder in ("faces/x", "faces/masks/x"):
        os.makedirs(folder)
    for name in ("a.png", "b.png"):
        write_pair(f"faces/x/{name}", f"faces/masks/x/{name}")
    for filled in (2, 0):  # the same command goes on
        assert main(["inpaint", "faces/**/*.png", "faces/masks", "-o", "faces/filled", "--model", model]) == 0
        assert summary(capsys)[-1].startswith(f"ngan: {filled} of 2 faces filled")
    assert sorted(os.listdir("faces/filled/x")) == ["a.png", "b.png"]


def test_a_pattern_whose_output_is_an_input_is_refused(here, model, capsys):
    write_folders(["a.png"])
    os.rename("faces", "out")
    assert main(["inpaint", "*/a.png", "masks", "-o", ".", "--model", model]) == 2
    assert "is an input; write somewhere else" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Share(0, 1)),
        ({"RANK": "2", "WORLD_SIZE": "3"}, Share(2, 3)),
        ({"RANK": "3", "WORLD_SIZE": "3"}, None),
        ({"RANK": "0"}, None),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, None),
        ({"RANK": "a", "WORLD_SIZE": "b"}, None),
    ],
)
def test_the_share_is_the_launchers(here, monkeypatch, variables, expected):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if expected is None:
        with pytest.raises(ValueError, match="RANK below WORLD_SIZE"):
            Share.of_environment()
    else:
        assert Share.of_environment() == expected


def test_shares_are_disjoint_and_leave_nothing_out(here, model, monkeypatch):
    write_folders([f"{i}.png" for i in range(7)])
    monkeypatch.setenv("WORLD_SIZE", "3")
    written = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        assert main(["inpaint", "faces", "masks", "-o", f"out{rank}", "--report", "r.json", "--model", model]) == 0
        written += os.listdir(f"out{rank}")
    assert sorted(written) == [f"{i}.png" for i in range(7)]
    reports = [json.loads(Path(f"r-{rank:02}-of-03.json").read_text()) for rank in range(3)]
    assert [report["filled"] for report in reports] == [3, 2, 2]


@pytest.mark.slow
def test_two_processes_of_accelerate_launch_share_a_folder(here, model):
    write_folders([f"{i}.png" for i in range(5)])
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]
    launcher += [str(ROOT / "configs" / "two_cpu_processes.yaml"), "-m", "ngan"]
    words = ["inpaint", "faces", "masks", "-o", "out", "--report", "r.json", "--model", model]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
    done = subprocess.run([*launcher, *words], env=variables, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir("out")) == [f"{i}.png" for i in range(5)]
    reports = [json.loads(Path(f"r-{rank:02}-of-02.json").read_text()) for rank in range(2)]
    assert [report["filled"] for report in reports] == [3, 2]
    assert "process 1 of 2: 3 of 3 faces filled" in done.stderr
    assert "process 2 of 2: 2 of 2 faces filled" in done.stderr


def test_reading_runs_ahead_but_not_far(here):
    read, filled, furthest = [], [], 0
    lock = threading.Condition()

    def reading(i: int):
        def read_it():
            with lock:
                read.append(i)
                lock.notify()
            return Reading(picture(i), None, Origin())

        return read_it

    def fill(image, mask):
        nonlocal furthest
        with lock:
            lock.wait_for(lambda: len(read) > 1, timeout=900)  # at the first: it may have been read just now
            furthest = max(furthest, len(read) - len(filled))
            filled.append(image)
        return Result(image, image)

    tasks = [Task(str(i), here / f"{i}.png", reading(i)) for i in range(40)]
    outcome = run_tasks(tasks, fill, progress=False)
    assert (outcome.filled, outcome.failed) == (40, {})
    assert 1 < furthest <= batch._AHEAD + 2


def test_the_filled_picture_has_the_pictures_size(here, model):
    write_folders(["a.png"])
    assert main(["inpaint", "faces", "masks", "-o", "out", "--model", model]) == 0
    assert Image.open("out/a.png").size == (SIDE, SIDE)
