"""Tests of the page in headless Chromium: slow or lost lines, paint that is replaced, squares hard to hold."""

import base64
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import test_app_browser
from editor import ROOT, Editor, drag
from PIL import Image
from test_app_browser import CANVAS, POINTS, SLOW, check_stroke, opened, status, toast
from test_app_result import painted, wait_for_paint

pytestmark = pytest.mark.slow

browser, url, picture = test_app_browser.browser, test_app_browser.url, test_app_browser.picture

QUEUE, UPLOAD = "**/gradio_api/queue/join*", "**/gradio_api/upload*"


@contextmanager
def held(page, address: str) -> Iterator:
    """Hold the next request to an address back; gives what waits until there is one."""
    waiting = []
    page.route(address, lambda route: waiting.append(route), times=1)

    def wait() -> None:
        end = time.monotonic() + SLOW / 1000
        while not waiting:
            assert time.monotonic() < end, f"nothing was sent to {address}"
            page.wait_for_timeout(100)

    yield wait
    wait()
    waiting[0].continue_()


def test_undo_brings_back_what_was_painted_until_a_hole_came(browser, url: str, picture: Path):
    with opened(browser, url, "meanwhile") as page:
        editor = Editor(page, CANVAS)
        editor.open(picture)
        status(page, "No face was found")
        editor.stroke(POINTS[:2])
        with held(page, QUEUE) as wait:
            page.locator("#hole").click()
            wait()
            page.get_by_role("heading").first.click()
            editor.stroke(POINTS[1:])
            mine = painted(page)
        status(page, "A random hole")
        wait_for_paint(page, mine, other=True)
        editor.root.get_by_label("Undo", exact=True).click()
        wait_for_paint(page, mine, other=False)
        check_stroke(page, url, picture)


def test_a_lost_connection_is_told_and_nothing_else_is_lost(browser, url: str, picture: Path):
    with opened(browser, url, "offline") as page:
        editor, spinner = Editor(page, CANVAS), page.locator("#status [data-testid=status-tracker]")
        editor.open(picture)
        status(page, "No face was found")
        editor.stroke(POINTS)
        page.context.set_offline(True)
        status(page, "cannot be reached")
        page.context.set_offline(False)
        status(page, "No face was found")
        page.route("**/gradio_api/**", lambda route: route.abort())  # the server is away, not the line
        page.locator("#fill").click()
        status(page, "Your painting is still here")
        spinner.wait_for(state="hidden")
        page.unroute("**/gradio_api/**")
        page.context.set_offline(True)
        page.context.set_offline(False)
        status(page, "Press the button again")
        check_stroke(page, url, picture)
        page.evaluate("window.stays = true")
        for address in (
            QUEUE,
            "**/gradio_api/queue/data*",
        ):  # the canvas is on the server; nothing but the press is lost
            page.route(address, lambda route: route.abort())
            page.locator("#fill").click()
            status(page, "Your painting is still here")
            page.unroute(address)
            page.wait_for_timeout(5000)  # in which Gradio would find the server again, and load the page anew
            run = page.locator("#status [data-run]").get_attribute("data-run")
            assert page.evaluate("window.stays") and painted(page).any()
            page.locator("#fill").click()
            page.wait_for_function("run => document.querySelector('#status [data-run]').dataset.run !== run", arg=run)


def test_it_is_said_at_once_that_a_file_is_opened(browser, url: str, picture: Path, tmp_path: Path):
    mask = Image.new("L", Image.open(picture).size)
    mask.paste(255, (10, 10, 90, 90))
    for name in ("a", "b"):  # an input takes no notice of the same file
        mask.save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt.png").write_text("no picture")
    photo_input, mask_input = "#editor input[type=file]", "input[data-testid^='Mask file']"
    with opened(browser, url, "slow") as page:
        Editor(page, CANVAS)
        first = True
        for selector, path, before, after in (
            (photo_input, picture, "Opening the photo", "No face was found"),
            (mask_input, tmp_path / "a.png", "Opening the mask file", "The mask is painted"),
            (mask_input, tmp_path / "b.png", "Opening the mask file", "The mask is painted"),  # the same words again
            (photo_input, tmp_path / "a.txt.png", "Opening the photo", "not a picture"),
            (photo_input, tmp_path / "b.txt.png", "Opening the photo", "not a picture"),
        ):
            with held(page, UPLOAD):
                page.locator(selector).set_input_files(str(path))
                status(page, before)
                assert not page.locator("#status p").filter(has_text=after).is_visible()
                if first:  # nothing is on the canvas yet
                    page.locator("#fill").click()
                    status(page, "still being opened")
                first = False
            status(page, after)
            assert not page.get_by_test_id("toast-body").filter(has_text="Open a picture first").count()


