"""The training script in trouble: full disks, broken losses, what it refuses; drawn faces."""

import errno
import json
import os
import resource
import shutil
import threading

import datasets
import pytest
import torch
from launching import assert_one_line, draw_faces
from PIL import Image

import ngan.features
import ngan.launch
import train_accelerate
from ngan.config import TrainConfig
from ngan.launch import plain_thread_errors, warn_of_slow_bf16, words_of

pytestmark = pytest.mark.slow


def test_features_that_are_not_installed_are_refused_in_one_line(trained, tmp_path, main, monkeypatch):
    monkeypatch.setattr(ngan.features, "PACKAGE", "no_such_package==1")
    done = main(trained / "faces", tmp_path / "run", "--lambda_perceptual", "1")
    assert_one_line(done, "pip install no_such_package==1")


def test_a_loss_that_is_not_a_number_ends_the_run_and_the_checkpoint_before_it_stays(
    trained, tmp_path, main, monkeypatch
):
    def broken(networks, optimizers, batch, config, step, backward):
        losses = original(networks, optimizers, batch, config, step, backward)
        return losses | ({"local_d": losses["local_d"] * float("nan")} if step == 4 else {})

    original = train_accelerate.train_step
    arguments = "--max_train_steps 6 --checkpoint_every 2 --validation_split".split() + [""]
    with monkeypatch.context() as patch:
        patch.setattr(train_accelerate, "train_step", broken)
        done = main(trained / "faces", tmp_path, *arguments, "--log_every", "2")
    end = "lower the learning rate and go on with --resume_from_checkpoint latest"
    assert_one_line(done, f"local_d=nan by step 6: {end}")
    assert [path.name for path in sorted(tmp_path.glob("checkpoint-*"))] == [
        "checkpoint-0000002",
        "checkpoint-0000004",
    ]
    assert main(trained / "faces", tmp_path, *arguments, "--resume_from_checkpoint", "latest").returncode == 0


def test_a_weight_broken_by_the_last_update_is_not_saved(trained, tmp_path, main, monkeypatch):
    def broken(networks, optimizers, batch, config, step, backward):
        losses = original(networks, optimizers, batch, config, step, backward)
        if step == 3:
            next(networks.discriminators.parameters()).data[:1] = float("inf")
        return losses

    original = train_accelerate.train_step
    monkeypatch.setattr(train_accelerate, "train_step", broken)
    done = main(trained / "faces", tmp_path, *"--max_train_steps 6 --checkpoint_every 2 --sample_every 0".split())
    end = "lower the learning rate and go on with --resume_from_checkpoint latest"
    assert_one_line(done, f"is not finite after step 4: {end}")
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-0000002"]
    words = "--max_train_steps 6 --checkpoint_every 4 --sample_every 0".split()
    done = main(trained / "faces", tmp_path / "none", *words)
    assert_one_line(done, "is not finite after step 4: lower the learning rate and start anew")


