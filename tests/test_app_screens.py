"""Tests of the page in headless Chromium on screens of other shapes than a desk's: low ones and phones."""

from pathlib import Path

import pytest
import test_app_browser
from editor import Editor
from PIL import Image
from test_app_browser import CANVAS, PHONE, POINTS, check_stroke, fill, opened, status
from test_app_result import inside, wait_for_inside

pytestmark = pytest.mark.slow

browser, url, picture = test_app_browser.browser, test_app_browser.url, test_app_browser.picture


def test_on_a_phone_that_lies_canvas_and_fill_are_seen_at_once_and_then_the_result(browser, url: str, picture: Path):
    screen = {"x": 0, "y": 0, "width": 844, "height": 390}
    with opened(browser, url, "lying", **PHONE) as page:
        editor, fill = Editor(page, CANVAS), page.locator("#fill")
        page.set_viewport_size({"width": 844, "height": 390})  # it is turned
        wait_for_inside(screen, page.locator("#open"))
        editor.open(picture)
        status(page, "No face was found")
        wait_for_inside(screen, editor.root, fill)  # it is scrolled to
        box = editor.root.bounding_box()
        zoom = float(editor.root.locator(".zoom-number").text_content().strip("%\n ")) / 100
        left, right = (box["x"] + box["width"] / 2 + side * CANVAS[0] * zoom / 2 for side in (-1, 1))
        assert right - left > 0.7 * box["width"] or CANVAS[1] * zoom > 0.9 * box["height"]
        tools, others = (editor.root.locator(name).bounding_box() for name in (".toolbar-wrap", ".top-panel"))
        assert all(inside(part, box) for part in (tools, others))
        assert tools["x"] + tools["width"] <= left + 1 and others["x"] >= right - 1
        buttons = [one.bounding_box() for one in editor.root.locator("button").all() if one.is_visible()]
        assert len(buttons) >= 10 and all(min(one["width"], one["height"]) >= 40 for one in buttons)
        editor.stroke(POINTS)
        check_stroke(page, url, picture)
        wait_for_inside(screen, page.locator("#slider img").nth(1))


@pytest.mark.parametrize(("width", "height"), [(390, 664), (360, 640)])
def test_on_a_phone_held_upright_canvas_and_fill_are_seen_at_once(
    browser, url: str, picture: Path, width: int, height: int
):
    screen = {"x": 0, "y": 0, "width": width, "height": height}
    size = {"width": width, "height": height}
    with opened(browser, url, f"upright-{width}", **{**PHONE, "viewport": size}) as page:
        editor = Editor(page, CANVAS)
        editor.open(picture)
        status(page, "No face was found")
        page.evaluate("scrollTo(0, 0)")
        buttons = [page.locator(name) for name in ("#open", "#mask", "#fill", "#find", "#hole")]
        wait_for_inside(screen, editor.root, *buttons)
        for button in buttons:
            assert button.evaluate("e => e.scrollWidth <= e.clientWidth"), "words run over its edge"
            assert min(button.bounding_box()[side] for side in ("width", "height")) >= 40
        editor.stroke(POINTS)
        check_stroke(page, url, picture)


@pytest.mark.parametrize("height", [600, 650])
def test_on_a_low_screen_canvas_and_fill_are_seen_at_once_and_then_the_result_and_its_download(
    browser, url: str, tmp_path: Path, height: int
):
    screen = {"x": 0, "y": 0, "width": 1366, "height": height}
    Image.linear_gradient("L").resize((480, 600)).save(tmp_path / "photo.png")
    with opened(browser, url, f"low-{height}", viewport={"width": 1366, "height": height}) as page:
        editor, button = Editor(page, (614, 768)), page.locator("#fill")
        wait_for_inside(screen, button)
        editor.open(tmp_path / "photo.png")
        status(page, "No face was found")
        wait_for_inside(screen, editor.root, button)
        editor.stroke([(300, 250), (460, 250)])
        before, after = fill(page, url)
        changed = (after != before).any(axis=-1)
        assert changed[195, 240:350].mean() > 0.8 and not changed[230:].any()
        parts = (editor.root, button, page.locator("#slider img").nth(1), page.locator("#download"))
        wait_for_inside(screen, *parts)


@pytest.mark.parametrize("size", [(1280, 800), (844, 390)])
def test_the_full_screen_is_filled_by_the_result(browser, url: str, size: tuple[int, int]):
    with opened(browser, url, f"full_{size[0]}", viewport={"width": size[0], "height": size[1]}) as page:
        page.locator("#examples button").nth(2).click()  # as high as it is wide
        status(page, "Filled in")
        page.locator("#slider").get_by_label("Fullscreen").click()
        page.wait_for_function("innerHeight - document.querySelector('#slider img').clientHeight < 3")
        page.keyboard.press("Escape")


def test_on_a_tablet_held_upright_the_canvas_is_as_wide_as_the_page_and_then_the_result(
    browser, url: str, picture: Path
):
    screen = {"x": 0, "y": 0, "width": 768, "height": 1024}
    with opened(browser, url, "tablet", **{**PHONE, "viewport": {"width": 768, "height": 1024}}) as page:
        editor = Editor(page, CANVAS)
        editor.open(picture)
        status(page, "No face was found")
        page.evaluate("scrollTo(0, 0)")
        assert editor.root.bounding_box()["width"] > 700
        buttons = [page.locator(name) for name in ("#fill", "#find", "#hole")]
        wait_for_inside(screen, editor.root, *buttons)
        assert len({button.bounding_box()["y"] for button in buttons}) == 1
        editor.stroke(POINTS)
        check_stroke(page, url, picture)
        page.wait_for_function("document.querySelector('#slider').getBoundingClientRect().top > -2")
        wait_for_inside(screen, page.locator("#slider img").nth(1))
