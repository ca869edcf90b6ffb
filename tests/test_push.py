"""A run's way to the Hub and back: the real client over HTTP against a stand-in on loopback."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
import torch
import yaml
from fake_hub import TOKEN
from huggingface_hub import HfApi, ModelCard, file_download, hf_hub_download
from huggingface_hub.utils import _http
from launching import TINY, draw_faces
from PIL import Image

import ngan.push
import train_accelerate
from ngan.merging import merge_cards
from ngan.model import NGAN, NGANDiscriminators

NAME = "org/ngan-tiny"
MODEL = {"config.json", "model.safetensors", "README.md", "train_config.json", "results.json", "samples.png"}
CRITICS = {f"discriminators/{name}" for name in ("config.json", "model.safetensors", "README.md")}
pytestmark = pytest.mark.slow


@pytest.fixture
def train(hub, tmp_path, monkeypatch, capsys):
    """Train a tiny model on drawn faces and push it: (folder, *arguments) -> exit status and what was printed."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    faces = draw_faces(tmp_path / "faces")

    def run(output, *arguments):
        capsys.readouterr()
        words = ["--dataset", str(faces), "--output_dir", str(tmp_path / output), *TINY, "--evaluate_limit", "2"]
        words += ["--max_train_steps", "2", "--push_to_hub", "--hub_model_id", NAME, *arguments]
        return train_accelerate.main(words), "".join(capsys.readouterr())

    return run


def test_round_trip(hub, train, tmp_path, monkeypatch):
    status, printed = train("first")
    assert status == 0 and f"{hub.endpoint}/{NAME}/commit/" in printed
    assert hub.files(NAME) == MODEL | CRITICS | {"metrics.jsonl"}
    assert hub.repos["models", NAME].titles.count("Train NGAN") == 1
    for theirs, own in (
        (NGAN.from_pretrained(NAME), NGAN.from_pretrained(tmp_path / "first/model")),
        (
            NGANDiscriminators.from_pretrained(NAME, subfolder="discriminators"),
            NGANDiscriminators.from_pretrained(tmp_path / "first/model/discriminators"),
        ),
    ):
        assert all(torch.equal(tensor, own.state_dict()[name]) for name, tensor in theirs.state_dict().items())

    seen = {}
    step = train_accelerate.train_step

    def watched(networks, *rest):
        if not seen:
            for module in (networks.generators, networks.discriminators):
                seen.update({name: tensor.clone() for name, tensor in module.state_dict().items()})
        return step(networks, *rest)

    monkeypatch.setattr(train_accelerate, "train_step", watched)
    assert train("second", "--init_from", NAME, "--generator_only_steps", "0")[0] == 0
    own = {**NGAN.from_pretrained(tmp_path / "first/model").state_dict()}
    own |= NGANDiscriminators.from_pretrained(tmp_path / "first/model/discriminators").state_dict()
    assert seen.keys() == own.keys() and all(torch.equal(seen[name], own[name]) for name in own)
    assert ModelCard(hub.read(NAME, "README.md").decode()).data.base_model == NAME


def test_card_is_what_the_hub_takes(hub, train):
    assert train("run", "--license", "mit")[0] == 0
    card = ModelCard.load(NAME)
    card.validate()
    with pytest.raises(ValueError, match="license_name"):
        ModelCard("---\nlicense: other\n---\n").validate()
    data = card.data.to_dict()
    assert data["tags"] == ["inpainting", "face-inpainting", "gan", "ngan"] and "datasets" not in data  # a folder
    assert (data["library_name"], data["pipeline_tag"], data["license"]) == ("ngan", "image-to-image", "mit")
    kinds = {(r.metric_type, r.dataset_name.split(", ")[1]) for r in card.data.eval_results}
    holes = ("center holes", "box holes", "freeform holes")
    assert kinds == {(metric, hole) for metric in ("psnr", "ssim", "l1") for hole in holes}
    results = json.loads(hub.read(NAME, "results.json"))
    by_name = {r.metric_name: r.metric_value for r in card.data.eval_results}
    assert by_name["PSNR, box hole"] == pytest.approx(results["masks"]["box"]["ngan"]["psnr"], abs=1e-4)


