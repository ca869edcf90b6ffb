"""README's own words, run as they stand: Python, shell, several processes, training."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from launching import ROOT, TINY, draw_face, draw_faces, environment
from PIL import Image
from shell import hole

README = (ROOT / "README.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.slow


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def commands(text: str, start: str) -> list[str]:
    """The indented lines that start so, without their comments."""
    lines = re.findall(rf"^    ({re.escape(start)}.*)$", text, re.M)
    return [re.sub(r"\s+# .*", "", line) for line in lines]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder that has what README's lines name, and the project in it."""
    for name in ("ngan", "configs", "train_accelerate.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in (
        "face.jpg",
        "face.png",
        "scratched.jpg",
        "marked.jpg",
        "party.jpg",
        "far.jpg",
        "photos/b.jpg",
        "photos/a/b.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        draw_face(0, 64).resize((800, 600)).save(tmp_path / name)
    mask = Image.fromarray(hole())
    for name in ("mask.png", "masks/b.png", "masks/a/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        mask.resize((800, 600)).save(tmp_path / name)
    draw_faces(tmp_path / "set", validation=8)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: str, variables: dict[str, str] | None = None) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = environment({"PATH": path, **(variables or {})})
    done = subprocess.run(["bash", "-euc", command], env=settings, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def test_the_python_of_from_code_runs(place):
    blocks = re.findall(r"```python\n(.*?)```", section("From code"), re.S)
    assert len(blocks) == 2
    for block in blocks:
        run(f"{sys.executable} - <<'END'\n{block}\nEND")
    assert {"face.png", "mended.png"} <= {path.name for path in place.iterdir()}


def test_the_lines_of_from_the_shell_run(place):
    lines = commands(section("From the shell").split("\n### ")[0], "python -m ngan ")
    assert {line.split()[3] for line in lines} == {"inpaint", "evaluate", "info", "export"}
    shutil.copytree(ROOT / "ngan/pretrained/ngan-celeba-128", place / "runs/x/model")
    for line in lines:
        shutil.rmtree("filled", ignore_errors=True)
        run(line.replace("PATH_OR_ID", "set"))
    assert "model.onnx" in os.listdir() and "mended.png" in os.listdir() and "out.json" in os.listdir()


def test_the_lines_of_folders_of_any_size_run_in_two_processes(place):
    text = section("From the shell").split("### Folders of any size\n")[1].split("\n### ")[0]
    lines = [line for start in ("accelerate launch --config_file", "torchrun") for line in commands(text, start)]
    assert len(lines) == 2
    rows = {"image": draw_face(1, 64), "mask": Image.fromarray(hole()).resize((64, 64))}
    make_set(place / "rows", rows)
    for line in lines:
        shutil.rmtree("filled", ignore_errors=True)
        run(line.replace("--nproc_per_node 8", "--nproc_per_node 2").replace("org/faces", "rows"))
        assert [path.suffix for path in (place / "filled").rglob("*") if path.is_file()] == [".png"]


def make_set(folder: Path, row: dict[str, Image.Image]) -> None:
    features = datasets.Features({name: datasets.Image() for name in row})
    columns = {name: [picture] for name, picture in row.items()}
    datasets.DatasetDict({"test": datasets.Dataset.from_dict(columns, features=features)}).save_to_disk(str(folder))


def test_the_command_of_training_runs(place):
    (line,) = commands(section("Training").split("\n### ")[0], "accelerate launch train_accelerate.py ")
    run(line.replace("PATH_OR_ID", "set") + " " + " ".join([*TINY, "--max_train_steps 2"]))
    assert (place / "runs/x/model/model.safetensors").is_file()


def test_every_line_that_starts_several_trainings_names_a_configuration(place):
    text = section("Training").split("### Several GPUs and nodes\n")[1].split("\n### ")[0]
    lines = commands(text, "accelerate launch ")
    assert {line.split("configs/")[1].split()[0] for line in lines} == {
        path.name for path in (ROOT / "configs").iterdir()
    }
