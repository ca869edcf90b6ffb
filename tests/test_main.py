"""The command line: what it writes, what it refuses, what it says and with which status it ends."""

import importlib
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from shell import SIDE, hole, interrupting, only_error, save_finder, write_folders, write_pair

from ngan.__main__ import main


@pytest.mark.parametrize("out", ["out.png", "new/folder/out.webp", "out.TIFF", "out.bmp"])
def test_inpaint_fills_the_hole_and_nothing_else(here, model, out):
    face = write_pair()
    assert main(["inpaint", "face.png", "mask.png", "-o", out, "--model", model, "--device", "cpu"]) == 0
    filled = np.asarray(Image.open(out).convert("RGB"))
    known = hole() == 0
    assert np.array_equal(filled[known], face[known])
    assert not np.array_equal(filled[~known], face[~known])
    assert sorted(os.listdir(Path(out).parent)) in (["out.webp"], sorted(["face.png", "mask.png", out]))


def test_inpaint_takes_the_model_of_the_environment(here, model, monkeypatch):
    write_pair()
    main(["inpaint", "face.png", "mask.png", "-o", "named.png", "--model", model])
    monkeypatch.setenv("NGAN_MODEL", model)
    assert main(["inpaint", "face.png", "mask.png", "-o", "found.png"]) == 0
    assert Path("named.png").read_bytes() == Path("found.png").read_bytes()


@pytest.mark.parametrize("how", [["mask.png"], ["--find-damage"]])
def test_weights_whose_networks_return_no_numbers_are_one_error_and_no_file(here, model, capsys, how):
    weights = load_file(f"{model}/model.safetensors")
    save_file({name: 1e20 * weight for name, weight in weights.items()}, f"{model}/model.safetensors")
    write_pair()
    assert main(["inpaint", "face.png", *how, "-o", "out.png", "--model", model]) == 1
    outputs = "code_image, location, image"
    assert f"face.png: the model's outputs are not finite: {outputs}; the weights are too large" in only_error(capsys)
    assert sorted(os.listdir()) == ["face.png", "mask.png"]


def test_inpaint_writes_a_file_into_a_folder_that_exists(here, model):
    write_pair("face.jpg")
    os.mkdir("out")
    assert main(["inpaint", "face.jpg", "mask.png", "-o", "out", "--model", model]) == 0
    assert os.listdir("out") == ["face.png"]


def test_inpaint_finds_damage_without_a_mask(here, tmp_path):
    finder = save_finder(tmp_path / "finder")
    face = np.full((SIDE, SIDE, 3), 255, np.uint8)
    face[10:20, 10:20] = 0
    Image.fromarray(face).save("face.png")
    words = ["inpaint", "face.png", "--find-damage", "-o", "out.png", "--model", finder]
    assert main(words) == 0
    changed = (np.asarray(Image.open("out.png")) != face).any(axis=2)
    assert changed[12:18, 12:18].all()
    assert not changed[25:].any() and not changed[:, 25:].any()


def test_a_photo_may_come_through_a_pipe(here, model):
    face = write_pair()
    words = ["face.pipe", "mask.png", "-o", "out.png", "--model", model]
    os.mkfifo("face.pipe")
    content = Path("face.png").read_bytes()
    threading.Thread(target=lambda: Path("face.pipe").write_bytes(content), daemon=True).start()
    assert main(["inpaint", *words]) == 0
    known = hole() == 0
    assert np.array_equal(np.asarray(Image.open("out.png"))[known], face[known])


def test_inpaint_of_one_broken_picture_fails_with_status_1(here, model, capsys):
    write_pair()
    Path("face.png").write_bytes(b"no picture at all")
    assert main(["inpaint", "face.png", "mask.png", "-o", "out.png", "--model", model]) == 1
    assert "face.png" in only_error(capsys)
    assert not Path("out.png").exists()


def test_an_output_that_exists_is_left_alone_unless_told_otherwise(here, model, capsys):
    write_pair()
    Path("out.png").write_bytes(b"of another day")
    words = ["inpaint", "face.png", "mask.png", "-o", "out.png", "--model", model]
    assert main(words) == 0
    assert Path("out.png").read_bytes() == b"of another day"
    assert "the output exists and was left alone; --overwrite fills it again" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert Image.open("out.png").size == (SIDE, SIDE)


