"""Tests of the page in headless Chromium: what is seen in contrast mode, and that nothing covers the photo."""

import pytest
import test_app_browser
from editor import ROOT, Editor
from test_app_browser import opened, status

pytestmark = pytest.mark.slow

browser, url = test_app_browser.browser, test_app_browser.url

PHOTOS = "#open input, input[data-testid^='Open a photo']"


def test_in_contrast_mode_lines_tell_what_is_a_button_and_what_is_chosen(browser, embedded_page: str):
    with opened(browser, embedded_page, "contrast", forced_colors="active") as page:
        editor = Editor(page, (768, 768))
        page.locator(PHOTOS).set_input_files(str(ROOT / "examples" / "astronaut.png"))
        status(page, "1 face found")
        editor.wait_for_picture()

        def line(selector: str, kind: str = "border-top") -> float:
            of = page.locator(selector).first
            return float(of.evaluate(f"e => parseFloat(getComputedStyle(e)['{kind}-width'])"))

        assert all(line(name) >= 1 for name in ("#open", "#mask", "#fill", "#find", "#hole"))
        assert line("#look label:has(:checked)") > line("#look label:not(:has(:checked))") > 0
        brush, eraser = (f"#editor button[aria-label='{name}']" for name in ("Brush", "Erase"))
        drawn = [page.locator(tool).evaluate("e => getComputedStyle(e).outlineStyle") for tool in (brush, eraser)]
        assert drawn == ["solid", "none"]


@pytest.mark.parametrize("height", [800, 900])
def test_the_label_covers_no_corner_of_a_square_photo(browser, url: str, height: int):
    with opened(browser, url, f"label-{height}", viewport={"width": 1280, "height": height}) as page:
        editor = Editor(page, (768, 768))
        page.locator(PHOTOS).set_input_files(str(ROOT / "examples" / "astronaut.png"))
        editor.wait_for_picture()
        box, label = (part.bounding_box() for part in (editor.canvas, editor.root.get_by_test_id("block-label")))
        page.wait_for_function("editor.tools.get('zoom').local_scale < 0.7")
        side = 768 * page.evaluate("editor.tools.get('zoom').local_scale")
        assert box["y"] + (box["height"] - side) / 2 >= label["y"] + label["height"]
        assert side > 0.8 * box["height"]
