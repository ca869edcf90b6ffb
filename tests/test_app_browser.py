"""Tests of the page in headless Chromium: what a person sees and does, from an empty canvas to the result.

Skipped, with the reason, where Playwright or Chromium is missing; NGAN_REQUIRE_BROWSER=1 makes that a failure. What
the page looked like is kept under `artifacts/`.
"""

import base64
import importlib.util
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from editor import CHROMIUM, CHROMIUM_ARGS, ROOT, Editor, drag, noise_picture, wait_for_server_paint
from PIL import Image, ImageDraw, ImageFilter

pytestmark = pytest.mark.slow

SIZE = (600, 480)  # of the test picture, in pixels
CANVAS = (768, 614)  # what it is painted on
POINTS = [(300, 250), (460, 250), (460, 360)]  # of a stroke, in pixels of the canvas
CHEEK = [(140, 130), (240, 130), (140, 160), (240, 160)]  # the same, in the example with two faces
RADIUS = 18  # of the page's brush, in pixels of the canvas
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
SLOW = 240_000  # ms; one core draws everything in software, and others use it too


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
def url(browser, tiny_page: str) -> str:
    return tiny_page


@contextmanager
def opened(browser, url: str, name: str, **options: object) -> Iterator:
    """The page in a fresh browser window; at its end, nothing may have failed or left the machine."""
    outside, errors = [], []
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    context.set_default_timeout(SLOW)
    page = context.new_page()
    page.on("request", lambda r: None if r.url.startswith((url, "data:", "blob:")) else outside.append(r.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    try:
        yield page
    finally:
        (ROOT / "artifacts").mkdir(exist_ok=True)
        page.screenshot(path=ROOT / "artifacts" / f"{name}.png", full_page=True, timeout=SLOW)
    assert not outside and not errors
    page.get_by_role("button", name="About the model").click()  # its card has long lines and tables
    page.locator("#about").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    context.close()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    pixels = np.stack([x * 255 // SIZE[0], y * 255 // SIZE[1], (x + y) * 255 // sum(SIZE)], axis=-1)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def toast(page, text: str) -> None:
    page.get_by_test_id("toast-body").filter(has_text=text).first.wait_for()


def status(page, text: str) -> str:
    words = page.locator("#status p").filter(has_text=text)
    words.wait_for()
    return words.inner_text()


def fill(page, url: str) -> tuple[np.ndarray, np.ndarray]:
    """Press Fill; before and after, as the server sends them to the slider."""
    page.evaluate("document.querySelectorAll('#status p').forEach(words => words.remove())")
    shown = page.locator("#slider img").evaluate_all("images => images.map(image => image.src)")
    page.locator("#fill").click()
    status(page, "Filled in")
    page.wait_for_function(
        "shown => (i => i.length == 2 && i[1].src != shown[1])(document.querySelectorAll('#slider img'))", arg=shown
    )
    if page.viewport_size["width"] < 760:  # the result is brought into view, which it is not by itself
        page.wait_for_function(
            "(top => top > -2 && top < innerHeight / 2)(document.querySelector('#slider').getBoundingClientRect().top)"
        )
    return result(page, url)


def result(page, url: str) -> tuple[np.ndarray, np.ndarray]:
    page.locator("#slider img").nth(1).wait_for()
    sources = page.locator("#slider img").evaluate_all("images => images.map(image => image.src)")
    assert len(sources) == 2 and all(source.startswith(url) for source in sources)
    answers = [httpx.get(source, timeout=SLOW / 1000).raise_for_status() for source in sources]
    pictures = [Image.open(io.BytesIO(answer.content)) for answer in answers]
    assert all(picture.format == "PNG" for picture in pictures)
    return tuple(np.asarray(picture.convert("RGB")) for picture in pictures)


def downloaded(page, button: str = "#download") -> Image.Image:
    with page.expect_download() as download:
        page.locator(button).click()
    return Image.open(download.value.path())


def near_stroke(radius: float) -> np.ndarray:
    """(H, W) of the picture, bool: within `radius` pixels of the canvas of the line through POINTS."""
    zoom = CANVAS[0] / SIZE[0]
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] * zoom
    distance = np.full(x.shape, np.inf)
    for (x0, y0), (x1, y1) in zip(POINTS, POINTS[1:], strict=False):
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2)
        along = along.clip(0, 1)
        distance = np.minimum(distance, np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)))
    return distance <= radius