def test_a_failed_write_leaves_the_old_file_whole(here, model, monkeypatch, capsys):
    write_pair()
    Path("out.png").write_bytes(b"old")

    def no_space(self, content):
        with open(self, "wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_space)
    words = ["inpaint", "face.png", "mask.png", "-o", "out.png", "--overwrite", "--model", model]
    assert main(words) == 1
    assert "No space left" in only_error(capsys)
    assert Path("out.png").read_bytes() == b"old"
    assert sorted(os.listdir()) == ["face.png", "mask.png", "out.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["face.png", "-o", "o.png"], "either MASK or --find-damage"),
        (["face.png", "mask.png", "--find-damage", "-o", "o.png"], "either MASK or --find-damage"),
        (["nobody.png", "mask.png", "-o", "o.png"], "nobody.png: no such file"),
        (["nobody[1].png", "mask.png", "-o", "o.png"], "nobody[1].png: no such file"),
        (["f*/../faces/*.png", "masks", "-o", "o"], "takes no .. behind its first wildcard"),
        (["face.png", "nothing.png", "-o", "o.png"], "nothing.png: no such file"),
        (["face.png", "masks", "-o", "o.png"], "give two files or two folders"),
        (["faces", "mask.png", "-o", "o"], "give two files or two folders"),
        (["empty", "masks", "-o", "o"], "empty holds no picture"),
        (
            ["face.png", "mask.png", "-o", "o.heic"],
            "o.heic: not a kind of picture that is written; end its name in .png",
        ),
        (["face.png", "mask.png", "-o", "o.png", "--format", "webp"], "o.png tells the format by its ending"),
        (["face.png", "mask.png", "-o", "o.png", "--split", "train"], "--split belongs to --dataset"),
        (["face.png", "mask.png", "-o", "o.png", "--report", "faces"], "faces is a folder; name a file"),
        (["faces/*.png", "masks/a.png", "-o", "o"], "give two files or two folders"),
        (["faces/*.jpg", "masks", "-o", "o"], "faces/*.jpg matches no picture"),
        (["faces/*.png", "masks", "-o", "faces"], "faces is an input"),
        (["faces/../*.png", "faces", "-o", "."], ". is an input"),
        ([".", "masks", "-o", "../o", "--recursive"], "masks lies within ."),
        (["faces", "masks", "-o", "faces/o", "--recursive"], "o lies within faces"),
        (["face.png", "face.png", "-o", "o.png"], "face.png is FACE and MASK; name the face's mask"),
        (["face.png", "faces/../face.png", "-o", "o.png"], "face.png is FACE and MASK"),
        (["faces", "faces/", "-o", "o"], "faces is FACE and MASK: each face would be its own mask"),
        (["faces/*.png", "faces", "-o", "o"], "faces is FACE and MASK: each face would be its own mask"),
        (["-o", "o"], "needs FACE or --dataset"),
        (["--find-damage", "-o", "o"], "needs FACE or --dataset"),
        (["--dataset", "./nowhere", "--find-damage", "-o", "o"], "nowhere"),
        (["--dataset", "faces", "--mask-column", "image", "-o", "o"], "column 'image' holds the faces; --mask-column"),
        (["--dataset", "faces", "-o", "o"], "either --mask-column or --find-damage"),
        (["--dataset", "faces", "--find-damage", "-o", "o", "--split", "sky"], "no split 'sky'"),
        (["--dataset", "faces", "--find-damage", "-o", "o", "--format", "same"], "--format same is for files"),
        (["face.png", "mask.png", "-o", "face.png"], "face.png is an input"),
        (["face.png", "mask.png", "-o", "."], "face.png is an input"),
        (["face.png", "mask.png", "-o", "faces/../mask.png"], "mask.png is an input"),
        (["faces", "masks", "-o", "faces"], "faces is an input"),
        (["faces", "masks", "-o", "./masks/"], "masks is an input"),
        (["faces", "masks", "-o", "mask.png"], "mask.png is a file"),
        (["face.png", "mask.png", "-o", "o.png", "--model", "./nowhere"], "nowhere"),
        (["face.png", "mask.png", "-o", "o.png", "--model", "no-one/nothing"], "no-one/nothing"),
        (["face.png", "mask.png", "-o", "o.png", "--device", "toaster"], "toaster"),
    ],
)
def test_inpaint_refuses_what_cannot_be_done(here, model, capsys, monkeypatch, words, message):
    monkeypatch.setenv("NGAN_MODEL", model)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    write_folders(["a.png"])
    write_pair()
    os.mkdir("empty")
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    assert main(["inpaint", *words]) == 2
    assert message in only_error(capsys)
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["face.png", "mask.png", "-o", "o.png", "--report", "face.png"], "face.png is an input"),
        (["face.png", "mask.png", "-o", "o.png", "--report", "./mask.png"], "mask.png is an input"),
        (["face.png", "mask.png", "-o", "o.png", "--report", "faces/../o.png"], "o.png would be written twice"),
        (["face.png", "mask.png", "-o", "o.png", "--report", "link.json"], "link.json is an input"),
        (["faces", "masks", "-o", "o", "--report", "faces/a.png"], "faces/a.png is an input"),
        (["faces", "masks", "-o", "o", "--report", "o/a.png"], "o/a.png would be written twice"),
        (["faces", "masks", "-o", "o", "--report", "masks/a.png"], "masks/a.png lies within masks, an input"),
        (["face.png", "mask.png", "-o", "o.png", "--report", "../model/config.json"], "config.json is an input"),
        (["--dataset", "faces", "--find-damage", "-o", "faces"], "faces/000000.png lies within faces, an input"),
        (["--dataset", "faces", "--find-damage", "-o", "faces/o"], "faces/o/000000.png lies within faces, an input"),
        (["--dataset", "faces", "--find-damage", "-o", "o", "--report", "faces/a.png"], "lies within faces, an input"),
    ],
)
def test_nothing_that_is_read_or_written_is_written_over(here, model, capsys, monkeypatch, words, message):
    monkeypatch.setenv("NGAN_MODEL", model)
    write_folders(["a.png"])
    write_pair()
    os.symlink("face.png", "link.json")
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    assert main(["inpaint", *words, "--overwrite"]) == 2
    error = only_error(capsys)
    assert message in error and "so that nothing is lost" in error
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def test_a_report_that_cannot_be_written_is_refused_before_the_work(here, model, capsys):
    write_pair()
    words = ["inpaint", "face.png", "mask.png", "-o", "out.png", "--model", model]
    assert main([*words, "--report", "face.png/report.json"]) == 2
    assert "face.png/report.json: cannot be written there" in only_error(capsys)
    assert sorted(os.listdir()) == ["face.png", "mask.png"]


