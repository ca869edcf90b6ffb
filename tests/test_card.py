"""What a card says to the Hub of where its weights come from, and of whom they fill worse."""

import json
import shlex
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image

from ngan.card import merge_cards, write_card
from ngan.checkpoint import Counters
from ngan.config import TrainConfig, parse_config
from ngan.differences import measure_differences
from ngan.evaluation import evaluate
from ngan.model import NGAN, NGANDiscriminators


@pytest.fixture
def model() -> NGAN:
    torch.manual_seed(0)
    return NGAN(code_width=4, image_width=8, blocks=1, attention_every=0, image_size=32)


def written(folder: Path, model: NGAN, result: dict | None = None, **given: str) -> ModelCard:
    folder.mkdir(exist_ok=True)
    write_card(folder, model, TrainConfig(image_size=32, **given), Counters(), result)
    return ModelCard((folder / "README.md").read_text(), ignore_metadata_errors=False)


def test_data_sets_and_base_models_are_named_if_they_are_of_the_hub(model, tmp_path, hub):
    card = written(tmp_path / "a", model, dataset="org/faces", init_from="org/ngan-celeba@v1").data
    assert card.datasets == ["org/faces"] and card.base_model == "org/ngan-celeba"
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
    (start / "README.md").write_text("---\nlicense: apache-2.0\n---\n# By people\n")
    assert told(dataset="org/celeba", init_from=str(start)) == ("apache-2.0", None, None)


def test_a_licence_by_people_is_not_mixed_with_one_of_the_run():
    ours = "---\nlicense: other\nlicense_name: non-commercial-research\n---\n\n# A\n"
    assert licence(ModelCard(merge_cards("---\nlicense: mit\n---\n# Mine\n", ours))) == ("mit", None, None)


def test_the_command_runs_as_printed_and_only_pictures_that_are_there_are_shown(model, tmp_path):
    card = written(tmp_path / "a", model, dataset="my faces", validation_split="")
    (line,) = [line for line in card.text.splitlines() if "accelerate launch" in line]
    words = shlex.split(line)
    config, _ = parse_config(words[words.index("train_accelerate.py") + 1 :])
    assert (config.dataset, config.validation_split, config.image_size) == ("my faces", "", 32)
    assert "samples.png" not in card.text
    (tmp_path / "b").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "b" / "samples.png")
    assert "](samples.png)\n\n```python" in written(tmp_path / "b", model, dataset="org/faces").text


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
