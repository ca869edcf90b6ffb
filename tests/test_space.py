"""The page as a Space: its model from the Hub, and what the documented commands send there, started as a Space is."""

import ast
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from editor import ROOT, client_of, page_model, running_page
from fake_hub import TOKEN, FakeHub
from gradio_client import handle_file
from huggingface_hub import hf_hub_download
from PIL import Image
from safetensors.torch import load_file, save_file

from ngan.hub import CRISP, EMBEDDED
from ngan.inference import Inpainter
from ngan.model import NGAN
from page.models import load_inpainter

README = (ROOT / "README.md").read_text()
SECTION = README.split("## On the Hub\n")[1].split("\n## ")[0]
NAME = "org/ngan-tiny"
SENT = {"LICENSE", "README.md", "app.py", "docs", "examples", "ngan", "page", "requirements.txt"}
LEFT = set(
    "data/a.parquet faces/a.jpg runs/x/model/model.safetensors artifacts/a.png model.onnx tests/test_a.py .env "
    ".cache/a .gradio/a ngan/__pycache__/a.pyc page/__pycache__/a.pyc".split()
)
UNNAMED = {"spaces"}  # there on ZeroGPU and not missed elsewhere


@pytest.fixture
def model(tmp_path: Path) -> dict[str, bytes]:
    """The files of a tiny model."""
    return {path.name: path.read_bytes() for path in page_model(tmp_path / "tiny").iterdir()}


@pytest.fixture
def unreachable(hub: FakeHub, monkeypatch: pytest.MonkeyPatch):
    """Call it, and the Hub answers no more; the client's pauses between its tries take no time."""

    def stop() -> None:
        hub.server.shutdown()
        hub.server.server_close()
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)

    return stop


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    mine, theirs = a.state_dict(), b.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name].cpu(), theirs[name].cpu()) for name in mine)


def run(command: str, folder: Path, hub: FakeHub) -> None:
    """Run a command of README in a folder, with the `hf` of this Python and a Hub of the test's own."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, **hub.env, "HF_HOME": str(folder.parent / "hf"), "PATH": path}
    done = subprocess.run(["bash", "-euc", command], cwd=folder, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def command_of(start: str) -> str:
    """The one command of README's section that starts so, its continuation lines included."""
    (found,) = re.findall(rf"^    ({re.escape(start)}(?:.*\\\n)*.*)$", SECTION, re.M)
    return found


def fallback(caplog: pytest.LogCaptureFixture, why: str) -> str:
    """Load, check that it is the embedded model and that page and log say why; return the notice."""
    loaded = load_inpainter()
    assert loaded.source == str(EMBEDDED) and same(loaded.inpainter.model, NGAN.from_pretrained(EMBEDDED))
    assert re.search(f"could not be loaded: .*{why}", loaded.notice) and "embedded model" in loaded.notice
    (line,) = [record.getMessage() for record in caplog.records if record.name == "page.models"]
    assert re.search(why, line) and "\n" not in line + loaded.notice and "Traceback" not in line
    assert all(os.environ["NGAN_MODEL"] in text for text in (line, loaded.notice))
    return loaded.notice


