"""Checkpoints: all of the state, complete or absent, and damaged ones passed over by name."""

import dataclasses
import errno
import json
import resource

import pytest
import torch
from conftest import TINY

import ngan.disk
from ngan.average import EMA
from ngan.checkpoint import (
    Counters,
    check_finite,
    is_resumed,
    list_checkpoints,
    resume,
    save_checkpoint,
    set_aside_later,
)
from ngan.draws import Batch
from ngan.start import make_networks
from ngan.training import Networks, make_optimizers, train_step


class State:
    """Networks, optimizers and average after some updates on one batch."""

    def __init__(self, images: torch.Tensor, masks: torch.Tensor, seed: int = 0, updates: int = 0) -> None:
        config = dataclasses.replace(TINY, seed=seed)
        self.config, self.batch = config, Batch(images, images * (1 - masks), masks, hidden=False)
        self.networks = Networks(*make_networks(config))
        self.optimizers = make_optimizers(self.networks, config)
        self.average = EMA(self.networks.generators, 100)
        self.counters = Counters()
        for _ in range(updates):
            self.update()

    def update(self) -> None:
        step = self.counters.step
        train_step(self.networks, self.optimizers, self.batch, self.config, step, lambda loss: loss.backward())
        self.average.update(self.networks.generators, 2, 1000)
        self.counters.step += 1

    def save(self, folder, keep=5):
        parts = (self.networks, self.optimizers, self.average, self.counters)
        return save_checkpoint(folder, *parts, dataclasses.asdict(self.config), keep)

    def resume(self, folder, which="latest", **changes):
        config = dataclasses.asdict(dataclasses.replace(self.config, **changes))
        self.counters = resume(folder, which, self.networks, self.optimizers, self.average, config)

    def tensors(self) -> dict[str, torch.Tensor]:
        found = {f"g.{k}": v for k, v in self.networks.generators.state_dict().items()}
        found |= {f"d.{k}": v for k, v in self.networks.discriminators.state_dict().items()}
        return found | {f"average.{k}": v for k, v in self.average.average.items()}


def assert_same(a: State, b: State) -> None:
    ours, theirs = a.tensors(), b.tensors()
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_a_resumed_run_ends_with_the_very_weights_of_the_uninterrupted_one(tmp_path, batch):
    straight = State(*batch, updates=5)
    first = State(*batch, updates=3)
    folder = first.save(tmp_path)
    second = State(*batch, seed=1)
    second.resume(tmp_path)
    assert folder.name == "checkpoint-0000003" and second.counters == Counters(step=3)
    assert_same(first, second)
    second.update()
    second.update()
    assert_same(straight, second)


def test_a_checkpoint_holds_exactly_its_files_and_no_pickle(tmp_path, batch):
    folder = State(*batch, updates=1).save(tmp_path)
    weights = ("average", "discriminators", "discriminators_adam", "generators", "generators_adam")
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [*(f"{name}.safetensors" for name in weights), "state.json"]
    )
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]


def test_only_the_newest_stay(tmp_path, batch):
    state = State(*batch)
    for _ in range(4):
        state.update()
        state.save(tmp_path, keep=2)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["checkpoint-0000003", "checkpoint-0000004"]


def test_ten_million_updates_come_after_one_less(tmp_path, batch):
    state = State(*batch)
    for state.counters.step in (9_999_998, 9_999_999, 10_000_000):
        state.save(tmp_path, keep=2)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["checkpoint-9999999", "checkpoint-10000000"]
    state.resume(tmp_path)
    assert state.counters.step == 10_000_000


def test_one_written_after_a_resume_from_an_earlier_one_stays(tmp_path, batch):
    state = State(*batch)
    for _ in range(3):
        state.update()
        state.save(tmp_path)
    state.resume(tmp_path, "checkpoint-0000001")
    state.counters.step = 0  # lower than all that are there
    assert state.save(tmp_path, keep=2).is_dir()
    assert [p.name for p in list_checkpoints(tmp_path)] == [f"checkpoint-000000{i}" for i in (0, 2, 3)]


