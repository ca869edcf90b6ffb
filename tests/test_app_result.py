"""Tests of the page in headless Chromium: what a person is shown, on a desk, on a phone and in the dark."""

import re
import time
from pathlib import Path

import numpy as np
import pytest
import test_app_browser
from editor import ROOT, Editor, wait_for_server_paint
from PIL import Image
from readable import hard_to_read
from test_app_browser import CANVAS, PHONE, POINTS, SLOW, check_stroke, opened, result, status, toast

pytestmark = pytest.mark.slow

browser, url, picture = test_app_browser.browser, test_app_browser.url, test_app_browser.picture

# whether nothing of the page changes its colour or place step by step any more
STILL = (
    "document.getAnimations().every(one => one.playState !== 'running' || one.effect?.getTiming().iterations > 1e6)"
)


def uncovered(page, least: float, most: float) -> float:
    """Where the result begins to show, in percent of the width, once the slider has come between two such places, and
    stands still."""
    shown = page.locator("#slider img").nth(1)
    place = "style => parseFloat(/inset\\([^)]* ([\\d.]+)%\\)/.exec(style)?.[1])"
    at = f"({place})(document.querySelectorAll('#slider img')[1]?.getAttribute('style'))"
    page.wait_for_function(f"([least, most]) => (at => least < at && at < most)({at})", arg=[least, most])
    before, now = "", shown.get_attribute("style")
    while before != now:
        page.wait_for_timeout(500)
        before, now = now, shown.get_attribute("style")
    return page.evaluate(place, now)


def test_all_of_the_hole_shows_the_result(browser, url: str):
    with opened(browser, url, "uncovered") as page:
        for number, mask in ((0, "wide_mask.png"), (2, "astronaut_mouth.png")):  # the first time, and later
            page.locator("#examples button").nth(number).click()
            with Image.open(ROOT / "examples" / mask) as hole:
                left, size = hole.point(lambda value: 255 * (value > 127)).getbbox()[0], hole.size
            status(page, f"{size[0]} x {size[1]} pixels")
            edge = 100 * left / size[0]
            assert edge - 5 < uncovered(page, edge - 5, edge) < edge


def test_an_empty_file_is_refused_and_leaves_photo_and_strokes(browser, url: str, picture: Path, tmp_path: Path):
    (tmp_path / "empty.png").touch()
    with opened(browser, url, "empty") as page:
        editor = Editor(page, CANVAS)
        editor.open(picture)
        editor.stroke(POINTS)
        page.locator("#editor input[type=file]").set_input_files(str(tmp_path / "empty.png"))
        toast(page, "not a picture that can be read")
        status(page, "not a picture that can be read")
        check_stroke(page, url, picture)


