"""Tests of the page in headless Chromium: whether it asks before what was painted is gone."""

import time
from pathlib import Path

import pytest
import test_app_browser
from editor import Editor
from test_app_browser import CANVAS, POINTS, SLOW, downloaded, fill, opened, status
from test_app_result import painted

pytestmark = pytest.mark.slow

# what the server paints is on the canvas a while after its words are there
SLOW_PAINT = """() => {
  const add = window.editor.add_layers_from_url;
  window.editor.add_layers_from_url = (urls) => new Promise((done) => setTimeout(done, 1000)).then(() => add(urls));
}"""

browser, url, picture = test_app_browser.browser, test_app_browser.url, test_app_browser.picture


def test_leaving_asks_first_while_there_is_paint_in_no_downloaded_result(browser, url: str, picture: Path):
    with opened(browser, url, "leaving") as page:
        told = []  # that it is asked, or that the page is there anew
        page.on("dialog", lambda question: (told.append(question.type), question.dismiss()))
        page.on("load", lambda: told.append("load"))

        def leave() -> bool:
            """Whether it is asked; if so, the answer is to stay, else the page is there anew."""
            told.clear()
            page.evaluate("window.stays = true; setTimeout(() => location.reload())")
            until = time.monotonic() + SLOW / 1000
            while not told and time.monotonic() < until:
                page.wait_for_timeout(50)
            page.wait_for_timeout(1000)  # in which a page that asks would go all the same
            assert told in (["beforeunload"], ["load"])
            asked = told == ["beforeunload"]
            assert page.evaluate("window.stays === true") == asked
            return asked

        def open_and_paint() -> Editor:
            editor = Editor(page, CANVAS)
            editor.open(picture)
            status(page, "No face was found")
            editor.stroke(POINTS[:2])
            return editor

        undo = open_and_paint().root.get_by_label("Undo", exact=True)
        mine = painted(page)
        assert leave() and (painted(page) == mine).all()
        undo.click()
        assert not leave()
        editor = open_and_paint()
        fill(page, url)
        assert leave()
        editor.stroke(POINTS[1:])
        downloaded(page)
        assert leave()  # the last stroke is in no result
        editor.root.get_by_label("Undo", exact=True).click()
        assert not leave()
        open_and_paint()
        page.evaluate(SLOW_PAINT)
        page.locator("#hole").click()
        status(page, "A random hole")
        fill(page, url)
        downloaded(page)
        assert not leave()