def test_after_a_resume_from_an_earlier_one_the_later_ones_are_kept_but_never_the_latest(tmp_path, batch):
    state = State(*batch)
    for _ in range(3):
        state.update()
        state.save(tmp_path)
    (tmp_path / "checkpoint-0000003-abandoned").mkdir()
    assert [path.name for path in set_aside_later(tmp_path, 1)] == [
        "checkpoint-0000002-abandoned",
        "checkpoint-0000003-abandoned-2",
    ]
    state.resume(tmp_path)
    assert state.counters.step == 1 and len(list(tmp_path.iterdir())) == 4
    assert set_aside_later(tmp_path, 1) == []


@pytest.mark.filterwarnings("ignore:.*which is a no-op")
def test_the_optimizers_states_are_restored_beside_their_parameters(tmp_path, batch):
    state = State(*batch, updates=1)
    state.save(tmp_path)
    state.networks = Networks(*(module.to("meta") for module in make_networks(state.config)))
    state.optimizers = make_optimizers(state.networks, state.config)
    state.resume(tmp_path)
    for optimizer in (state.optimizers.generators, state.optimizers.discriminators):
        assert {value.device.type for own in optimizer.state.values() for value in own.values()} == {"meta"}


@pytest.mark.parametrize("bytes_free", [0, 20_000])
def test_a_full_disk_leaves_the_earlier_checkpoint_and_no_rest(tmp_path, batch, bytes_free):
    state = State(*batch, updates=1)
    state.save(tmp_path, keep=1)
    state.update()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_free, hard))  # of each file: the kernel refuses to write more
    try:
        with pytest.raises(OSError, match=r"File too large: '.*\.safetensors'") as caught:
            state.save(tmp_path, keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-0000001"]
    State(*batch).resume(tmp_path)


def test_every_file_is_on_the_disk_before_the_checkpoint_has_its_name(tmp_path, batch, monkeypatch):
    flushed = []
    monkeypatch.setattr(ngan.disk, "_flush", lambda path: flushed.append((path, (tmp_path / final).exists())))
    final = "checkpoint-0000001"
    folder = State(*batch, updates=1).save(tmp_path)
    before = {path.name for path, named in flushed if not named}
    assert before == {final, *(path.name for path in folder.iterdir())}  # the folder itself too
    assert [path for path, named in flushed if named] == [tmp_path]


def test_weights_that_are_not_finite_are_refused_by_name(batch):
    state = State(*batch)
    check_finite(state.networks, 7)
    state.networks.discriminators.state_dict()["joint.classify.bias"].fill_(torch.nan)
    with pytest.raises(
        FloatingPointError, match="joint.classify.bias is not finite after step 7: lower the learning rate"
    ):
        check_finite(state.networks, 7)


def test_other_settings_are_named_when_a_run_goes_on(tmp_path, batch, caplog):
    State(*batch, updates=1).save(tmp_path)
    State(*batch).resume(tmp_path, num_workers=3, log_every=7, max_train_minutes=2.0)
    assert not caplog.text
    State(*batch).resume(tmp_path, batch_size=8, distance="mse")
    assert "checkpoint-0000001 was made with other settings" in caplog.text
    assert "distance 'l1' -> 'mse', batch_size 2 -> 8" in caplog.text


@pytest.mark.parametrize("damaged", ["generators.safetensors", "generators_adam.safetensors", "state.json"])
def test_latest_passes_over_a_damaged_checkpoint_and_names_it(tmp_path, batch, damaged, caplog):
    state = State(*batch, updates=1)
    state.save(tmp_path)
    state.update()
    newest = state.save(tmp_path)
    path = newest / damaged
    path.write_bytes(path.read_bytes()[:100] + bytes([255]))
    other = State(*batch, seed=1)
    other.resume(tmp_path)
    assert other.counters.step == 1
    assert f"{newest} is damaged" in caplog.text


@pytest.mark.parametrize("damaged", ["average.safetensors", "discriminators_adam.safetensors"])
def test_a_file_of_the_right_length_that_is_not_as_it_was_written_is_damage_too(tmp_path, batch, damaged, caplog):
    state = State(*batch, updates=1)
    state.save(tmp_path)
    state.update()
    path = state.save(tmp_path) / damaged
    content = path.read_bytes()
    path.write_bytes(content[:-200] + bytes(200))  # as a power failure leaves what had not reached the disk
    other = State(*batch, seed=1)
    other.resume(tmp_path)
    assert other.counters.step == 1
    assert f"{path.parent} is damaged: {damaged}: not as it was written" in caplog.text


def test_a_checkpoint_of_before_there_were_sums_and_later_counters_goes_on(tmp_path, batch):
    path = State(*batch, updates=1).save(tmp_path) / "state.json"
    state = json.loads(path.read_text())
    assert len(state.pop("sha256")) == 5
    state["counters"] = {name: state["counters"][name] for name in ("step", "images_seen", "minutes")}
    path.write_text(json.dumps(state))
    other = State(*batch)
    other.resume(tmp_path)
    assert other.counters == Counters(step=1)


def test_a_checkpoint_is_as_readable_as_the_umask_says(tmp_path, batch):
    folder = State(*batch, updates=1).save(tmp_path)
    (tmp_path / "plain").touch()
    assert {path.stat().st_mode for path in folder.iterdir()} == {(tmp_path / "plain").stat().st_mode}


def test_a_missing_file_is_a_damaged_checkpoint_that_changes_nothing(tmp_path, batch):
    folder = State(*batch, updates=1).save(tmp_path)
    (folder / "average.safetensors").unlink()
    other, untouched = State(*batch, seed=1), State(*batch, seed=1)
    with pytest.raises(ValueError, match="checkpoint-0000001 is damaged"):
        other.resume(tmp_path, "checkpoint-0000001")
    with pytest.raises(ValueError, match="none of 1 checkpoints fits"):
        other.resume(tmp_path)
    assert_same(other, untouched)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"blocks": 3}, r"has blocks=\d, this run blocks=3; give --blocks \d to go on from it, or another output_dir"),
        ({"lambda_projected": 0.5}, "has lambda_projected=0.0, this run lambda_projected=0.5; give --lambda_proj"),
    ],
)
def test_a_checkpoint_of_other_networks_is_refused_by_its_settings(tmp_path, batch, changes, told):
    State(*batch, updates=1).save(tmp_path)
    with pytest.raises(ValueError, match=f"checkpoint-0000001 is of other networks: it {told}"):
        State(*batch).resume(tmp_path, "checkpoint-0000001", **changes)


