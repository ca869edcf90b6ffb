"""`NGAN.from_pretrained` from a Hub: the real client over HTTP against a stand-in on loopback."""

import json

import pytest
import torch
from fake_hub import TOKEN
from huggingface_hub import ModelCard, constants
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError
from safetensors.torch import load_file, save_file

from ngan.__main__ import main
from ngan.hub import split_revision
from ngan.inference import Inpainter
from ngan.model import NGAN, NGANDiscriminators
from ngan.onnx_model import OnnxNGAN, export_onnx

NAME = "org/ngan-tiny"
TINY = {"code_width": 8, "image_width": 8, "blocks": 1, "attention_every": 0, "image_size": 32}


def saved(tmp_path, seed=0):
    """Make a tiny NGAN; return it with the files of its folder."""
    torch.manual_seed(seed)
    model = NGAN(**TINY).eval()
    model.save_pretrained(tmp_path / f"model{seed}")
    return model, {path.name: path.read_bytes() for path in (tmp_path / f"model{seed}").iterdir()}


def same(a, b):
    theirs = b.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in a.state_dict().items())


def test_named_model_is_downloaded_once(hub, tmp_path):
    model, files = saved(tmp_path)
    hub.put(NAME, files)
    assert same(NGAN.from_pretrained(NAME), model)
    downloads = [path for method, path, _ in hub.calls if method == "GET" and "resolve" in path]
    assert same(NGAN.from_pretrained(NAME), model)
    assert [path for method, path, _ in hub.calls if method == "GET" and "resolve" in path] == downloads


def test_revision_picks_a_commit(hub, tmp_path):
    (first, files), (second, others) = saved(tmp_path, 0), saved(tmp_path, 1)
    commit = hub.put(NAME, files)
    hub.put(NAME, others)
    assert same(NGAN.from_pretrained(NAME), second)
    assert same(NGAN.from_pretrained(NAME, revision=commit), first)
    with pytest.raises(RevisionNotFoundError, match=NAME):
        NGAN.from_pretrained(NAME, revision="v9")


def test_cache_serves_without_a_hub(hub, tmp_path, monkeypatch):
    model, files = saved(tmp_path)
    hub.put(NAME, files)
    NGAN.from_pretrained(NAME, cache_dir=tmp_path / "elsewhere")
    calls = len(hub.calls)
    kept = NGAN.from_pretrained(NAME, cache_dir=tmp_path / "elsewhere", local_files_only=True)
    assert same(kept, model) and len(hub.calls) == calls
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert same(NGAN.from_pretrained(NAME, cache_dir=tmp_path / "elsewhere"), model)
    with pytest.raises(LocalEntryNotFoundError):
        NGAN.from_pretrained(NAME)  # the default cache never saw it


def test_hub_that_does_not_answer_is_met_from_the_cache(hub, tmp_path):
    model, files = saved(tmp_path)
    hub.put(NAME, files)
    NGAN.from_pretrained(NAME)
    hub.server.shutdown()
    hub.server.server_close()
    assert same(NGAN.from_pretrained(NAME), model)


def test_private_model_needs_a_token(hub, tmp_path):
    model, files = saved(tmp_path)
    hub.put(NAME, files, private=True)
    with pytest.raises(RepositoryNotFoundError, match=NAME):
        NGAN.from_pretrained(NAME)
    assert same(NGAN.from_pretrained(NAME, token=TOKEN), model)


def test_unknown_model_is_named(hub):
    with pytest.raises(RepositoryNotFoundError, match="org/none"):
        NGAN.from_pretrained("org/none", token=TOKEN)


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_a_mistyped_folder_is_not_only_looked_for_on_the_hub(hub, monkeypatch, backend):
    pytest.importorskip("onnxruntime")
    with pytest.raises(
        FileNotFoundError, match="nothere: no such folder, and not a Hub id, which reads organisation/"
    ):
        Inpainter("nothere", backend=backend)
    assert not hub.calls  # which are tried again and again where there is no network
    with pytest.raises(RepositoryNotFoundError, match=r"And no folder runs/nothere is here\."):
        Inpainter("runs/nothere@v1", backend=backend)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(LocalEntryNotFoundError, match=r"And no folder runs/nothere is here\."):
        Inpainter("runs/nothere", backend=backend)


def test_repository_of_something_else_is_refused(hub, tmp_path):
    hub.put(NAME, {"README.md": b"a data set"})
    with pytest.raises(FileNotFoundError, match=f"{NAME} on the Hub holds no config.json"):
        NGAN.from_pretrained(NAME)
    hub.put(NAME, {"config.json": json.dumps({"hidden_size": 768}).encode(), "model.safetensors": b""})
    with pytest.raises(ValueError, match="hidden_size"):
        NGAN.from_pretrained(NAME)


