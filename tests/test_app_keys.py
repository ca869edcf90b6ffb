"""Tests of the page in headless Chromium, used by keys alone, and of what it tells who does not see it."""

import re
from pathlib import Path

import numpy as np
import pytest
import test_app_browser
from editor import Editor
from PIL import Image
from test_app_browser import CANVAS, POINTS, RADIUS, opened, result, status
from test_app_result import painted, wait_for_cells

pytestmark = pytest.mark.slow

browser, url, picture = test_app_browser.browser, test_app_browser.url, test_app_browser.picture

HEARD = """() => {
    window.heard = [];
    const note = () => window.heard.push(document.querySelector('.spoken').textContent);
    new MutationObserver(note).observe(document.querySelector('.spoken'), { childList: true });
}"""
FOCUSED = "document.activeElement.ariaLabel || document.activeElement.innerText"


def tab_to(page, name: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED).startswith(name):
            return
    pytest.fail(f"{name} is not reached")


def test_the_whole_job_is_done_by_keys(browser, url: str, picture: Path):
    with opened(browser, url, "keys") as page:
        editor, press = Editor(page, CANVAS), page.keyboard.press
        page.on("filechooser", lambda _: None)  # so that it is listened for before the key is pressed
        tab_to(page, "Open a photo")
        with page.expect_file_chooser() as chooser:
            press("Enter")
        chooser.value.set_files(str(picture))
        status(page, "No face was found")
        editor.wait_for_picture()
        tools = [editor.root.get_by_label(name, exact=True) for name in ("Brush", "Erase")]
        assert [tool.get_attribute("aria-pressed") for tool in tools] == ["true", "false"]
        page.evaluate(HEARD)
        tab_to(page, "The photo")
        for _ in range(10):
            press("ArrowUp")  # 80 pixels above the middle
        press("Space")
        for _ in range(15):
            press("ArrowRight")  # to 120 right of it
        press("Space")
        for _ in range(10):
            press("ArrowLeft")
        paint = painted(page)
        page.wait_for_function("heard.length === 2")
        zoom = float(editor.root.locator(".zoom-number").inner_text().strip("%\n ")) / 100
        rows, columns = (
            where * side / 96 - side / 2 for where, side in zip(np.nonzero(paint), CANVAS[::-1], strict=True)
        )
        assert abs(rows.mean() + 80 / zoom) < 12 and np.ptp(rows) < 3 * RADIUS  # from the middle, in its pixels
        assert abs(columns.min() + RADIUS) < 12 and abs(columns.max() - 120 / zoom - RADIUS) < 12
        tab_to(page, "Fill")
        press("Enter")
        status(page, "Filled in")
        page.wait_for_function("heard.at(-1) === ''")
        assert page.evaluate("heard") == ["A stroke has begun.", "The stroke has ended.", "Working…", ""]
        assert page.evaluate(FOCUSED) == "Fill"
        assert page.locator("#status [data-testid=status-tracker]").get_attribute("aria-live") == "off"
        before, after = result(page, url)
        hole = np.asarray(Image.fromarray(paint).resize(before.shape[1::-1]))
        assert (before != after).any(axis=-1)[hole].mean() > 0.8
        tab_to(page, "Before and after")
        line, filled = page.locator("#slider [role=slider]"), page.locator("#slider img").nth(1)
        for keys, least, most in (["Home"], 0, 0), (["PageUp", "ArrowRight"], 11, 13), (["End"], 100, 100):
            for key in keys:
                press(key)
            page.wait_for_function(
                "([e, a, b]) => a <= e.ariaValueNow && e.ariaValueNow <= b", arg=[line.element_handle(), least, most]
            )
            hidden = float(re.search(r"([\d.]+)%\)", filled.evaluate("image => image.style.clipPath"))[1])
            assert hidden == pytest.approx(float(line.get_attribute("aria-valuenow")), abs=0.1)
        tab_to(page, "Download")
        with page.expect_download():
            press("Enter")
        press("Control+z")
        wait_for_cells(page, np.zeros_like(paint))
        press("Control+Shift+Z")
        wait_for_cells(page, paint)


def test_keys_paint_only_where_keys_have_led(browser, url: str, picture: Path):
    with opened(browser, url, "keys-after-mouse", viewport={"width": 1280, "height": 500}) as page:
        editor = Editor(page, CANVAS)
        editor.open(picture)
        status(page, "No face was found")
        editor.stroke(POINTS)
        mine, top = painted(page), page.evaluate("scrollY")
        page.keyboard.press("Space")
        page.keyboard.press("ArrowDown")
        page.wait_for_function("top => scrollY > top", arg=top)
        page.wait_for_timeout(1000)
        assert np.array_equal(painted(page), mine)
