"""Data sets of several configurations, and revisions of those on the Hub: what is read is what was named."""

import json
from pathlib import Path

import datasets
import pytest
from datasets.table import embed_table_storage
from huggingface_hub import ModelCard
from PIL import Image
from shell import only_error

from ngan.__main__ import main as ngan
from ngan.data import load_faces, read_streamed, stream_faces
from ngan.sources import split_names

RED, GREEN, BLUE = (200, 10, 10), (10, 200, 10), (10, 10, 200)
CONFIGURATIONS = {
    "aligned": {"train": (RED, GREEN), "validation": (GREEN,)},
    "wild": {"train": (BLUE,), "validation": (BLUE,)},
}
CARD = """---
configs:
- config_name: aligned
  data_files:
  - {split: train, path: aligned/train*}
  - {split: validation, path: aligned/validation*}
- config_name: wild
  data_files:
  - {split: train, path: wild/train*}
  - {split: validation, path: wild/validation*}
---
"""


@pytest.fixture(autouse=True)
def private(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "prepared"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def write_table(file: Path, pictures: list[Image.Image]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    features = datasets.Features({"picture": datasets.Image()})
    rows = datasets.Dataset.from_dict({"picture": pictures}, features=features).with_format("arrow")
    rows.map(embed_table_storage, batched=True).to_parquet(str(file))


@pytest.fixture
def tables(tmp_path):
    """A folder as a clone of a data set on the Hub: two configurations of two splits each, and a card."""
    for name, splits in CONFIGURATIONS.items():
        for split, pixels in splits.items():
            write_table(tmp_path / f"set/{name}/{split}.parquet", [Image.new("RGB", (40, 40), p) for p in pixels])
    (tmp_path / "set/README.md").write_text(CARD)
    return tmp_path / "set"


@pytest.fixture
def online(hub, monkeypatch):
    """The Hub's stand-in, for `datasets` too."""
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", hub.endpoint)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    return hub


def colours(faces):
    return [tuple(picture[:, 0, 0].tolist()) for picture in faces]


def read(source, split="train", **chosen):
    return colours(load_faces(source, split, image_size=16, progress=False, **chosen))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_configuration_that_is_named_is_read_and_none_but_that(tables):
    assert read(tables, config_name="aligned") == [RED, GREEN]
    assert read(tables, config_name="wild") == [BLUE]
    assert read(tables, "validation", config_name="aligned") == [GREEN]
    assert split_names(tables, "wild") == ["train", "validation"]
    assert colours(read_streamed(tables, "validation", image_size=16, config_name="aligned")) == [GREEN]
    assert colours(stream_faces(tables, image_size=16, config_name="wild")) == [BLUE]


def test_several_configurations_are_listed_where_none_or_another_is_named(tables):
    several = r"set has several configurations \(aligned, wild\); name one of them, .* as --dataset_config_name$"
    with pytest.raises(ValueError, match=several):
        read(tables)
    with pytest.raises(ValueError, match=several):
        split_names(tables)
    with pytest.raises(ValueError, match="set has no configuration 'tame'; it has: aligned, wild$"):
        read(tables, config_name="tame")
    with pytest.raises(ValueError, match="no split 'test'; it has: train, validation"):
        read(tables, "test", config_name="wild")


def test_the_card_of_a_set_may_name_its_default(tables):
    (tables / "README.md").write_text(CARD.replace("name: wild\n", "name: wild\n  default: true\n"))
    assert read(tables) == [BLUE]
    assert read(tables, config_name="aligned") == [RED, GREEN]


def test_a_folder_of_pictures_has_the_configurations_of_its_card(tmp_path):
    for name, colour in {"a/1.png": RED, "b/1.png": BLUE}.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        Image.new("RGB", (40, 40), colour).save(tmp_path / "set" / name)
    with pytest.raises(ValueError, match="no configuration 'a': its README.md, if there is one, names none"):
        read(tmp_path / "set", config_name="a")
    card = tmp_path / "set/README.md"
    card.write_text("---\nconfigs:\n- {config_name: a, data_files: a/*}\n- {config_name: b, data_files: b/*}\n---\n")
    assert (read(tmp_path / "set", config_name="a"), read(tmp_path / "set", config_name="b")) == ([RED], [BLUE])
    with pytest.raises(ValueError, match=r"several configurations \(a, b\)"):
        read(tmp_path / "set")
    for other in ("Pictures.", "---\nlicense: mit\n---\n", "---\nconfigs: [\n---\n", "---\n- no fields\n---\n"):
        card.write_text(other)
        assert read(tmp_path / "set") == [RED, BLUE]


def test_other_forms_of_a_set_have_no_configurations(tables, tmp_path):
    rows = datasets.load_dataset("parquet", data_files=str(tables / "wild/train.parquet"))
    rows.save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "saved/README.md").write_text(CARD)
    for source in (tables / "wild/train.parquet", tmp_path / "saved"):
        assert read(source) == [BLUE]
        with pytest.raises(ValueError, match=f"{source.name} has no configuration 'wild'"):
            read(source, config_name="wild")


def test_configurations_and_revisions_on_the_hub_are_those_that_are_named(online, tables):
    old = online.put("org/faces", contents(tables), kind="datasets")
    online.repos["datasets", "org/faces"].branches["refs/pr/1"] = old
    new = {**contents(tables), "aligned/train.parquet": (tables / "wild/train.parquet").read_bytes()}
    online.put("org/faces", new, kind="datasets")
    assert read("org/faces", config_name="aligned") == [BLUE]
    for revision in (old, "refs/pr/1"):
        assert read(f"org/faces@{revision}", config_name="aligned") == [RED, GREEN]
        assert len(read_streamed(f"org/faces@{revision}", "train", image_size=16, config_name="aligned")) == 2
    assert split_names(f"org/faces@{old}", "wild") == ["train", "validation"]
    with pytest.raises(ValueError, match="^'org/faces@older': the data set has no revision 'older'$"):
        read("org/faces@older", config_name="aligned")
    with pytest.raises(ValueError, match=r"^org/faces has several configurations \(aligned, wild\); name one"):
        read("org/faces")
    with pytest.raises(ValueError, match="^org/faces has no configuration 'tame'; it has: aligned, wild$"):
        read("org/faces", config_name="tame")


def test_a_copy_of_another_revision_is_not_taken_where_the_hub_does_not_answer(online, tables, monkeypatch):
    commit = online.put("org/faces", {"train.parquet": (tables / "wild/train.parquet").read_bytes()}, kind="datasets")
    assert read("org/faces") == [BLUE]
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    assert read("org/faces") == read(f"org/faces@{commit}") == [BLUE]
    with pytest.raises(ValueError, match=f"'org/faces@old': .*the copy in the cache is of the revision {commit}"):
        read("org/faces@old")
    with pytest.raises(ValueError, match="'org/faces@old': .*the copy in the cache is of the revision"):
        read_streamed("org/faces@old", "train", image_size=16)
    with pytest.raises(ValueError, match="the Hub cannot be reached, .* `hf download org/faces --type dataset"):
        read("org/faces", config_name="aligned")


def test_a_run_reads_one_configuration_throughout_and_tells_of_it(tables, tmp_path, main, caplog):
    done = main(tables, tmp_path / "run", "--max_train_steps", "1")
    assert done.returncode == 2 and "several configurations (aligned, wild)" in done.stderr.splitlines()[-1]
    done = main(tables, tmp_path / "run", "--max_train_steps", "1", "--dataset_config_name", "aligned")
    assert done.returncode == 0, done.stderr
    for name in ("config.json", "model/train_config.json"):
        assert json.loads((tmp_path / "run" / name).read_text())["dataset_config_name"] == "aligned"
    state = json.loads((tmp_path / "run/checkpoint-0000001/state.json").read_text())
    assert state["counters"]["pictures"] == 2 and state["config"]["dataset_config_name"] == "aligned"
    figures = json.loads((tmp_path / "run/model/results.json").read_text())
    assert (figures["dataset"], figures["dataset_config_name"], figures["split"]) == ("set", "aligned", "validation")
    card = ModelCard.load(tmp_path / "run/model/README.md")
    assert "Trained on `set`, configuration `aligned`; what terms its pictures have hold" in card.text
    assert "--dataset_config_name aligned" in card.text
    assert {(r.dataset_type, r.dataset_config.split(", ")[0]) for r in card.data.eval_results} == {("set", "aligned")}
    resumed = ("--max_train_steps", "2", "--resume_from_checkpoint", "latest", "--dataset_config_name", "wild")
    done = main(tables, tmp_path / "run", *resumed)
    assert done.returncode == 0 and "dataset_config_name 'aligned' -> 'wild'" in caplog.text


def test_a_configuration_is_filled_and_measured_by_name(tables, model, here, capsys):
    data = ["--dataset", str(tables), "--model", model]
    for words in (["evaluate", *data], ["inpaint", *data, "--find-damage", "-o", "out"]):
        assert ngan(words) == 2
        assert "several configurations (aligned, wild); name one" in only_error(capsys)
    assert ngan(["inpaint", *data, "--find-damage", "-o", "out", "--dataset-config-name", "aligned"]) == 0
    assert len(list(Path("out").iterdir())) == 2
    measured = ["--masks", "box", "--damages", "none", "--json", "figures.json", "--dataset_config_name", "wild"]
    assert ngan(["evaluate", *data, *measured]) == 0
    assert f"1 faces of {tables}, wild, validation, " in capsys.readouterr().out
    assert json.loads(Path("figures.json").read_text())["dataset_config_name"] == "wild"
    for words, told in (
        (["inpaint", "a.png", "m.png", "-o", "b.png", "--dataset-config-name", "wild"], "belongs to --dataset"),
        (["evaluate", *data, "--dataset-config-name", "tame"], "no configuration 'tame'; it has: aligned, wild"),
    ):
        assert ngan(words) == 2
        assert told in only_error(capsys)


def test_a_folder_here_has_no_revisions_and_a_name_that_no_hub_has_is_that_of_a_missing_folder(tables, monkeypatch):
    monkeypatch.chdir(tables.parent)
    with pytest.raises(ValueError, match="^set@old: set is here, and what is here has no revisions; leave out @old$"):
        read("set@old")
    with pytest.raises(FileNotFoundError, match="^my photos: no such folder here, and not a Hub id, as org/name$"):
        read("my photos")
