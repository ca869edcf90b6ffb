"""The words of the command line: which do not parse and how that is said, and its help."""

import sys

import pytest
import torch
from shell import only_error

import ngan
from ngan.__main__ import main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "COMMAND"),
        (["inpaint", "a.png", "b.png", "c.png", "-o", "o"], "c.png; a pattern such as 'photos/*.jpg' needs quotes"),
        (
            ["inpaint", "a.png", "m.png", "-o", "o.png", "--format", "gif"],
            "--format: invalid choice: 'gif' (choose",
        ),
        (["export"], "-o/--out"),
        (["info", "org/name"], "org/name; --model names a model (python -m ngan info --help tells more)"),
        (["info", "--device", "cpu"], "unrecognized arguments: --device cpu (python -m ngan info --help"),
        (["info", "--model", ""], "--model: its value is empty; name a folder or a Hub id, or leave it out"),
        (["paint"], "invalid choice: 'paint'"),
        (["inpant", "a.png"], "; did you mean inpaint? (python -m ngan --help tells more)"),
        (["--versoin"], "required: COMMAND; did you mean --version? (python -m ngan --help tells more)"),
        (["inpaint", "a.png", "m.png", "--format", "tif", "-o", "o/"], "; did you mean tiff? (python -m ngan inpaint"),
        (["inpaint", "a.png", "m.png", "--find"], "required: -o/--out (python -m ngan inpaint --help"),
        (["inpaint", "https://a.b/c.png", "m.png", "-o", "o.png"], "FACE: https://a.b/c.png: addresses are neither"),
        (["inpaint", "a.png", "https://a.b/m.png", "-o", "o.png"], "MASK: https://a.b/m.png: addresses are neither"),
        (["inpaint", "a.png", "m.png", "-o", "s3://a/o.png"], "s3://a/o.png: addresses are neither read nor written;"),
        (["evaluate", "--dataset", "d", "--of_frame"], "arguments: --of_frame; did you mean --off-frame? (python -m"),
        (["info", "--zz"], "unrecognized arguments: --zz (python -m ngan info --help"),
        (["inpaint", "", "--find-damage", "-o", "e"], "FACE: its value is empty; name a file, a folder or a pattern"),
        (["inpaint", "a.png", "", "-o", "e.png"], "MASK: its value is empty; name a file or a folder"),
        (["inpaint", "a.png", "m.png", "-o", ""], "-o/--out: its value is empty; name a file or a folder"),
        (["inpaint", "a.png", "m.png", "-o", "e.png", "--report", ""], "--report: its value is empty"),
        (["inpaint", "--dataset", "", "--find-damage", "-o", "e"], "--dataset: its value is empty"),
        (["evaluate", "--dataset", ""], "--dataset: its value is empty"),
        (["evaluate", "--dataset", "d", "--json", ""], "--json: its value is empty"),
        (["evaluate", "--dataset", "d", "--grid", ""], "--grid: its value is empty"),
        (["export", "-o", ""], "-o/--out: its value is empty"),
        (["inpaint", "face.png", "mask.png"], "-o/--out"),
        (["evaluate"], "--dataset"),
        (["evaluate", "--dataset", "d", "--masks", "center,sky"], "'sky' is not one of center"),
        (["evaluate", "--dataset", "d", "--limit", "few"], "--limit"),
        (["evaluate", "--dataset", "d", "--seed", "-1"], "'-1' must be a whole number from 0 to 4,294,967,295"),
        (["evaluate", "--dataset", "d", "--seed", "4294967296"], "'4294967296' must be a whole number from 0 to"),
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
        (["--help"], ["inpaint", "evaluate", "info", "export", "python -m ngan inpaint face.jpg mask.png"]),
        (["help"], ["inpaint", "evaluate", "info", "export", "python train_accelerate.py --help"]),
        (["help", "info"], ["usage: python -m ngan info", "--json FILE"]),
        (["--version"], [f"ngan {ngan.__version__}, PyTorch {torch.__version__}"]),
        (["inpaint", "--help"], ["goes on with the same command", "by rounding", "accelerate launch --multi_gpu"]),
        (["export", "--help"], ["0.5 = to be found", "pip install onnx onnxscript onnxruntime"]),
        (["inpaint", "--help"], ["--find-damage", "python -m ngan inpaint face.jpg mask.png -o filled.png"]),
        (["evaluate", "--help"], ["--grid", "center, box, face, inner", "(default: validation)"]),
    ],
)
def test_help(capsys, words, told):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in told)


@pytest.mark.parametrize(
    ("script", "program"),
    [("/venv/bin/ngan", "ngan"), ("C:/venv/ngan.exe", "ngan"), ("/site/ngan/__main__.py", "python -m ngan")],
)
def test_the_command_calls_itself_what_it_was_called(capsys, monkeypatch, script, program):
    monkeypatch.setattr(sys, "argv", [script])
    for words in (["--help"], ["inpaint", "--help"]):
        with pytest.raises(SystemExit):
            main(words)
        shown = capsys.readouterr().out
        assert shown.startswith(f"usage: {program} ") and f"  {program} inpaint face.jpg mask.png -o" in shown
        assert (" python -m ngan" in shown) == (program != "ngan")