def fill_as_printed(card: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a card's Python in a folder with a face and a mask; return it."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("NGAN_MODEL", raising=False)
    Image.effect_noise((40, 40), 60).convert("RGB").save("face.png")
    mask = Image.new("L", (40, 40))
    mask.paste(255, (10, 10, 20, 20))
    mask.save("mask.png")
    code = card.split("```python\n")[1].split("```")[0]
    exec(code, {})
    assert Image.open("filled.png").size == (40, 40)
    return code


@pytest.mark.parametrize("revision", ["", "trial"])
def test_usage_in_the_card_runs_as_printed(hub, train, tmp_path, monkeypatch, revision):
    assert train("run", "--hub_revision", revision)[0] == 0
    code = fill_as_printed(hub.read(NAME, "README.md", revision or "main").decode(), tmp_path, monkeypatch)
    assert f'"{NAME}@trial"' in code if revision else f'"{NAME}"' in code


def test_usage_runs_as_printed_after_the_documented_upload(hub, train, tmp_path, monkeypatch):
    """And the card of a model that nobody gave an id runs in the model's own folder."""
    words = ["hf", "upload", "org/ngan-celeba", "runs/x/model"]
    assert " ".join(words) in (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    assert train("runs/x", "--push_to_hub", "false", "--hub_model_id", words[2])[0] == 0
    assert not hub.repos
    variables = {**os.environ, **hub.env, "HF_HOME": str(tmp_path / "hf")}
    words[0] = str(Path(sys.executable).parent / "hf")
    subprocess.run(words, cwd=tmp_path, env=variables, check=True, capture_output=True)
    card = hub.read(words[2], "README.md").decode()
    assert f'"{words[2]}"' in fill_as_printed(card, tmp_path, monkeypatch)
    assert ModelCard(card).data.model_name == words[2]

    assert train("runs/y", "--push_to_hub", "false", "--hub_model_id", "")[0] == 0
    folder = tmp_path / "runs" / "y" / "model"
    assert 'Inpainter(".")' in fill_as_printed((folder / "README.md").read_text(), folder, monkeypatch)


def test_a_card_that_nobody_edited_is_renewed_whole(hub, train):
    assert train("first", "--license", "mit", "--data_note", "NOTE ONE")[0] == 0
    assert "NOTE ONE" in hub.read(NAME, "README.md").decode()
    second = ["--license", "other", "--license_name", "nc", "--data_note", "NOTE TWO"]
    assert train("second", *second, "--half_precision_export", "true")[0] == 0
    text = hub.read(NAME, "README.md").decode()
    assert "NOTE TWO" in text and "NOTE ONE" not in text and "float16" in text and "float32" not in text
    for path in ("README.md", "discriminators/README.md"):
        data = ModelCard(hub.read(NAME, path).decode()).data
        assert (data.license, data.license_name) == ("other", "nc")


def test_a_license_that_people_chose_is_kept_for_both_cards_and_the_run_says_so(hub, train, caplog):
    assert train("first", "--license", "mit")[0] == 0
    edited = hub.read(NAME, "README.md").decode().replace("license: mit", "license: apache-2.0")
    hub.put(NAME, {"README.md": edited.encode()})
    assert train("second", "--license", "cc0-1.0")[0] == 0
    assert "README.md on the Hub keeps what people wrote there, not what this run says: license" in caplog.text
    for path in ("README.md", "discriminators/README.md"):
        assert ModelCard(hub.read(NAME, path).decode()).data.license == "apache-2.0"


def test_an_edit_while_the_files_are_on_their_way_is_kept(hub, train):
    assert train("first")[0] == 0
    text = hub.read(NAME, "README.md").decode()
    edited = text.replace("## Limits and bias", "## Meanwhile").replace("updates,", "OUTDATED updates,")
    hub.meanwhile["/upload/"] = lambda: hub.put(NAME, {"README.md": edited.encode(), "by_people.txt": b"kept"})
    hub.calls.clear()
    assert train("second", "--max_train_steps", "3")[0] == 0
    text = hub.read(NAME, "README.md").decode()
    assert "## Meanwhile" in text and "OUTDATED" not in text and "in 3 updates" in text
    assert hub.read(NAME, "by_people.txt") == b"kept"
    sent = [path for method, path, _ in hub.calls if method == "PUT"]
    assert sent and len(sent) == len(set(sent))  # no large file went twice
    assert len([path for _, path, _ in hub.calls if "/commit/" in path]) == 2


def test_a_branch_that_never_rests_ends_the_push_with_advice(hub, train):
    hub.fail["/commit/"] = (412, 1000)
    status, printed = train("run")
    assert status == 2 and "the model is complete in" in printed and "Traceback" not in printed
    assert len([path for _, path, _ in hub.calls if "/commit/" in path]) == 5


def test_edited_card_keeps_what_people_wrote(hub, train):
    assert train("first")[0] == 0
    edited = (
        hub.read(NAME, "README.md").decode().replace("## Limits and bias", "## Our own words\n\nHello.\n\n## Limits")
    )
    edited = edited.replace("library_name: ngan", "library_name: ngan\nlicense: mit\nlanguage: fr").replace(
        "updates,", "OUTDATED updates,"
    )
    hub.put(NAME, {"README.md": edited.encode()})
    assert train("second", "--max_train_steps", "3")[0] == 0
    text = hub.read(NAME, "README.md").decode()
    assert "Our own words" in text and "## Limits and bias" not in text
    assert "OUTDATED" not in text and "in 3 updates" in text
    data = ModelCard(text).data.to_dict()
    assert data["license"] == "mit" and data["language"] == "fr" and data["model-index"]


def test_a_card_that_cannot_be_read_is_never_written_over(hub, train, monkeypatch):
    def unreachable(*_: object, **__: object) -> None:
        raise httpx2.ConnectTimeout("timed out")

    for known, text in (("never read", b"# By people\n"), ("an older one is cached", b"# Newer, by people\n")):
        hub.put(NAME, {"README.md": text})
        with monkeypatch.context() as patch:
            patch.setattr(file_download, "get_hf_file_metadata", unreachable)
            status, printed = train(known)
        assert status == 2 and "the model is complete in" in printed
        assert hub.read(NAME, "README.md") == text and hub.files(NAME) == {"README.md"}
        assert Path(hf_hub_download(NAME, "README.md")).read_bytes() == text


def test_foreign_card_gets_the_sections_at_its_end():
    figures = "<!-- ngan: figures -->\n## Figures\n\n1 dB\n<!-- /ngan: figures -->\n"
    ours = f"---\nlibrary_name: ngan\n---\n\n# A\n\n{figures}"
    merged = merge_cards("---\nlicense: mit\n---\n\n# Mine\n", ours)
    assert yaml.safe_load(merged.split("---")[1]) == {"library_name": "ngan", "license": "mit"}
    assert merged.split("---\n\n")[1] == f"# Mine\n\n{figures}"
    assert merge_cards(merged, ours) == merged
    assert merge_cards("", ours) == ours


def test_broken_card_stops_the_push_and_loses_nothing(hub, train, tmp_path):
    hub.put(NAME, {"README.md": b"---\na: [\n---\n"})
    status, printed = train("run")
    assert status == 2 and "has a broken front matter" in printed
    assert hub.files(NAME) == {"README.md"}
    assert NGAN.from_pretrained(tmp_path / "run/model").image_size == 32


@pytest.mark.parametrize(("steps", "minutes"), [("3", "0"), ("100000", "0.002")])
def test_the_advice_after_a_failed_push_pushes_to_its_branch_and_keeps_what_people_wrote(
    hub, train, tmp_path, monkeypatch, steps, minutes
):
    arguments = ["--hub_revision", "trial", "--max_train_minutes", minutes, "--max_train_steps", steps]
    hub.put(NAME, {"README.md": b"# By people\n"})  # where the branch begins
    with monkeypatch.context() as patch:
        patch.setattr(ngan.push, "merge_cards", lambda *_: (_ for _ in ()).throw(OSError("broken off")))
        status, printed = train("run", *arguments)
    assert status == 2 and "the model is complete in" in printed
    advice = printed.split("give the same command with ")[1].split()
    monkeypatch.setattr(train_accelerate, "train_step", lambda *_: pytest.fail("an update too many"))
    status, printed = train("run", *arguments, *advice)
    assert status == 0, printed
    assert MODEL <= hub.files(NAME, "trial") and hub.files(NAME) == {"README.md"}
    assert "# By people" in hub.read(NAME, "README.md", "trial").decode()


def test_private_repository_and_branch(hub, train):
    assert train("run", "--hub_private", "--hub_revision", "trial")[0] == 0
    assert hub.repos["models", NAME].private
    assert hub.files(NAME) == set() and MODEL <= hub.files(NAME, "trial")
    assert NGAN.from_pretrained(f"{NAME}@trial").image_size == 32


def test_a_repository_that_is_public_already_is_not_taken_for_a_private_one(hub, train):
    hub.put(NAME, {})
    status, printed = train("run", "--hub_private")
    assert status == 2 and f"hub_private=True: {NAME} is there already, and public" in printed
    assert hub.files(NAME) == set() and "it/s" not in printed


def test_nothing_of_an_earlier_runs_weights_stays_beside_others(hub, train):
    """The card says that there are no critics and no figures; `--init_from` would have started from the old ones."""
    assert train("first")[0] == 0
    hub.put(NAME, {"discriminators/notes.txt": b"mine", "model.txt": b"mine"})
    assert train("second", "--generator_only_steps", "100", "--validation_split", "")[0] == 0
    left = {"config.json", "model.safetensors", "README.md", "train_config.json", "metrics.jsonl"}
    assert hub.files(NAME) == left | {"discriminators/notes.txt", "model.txt"}


def test_an_exported_file_that_people_put_there_stays_and_is_spoken_of(hub, train, caplog):
    told = f"{NAME} keeps its model.onnx, of the weights that it was exported from; export it anew"
    assert train("first")[0] == 0 and told not in caplog.text
    hub.put(NAME, {"model.onnx": b"by people"})
    assert train("second", "--max_train_steps", "3")[0] == 0
    assert hub.read(NAME, "model.onnx") == b"by people" and caplog.messages.count(told) == 1


def test_checkpoints_are_pushed_only_when_asked_for(hub, train):
    assert train("first", "--checkpoint_every", "1")[0] == 0
    assert not any("adam" in path for path in hub.files(NAME))
    assert train("second", "--checkpoint_every", "1", "--hub_strategy", "checkpoint")[0] == 0
    pushed = {path for path in hub.files(NAME) if path.startswith("last-checkpoint/")}
    assert {"last-checkpoint/generators_adam.safetensors", "last-checkpoint/state.json"} <= pushed
    state = json.loads(hub.read(NAME, "last-checkpoint/state.json"))
    assert state["counters"]["step"] == 2
    assert (state["config"]["dataset"], state["config"]["output_dir"]) == ("faces", "second")  # no paths


def test_a_checkpoint_that_cannot_be_pushed_does_not_stop_the_run(hub, train, caplog):
    hub.fail["/preupload/"] = (403, 100)
    status, printed = train("run", "--max_train_steps", "1", "--hub_strategy", "checkpoint")
    assert status == 2 and "checkpoint-0000001 is not pushed" in caplog.text
    assert "the model is complete in" in printed and "Traceback" not in printed


def test_refused_repository_ends_the_run_before_any_update(hub, train, tmp_path):
    status, printed = train("run", "--hub_model_id", "strangers/ngan")
    assert status == 2 and "hub_model_id='strangers/ngan'" in printed and "rights" in printed
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_repository_that_may_only_be_read_ends_the_run_before_any_update(hub, train, tmp_path):
    hub.put("strangers/ngan", {})  # so that making it is no error
    status, printed = train("run", "--hub_model_id", "strangers/ngan")
    assert status == 2 and "hub_model_id='strangers/ngan': 403 Forbidden: You don't have the rights" in printed
    assert not (tmp_path / "run" / "metrics.jsonl").exists() and "Traceback" not in printed


def test_a_hub_that_does_not_tell_rights_takes_the_push(hub, train):
    hub.fail["/auth-check/"] = (404, 100)
    assert train("run", "--max_train_steps", "1")[0] == 0
    assert MODEL <= hub.files(NAME)


def test_dropped_upload_is_tried_again(hub, train):
    hub.drop["/upload/"] = (1000, 1)
    assert train("run")[0] == 0
    assert NGAN.from_pretrained(NAME).image_size == 32


def test_upload_that_never_ends_is_reported_and_commits_nothing(hub, train, monkeypatch, tmp_path):
    monkeypatch.setattr(_http, "time", SimpleNamespace(**{**vars(time), "sleep": lambda _: None}))  # of its retries
    hub.drop["/upload/"] = (1000, 10_000)
    status, printed = train("run")
    assert status == 2 and "the model is complete in" in printed and "Traceback" not in printed
    assert hub.files(NAME) == set()
    assert HfApi().repo_exists(NAME)