def test_of_two_files_dropped_at_once_the_one_that_is_taken_is_named(browser, url: str, picture: Path):
    with opened(browser, url, "two-files") as page:
        editor, besides = Editor(page, CANVAS), page.locator("#status .besides")
        page.evaluate(
            """data => {
                const given = new DataTransfer();
                for (const name of ['a.png', 'b.png']) {
                    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
                    given.items.add(new File([bytes], name, { type: 'image/png' }));
                }
                const options = { bubbles: true, cancelable: true, dataTransfer: given };
                document.querySelector('#editor').dispatchEvent(new DragEvent('drop', options));
            }""",
            base64.b64encode(picture.read_bytes()).decode(),
        )
        status(page, "No face was found")
        assert "of the 2, only a.png was taken" in besides.inner_text()
        page.locator("#fill").click()
        status(page, "Nothing is painted")
        assert not besides.inner_text()
        editor.wait_for_picture()
        editor.stroke(POINTS)
        check_stroke(page, url, picture)


def test_it_is_said_that_a_photo_is_opened_until_it_is_on_the_canvas(browser, url: str, picture: Path):
    with opened(browser, url, "arriving") as page:
        editor, photos, pictures = (
            Editor(page, CANVAS),
            page.locator("#editor input[type=file]"),
            "**/gradio_api/file=**",
        )
        done = page.locator("#status p").filter(has_text="No face was found")
        waiting, hold = [], True
        page.route(pictures, lambda route: waiting.append(route) if hold else route.continue_())
        photos.set_input_files(str(picture))
        done.wait_for(state="attached")
        end = time.monotonic() + SLOW / 1000
        while not waiting:
            assert time.monotonic() < end
            page.wait_for_timeout(100)
        page.wait_for_timeout(6000)  # the picture takes longer than the words that go by the clock alone
        assert page.locator("#status .own").is_visible() and not done.is_visible()
        hold = False
        for route in waiting:
            route.continue_()
        status(page, "No face was found")
        again = shutil.copy(picture, picture.with_name("again.png"))  # the canvas may have it already
        with held(page, UPLOAD):  # else it may be there before it is looked for
            photos.set_input_files(str(again))
            status(page, "Opening the photo")
        status(page, "No face was found")
        assert not page.locator("#status .own").is_visible()
        editor.wait_for_picture()
        editor.stroke(POINTS)
        check_stroke(page, url, picture)


def test_a_photo_opened_after_three_examples_is_the_one_that_stays(browser, url: str, picture: Path):
    with opened(browser, url, "three") as page:
        editor = Editor(page, CANVAS)
        for number in (0, 2, 0):
            page.locator("#examples button:has(.caption-label)").nth(number).click()
        page.locator("#editor input[type=file]").set_input_files(str(picture))
        status(page, "No face was found")
        page.wait_for_timeout(5000)
        status(page, "No face was found")
        assert page.evaluate("[editor.width, editor.height]") == list(CANVAS)
        editor.stroke(POINTS)
        check_stroke(page, url, picture)


