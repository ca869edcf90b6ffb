"""The canvas and the result under fingers, a mouse's wheel and a trackpad, in a real browser."""

from pathlib import Path

import pytest
import test_app_browser
from editor import Editor
from test_app_browser import CANVAS, PHONE, opened, status

pytestmark = pytest.mark.slow

browser, url, picture = test_app_browser.browser, test_app_browser.url, test_app_browser.picture

LAST = "window.editor.command_manager.history.command.name"  # what Undo would undo
CORNER = "(({ x, y }) => [x, y])(window.editor.tools.get('zoom').local_position)"  # of the photo on the canvas

Point = tuple[float, float]


def open_on(page, picture: Path) -> Point:
    """Open a photo; returns the middle of the canvas on the screen."""
    editor = Editor(page, CANVAS)
    editor.open(picture)
    status(page, "No face was found")
    page.evaluate("document.querySelector('#editor').scrollIntoView({ block: 'center' })")
    box = editor.canvas.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def stroke(page, *steps: tuple[Point, ...]) -> None:
    """Fingers come down at the first step's points and go along the others'."""
    devtools = page.context.new_cdp_session(page)

    def send(kind: str, points: tuple[Point, ...] = ()) -> None:
        touches = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
        page.wait_for_timeout(40)

    for number in range(len(steps[0])):  # one finger after the other
        send("touchStart", steps[0][: number + 1])
    for points in steps[1:]:
        send("touchMove", points)
    send("touchEnd")


def zoom_of(page) -> int:
    return int(page.locator("#editor .zoom-number").inner_text().strip("%"))


def wait_for_zoom(page, rule: str, whole: int) -> None:
    page.wait_for_function(
        f"whole => (zoom => {rule})(parseInt(document.querySelector('#editor .zoom-number').innerText))", arg=whole
    )


def test_two_fingers_zoom_one_paints_and_the_hand_moves(browser, url: str, picture: Path):
    with opened(browser, url, "fingers", **PHONE) as page:
        x, y = open_on(page, picture)
        whole, corner = zoom_of(page), page.evaluate(CORNER)
        stroke(page, *[((x - 20 - way, y), (x + 20 + way, y)) for way in range(0, 50, 5)])
        wait_for_zoom(page, "zoom > 2 * whole", whole)
        assert page.evaluate(LAST) == "AddImage"  # nothing was painted

        page.locator("#editor").get_by_label("Pan", exact=True).click()
        before = page.evaluate(CORNER)
        stroke(page, *[((x + way, y + way),) for way in range(0, 50, 5)])
        page.wait_for_function(f"before => {CORNER}.every((at, axis) => at > before[axis] + 30)", arg=before)

        page.locator("#editor").get_by_label("Brush", exact=True).click()
        stroke(page, *[((x + way, y),) for way in range(0, 50, 5)])
        page.wait_for_function(f"{LAST} === 'Draw'")

        stroke(page, *[((x - 90 + way, y), (x + 90 - way, y)) for way in range(0, 80, 5)])
        wait_for_zoom(page, "zoom === whole", whole)
        page.wait_for_function(f"corner => {CORNER}.every((at, axis) => Math.abs(at - corner[axis]) <= 2)", arg=corner)
        assert page.evaluate(LAST) == "Draw"


def test_a_wheel_over_a_whole_photo_scrolls_the_page_and_with_ctrl_zooms(browser, url: str, picture: Path):
    with opened(browser, url, "wheel", viewport={"width": 1280, "height": 800}) as page:
        page.mouse.move(*open_on(page, picture))
        whole = zoom_of(page)
        top = page.evaluate("scrollY")
        page.mouse.wheel(0, 100)
        page.wait_for_function("top => Math.abs(scrollY - top - 100) < 1", arg=top)  # to the end of its steps
        page.keyboard.down("Control")
        for _ in range(8):
            page.mouse.wheel(0, -20)
        page.keyboard.up("Control")
        wait_for_zoom(page, "zoom > whole", whole)
        there, corner = page.evaluate("scrollY"), page.evaluate(CORNER)
        page.mouse.wheel(0, 100)  # now it moves the photo
        page.wait_for_function(f"y => {CORNER}[1] < y - 5", arg=corner[1])
        assert page.evaluate("scrollY") == there


def test_a_finger_on_the_result_scrolls_the_page(browser, url: str):
    with opened(browser, url, "swipe", **PHONE) as page:
        page.locator("#examples button").nth(2).click()
        status(page, "Filled in")
        page.wait_for_function("Math.abs(document.querySelector('#slider').getBoundingClientRect().top) < 2")
        there = page.evaluate("scrollY")
        stroke(page, *[((300, 280 - way),) for way in range(0, 160, 8)])
        page.wait_for_function("there => scrollY > there + 80", arg=there)
