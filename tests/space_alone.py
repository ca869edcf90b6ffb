"""Start the Space of nothing but what its upload sends and requirements.txt installs, and fill a face in it.

For continuous integration, in an environment that has requirements.txt and no more: `python tests/space_alone.py`.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from gradio_client import Client, handle_file
from PIL import Image

ROOT = Path(__file__).parent.parent
_SECONDS = 900  # in which the page must answer


def copy_what_is_sent(folder: Path) -> None:
    """Copy what README's `hf upload ... --type space` includes."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("--type space")[1].split("\n\n")[0]
    for name in re.findall(r'--include "?([^"\s]+)"?', section):
        if name.endswith("/*"):
            left = shutil.ignore_patterns("__pycache__", "discriminators")
            shutil.copytree(ROOT / name[:-2], folder / name[:-2], ignore=left)
        else:
            shutil.copy(ROOT / name, folder)


def main() -> int:
    """Return the exit status: 0 if the face was filled and nothing else was touched."""
    with tempfile.TemporaryDirectory() as place, socket.create_server(("127.0.0.1", 0)) as taken:
        space, port = Path(place, "space"), taken.getsockname()[1]
        taken.close()
        space.mkdir()
        copy_what_is_sent(space)
        settings = {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": f"{place}/tmp", "HF_HUB_OFFLINE": "1"}
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NGAN_MODEL")}
        page = subprocess.Popen([sys.executable, "app.py"], cwd=space, env={**kept, **settings})
        try:
            return fill(f"http://127.0.0.1:{port}", page, space / "examples", Path(place, "got"))
        finally:
            page.terminate()
            page.wait()


def fill(url: str, page: subprocess.Popen, examples: Path, got: Path) -> int:
    """Wait for the page, fill an example's mouth, compare."""
    end = time.monotonic() + _SECONDS
    while True:
        try:
            client = Client(url, verbose=False, download_files=str(got), httpx_kwargs={"timeout": 300})
            break
        except Exception:  # whatever the client makes of a page that does not answer yet
            if page.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(1)
    face, mask = examples / "astronaut.png", examples / "astronaut_mouth.png"
    filled = np.asarray(
        Image.open(client.predict(handle_file(str(face)), handle_file(str(mask)), api_name="/inpaint"))
    )
    before, hole = np.asarray(Image.open(face).convert("RGB")), np.asarray(Image.open(mask).convert("L")) > 127
    right = np.array_equal(filled[~hole], before[~hole]) and (filled[hole] != before[hole]).any(-1).mean() > 0.9
    print("the Space filled a face" if right else "the Space's fill is wrong")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
