"""The command line: what it writes, what it refuses, what it says and with which status it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ngan.__main__ import main
from ngan.model import NGAN

SIDE = 40  # of the pictures, in pixels


@pytest.fixture
def model(tmp_path) -> str:
    torch.manual_seed(0)
    folder = tmp_path / "model"
    NGAN(code_width=4, image_width=8, blocks=1, image_size=32).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder to work in, and no model named by the environment."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("NGAN_MODEL", raising=False)
    return folder


def picture(seed: int, mode: str = "RGB") -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert(mode)


def hole(side: int = SIDE) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    mask[12:28, 10:30] = 255
    return mask


def write_pair(face: str = "face.png", mask: str = "mask.png", seed: int = 0) -> np.ndarray:
    picture(seed).save(face)
    Image.fromarray(hole()).save(mask)
    return np.asarray(Image.open(face))


def write_folders(names: list[str]) -> None:
    os.mkdir("faces")
    os.mkdir("masks")
    for i, name in enumerate(names):
        write_pair(f"faces/{name}", f"masks/{Path(name).stem}.png", seed=i)


def only_error(capsys) -> str:
    """Return the one line on stderr, an error without a traceback."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("ngan: error: ")
    return lines[0]


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


def test_inpaint_writes_a_file_into_a_folder_that_exists(here, model):
    write_pair("face.jpg")
    os.mkdir("out")
    assert main(["inpaint", "face.jpg", "mask.png", "-o", "out", "--model", model]) == 0
    assert os.listdir("out") == ["face.png"]


def test_inpaint_finds_damage_without_a_mask(here, tmp_path):
    # a model whose location map, logits of +-5, is "damaged" where the picture is dark
    finder = NGAN(code_width=1, image_width=8, blocks=0, patch=1, image_size=32)
    with torch.no_grad():
        for p in finder.code_generator.parameters():
            p.zero_()
        stem, last = finder.code_generator.stem, finder.code_generator.up2
        stem.weight[0, :3, 2, 2] = -1  # channel 0: 3 for black, -0.6 (leaky) for white
        last.weight[3, 2, 1, 1] = 5  # after the two channels from below comes the stem's
        last.bias[3] = -5
    finder.save_pretrained(tmp_path / "finder")
    face = np.full((SIDE, SIDE, 3), 255, np.uint8)
    face[10:20, 10:20] = 0
    Image.fromarray(face).save("face.png")
    words = ["inpaint", "face.png", "--find-damage", "-o", "out.png", "--model", str(tmp_path / "finder")]
    assert main(words) == 0
    changed = (np.asarray(Image.open("out.png")) != face).any(axis=2)
    assert changed[12:18, 12:18].all()
    assert not changed[25:].any() and not changed[:, 25:].any()


def test_inpaint_fills_a_folder_by_name(here, model, capsys):
    write_folders(["a.png", "b.jpg", "c.webp"])
    Path("faces/notes.txt").write_text("no picture")
    assert main(["inpaint", "faces", "masks", "-o", "out", "--model", model]) == 0
    assert sorted(os.listdir("out")) == ["a.png", "b.png", "c.png"]
    for name, source in (("a.png", "a.png"), ("b.png", "b.jpg")):
        known = hole() == 0
        filled, face = np.asarray(Image.open(f"out/{name}")), np.asarray(Image.open(f"faces/{source}"))
        assert np.array_equal(filled[known], face[known])
    shown = capsys.readouterr().err
    assert "3/3" in shown and "ngan:" not in shown


def test_inpaint_prefers_the_mask_of_the_same_full_name(here, model):
    write_folders(["a.webp"])
    write_pair("faces/a.webp", "masks/a.webp")
    Image.fromarray(hole() * 0).save("masks/a.png")  # empty: would be refused
    assert main(["inpaint", "faces", "masks", "-o", "out", "--model", model]) == 0


def test_inpaint_goes_on_after_failures_and_sums_them_up(here, model, capsys):
    write_folders(["a.png", "b.png", "c.png", "d.png", "e.png"])
    Path("faces/b.png").write_bytes(Path("faces/b.png").read_bytes()[:60])
    os.remove("masks/c.png")
    Image.fromarray(hole(30)).save("masks/d.png")
    picture(9).save("faces/e.webp")
    Image.fromarray(hole()).save("masks/a.webp")
    os.remove("masks/a.png")
    os.mkdir("out")
    Path("out/d.png").write_bytes(b"of another day")
    assert main(["inpaint", "faces", "masks", "-o", "out", "--model", model]) == 1
    assert sorted(os.listdir("out")) == ["a.png", "d.png", "e.png"]
    assert Path("out/d.png").read_bytes() == b"of another day"
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ngan:")]
    assert len(lines) == 5
    assert "faces/b.png" in lines[0]
    assert "faces/c.png: no mask of this name in masks" in lines[1]
    assert "faces/d.png" in lines[2] and "30x30" in lines[2]
    assert "faces/e.webp: would overwrite out/e.png, just made from e.png" in lines[3]
    assert lines[4] == "ngan: 4 of 6 faces failed, 2 filled"


def test_inpaint_names_masks_that_it_cannot_choose_between(here, model, capsys):
    write_folders(["a.jpg"])
    Image.fromarray(hole()).save("masks/a.bmp")
    assert main(["inpaint", "faces", "masks", "-o", "out", "--model", model]) == 1
    assert "several masks fit: a.bmp, a.png" in capsys.readouterr().err