def test_critics_are_not_generators(hub, tmp_path):
    NGANDiscriminators(width=4, embedding=8).save_pretrained(tmp_path / "critics")
    hub.put(NAME, {path.name: path.read_bytes() for path in (tmp_path / "critics").iterdir()})
    with pytest.raises(ValueError, match="does not fit NGAN"):
        NGAN.from_pretrained(NAME)


def test_truncated_weights_are_refused(hub, tmp_path):
    _, files = saved(tmp_path)
    hub.put(NAME, {**files, "model.safetensors": files["model.safetensors"][:-1000]})
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        NGAN.from_pretrained(NAME)


def test_renamed_weights_are_refused_by_name(hub, tmp_path):
    _, files = saved(tmp_path)
    weights = load_file(tmp_path / "model0" / "model.safetensors")
    weights["image_generator.extra"] = weights.pop("image_generator.head.bias")
    save_file(weights, tmp_path / "tampered.safetensors")
    hub.put(NAME, {**files, "model.safetensors": (tmp_path / "tampered.safetensors").read_bytes()})
    with pytest.raises(ValueError, match="missing: image_generator.head.bias; unexpected: image_generator.extra"):
        NGAN.from_pretrained(NAME)


ABSURD = [("blocks", -1), ("blocks", 10**6), ("blocks", 2.5), ("code_width", 0), ("code_width", "many")]


@pytest.mark.parametrize("field, value", ABSURD)
def test_absurd_configuration_is_refused_by_name(hub, tmp_path, field, value):
    _, files = saved(tmp_path)
    config = {**json.loads(files["config.json"]), field: value}
    hub.put(NAME, {**files, "config.json": json.dumps(config).encode()})
    with pytest.raises(ValueError, match=f"{NAME}/config.json does not fit NGAN: {field}={value!r}: must be"):
        NGAN.from_pretrained(NAME)


def test_configuration_of_a_monstrous_model_takes_no_memory(hub, tmp_path):
    _, files = saved(tmp_path)
    config = {**json.loads(files["config.json"]), "image_width": 4096}  # 19 GB a convolution at its deepest grid
    hub.put(NAME, {**files, "config.json": json.dumps(config).encode()})
    with pytest.raises(ValueError, match="of another shape: image_generator"):
        NGAN.from_pretrained(NAME)


def test_weights_that_are_not_numbers_are_refused_by_name(hub, tmp_path):
    _, files = saved(tmp_path)
    weights = load_file(tmp_path / "model0" / "model.safetensors")
    weights["image_generator.head.bias"][0] = float("nan")
    save_file(weights, tmp_path / "tampered.safetensors")
    hub.put(NAME, {**files, "model.safetensors": (tmp_path / "tampered.safetensors").read_bytes()})
    with pytest.raises(ValueError, match="not finite: image_generator.head.bias"):
        NGAN.from_pretrained(NAME)


def test_inpainter_takes_a_hub_id(hub, tmp_path):
    model, files = saved(tmp_path)
    hub.put(NAME, files)
    assert same(Inpainter(NAME).model, model)


def test_a_revision_is_what_follows_the_at_sign_unless_a_file_is_called_so(tmp_path):
    assert split_revision("org/name") == ("org/name", None)
    assert split_revision("org/name@v1.0") == ("org/name", "v1.0")
    (tmp_path / "old@home").mkdir()
    assert split_revision(f"{tmp_path}/old@home") == (f"{tmp_path}/old@home", None)


def test_a_revision_may_hold_slashes(hub, tmp_path):
    hub.put(NAME, saved(tmp_path)[1])
    with pytest.raises(RevisionNotFoundError):  # asked for at the Hub, and not taken for a folder
        NGAN.from_pretrained(f"{NAME}@refs/pr/1")


def test_an_exported_file_comes_from_the_revision_that_is_named(hub, tmp_path):
    content = export_onnx(saved(tmp_path)[0])
    commit = hub.put(NAME, {"model.onnx": content})
    hub.put(NAME, {"model.onnx": b"of another day"})
    assert OnnxNGAN(f"{NAME}@{commit}").image_size == TINY["image_size"]
    with pytest.raises(ValueError, match=f"{NAME} is not an ONNX file"):
        OnnxNGAN(NAME)


def test_an_exported_file_is_compared_with_the_weights_that_are_in_the_cache_and_no_others(hub, tmp_path, caplog):
    files, content = saved(tmp_path, 0)[1], export_onnx(saved(tmp_path, 1)[0])
    hub.put(NAME, {**files, "model.onnx": content})
    caplog.clear()  # of what the export wrote
    OnnxNGAN(NAME)
    assert not caplog.messages and not any("model.safetensors" in path for _, path, _ in hub.calls)
    NGAN.from_pretrained(NAME)
    OnnxNGAN(NAME)
    told = f"{NAME}: model.onnx was exported from other weights than model.safetensors; export it anew"
    assert caplog.messages == [told]


