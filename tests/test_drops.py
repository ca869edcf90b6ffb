"""Downloads that break off: taken up again where they stopped, or told of in one line, whatever file it is."""

import json
import re

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from ngan.__main__ import main
from ngan.hub import EMBEDDED, download
from ngan.model import NGAN
from ngan.onnx_model import OnnxNGAN, export_onnx
from page.models import load_inpainter

NAME = "org/ngan-tiny"
CARD = """---
model-index:
- name: x
  results:
  - task: {type: image-to-image}
    dataset: {name: faces, type: faces}
    metrics: [{type: psnr, value: 24.5}]
---
"""
FILES = ("config.json", "model.safetensors", "model.onnx", "README.md")
CHUNK = 64  # bytes that the client writes at a time here, in the place of 10 MB


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    """Every file of a tiny model that is ever fetched."""
    torch.manual_seed(0)
    model = NGAN(code_width=4, image_width=8, blocks=1, attention_every=0, image_size=32).eval()
    folder = tmp_path_factory.mktemp("files")
    model.save_pretrained(folder)
    (folder / "README.md").write_text(CARD)
    (folder / "model.onnx").write_bytes(export_onnx(model))
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture
def served(hub, files, monkeypatch):
    """A Hub with that model, and a client whose pauses between its tries take no time."""
    hub.put(NAME, files)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", CHUNK)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    return hub


def read(name: str) -> object:
    """Have the file fetched by what needs it."""
    if name == "model.onnx":
        return OnnxNGAN(NAME)
    return main(["info", "--model", NAME]) if name == "README.md" else NGAN.from_pretrained(NAME)


@pytest.mark.parametrize("name", FILES)
def test_a_download_that_broke_off_once_is_taken_up_where_it_stopped(served, files, capsys, name):
    half = len(files[name]) // 2
    served.drop[name] = (half, 1)
    assert read(name) is not None
    asked = [wanted for path, wanted in served.ranges if path == name]
    assert asked == ["", f"bytes={half // CHUNK * CHUNK}-"]
    assert download(NAME, name).read_bytes() == files[name]
    if name == "README.md":
        assert "faces: psnr 24.5" in capsys.readouterr().out


@pytest.mark.parametrize("name", FILES[:3])
def test_a_download_that_never_ends_is_told_of_and_leaves_nothing(served, files, tmp_path, name):
    served.drop[name] = (CHUNK // 2, 1000)
    with pytest.raises(ConnectionError, match=f"{NAME}: the download of {name} broke off"):
        read(name)
    assert not list((tmp_path / "cache").rglob(f"snapshots/*/{name}"))
    served.drop.clear()
    read(name)
    assert download(NAME, name).read_bytes() == files[name]


def test_info_without_the_card_tells_the_rest(served, tmp_path, capsys):
    served.drop["README.md"] = (CHUNK // 2, 1000)
    assert main(["info", "--model", NAME, "--json", str(tmp_path / "info.json")]) == 0
    shown = capsys.readouterr().out
    assert f"its card could not be read: {NAME}: the download of README.md broke off" in shown
    assert "GFLOPs" in shown and json.loads((tmp_path / "info.json").read_text())["figures"] is None


@pytest.mark.parametrize("name", FILES[:2])
def test_a_command_ends_with_one_line(served, capsys, name):
    served.drop[name] = (CHUNK // 2, 1000)
    assert main(["info", "--model", NAME]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ngan: ")]
    assert line.startswith(f"ngan: error: {NAME}: the download of {name} broke off")


def test_what_breaks_off_over_xet_is_told_of_alike(monkeypatch):
    def fetch(*_: object, **__: object) -> None:
        raise RuntimeError("data processing error: error decoding response body")

    monkeypatch.setattr("ngan.hub.hf_hub_download", fetch)
    with pytest.raises(ConnectionError, match=f"{NAME}: the download of config.json broke off"):
        NGAN.from_pretrained(NAME)


def fallen_back(monkeypatch, why: str) -> None:
    """Start the page's model, and check that it is the embedded one, with a notice that says why."""
    monkeypatch.setenv("NGAN_MODEL", NAME)
    loaded = load_inpainter()
    assert loaded.source == str(EMBEDDED) and loaded.inpainter.model.image_size == 128
    assert re.search(f"{NAME}, which this page was set up for, could not be loaded: .*{why}", loaded.notice)
    assert len(loaded.notice) < 500


@pytest.mark.parametrize("name", FILES[:2])
def test_the_page_starts_with_the_embedded_model_and_says_why(served, monkeypatch, name):
    served.drop[name] = (CHUNK // 2, 1000)
    fallen_back(monkeypatch, f"the download of {name} broke off")


@pytest.mark.parametrize("dtype", ["int64", "bool", "complex64", "float8_e4m3fn"])
def test_the_page_starts_without_weights_of_another_type(served, files, tmp_path, monkeypatch, dtype):
    (tmp_path / "model.safetensors").write_bytes(files["model.safetensors"])
    weights = load_file(tmp_path / "model.safetensors")
    weights = {name: tensor.to(getattr(torch, dtype)) for name, tensor in weights.items()}
    save_file(weights, tmp_path / "model.safetensors")
    served.put(NAME, {"model.safetensors": (tmp_path / "model.safetensors").read_bytes()})
    fallen_back(monkeypatch, f"of another type: code_generator.* {dtype}.* more")


@pytest.mark.parametrize(
    ("config", "why"),
    [("[" * 200_000, "is not JSON"), ('{"image_size": 4096}', "image_size=4096: must be an integer")],
)
def test_the_page_starts_without_a_configuration_of_no_model(served, monkeypatch, config, why):
    served.put(NAME, {"config.json": config.encode()})
    fallen_back(monkeypatch, why)
