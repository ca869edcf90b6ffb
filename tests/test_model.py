import json
import shutil

import httpx
import pytest
import torch
from huggingface_hub.errors import RemoteEntryNotFoundError
from safetensors.torch import load_file, save_file

from ngan.model import NGAN, NGANDiscriminators
from ngan.strict import check_weights

FILES = {"README.md", "config.json", "model.safetensors"}


@pytest.fixture
def saved(tiny_nets, tmp_path):
    tiny_nets[0].save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def rewrite(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize("height, width", [(32, 32), (33, 47)])
@pytest.mark.parametrize("masked", [True, False])
def test_any_size_and_patch(patch, height, width, masked):
    torch.manual_seed(0)
    net = NGAN(code_width=4, image_width=4, patch=patch, blocks=1, attention_every=1)
    image = 2 * torch.rand(2, 3, height, width) - 1
    mask = (torch.rand(2, 1, height, width) < 0.3).float() if masked else None
    output = net(image, mask)
    for name in ("code_image", "image", "composite"):
        assert getattr(output, name).shape == image.shape, name
        assert getattr(output, name).isfinite().all(), name
    assert output.location.shape == (2, 1, height, width)


def test_known_pixels_of_the_composite_are_bit_equal(tiny_nets, batch):
    image, mask = batch
    known = (mask == 0).expand_as(image)
    output = tiny_nets[0](image, mask)
    assert torch.equal(output.composite[known], image[known])
    assert torch.equal(output.composite[~known], output.image[~known])
    assert not torch.equal(output.image[known], image[known])


def test_what_lies_under_the_mask_makes_no_difference(tiny_nets, batch):
    image, mask = batch
    other = image * (1 - mask) + 0.7 * mask
    assert torch.equal(tiny_nets[0](image, mask).composite, tiny_nets[0](other, mask).composite)


def test_without_a_mask_the_found_location_takes_its_place(tiny_nets, batch):
    image, _ = batch
    output = tiny_nets[0](image)
    found = output.location.sigmoid()
    assert torch.allclose(output.composite, image * (1 - found) + output.image * found, atol=1e-6)


def test_every_parameter_receives_a_finite_gradient(tiny_nets, batch):
    image, mask = batch
    net, _ = tiny_nets
    output = net(image, mask)
    sum(t.sum() for t in (output.code_image, output.location, output.image, output.composite)).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        if parameter.ndim > 1:
            assert parameter.grad.abs().sum() > 0, name


def test_centre_of_a_hole_of_half_the_side_sees_known_pixels():
    torch.manual_seed(0)
    net = NGAN(code_width=8, image_width=8, blocks=2, attention_every=2)
    image = (2 * torch.rand(1, 3, 128, 128) - 1).requires_grad_()
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., 32:96, 32:96] = 1
    output = net(image, mask)
    for stage in (output.code_image, output.image):
        (gradient,) = torch.autograd.grad(stage[..., 64, 64].sum(), image, retain_graph=True)
        assert (gradient * (1 - mask)).abs().sum() > 0
        assert (gradient * mask).abs().sum() == 0


@pytest.mark.parametrize(
    "image_shape, mask_shape, message",
    [
        ((2, 32, 32), None, r"image: shape \(2, 32, 32\)"),
        ((2, 1, 32, 32), None, r"image: shape \(2, 1, 32, 32\)"),
        ((2, 3, 0, 32), None, "without an empty side"),
        ((2, 3, 32, 32), (2, 1, 32, 31), r"mask: shape \(2, 1, 32, 31\), expected \(2, 1, 32, 32\)"),
        ((2, 3, 32, 32), (1, 1, 32, 32), r"mask: shape \(1, 1, 32, 32\)"),
        ((2, 3, 32, 32), (2, 3, 32, 32), r"mask: shape \(2, 3, 32, 32\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(tiny_nets, image_shape, mask_shape, message):
    with pytest.raises(ValueError, match=message):
        tiny_nets[0](torch.zeros(image_shape), None if mask_shape is None else torch.zeros(mask_shape))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"code_width": 0}, "code_width=0: must be an integer from 1 to 4096"),
        ({"image_width": 8.0}, "image_width=8.0"),
        ({"patch": True}, "patch=True"),
        ({"patch": 1000, "image_size": 32}, "patch=1000: must be an integer from 1 to 256"),
        ({"blocks": -1}, "blocks=-1"),
        ({"attention_every": "4"}, "attention_every='4'"),
        ({"image_size": 7}, "image_size=7: must be an integer from 8 to 1024"),
        ({"image_size": 1032}, "image_size=1032: must be an integer from 8 to 1024"),
        ({"dilations": [1, 2, 4]}, r"dilations=\[1, 2, 4\]: .* five"),
        ({"dilations": [1, 2, 4, 0, 1]}, "dilations=0"),
        ({"image_width": 25}, "image_width=25"),
    ],
)
def test_impossible_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        NGAN(**arguments)


