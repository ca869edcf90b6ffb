"""Tests of the page in headless Chromium: what a person sees and does, from an empty canvas to the result.

Skipped, with the reason, where Playwright or Chromium is missing; NGAN_REQUIRE_BROWSER=1 makes that a failure.
"""

import importlib.util
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from editor import CHROMIUM, CHROMIUM_ARGS, ROOT, Editor, running_page
from PIL import Image

from ngan.model import NGAN

pytestmark = pytest.mark.slow

SIZE = (300, 240)  # of the test picture, in pixels
POINTS = [(120, 100), (180, 100), (180, 140)]
RADIUS = 18  # of the page's brush, in pixels of the picture


@pytest.fixture(scope="module")
def browser() -> Iterator:
    missing = [
        what
        for what, there in (
            ("playwright is not installed", importlib.util.find_spec("playwright")),
            (f"there is no Chromium at {CHROMIUM} (CHROMIUM names another place)", Path(CHROMIUM).exists()),
        )
        if not there
    ]
    if missing and os.environ.get("NGAN_REQUIRE_BROWSER") == "1":
        pytest.fail(f"NGAN_REQUIRE_BROWSER=1, but {' and '.join(missing)}")
    if missing:
        pytest.skip(" and ".join(missing))
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS, headless=True)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def url(browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page")
    torch.manual_seed(0)
    net = NGAN(code_width=8, image_width=8, blocks=1, attention_every=0, image_size=32)
    with torch.no_grad():
        net.code_generator.up2.weight.mul_(10)  # sees damage here and there, not everywhere
    net.save_pretrained(folder / "model")
    with running_page(folder / "model", folder) as address:
        yield address


@contextmanager
def opened(browser, url: str, **options: object) -> Iterator:
    """The page in a fresh browser window; at its end, nothing may have failed or left the machine."""
    outside, errors = [], []
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    page = context.new_page()
    page.on("request", lambda r: None if r.url.startswith((url, "data:", "blob:")) else outside.append(r.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    yield page
    assert not outside and not errors
    context.close()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    pixels = np.stack([x * 255 // SIZE[0], y * 255 // SIZE[1], (x + y) % 256], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "face.png")
    return tmp_path / "face.png"


def toast(page, text: str) -> None:
    page.get_by_test_id("toast-body").filter(has_text=text).first.wait_for(timeout=30_000)


def result(page, url: str) -> tuple[np.ndarray, np.ndarray]:
    """Before and after, as the server sends them to the slider."""
    page.locator("#slider img").nth(1).wait_for(timeout=60_000)
    sources = page.locator("#slider img").evaluate_all("images => images.map(image => image.src)")
    assert len(sources) == 2 and all(source.startswith(url) for source in sources)
    pictures = [Image.open(io.BytesIO(httpx.get(source).raise_for_status().content)) for source in sources]
    assert all(picture.format == "PNG" for picture in pictures)
    return tuple(np.asarray(picture.convert("RGB")) for picture in pictures)


def near_stroke(radius: float) -> np.ndarray:
    """(H, W), bool: pixels within `radius` of the line through POINTS."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    distance = np.full(x.shape, np.inf)
    for (x0, y0), (x1, y1) in zip(POINTS, POINTS[1:], strict=False):
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2)
        along = along.clip(0, 1)
        distance = np.minimum(distance, np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)))
    return distance <= radius


def paint_and_check(page, editor: Editor, url: str, picture: Path) -> None:
    editor.stroke(POINTS)
    page.locator("#fill").click()
    before, after = result(page, url)
    truth = np.asarray(Image.open(picture))
    changed = (after != truth).any(axis=-1)
    assert np.array_equal(before, truth)
    assert not changed[~near_stroke(RADIUS + 5)].any()
    assert changed[near_stroke(RADIUS - 5)].mean() > 0.8


def test_a_stroke_is_filled_and_the_rest_is_untouched(browser, url: str, picture: Path):
    with opened(browser, url) as page:
        editor = Editor(page, SIZE)
        page.locator("#fill").click()
        toast(page, "Open a picture first")
        editor.open(picture)
        page.locator("#fill").click()
        toast(page, "Nothing is painted")
        paint_and_check(page, editor, url, picture)
        page.locator("#inside img").nth(3).wait_for(timeout=30_000)
        with page.expect_download() as download:
            page.locator("#download").click()
        _, after = result(page, url)
        assert np.array_equal(np.asarray(Image.open(download.value.path())), after)


def test_the_page_works_on_a_phone(browser, url: str, picture: Path):
    with opened(browser, url, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as page:
        editor = Editor(page, SIZE)
        editor.open(picture, "input[data-testid$='-upload-button']")
        paint_and_check(page, editor, url, picture)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_an_example_is_filled_without_a_stroke(browser, url: str):
    with opened(browser, url) as page:
        editor = Editor(page, (396, 396))
        page.locator("button:has(img[src*='astronaut_marked'])").first.click()
        editor.wait_for_picture()
        page.locator("#find").click()
        before, after = result(page, url)
        truth = np.asarray(Image.open(ROOT / "examples" / "astronaut_marked.png"))
        assert np.array_equal(before, truth) and after.shape == truth.shape and (after != truth).any()


def test_a_file_that_is_no_picture_is_named_so(browser, url: str, tmp_path: Path):
    (tmp_path / "text.png").write_text("no picture")
    with opened(browser, url) as page:
        Editor(page, SIZE)
        page.locator("#editor input[type=file]").set_input_files(str(tmp_path / "text.png"))
        toast(page, "not a picture")
        page.wait_for_timeout(500)
        assert not re.search(r"processing", page.locator("#editor").inner_text())


def test_a_large_photo_is_ready_soon_and_filled_at_its_own_size(browser, url: str, tmp_path: Path):
    exif = Image.Exif()
    exif[274] = 6
    Image.radial_gradient("L").resize((3000, 2000)).convert("RGB").save(tmp_path / "photo.jpg", exif=exif)
    with opened(browser, url) as page:
        editor = Editor(page, (512, 768))
        editor.open(tmp_path / "photo.jpg")
        editor.stroke([(150, 300), (350, 300)])
        page.locator("#fill").click()
        before, after = result(page, url)
        assert before.shape == after.shape == (1600, 1067, 3)
        with page.expect_download() as download:
            page.locator("#download").click()
        whole = Image.open(download.value.path())
        assert whole.size == (2000, 3000)
