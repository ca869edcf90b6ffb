"""A run's folder is held by one process at a time, and let go of with it."""

import multiprocessing
import time

import pytest
from launching import assert_one_line

import ngan.holding
from ngan.holding import held


def test_of_two_that_train_in_one_folder_the_second_is_refused(trained, tmp_path, main):
    arguments = "--max_train_steps 2 --resume_from_checkpoint latest --validation_split".split()
    with held(tmp_path / "run"):
        done = main(trained / "faces", tmp_path / "run", *arguments, "")
        assert_one_line(done, "another training writes there; wait for its end, or give another folder")
        assert not list((tmp_path / "run").iterdir())
    assert main(trained / "faces", tmp_path / "run", *arguments, "").returncode == 0


def test_a_process_that_a_training_forked_does_not_hold_its_folder(tmp_path):
    def work():
        begun.set()
        time.sleep(3600)

    fork = multiprocessing.get_context("fork")
    begun = fork.Event()
    with held(tmp_path):
        worker = fork.Process(target=work, daemon=True)
        worker.start()
        assert begun.wait(300)
    with held(tmp_path):
        assert worker.is_alive()
    worker.kill()


def test_a_folder_that_was_made_and_stays_empty_is_gone_again(tmp_path):
    with held(tmp_path / "a/run"):
        assert (tmp_path / "a/run").is_dir()
    assert not (tmp_path / "a/run").exists()
    with held(tmp_path / "a/run"):
        (tmp_path / "a/run/config.json").touch()
    assert (tmp_path / "a/run/config.json").is_file()


@pytest.mark.parametrize("below", ["", "run"])
def test_a_file_in_its_place_is_named_with_the_option(tmp_path, below):
    (tmp_path / "file").touch()
    with (
        pytest.raises(ValueError, match="output_dir='.*file.*': cannot be made or opened"),
        held(tmp_path / "file" / below),
    ):
        pytest.fail("no folder is there")


def test_without_locks_nothing_is_held(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(ngan.holding.fcntl, "flock", refuse)
    with held(tmp_path), held(tmp_path):
        pass
    monkeypatch.setattr(ngan.holding, "fcntl", None)
    with held(tmp_path), held(tmp_path):
        pass