def test_inpaint_of_one_broken_picture_fails_with_status_1(here, model, capsys):
    write_pair()
    Path("face.png").write_bytes(b"no picture at all")
    assert main(["inpaint", "face.png", "mask.png", "-o", "out.png", "--model", model]) == 1
    assert "face.png" in only_error(capsys)
    assert not Path("out.png").exists()


def test_a_failed_write_leaves_the_old_file_whole(here, model, monkeypatch, capsys):
    write_pair()
    Path("out.png").write_bytes(b"old")

    def no_space(self, content):
        with open(self, "wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_space)
    assert main(["inpaint", "face.png", "mask.png", "-o", "out.png", "--model", model]) == 1
    assert "No space left" in only_error(capsys)
    assert Path("out.png").read_bytes() == b"old"
    assert sorted(os.listdir()) == ["face.png", "mask.png", "out.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["face.png", "-o", "o.png"], "either MASK or --find-damage"),
        (["face.png", "mask.png", "--find-damage", "-o", "o.png"], "either MASK or --find-damage"),
        (["nobody.png", "mask.png", "-o", "o.png"], "nobody.png: no such file"),
        (["face.png", "nothing.png", "-o", "o.png"], "nothing.png: no such file"),
        (["face.png", "masks", "-o", "o.png"], "give two files or two folders"),
        (["faces", "mask.png", "-o", "o"], "give two files or two folders"),
        (["empty", "masks", "-o", "o"], "empty holds no picture"),
        (["face.png", "mask.png", "-o", "o.jpg"], "o.jpg: cannot be written without loss; end its name in .png"),
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
        ([], "COMMAND"),
        (["paint"], "invalid choice: 'paint'"),
        (["inpaint", "face.png", "mask.png"], "-o/--out"),
        (["evaluate"], "--dataset"),
        (["evaluate", "--dataset", "d", "--masks", "center,sky"], "'sky' is not one of center"),
        (["evaluate", "--dataset", "d", "--limit", "few"], "--limit"),
    ],
)
def test_words_that_do_not_parse_are_one_line_and_status_2(here, capsys, words, message):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert message in only_error(capsys)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--help"], ["inpaint", "evaluate"]),
        (["inpaint", "--help"], ["--find-damage", "python -m ngan inpaint face.jpg mask.png -o filled.png"]),
        (["evaluate", "--help"], ["--grid", "center, box, inner", "(default: validation)"]),
    ],
)
def test_help(capsys, words, told):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in told)


@pytest.fixture
def dataset(here) -> str:
    folder = here / "set" / "validation"
    folder.mkdir(parents=True)
    for i in range(4):
        picture(i).save(folder / f"{i}.png")
    return "set"


def test_evaluate_prints_the_table_and_writes_figures_and_grid(here, dataset, model, capsys):
    words = ["evaluate", "--dataset", dataset, "--masks", "center,box", "--damages", "solid", "--model", model]
    words += ["--limit", "3", "--seed", "5", "--json", "out/figures.json", "--grid", "out/grid.png"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    figures = json.loads(Path("out/figures.json").read_text())
    told = {"model": model, "dataset": "set", "split": "validation", "n": 3, "seed": 5, "image_size": 32}
    assert {key: figures[key] for key in told} == told
    assert figures["torch"] == torch.__version__
    assert list(figures["masks"]) == ["center", "box"] and list(figures["damages"]) == ["solid"]
    assert f"| OpenCV Telea | {figures['masks']['center']['telea']['psnr']:.2f} |" in shown
    assert "3 faces of set, validation, 32x32, seed 5" in shown
    assert Image.open("out/grid.png").size == (5 * 98 + 2, (18 + 4 * 98) + (18 + 98))
    assert sorted(os.listdir("out")) == ["figures.json", "grid.png"]

    assert main([*words, "--json", "out/again.json"]) == 0
    assert Path("out/again.json").read_bytes() == Path("out/figures.json").read_bytes()


def test_evaluate_can_leave_a_table_out(here, dataset, model, capsys):
    assert main(["evaluate", "--dataset", dataset, "--masks", "none", "--damages", "noise", "--model", model]) == 0
    shown = capsys.readouterr().out
    assert "| noise |" in shown and "Telea" not in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "./nowhere"], "nowhere"),
        (["--dataset", "set", "--split", "test"], "'test'"),
        (["--dataset", "set", "--limit", "0"], "limit=0"),
        (["--dataset", "set", "--masks", "none", "--damages", "none"], "nothing to measure"),
        (["--dataset", "set", "--grid", "grid.jpg"], "grid.jpg: cannot be written without loss"),
        (["--dataset", "set", "--json", "set"], "set is a folder; name a file"),
    ],
)
def test_evaluate_refuses_what_cannot_be_done(here, dataset, model, capsys, words, message):
    assert main(["evaluate", "--model", model, *words]) == 2
    last = capsys.readouterr().err.splitlines()[-1]  # after the bar of the decoding
    assert last.startswith("ngan: error: ") and message in last


def test_the_module_runs_as_a_command(here, model):
    write_pair()
    done = subprocess.run(
        [sys.executable, "-m", "ngan", "inpaint", "face.png", "mask.png", "-o", "out.png", "--model", model],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert Image.open("out.png").size == (SIDE, SIDE)