def page_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "pictures"))
    spec = importlib.util.spec_from_file_location("space_under_test", ROOT / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def html_of(app: ModuleType, name: str) -> list[str]:
    return [block.value for block in app.demo.blocks.values() if getattr(block, "elem_id", None) == name]


def test_the_named_model_is_pulled_from_the_hub(hub, model, tmp_path, monkeypatch, caplog):
    hub.put(NAME, model)
    monkeypatch.setenv("NGAN_MODEL", NAME)
    app = page_of(tmp_path, monkeypatch)
    assert same(app.loaded.inpainter.model, NGAN.from_pretrained(tmp_path / "tiny"))
    assert html_of(app, "notice") == [] and NAME in html_of(app, "about")[0]
    assert not [record for record in caplog.records if record.name == "page.models"]


def test_the_named_revision_is_pulled(hub, model, tmp_path, monkeypatch):
    commit = hub.put(NAME, model)
    weights = {name: 2 * tensor for name, tensor in load_file(tmp_path / "tiny" / "model.safetensors").items()}
    save_file(weights, tmp_path / "other.safetensors")
    hub.put(NAME, {"model.safetensors": (tmp_path / "other.safetensors").read_bytes()})
    tiny = NGAN.from_pretrained(tmp_path / "tiny")
    for revision, pulled in ((commit, True), ("main", False)):
        monkeypatch.setenv("NGAN_MODEL", f"{NAME}@{revision}")
        loaded = load_inpainter()
        assert loaded.notice == "" and loaded.source == f"{NAME}@{revision}"
        assert same(loaded.inpainter.model, tiny) == pulled


@pytest.mark.parametrize("revision", ["", "@main", "@commit"])
def test_what_readme_preloads_is_enough_without_a_hub(hub, model, tmp_path, monkeypatch, unreachable, revision):
    commit = hub.put(NAME, model)
    (line,) = re.findall(r"preload_from_hub:\n\s+- org/ngan-celeba (\S+)$", SECTION, re.M)
    preloaded = commit if revision == "@commit" else "main"
    for file in line.split(","):
        hf_hub_download(NAME, file, revision=preloaded)
    unreachable()
    monkeypatch.setenv("NGAN_MODEL", NAME + revision.replace("commit", commit))
    loaded = load_inpainter()
    assert loaded.notice == "" and same(loaded.inpainter.model, NGAN.from_pretrained(tmp_path / "tiny"))


def test_without_hub_and_copy_the_page_says_what_it_uses(hub, tmp_path, monkeypatch, caplog, unreachable):
    unreachable()
    monkeypatch.setenv("NGAN_MODEL", "org/<b>ngan")
    fallback(caplog, "Repo id must use alphanumeric")
    caplog.clear()
    monkeypatch.setenv("NGAN_MODEL", NAME)
    notice = fallback(caplog, "the Hub could not be reached, and no copy is in the cache")
    app = page_of(tmp_path, monkeypatch)
    (shown,) = html_of(app, "notice")
    assert 'role="alert"' in shown and notice in shown
    assert "CelebA" in html_of(app, "about")[0] and NAME not in html_of(app, "about")[0]
    order = [getattr(block, "elem_id", None) for block in app.demo.blocks.values()]
    assert order.index("head") < order.index("notice") < order.index("editor")
    with pytest.raises(OSError):
        Inpainter()  # code is told, and decides for itself


def test_a_name_cannot_write_into_the_page(tmp_path, monkeypatch):
    monkeypatch.setenv("NGAN_MODEL", "/<script>alert(1)</script>")
    (shown,) = html_of(page_of(tmp_path, monkeypatch), "notice")
    assert "<script>" not in shown and "&lt;script&gt;" in shown


def test_a_download_that_breaks_off_is_said(hub, model, monkeypatch, caplog):
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    hub.put(NAME, model)
    hub.drop["model.safetensors"] = (1000, 1000)
    monkeypatch.setenv("NGAN_MODEL", NAME)
    fallback(caplog, "download of model.safetensors broke off")


@pytest.mark.parametrize("token", [None, TOKEN])
def test_an_unknown_model_is_said(hub, monkeypatch, caplog, token):
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setenv("NGAN_MODEL", "org/none")
    fallback(caplog, "no such model on the Hub, or it is private and no HF_TOKEN")


def test_a_private_model_takes_the_token_of_the_space(hub, model, tmp_path, monkeypatch, caplog):
    hub.put(NAME, model, private=True)
    monkeypatch.setenv("NGAN_MODEL", NAME)
    fallback(caplog, "private")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    loaded = load_inpainter()
    assert loaded.notice == "" and same(loaded.inpainter.model, NGAN.from_pretrained(tmp_path / "tiny"))


def test_an_unknown_revision_is_said(hub, model, monkeypatch, caplog):
    hub.put(NAME, model)
    monkeypatch.setenv("NGAN_MODEL", f"{NAME}@v9")
    fallback(caplog, "no such revision")


WRONG = {
    "no model": ({"config.json": None, "model.safetensors": None, "a.txt": b"a data set"}, "holds no config.json"),
    "another model": ({"config.json": b'{"hidden_size": 768}'}, "does not fit NGAN"),
    "no JSON": ({"config.json": b"{"}, "config.json is not JSON"),
    "tampered": ({"model.safetensors": b"abcd" * 99}, "not a whole safetensors file"),
    "other weights": (
        {"config.json": b'{"blocks": 7, "code_width": 8, "image_width": 8}'},
        "missing: image_generator",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_model_of_this_kind_is_said(hub, model, monkeypatch, caplog, name):
    changed, why = WRONG[name]
    hub.put(NAME, {path: data for path, data in {**model, **changed}.items() if data is not None})
    monkeypatch.setenv("NGAN_MODEL", NAME)
    assert len(fallback(caplog, why)) < 500


def test_a_folder_that_is_not_there_is_said(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("NGAN_MODEL", str(tmp_path / "nowhere"))
    fallback(caplog, "no such folder")


def test_without_any_weights_the_page_does_not_start(tmp_path, monkeypatch):
    monkeypatch.setenv("NGAN_MODEL", str(tmp_path / "nowhere"))
    monkeypatch.setattr("page.models.EMBEDDED", tmp_path / "lost")
    with pytest.raises(FileNotFoundError, match="lost: no such folder"):
        load_inpainter()


def test_whatever_the_space_imports_is_in_its_requirements():
    """Development installs more, so a missing line shows only on the Space."""
    pinned = {line.split("==")[0] for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line}
    pinned = {re.sub("[-_.]+", "-", name).lower() for name in pinned}
    by_module = importlib.metadata.packages_distributions()
    imported = set()
    for path in (ROOT / "app.py", *(ROOT / "page").glob("*.py"), *(ROOT / "ngan").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.split(".")[0])
    foreign = imported - sys.stdlib_module_names - {"ngan", "page"} - UNNAMED
    assert {"torch", "gradio", "huggingface_hub", "cv2", "PIL"} <= foreign
    for module in foreign:
        names = {re.sub("[-_.]+", "-", name).lower() for name in by_module.get(module, [])}
        assert names & pinned, f"{module} comes from {names or 'nowhere'}, which requirements.txt does not name"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the Space is made of, among things that stay at home."""
    folder = tmp_path / "checkout"
    for name in SENT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder)
    for name in LEFT:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"stays at home")
    return folder


ZERO = """
import functools, json, os, sys

def tell(what):
    with open(os.environ["ZERO_LOG"], "a") as log:
        log.write(json.dumps(what) + "\\n")

tell({"imported": True, "torch before": "torch" in sys.modules})

def GPU(function=None, *, duration=60):
    if function is None:
        return functools.partial(GPU, duration=duration)

    @functools.wraps(function)
    def lent(*arguments, **options):
        tell({"called": function.__name__, "duration": duration})
        return function(*arguments, **options)

    tell({"decorated": function.__name__, "duration": duration})
    return lent
"""


@pytest.mark.slow
def test_on_zerogpu_the_page_asks_for_the_gpu_for_each_fill_and_for_nothing_else(tmp_path):
    """With a stand-in for the module that ZeroGPU has: imported before torch, one call through it a request."""
    (tmp_path / "zero").mkdir()
    (tmp_path / "zero" / "spaces.py").write_text(ZERO)
    log, face, mask = (
        tmp_path / "zero.log",
        ROOT / "examples" / "astronaut.png",
        ROOT / "examples" / "astronaut_mouth.png",
    )
    settings = {"PYTHONPATH": str(tmp_path / "zero"), "ZERO_LOG": str(log), "HF_HUB_OFFLINE": "1"}
    with running_page(page_model(tmp_path / "tiny"), tmp_path, **settings) as url:
        started = [json.loads(line) for line in log.read_text().splitlines()]
        client = client_of(url, download_files=str(tmp_path / "got"))
        filled = client.predict(handle_file(str(face)), handle_file(str(mask)), api_name="/inpaint")
        client.predict(handle_file(str(face)), api_name="/find_damage")
    assert started == [{"imported": True, "torch before": False}, {"decorated": "_fill", "duration": 15}]
    called = [json.loads(line) for line in log.read_text().splitlines()][2:]
    assert called == 2 * [{"called": "_fill", "duration": 15}]
    original, hole = np.asarray(Image.open(face).convert("RGB")), np.asarray(Image.open(mask).convert("L")) > 127
    filled = np.asarray(Image.open(filled))
    assert np.array_equal(filled[~hole], original[~hole]) and (filled[hole] != original[hole]).any()


@pytest.mark.slow
def test_the_documented_command_publishes_a_model(hub, model, tmp_path):
    trained = tmp_path / "home" / "runs" / "x" / "model"
    shutil.copytree(tmp_path / "tiny", trained)
    run(command_of("hf upload org/ngan-celeba "), tmp_path / "home", hub)
    assert hub.files("org/ngan-celeba") == set(model)
    assert same(NGAN.from_pretrained("org/ngan-celeba"), NGAN.from_pretrained(trained))


@pytest.mark.slow
def test_what_the_documented_command_sends_is_a_space(hub, checkout, tmp_path, monkeypatch):
    """Sends it to the stand-in Hub, gets it from there into an empty folder, starts it and fills a face."""
    name, space = "org/ngan-space", tmp_path / "space"
    run(command_of(f"hf upload {name} "), checkout, hub)
    sent = hub.files(name, kind="spaces")
    for path in sent:
        (space / path).parent.mkdir(parents=True, exist_ok=True)
        (space / path).write_bytes(hub.read(name, path, kind="spaces"))
    assert {Path(path).parts[0] for path in sent} == SENT
    assert not sent & LEFT and not [path for path in sent if {"discriminators", "__pycache__"} & set(Path(path).parts)]
    size = sum((space / path).stat().st_size for path in sent) / 1e6
    assert size < 40 and abs(size - float(re.search(r"sends the (\d+) MB", SECTION)[1])) < 1

    monkeypatch.chdir(space)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    face, mask = space / "examples" / "astronaut.png", space / "examples" / "astronaut_mouth.png"
    with running_page("", tmp_path, space, HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="") as url:
        client = client_of(url, download_files=str(tmp_path / "got"))
        filled = client.predict(handle_file(str(face)), handle_file(str(mask)), api_name="/inpaint")
        names = [part["props"].get("elem_id") for part in client.config["components"]]
        assert "about" in names and "notice" not in names
    original, hole = np.asarray(Image.open(face).convert("RGB")), np.asarray(Image.open(mask).convert("L")) > 127
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the page: others sum in another order
    filled, expected = np.asarray(Image.open(filled)), np.asarray(Inpainter(CRISP, device="cpu")(face, mask))
    torch.set_num_threads(threads)
    assert np.array_equal(filled[~hole], original[~hole]) and (filled[hole] != original[hole]).any(-1).mean() > 0.9
    assert np.abs(filled.astype(int) - expected).max() <= 2
