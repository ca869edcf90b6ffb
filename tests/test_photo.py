"""The benchmark of a large photo runs, and its stages make up its total."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def test_every_stage_of_a_large_photo_is_timed(tmp_path: Path, model: str):
    words = ["-m", "benchmarks.photo", "--model", model, "--repeats", "1", "--json", str(tmp_path / "photo.json")]
    subprocess.run([sys.executable, *words], check=True, cwd=Path(__file__).parent.parent, timeout=900)
    report = json.loads((tmp_path / "photo.json").read_text())
    seconds = report["seconds"]
    stages = {"decode", "detect", "cut", "networks", "paste", "encode", "other"}
    assert set(seconds) == stages | {"total"} and min(seconds[name] for name in stages) >= 0
    assert sum(seconds[name] for name in stages) == pytest.approx(seconds["total"], abs=0.02)
    assert report["peak memory, MB"] > 100
