"""What a run may be told, and how it refuses the rest."""

import dataclasses
import json

import pytest
import torch

from ngan.comments import field_comments
from ngan.config import TrainConfig, parse_config
from ngan.model import NGANDiscriminators


def test_the_command_line_goes_over_the_file_over_the_recipe_over_the_defaults(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"recipe": "paper", "batch_size": 3, "seed": 7, "lambda_coding": 0.25}))
    config, dry_run = parse_config(["--config", str(path), "--seed", "9", "--streaming", "true", "--dry-run"])
    assert (config.distance, config.r1_gamma, config.lambda_feature_matching) == ("mse", 0.0, 0.0)  # the recipe's
    assert (config.batch_size, config.lambda_coding) == (3, 0.25)  # the file's
    assert (config.seed, config.streaming) == (9, True)  # the command line's
    assert config.learning_rate == TrainConfig().learning_rate
    assert dry_run


def test_a_recipe_on_the_command_line_goes_over_a_file_that_holds_every_field(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(TrainConfig(batch_size=3, hole_weight=2.0).to_json())
    paper, _ = parse_config(["--config", str(path), "--recipe", "paper", "--lambda_coding", "0.25"])
    assert (paper.recipe, paper.distance, paper.hole_weight, paper.optimizer) == ("paper", "mse", 0.0, "adam")
    assert (paper.batch_size, paper.lambda_coding) == (3, 0.25)
    path.write_text(paper.to_json())
    assert parse_config(["--config", str(path)])[0] == paper
    back, _ = parse_config(["--config", str(path), "--recipe", "default"])
    assert (back.distance, back.hole_weight, back.lambda_coding) == ("l1", TrainConfig().hole_weight, 0.5)


def test_a_written_configuration_reads_as_itself(tmp_path):
    config = TrainConfig(dataset="faces", batch_size=5, learning_rate=1e-3, in_memory=False)
    path = tmp_path / "config.json"
    path.write_text(config.to_json())
    assert parse_config(["--config", str(path)]) == (config, False)


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("batch_size", 0, "at least 1"),
        ("batch_size", 65_537, "at most 65,536"),
        ("max_train_steps", -1, "at least 1"),
        ("lambda_coding", float("inf"), "finite"),
        ("hole_weight", float("nan"), "finite"),
        ("seed", -1, "at least 0"),
        ("seed", 2**32, "at most 4,294,967,295"),
        ("lambda_coding", -0.5, "at least 0"),
        ("find_share", 1.5, r"in \[0, 1\]"),
        ("look_share", -0.1, r"in \[0, 1\]"),
        ("soft_share", 2.0, r"in \[0, 1\]"),
        ("soft_share", 0.5, "0 without look_share"),
        ("line_share", -0.1, r"in \[0, 1\]"),
        ("init_share", 1.5, r"in \[0, 1\]"),
        ("init_share", 0.5, "0 without init_from"),
        ("learning_rate", 0.0, "between 0 and 1"),
        ("beta1", 1.0, r"in \[0, 1\)"),
        ("image_size", 100, "a multiple of 4 x patch = 8"),
        ("image_size", 8, "from 16"),
        ("local_size", 200, "at most image_size = 128"),
        ("num_workers", 10_000, "at most 1,024"),
        ("max_train_steps", 10**20, "at most 1,000,000,000"),
        ("gradient_accumulation_steps", 10**20, "at most 1,000,000"),
        ("local_zoom", 0.5, r"in \[1, 8\]"),
        ("recipe", "best", "one of default, paper"),
        ("distance", "l2", "one of l1, mse"),
        ("masks", "holes", "one of center"),
        ("hub_private", True, "false without push_to_hub"),
        ("hub_strategy", "checkpoint", "'end' without push_to_hub"),
        ("hub_revision", "trial", "empty without push_to_hub or hub_model_id"),
        (
            "license",
            "nosuchword",
            "such as mit, apache-2.0, cc-by-nc-4.0, or 'other' with its own name as license_name",
        ),
        ("license", "MIT", "a word that the Hub has, such as mit, "),
        ("license", "apache 2.0", "such as apache-2.0, "),
        ("license_name", "ours", "empty unless license is 'other'"),
        ("schedule", "minutes", "max_train_minutes=0.0: must be above 0"),
        ("mixed_precision", "fp16", "one of bf16, no"),
        ("report_to", "mlflow", "one of tensorboard"),
        ("patch", 0, "at least 1"),
        ("image_size", 16, "above 16 x discriminator_patch = 16, or mixed_precision no instead of bf16"),
        ("local_size", 8, "above 8 x discriminator_patch = 8, or mixed_precision no"),
    ],
)
def test_an_impossible_value_is_refused_by_name_and_rule(field, value, rule):
    with pytest.raises(ValueError, match=rule) as caught:
        TrainConfig(**{field: value})
    assert field in str(caught.value)
    assert repr(value) in str(caught.value) or field == "schedule"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"batchsize": 4}', "unknown field batchsize"),
        ('{"batch_size": "4"}', "batch_size='4' must be of type int"),
        ('{"in_memory": 1}', "in_memory=1 must be of type bool"),
        ('{"r1_gamma": 1' + 400 * "0" + "}", "r1_gamma=inf: must be finite"),
        ("[1]", "must be an object"),
        ('{"seed": 1, "masks": "box", "seed": 2}', "run.json: gives seed more than once"),
        (100_000 * "[", "not JSON"),
        ("{", "not JSON"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path, text, complaint):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        parse_config(["--config", str(path)])


