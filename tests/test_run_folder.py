"""What a run's folder holds of updates that were abandoned, and what a launch makes of folders of another kind."""

import json
import shutil
import subprocess
import sys

import pytest
from launching import ROOT, assert_one_line
from shell import interrupting

pytestmark = pytest.mark.slow


def test_a_resume_leaves_neither_lines_nor_pictures_of_updates_after_it(trained, tmp_path, main):
    run = tmp_path / "run"
    shutil.copytree(trained / "run", run)
    (run / "samples/mine.png").touch()
    assert {path.name for path in (run / "samples").iterdir()} == {"0000003.png", "0000006.png", "mine.png"}
    first = (run / "samples/0000003.png").read_bytes()
    done = main(trained / "faces", run, *"--max_train_steps 4 --resume_from_checkpoint checkpoint-0000004".split())
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (run / "samples").iterdir()} == {"0000003.png", "mine.png"}
    assert (run / "samples/0000003.png").read_bytes() == first
    assert max(json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()) == 4


def test_pictures_in_a_folder_that_is_of_no_run_stay(trained, tmp_path, main):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples/0000009.png").touch()
    done = main(trained / "faces", tmp_path, "--max_train_steps", "1", "--evaluate_limit", "1")
    assert done.returncode == 0 and (tmp_path / "samples/0000009.png").exists()


@pytest.mark.parametrize("folder", ["model", "model/discriminators"])
def test_a_model_is_not_taken_for_a_checkpoint(trained, tmp_path, main, folder):
    given = str(trained / "run" / folder)
    done = main(trained / "faces", tmp_path / "run", "--resume_from_checkpoint", given)
    assert_one_line(done, f"resume_from_checkpoint={given!r}: the folder of a model, not of a checkpoint; --init_from")


@pytest.mark.parametrize("module", ["torch", "ngan.batch"])
def test_ctrl_c_during_the_imports_ends_without_a_traceback(tmp_path, module):
    words = [sys.executable, str(ROOT / "train_accelerate.py"), "--dataset", "faces", "--output_dir", str(tmp_path)]
    done = subprocess.run(words, env=interrupting(tmp_path, module), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "train_accelerate.py: interrupted\n")
