"""The training script as people start it: a subprocess, tiny networks, drawn faces."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ngan.model import NGAN, NGANDiscriminators

ROOT = Path(__file__).parent.parent
TINY = (
    "--image_size 32 --code_width 8 --image_width 8 --blocks 1 --attention_every 1 --discriminator_width 4 "
    "--embedding 8 --batch_size 4 --generator_only_steps 1 --discriminator_only_steps 0 --warmup_steps 2 "
    "--mixed_precision no --log_every 1 --report_to none"
).split()
NOTE = "Drawn by the tests, a/b and all. " * 20
WEIGHTS = ("generators", "discriminators", "average", "generators_adam", "discriminators_adam")
pytestmark = pytest.mark.slow


def train(faces: Path, output: Path, *arguments: str, launcher=(), environment=None) -> subprocess.CompletedProcess:
    command = [*(launcher or [sys.executable]), str(ROOT / "train_accelerate.py")]
    command += ["--dataset", str(faces), "--output_dir", str(output), *TINY, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=_environment(environment), capture_output=True, text=True, timeout=300
    )


def _environment(more=None) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **(more or {})}


def state(folder: Path) -> dict[str, torch.Tensor]:
    return {f"{name}/{k}": v for name in WEIGHTS for k, v in load_file(folder / f"{name}.safetensors").items()}


def assert_same_state(a: Path, b: Path) -> None:
    ours, theirs = state(a), state(b)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run of 6 updates with checkpoints every 2, and its faces beside it."""
    from conftest import draw_face

    folder = tmp_path_factory.mktemp("train")
    for split, seeds in {"train": range(12), "validation": range(100, 104)}.items():
        (folder / "faces" / split).mkdir(parents=True)
        for seed in seeds:
            draw_face(seed, 40).save(folder / "faces" / split / f"{seed:03}.png")
    done = train(
        folder / "faces",
        folder / "run",
        *"--max_train_steps 6 --checkpoint_every 2 --checkpoints_keep 2 --sample_every 3 --sample_faces 3".split(),
        *("--data_note", NOTE),
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_a_run_writes_exactly_what_it_promises(run):
    assert sorted(p.name for p in (run / "run").iterdir()) == [
        "checkpoint-0000004",
        "checkpoint-0000006",
        "config.json",
        "metrics.jsonl",
        "model",
        "samples",
    ]
    assert sorted(p.name for p in (run / "run/samples").iterdir()) == ["0000003.png", "0000006.png"]
    assert sorted(p.relative_to(run / "run/model").as_posix() for p in (run / "run/model").rglob("*.*")) == [
        "README.md",
        "config.json",
        "discriminators/README.md",
        "discriminators/config.json",
        "discriminators/model.safetensors",
        "model.safetensors",
        "results.json",
        "samples.png",
        "train_config.json",
    ]
    assert Image.open(run / "run/samples/0000006.png").height > 3 * 96


def test_the_exported_model_is_the_average_and_loads_strictly(run):
    model = NGAN.from_pretrained(run / "run/model")
    average = load_file(run / "run/checkpoint-0000006/average.safetensors")
    assert all(torch.equal(tensor, average[name]) for name, tensor in model.state_dict().items())
    assert model.image_size == 32
    critics = NGANDiscriminators.from_pretrained(run / "run/model/discriminators")
    trained = load_file(run / "run/checkpoint-0000006/discriminators.safetensors")
    assert all(torch.equal(tensor, trained[name]) for name, tensor in critics.state_dict().items())


def test_the_card_has_the_runs_own_figures_and_no_path_of_the_machine(run):
    card = (run / "run/model/README.md").read_text()
    result = json.loads((run / "run/model/results.json").read_text())
    assert f"| {result['masks']['center']['ngan']['psnr']:.2f} |" in card
    assert "24 images of 32x32 pixels seen in 6 updates" in card
    assert "4 faces of the split `validation`" in card
    assert NOTE.strip() in card and "--dataset faces" in card
    written = "".join(p.read_text() for p in (run / "run/model").rglob("*") if p.suffix in (".md", ".json"))
    assert str(run) not in written and str(run.parent) not in written


def test_every_update_is_logged_under_the_five_names(run):
    entries = [json.loads(line) for line in (run / "run/metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == list(range(1, 7))
    assert [entry["images_seen"] for entry in entries] == list(range(4, 28, 4))
    assert {"code_g", "image_g"} <= entries[0].keys() and "code_d" not in entries[0]
    assert {"code_g", "code_d", "image_g", "global_d", "local_d", "images_per_second"} <= entries[1].keys()


def test_a_resumed_run_equals_an_uninterrupted_one(run, tmp_path):
    arguments = "--max_train_steps 6 --checkpoint_every 4 --validation_split".split()
    assert train(run / "faces", tmp_path, *arguments, "", "--max_train_steps", "6").returncode == 0
    for name in ("checkpoint-0000006", "model"):
        os.rename(tmp_path / name, tmp_path / f"first-{name}")
    done = train(run / "faces", tmp_path, *arguments, "", "--resume_from_checkpoint", "latest")
    assert done.returncode == 0, done.stderr
    assert_same_state(tmp_path / "checkpoint-0000006", tmp_path / "first-checkpoint-0000006")
    assert_same_state(tmp_path / "checkpoint-0000006", run / "run/checkpoint-0000006")
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 7))  # what the first launch logged after its checkpoint is not there twice


def test_time_that_is_up_saves_evaluates_exports_and_ends_well(run, tmp_path):
    done = train(run / "faces", tmp_path, "--max_train_steps", "100000", "--max_train_minutes", "0.05")
    assert done.returncode == 0, done.stderr
    (checkpoint,) = tmp_path.glob("checkpoint-*")
    assert 0 < int(checkpoint.name.removeprefix("checkpoint-")) < 100000
    assert (tmp_path / "model/model.safetensors").is_file()
    assert "OpenCV Telea" in done.stdout


def test_sigterm_saves_and_ends_with_its_number(run, tmp_path):
    command = [sys.executable, str(ROOT / "train_accelerate.py"), "--dataset", str(run / "faces"), *TINY]
    command += ["--output_dir", str(tmp_path), "--max_train_steps", "100000", "--validation_split", ""]
    process = subprocess.Popen(
        command, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    log = tmp_path / "metrics.jsonl"
    for _ in range(600):
        if log.is_file() and log.read_text().count("\n") >= 2:
            break
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "--resume_from_checkpoint latest" in out.decode()
    (checkpoint,) = tmp_path.glob("checkpoint-*")
    assert json.loads((checkpoint / "state.json").read_text())["counters"]["step"] >= 2


def test_training_improves_the_reconstruction(run, tmp_path):
    arguments = "--max_train_steps 100 --learning_rate 1e-3 --masks center --find_share 0 --validation_split".split()
    done = train(run / "faces", tmp_path, *arguments, "")
    assert done.returncode == 0, done.stderr
    values = [
        json.loads(line)["image_g/reconstruction"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
    ]
    assert sum(values[-10:]) < 0.75 * sum(values[:10])


def test_accumulated_batches_make_one_update(run, tmp_path):
    done = train(
        run / "faces", tmp_path, *"--max_train_steps 2 --gradient_accumulation_steps 3 --evaluate_limit 2".split()
    )
    assert done.returncode == 0, done.stderr
    entries = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [entry["images_seen"] for entry in entries] == [12, 24]
    moments = load_file(tmp_path / "checkpoint-0000002/generators_adam.safetensors")
    assert {float(v) for k, v in moments.items() if k.endswith(".step")} == {2.0}


def test_two_processes_share_the_work_and_end_with_one_model(run, tmp_path):
    launcher = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
    ] + ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    done = train(
        run / "faces",
        tmp_path,
        *"--max_train_steps 3 --evaluate_limit 2 --seed 3".split(),
        launcher=launcher,
        environment={"ACCELERATE_USE_CPU": "1"},
    )
    assert done.returncode == 0, done.stderr
    entries = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [entry["images_seen"] for entry in entries] == [8, 16, 24]  # 2 processes x 4 pictures, logged once
    assert NGAN.from_pretrained(tmp_path / "model").image_size == 32


def test_streaming_trains_too(run, tmp_path):
    arguments = "--max_train_steps 2 --streaming true --validation_split".split()
    done = train(run / "faces", tmp_path, *arguments, "")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "checkpoint-0000002").is_dir()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--dataset", "./nowhere"], "./nowhere"),
        (["--split", "holdout"], "holdout"),
        (["--batch_size", "0"], "batch_size=0: must be at least 1"),
        (["--init_from", "nowhere/at/all"], "nowhere/at/all"),
        (["--report_to", "trackio"], "the package trackio is not installed"),
        (["--push_to_hub", "me/faces"], "no Hub token"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line_before_any_work(run, tmp_path, arguments, complaint):
    done = train(run / "faces", tmp_path / "run", *arguments, environment={"HF_HOME": str(tmp_path), "HF_TOKEN": ""})
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("train_accelerate.py: error: ")]
    assert len(errors) == 1 and complaint in errors[0]
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_a_dry_run_prints_the_configuration_and_writes_nothing(run, tmp_path):
    done = train(run / "faces", tmp_path / "run", "--dry-run", "--seed", "4")
    assert done.returncode == 0
    assert json.loads(done.stdout)["seed"] == 4
    assert not (tmp_path / "run").exists()


def test_a_folder_without_validation_faces_trains_and_says_what_is_left_out(run, tmp_path):
    done = train(run / "faces/train", tmp_path, "--max_train_steps", "2")
    assert done.returncode == 0, done.stderr
    assert "no validation split" in done.stderr
    assert "Not measured" in (tmp_path / "model/README.md").read_text()
    assert not (tmp_path / "samples").exists()