def test_a_license_that_the_hub_has_no_word_for_needs_a_name():
    with pytest.raises(ValueError, match="license_name='': must be the license's own name where license is 'other'"):
        TrainConfig(license="other", license_link="LICENSE")
    for given in ({"license": "openrail++"}, {"license": "other", "license_name": "ours"}, {"license": ""}):
        assert TrainConfig(**given)


def test_what_is_of_a_push_is_taken_with_one_and_a_branch_with_the_id_that_the_card_names():
    of_a_push = {"hub_private": True, "hub_strategy": "checkpoint", "hub_revision": "trial"}
    assert TrainConfig(push_to_hub=True, hub_model_id="org/a", **of_a_push).hub_private
    assert TrainConfig(hub_model_id="org/a", hub_revision="trial").hub_revision == "trial"


def test_a_file_that_is_not_utf_8_is_named_and_a_mark_in_front_of_one_that_is_passed_over(tmp_path):
    path = tmp_path / "run.json"
    path.write_text('{"data_note": "café"}', encoding="latin-1")
    with pytest.raises(ValueError, match="run.json: not text in UTF-8 .* at byte 18"):
        parse_config(["--config", str(path)])
    path.write_text('{"data_note": "café"}', encoding="utf-8-sig")
    assert parse_config(["--config", str(path)])[0].data_note == "café"


def test_a_home_that_no_shell_replaced_is_no_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "run.json").write_text('{"dataset": "~/faces", "init_from": "org/name"}')
    config, _ = parse_config(["--output_dir=~/runs/x", "--config", str(tmp_path / "run.json"), "--data_note", "~/x"])
    assert (config.dataset, config.output_dir, config.init_from) == ("/home/me/faces", "/home/me/runs/x", "org/name")
    assert config.data_note == "~/x"


def test_a_missing_file_is_named():
    with pytest.raises(ValueError, match="nowhere.json: cannot be read"):
        parse_config(["--config", "nowhere.json"])


@pytest.mark.parametrize(
    "arguments", [["--batchsize", "4"], ["--batch_size", "many"], ["--in_memory", "maybe"], ["--batch", "4"]]
)
def test_an_unknown_option_or_value_ends_with_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        parse_config(arguments)
    assert caught.value.code == 2
    *usage, error = capsys.readouterr().err.splitlines()
    assert arguments[0].lstrip("-") in error
    assert len(usage) < 4 and "--output_dir" in " ".join(usage)  # not all of the fields, which --help lists