def contrast(page, selector: str) -> float:
    """Of a text's colour to that of the page behind it, as WCAG 2 has it."""
    colours = page.evaluate(
        """selector => [getComputedStyle(document.querySelector(selector)).color,
                        getComputedStyle(document.body).backgroundColor]""",
        selector,
    )
    light = []
    for colour in colours:
        linear = [(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for c in
                  (int(value) / 255 for value in re.findall(r"\d+", colour)[:3])]  # fmt: skip
        light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
    return max(light) / min(light)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_errors_are_red_and_the_empty_canvas_does_not_glare(browser, url: str, tmp_path: Path, scheme: str):
    with opened(browser, url, scheme, color_scheme=scheme) as page:
        editor = Editor(page, CANVAS)
        page.locator("#fill").click()
        status(page, "Open a picture first")
        red, green, _ = map(
            int, re.findall(r"\d+", page.locator("#status .wrong").evaluate("words => getComputedStyle(words).color"))
        )
        assert red > 1.4 * green and contrast(page, "#status .wrong") > 4.5
        editor.root.screenshot(path=tmp_path / "canvas.png")
        with Image.open(tmp_path / "canvas.png") as seen:
            mean = np.asarray(seen.convert("L")).mean()
        assert mean > 200 if scheme == "light" else mean < 70
        page.locator("#examples button").nth(0).click()
        status(page, "Filled in")
        for part in ("Faces in the picture", "About the model"):
            page.get_by_role("button", name=part).click()
        page.locator("#about").wait_for()
        page.wait_for_function(STILL)  # buttons change their colours slowly
        assert not hard_to_read(page)
        page.get_by_role("button", name="About the model").click()  # closed again: `opened` opens it


@pytest.mark.parametrize("size", [(600, 480), (480, 640), (400, 800)])
def test_on_a_phone_the_photo_is_wide_and_free_of_the_tools(browser, url: str, tmp_path: Path, size: tuple[int, int]):
    Image.linear_gradient("L").resize(size).convert("RGB").save(tmp_path / "photo.png")
    scale = 768 / max(size)
    width, height = size[0] * scale, size[1] * scale
    with opened(browser, url, f"phone-{size[0]}", **PHONE) as page:
        editor = Editor(page, (round(width), round(height)))
        editor.open(tmp_path / "photo.png")
        box, tools = editor.canvas.bounding_box(), editor.root.locator(".toolbar-wrap").bounding_box()
        zoom = float(editor.root.locator(".zoom-number").inner_text().strip("%\n ")) / 100
        lower = box["y"] + box["height"] / 2 + height * zoom / 2
        assert tools["y"] >= lower - 4 and tools["y"] + tools["height"] <= box["y"] + box["height"]
        above = editor.root.locator(".top-panel").bounding_box()
        assert above["x"] >= box["x"] and above["y"] + above["height"] <= lower - height * zoom + 4
        buttons = [one.bounding_box() for one in editor.root.locator("button").all() if one.is_visible()]
        assert len(buttons) >= 10 and all(min(one["width"], one["height"]) >= 40 for one in buttons)
        assert width * zoom > 0.9 * box["width"] or height * zoom > 0.75 * box["height"]
        editor.root.get_by_label("Brush Size", exact=True).click()
        sizes = editor.root.locator(".size_picker").bounding_box()
        assert sizes["x"] >= 0 and sizes["x"] + sizes["width"] <= 390 and sizes["y"] >= box["y"]


@pytest.mark.parametrize("size", [(800, 400), (600, 480), (480, 600)])
def test_on_a_desk_the_tools_lie_beside_the_photo(browser, url: str, tmp_path: Path, size: tuple[int, int]):
    Image.linear_gradient("L").resize(size).convert("RGB").save(tmp_path / "photo.png")
    scale = 768 / max(size)
    width, height = size[0] * scale, size[1] * scale
    with opened(browser, url, f"desk-{size[0]}") as page:
        editor = Editor(page, (round(width), round(height)))
        editor.open(tmp_path / "photo.png")
        box, tools = editor.canvas.bounding_box(), editor.root.locator(".toolbar-wrap").bounding_box()
        zoom = float(editor.root.locator(".zoom-number").inner_text().strip("%\n ")) / 100
        left = box["x"] + box["width"] / 2 - width * zoom / 2
        assert tools["x"] + tools["width"] <= left + 1
        assert width * zoom > 0.8 * box["width"] or height * zoom > 0.8 * box["height"]


def inside(part: dict[str, float], whole: dict[str, float]) -> bool:
    """Whether a bounding box lies in another."""
    return all(
        whole[start] - 1 <= part[start] and part[start] + part[length] <= whole[start] + whole[length] + 1
        for start, length in (("x", "width"), ("y", "height"))
    )


def wait_for_inside(whole: dict[str, float], *parts) -> None:
    """Until parts of the page lie in a bounding box."""
    end = time.monotonic() + SLOW / 1000
    while not all(box and inside(box, whole) for box in (part.bounding_box() for part in parts)):
        assert time.monotonic() < end, [part.bounding_box() for part in parts]
        parts[0].page.wait_for_timeout(100)


def test_the_full_screen_is_left_again_on_a_phone(browser, url: str):
    screen = {"x": 0, "y": 0, "width": 390, "height": 844}
    with opened(browser, url, "full-screen", **PHONE) as page:
        page.locator("#examples button").nth(2).click()
        status(page, "Filled in")
        shown, slider = page.locator("#slider img").nth(1), page.locator("#slider")
        shown.wait_for()
        slider.get_by_label("Fullscreen", exact=True).click()
        leave = slider.get_by_label("Exit fullscreen mode")
        leave.wait_for()
        wait_for_inside(screen, leave, shown)
        page.wait_for_timeout(1000)
        assert page.evaluate("[innerWidth, innerHeight]") == [390, 844]  # not zoomed out, to hold what is wider
        assert all(inside(part.bounding_box(), screen) for part in (leave, shown))
        leave.click()
        leave.wait_for(state="hidden")


@pytest.mark.parametrize("width", [780, 820, 1040])
def test_all_examples_are_seen_beside_a_result(browser, url: str, width: int):
    with opened(browser, url, f"examples-{width}", viewport={"width": width, "height": 900}) as page:
        buttons = page.locator("#examples button:has(.caption-label)")
        for filled in (False, True):
            if filled:
                buttons.nth(2).click()
                status(page, "Filled in")
                page.locator("#slider img").nth(1).wait_for()
            buttons.nth(3).wait_for()
            page.wait_for_function(STILL)
            whole = page.locator("#examples").bounding_box()
            assert buttons.count() == 4 and all(inside(button.bounding_box(), whole) for button in buttons.all())


def test_the_example_that_is_clicked_last_is_the_one_that_stays(browser, url: str):
    with opened(browser, url, "last") as page, Image.open(ROOT / "examples" / "astronaut.png") as last:
        for number in (0, 2):
            page.locator("#examples button").nth(number).click()
        status(page, f"{last.width} x {last.height} pixels")
        size = "(i => i && String([i.naturalWidth, i.naturalHeight]))(document.querySelector('#slider img'))"
        page.wait_for_function(f"size => {size} === size", arg=f"{last.width},{last.height}")
        assert result(page, url)[0].shape[:2] == (last.height, last.width)


def painted(page) -> np.ndarray:
    """Which cells of a coarse grid over the canvas hold paint, as the editor itself would send it."""
    cells = page.evaluate(
        """async () => {
            const { layers } = await window.editor.get_blobs();
            const sheet = new OffscreenCanvas(96, 96).getContext('2d');
            for (const blob of layers) sheet.drawImage(await createImageBitmap(blob), 0, 0, 96, 96);
            return [...sheet.getImageData(0, 0, 96, 96).data].filter((_, index) => index % 4 === 3);
        }"""
    )
    return np.reshape(cells, (96, 96)) > 64


def wait_for_cells(page, paint: np.ndarray, most: float = 0) -> None:
    """Until `paint` is on the canvas, but for a share of all cells."""
    end = time.monotonic() + SLOW / 1000
    while ((now := painted(page)) != paint).mean() > most:
        assert time.monotonic() < end, f"{now.sum()} cells are painted, not {paint.sum()}"
        page.wait_for_timeout(100)


def wait_for_paint(page, paint: np.ndarray, other: bool) -> None:
    """Until `paint` is on the canvas again, or what the server painted is in its place."""
    if not other:
        return wait_for_cells(page, paint, 0.002)
    wait_for_server_paint(page)
    assert (painted(page) != paint).mean() > 0.002


def test_undo_brings_back_what_a_random_hole_or_a_mask_took_the_place_of(
    browser, url: str, picture: Path, tmp_path: Path
):
    mask = Image.new("L", Image.open(picture).size)
    mask.paste(255, (10, 10, 90, 90))
    mask.save(tmp_path / "mask.png")
    with opened(browser, url, "undo") as page:
        editor = Editor(page, CANVAS)
        editor.open(picture)
        status(page, "No face was found")
        editor.stroke(POINTS)
        mine = painted(page)
        for what in ("A random hole", "The mask is painted"):
            if what == "A random hole":
                page.locator("#hole").click()
            else:
                with page.expect_file_chooser() as chooser:
                    page.locator("#mask").click()
                chooser.value.set_files(str(tmp_path / "mask.png"))
            status(page, what)
            wait_for_paint(page, mine, other=True)
            editor.root.get_by_label("Undo", exact=True).click()
            wait_for_paint(page, mine, other=False)
        check_stroke(page, url, picture)


def test_a_face_is_added_beside_the_others_and_its_handle_is_small(browser, url: str):
    with opened(browser, url, "added") as page:
        page.locator("#examples button").nth(0).click()
        status(page, "2 faces")
        page.get_by_role("button", name="Faces in the picture").click()
        faces = page.locator("#faces g.face .frame")
        faces.nth(1).wait_for()
        for count in (3, 4):
            page.locator("#faces .add").click()
            assert faces.count() == count
        boxes = [faces.nth(number).bounding_box() for number in range(4)]
        for number, one in enumerate(boxes):
            for other in boxes[:number]:
                apart = [
                    max(one[start], other[start]) - min(one[start] + one[length], other[start] + other[length])
                    for start, length in (("x", "width"), ("y", "height"))
                ]
                assert max(apart) > -4  # lines of two pixels
        handle = page.locator("#faces g.face:focus .handle")
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        hit = "([x, y]) => document.elementFromPoint(x, y).classList.contains('handle')"
        assert page.evaluate(hit, [x + 5, y + 5]) and not page.evaluate(hit, [x + 11, y + 11])


def test_about_the_model_begins_with_what_its_users_need(browser, embedded_page: str):
    with opened(browser, embedded_page, "about") as page:
        page.get_by_role("button", name="About the model").click()
        about = page.locator("#about")
        about.wait_for()
        first = about.bounding_box()["height"]
        assert about.locator("details").evaluate_all("all => all.length && all.every(part => !part.open)")
        about.locator("summary").filter(has_text="Training").click()
        assert first < 1000 and about.bounding_box()["height"] > 3 * first and about.locator("details td").count()
        page.get_by_role("button", name="About the model").click()  # closed again: `opened` opens it
