"""Hostile input against the running page: it answers in words, stays up, and gives nothing away."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from editor import ROOT, noise_picture, page_model, running_page
from PIL import Image

pytestmark = pytest.mark.slow

UPLOADS = 200
# What the page says of files and requests that it cannot use; anything else is an error no person can read.
KIND = re.compile(r"picture|pixels|mask|HEIC|photo", re.IGNORECASE)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Path]]:
    """A client of the running page, and the folder of its log and its cache."""
    model, folder = page_model(tmp_path_factory.mktemp("model")), tmp_path_factory.mktemp("page")
    with running_page(model, folder) as address, httpx.Client(base_url=address, timeout=900) as http:
        yield http, folder


def upload(http: httpx.Client, name: str, content: bytes) -> dict:
    path = http.post("gradio_api/upload", files={"files": (name, content)}).raise_for_status().json()[0]
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def call(http: httpx.Client, endpoint: str, *data: object) -> tuple[bool, str]:
    """Whether it went well, and the answer or the words of the error."""
    posted = http.post(f"gradio_api/call/{endpoint}", json={"data": list(data)})
    if posted.status_code != 200:
        return False, posted.text
    answer = http.get(f"gradio_api/call/{endpoint}/{posted.json()['event_id']}").text
    return "event: complete" in answer, answer.rpartition("data: ")[2].strip()


def good_files() -> dict[str, bytes]:
    """Small pictures of every kind that is taken."""
    picture = Image.fromarray(noise_picture(40, 48))
    exif = Image.Exif()
    exif[274] = 6
    files = {}
    for kind, options in (("JPEG", {"exif": exif}), ("PNG", {"exif": exif}), ("WEBP", {}), ("GIF", {}), ("BMP", {}),
                          ("TIFF", {"compression": "tiff_lzw"}), ("AVIF", {})):  # fmt: skip
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        files[kind.lower()] = buffer.getvalue()
    deep = np.random.default_rng(0).integers(0, 65536, (40, 48, 3), dtype=np.uint16)
    files["deep.png"], files["deep.tif"] = (cv2.imencode(end, deep)[1].tobytes() for end in (".png", ".tif"))
    files["heic"] = (ROOT / "tests" / "data" / "gradient.heic").read_bytes()
    return files


def mutated(random: np.random.Generator, content: bytes, others: list[bytes]) -> bytes:
    """Cut, flip, double, swap or splice: one of these, drawn."""
    kind, data = random.integers(6), bytearray(content)
    a, b = sorted(int(value) for value in random.integers(0, len(data), 2))
    if kind == 0:
        return bytes(data[:a])
    if kind in (1, 2):  # near the head too, where sizes stand
        reach = len(data) if kind == 1 else min(64, len(data))
        for place in random.integers(0, reach, int(random.integers(1, 20))):
            data[place] = random.integers(256)
        return bytes(data)
    if kind == 3:
        return bytes(data[:a] + data[a:b] * 3 + data[b:])
    if kind == 4:
        return bytes(data[:a]) + others[int(random.integers(len(others)))][a:]
    return random.integers(0, 256, len(data), dtype=np.uint8).tobytes()


def test_mutated_uploads_are_answered_in_words(page):
    http, folder = page
    random, good = np.random.default_rng(0), good_files()
    mask = upload(http, "mask.png", good["png"])
    filled = 0
    for number in range(UPLOADS):
        kind = list(good)[number % len(good)]
        file = upload(http, f"{number}.{kind}", mutated(random, good[kind], list(good.values())))
        # every fifth is given as the mask of a good picture
        data = (mask, file) if number % 5 == 0 else (file, None)
        well, words = call(http, "inpaint", *data) if number % 2 else call(http, "find_damage", data[0])
        filled += well
        assert well or KIND.search(words), (number, words)
        assert str(folder) not in words or well, words
        assert "Traceback" not in words and "Error(" not in words
    assert filled < UPLOADS
    well, _ = call(http, "inpaint", mask, None)
    assert well
    assert "Traceback" not in (folder / "app.log").read_text()


@pytest.mark.parametrize(
    "data",
    [[], [1], ["text"], [[], {}], [{"path": 3}], [{"path": None}], [None, None, None, None], [{"a": "b"}],
     [True, False], [{"path": "", "meta": {"_type": "gradio.FileData"}}], [{"url": "file:///etc/passwd"}]],
)  # fmt: skip
def test_wrong_types_are_refused(page, data: list):
    http, folder = page
    well, words = call(http, "inpaint", *data)
    assert not well and "root:" not in words and str(folder) not in words
    assert http.get("config").status_code == 200


def test_no_file_of_the_server_can_be_read(page, tmp_path: Path):
    http, folder = page
    secret = tmp_path / "secret.png"
    Image.fromarray(noise_picture(40, 40)).save(secret)
    cache = folder / "cache"
    inside = upload(http, "mine.png", good_files()["png"])["path"]
    targets = [str(secret), str(ROOT / "app.py"), "/etc/passwd", f"{cache}/../app.log", f"{cache}/%2e%2e/app.log"]
    targets += [
        f"{inside}/../../../app.log",
        "file:///etc/passwd",
        "//etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "/proc/self/environ",
    ]
    for target in targets:
        for route in ("file=", "file/", "download/", "proxy=", "stream/"):
            answer = http.get(f"gradio_api/{route}{target}")
            assert answer.status_code >= 400, (route, target)
    meta = {"_type": "gradio.FileData"}
    for target in [str(secret), str(ROOT / "README.md"), f"{inside}/../../../app.log", "http://127.0.0.1:1/a.png",
                   f"{http.base_url}config", "file:///etc/passwd"]:  # fmt: skip
        well, words = call(http, "inpaint", {"path": target, "meta": meta}, None)
        assert not well, target
        well, words = call(http, "inpaint", {"path": "a.png", "url": target, "meta": meta}, None)
        assert not well, target
    outside = {"path": str(secret), "meta": meta}
    config = http.get("config").json()
    for number, dependency in enumerate(config["dependencies"]):  # the page's own events are no way round
        inputs = [outside for _ in dependency["inputs"]]
        posted = http.post(
            "gradio_api/queue/join", json={"data": inputs, "fn_index": number, "session_hash": f"hostile{number}"}
        )
        assert posted.status_code in (200, 400, 404, 422, 500)
        if posted.status_code != 200:
            continue
        with http.stream("GET", "gradio_api/queue/data", params={"session_hash": f"hostile{number}"}) as stream:
            lines = "".join(stream.iter_text())
        done = [json.loads(line[6:]) for line in lines.splitlines() if "process_completed" in line]
        assert done and str(secret) not in json.dumps(done[-1])
    assert not [p for p in cache.rglob("*") if p.is_file() and p.read_bytes() == secret.read_bytes()]


def test_names_of_uploads_lead_nowhere(page):
    http, folder = page
    before = sorted(path for path in folder.iterdir())
    for name in (
        "../../escaped.png",
        "/tmp/escaped.png",
        "..\\escaped.png",
        "a/../../../escaped.png",
        "x" * 5000,
        "\x00.png",
    ):
        answer = http.post("gradio_api/upload", files={"files": (name, b"no picture")})
        if answer.status_code == 200:
            assert Path(answer.json()[0]).resolve().is_relative_to((folder / "cache").resolve())
    assert sorted(path for path in folder.iterdir()) == before and not Path("/tmp/escaped.png").exists()


def test_oversized_bodies_are_refused(page):
    http, folder = page
    answer = http.post("gradio_api/upload", files={"files": ("large.png", bytes(65 * 1024 * 1024))})
    assert answer.status_code == 413 and "size" in answer.text.lower()
    assert not [path for path in (folder / "cache").rglob("*") if path.is_file() and path.stat().st_size > 60_000_000]
    deep = "[" * 100_000 + "]" * 100_000
    answer = http.post("gradio_api/call/inpaint", content=deep, headers={"Content-Type": "application/json"})
    assert answer.status_code >= 400
    assert http.get("config").status_code == 200


def test_photos_are_not_logged(page):
    http, folder = page
    name = "private-holiday-with-grandmother.png"
    buffer = io.BytesIO()
    Image.fromarray(noise_picture(40, 48)).save(buffer, "PNG")
    call(http, "find_damage", upload(http, name, buffer.getvalue()))
    call(http, "find_damage", upload(http, name, b"no picture"))
    assert "grandmother" not in (folder / "app.log").read_text()
    assert not list(folder.rglob("*flag*")) and not list(ROOT.glob(".gradio"))