def test_without_settings_a_checkpoint_of_other_networks_is_refused_by_its_weights(tmp_path, batch):
    State(*batch, updates=1).save(tmp_path)
    config = dataclasses.replace(TINY, blocks=3)
    networks = Networks(*make_networks(config))
    with pytest.raises(ValueError, match=r"does not fit NGAN; weights missing: image_generator\.core\.3"):
        resume(
            tmp_path, "checkpoint-0000001", networks, make_optimizers(networks, config), EMA(networks.generators, 1)
        )


def test_latest_of_nothing_is_a_fresh_start_and_a_named_one_must_exist(tmp_path, batch):
    state = State(*batch)
    state.resume(tmp_path)
    assert state.counters == Counters()
    asked = ("", "latest", "checkpoint-0000009")
    assert [is_resumed(tmp_path, which) for which in asked] == [False, False, True]
    (tmp_path / "checkpoint-0000003").mkdir()
    assert [is_resumed(tmp_path, which) for which in asked] == [False, True, True]
    with pytest.raises(ValueError, match="'checkpoint-0000009': no such folder"):
        state.resume(tmp_path, "checkpoint-0000009")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"optimizer": "adam"}, "optimizer 'muon' -> 'adam'"),
        ({"discriminator_optimizer": "muon"}, "discriminator_optimizer 'adam' -> 'muon'"),
    ],
)
def test_another_optimizer_goes_on_without_the_moments_of_the_one_before(tmp_path, batch, caplog, change, told):
    State(*batch, updates=2).save(tmp_path)
    other = State(*batch)
    other.config = dataclasses.replace(other.config, **change)
    other.optimizers = make_optimizers(other.networks, other.config)
    other.resume(tmp_path)
    assert told in caplog.text
    other.update()
    assert other.counters.step == 3