def test_a_hub_that_holds_no_exported_file_is_told_from_one_that_does_not_answer(hub, tmp_path, monkeypatch):
    hub.put(NAME, saved(tmp_path)[1])
    with pytest.raises(FileNotFoundError, match=f"{NAME} on the Hub holds no model.onnx"):
        OnnxNGAN(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(LocalEntryNotFoundError):
        OnnxNGAN(NAME)


CARD = b"""---
model-index:
- name: x
  results:
  - task: {type: image-to-image}
    dataset: {name: faces, type: faces}
    metrics: [{type: psnr, value: 24.5}]
---
"""


def test_info_reads_the_card_of_the_revision_that_is_named(hub, tmp_path, capsys):
    files = saved(tmp_path)[1]
    commit = hub.put(NAME, {**files, "README.md": CARD})
    hub.put(NAME, {"README.md": b"# without figures"})
    for source, words in ((f"{NAME}@{commit}", "faces: psnr 24.5"), (NAME, "its card holds no figures")):
        assert main(["info", "--model", source]) == 0
        assert words in capsys.readouterr().out


def test_info_does_not_say_of_a_card_out_of_reach_that_it_holds_nothing(hub, tmp_path, monkeypatch, capsys):
    hub.put(NAME, {**saved(tmp_path)[1], "README.md": CARD})
    NGAN.from_pretrained(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["info", "--model", NAME, "--json", str(tmp_path / "info.json")]) == 0
    assert "its card could not be read: the Hub does not answer" in capsys.readouterr().out
    assert json.loads((tmp_path / "info.json").read_text())["figures"] is None


def test_weights_that_overflow_float32_are_refused_by_name(tmp_path):
    saved(tmp_path)
    file = tmp_path / "model0" / "model.safetensors"
    weights = load_file(file)
    weights["image_generator.head.bias"] = torch.full((3,), 1e300, dtype=torch.float64)
    save_file(weights, file)
    with pytest.raises(ValueError, match="not finite: image_generator.head.bias"):
        NGAN.from_pretrained(tmp_path / "model0")


@pytest.mark.parametrize("device", ["cpu", "cpu:0", None, torch.device("cpu")])
def test_weights_are_put_where_they_are_asked_for(tmp_path, device):
    model, _ = saved(tmp_path)
    again = NGAN.from_pretrained(tmp_path / "model0", map_location=device, subfolder=None)
    assert same(model, again) and {p.device.type for p in again.parameters()} == {"cpu"}


@pytest.mark.parametrize("device", ["meta", "nowhere", torch.device("meta")])
def test_a_device_that_is_not_there_is_named(tmp_path, device):
    saved(tmp_path)
    with pytest.raises(ValueError, match=f"^map_location='{device}': not a device of this machine$"):
        NGAN.from_pretrained(tmp_path / "model0", map_location=device)


def test_a_push_from_code_keeps_the_card_that_is_there(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    model, files = saved(tmp_path)
    card = b"---\nlicense: mit\n---\n# Edited by people\n"
    hub.put(NAME, {**files, "README.md": card})
    changed, _ = saved(tmp_path, seed=1)
    changed.push_to_hub(NAME)
    assert same(changed, NGAN.from_pretrained(NAME)) and hub.read(NAME, "README.md") == card
    model.push_to_hub("org/new")
    assert same(model, NGAN.from_pretrained("org/new")) and b"NGAN" in hub.read("org/new", "README.md")


@pytest.mark.parametrize("card", ["", "---\nlicense: other\nlicense_name: ours\n---\n# Mine\n"])
def test_a_saved_copy_has_the_license_of_its_original_and_a_new_model_none(tmp_path, card):
    model, _ = saved(tmp_path)
    assert ModelCard.load(tmp_path / "model0" / "README.md").data.license is None
    (tmp_path / "model0" / "README.md").write_text(card)
    NGAN.from_pretrained(tmp_path / "model0").save_pretrained(tmp_path / "copy")
    data = ModelCard.load(tmp_path / "copy" / "README.md").data
    assert (data.license, data.get("license_name")) == (("other", "ours") if card else (None, None))


@pytest.mark.parametrize("card", [True, False])
def test_a_copy_of_a_model_on_the_hub_has_its_license_too(hub, tmp_path, card):
    _, files = saved(tmp_path)
    files["README.md"] = b"---\nlicense: other\nlicense_name: ours\n---\n# Mine\n"
    hub.put(NAME, files if card else {name: data for name, data in files.items() if name != "README.md"})
    model = NGAN.from_pretrained(f"{NAME}@main")
    assert not any("README" in path for _, path, _ in hub.calls)  # who fills faces alone need not wait for it
    model.save_pretrained(tmp_path / "copy")
    data = ModelCard.load(tmp_path / "copy" / "README.md").data
    assert (data.license, data.get("license_name")) == (("other", "ours") if card else (None, None))
