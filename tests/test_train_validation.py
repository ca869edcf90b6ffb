"""The faces that a training run is measured on: which they are, and what is told where there are none."""

import datasets
import pytest
from launching import assert_one_line
from PIL import Image

pytestmark = pytest.mark.slow


def test_a_column_that_no_split_has_is_no_matter_of_the_validation_split(trained, tmp_path, main):
    done = main(trained / "faces", tmp_path / "run", "--image_column", "face")
    assert_one_line(done, "no column 'face'; it has: image")
    assert "--validation_split" not in done.stderr


@pytest.mark.parametrize("form", ["save_to_disk", "parquet"])
def test_an_empty_validation_split_is_named_and_may_be_left_out(tmp_path, main, monkeypatch, form):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    features = datasets.Features({"face": datasets.Image()})
    faces = [Image.new("RGB", (40, 40))] * 4
    splits = {"train": faces, "validation": []}
    splits = {name: datasets.Dataset.from_dict({"face": rows}, features=features) for name, rows in splits.items()}
    (tmp_path / "set").mkdir()
    if form == "parquet":
        for name, rows in splits.items():
            rows.to_parquet(str(tmp_path / "set" / f"{name}.parquet"))
    else:
        datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "set"))
    done = main(tmp_path / "set", tmp_path / "run", "--max_train_steps", "1")
    assert_one_line(done, "'validation'", "give another --validation_split, or '' to train without")
    assert (
        main(tmp_path / "set", tmp_path / "run", *"--max_train_steps 1 --validation_split".split(), "").returncode == 0
    )


def test_a_folder_without_validation_faces_trains_and_says_what_is_left_out(trained, tmp_path, main, caplog):
    done = main(trained / "faces/train", tmp_path, "--max_train_steps", "2")
    assert done.returncode == 0, done.stderr
    assert "no validation split" in caplog.text and "--validation_split takes one of: train" in caplog.text
    assert "Not measured" in (tmp_path / "model/README.md").read_text()
    assert not (tmp_path / "samples").exists()


def test_faces_that_a_run_trains_on_are_no_validation_unless_asked_for_and_then_the_card_says_so(
    trained, tmp_path, main, caplog
):
    arguments = "--split validation --max_train_steps 1 --evaluate_limit 2".split()
    assert main(trained / "faces", tmp_path / "a", *arguments).returncode == 0
    assert "has no validation split beside validation, which it trains on: no samples" in caplog.text
    assert not (tmp_path / "a/model/results.json").exists()
    assert main(trained / "faces", tmp_path / "b", *arguments, "--validation_split", "validation").returncode == 0
    card = (tmp_path / "b/model/README.md").read_text()
    assert "2 faces of the split `validation`, **which these weights were trained on**, at 32x32" in card
    assert "were trained on" not in (trained / "run/model/README.md").read_text()