@pytest.mark.parametrize(("stage", "calls"), [("save_checkpoint", 2), ("export_run", 1)])
def test_a_full_disk_ends_the_run_without_loss_and_it_goes_on_when_there_is_room(
    trained, tmp_path, main, monkeypatch, stage, calls
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
            done = main(trained / "faces", tmp_path, *arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_one_line(done, os.strerror(errno.EFBIG), "make room there and go on with --resume_from_checkpoint latest")
    kept = ["checkpoint-0000002"] if stage == "save_checkpoint" else ["checkpoint-0000002", "checkpoint-0000004"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [*kept, "config.json", "metrics.jsonl"]
    assert main(trained / "faces", tmp_path, *arguments, "--resume_from_checkpoint", "latest").returncode == 0
    assert (tmp_path / "model/model.safetensors").is_file()


@pytest.mark.parametrize(("file", "place"), [("runs/x/model", "there"), (None, "on the disk of --output_dir")])
def test_a_full_disk_is_placed_where_the_error_names_no_file(tmp_path, file, place):
    full = words_of(OSError(errno.ENOSPC, "No space left on device", file), tmp_path)
    assert f"; make room {place} and go on with --resume_from_checkpoint latest" in full
    assert words_of(OSError(errno.EACCES, "Permission denied", file), tmp_path).endswith("Permission denied")
    assert words_of(ValueError("x"), tmp_path) == "x"


def test_pictures_that_cannot_be_used_are_named_and_left_out(trained, tmp_path, main, caplog):
    faces = draw_faces(tmp_path / "faces") / "train"
    (faces / "broken.png").write_bytes((faces / "000.png").read_bytes()[:200])
    Image.new("RGB", (1, 1)).save(faces / "dot.png")
    Image.new("1", (20_000, 20_000)).save(faces / "huge.png")
    done = main(tmp_path / "faces", tmp_path / "run", *"--max_train_steps 3 --validation_split".split(), "")
    assert done.returncode == 0, done.stderr
    warnings = [record.getMessage() for record in caplog.records if "skipped picture" in record.getMessage()]
    assert len(warnings) == 3
    reasons = {"broken.png": "breaks off or is damaged", "dot.png": "1x1 pixels", "huge.png": "400000000 pixels"}
    for name, reason in reasons.items():
        assert sum(name in warning and reason in warning for warning in warnings) == 1


def test_a_checkpoint_of_other_networks_is_refused_and_one_of_other_settings_named(trained, tmp_path, main, caplog):
    arguments = "--max_train_steps 2 --validation_split".split() + [""]
    assert main(trained / "faces", tmp_path, *arguments).returncode == 0
    again = (*arguments, "--resume_from_checkpoint", "latest")
    assert_one_line(main(trained / "faces", tmp_path, *again, "--blocks", "2"), "it has blocks=1, this run blocks=2")
    caplog.clear()
    assert main(trained / "faces", tmp_path, *again, "--log_every", "2").returncode == 0
    assert "other settings" not in caplog.text
    assert main(trained / "faces", tmp_path, *again, "--seed", "9", "--max_train_steps", "3").returncode == 0
    assert "the run goes on with the new: max_train_steps 2 -> 3, seed 0 -> 9" in caplog.text


def test_several_processes_that_do_not_find_together_are_refused(trained, tmp_path, main, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("ngan.run.Accelerator", Alone)
    assert_one_line(
        main(trained / "faces", tmp_path), "the launcher started 2 processes, of which each found itself alone"
    )


class Alone:
    """An Accelerator that took no notice of the other processes."""

    num_processes = 1

    def __init__(self, **_: object) -> None:
        pass


def test_a_new_run_over_another_is_refused_and_nothing_of_that_is_lost(trained, main):
    before = {path: path.stat().st_mtime_ns for path in (trained / "run").rglob("*")}
    done = main(trained / "faces", trained / "run", "--max_train_steps", "2")
    assert_one_line(done, "holds checkpoint-0000006 of another run: go on with --resume_from_checkpoint latest")
    assert before == {path: path.stat().st_mtime_ns for path in (trained / "run").rglob("*")}


@pytest.mark.parametrize("resume", [[], ["--resume_from_checkpoint", "latest"]])
def test_the_model_of_a_run_whose_checkpoints_are_gone_is_not_written_over(trained, tmp_path, main, resume):
    shutil.copytree(trained / "run", tmp_path / "run", ignore=shutil.ignore_patterns("checkpoint-*"))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    done = main(trained / "faces", tmp_path / "run", *resume, "--max_train_steps", "1")
    assert_one_line(done, "holds the model of another run, and no checkpoint of it")
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}


def test_going_on_from_elsewhere_in_the_folder_of_another_run_is_refused(trained, tmp_path, main):
    other = tmp_path / "run"
    shutil.copytree(trained / "run", other, ignore=shutil.ignore_patterns("*06"))
    before = sorted(other.rglob("*"))
    given = str(trained / "run/checkpoint-0000006")
    done = main(trained / "faces", other, "--max_train_steps", "8", "--resume_from_checkpoint", given)
    assert_one_line(done, f"resume_from_checkpoint={given!r}: {other} holds checkpoints of its own, such as check")
    assert sorted(other.rglob("*")) == before


@pytest.mark.parametrize(
    ("faces", "output"),
    [("faces", "faces"), ("faces", "faces/train/run"), ("run/samples", "run"), ("faces", "link/run")],
)
def test_a_run_does_not_write_among_the_pictures_to_train_on(tmp_path, main, faces, output):
    draw_faces(tmp_path / faces)
    (tmp_path / "link").symlink_to(tmp_path / faces)
    before = sorted(tmp_path.rglob("*"))
    done = main(tmp_path / faces, tmp_path / output, "--max_train_steps", "1")
    assert_one_line(done, f"output_dir={str(tmp_path / output)!r}: ", f"lies within {tmp_path / faces}, an input")
    assert sorted(tmp_path.rglob("*")) == before


def test_other_pictures_at_a_resume_are_told_of_by_their_number(tmp_path, main, caplog):
    run = tmp_path / "run"  # the faces lie within it, which is no harm: no samples lie among them
    draw_faces(run / "faces", train=5)
    arguments = "--validation_split= --resume_from_checkpoint latest --max_train_steps".split()
    assert main(run / "faces", run, *arguments, "1").returncode == 0
    assert main(run / "faces", run, *arguments, "2").returncode == 0
    assert "training pictures" not in caplog.text
    draw_faces(tmp_path / "more", train=1)
    (tmp_path / "more/train/000.png").rename(run / "faces/train/more.png")
    assert main(run / "faces", run, *arguments, "3").returncode == 0
    assert caplog.text.count(f"{run / 'faces'} has 6 training pictures, and had 5 before") == 1
    state = json.loads((run / "checkpoint-0000003/state.json").read_text())
    assert state["counters"]["pictures"] == 6


def test_the_folder_of_a_run_is_no_checkpoint_to_go_on_from(trained, tmp_path, main):
    done = main(trained / "faces", tmp_path / "run", "--resume_from_checkpoint", str(trained / "run"))
    assert_one_line(done, "the folder of a run, not of a checkpoint", "checkpoint-0000006, or latest")


def test_an_accumulation_that_the_environment_sets_is_refused(trained, tmp_path, main, monkeypatch):
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    done = main(trained / "faces", tmp_path / "run", "--max_train_steps", "1")
    assert_one_line(done, "gradient_accumulation_steps=1", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS=4")
    options = "--max_train_steps 1 --evaluate_limit 1 --gradient_accumulation_steps 4".split()
    assert main(trained / "faces", tmp_path / "run", *options).returncode == 0


def test_a_thread_that_a_full_disk_ended_is_told_of_in_one_line(capsys, caplog):
    def write() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with plain_thread_errors():
        thread = threading.Thread(target=write, name="tracker")
        thread.start()
        thread.join()
    assert caplog.messages == ["tracker ended: [Errno 28] No space left on device"]
    assert capsys.readouterr().err == ""


def test_a_worker_of_the_loader_that_was_killed_ends_the_run_in_one_line(trained, tmp_path, main, monkeypatch):
    def killed(*_: object, **__: object) -> None:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error.")

    monkeypatch.setattr(train_accelerate, "train_step", killed)
    assert_one_line(main(trained / "faces", tmp_path, "--max_train_steps", "2"), "lower --num_workers", "Bus error")


def test_what_a_worker_of_the_loader_could_not_read_is_told_without_its_traceback(tmp_path, main, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    faces = [{"image": {"bytes": (draw_faces(tmp_path / "x", 1) / "train/000.png").read_bytes()}}] * 4
    for name, more in (("a", {}), ("b", {"age": 1})):  # the second file has another column
        datasets.Dataset.from_list([face | more for face in faces]).to_parquet(tmp_path / f"set/{name}.parquet")
    done = main(tmp_path / "set", tmp_path / "run", *"--streaming true --num_workers 1 --validation_split=".split())
    assert_one_line(done, f"error: {tmp_path / 'set'}, split train: `datasets` cannot read it (Couldn't cast")


def test_a_broken_line_of_the_log_does_not_stop_a_resume(trained, tmp_path, main, caplog):
    arguments = "--resume_from_checkpoint latest --validation_split".split() + [""]
    assert main(trained / "faces", tmp_path, *arguments, "--max_train_steps", "2").returncode == 0
    assert "holds no checkpoint to go on from: the run starts anew" in caplog.text
    (tmp_path / "metrics.jsonl").open("ab").write(bytes(30) + b"\n[]\n")
    done = main(trained / "faces", tmp_path, *arguments, "--max_train_steps", "3")
    assert done.returncode == 0 and "goes on from update 2" in done.stderr
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1, 2, 3]


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_a_device_that_only_emulates_bf16_is_warned_of(monkeypatch, caplog, device):
    for supported, precision, warned in ((True, "bf16", False), (False, "no", False), (False, "bf16", True)):
        # each device is asked of its own, and never of the other
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, h=supported, **__: h == (device == "cuda"))
        monkeypatch.setattr(ngan.launch, "has_bfloat16", lambda h=supported: h == (device == "cpu"))
        warn_of_slow_bf16(TrainConfig(mixed_precision=precision), torch.device(device))
        told = f"this {device.upper().replace('CUDA', 'GPU')} has no bfloat16 of its own: --mixed_precision no"
        assert (told in caplog.text) is bool(caplog.messages) is warned
