"""Tests of the page as a program over HTTP."""

import importlib.util
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from editor import ROOT, client_of, noise_picture, page_model, running_page
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from painting import check_filled, painted
from PIL import Image
from shell import interrupting


@pytest.mark.slow
def test_programs_fill_pictures_over_http(tiny_page: str, tmp_path: Path):
    image, (_, mask) = noise_picture(60, 50), painted(60, 50)
    Image.fromarray(image).save(tmp_path / "face.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.new("L", (50, 61), 0).save(tmp_path / "other.png")
    (tmp_path / "text.png").write_text("no picture")
    face, marked, other, text = (handle_file(str(tmp_path / f"{n}.png")) for n in ("face", "mask", "other", "text"))
    client = client_of(tiny_page, download_files=str(tmp_path / "got"))
    check_filled((image, Image.open(client.predict(face, marked, api_name="/inpaint"))), image, mask)
    found = Image.open(client.predict(face, api_name="/find_damage"))
    assert found.size == (50, 60) and found.mode == "L" and set(np.unique(found)) == {0, 255}
    filled = np.asarray(Image.open(client.predict(face, api_name="/inpaint")))
    known = np.asarray(found) == 0
    assert np.array_equal(filled[known], image[known])
    for arguments, message in (
        ((face, other), "50x61 pixels, but the picture .upright. has 50x60"),
        ((text, marked), "not a picture that can be read"),
        ((face, text), "mask file is not a picture"),
        ((None, None), "Choose a picture"),
    ):
        with pytest.raises(AppError, match=message):
            client.predict(*arguments, api_name="/inpaint")


@pytest.mark.slow
def test_the_readme_calls_the_api_as_printed(tiny_page: str, tmp_path: Path):
    httpx.get(f"{tiny_page}gradio_api/info", timeout=900)  # made now: the client waits 5 s for it
    api = (ROOT / "README.md").read_text().split("## From another program")[1].split("\n## ")[0]
    python, shell = (re.search(rf"```{kind}\n(.*?)```", api, re.S).group(1) for kind in ("python", "bash"))
    image, (_, mask) = noise_picture(60, 50), painted(60, 50)
    for folder, runner, script in (("a", [sys.executable, "-c"], python), ("b", ["bash", "-euc"], shell)):
        (tmp_path / folder).mkdir()
        Image.fromarray(image).save(tmp_path / folder / "face.png")
        Image.fromarray(mask).save(tmp_path / folder / "mask.png")
        script = script.replace("http://127.0.0.1:7860", tiny_page.rstrip("/"))
        subprocess.run([*runner, script], cwd=tmp_path / folder, check=True, timeout=900)
        check_filled((image, Image.open(tmp_path / folder / "filled.png")), image, mask)
        assert Image.open(tmp_path / folder / "damage.png").size == (50, 60)


@pytest.mark.slow
def test_the_page_names_its_limits_and_endpoints(tiny_page: str):
    with httpx.Client(base_url=tiny_page, timeout=900) as http:
        assert sorted(http.get("gradio_api/info").json()["named_endpoints"]) == ["/find_damage", "/inpaint"]
        assert http.get("monitoring").status_code == 403
        assert http.get("gradio_api/runs").status_code == 404
        assert http.get("gradio_api/mcp/").status_code == 404


@pytest.mark.slow
def test_the_mcp_switch_never_starts_without_mcp(tmp_path: Path):
    """With the extra the page serves tools, without it it ends and names what is missing."""
    model = page_model(tmp_path / "model")
    if importlib.util.find_spec("mcp") is None:
        with pytest.raises(AssertionError, match=r'NGAN_MCP=1 needs .*pip install "gradio\[mcp\]"'):
            with running_page(model, tmp_path, NGAN_MCP="1"):
                time.sleep(0)
        return
    with running_page(model, tmp_path, NGAN_MCP="1") as address:
        schema = httpx.get(f"{address}gradio_api/mcp/schema", timeout=900).json()
        assert sorted(tool["name"] for tool in schema) == ["find_damage", "inpaint"]


@pytest.mark.slow
@pytest.mark.parametrize("module", ["gradio", "torch", "page.models"])
def test_ctrl_c_in_the_seconds_of_imports_ends_it_in_silence(tmp_path: Path, module: str):
    variables = {**interrupting(tmp_path, module), "GRADIO_TEMP_DIR": str(tmp_path / "cache")}
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    page = subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=variables, timeout=900, **both)
    assert page.stdout == b"" and page.returncode == 130
    made = tmp_path / "cache" / "ngan"  # by its first lines; its own folder there is gone
    assert made.is_dir() and not list(made.iterdir())
