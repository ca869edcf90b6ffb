"""Small nets, a seeded batch and drawn faces, for all tests."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import gradio as gr
import numpy as np
import pytest
import torch
from editor import ROOT, aged, page_model
from fake_hub import FakeHub
from huggingface_hub import constants
from PIL import Image, ImageDraw

from ngan.config import TrainConfig
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


@pytest.fixture
def tiny_nets() -> tuple[NGAN, NGANDiscriminators]:
    """Both generators and all critics, seeded, in training mode."""
    torch.manual_seed(0)
    return (
        NGAN(code_width=8, image_width=8, blocks=2, attention_every=2, image_size=32),
        NGANDiscriminators(width=4, embedding=8),
    )


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


def draw_face(seed: int, size: int = 64) -> Image.Image:
    """Draw hair, head, eyes, nose and mouth, about where an aligned face has them, RGB of `size` pixels a side."""
    random = np.random.default_rng(seed)

    def colour(low: int, high: int) -> tuple[int, ...]:
        return tuple(int(value) for value in random.integers(low, high, 3))

    def ellipse(x: float, y: float, rx: float, ry: float, fill: tuple[int, ...]) -> None:
        pen.ellipse([size * (x - rx), size * (y - ry), size * (x + rx), size * (y + ry)], fill=fill)

    image = Image.new("RGB", (size, size), colour(0, 256))
    pen = ImageDraw.Draw(image)
    x, y = 0.5 + random.uniform(-0.03, 0.03, 2)
    wide, iris, skin = random.uniform(0.26, 0.34), colour(10, 120), colour(120, 240)
    ellipse(x, y - 0.08, wide + 0.06, 0.40, colour(0, 130))
    ellipse(x, y + 0.02, wide, 0.38, skin)
    for side in (-1, 1):
        ellipse(x + 0.14 * side, y - 0.06, 0.06, 0.035, (245, 245, 245))
        ellipse(x + 0.14 * side, y - 0.06, 0.028, 0.028, iris)
    ellipse(x, y + 0.07, 0.03, 0.07, tuple(int(0.85 * value) for value in skin))
    ellipse(x, y + 0.22, random.uniform(0.08, 0.14), 0.03, (170, 50, 60))
    return image


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