def test_undo_brings_back_what_was_cleared_until_another_photo_comes(browser, url: str, picture: Path):
    with opened(browser, url, "cleared") as page:
        editor = Editor(page, CANVAS)
        undo, clear = (editor.root.get_by_label(name, exact=True) for name in ("Undo", "Clear canvas"))
        editor.open(picture)
        status(page, "No face was found")
        editor.stroke(POINTS)
        mine = painted(page)
        clear.click()
        status(page, "Undo brings back")
        page.locator("#fill").click()
        toast(page, "Open a picture first")
        undo.click()
        wait_for_paint(page, mine, other=False)
        status(page, "Paint over what you want gone")  # and no more that there is no picture
        assert not page.locator("#status .wrong").is_visible()
        editor.wait_for_picture()
        check_stroke(page, url, picture)
        clear.click()
        status(page, "Undo brings back")
        editor.open(ROOT / "examples" / "wide.jpg")
        status(page, "2 faces found")
        editor.open(picture)
        status(page, "No face was found")
        editor.stroke(POINTS)
        undo.click()  # the stroke
        page.wait_for_function("editor.command_manager.history.command?.name === 'AddImage'")
        undo.click()  # and the photo; not those before, and what was cleared
        page.wait_for_function("!editor.background_image || editor.background_image.destroyed")
        page.wait_for_function("document.querySelector('#editor button[aria-label=Undo]').disabled")
        page.wait_for_timeout(1000)
        assert undo.is_disabled() and page.evaluate("!editor.background_image || editor.background_image.destroyed")
        page.locator("#fill").click()
        status(page, "The canvas is empty")
        editor.root.get_by_label("Redo", exact=True).click()
        editor.wait_for_picture()
        status(page, "Paint over what you want gone")
        assert not page.locator("#status .wrong").is_visible()
        assert page.evaluate("[editor.width, editor.height]") == list(CANVAS)


def test_an_error_goes_once_fill_is_pressed_again(browser, url: str):
    with opened(browser, url, "again") as page:
        Editor(page, CANVAS)
        page.locator("#fill").click()
        toast(page, "Open a picture first")
        status(page, "Open a picture first")
        with held(page, QUEUE) as wait:
            page.locator("#fill").click()
            wait()
            assert not page.locator("#status .wrong").is_visible()
        status(page, "Open a picture first")


def test_small_squares_are_moved_only_the_chosen_one_is_removed_and_undo_brings_back(browser, url: str):
    with opened(browser, url, "small") as page:
        examples = page.locator("#examples button")
        page.get_by_role("button", name="Example: Two faces").wait_for()
        assert examples.evaluate_all("all => all.map(button => button.ariaLabel)") == [
            f"Example: {caption}" for caption in ("Two faces", "Scratches", "Mouth", "No mask")
        ]
        page.locator("#open input, input[data-testid^='Open a photo']").set_input_files(
            str(ROOT / "examples" / "wide.jpg")
        )
        status(page, "2 faces found")
        page.locator("#editor canvas[aria-label]").first.wait_for()
        page.get_by_role("button", name="Faces in the picture").click()
        squares, remove = page.locator("#faces g.face"), page.locator("#faces .remove")
        squares.nth(1).wait_for()
        assert squares.first.get_attribute("role") == "application" and remove.is_disabled()
        found = [square.get_attribute("transform") for square in squares.all()]
        squares.first.scroll_into_view_if_needed()  # and stands still
        squares.first.focus()
        for _ in range(60):
            if squares.first.locator(".frame").bounding_box()["width"] < 20:
                break
            page.keyboard.press("-")
        for border in (False, True):  # near it, handles are drawn further inside
            for _ in range(60 if border else 0):
                page.keyboard.press("ArrowUp")
            box, before = squares.first.locator(".frame").bounding_box(), squares.first.get_attribute("transform")
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            drag(page, box, (x + 30, y + 20))
            moved = squares.first.locator(".frame").bounding_box()
            if border:  # the drawing grows with what hangs over it
                assert moved["x"] > box["x"] + 5
            else:
                assert abs(moved["x"] - box["x"] - 30) < 3 and abs(moved["width"] - box["width"]) < 1
            assert squares.first.get_attribute("transform").split()[-1] == before.split()[-1]
        kept = squares.nth(1).get_attribute("transform")
        assert squares.first.get_attribute("aria-current") == "true" and remove.is_enabled()
        remove.click()
        assert squares.count() == 1 and squares.first.get_attribute("transform") == kept
        assert remove.is_enabled()  # the only one needs not be chosen
        remove.click()
        assert squares.count() == 0 and remove.is_disabled()
        page.locator("#faces .undo").click()
        page.keyboard.press("Control+z")
        assert squares.nth(1).get_attribute("transform") == kept
        for _ in range(200):
            if page.locator("#faces .undo").is_disabled():
                break
            page.locator("#faces .undo").click()
        assert [square.get_attribute("transform") for square in squares.all()] == found
        assert page.locator("#faces .undo").is_disabled()