@pytest.mark.parametrize("arguments", [{"width": 0}, {"embedding": 0}, {"patch": 0}])
def test_impossible_arguments_of_the_critics_are_named(arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))}=0"):
        NGANDiscriminators(**arguments)


@pytest.mark.parametrize("which", [0, 1])
def test_round_trip_gives_equal_outputs(tiny_nets, batch, tmp_path, which):
    net, (image, mask) = tiny_nets[which], batch
    net.save_pretrained(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == FILES
    loaded = type(net).from_pretrained(tmp_path / "model")
    assert not loaded.training
    if which == 0:
        assert torch.equal(loaded(image, mask).composite, net(image, mask).composite)
        assert torch.equal(loaded(image).composite, net(image).composite)
    else:
        logits = [critics(image, image, image)["joint"].logits for critics in (net, loaded)]
        assert torch.equal(*logits)


def test_config_holds_every_argument_and_the_card_its_data(saved):
    config = json.loads((saved / "config.json").read_text())
    assert config == {
        "code_width": 8,
        "image_width": 8,
        "patch": 2,
        "dilations": None,
        "blocks": 2,
        "attention_every": 2,
        "image_size": 32,
    }
    card = (saved / "README.md").read_text()
    assert "library_name: ngan" in card and "pipeline_tag: image-to-image" in card and "{" not in card


def test_dilations_survive_the_round_trip(tmp_path):
    NGAN(code_width=4, image_width=4, blocks=0, dilations=[1, 1, 2, 3, 5]).save_pretrained(tmp_path)
    loaded = NGAN.from_pretrained(tmp_path)
    assert [block.conv.dilation[0] for block in loaded.code_generator.dilated] == [1, 1, 2, 3, 5]


def test_weights_that_do_not_fit_are_refused_by_name(saved):
    def spoil(weights):
        del weights["code_generator.stem.bias"]
        weights["surplus.weight"] = torch.zeros(1)
        weights["image_generator.head.bias"] = torch.zeros(5)

    rewrite(saved, spoil)
    with pytest.raises(ValueError) as caught:
        NGAN.from_pretrained(saved)
    message = str(caught.value)
    assert "missing: code_generator.stem.bias" in message
    assert "unexpected: surplus.weight" in message
    assert "of another shape: image_generator.head.bias (5,) instead of (12,)" in message


def test_of_many_weights_that_do_not_fit_the_first_are_named_and_the_others_counted(tiny_nets):
    net = tiny_nets[0]
    names = sorted(net.state_dict())
    with pytest.raises(ValueError) as caught:
        check_weights(net, {f"other.{name}": tensor for name, tensor in net.state_dict().items()}, "here")
    message = str(caught.value)
    for what, first in (("missing", names[0]), ("unexpected", f"other.{names[0]}")):
        assert f"{what}: {first}, " in message
    assert message.count(f" and {len(names) - 4} more") == 2 and len(message) < 500


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "complex64", "float8_e4m3fn", "float8_e5m2", "uint16"])
def test_weights_of_another_type_are_refused_by_name(saved, dtype):
    name = "image_generator.head.bias"
    rewrite(saved, lambda weights: weights.update({name: weights[name].float().to(getattr(torch, dtype))}))
    with pytest.raises(ValueError, match=f"weights of another type: {name} {dtype}$"):
        NGAN.from_pretrained(saved)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_weights_of_floating_point_load_into_float32(saved, dtype):
    rewrite(saved, lambda weights: weights.update({name: tensor.to(dtype) for name, tensor in weights.items()}))
    assert {parameter.dtype for parameter in NGAN.from_pretrained(saved).parameters()} == {torch.float32}


def test_fitting_weights_pass_the_check(tiny_nets):
    assert check_weights(tiny_nets[0], tiny_nets[0].state_dict(), "here") is None


