"""Tests of the page's two looks of what is filled: of the models that come with the package, and of no other."""

import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from editor import Editor, client_of, page_model
from gradio_client import handle_file
from PIL import Image
from test_app_browser import SLOW, opened
from test_app_browser import browser as browser

from ngan import Inpainter
from ngan.hub import CRISP, EMBEDDED
from page.models import load_inpainter

ROOT = Path(__file__).parent.parent
FACE, MASK = ROOT / "examples/astronaut.png", ROOT / "examples/astronaut_mouth.png"

pytestmark = pytest.mark.slow


def fills() -> dict[str, np.ndarray]:
    """The example filled by both models, by the names of the looks."""
    models = {"Crisp": CRISP, "Careful": EMBEDDED}
    filled = {look: np.asarray(Inpainter(model, "cpu")(FACE, MASK)) for look, model in models.items()}
    assert not np.array_equal(*filled.values())
    return filled


def test_models_of_others_have_one_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NGAN_MODEL", str(page_model(tmp_path / "model")))
    assert len(load_inpainter().looks) == 1
    monkeypatch.setenv("NGAN_MODEL", CRISP.name)  # asked for by name: no other is wanted
    assert len(load_inpainter().looks) == 1
    monkeypatch.setenv("NGAN_MODEL", str(tmp_path / "nowhere"))
    loaded = load_inpainter()
    assert loaded.notice and list(loaded.looks) == ["Crisp", "Careful"]


def test_programs_name_the_look(embedded_page: str):
    client, given = client_of(embedded_page), (handle_file(str(FACE)), handle_file(str(MASK)))
    for look, name in (("Crisp", "/inpaint"), ("Careful", "/inpaint_careful")):
        got, expected = np.asarray(Image.open(client.predict(*given, api_name=name))), fills()[look]
        near = np.abs(got.astype(int) - expected)
        assert near.max() <= 8 and near.mean() < 0.02  # the server has another number of threads


def test_another_look_fills_again_what_is_shown_and_nothing_else(browser, embedded_page: str, tmp_path: Path):
    with opened(browser, embedded_page, "looks") as page:
        words, result = page.locator("#status p"), page.locator("#slider img").last
        editor = Editor(page, (512, 512))
        crisp, careful = page.get_by_label("Crisp", exact=True), page.get_by_label("Careful", exact=True)
        careful.check()  # nothing is open yet
        crisp.check()
        page.locator("#examples button").nth(2).click()
        words.filter(has_text="Filled in").wait_for()
        first, run = result.get_attribute("src"), page.locator("#status p[data-run]").get_attribute("data-run")
        careful.check()
        page.locator(f"#status p[data-run]:not([data-run='{run}'])").filter(has_text="Filled in").wait_for()
        page.wait_for_function("src => document.querySelector('#slider img:last-of-type').src !== src", arg=first)
        Image.open(FACE).convert("RGB").resize((200, 160)).save(tmp_path / "other.png")
        page.locator("#open input, input[data-testid^='Open a photo']").set_input_files(str(tmp_path / "other.png"))
        words.filter(has_text=re.compile("faces? (was )?found")).wait_for()  # they are looked for first
        editor.wait_for_picture()
        said = words.last.inner_text()
        crisp.check()
        page.wait_for_timeout(3000)
        assert words.last.inner_text() == said and not page.locator("#slider").is_visible()
        page.locator("#hole").focus()
        page.keyboard.press("Tab")  # who goes by keys sees where they are
        label = page.locator("#look label:focus-within")
        assert label.evaluate("label => getComputedStyle(label).outlineStyle") == "solid"


def test_a_model_of_others_has_no_choice(browser, tiny_page: str):
    with opened(browser, tiny_page, "one_look") as page:
        page.locator("#fill").wait_for(timeout=SLOW)
        assert not page.locator("#look").is_visible()


def test_handlers_fill_by_the_look_they_are_given(app: ModuleType, monkeypatch: pytest.MonkeyPatch):
    asked, run = [], app.handlers.fill

    def fill(picture: Image.Image, mask: Image.Image | None, faces: list | None, look: str | None) -> object:
        asked.append(look)
        return run(picture, mask, faces, None)

    monkeypatch.setattr(app.handlers, "fill", fill)
    monkeypatch.setattr(app.programs, "fill", fill)
    app.programs.inpaint(str(FACE), str(MASK))
    app.programs.inpaint_careful(str(FACE), str(MASK))
    app.handlers.try_example(2, look="Crisp")
    assert asked == [None, "Careful", "Crisp"]
