"""Tests of the page in headless Chromium: what of the canvas is sent to the server, and how often."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import test_app_browser
from editor import Editor
from test_app_browser import CANVAS, POINTS, check_stroke, fill, opened, status

pytestmark = pytest.mark.slow

browser, url, picture = test_app_browser.browser, test_app_browser.url, test_app_browser.picture

UPLOAD = "**/gradio_api/upload*"
SURE = 10_000  # ms for which the page takes a file to be on the server


@contextmanager
def sent(page) -> Iterator[list]:
    """Answers to the uploads that are made meanwhile, and for three seconds after."""
    answers = []

    def note(answer) -> None:
        if answer.request.method == "POST" and "/gradio_api/upload" in answer.url:
            answers.append(answer)

    page.on("response", note)
    yield answers
    page.wait_for_timeout(3000)
    page.remove_listener("response", note)


def test_a_press_sends_what_is_new_on_the_canvas_and_sends_it_once(browser, url: str, picture: Path):
    with opened(browser, url, "sent") as page:
        editor = Editor(page, CANVAS)
        with sent(page) as answers:
            editor.open(picture)
            status(page, "No face was found")
        assert len(answers) == 1  # the photo itself
        for stroke, press in ((POINTS[:2], fill), (POINTS[1:], lambda *of: check_stroke(*of, picture))):
            editor.stroke(stroke)
            with sent(page) as answers:
                press(page, url)
            assert len(answers) == 1 and answers[0].json()[0].endswith("layer_0.png")
        page.evaluate("document.querySelectorAll('#status p').forEach(words => words.remove())")
        with sent(page) as answers:
            page.locator("#fill").click()
            status(page, "Filled in")
        assert not answers


def test_what_the_server_lost_is_sent_again(browser, url: str, picture: Path):
    with opened(browser, url, "lost") as page:
        editor, shown = Editor(page, CANVAS), []
        page.on("response", lambda answer: shown.append(answer.url) if "/file=" in answer.url else None)
        editor.open(picture)
        status(page, "No face was found")
        editor.stroke(POINTS)
        with sent(page) as answers:
            fill(page, url)
        canvas = {Path(address.split("/file=")[1]) for address in shown if address.endswith("/image.png")}
        for file in (*canvas, *(Path(answer.json()[0]) for answer in answers)):
            if file.name in ("layer_0.png", "image.png"):
                file.unlink(missing_ok=True)
        page.wait_for_timeout(SURE)
        with sent(page) as answers:
            page.evaluate("document.querySelectorAll('#status p').forEach(words => words.remove())")
            page.locator("#fill").click()
            status(page, "Filled in")
        assert sorted(Path(answer.json()[0]).name for answer in answers) == ["background.png", "layer_0.png"]


@pytest.mark.parametrize(("failure", "words"), [("none", "cannot be reached"), ("refused", "HTTP 503")])
def test_an_upload_that_fails_is_tried_again_at_the_next_press(
    browser, url: str, picture: Path, failure: str, words: str
):
    with opened(browser, url, f"failed-{failure}") as page:
        editor = Editor(page, CANVAS)
        editor.open(picture)
        status(page, "No face was found")
        editor.stroke(POINTS)
        page.route(UPLOAD, lambda r: r.abort() if failure == "none" else r.fulfill(status=503, body="busy"))
        page.locator("#fill").click()
        status(page, words)
        page.wait_for_timeout(2000)
        assert not page.locator("#status p").filter(has_text="Filled in").count()
        page.unroute(UPLOAD)
        check_stroke(page, url, picture)


def test_a_picture_of_the_camera_is_sent_once(browser, url: str):
    with opened(browser, url, "camera", permissions=["camera"]) as page:
        canvas = page.locator("#editor")
        for button in ("Webcam", "Click to Access Webcam"):
            canvas.get_by_label(button, exact=True).or_(canvas.get_by_text(button, exact=True)).first.click()
        page.wait_for_function("[...document.querySelectorAll('#editor video')].some(v => v.videoWidth > 0)")
        canvas.get_by_label("capture photo").first.click()
        Editor(page, CANVAS).wait_for_picture()
        with sent(page) as answers:
            page.locator("#hole").click()
            status(page, "A random hole")
        assert [Path(answer.json()[0]).name for answer in answers].count("background.png") == 1
