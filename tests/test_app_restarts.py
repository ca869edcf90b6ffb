"""Tests of the page in headless Chromium: what is open in it outlives the server, which is started anew."""

from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import test_app_browser
from editor import Editor, running_page
from PIL import Image
from test_app_browser import CANVAS, POINTS, RADIUS, fill, near_stroke, opened, status
from test_app_result import painted, wait_for_cells, wait_for_paint

from ngan.hub import EMBEDDED

pytestmark = pytest.mark.slow

browser, picture = test_app_browser.browser, test_app_browser.picture


def test_photo_paint_looks_and_examples_outlive_the_server(browser, picture: Path, tmp_path: Path):
    with ExitStack() as server, ExitStack() as shown:
        url = server.enter_context(running_page(EMBEDDED, tmp_path))
        page = shown.enter_context(opened(browser, url, "restarted"))
        toasts, besides = page.get_by_test_id("toast-body"), page.locator("#status .besides")
        editor = Editor(page, CANVAS)
        editor.open(picture)
        status(page, "No face was found")
        editor.stroke(POINTS)
        mine = painted(page)
        fill(page, url)
        server.close()
        page.locator("#fill").click()
        status(page, "cannot be reached. Your painting is still here")
        server.enter_context(running_page(EMBEDDED, tmp_path, port=urlsplit(url).port))
        status(page, "can be reached again, and your painting is still here")
        page.get_by_label("Careful", exact=True).check()  # of the result of before
        besides.filter(has_text="opened once more").wait_for()
        status(page, "No face was found")
        wait_for_paint(page, mine, other=False)
        before, after = fill(page, url)
        changed, truth = (after != before).any(axis=-1), np.asarray(Image.open(picture))
        assert np.array_equal(before, truth) and not changed[~near_stroke(RADIUS + 6)].any()
        assert changed[near_stroke(RADIUS - 6)].mean() > 0.5 and not besides.inner_text()
        editor.root.get_by_label("Undo", exact=True).click()
        wait_for_cells(page, np.zeros_like(mine))
        page.locator("#examples button").nth(2).click()
        status(page, "396 x 396 pixels")
        assert not toasts.count()
