"""What a card says to the Hub of where its weights come from, and of whom they fill worse."""

import dataclasses
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from card_rules import card_troubles
from huggingface_hub import ModelCard
from PIL import Image

from ngan.card import origin, renew_figures, write_card
from ngan.checkpoint import Counters
from ngan.config import TrainConfig, parse_config
from ngan.differences import measure_differences
from ngan.evaluation import evaluate
from ngan.merging import merge_cards
from ngan.model import NGAN, NGANDiscriminators


@pytest.fixture
def model() -> NGAN:
    torch.manual_seed(0)
    return NGAN(code_width=4, image_width=8, blocks=1, attention_every=0, image_size=32)


def written(folder: Path, model: NGAN, result: dict | None = None, **given: str) -> ModelCard:
    folder.mkdir(exist_ok=True)
    write_card(folder, model, TrainConfig(image_size=32, **given), Counters(), result)
    return ModelCard((folder / "README.md").read_text(encoding="utf-8"), ignore_metadata_errors=False)


def test_data_sets_and_base_models_are_named_if_they_are_of_the_hub(model, tmp_path, hub):
    card = written(tmp_path / "a", model, dataset="org/faces", init_from="org/ngan-celeba@v1").data
    assert card.datasets == ["org/faces"] and card.base_model == "org/ngan-celeba"
    assert card.tags == ["inpainting", "face-inpainting", "gan", "ngan"] and card.metrics == ["psnr", "ssim", "l1"]
    assert card_troubles((tmp_path / "a" / "README.md").read_text()) == []
    card = written(tmp_path / "a", model, dataset="org/faces@refs/pr/1", dataset_config_name="aligned")
    assert card.data.datasets == ["org/faces"]
    assert "Trained on `org/faces`, configuration `aligned`, revision `refs/pr/1`; its own" in card.text
    card = written(tmp_path / "a", model, init_from="org/ngan-celeba@refs/pr/1").data
    assert card.base_model == "org/ngan-celeba"
    (tmp_path / "faces").mkdir()
    card = written(tmp_path / "b", model, dataset=str(tmp_path / "faces"), init_from=str(tmp_path))
    assert card.data.datasets is None and card.data.base_model is None
    assert (
        str(tmp_path) not in card.content and str(tmp_path) not in (tmp_path / "b" / "train_config.json").read_text()
    )


def test_a_card_claims_no_critic_that_took_no_part(model, tmp_path):
    text = written(tmp_path / "a", model, dataset="org/faces").text
    assert "`discriminators/`" not in text and "there are no\ncritics" in text
    assert "no critic took part, since they join after 3,000 updates" in text
    (tmp_path / "b" / "discriminators").mkdir(parents=True)
    write_card(tmp_path / "b", model, TrainConfig(dataset="org/faces"), Counters(step=3001), None)
    text = (tmp_path / "b" / "README.md").read_text()
    assert "`discriminators/`" in text and "; the critics join after 3,000 updates" in text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "a hole-weighted L1,\nthe final image by structural similarity over the hole too;"),
        ({"distance": "mse", "hole_weight": 0.0, "lambda_structure": 0.0}, "the plain mean MSE over all pixels;"),
    ],
)
def test_a_card_says_how_the_reconstruction_is_weighted(model, tmp_path, given, words):
    assert words in written(tmp_path / "a", model, dataset="org/faces", **given).text


def licence(card: ModelCard) -> tuple[str | None, ...]:
    return tuple(card.data.get(name) for name in ("license", "license_name", "license_link"))


def test_the_licence_is_what_is_given_or_that_of_what_the_run_starts_from_or_none(model, tmp_path):
    NGANDiscriminators(width=4, embedding=8).save_pretrained(tmp_path / "a" / "discriminators")

    def told(**given: str) -> tuple[str | None, ...]:
        card = written(tmp_path / "a", model, **given)
        critics = ModelCard((tmp_path / "a" / "discriminators" / "README.md").read_text())
        assert licence(critics) == licence(card) and "# NGAN: the critics" in critics.text
        return licence(card)

    research = ("other", "non-commercial-research", None)
    assert told(dataset="org/faces") == (None, None, None)
    assert told(dataset="org/CelebA-faces") == research
    assert told(dataset="org/celeba", license="mit") == ("mit", None, None)
    own = {"license": "other", "license_name": "ours", "license_link": "LICENSE"}
    assert told(dataset="org/faces", **own) == ("other", "ours", "LICENSE")
    start = tmp_path / "start"
    start.mkdir()
    assert told(dataset="org/faces", init_from=str(start)) == research
    (start / "README.md").write_text("# Without a license\n")
    assert told(dataset="org/faces", init_from=str(start)) == (None, None, None)
    assert told(dataset="org/celeba", init_from=str(start)) == research
    (start / "README.md").write_text("---\nlicense: apache-2.0\n---\n# By people\n")
    assert told(dataset="org/celeba", init_from=str(start)) == ("apache-2.0", None, None)