def test_half_precision_weights_load_into_float32(saved, tiny_nets, batch):
    rewrite(saved, lambda weights: weights.update({name: tensor.half() for name, tensor in weights.items()}))
    loaded = NGAN.from_pretrained(saved)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    image, mask = batch
    assert torch.allclose(loaded(image, mask).composite, tiny_nets[0](image, mask).composite, atol=0.02)


def test_missing_config_is_refused_by_name(saved):
    (saved / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="holds no config.json"):
        NGAN.from_pretrained(saved)


def test_the_folder_of_a_run_and_its_checkpoints_point_to_its_model(saved, tmp_path):
    run = tmp_path / "run"
    checkpoint = run / "checkpoint-0000010"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"written by NGAN.save_pretrained$"):
        NGAN.from_pretrained(checkpoint)
    shutil.copytree(saved, run / "model")
    for folder in (run, checkpoint):
        with pytest.raises(FileNotFoundError, match=f"; the model of this run is {run / 'model'}$"):
            NGAN.from_pretrained(folder)


def test_unknown_config_key_is_refused_by_name(saved):
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**config, "depth": 3}))
    with pytest.raises(ValueError, match="config.json does not fit NGAN: .*'depth'"):
        NGAN.from_pretrained(saved)


def test_bad_value_in_the_config_is_refused_by_name(saved):
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**config, "blocks": -2}))
    with pytest.raises(ValueError, match="blocks=-2"):
        NGAN.from_pretrained(saved)


def test_the_folder_of_a_run_is_refused_with_the_place_of_its_model(saved):
    (saved / "model").mkdir()
    (saved / "config.json").rename(saved / "model" / "config.json")
    (saved / "config.json").write_text('{"dataset": "faces"}')
    with pytest.raises(ValueError, match=f"'dataset'; the model of this run is {saved / 'model'}"):
        NGAN.from_pretrained(saved)


def test_pickled_weights_are_never_read(saved, tiny_nets):
    (saved / "model.safetensors").unlink()
    torch.save(tiny_nets[0].state_dict(), saved / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="holds no model.safetensors"):
        NGAN.from_pretrained(saved)


def test_cut_off_weights_are_refused_by_name(saved):
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="model.safetensors is not a whole safetensors file"):
        NGAN.from_pretrained(saved)


def test_loose_loading_is_refused(saved):
    with pytest.raises(ValueError, match="strict=False"):
        NGAN.from_pretrained(saved, strict=False)


def test_folder_of_critics_is_no_ngan(tiny_nets, tmp_path):
    tiny_nets[1].save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="does not fit NGAN"):
        NGAN.from_pretrained(tmp_path)


def test_hub_repository_without_the_files_is_named(monkeypatch):
    asked = []

    def download(repo_id, filename, **_):
        asked.append((repo_id, filename))
        response = httpx.Response(404, request=httpx.Request("GET", "https://huggingface.co"))
        raise RemoteEntryNotFoundError("404", response=response)

    monkeypatch.setattr("ngan.hub.hf_hub_download", download)
    with pytest.raises(FileNotFoundError, match="nobody/faces on the Hub holds no config.json"):
        NGAN.from_pretrained("nobody/faces")
    assert ("nobody/faces", "config.json") in asked


def test_hub_repository_is_read_like_a_folder(saved, monkeypatch, tiny_nets, batch):
    def download(repo_id, filename, **_):
        return str(saved / filename)

    monkeypatch.setattr("ngan.hub.hf_hub_download", download)
    image, mask = batch
    loaded = NGAN.from_pretrained("nobody/faces")
    assert torch.equal(loaded(image, mask).composite, tiny_nets[0](image, mask).composite)


@pytest.mark.parametrize("source", ["./nowhere", "/no/such/folder", "~/nowhere", "a/b/c", "nowhere", "nowhere@v1"])
def test_a_folder_that_is_not_there_is_named(source):
    name = source.split("@")[0]
    with pytest.raises(
        FileNotFoundError, match=f"{name}: no such folder, and not a Hub id, which reads organisation/"
    ):
        NGAN.from_pretrained(source)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 200_000, "is not JSON"),
        (b'{"blocks": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"3", "is not a JSON object"),
    ],
)
def test_a_config_that_is_not_json_is_named(tmp_path, content, words):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=f"config.json {words}"):
        NGAN.from_pretrained(tmp_path)
