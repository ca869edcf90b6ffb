"""The training script: as people start it, in a process of its own, and its `main` for the rest; drawn faces."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import datasets
import pytest
import torch
from launching import ROOT, TINY, draw_faces, environment, train
from PIL import Image
from safetensors.torch import load_file

import ngan.features
import ngan.push
import train_accelerate
from ngan.config import TrainConfig
from ngan.launch import warn_of_slow_bf16
from ngan.model import NGAN, NGANDiscriminators

NOTE = "Drawn by the tests, a/b and all. " * 20
WEIGHTS = ("generators", "discriminators", "average", "generators_adam", "discriminators_adam")
pytestmark = pytest.mark.slow


@pytest.fixture
def main(capsys) -> Iterator[Callable[..., subprocess.CompletedProcess]]:
    """`train_accelerate.main` with tiny networks: (faces, output, *arguments) -> what a process would have given.

    On one thread, as `launching.train`: another number of threads adds in another order, and rounds otherwise.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def run(faces: Path, output: Path, *arguments: str) -> subprocess.CompletedProcess:
        capsys.readouterr()
        words = ["--dataset", str(faces), "--output_dir", str(output), *TINY, *arguments]
        status = train_accelerate.main(words)
        return subprocess.CompletedProcess(words, status, *capsys.readouterr())

    yield run
    torch.set_num_threads(threads)


def assert_one_line(done: subprocess.CompletedProcess, *complaints: str) -> None:
    """Assert that a run ended with status 2 and one line of error that holds `complaints`."""
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("train_accelerate.py: error: ")]
    assert len(errors) == 1 and errors == done.stderr.splitlines()[-1:]
    for complaint in complaints:
        assert complaint in errors[0]


def state(folder: Path) -> dict[str, torch.Tensor]:
    return {f"{name}/{k}": v for name in WEIGHTS for k, v in load_file(folder / f"{name}.safetensors").items()}


