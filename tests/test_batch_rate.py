"""The benchmark of whole folders: every way fills every picture, and the plan follows from what was measured."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import batch_rate, speed_table
from ngan.model import NGAN

ROOT = Path(__file__).parent.parent

RUNS = {
    "folder",
    "folder, started again",
    "folder, two processes",
    "data set",
    "data set, two processes",
    "folder, without self-ensemble",
}


def test_every_way_fills_every_picture(tmp_path: Path):
    torch.manual_seed(0)
    NGAN(code_width=4, image_width=8, blocks=1, image_size=32).save_pretrained(tmp_path / "model")
    threads, found, saved = torch.get_num_threads(), batch_rate.inference.find_faces, batch_rate.batch.save_picture
    result = batch_rate.measure(4, str(tmp_path / "model"), tmp_path / "work")
    assert set(result["runs"]) == RUNS
    for name, run in result["runs"].items():
        assert run["pictures"] == 4 and run["filled"] == (0 if "again" in name else 4), name
        assert run["whole_seconds"] >= run["seconds"] and run["megabytes_of_the_largest_process"] > 50
    assert result["runs"]["folder, two processes"]["processes"] == 2
    work = tmp_path / "work"
    for one, other in (("one", "two"), ("rows", "rows-two")):
        names = sorted(path.name for path in (work / one).iterdir())
        assert len(names) == 4 and names == sorted(path.name for path in (work / other).iterdir())
    for number in range(4):  # a picture is filled alike from a file and from a row
        file, row = (sorted((work / name).iterdir())[number] for name in ("one", "rows"))
        assert np.array_equal(np.asarray(Image.open(file)), np.asarray(Image.open(row)))
    assert sum(result["shares_of_processor_time"].values()) == pytest.approx(1, abs=0.01)
    assert (torch.get_num_threads(), batch_rate.inference.find_faces, batch_rate.batch.save_picture) == (
        threads,
        found,
        saved,
    )
    assert sum(result["pictures"].values()) == 4


def test_masks_lie_on_the_face_and_photos_differ(tmp_path: Path):
    batch_rate.make_pictures(tmp_path / "work", 8)
    photos = sorted((tmp_path / "work" / "photos").iterdir())
    assert len({path.read_bytes() for path in photos}) == 8
    for photo, (width, height, _) in zip(photos, batch_rate.KINDS * 2, strict=True):
        mask = np.asarray(Image.open(tmp_path / "work" / "masks" / f"{photo.stem}.png")) > 0
        assert Image.open(photo).size == (width, height) and mask.shape == (height, width)
        assert 0.001 < mask.mean() < 0.2


def test_a_command_that_fails_is_an_error(tmp_path: Path):
    with pytest.raises(RuntimeError, match="no such file or folder"):
        batch_rate.run([str(tmp_path), str(tmp_path / "gone")], tmp_path / "out", 1)


def test_the_plan_follows_from_what_was_measured(monkeypatch):
    monkeypatch.setattr(batch_rate.os, "cpu_count", lambda: 2)
    one = {"processes": 1, "pictures": 50, "filled": 50, "seconds": 10.0, "whole_seconds": 14.0}
    one |= {"pictures_per_second": 5.0, "megabytes_written": 20.0}
    again = {**one, "filled": 0, "seconds": 0.5, "whole_seconds": 4.5, "pictures_per_second": 0.0}
    two = {**one, "processes": 2, "pictures_per_second": 10.0}
    found = batch_rate.plan({"folder": one, "folder, started again": again, "folder, two processes": two}, 5.0)
    assert found == {
        "pictures": 100_000,
        "hours_on_this_machine": 2.78,  # 100,000 / 10 / 3600
        "processes_on_this_machine": 2,
        "gigabytes_read": 10.0,  # 5 MB / 50 each
        "gigabytes_written": 40.0,
        "cores_for_hours": {"1": 6, "8": 1},  # 5 pictures a second and core: 5.6 and 0.7
        "restart": {"outputs_that_are_there": 50, "seconds": 4.5},
    }


def test_the_committed_figures_belong_together():
    result = json.loads((ROOT / "benchmarks" / "batch_rate.json").read_text())
    assert set(result["runs"]) == RUNS
    for run in result["runs"].values():
        assert run["pictures_per_second"] * run["seconds"] == pytest.approx(run["filled"], rel=0.01)
    best = max(run["pictures_per_second"] for name, run in result["runs"].items() if "without" not in name)
    assert result["plan"]["hours_on_this_machine"] == pytest.approx(100_000 / best / 3600, abs=0.01)


def test_the_report_is_made_of_the_committed_figures():
    speed, batch = (
        json.loads((ROOT / "benchmarks" / name).read_text()) for name in ("inference_speed.json", "batch_rate.json")
    )
    text = (ROOT / "benchmarks" / "SPEED.md").read_text()
    assert text == speed_table.report(speed, batch)
    one = speed["threads"]["1"]
    for kind, (title, goal) in speed_table.RATIO_GOALS.items():
        (line,) = [line for line in text.splitlines() if f"{title} | 1 |" in line]
        met = sum(value >= goal for value in one["times_as_fast_as_glcic"][kind].values()) if goal else 0
        assert line.count("(met)") == met and line.count("(missed)") == (4 - met if goal else 0)