@pytest.mark.parametrize(
    ("words", "question"),
    [
        ("--batchsize 4", "; did you mean --batch_size?"),
        ("--outputdir=x --sed 1", "; did you mean --output_dir, --seed?"),
        ("--zzz 1", ""),
    ],
)
def test_an_option_that_is_nearly_right_is_told(words, question, capsys):
    with pytest.raises(SystemExit):
        parse_config(words.split())
    assert capsys.readouterr().err.endswith(f"unrecognized arguments: {words}{question}\n")


def test_dashes_in_an_option_are_underscores_but_not_in_its_value():
    config, dry_run = parse_config(["--batch-size=4", "--output-dir", "a-b_c", "--recipe", "paper", "--dry_run"])
    assert (config.batch_size, config.output_dir) == (4, "a-b_c") and dry_run


def test_a_field_of_a_file_that_is_nearly_right_is_told(tmp_path):
    (tmp_path / "run.json").write_text('{"batchsize": 4}')
    with pytest.raises(ValueError, match=r"run.json: unknown field batchsize; did you mean batch_size\?$"):
        parse_config(["--config", str(tmp_path / "run.json")])


def test_help_says_of_each_field_what_its_comment_says(capsys, monkeypatch):
    comments = field_comments(TrainConfig)
    assert comments.keys() == {field.name for field in dataclasses.fields(TrainConfig)}
    assert all(explained for _, explained in comments.values())
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as caught:
        parse_config(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) < 120
    places = [shown.index(f"\n{name}:\n") for name in ("data", "networks", "damage", "losses", "schedule", "run")]
    assert places == sorted(places) and "--framing_jitter" in shown[places[2] : places[3]]
    words = " ".join(shown.split())
    for told in (
        "--image_column str column of the pictures; \"\" = the only image column (default: '')",  # behind
        "--framing_jitter float how far seven in ten faces may be off their framing: 1 = 18 % in size",  # above
        "0 = plain mean over all pixels (default: 6.0)",  # in brackets
        "--in_memory [bool] decode every picture once, into memory, in each process: image_size^2 * 3 bytes each",
        "-1 = 0 on a CPU, and up to 8 for each GPU, as many as there are cores (default: -1)",  # two lines
    ):
        assert told in words


def test_a_program_without_its_source_lists_the_fields_all_the_same(capsys, monkeypatch):
    def lost(_: type) -> str:
        raise OSError("could not get source code")

    monkeypatch.setattr("inspect.getsource", lost)
    with pytest.raises(SystemExit):
        parse_config(["--help"])
    assert "--batch_size int" in (shown := capsys.readouterr().out) and "(default: 16)" in shown


def test_the_window_is_half_the_image_unless_given():
    assert TrainConfig(image_size=64).window == 32
    assert TrainConfig(image_size=64, local_size=24).window == 24


@pytest.mark.parametrize("patch", [1, 2, 3])
def test_sizes_are_refused_with_bf16_where_a_critic_would_read_a_single_cell_and_nowhere_else(patch):
    """Of those convolutions oneDNN leaves the weights' gradient in bfloat16 unwritten."""
    sides: list[int] = []
    with torch.device("meta"):
        critics = NGANDiscriminators(width=1, embedding=1, patch=patch)
        for critic in (critics.code, critics.global_, critics.local):
            for conv in critic.convs:
                conv.register_forward_pre_hook(lambda _, given: sides.append(given[0].shape[-1]))
        for size in range(16, 65, 8):
            for local in (0, 8, 16, 24, 28):
                sizes = {"image_size": size, "local_size": min(local, size), "discriminator_patch": patch}
                window = TrainConfig(**sizes, mixed_precision="no").window
                sides.clear()
                critics(*(torch.empty(1, 3, side, side) for side in (size, size, window)))
                if min(sides) > 1:
                    TrainConfig(**sizes)
                else:
                    with pytest.raises(ValueError, match="mixed_precision no instead of bf16"):
                        TrainConfig(**sizes)
