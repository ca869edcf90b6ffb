"""What the tests of the page share: the page as a process, a hand on its canvas in a browser, files of some age."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from gradio_client import Client

from ngan.model import NGAN

ROOT = Path(__file__).parent.parent
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--use-fake-device-for-media-stream",  # a webcam that shows a moving figure, and nobody to ask for leave
    "--use-fake-ui-for-media-stream",
]
# Whether the photo on the canvas is zoomed to fit, in a canvas as large as its place, and the page says so.
FITS = """() => {
    const { app, background_image: photo, width, height, tools } = window.editor;
    const zoom = photo && !photo.destroyed && tools.get('zoom');
    if (!zoom || zoom.local_dimensions.width !== width || zoom.local_dimensions.height !== height) return false;
    const { clientWidth, clientHeight } = app.renderer.canvas;
    const placed = Math.abs(app.screen.width - clientWidth) < 1 && Math.abs(app.screen.height - clientHeight) < 1;
    const fit = Math.abs(zoom.local_scale - zoom.calculate_min_zoom(width, height)) < 0.001;
    const middle = Math.abs(zoom.local_position.x + (zoom.local_scale * width - app.screen.width) / 2) < 1;
    const said = parseInt(document.querySelector('#editor .zoom-number').innerText);
    return placed && fit && middle && said === Math.round(100 * zoom.local_scale);
}"""


def page_model(folder: Path) -> Path:
    """Save a tiny model that sees damage here and there; returns its folder."""
    torch.manual_seed(0)
    net = NGAN(code_width=8, image_width=8, blocks=1, attention_every=0, image_size=32)
    with torch.no_grad():
        net.code_generator.up2.weight.mul_(10)
        net.code_generator.location.read.weight.mul_(1000)  # and is sure of it
    net.save_pretrained(folder)
    return folder


def noise_picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    """(H, W, channels), uint8, the same noise every time."""
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


@contextmanager
def running_page(model: Path, folder: Path, root: Path = ROOT, port: int = 0, **environment: str) -> Iterator[str]:
    """Run `app.py`, and wait until it says where: at a port that is taken by then, it goes on to the next free one.

    Args:
        model: folder of the model it loads.
        folder: where its log and its cache of pictures go.
        root: where `app.py` is.
        port: that it listens at; 0 = a free one.
        **environment: variables to set for it besides.

    Yields:
        Its address, ending in a slash.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = port or probe.getsockname()[1]
    settings = {
        "NGAN_MODEL": str(model),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",  # its lines are waited for
    }
    log = folder / "app.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, str(root / "app.py")],
            env={**os.environ, **settings, **environment},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        process.wait(300)


def _address(process: subprocess.Popen, log: Path) -> str:
    end = time.monotonic() + 600
    while time.monotonic() < end:
        said = re.search(r"Running on local URL: +(http://[\d.:]+)\n", log.read_text())
        if said:
            return f"{said[1]}/"
        assert process.poll() is None, f"app.py ended by itself:\n{log.read_text()}"
        time.sleep(0.1)
    raise AssertionError(f"app.py did not answer in 600 s:\n{log.read_text()}")


def client_of(address: str, **options: object) -> Client:
    """A program's client of the page, which waits longer for each answer than the 5 seconds it takes by itself."""
    return Client(address, verbose=False, httpx_kwargs={"timeout": 900}, **options)


def drag(page, box: dict[str, float], to: tuple[float, float]) -> None:
    """Drag what is in the middle of a bounding box to a point on the screen."""
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(*to, steps=4)
    page.mouse.up()


class Editor:
    """The page's canvas; all points are pixels of the picture on it.

    Args:
        page: a Playwright page on which `app.py` is open.
        size: (width, height) of the canvas that is going to be there, in pixels.
    """

    def __init__(self, page, size: tuple[int, int]) -> None:
        self.page = page
        self.size = size
        self.root = page.locator("#editor")
        self.canvas = self.root.locator("canvas").first  # of the two canvases, the first takes the mouse
        self.root.get_by_label("Brush", exact=True).wait_for()

    def open(self, path: Path, selector: str = "#editor input[type=file]") -> None:
        """Give a picture file to the canvas, or to another file input of the page."""
        self.page.evaluate("() => void (window.photo_before = window.editor.background_image)")
        self.page.locator(selector).set_input_files(str(path))
        self.page.wait_for_function("window.editor.background_image !== window.photo_before")
        self.wait_for_picture()

    def wait_for_picture(self) -> None:
        # 'Brush Size' shows once a picture is on the canvas and the brush is chosen
        self.root.get_by_label("Brush Size", exact=True).wait_for()
        self.page.wait_for_function(FITS)

    def choose(self, tool: str) -> None:
        """Take a tool: "Brush" or "Erase"."""
        self.root.get_by_label(tool, exact=True).click()

    def stroke(self, points: list[tuple[float, float]]) -> None:
        """Paint a line through `points`."""
        self.canvas.scroll_into_view_if_needed()
        self.page.evaluate("() => void (window.chain = window.editor.command_manager.history)")
        mouse = self.page.mouse
        mouse.move(*self._on_screen(points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self._on_screen(point), steps=3)
        mouse.up()
        self.page.wait_for_function("window.editor.command_manager.history !== window.chain")  # it is on the layer

    def _on_screen(self, point: tuple[float, float]) -> tuple[float, float]:
        box = self.canvas.bounding_box()
        zoom = float(re.sub(r"[^\d.]", "", self.root.locator(".zoom-number").inner_text())) / 100
        x = box["x"] + box["width"] / 2 + (point[0] - self.size[0] / 2) * zoom
        return x, box["y"] + box["height"] / 2 + (point[1] - self.size[1] / 2) * zoom


def wait_for_server_paint(page) -> None:
    """Wait until what the server painted is on the canvas, a while after its words: Undo would then undo it."""
    page.wait_for_function("window.editor.command_manager.history.command?.name === 'Paint'")


def aged(path: Path, seconds: float = 4000) -> Path:
    """Write a file; nobody wrote to it or its folder for so long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"a face")
    for old in (path, path.parent):
        os.utime(old, (time.time() - seconds,) * 2)
    return path


def wait_until_gone(path: Path) -> None:
    end = time.monotonic() + 300
    while path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.05)
