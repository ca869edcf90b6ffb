"""evaluate, info and export of the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image
from shell import only_error, picture

from ngan.__main__ import main
from ngan.model import NGAN
from ngan.onnx_model import OnnxNGAN


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


def test_evaluate_renews_a_card_and_leaves_what_people_wrote(here, dataset, model, capsys):
    for i in range(4, 7):
        picture(i).save(here / "set" / "validation" / f"{i}.png")
    card = Path(model) / "README.md"
    old = "---\nlicense: mit\nmodel-index:\n- name: a\n  results: []\n---\n\n# Mine\n\n{}## Limits and bias\n\nMany.\n"
    card.write_text(old.format("<!-- ngan: figures -->\n## Figures\n\nOLD\n<!-- /ngan: figures -->\n\n"))
    words = ["evaluate", "--dataset", dataset, "--masks", "box", "--damages", "none", "--model", model]
    assert main([*words, "--self-ensemble", "--off-frame", "--differences", "--update-card"]) == 0
    shown, text = capsys.readouterr().out, card.read_text()
    assert "OLD" not in text and "# Mine\n" in text and text.endswith("## Limits and bias\n\nMany.\n")
    figures = json.loads((Path(model) / "results.json").read_text())
    assert figures["dataset"] == "set" and "model" not in figures and figures["n"] == 7
    data = ModelCard(text).data
    assert data.license == "mit"
    assert {r.metric_name: r.metric_value for r in data.eval_results}["PSNR, box hole"] == pytest.approx(
        figures["masks"]["box"]["ngan"]["psnr"], abs=1e-4
    )
    assert f"| NGAN, self-ensemble | {figures['masks']['box']['self_ensemble']['psnr']:.2f} |" in text
    assert list(figures["masks"]) == ["box", "center off frame", "feature off frame"]
    assert "| feature off frame |" in text and "| feature off frame |" in shown
    darkest = figures["differences"]["brightness"]["lowest"]
    row = f"| brightness of the face | {darkest['psnr_hole']:.2f} ± {darkest['standard_error']:.2f} |"
    assert row in text and row in shown and "### Differences between faces" in text

    assert main([*words, "--update-card"]) == 0  # and without differences they go
    assert "Differences" not in card.read_text()
    assert f"figures of 7 faces written to {card}" in capsys.readouterr().out
    assert main([*(word for word in words if word not in ("--model", model)), "--update-card"]) == 2
    assert "--update-card needs --model" in capsys.readouterr().err
    card.unlink()
    assert main([*words, "--update-card"]) == 2
    assert "not a folder with a model's card" in capsys.readouterr().err


def test_evaluate_prints_signs_that_the_terminal_has_not_as_question_marks(here, dataset, model):
    for i in range(4, 7):
        picture(i).save(here / "set" / "validation" / f"{i}.png")
    words = f"evaluate --dataset {dataset} --masks none --damages solid --differences --model {model}"
    variables = {"PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "ngan", *words.split(), "--json", "out.json"]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert " ? " in done.stdout and Path("out.json").is_file()


def test_too_few_faces_for_thirds_are_refused_before_the_measuring(here, dataset, model, capsys, monkeypatch):
    def measured(*given, **how):
        raise AssertionError("measured, to no use")

    monkeypatch.setattr("ngan.evaluation.evaluate", measured)
    picture(4).save(here / "set" / "validation" / "4.png")
    assert main(["evaluate", "--dataset", dataset, "--differences", "--json", "out.json", "--model", model]) == 2
    assert "--differences: 5 faces; thirds of them need at least 6" in capsys.readouterr().err.splitlines()[-1]
    assert not Path("out.json").exists()


def test_evaluate_can_leave_a_table_out(here, dataset, model, capsys):
    assert main(["evaluate", "--dataset", dataset, "--masks", "none", "--damages", "noise", "--model", model]) == 0
    shown = capsys.readouterr().out
    assert "| noise |" in shown and "Telea" not in shown


def test_evaluate_takes_the_column_that_is_named(here, model, capsys):
    pictures = datasets.Features({name: datasets.Image() for name in ("image", "mask")})
    columns = {name: [picture(seed) for seed in range(2)] for name in pictures}
    datasets.DatasetDict({"validation": datasets.Dataset.from_dict(columns, features=pictures)}).save_to_disk("set")
    words = ["evaluate", "--dataset", "set", "--masks", "none", "--damages", "solid", "--off-frame", "--model", model]
    capsys.readouterr()
    assert main(words) == 2
    assert "name one of them, on a command line as --image_column" in capsys.readouterr().err.splitlines()[-1]
    assert main([*words, "--image_column", "image"]) == 0
    assert f"{model} on 2 faces of set" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "./nowhere"], "nowhere"),
        (["--dataset", "set", "--split", "test"], "'test'"),
        (["--dataset", "set", "--limit", "0"], "limit=0"),
        (["--dataset", "set", "--masks", "none", "--damages", "none"], "nothing to measure"),
        (["--dataset", "set", "--grid", "grid.jpg"], "grid.jpg: JPEG would blur its pixels"),
        (["--dataset", "set", "--json", "set"], "set is a folder; name a file"),
        (["--dataset", "set", "--json", "../model/config.json/x"], "config.json/x: cannot be written there"),
        (["--dataset", "set", "--grid", "../model/config.json/x.png"], "x.png: cannot be written there"),
        (["--dataset", "set", "--json", "x.png", "--grid", "./x.png"], "x.png would be written twice"),
        (["--dataset", "set", "--grid", "set/validation/0.png"], "lies within set, an input"),
        (["--dataset", "set", "--json", "../model/config.json"], "config.json is an input"),
    ],
)
def test_evaluate_refuses_what_cannot_be_done(here, dataset, model, capsys, words, message):
    assert main(["evaluate", "--model", model, *words]) == 2
    last = capsys.readouterr().err.splitlines()[-1]  # after the bar of the decoding
    assert last.startswith("ngan: error: ") and message in last


CARD = """---
model-index:
- name: x
  results:
  - task: {type: image-to-image}
    dataset: {name: "faces, center holes", type: faces, split: validation}
    metrics: [{type: psnr, value: 24.5}]