def assert_same_state(a: Path, b: Path) -> None:
    ours, theirs = state(a), state(b)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run of 6 updates with checkpoints every 2, and its faces beside it."""
    folder = tmp_path_factory.mktemp("train")
    draw_faces(folder / "faces")
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
    assert entries[0]["images_per_second"] < 1000  # the first update's own time counts
    assert {"code_g", "image_g"} <= entries[0].keys() and "code_d" not in entries[0]
    assert {"code_g", "code_d", "image_g", "global_d", "local_d", "images_per_second"} <= entries[1].keys()


def test_a_resumed_run_equals_an_uninterrupted_one(run, tmp_path, main):
    arguments = "--max_train_steps 6 --checkpoint_every 4 --validation_split".split()
    assert main(run / "faces", tmp_path, *arguments, "", "--max_train_steps", "6").returncode == 0
    for name in ("checkpoint-0000006", "model"):
        os.rename(tmp_path / name, tmp_path / f"first-{name}")
    done = main(run / "faces", tmp_path, *arguments, "", "--resume_from_checkpoint", "latest")
    assert done.returncode == 0, done.stderr
    assert_same_state(tmp_path / "checkpoint-0000006", tmp_path / "first-checkpoint-0000006")
    assert_same_state(tmp_path / "checkpoint-0000006", run / "run/checkpoint-0000006")
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 7))  # what the first launch logged after its checkpoint is not there twice


def test_heads_on_features_survive_a_stop_and_are_exported_with_the_critics(run, tmp_path, main):
    options = "--lambda_projected 0.5 --lambda_perceptual 1 --checkpoint_every 2 --max_train_steps 4".split()
    options += ["--validation_split", ""]
    assert main(run / "faces", tmp_path, *options).returncode == 0
    os.rename(tmp_path / "checkpoint-0000004", tmp_path / "first")
    assert main(run / "faces", tmp_path, *options, "--resume_from_checkpoint", "latest").returncode == 0
    assert_same_state(tmp_path / "checkpoint-0000004", tmp_path / "first")
    critics = NGANDiscriminators.from_pretrained(tmp_path / "model/discriminators").state_dict()
    assert any(".heads." in name for name in critics)
    trained = load_file(tmp_path / "first/discriminators.safetensors")
    assert all(torch.equal(critics[name], weight) for name, weight in trained.items())


def test_features_that_are_not_installed_are_refused_in_one_line(run, tmp_path, main, monkeypatch):
    monkeypatch.setattr(ngan.features, "PACKAGE", "no_such_package==1")
    done = main(run / "faces", tmp_path / "run", "--lambda_perceptual", "1")
    assert_one_line(done, "pip install no_such_package==1")


def test_time_that_is_up_saves_evaluates_exports_and_ends_well(run, tmp_path, main):
    done = main(run / "faces", tmp_path, "--max_train_steps", "100000", "--max_train_minutes", "0.05")
    assert done.returncode == 0, done.stderr
    (checkpoint,) = tmp_path.glob("checkpoint-*")
    assert 0 < int(checkpoint.name.removeprefix("checkpoint-")) < 100000
    assert (tmp_path / "model/model.safetensors").is_file()
    assert "OpenCV Telea" in done.stdout


def test_sigterm_to_the_whole_group_saves_and_ends_with_its_number(run, tmp_path):
    command = [sys.executable, str(ROOT / "train_accelerate.py"), "--dataset", str(run / "faces"), *TINY]
    command += ["--output_dir", str(tmp_path), "--max_train_steps", "100000", "--validation_split", ""]
    process = subprocess.Popen(
        [*command, "--num_workers", "1"],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    log = tmp_path / "metrics.jsonl"
    for _ in range(900):
        if log.is_file() and log.read_text().count("\n") >= 2:
            break
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)  # a scheduler tells the loader's worker too
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, err.decode()
    assert "--resume_from_checkpoint latest" in out.decode() and "Traceback" not in err.decode()
    (checkpoint,) = tmp_path.glob("checkpoint-*")
    assert json.loads((checkpoint / "state.json").read_text())["counters"]["step"] >= 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_evaluation_ends_at_once_and_the_resumed_run_goes_straight_on_with_it(
    run, tmp_path, main, monkeypatch, number
):
    with monkeypatch.context() as patch:
        patch.setattr(train_accelerate, "evaluate", lambda *_, **__: signal.raise_signal(number))
        done = main(run / "faces", tmp_path, "--max_train_steps", "2")
    assert done.returncode == 128 + number
    assert done.stdout.splitlines()[-1] == (
        f"{number.name}: the state after update 2 is saved, go on with --resume_from_checkpoint latest"
    )
    assert not (tmp_path / "model").exists()
    with open(tmp_path / "metrics.jsonl", "a") as log:
        log.write('{"step": 2, "images_s')  # as a kill leaves a line
    (tmp_path / ".partial-model").mkdir()
    monkeypatch.setattr(train_accelerate, "train_step", lambda *_: pytest.fail("an update too many"))
    monkeypatch.setattr(train_accelerate, "make_batches", lambda *_, **__: pytest.fail("faces read for nothing"))
    done = main(run / "faces", tmp_path, *"--max_train_steps 2 --resume_from_checkpoint latest".split())
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model/results.json").is_file() and not (tmp_path / ".partial-model").exists()
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1, 2]


def test_a_loss_that_is_not_a_number_ends_the_run_and_the_checkpoint_before_it_stays(run, tmp_path, main, monkeypatch):
    def broken(networks, optimizers, batch, config, step, backward):
        losses = original(networks, optimizers, batch, config, step, backward)
        return losses | ({"local_d": losses["local_d"] * float("nan")} if step == 4 else {})

    original = train_accelerate.train_step
    arguments = "--max_train_steps 6 --checkpoint_every 2 --validation_split".split() + [""]
    with monkeypatch.context() as patch:
        patch.setattr(train_accelerate, "train_step", broken)
        done = main(run / "faces", tmp_path, *arguments, "--log_every", "2")
    assert_one_line(done, "local_d=nan by step 6: lower the learning rate and resume from the last checkpoint")
    assert [path.name for path in sorted(tmp_path.glob("checkpoint-*"))] == [
        "checkpoint-0000002",
        "checkpoint-0000004",
    ]
    assert main(run / "faces", tmp_path, *arguments, "--resume_from_checkpoint", "latest").returncode == 0


def test_a_weight_broken_by_the_last_update_is_not_saved(run, tmp_path, main, monkeypatch):
    def broken(networks, optimizers, batch, config, step, backward):
        losses = original(networks, optimizers, batch, config, step, backward)
        if step == 3:
            next(networks.discriminators.parameters()).data[:1] = float("inf")
        return losses

    original = train_accelerate.train_step
    monkeypatch.setattr(train_accelerate, "train_step", broken)
    done = main(run / "faces", tmp_path, *"--max_train_steps 6 --checkpoint_every 2 --sample_every 0".split())
    assert_one_line(done, "is not finite after step 4: lower the learning rate and resume from the last checkpoint")
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-0000002"]


@pytest.mark.parametrize(("stage", "calls"), [("save_checkpoint", 2), ("export_run", 1)])
def test_a_full_disk_ends_the_run_without_loss_and_it_goes_on_when_there_is_room(
    run, tmp_path, main, monkeypatch, stage, calls
):
    original, (soft, hard) = getattr(train_accelerate, stage), resource.getrlimit(resource.RLIMIT_FSIZE)
    left = [calls]

    def on_a_full_disk(*arguments):
        left[0] -= 1
        if left[0] == 0:  # from now on the kernel refuses to write more than this into a file
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        return original(*arguments)

    arguments = "--max_train_steps 4 --checkpoint_every 2 --sample_every 0 --evaluate_limit 2".split()
    with monkeypatch.context() as patch:
        patch.setattr(train_accelerate, stage, on_a_full_disk)
        try:
            done = main(run / "faces", tmp_path, *arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_one_line(done, os.strerror(errno.EFBIG), "make room there and go on with --resume_from_checkpoint latest")
    kept = ["checkpoint-0000002"] if stage == "save_checkpoint" else ["checkpoint-0000002", "checkpoint-0000004"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [*kept, "config.json", "metrics.jsonl"]
    assert main(run / "faces", tmp_path, *arguments, "--resume_from_checkpoint", "latest").returncode == 0
    assert (tmp_path / "model/model.safetensors").is_file()


def test_pictures_that_cannot_be_used_are_named_and_left_out(run, tmp_path, main, caplog):
    faces = draw_faces(tmp_path / "faces") / "train"
    (faces / "broken.png").write_bytes((faces / "000.png").read_bytes()[:200])
    Image.new("RGB", (1, 1)).save(faces / "dot.png")
    Image.new("1", (20_000, 20_000)).save(faces / "huge.png")
    done = main(tmp_path / "faces", tmp_path / "run", *"--max_train_steps 3 --validation_split".split(), "")
    assert done.returncode == 0, done.stderr
    warnings = [record.getMessage() for record in caplog.records if "skipped picture" in record.getMessage()]
    assert len(warnings) == 3
    reasons = {"broken.png": "not a picture that can be read", "dot.png": "1x1 pixels", "huge.png": "400000000 pixels"}
    for name, reason in reasons.items():
        assert sum(name in warning and reason in warning for warning in warnings) == 1


def test_a_checkpoint_of_other_networks_is_refused_and_one_of_other_settings_named(run, tmp_path, main, caplog):
    arguments = "--max_train_steps 2 --validation_split".split() + [""]
    assert main(run / "faces", tmp_path, *arguments).returncode == 0
    again = (*arguments, "--resume_from_checkpoint", "latest")
    assert_one_line(main(run / "faces", tmp_path, *again, "--blocks", "2"), "does not fit NGAN", "image_generator")
    caplog.clear()
    assert main(run / "faces", tmp_path, *again, "--log_every", "2").returncode == 0
    assert "other settings" not in caplog.text
    assert main(run / "faces", tmp_path, *again, "--seed", "9", "--max_train_steps", "3").returncode == 0
    assert "the run goes on with the new: max_train_steps 2 -> 3, seed 0 -> 9" in caplog.text


def test_several_processes_that_do_not_find_together_are_refused(run, tmp_path, main, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("ngan.run.Accelerator", Alone)
    assert_one_line(
        main(run / "faces", tmp_path), "the launcher started 2 processes, of which each found itself alone"
    )


class Alone:
    """An Accelerator that took no notice of the other processes."""

    num_processes = 1

    def __init__(self, **_: object) -> None:
        pass


def test_training_improves_the_reconstruction(run, tmp_path, main):
    arguments = "--max_train_steps 100 --learning_rate 1e-3 --masks center --find_share 0 --validation_split".split()
    done = main(run / "faces", tmp_path, *arguments, "")
    assert done.returncode == 0, done.stderr
    values = [
        json.loads(line)["image_g/reconstruction"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
    ]
    assert sum(values[-10:]) < 0.75 * sum(values[:10])


def test_accumulated_batches_make_one_update(run, tmp_path, main):
    done = main(
        run / "faces", tmp_path, *"--max_train_steps 2 --gradient_accumulation_steps 3 --evaluate_limit 2".split()
    )
    assert done.returncode == 0, done.stderr
    entries = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [entry["images_seen"] for entry in entries] == [12, 24]
    moments = load_file(tmp_path / "checkpoint-0000002/generators_adam.safetensors")
    assert {float(v) for k, v in moments.items() if k.endswith(".step")} == {2.0}


def test_a_new_run_over_another_is_refused_and_nothing_of_that_is_lost(run, main):
    before = {path: path.stat().st_mtime_ns for path in (run / "run").rglob("*")}
    done = main(run / "faces", run / "run", "--max_train_steps", "2")
    assert_one_line(done, "holds checkpoint-0000006 of another run: go on with --resume_from_checkpoint latest")
    assert before == {path: path.stat().st_mtime_ns for path in (run / "run").rglob("*")}


def test_a_run_that_goes_on_from_an_earlier_checkpoint_is_the_latest(run, tmp_path, main):
    shutil.copytree(run / "run", tmp_path / "run")
    arguments = "--max_train_steps 5 --checkpoint_every 5 --resume_from_checkpoint".split()
    done = main(run / "faces", tmp_path / "run", *arguments, "checkpoint-0000004")
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "run").glob("checkpoint-*"))
    assert names == ["checkpoint-0000004", "checkpoint-0000005", "checkpoint-0000006-abandoned"]


def test_the_folder_of_a_run_is_no_checkpoint_to_go_on_from(run, tmp_path, main):
    done = main(run / "faces", tmp_path / "run", "--resume_from_checkpoint", str(run / "run"))
    assert_one_line(done, "the folder of a run, not of a checkpoint", "checkpoint-0000006, or latest")


def test_an_accumulation_that_the_environment_sets_is_refused(run, tmp_path, main, monkeypatch):
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    done = main(run / "faces", tmp_path / "run", "--max_train_steps", "1")
    assert_one_line(done, "gradient_accumulation_steps=1", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS=4")
    options = "--max_train_steps 1 --evaluate_limit 1 --gradient_accumulation_steps 4".split()
    assert main(run / "faces", tmp_path / "run", *options).returncode == 0


def test_a_gpu_that_only_emulates_bf16_is_warned_of(monkeypatch, caplog):
    for supported, precision, warned in ((True, "bf16", False), (False, "no", False), (False, "bf16", True)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, known=supported, **__: known)
        warn_of_slow_bf16(TrainConfig(mixed_precision=precision), torch.device("cuda"))
        assert ("--mixed_precision no" in caplog.text) is warned
    caplog.clear()
    warn_of_slow_bf16(TrainConfig(), torch.device("cpu"))
    assert not caplog.text


def test_a_signal_while_the_faces_are_loaded_ends_the_run_at_once(run, tmp_path, main, monkeypatch):
    def loading(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
        raise AssertionError("the signal waited for the faces")

    monkeypatch.setattr(train_accelerate, "make_batches", loading)
    done = main(run / "faces", tmp_path / "run", "--max_train_steps", "2")
    assert done.returncode == 128 + signal.SIGTERM and "SIGTERM: stopped at once" in done.stdout


def test_critics_that_no_update_trained_are_left_out_with_a_word_unless_given(run, tmp_path, main, caplog):
    arguments = "--max_train_steps 2 --generator_only_steps 2 --validation_split".split() + [""]
    done = main(run / "faces", tmp_path / "a", *arguments)
    assert done.returncode == 0, done.stderr
    assert "no critic takes part before update 3" in caplog.text and "written without them" in caplog.text
    assert not (tmp_path / "a/model/discriminators").exists()
    assert main(run / "faces", tmp_path / "b", *arguments, "--init_from", str(tmp_path / "a/model")).returncode == 0
    assert not (tmp_path / "b/model/discriminators").exists()
    assert main(run / "faces", tmp_path / "c", *arguments, "--init_from", str(run / "run/model")).returncode == 0
    ours, given = (load_file(f / "model/discriminators/model.safetensors") for f in (tmp_path / "c", run / "run"))
    assert all(torch.equal(ours[name], tensor) for name, tensor in given.items())


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_without_mixed_precision_tf32_is_off(run, tmp_path, main, monkeypatch, precision):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # undone afterwards
    done = main(
        run / "faces", tmp_path, *"--max_train_steps 1 --evaluate_limit 1 --mixed_precision".split(), precision
    )
    assert done.returncode == 0, done.stderr
    assert torch.backends.cudnn.allow_tf32 is (precision == "bf16")


def test_streaming_trains_too_and_evaluates_on_a_stream(run, tmp_path, main, monkeypatch):
    monkeypatch.setattr(train_accelerate, "load_faces", lambda *_, **__: pytest.fail("a copy of the set is made"))
    done = main(run / "faces", tmp_path, *"--max_train_steps 2 --streaming true --evaluate_limit 3".split())
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "checkpoint-0000002").is_dir()
    assert json.loads((tmp_path / "model/results.json").read_text())["n"] == 3


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--dataset", "./nowhere"], "./nowhere"),
        (["--split", "holdout"], "holdout"),
        (["--batch_size", "0"], "batch_size=0: must be at least 1"),
        (["--init_from", "nowhere/at/all"], "nowhere/at/all"),
        (["--dry-run", "--image_width", "25"], "image_width=25: 4 x image_width must divide into heads"),
        (["--report_to", "trackio"], "the package trackio is not installed"),
        (["--push_to_hub"], "hub_model_id='': must be the Hub id to push to, such as org/name"),
        (["--push_to_hub", "--hub_model_id", "me/faces"], "no Hub token here; run `hf auth login` or set HF_TOKEN"),
        (["--push_to_hub", "--hub_model_id", "my faces"], "not a Hub id such as org/name"),
        (["--resume_from_checkpoint", "checkpoint-0000009"], "no such folder, here or below"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line_before_any_work(
    run, tmp_path, main, monkeypatch, arguments, complaint
):
    monkeypatch.setattr(ngan.push, "get_token", lambda: None)
    assert_one_line(main(run / "faces", tmp_path / "run", *arguments), complaint)
    assert not list((tmp_path / "run").glob("checkpoint-*"))


@pytest.mark.parametrize(
    ("rows", "arguments", "complaint"),
    [
        (2, ["--image_column", "age"], "column 'age' holds no pictures; those that do: face"),
        (2, ["--image_column", "image"], "no column 'image'; it has: face, age"),
        (0, [], "cannot read it, or it is empty"),
    ],
)
def test_a_set_without_pictures_is_refused_in_one_line(tmp_path, main, monkeypatch, rows, arguments, complaint):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    pictures = [Image.new("RGB", (40, 40))] * rows
    features = datasets.Features({"face": datasets.Image(), "age": datasets.Value("int64")})
    rows = datasets.Dataset.from_dict({"face": pictures, "age": [1] * rows}, features=features)
    rows.save_to_disk(str(tmp_path / "set"))
    assert_one_line(main(tmp_path / "set", tmp_path / "run", *arguments), complaint)


def test_a_dry_run_prints_the_configuration_and_writes_nothing(run, tmp_path, main):
    done = main(run / "faces", tmp_path / "run", "--dry-run", "--seed", "4")
    assert done.returncode == 0
    assert json.loads(done.stdout)["seed"] == 4
    assert not (tmp_path / "run").exists()


def test_a_folder_without_validation_faces_trains_and_says_what_is_left_out(run, tmp_path, main, caplog):
    done = main(run / "faces/train", tmp_path, "--max_train_steps", "2")
    assert done.returncode == 0, done.stderr
    assert "no validation split" in caplog.text
    assert "Not measured" in (tmp_path / "model/README.md").read_text()
    assert not (tmp_path / "samples").exists()
