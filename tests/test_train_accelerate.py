"""The training script: as people start it, in a process of its own, and its `main` for the rest; drawn faces."""

import itertools
import json
import os
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
import torch
from launching import NOTE, assert_one_line
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import ngan.features
import ngan.launch
import ngan.push
import train_accelerate
from ngan.__main__ import main as ngan_command
from ngan.model import NGAN, NGANDiscriminators

WEIGHTS = ("generators", "discriminators", "average", "generators_adam", "discriminators_adam")
pytestmark = pytest.mark.slow


def state(folder: Path) -> dict[str, torch.Tensor]:
    return {f"{name}/{k}": v for name in WEIGHTS for k, v in load_file(folder / f"{name}.safetensors").items()}


def assert_same_state(a: Path, b: Path) -> None:
    ours, theirs = state(a), state(b)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_a_run_writes_exactly_what_it_promises(trained):
    assert sorted(p.name for p in (trained / "run").iterdir()) == [
        "checkpoint-0000004",
        "checkpoint-0000006",
        "config.json",
        "metrics.jsonl",
        "model",
        "samples",
    ]
    assert sorted(p.name for p in (trained / "run/samples").iterdir()) == ["0000003.png", "0000006.png"]
    assert sorted(p.relative_to(trained / "run/model").as_posix() for p in (trained / "run/model").rglob("*.*")) == [
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
    assert Image.open(trained / "run/samples/0000006.png").height > 3 * 96


def test_the_exported_model_is_the_average_and_loads_strictly(trained):
    model = NGAN.from_pretrained(trained / "run/model")
    average = load_file(trained / "run/checkpoint-0000006/average.safetensors")
    assert all(torch.equal(tensor, average[name]) for name, tensor in model.state_dict().items())
    assert model.image_size == 32
    critics = NGANDiscriminators.from_pretrained(trained / "run/model/discriminators")
    trained = load_file(trained / "run/checkpoint-0000006/discriminators.safetensors")
    assert all(torch.equal(tensor, trained[name]) for name, tensor in critics.state_dict().items())


def test_the_card_has_the_runs_own_figures_and_no_path_of_the_machine(trained):
    card = (trained / "run/model/README.md").read_text()
    result = json.loads((trained / "run/model/results.json").read_text())
    assert f"| {result['masks']['center']['ngan']['psnr']:.2f} |" in card
    assert "24 images of 32x32 pixels seen in 6 updates" in card
    assert "4 faces of the split `validation`" in card
    assert NOTE.strip() in card and "--dataset faces" in card
    written = "".join(p.read_text() for p in (trained / "run/model").rglob("*") if p.suffix in (".md", ".json"))
    assert str(trained) not in written and str(trained.parent) not in written


def test_every_update_is_logged_under_the_five_names(trained):
    entries = [json.loads(line) for line in (trained / "run/metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == list(range(1, 7))
    assert [entry["images_seen"] for entry in entries] == list(range(4, 28, 4))
    assert entries[0]["images_per_second"] < 1000  # the first update's own time counts
    assert {"code_g", "image_g"} <= entries[0].keys() and "code_d" not in entries[0]
    assert {"code_g", "code_d", "image_g", "global_d", "local_d", "images_per_second"} <= entries[1].keys()


def test_the_updates_after_the_last_log_are_logged_at_the_end(trained, tmp_path, main):
    done = main(trained / "faces", tmp_path, *"--max_train_steps 5 --log_every 3 --validation_split".split(), "")
    assert done.returncode == 0, done.stderr
    entries = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [3, 5]
    assert entries[0]["code_g"] != entries[1]["code_g"]


def test_the_last_line_says_where_the_model_is_and_what_it_is_for(trained, tmp_path, main):
    done = main(trained / "faces", tmp_path / "a run", *"--max_train_steps 1 --validation_split".split(), "")
    told, command = done.stdout.splitlines()[-1].split("; try it: ")
    assert told == f"{tmp_path / 'a run/model'} holds the model and its card"
    Image.linear_gradient("L").resize((40, 40)).save(tmp_path / "mask.png")
    given = {"PHOTO": trained / "faces/train/000.png", "MASK": tmp_path / "mask.png", "OUT": tmp_path / "out.png"}
    words = [str(given.get(word, word)) for word in shlex.split(command)]
    assert words[:3] == ["python", "-m", "ngan"] and ngan_command(words[3:]) == 0
    assert (tmp_path / "out.png").is_file()


def test_a_reader_that_is_gone_costs_no_model(trained, tmp_path, main, monkeypatch):
    def gone(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr(ngan.launch, "print", gone, raising=False)
    assert main(trained / "faces", tmp_path, "--max_train_steps", "1").returncode == 0
    assert (tmp_path / "model/results.json").is_file()


def test_a_resumed_run_equals_an_uninterrupted_one(trained, tmp_path, main):
    arguments = "--max_train_steps 6 --checkpoint_every 4 --validation_split".split()
    assert main(trained / "faces", tmp_path, *arguments, "", "--max_train_steps", "6").returncode == 0
    for name in ("checkpoint-0000006", "model"):
        os.rename(tmp_path / name, tmp_path / f"first-{name}")
    done = main(trained / "faces", tmp_path, *arguments, "", "--resume_from_checkpoint", "latest")
    assert done.returncode == 0, done.stderr
    assert_same_state(tmp_path / "checkpoint-0000006", tmp_path / "first-checkpoint-0000006")
    assert_same_state(tmp_path / "checkpoint-0000006", trained / "run/checkpoint-0000006")
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 7))  # what the first launch logged after its checkpoint is not there twice


def test_a_resume_needs_the_model_that_a_run_started_from_only_for_a_share_of_it(trained, tmp_path, main):
    source, parts, whole = (tmp_path / name for name in ("start", "parts", "whole"))
    arguments = "--max_train_steps 4 --generator_only_steps 4 --checkpoint_every 2 --evaluate_limit 2".split()
    arguments += ["--init_from", str(source)]
    shutil.copytree(trained / "run/model", source)
    assert main(trained / "faces", whole, *arguments).returncode == 0
    shutil.copytree(whole / "checkpoint-0000002", parts / "checkpoint-0000002")
    shutil.rmtree(source)
    again = (*arguments, "--resume_from_checkpoint", "latest")
    assert_one_line(main(trained / "faces", parts, *again, "--init_share", "0.5"), f"init_from={str(source)!r}: ")
    assert not (parts / "checkpoint-0000004").exists()
    assert main(trained / "faces", parts, *again).returncode == 0
    assert_same_state(parts / "checkpoint-0000004", whole / "checkpoint-0000004")
    told = [parts / "model/README.md", parts / "model/train_config.json", parts / "checkpoint-0000004/state.json"]
    assert not any(str(source.parent) in path.read_text() for path in told)
    for name in ("model.safetensors", "discriminators/model.safetensors"):  # the critics were given, and are passed on
        assert (parts / "model" / name).read_bytes() == (whole / "model" / name).read_bytes()


def test_a_tracker_shows_no_update_twice(trained, tmp_path, main):
    arguments = "--max_train_steps 3 --checkpoint_every 2 --report_to tensorboard --validation_split".split() + [""]
    assert main(trained / "faces", tmp_path, *arguments).returncode == 0
    shutil.rmtree(tmp_path / "checkpoint-0000003")
    assert main(trained / "faces", tmp_path, *arguments, "--resume_from_checkpoint", "latest").returncode == 0
    (folder,) = {path.parent for path in tmp_path.rglob("events.out.tfevents.*") if path.parent.name == "ngan"}
    log = EventAccumulator(str(folder)).Reload()
    assert [event.step for event in log.Scalars("image_g")] == [1, 2, 3]


def test_heads_on_features_survive_a_stop_and_are_exported_with_the_critics(trained, tmp_path, main):
    options = "--lambda_projected 0.5 --lambda_perceptual 1 --checkpoint_every 2 --max_train_steps 4".split()
    options += ["--validation_split", ""]
    assert main(trained / "faces", tmp_path, *options).returncode == 0
    os.rename(tmp_path / "checkpoint-0000004", tmp_path / "first")
    assert main(trained / "faces", tmp_path, *options, "--resume_from_checkpoint", "latest").returncode == 0
    assert_same_state(tmp_path / "checkpoint-0000004", tmp_path / "first")
    critics = NGANDiscriminators.from_pretrained(tmp_path / "model/discriminators").state_dict()
    assert any(".heads." in name for name in critics)
    trained = load_file(tmp_path / "first/discriminators.safetensors")
    assert all(torch.equal(critics[name], weight) for name, weight in trained.items())


def test_time_that_is_up_saves_evaluates_exports_and_ends_well(trained, tmp_path, main):
    done = main(trained / "faces", tmp_path, "--max_train_steps", "100000", "--max_train_minutes", "0.05")
    assert done.returncode == 0, done.stderr
    (checkpoint,) = tmp_path.glob("checkpoint-*")
    assert 0 < int(checkpoint.name.removeprefix("checkpoint-")) < 100000
    assert (tmp_path / "model/model.safetensors").is_file()
    assert "OpenCV Telea" in done.stdout


def test_time_and_its_learning_rate_go_on_where_a_stop_left_them(trained, tmp_path, main, monkeypatch):
    clock = itertools.count(0.0, 0.25)  # seconds, a tick each time it is read
    monkeypatch.setattr(train_accelerate, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    timed = "--schedule minutes --warmup_steps 0 --max_train_minutes 0.2 --validation_split".split() + [""]
    assert main(trained / "faces", tmp_path, *timed, "--max_train_steps", "4").returncode == 0
    timed += "--max_train_steps 100000 --resume_from_checkpoint latest".split()
    assert main(trained / "faces", tmp_path, *timed).returncode == 0
    entries = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert 45 < len(entries) < 50  # 0.2 minutes are 48 ticks, one an update
    minutes, rates = ([entry[name] for entry in entries] for name in ("minutes", "learning_rate"))
    assert minutes == sorted(minutes) and minutes[-1] <= 0.2
    assert rates == sorted(rates, reverse=True) and rates[-1] < 0.05 * rates[0]
    monkeypatch.setattr(train_accelerate, "train_step", lambda *_: pytest.fail("an update too many"))
    monkeypatch.setattr(train_accelerate, "make_batches", lambda *_: pytest.fail("faces for no update"))
    assert main(trained / "faces", tmp_path, *timed).returncode == 0


def test_training_improves_the_reconstruction(trained, tmp_path, main):
    arguments = "--max_train_steps 100 --learning_rate 1e-3 --masks center --find_share 0 --validation_split".split()
    done = main(trained / "faces", tmp_path, *arguments, "")
    assert done.returncode == 0, done.stderr
    values = [
        json.loads(line)["image_g/reconstruction"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
    ]
    assert sum(values[-10:]) < 0.75 * sum(values[:10])


def test_accumulated_batches_make_one_update(trained, tmp_path, main):
    done = main(
        trained / "faces", tmp_path, *"--max_train_steps 2 --gradient_accumulation_steps 3 --evaluate_limit 2".split()
    )
    assert done.returncode == 0, done.stderr
    entries = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [entry["images_seen"] for entry in entries] == [12, 24]
    moments = load_file(tmp_path / "checkpoint-0000002/generators_adam.safetensors")
    assert {float(v) for k, v in moments.items() if k.endswith(".step")} == {2.0}


def test_a_run_that_goes_on_from_an_earlier_checkpoint_is_the_latest(trained, tmp_path, main):
    shutil.copytree(trained / "run", tmp_path / "run")
    arguments = "--max_train_steps 5 --checkpoint_every 5 --resume_from_checkpoint".split()
    done = main(trained / "faces", tmp_path / "run", *arguments, "checkpoint-0000004")
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "run").glob("checkpoint-*"))
    assert names == ["checkpoint-0000004", "checkpoint-0000005", "checkpoint-0000006-abandoned"]


def test_critics_that_no_update_trained_are_left_out_with_a_word_unless_given(trained, tmp_path, main, caplog):
    arguments = "--max_train_steps 2 --generator_only_steps 2 --validation_split".split() + [""]
    done = main(trained / "faces", tmp_path / "a", *arguments)
    assert done.returncode == 0, done.stderr
    assert "no critic takes part before update 3" in caplog.text and "written without them" in caplog.text
    assert not (tmp_path / "a/model/discriminators").exists()
    assert (
        main(trained / "faces", tmp_path / "b", *arguments, "--init_from", str(tmp_path / "a/model")).returncode == 0
    )
    assert not (tmp_path / "b/model/discriminators").exists()
    assert (
        main(trained / "faces", tmp_path / "c", *arguments, "--init_from", str(trained / "run/model")).returncode == 0
    )
    ours, given = (load_file(f / "model/discriminators/model.safetensors") for f in (tmp_path / "c", trained / "run"))
    assert all(torch.equal(ours[name], tensor) for name, tensor in given.items())


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_matrix_products_never_have_tf32_and_convolutions_with_mixed_precision_only(
    trained, tmp_path, main, monkeypatch, precision
):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # undone afterwards
    torch.backends.cuda.matmul.allow_tf32 = True  # as TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1 does
    done = main(
        trained / "faces", tmp_path, *"--max_train_steps 1 --evaluate_limit 1 --mixed_precision".split(), precision
    )
    assert done.returncode == 0, done.stderr
    assert torch.backends.cudnn.allow_tf32 is (precision == "bf16")
    assert torch.backends.cuda.matmul.allow_tf32 is False


def test_streaming_trains_too_and_evaluates_on_a_stream(trained, tmp_path, main, monkeypatch):
    monkeypatch.setattr(train_accelerate, "load_faces", lambda *_, **__: pytest.fail("a copy of the set is made"))
    done = main(trained / "faces", tmp_path, *"--max_train_steps 2 --streaming true --evaluate_limit 3".split())
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
    trained, tmp_path, main, monkeypatch, arguments, complaint
):
    monkeypatch.setattr(ngan.push, "get_token", lambda: None)
    assert_one_line(main(trained / "faces", tmp_path / "run", *arguments), complaint)
    assert not list((tmp_path / "run").glob("checkpoint-*"))


@pytest.mark.parametrize(
    ("rows", "arguments", "complaint"),
    [
        (2, ["--image_column", "age"], "column 'age' holds no pictures; those that do: face"),
        (2, ["--image_column", "image"], "no column 'image'; it has: face, age"),
        (0, [], "split 'train' is empty"),
    ],
)
def test_a_set_without_pictures_is_refused_in_one_line(tmp_path, main, monkeypatch, rows, arguments, complaint):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    pictures = [Image.new("RGB", (40, 40))] * rows
    features = datasets.Features({"face": datasets.Image(), "age": datasets.Value("int64")})
    rows = datasets.Dataset.from_dict({"face": pictures, "age": [1] * rows}, features=features)
    rows.save_to_disk(str(tmp_path / "set"))
    assert_one_line(main(tmp_path / "set", tmp_path / "run", *arguments), complaint)


def test_checkpoints_are_written_by_the_clock_too(trained, tmp_path, main, monkeypatch):
    clock = itertools.count(0.0, 60.0)
    monkeypatch.setattr(train_accelerate, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    arguments = "--max_train_steps 9 --checkpoint_minutes 3 --checkpoints_keep 9 --validation_split".split()
    assert main(trained / "faces", tmp_path, *arguments, "").returncode == 0
    assert [path.name[-1] for path in sorted(tmp_path.glob("checkpoint-*"))] == ["4", "7", "9"]


def test_a_dry_run_prints_the_configuration_and_writes_nothing(trained, tmp_path, main):
    done = main(trained / "faces", tmp_path / "run", "--dry-run", "--seed", "4")
    assert done.returncode == 0
    assert json.loads(done.stdout)["seed"] == 4
    assert not (tmp_path / "run").exists()