@pytest.mark.parametrize(
    ("variables", "words", "device"),
    [
        ({}, [], None),
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, [], "cuda:1"),
        ({"RANK": "5", "WORLD_SIZE": "8"}, [], "cuda:1"),
        ({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "3"}, [], "cuda:1"),  # more processes than GPUs
        ({"RANK": "1", "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}, [], "cpu"),
        ({"RANK": "1", "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "false"}, [], "cuda:1"),
        ({"RANK": "1", "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}, ["--device", "cuda:0"], "cuda:0"),
        ({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}, ["--backend", "onnx"], None),
    ],
)
def test_each_process_has_the_device_that_the_launcher_means(here, model, monkeypatch, variables, words, device):
    class Chosen(Exception):
        pass

    def choose(model, device, **how):
        raise Chosen(device)

    for name in ("LOCAL_RANK", "ACCELERATE_USE_CPU"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("ngan.commands.Inpainter", choose)
    write_folders([f"{i}.png" for i in range(8)])
    with pytest.raises(Chosen) as chosen:
        main(["inpaint", "faces", "masks", "-o", "out", "--model", model, *words])
    assert chosen.value.args == (device,)


def test_the_module_runs_as_a_command(here, model):
    write_pair()
    done = subprocess.run(
        [sys.executable, "-m", "ngan", "inpaint", "face.png", "mask.png", "-o", "out.png", "--model", model],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("ngan: face.png: No face was found: ") and done.stderr.count("\n") == 1
    assert Image.open("out.png").size == (SIDE, SIDE)


@pytest.mark.parametrize("at", ["torch", "ngan.commands"])
def test_ctrl_c_during_the_imports_ends_as_it_does_later(here, tmp_path, at):
    words = [sys.executable, "-m", "ngan", "info"]
    done = subprocess.run(words, env=interrupting(tmp_path, at), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "ngan: interrupted; the same command goes on\n"


def test_the_console_script_is_the_command():
    (entry,) = re.findall(r'^ngan = "(.*)"$', (Path(__file__).parents[1] / "pyproject.toml").read_text(), re.M)
    module, function = entry.split(":")
    assert getattr(importlib.import_module(module), function) is main


def test_a_folder_shows_its_progress_and_one_picture_does_not(here, model, capsys):
    write_folders(["a.png", "b.png"])
    assert main(["inpaint", "faces", "masks", "-o", "out", "--model", model]) == 0
    assert "2/2" in capsys.readouterr().err
    assert main(["inpaint", "faces/a.png", "masks/a.png", "-o", "a.png", "--model", model]) == 0
    assert "1/1" not in capsys.readouterr().err