def check_stroke(page, url: str, picture: Path) -> None:
    before, after = fill(page, url)
    truth = np.asarray(Image.open(picture))
    changed = (after != truth).any(axis=-1)
    assert np.array_equal(before, truth)
    assert not changed[~near_stroke(RADIUS + 6)].any()
    assert changed[near_stroke(RADIUS - 6)].mean() > 0.8
    assert np.array_equal(np.asarray(downloaded(page)), after)


@pytest.mark.parametrize(("name", "options"), [("desktop", {}), ("phone", {**PHONE, "color_scheme": "dark"})])
def test_a_stroke_is_filled_and_the_rest_is_untouched(browser, url: str, picture: Path, name: str, options: dict):
    with opened(browser, url, f"stroke-{name}", **options) as page:
        editor = Editor(page, CANVAS)
        page.locator("#fill").click()
        toast(page, "Open a picture first")
        editor.open(picture)
        status(page, "No face was found")
        page.locator("#faces .add").wait_for()  # where one can be added lies open
        page.locator("#fill").click()
        toast(page, "Nothing is painted")
        editor.stroke([(100, 500), (400, 500)])
        editor.root.get_by_label("Undo", exact=True).click()
        editor.stroke(POINTS)
        check_stroke(page, url, picture)
        page.get_by_role("button", name="Look inside").click()
        page.locator("#inside figure img[alt]").nth(3).wait_for()
        assert page.locator("#inside figure img[alt]").count() == 4
        assert page.locator("#slider img[alt]:not([alt=''])").count() == 2
        assert page.locator("button").evaluate_all("all => all.every(b => b.innerText.trim() || b.ariaLabel)")


@pytest.mark.parametrize(("event", "carrier"), [("ClipboardEvent", "clipboardData"), ("DragEvent", "dataTransfer")])
def test_a_photo_may_be_pasted_or_dropped(browser, url: str, picture: Path, event: str, carrier: str):
    with opened(browser, url, carrier) as page:
        editor = Editor(page, CANVAS)
        page.evaluate(
            """([data, event, carrier]) => {
                const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
                const given = new DataTransfer();
                given.items.add(new File([bytes], 'photo.png', { type: 'image/png' }));
                const kind = event === 'DragEvent' ? 'drop' : 'paste';
                const options = { bubbles: true, cancelable: true, [carrier]: given };
                const place = document.querySelector(kind === 'drop' ? '#status' : '#editor canvas'); // beside it, too
                if (kind === 'drop' && place.dispatchEvent(new DragEvent('dragover', options))) return; // left
                place.dispatchEvent(new window[event](kind, options));
            }""",
            [base64.b64encode(picture.read_bytes()).decode(), event, carrier],
        )
        editor.wait_for_picture()
        status(page, "No face was found")
        editor.stroke(POINTS)
        check_stroke(page, url, picture)


def test_a_picture_of_the_webcam_is_filled(browser, url: str):
    with opened(browser, url, "webcam", permissions=["camera"]) as page:
        canvas = page.locator("#editor")
        for button in ("Webcam", "Click to Access Webcam"):
            canvas.get_by_label(button, exact=True).or_(canvas.get_by_text(button, exact=True)).first.click()
        shows = "[...document.querySelectorAll('#editor video')].some(v => v.readyState >= 2 && v.videoWidth > 0)"
        page.wait_for_function(shows)  # before the camera's first picture there is nothing to capture
        canvas.get_by_label("capture photo").first.click()
        Editor(page, CANVAS).wait_for_picture()
        page.locator("#hole").click()
        status(page, "A random hole")
        wait_for_server_paint(page)
        before, after = fill(page, url)
        # the hole may lie where all is of one colour, and then nothing changes
        assert before.shape == after.shape and np.ptp(before[..., 1]) > 50


