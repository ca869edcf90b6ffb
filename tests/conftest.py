"""Small nets, a seeded batch and drawn faces, for all tests."""

import importlib.util
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import gradio as gr
import pytest
import torch
from editor import ROOT, aged, page_model, running_page
from fake_hub import FakeHub
from huggingface_hub import constants
from launching import NOTE, draw_face, draw_faces, train
from launching import TINY as TINY_OPTIONS
from shell import save_model

import train_accelerate
from ngan.config import TrainConfig
from ngan.hub import EMBEDDED
from ngan.inference import Inpainter
from ngan.model import NGAN, NGANDiscriminators

# Small networks, all five trained from the first update, in float32.
TINY = TrainConfig(
    image_size=32,
    code_width=8,
    image_width=8,
    blocks=2,
    attention_every=2,
    discriminator_width=4,
    embedding=8,
    batch_size=2,
    mixed_precision="no",
    find_share=0.0,
    framing_jitter=0.0,
    generator_only_steps=0,
    discriminator_only_steps=0,
)


def pytest_configure(config: pytest.Config) -> None:
    """Compute on one thread, here and in the processes that tests start, unless OMP_NUM_THREADS says otherwise.

    Tensors as small as the tests' are done before a second thread has begun; where others use the cores too, waiting
    for it costs several times the work.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = "1"
        torch.set_num_threads(1)


@pytest.fixture
def tiny_nets() -> tuple[NGAN, NGANDiscriminators]:
    """Both generators and all critics, seeded, in training mode."""
    torch.manual_seed(0)
    return (
        NGAN(code_width=8, image_width=8, blocks=2, attention_every=2, image_size=32),
        NGANDiscriminators(width=4, embedding=8),
    )


@pytest.fixture
def net() -> NGAN:
    """Both generators, seeded."""
    torch.manual_seed(0)
    return NGAN(code_width=8, image_width=8, blocks=2, attention_every=2, image_size=32)


@pytest.fixture
def inpainter(net: NGAN) -> Inpainter:
    """What fills pictures with `net`."""
    return Inpainter(net, device="cpu")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, and neither a model nor a launcher named by the environment."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("NGAN_MODEL", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> str:
    """Name of a folder with a tiny model."""
    return save_model(tmp_path / "model")


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Images (2, 3, 32, 32) in [-1, 1] and masks (2, 1, 32, 32): a centre hole and a box at the edge."""
    generator = torch.Generator().manual_seed(0)
    images = 2 * torch.rand(2, 3, 32, 32, generator=generator) - 1
    masks = torch.zeros(2, 1, 32, 32)
    masks[0, :, 8:24, 8:24] = 1
    masks[1, :, 20:, :10] = 1
    return images, masks


@pytest.fixture
def face_folder(tmp_path: Path) -> Path:
    """A folder with 12 drawn faces of 64 x 64 pixels under train and 4 under validation."""
    for split, seeds in {"train": range(12), "validation": range(100, 104)}.items():
        (tmp_path / "faces" / split).mkdir(parents=True)
        for seed in seeds:
            draw_face(seed).save(tmp_path / "faces" / split / f"{seed:03}.png")
    return tmp_path / "faces"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The page, of a tiny model that sees damage here and there, on a folder a killed server left something in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NGAN_MODEL", str(page_model(tmp_path_factory.mktemp("model"))))
        cache = tmp_path_factory.mktemp("cache")
        aged(cache / "ngan" / "killed" / "photo.png")
        patch.setenv("GRADIO_TEMP_DIR", str(cache))
        spec = importlib.util.spec_from_file_location("app_under_test", ROOT / "app.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="session")
def tiny_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the running page of a tiny model, for all tests that neither read its log nor stop it."""
    folder = tmp_path_factory.mktemp("tiny_page")
    with running_page(page_model(folder / "model"), folder) as address:
        yield address


@pytest.fixture(scope="session")
def embedded_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same of the models that come with the package."""
    with running_page(EMBEDDED, tmp_path_factory.mktemp("embedded_page")) as address:
        yield address


@pytest.fixture
def hearing_hang_ups() -> Iterator[None]:
    """Take the signal of a closing terminal as usual, in processes that a test starts too, though tests under nohup
    do not."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the page shows as a notice."""
    notices: list[str] = []
    monkeypatch.setattr(gr, "Warning", notices.append)
    monkeypatch.setattr(gr, "Info", notices.append)
    return notices


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub of this test's own, which this process's client talks to, with an empty cache and no token."""
    with FakeHub(tmp_path / "hub") as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


@pytest.fixture
def main(capsys) -> Iterator[Callable[..., subprocess.CompletedProcess]]:
    """`train_accelerate.main` with tiny networks: (faces, output, *arguments) -> what a process would have given.

    On one thread, as `launching.train`: another number of threads adds in another order, and rounds otherwise.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def run(faces: Path, output: Path, *arguments: str) -> subprocess.CompletedProcess:
        capsys.readouterr()
        words = ["--dataset", str(faces), "--output_dir", str(output), *TINY_OPTIONS, *arguments]
        status = train_accelerate.main(words)
        return subprocess.CompletedProcess(words, status, *capsys.readouterr())

    yield run
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A finished run of 6 updates with checkpoints every 2, and its faces beside it."""
    folder = tmp_path_factory.mktemp("train")
    draw_faces(folder / "faces")
    done = train(
        folder / "faces",
        folder / "run",
        *"--max_train_steps 6 --checkpoint_every 2 --checkpoints_keep 2 --sample_every 3 --sample_faces 3".split(),
        *("--data_note", NOTE),
    )
    assert done.returncode == 0, done.stderr
    return folder