def test_the_licence_and_the_base_model_stay_where_a_later_launch_cannot_find_them(model, tmp_path, hub):
    hub.put("org/start", {"README.md": b"---\nlicense: cc-by-4.0\n---\n"})
    began = TrainConfig(image_size=32, dataset="org/celeba", init_from="org/start@main")
    counters = Counters(1)
    counters.license, counters.base_model = origin(began)
    hub.repos.clear()
    shutil.rmtree(tmp_path / "cache")
    for later in (began, dataclasses.replace(began, init_from="")):
        write_card(tmp_path, model, later, counters, None)
        card = ModelCard.load(tmp_path / "README.md")
        assert (*licence(card), card.data.base_model) == ("cc-by-4.0", None, None, "org/start")
    write_card(tmp_path, model, dataclasses.replace(began, license="mit"), counters, None)
    assert ModelCard.load(tmp_path / "README.md").data.license == "mit"
    assert origin(TrainConfig()) == ({}, "")


def test_a_licence_by_people_is_not_mixed_with_one_of_the_run():
    ours = "---\nlicense: other\nlicense_name: non-commercial-research\n---\n\n# A\n"
    assert licence(ModelCard(merge_cards("---\nlicense: mit\n---\n# Mine\n", ours))) == ("mit", None, None)


FIRST = {"dataset": "org/faces", "license": "mit", "init_from": "org/t", "data_note": "NOTE ONE"}
SECOND = {"dataset": "org/more", "license": "other", "license_name": "nc", "data_note": "NOTE TWO"}


@pytest.fixture
def two(model, tmp_path) -> tuple[str, str]:
    """The cards of two runs, which nobody edited; the second's folder."""
    (tmp_path / "model").mkdir()
    write_card(tmp_path / "model", model, TrainConfig(image_size=32, **FIRST), Counters(step=1), None)
    first = (tmp_path / "model" / "README.md").read_text()
    second = TrainConfig(image_size=64, half_precision_export=True, **SECOND)
    write_card(tmp_path / "model", model, second, Counters(step=5), None)
    return first, (tmp_path / "model" / "README.md").read_text()


def test_a_card_that_nobody_edited_becomes_that_of_the_newest_run(two, caplog):
    first, second = two
    assert "NOTE ONE" in first and "float32" in first and "base_model" in first
    assert merge_cards(first, second) == second
    assert merge_cards(second, first) == first
    assert not caplog.records


def test_what_people_changed_is_kept_push_after_push_and_said(two, caplog):
    first, second = two
    edited = first.replace("license: mit", "license: apache-2.0").replace("NOTE ONE", "My own note")
    edited = edited.replace("- gan\n", "- gan\n- mine\n").replace("library_name: ngan", "language: fr")
    for ours in (second, second, first):
        caplog.clear()
        edited = merge_cards(edited, ours)
        card = ModelCard(edited)
        assert card.data.license == "apache-2.0" and card.data.get("license_name") is None
        assert "mine" in card.data.tags and card.data.language == "fr" and card.data.library_name is None
        assert "My own note" in edited and "NOTE" not in edited
        assert card.data.datasets == ModelCard(ours).data.datasets
        assert ("float16" in edited) == ("float16" in ours)
        (told,) = caplog.messages
        assert told.endswith(
            "keeps what people wrote there, not what this run says: data, library_name, license, tags"
        )
    edited = edited.replace("license: apache-2.0", "license: mit").replace("My own note", "NOTE ONE")
    assert ModelCard(merge_cards(edited, second)).data.license == "other"  # it is again as the project wrote it


def test_a_section_that_people_removed_stays_away(two):
    first, second = two
    start, rest = first.split("<!-- ngan: data -->")
    edited = start + rest.split("<!-- /ngan: data -->\n")[1]
    for _ in range(2):
        edited = merge_cards(edited, second)
        assert "## Data" not in edited and "in 5 updates" in edited and edited.count("<!-- ngan wrote") == 1


def without_citation(card: str) -> str:
    """What an earlier version of the project wrote in the place of a card."""
    text = card.split("<!-- ngan: citation -->")[0] + card.split("<!-- /ngan: citation -->\n\n")[1]
    return re.sub(r', "#citation": "\w+"', "", text)


