"""Several processes: the configurations shipped for them, and that two make of a batch what one makes of it."""

import datetime
import json
import shutil
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from launching import ROOT, draw_faces, train
from safetensors.torch import load_file

from ngan.checkpoint import Counters
from ngan.config import TrainConfig
from ngan.launch import check_same_start
from ngan.model import NGAN
from ngan.run import Run, group_of_cpus
from ngan.stopping import Stop

CONFIGS = ROOT / "configs"
# Runs the training script and notes, for each process, what it saw and what it wrote.
RECORDER = """
import functools, json, os, sys
from pathlib import Path

sys.path.insert(0, {root!r})
import train_accelerate

rank, seen = int(os.environ.get("RANK", 0)), {{"wrote": [], "pictures": [], "masks": [], "hidden": []}}


def noting(name):
    original = getattr(train_accelerate, name)

    @functools.wraps(original)
    def noted(*arguments, **named):
        seen["wrote"].append(name)
        return "https://example.org" if name in HUB else original(*arguments, **named)

    return noted


HUB = ("open_repository", "push_model")
for name in ("load_faces", "save_checkpoint", "export_run", "fixed_grid", *HUB):
    setattr(train_accelerate, name, noting(name))
step = train_accelerate.train_step


def watched(networks, optimizers, batch, *rest):
    for images, masks in zip(batch.image, batch.mask):
        seen["pictures"].append(round(float(images.double().abs().sum()), 6))
        seen["masks"].append(hash(masks.numpy().tobytes()))
    seen["hidden"].append(batch.hidden)
    return step(networks, optimizers, batch, *rest)


train_accelerate.train_step = watched
status = train_accelerate.main()
Path(sys.argv[sys.argv.index("--output_dir") + 1] + f"-rank{{rank}}.json").write_text(json.dumps(seen))
sys.exit(status)
"""
STEPS = 20
SHARED = (
    f"--max_train_steps {STEPS} --sample_every 10 --checkpoint_every 10 --evaluate_limit 2 --find_share 0.4 --seed 4 "
    "--generator_only_steps 4 --discriminator_only_steps 2 --r1_every 2 "
    "--report_to tensorboard --push_to_hub --hub_model_id me/faces"
).split()


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder with `two`, a run of two processes of 4 images each, and `one`, of one process of 8."""
    folder = tmp_path_factory.mktemp("distributed")
    faces, script = draw_faces(folder / "faces"), folder / "recorder.py"
    script.write_text(RECORDER.format(root=str(ROOT)))
    for name, config, batch in (("two", "two_cpu_processes.yaml", 4), ("one", "cpu.yaml", 8)):
        done = train(
            faces,
            folder / name,
            *(*SHARED, "--batch_size", str(batch)),
            accelerate_config=config,
            script=script,
            variables={"HF_TOKEN": "hf_none", "PYTHONHASHSEED": "0"},
        )
        assert done.returncode == 0, done.stderr
    return folder


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def recorded(run: Path) -> list[dict[str, list]]:
    return [json.loads(path.read_text()) for path in sorted(run.parent.glob(f"{run.name}-rank*.json"))]


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one_with_the_same_batch(runs):
    together, alone = metrics(runs / "two"), metrics(runs / "one")
    assert len(together) == len(alone) == STEPS
    others = {"minutes", "images_per_second"}
    for ours, theirs in zip(together, alone, strict=True):
        assert ours.keys() == theirs.keys()
        assert ours["images_seen"] == theirs["images_seen"] == 8 * ours["step"]  # 2 x 4 pictures an update
        for name in ours.keys() - others:
            assert ours[name] == pytest.approx(theirs[name], rel=0, abs=1e-4), (ours["step"], name)
    assert {"global_d/r1", "code_g/location", "image_g/feature_matching"} <= together[-2].keys()


@pytest.mark.slow
def test_processes_see_different_pictures_and_masks_and_together_those_of_one(runs):
    (alone,), (first, second) = recorded(runs / "one"), recorded(runs / "two")
    assert first["hidden"] == second["hidden"] == alone["hidden"]
    assert {True, False} == set(first["hidden"])
    assert len(set(first["masks"]) & set(second["masks"])) <= 1  # the centre hole is always the same
    for name in ("pictures", "masks"):
        for i in range(STEPS):
            ours = first[name][4 * i : 4 * i + 4] + second[name][4 * i : 4 * i + 4]
            assert ours == alone[name][8 * i : 8 * i + 8]
        assert first[name][:4] != second[name][:4]


@pytest.mark.slow
def test_two_processes_go_on_to_the_very_weights_and_one_alone_is_told_of_its_smaller_batch(runs):
    def go_on(config: str) -> subprocess.CompletedProcess:
        folder = runs / "again"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(runs / "two" / half, folder / half)
        done = train(
            runs / "faces",
            folder,
            *(*SHARED[: SHARED.index("--report_to")], "--validation_split", "", "--batch_size", "4"),
            *("--resume_from_checkpoint", "latest"),
            accelerate_config=config,
        )
        assert done.returncode == 0, done.stderr
        return done

    half, end = "checkpoint-0000010", "checkpoint-0000020"
    assert "other settings" not in go_on("two_cpu_processes.yaml").stderr
    for path in (runs / "two" / end).glob("*.safetensors"):
        ours, theirs = load_file(runs / "again" / end / path.name), load_file(path)
        assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    assert "num_processes 2 -> 1" in go_on("cpu.yaml").stderr


@pytest.mark.slow
def test_only_the_main_process_loads_validation_faces_logs_saves_and_pushes(runs):
    first, second = recorded(runs / "two")
    opened = ["load_faces", "open_repository"]
    assert first["wrote"] == opened + ["fixed_grid", "save_checkpoint"] * 2 + ["export_run", "push_model"]
    assert second["wrote"] == []
    trackers = {path.name.split(".")[-2] for path in (runs / "two").rglob("events.out.tfevents*")}
    assert len(trackers) == 1  # number of the process, in the names of TensorBoard's files
    assert sorted(path.name for path in (runs / "two").glob("checkpoint-*")) == [
        "checkpoint-0000010",
        "checkpoint-0000020",
    ]
    assert NGAN.from_pretrained(runs / "two/model").image_size == 32


@pytest.mark.parametrize("path", sorted(CONFIGS.iterdir()), ids=lambda path: path.stem)
def test_every_configuration_is_read_by_accelerate_and_starts_what_its_name_says(path):
    config = load_config_from_file(str(path))
    processes = {"one_gpu": 1, "multi_gpu": 4, "two_nodes": 16, "cpu": 1, "two_cpu_processes": 2}[path.stem]
    rank = ["--machine_rank", "1", "--main_process_ip", "10.0.0.1"] if path.stem == "two_nodes" else []
    parsed = launch_command_parser().parse_args(["--config_file", str(path), *rank, "train_accelerate.py"])
    arguments, *_ = _validate_launch_command(parsed)
    assert config.num_processes == arguments.num_processes == processes
    assert arguments.num_machines == config.num_machines == (2 if path.stem == "two_nodes" else 1)
    assert bool(arguments.multi_gpu) == (processes > 1)  # else Accelerate starts one process, whatever the number
    assert arguments.use_cpu == ("cpu" in path.stem)
    assert arguments.mixed_precision == yaml.safe_load(path.read_text())["mixed_precision"] == "no"


def test_processes_agree_on_the_end_and_on_the_clock_that_the_learning_rate_follows():
    def run(step: int, main: bool, others: list[float]) -> SimpleNamespace:
        accelerator = SimpleNamespace(num_processes=2, is_main_process=main)
        parts = {"config": TrainConfig(max_train_minutes=10.0), "counters": Counters(step=step), "stop": Stop()}
        parts["_sum"] = lambda told: [sum(pair) for pair in zip(told, others, strict=True)]
        return SimpleNamespace(accelerator=accelerator, minutes=1.5, **parts)

    assert Run.agree(run(10, False, [0.0, 0.0, 2.25]), minutes=2.5) == (False, 2.25)
    assert Run.agree(run(10, True, [0.0, 0.0, 0.0]), minutes=2.25) == (False, 2.25)
    assert Run.agree(run(11, False, [1.0, 15.0, 9.0]), minutes=11.0) == (
        False,
        1.5,
    )  # not asked: the device need not wait
    assert Run.agree(run(15, True, [0.0, 0.0, 0.0]), minutes=10.0) == (True, 10.0)
    assert Run.agree(run(15, False, [0.0, 0.0, 9.9]), minutes=10.0) == (False, 9.9)  # the main one's clock counts
    told = run(15, True, [1.0, 15.0, 0.0])
    assert Run.agree(told, minutes=3.0) == (True, 3.0)
    assert told.stop.number == signal.SIGTERM


def test_processes_with_devices_wait_a_day_for_one_another_on_their_cpus_too(monkeypatch):
    given = []
    monkeypatch.setattr(torch.distributed, "new_group", lambda **named: given.append(named) or "group")
    for processes, device, group in ((1, "cuda", None), (2, "cpu", None), (2, "cuda", "group")):
        accelerator = SimpleNamespace(num_processes=processes, device=torch.device(device))
        assert group_of_cpus(accelerator) == group
    assert given == [{"backend": "gloo", "timeout": datetime.timedelta(days=1)}]  # gloo's own is half an hour


def test_processes_that_resume_from_different_folders_are_refused(tmp_path):
    check_same_start([1000, 1000], tmp_path)
    with pytest.raises(ValueError, match=r"different updates \(\[1000, 0\]\); give a folder that all machines share"):
        check_same_start([1000, 0], tmp_path)