def test_what_is_erased_is_not_filled(browser, url: str, picture: Path):
    with opened(browser, url, "erased") as page:
        editor = Editor(page, CANVAS)
        editor.open(picture)
        editor.stroke([(200, 520), (500, 520)])
        editor.choose("Erase")
        editor.stroke([(180, 520), (520, 520)])
        editor.choose("Brush")
        editor.stroke(POINTS)
        check_stroke(page, url, picture)


def test_thin_marks_of_a_mask_file_stay_exact_beside_a_stroke(browser, url: str, tmp_path: Path):
    truth = noise_picture(*SIZE[::-1])
    Image.fromarray(truth).save(tmp_path / "photo.png")
    lines = np.zeros(SIZE[::-1], bool)
    lines[60, 40:560] = lines[80:440, 520] = True
    lines[np.arange(100, 220), np.arange(100, 220)] = True
    Image.fromarray(lines).save(tmp_path / "mask.png")
    with opened(browser, url, "mask") as page:
        editor = Editor(page, CANVAS)
        editor.open(tmp_path / "photo.png")
        status(page, "found")
        page.locator("input[data-testid^='Mask file']").set_input_files(str(tmp_path / "mask.png"))
        status(page, "The mask is painted")
        wait_for_server_paint(page)
        for stroke, apart in ((False, ~lines), (True, ~lines & ~near_stroke(RADIUS + 6))):
            if stroke:
                editor.choose("Brush")
                editor.stroke(POINTS)
            _, after = fill(page, url)
            changed = (after != truth).any(axis=-1)
            assert changed[lines].mean() > 0.8 and not changed[apart].any()
            assert (changed[near_stroke(RADIUS - 6)].mean() > 0.8) == stroke


def test_found_damage_is_changed_and_filled(browser, url: str):
    with opened(browser, url, "found") as page:
        editor = Editor(page, (768, 768))
        page.locator("#open input, input[data-testid^='Open a photo']").set_input_files(
            str(ROOT / "examples" / "astronaut_marked.png")
        )
        editor.wait_for_picture()
        status(page, "found")
        page.locator("#find").click()
        status(page, "Painted what looks damaged")
        wait_for_server_paint(page)
        editor.choose("Brush")
        editor.stroke([(100, 700), (300, 700)])
        truth = np.asarray(Image.open(ROOT / "examples" / "astronaut_marked.png").convert("RGB"))
        before, after = fill(page, url)
        changed = (after != truth).any(axis=-1)
        assert np.array_equal(before, truth) and changed[355:367, 60:150].mean() > 0.8 and not changed.all()