def test_a_section_that_is_new_to_the_project_comes_to_cards_of_earlier_versions_once(two):
    first, second = two
    old = without_citation(first)
    assert "itation" not in old and merge_cards(old, second) == second
    edited = merge_cards(old.replace("## Limits and bias", "## Our own words"), second)
    assert "## Our own words" in edited and edited.count("```bibtex") == 1
    start, rest = edited.split("<!-- ngan: citation -->")
    removed = start + rest.split("<!-- /ngan: citation -->\n")[1]
    assert "itation" not in re.sub("<!-- ngan wrote .*", "", merge_cards(removed, first))
    theirs = old.replace("<!-- ngan wrote", "## Citation\n\nCite us.\n\n<!-- ngan wrote")
    for ours in (first, second, first):
        theirs = merge_cards(theirs, ours)
        assert "Cite us." in theirs and "bibtex" not in theirs


def test_the_paper_is_cited_as_in_the_readme_and_one_is_not_called_many(model, tmp_path):
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    write_card(tmp_path, model, TrainConfig(generator_only_steps=1), Counters(step=1, images_seen=1), None)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert card.split("```bibtex")[1].split("```")[0] == readme.split("```bibtex")[1].split("```")[0]
    assert "\n1 image of 128x128 pixels seen in 1 update, 0.00 hours" in card and "join after 1 update." in card


@pytest.mark.parametrize("record", ["", "<!-- ngan wrote {broken} -->"])
def test_a_card_without_a_record_keeps_all_but_training_and_figures(two, record):
    first, second = two
    for name in ("title", "usage", "data", "limits"):
        first = first.replace(f"<!-- ngan: {name} -->\n", "").replace(f"<!-- /ngan: {name} -->\n", "")
    old = f"{first.split('<!-- ngan wrote')[0]}{record}\n"
    for _ in range(2):
        old = merge_cards(old, second)
        card = ModelCard(old)
        assert card.data.license == "mit" and card.data.datasets == ["org/faces"]
        assert "NOTE ONE" in old and "NOTE TWO" not in old and "float32" in old
        assert "in 5 updates" in old and "in 1 update," not in old


def test_new_figures_leave_the_record_and_the_models_name(two, tmp_path):
    card = tmp_path / "model" / "README.md"
    scores = {"psnr": 20.0, "ssim": 0.8, "l1": 0.1, "psnr_hole": 15.0, "l1_hole": 0.2, "l1_border": 0.1}
    masks = {"box": {"hole_ratio": 0.1, "ngan": scores}}
    result = {"dataset": "org/faces", "split": "validation", "n": 1, "image_size": 64, "border_width": 4}
    result |= {"masks": masks, "damages": {}}
    for _ in range(2):
        renew_figures(tmp_path / "model", result)
    data = ModelCard(card.read_text()).data
    assert (data.model_name, data.license, data.eval_results[0].metric_value) == ("model", "other", 20.0)
    assert merge_cards(card.read_text(), two[0]) == two[0]  # nobody edited it
    card.write_text(card.read_text().replace("name: model", "name: org/b"))
    renew_figures(tmp_path / "model", result)
    assert ModelCard(card.read_text()).data.model_name == "org/b"


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ({"hub_model_id": "org/b"}, 'Inpainter("org/b")('),
        ({"hub_model_id": "org/b", "hub_revision": "trial"}, 'Inpainter("org/b@trial")('),
        ({"hub_model_id": "b"}, 'Inpainter(".")('),
        ({}, 'Inpainter(".")('),
    ],
)
def test_the_usage_names_the_id_that_is_known(model, tmp_path, given, printed):
    assert printed in written(tmp_path / "a", model, dataset="org/faces", **given).text


def test_the_command_runs_as_printed_and_only_pictures_that_are_there_are_shown(model, tmp_path):
    card = written(tmp_path / "a", model, dataset="my faces", validation_split="")
    (line,) = [line for line in card.text.splitlines() if "accelerate launch" in line]
    words = shlex.split(line)
    config, _ = parse_config(words[words.index("train_accelerate.py") + 1 :])
    assert (config.dataset, config.validation_split, config.image_size) == ("my faces", "", 32)
    assert "samples.png" not in card.text
    (tmp_path / "b").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "b" / "samples.png")
    assert "](samples.png)\n\nWith the code" in written(tmp_path / "b", model, dataset="org/faces").text


def test_measured_differences_stand_in_the_card(model, tmp_path):
    faces = torch.randint(0, 256, (7, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    figures = evaluate(model, faces, masks=("center",), damages=(), progress=False)
    result = json.loads(json.dumps({"dataset": "faces", "split": "validation", **figures}))
    assert "Differences" not in written(tmp_path / "a", model, result, dataset="org/faces").text
    result["differences"] = json.loads(json.dumps(measure_differences(model, faces)))
    text = written(tmp_path / "b", model, result, dataset="org/faces").text
    section = text.split("<!-- ngan: figures -->")[1].split("<!-- /ngan: figures -->")[0]
    for title in ("brightness of the face", "difference from its mirror image", "distance from the mean face"):
        assert f"| {title} | " in section
    assert f"{result['differences']['brightness']['lowest']['psnr_hole']:.2f} ± " in section
