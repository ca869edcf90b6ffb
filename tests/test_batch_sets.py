"""Data sets in place of folders: which rows are filled, what is refused, and a killed run that goes on."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from datasets import Dataset, Features
from datasets import Image as ImageFeature
from fake_hub import FakeHub
from PIL import Image
from shell import halting, hole, known_of, picture, summary, write_pair

from ngan.__main__ import main

ROOT = Path(__file__).parent.parent


@pytest.fixture
def table(here) -> str:
    """A folder of parquet with columns image (embedded files of several formats), mask and label; row 2 is broken."""
    rows = {"image": [], "mask": []}
    for i, kind in enumerate(("a.png", "b.jpg", "c.png", "d.webp")):
        write_pair(kind, "m.png", seed=i)
        rows["image"].append({"bytes": Path(kind).read_bytes()[: 80 if i == 2 else None], "path": f"once/{kind}"})
        rows["mask"].append({"bytes": Path("m.png").read_bytes(), "path": None})
    features = Features({"image": ImageFeature(), "mask": ImageFeature()})
    table = Dataset.from_dict(rows, features=features).add_column("label", [0, 1, 2, 3])
    os.mkdir("set")
    table.to_parquet("set/test-00000-of-00001.parquet")
    return "set"


def test_a_data_set_is_filled_by_row_number(here, table, model, capsys):
    words = ["inpaint", "--dataset", table, "--split", "test", "--image-column", "image", "--model", model]
    assert main([*words, "--mask_column", "mask", "-o", "out"]) == 1
    assert sorted(os.listdir("out")) == ["000000.png", "000001.png", "000003.png"]
    assert np.array_equal(known_of("out/000001.png"), known_of("b.jpg"))
    assert np.array_equal(known_of("out/000003.png"), known_of("d.webp"))
    lines = summary(capsys)
    assert lines[0].startswith("ngan: error: row 2: ") and "breaks off or is damaged" in lines[0]
    assert lines[1:] == ["ngan: 3 of 4 faces filled (3 without a face found), 1 failed"]
    assert main([*words, "--find-damage", "-o", "found", "--format", "tiff"]) == 1
    assert sorted(os.listdir("found")) == ["000000.tif", "000001.tif", "000003.tif"]


def test_pages_are_not_dropped(here, model, capsys):
    picture(0).save("scan.tif", save_all=True, append_images=[picture(1)])
    Image.fromarray(hole()).save("m.png")
    content = [{"bytes": Path(name).read_bytes(), "path": None} for name in ("scan.tif", "m.png")]
    features = Features({"image": ImageFeature(), "mask": ImageFeature()})
    os.mkdir("set")
    rows = Dataset.from_dict({"image": content[:1], "mask": content[1:]}, features=features)
    rows.to_parquet("set/train-00000-of-00001.parquet")
    data = ["--dataset", "set", "--image-column", "image", "--mask-column", "mask"]
    for words, name in ((["scan.tif", "m.png"], "scan.tif"), (data, "row 0")):
        assert main(["inpaint", *words, "-o", "out.tif" if words != data else "out", "--model", model]) == 1
        (line, *_) = summary(capsys)
        assert line.startswith(f"ngan: error: {name}") and "holds 2 frames or pages" in line
    assert not Path("out.tif").exists() and not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mask-column", "image"], "column 'image' holds the faces; --mask-column names that of the masks"),
        (["--mask-column", "label"], "'label' holds no pictures"),
        (["--find-damage", "--image-column", "face"], "no column 'face'"),
        (["--find-damage", "--split", "train"], "no split 'train'"),
        (["--find-damage", "a.png"], "give one of them"),
    ],
)
def test_data_sets_that_do_not_fit_are_refused(here, table, model, capsys, words, message):
    given = ["inpaint", "--dataset", table, "--split", "test", "--image-column", "image", "--model", model]
    assert main([*given, "-o", "out", *words]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not Path("out").exists()


@pytest.mark.slow
def test_a_data_set_of_the_hub_is_shared_out_and_a_killed_run_goes_on(here, model, tmp_path):
    """Two processes fill it, are killed, and start again: each output is whole at any time and written once."""
    count = 150
    write_pair("a.png", "m.png")
    row = {
        column: {"bytes": Path(file).read_bytes(), "path": None} for column, file in (("f", "a.png"), ("m", "m.png"))
    }
    features = Features({"f": ImageFeature(), "m": ImageFeature()})
    Dataset.from_list(count * [row], features=features).to_parquet("test-00000-of-00001.parquet")
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]
    launcher += [str(ROOT / "configs" / "two_cpu_processes.yaml"), "-m", "ngan"]
    words = ["inpaint", "--dataset", "org/faces", "--split", "test", "--image-column", "f", "--mask-column", "m"]
    command = [*launcher, *words, "-o", "out", "--model", model]
    with FakeHub(tmp_path / "hub") as hub:
        data = Path("test-00000-of-00001.parquet").read_bytes()
        hub.put("org/faces", {"data/test-00000-of-00001.parquet": data}, kind="datasets")
        variables = {**os.environ, **hub.env, "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
        variables |= {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
        halted = {**variables, "PYTHONPATH": halting(tmp_path, 1, 5)["PYTHONPATH"]}
        with open("log", "w") as log, subprocess.Popen(command, env=halted, stdout=log, stderr=log) as running:
            while not list(Path("out").glob("*.png")):
                assert running.poll() is None, Path("log").read_text()
                time.sleep(0.01)
            everyone = [*psutil.Process(running.pid).children(recursive=True), running]
            for process in reversed(everyone):
                process.kill()
        psutil.wait_procs(everyone[:-1])
        before = {path: path.stat().st_mtime_ns for path in Path("out").glob("*.png")}
        assert 0 < len(before) < count
        for path in before:
            Image.open(path).load()
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in Path("out").glob("*.png")) == [f"{i:06}.png" for i in range(count)]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    told = [re.search(rf"process {n} of 2: (\d+) of 75 faces filled", done.stderr) for n in (1, 2)]
    assert sum(int(found[1]) for found in told) == count - len(before)
    assert all(np.array_equal(known_of(path), known_of("a.png")) for path in list(Path("out").glob("*.png"))[::20])