@pytest.mark.parametrize(("name", "options"), [("desktop", {}), ("phone", PHONE)])
def test_an_example_takes_one_click_and_its_faces_can_be_moved(browser, url: str, name: str, options: dict):
    with opened(browser, url, f"faces-{name}", **options) as page:
        editor, zoom = Editor(page, (768, 480)), 768 / 1280
        page.locator("#examples button").nth(0).click()
        assert "2 faces" in status(page, "Filled in")
        _, first = result(page, url)
        page.get_by_role("button", name="Faces in the picture").click()
        squares = page.locator("#faces g.face")
        squares.nth(1).wait_for()
        assert squares.count() == 2 and page.locator("#faces g.filled").count() == 2
        squares.first.scroll_into_view_if_needed()
        box = squares.first.locator(".frame").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        drag(page, box, (x + 25, y + 15))
        moved = squares.first.locator(".frame").bounding_box()
        assert abs(moved["x"] - box["x"] - 25) < 3 and abs(moved["y"] - box["y"] - 15) < 3
        x, y, side = x + 25, y + 15, box["width"]
        for beside, above, turn in ((side / 2, 0, 90), (0, side / 2, 0)):  # the forehead to the right, and back
            drag(page, squares.first.locator(".turn").bounding_box(), (x + beside, y - above))
            assert squares.first.get_attribute("transform").endswith(f"rotate({turn})")
        page.keyboard.press("R")
        assert squares.first.get_attribute("transform").endswith("rotate(-5)")
        squares.nth(1).focus()
        page.keyboard.press("Delete")
        assert squares.count() == 1
        editor.stroke(CHEEK)
        before, second = fill(page, url)
        assert "1 face." in status(page, "Filled in") and (first != second).any()
        hole = Image.open(ROOT / "examples" / "wide_mask.png").convert("L")
        for x, y in CHEEK:
            ImageDraw.Draw(hole).circle((x / zoom, y / zoom), RADIUS / zoom, "white")
        line = [(x / zoom, y / zoom) for x, y in CHEEK]
        ImageDraw.Draw(hole).line(line, "white", round(2 * RADIUS / zoom))
        changed = (second != before).any(axis=-1)
        assert not changed[np.asarray(hole.filter(ImageFilter.MaxFilter(15))) == 0].any()
        assert changed[np.asarray(hole.filter(ImageFilter.MinFilter(9))) > 0].mean() > 0.8
        page.locator("#faces .add").click()
        assert squares.count() == 2
        for _ in range(30):  # a square larger than the picture, as those of close portraits are
            page.keyboard.press("+")
        drawing, handle = (page.locator(f"#faces {part}") for part in ("svg", "g.face:focus .handle"))
        outer, inner = drawing.bounding_box(), handle.bounding_box()
        for start, length in (("x", "width"), ("y", "height")):
            assert outer[start] <= inner[start] and inner[start] + inner[length] <= outer[start] + outer[length] + 1
        drag(page, inner, (outer["x"] + outer["width"] / 2 + 9, outer["y"] + outer["height"] / 2 + 9))
        assert squares.nth(1).locator(".frame").bounding_box()["width"] < outer["width"] / 2


def test_files_that_cannot_be_used_are_named_so(browser, url: str, picture: Path, tmp_path: Path):
    (tmp_path / "text.png").write_text("no picture")
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "green")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "broken.png").write_bytes(picture.read_bytes()[:900])
    (tmp_path / "heavy.png").write_bytes(bytes(65 * 1024 * 1024))
    with opened(browser, url, "errors") as page:
        Editor(page, CANVAS).open(picture)
        status(page, "No face was found")
        page.locator("#faces .add").click()
        for name, words in (("text", "not a picture"), ("moving", "animated"), ("broken", "broken picture")):
            page.locator("#editor input[type=file]").set_input_files(str(next(tmp_path.glob(f"{name}.*"))))
            toast(page, words)
            page.wait_for_timeout(3000)  # in which faces would be looked for again
            status(page, words)
            assert page.locator("#faces g.added").count() == 1
        page.locator("#editor input[type=file]").set_input_files(str(tmp_path / "heavy.png"))
        toast(page, "size")
        page.wait_for_timeout(500)
        page.locator("#editor").filter(has_not_text="processing").wait_for()


def test_a_large_photo_is_filled_at_its_own_size_as_jpeg_and_png(browser, url: str, tmp_path: Path):
    exif = Image.Exif()
    exif[274] = 6
    Image.radial_gradient("L").resize((3000, 2000)).convert("RGB").save(tmp_path / "photo.jpg", exif=exif)
    with opened(browser, url, "large") as page:
        editor = Editor(page, (512, 768))
        editor.open(tmp_path / "photo.jpg")
        editor.stroke([(150, 300), (350, 300)])
        before, after = fill(page, url)
        assert before.shape == after.shape == (1600, 1067, 3)
        jpeg, png = downloaded(page), downloaded(page, "#lossless")
        assert (jpeg.format, jpeg.size, png.format, png.size) == ("JPEG", (2000, 3000), "PNG", (2000, 3000))