---
# x
"""


def test_info_tells_size_cost_and_the_cards_figures(here, model, capsys):
    Path(model, "README.md").write_text(CARD)
    assert main(["info", "--model", model, "--json", "out/info.json"]) == 0
    shown = capsys.readouterr().out
    told = json.loads(Path("out/info.json").read_text())
    network = NGAN.from_pretrained(model)
    assert told["parameters"] == sum(p.numel() for p in network.parameters())
    assert told["parameters"] == told["code_generator_parameters"] + told["image_generator_parameters"]
    assert told["image_size"] == 32 and told["loaded_from"] == model
    # twice the side: four times the convolutions; no attention in this model
    assert told["gflops"]["64"] == pytest.approx(4 * told["gflops"]["32"], abs=0.02)
    figure = {"dataset": "faces, center holes", "split": "validation", "metric": "psnr", "value": 24.5}
    assert told["figures"] == [figure]
    assert f"{told['parameters']:,} parameters" in shown
    assert "faces, center holes: psnr 24.5" in shown


@pytest.mark.parametrize("words", ["info", "evaluate --dataset set --masks box --damages none --update-card"])
def test_cards_are_read_and_written_where_utf_8_is_not_the_encoding(here, dataset, model, words):
    card = Path(model, "README.md")
    card.write_text(CARD + "Für Gesichter\n", encoding="utf-8")
    variables = {"PYTHONPATH": str(Path(__file__).parents[1]), "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-X", "utf8=0", "-m", "ngan", *words.split(), "--model", model]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "psnr 24.5" in done.stdout or "## Figures" in card.read_text(encoding="utf-8")
    assert "Für Gesichter\n" in card.read_text(encoding="utf-8")


BROKEN = [
    ("---\nlicense: [\n---\n", "its card could not be read: while parsing a flow node"),
    ("---\n- a\n---\n", "its card could not be read: repo card metadata block should be a dict"),
    ("---\ntags: 5\n---\n", "its card could not be read: "),
    ("---\neval_results: [3]\n---\n", "its card could not be read: "),
    ("---\nmodel-index: [a]\n---\n", "its card holds no figures"),
    (CARD.replace("24.5", '"12 dB"'), "faces, center holes: psnr '12 dB', which is no number"),
    (CARD.replace("24.5", ".nan"), "faces, center holes: psnr 'nan', which is no number"),
    (CARD.replace('"faces, center holes"', "2024-01-01"), "2024-01-01: psnr 24.5"),
]


@pytest.mark.parametrize(("card", "words"), BROKEN)
def test_info_tells_the_rest_beside_a_broken_card(here, model, capsys, card, words):
    Path(model, "README.md").write_text(card)
    assert main(["info", "--model", model, "--json", "info.json"]) == 0
    captured = capsys.readouterr()
    assert "GFLOPs" in captured.out and words in captured.out and captured.out.count("its card ") <= 1
    assert "Traceback" not in captured.err
    assert json.loads(Path("info.json").read_text())["image_size"] == 32


def test_info_counts_the_operations_of_attention_too(here, capsys):
    assert main(["info"]) == 0
    shown = capsys.readouterr().out
    assert "4.28 GFLOPs for a picture of 128x128" in shown and "18.14 GFLOPs for a picture of 256x256" in shown


def test_info_of_a_model_without_a_card_says_so(here, model, capsys):
    os.remove(Path(model, "README.md"))
    assert main(["info", "--model", model]) == 0
    assert "its card holds no figures" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["info", "--model", "./nowhere"], "nowhere"),
        (["info", "--model", "../model/model.safetensors"], "is a file; give the folder it lies in, ../model"),
        (["info", "--model", "../model.onnx"], "../model.onnx is an exported file, which backend='onnx' runs"),
        (["info", "--json", "."], ". is a folder; name a file"),
        (["export", "-o", "model.pt"], "model.pt: name a file that ends in .onnx"),
        (["export", "-o", "model.onnx", "--opset", "9"], "opset=9: must be from 18 to 23"),
        (["export", "-o", "model.onnx", "--model", "./nowhere"], "nowhere"),
    ],
)
def test_info_and_export_refuse_what_cannot_be_done(here, model, capsys, monkeypatch, words, message):
    monkeypatch.setenv("NGAN_MODEL", model)
    Path("../model.onnx").touch()
    assert main(words) == 2
    assert message in only_error(capsys)
    assert os.listdir() == []


def test_export_writes_a_checked_file(here, model, capsys):
    assert main(["export", "--model", model, "-o", "new/model.onnx"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("new/model.onnx: ") and "opset 18, differs from the original by at most" in shown
    assert os.listdir("new") == ["model.onnx"]
    assert OnnxNGAN("new").image_size == 32
