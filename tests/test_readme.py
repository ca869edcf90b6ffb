"""What README says is so: the Space's settings, the options, the figures."""

import dataclasses
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import RepoCard
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from torch.utils.flop_counter import FlopCounterMode

from ngan.config import TrainConfig
from ngan.hub import EMBEDDED, REFINER
from ngan.model import NGAN
from ngan.refiner import Refiner

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_space_boots_with_the_pinned_gradio():
    card = RepoCard(README, ignore_metadata_errors=False).data
    pins = dict(line.split("==") for line in (ROOT / "requirements.txt").read_text().split() if "==" in line)
    assert card.sdk == "gradio" and card.sdk_version == pins["gradio"]
    assert (ROOT / card.app_file).is_file()
    assert card.python_version == "3.12"
    assert len(card.short_description) <= 60  # the Hub's limit


def test_every_requirement_is_pinned_exactly():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    pin = r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*(; python_version (<|>=) \"3.1[0-9]\")?"
    assert lines and all(re.fullmatch(pin, line) for line in lines)


def test_what_the_requirements_need_in_turn_is_pinned_too():
    lines = [line.split(";")[0] for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line]
    pinned = {canonicalize_name(line.split("==")[0]) for line in lines if line[0] != "#"}
    needed = set()
    for name in pinned & {canonicalize_name(found.name) for found in importlib.metadata.distributions()}:
        for text in importlib.metadata.requires(name) or []:
            needed.add(Requirement(text))
    needed = {one for one in needed if not one.name.startswith(("nvidia-", "cuda-", "triton"))}  # torch's, for a GPU
    here = {canonicalize_name(one.name) for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})}
    assert here <= pinned


def test_every_training_option_named_exists():
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    training = README.split("## Training")[1].split("## How it works")[0]
    named = set(re.findall(r"--([a-z]+(?:_[a-z]+)+)", training)) - {"config_file", "num_processes"}
    assert named - {"machine_rank", "main_process_ip"} <= fields
    assert {"recipe", "init_from", "max_train_minutes", "resume_from_checkpoint"} <= fields


def test_figures_are_those_of_the_embedded_weights():
    result = json.loads((EMBEDDED / "results.json").read_text())
    for kind in ("center", "box", "freeform"):
        for method in ("ngan", "telea"):
            scores = result["masks"][kind][method]
            assert re.search(rf"\| {kind} .*\| {scores['psnr']:.2f} \| {scores['ssim']:.3f} \|", README)
    for kind, scores in result["damages"].items():
        assert re.search(rf"\| {kind} .*\| {scores['iou']:.3f} \|", README)


def test_size_and_cost_are_those_of_the_embedded_model():
    model = NGAN.from_pretrained(EMBEDDED)
    assert f"{sum(p.numel() for p in model.parameters()):,} parameters" in README
    for part in (model.code_generator, model.image_generator):
        assert f"{sum(p.numel() for p in part.parameters()):,}" in README
    refiner = Refiner.from_pretrained(REFINER)
    assert f"{sum(p.numel() for p in refiner.parameters()):,} parameters" in README
    size = model.image_size
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, size, size), torch.zeros(1, 1, size, size))
    assert f"{counter.get_total_flops() / 1e9:.2f} GFLOPs" in README


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(re.findall(r"^\| `(\w+)\.py` \|", README, re.MULTILINE))))
def test_a_benchmark_runs_from_a_checkout_as_its_table_says(name):
    assert "`python -m benchmarks.NAME`" in README
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-m", f"benchmarks.{name}", "--help"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0 and "usage:" in done.stdout, done.stderr
