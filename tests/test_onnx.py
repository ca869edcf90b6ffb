"""The exported model against the original, for any number of pictures of any size, with a mask and without."""

import copy

import pytest
import torch

from ngan import onnx_model
from ngan.model import NGAN
from ngan.onnx_model import TOLERANCE, OnnxNGAN, check_onnx, export_onnx


def network(**given: int) -> NGAN:
    torch.manual_seed(1)
    model = NGAN(**{"code_width": 4, "image_width": 8, "blocks": 2, "attention_every": 1, "image_size": 32, **given})
    with torch.no_grad():
        for parameter in model.parameters():  # biases and branches that start near zero take part
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="module")
def pair() -> tuple[NGAN, OnnxNGAN, bytes]:
    model = network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    content = export_onnx(model)
    assert model.training, "the export leaves the model as it was"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    return model.eval(), OnnxNGAN(content, threads=1), content


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 64, 40), (2, 33, 21), (1, 16, 100), (5, 8, 9)])
@pytest.mark.parametrize("given", [True, False])
def test_the_file_does_what_the_model_does(pair, shape, given):
    model, runner, _ = pair
    generator = torch.Generator().manual_seed(0)
    image = 2 * torch.rand(shape[0], 3, *shape[1:], generator=generator) - 1
    mask = (torch.rand(shape[0], 1, *shape[1:], generator=generator) > 0.6).float() if given else None
    with torch.inference_mode():
        expected = model(image, mask)
    found = runner(image, mask)
    for name in ("code_image", "location", "image", "composite"):
        assert torch.allclose(getattr(found, name), getattr(expected, name), atol=TOLERANCE, rtol=0), name
    if given:
        known = (mask == 0).expand_as(image)
        assert torch.equal(found.composite[known], image[known])
    else:
        assert expected.location.std() > 1e-3  # else the comparison of what is found would say little


def test_one_batch_may_hold_masks_given_and_to_be_found(pair):
    model, runner, _ = pair
    image = 2 * torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2)) - 1
    mask = torch.zeros(2, 1, 32, 32)
    mask[0, :, 8:20, 8:20] = 1
    mask[1] = 0.5
    found = runner(image, mask)
    with torch.inference_mode():
        given, free = model(image[:1], mask[:1]), model(image[1:])
    assert torch.allclose(found.composite[0], given.composite[0], atol=TOLERANCE)
    assert torch.allclose(found.composite[1], free.composite[0], atol=TOLERANCE)


def test_the_file_names_its_inputs_outputs_and_free_sizes(pair):
    onnx = pytest.importorskip("onnx")
    graph = onnx.load_from_string(pair[2]).graph
    onnx.checker.check_model(pair[2])
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {
        "image": ["batch", 3, "height", "width"],
        "mask": ["batch", 1, "height", "width"],
        "code_image": ["batch", 3, "height", "width"],
        "location": ["batch", 1, "height", "width"],
        "image_output": ["batch", 3, "height", "width"],
        "composite": ["batch", 3, "height", "width"],
    }


def test_a_file_that_differs_is_refused(pair):
    model, _, content = pair
    assert check_onnx(content, model) < TOLERANCE
    other = network()
    with torch.no_grad():
        other.image_generator.head.bias.add_(1e-3)
    with pytest.raises(ValueError, match="differs from the original by 1.00e-03"):
        check_onnx(content, other)


def test_other_patches_and_no_attention_are_exported_too():
    model = network(patch=1, attention_every=0)
    assert check_onnx(export_onnx(model, opset=20), model) < TOLERANCE


def test_shapes_that_do_not_fit_are_refused_as_the_model_refuses_them(pair):
    for image, mask, message in (
        (torch.zeros(1, 1, 8, 8), None, "image: shape"),
        (torch.zeros(3, 8, 8), None, "image: shape"),
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 9), "mask: shape"),
    ):
        with pytest.raises(ValueError, match=message):
            pair[1](image, mask)


def test_files_that_cannot_be_run_are_refused_by_name(pair, tmp_path):
    onnx = pytest.importorskip("onnx")
    (tmp_path / "no.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="no.onnx is not an ONNX file"):
        OnnxNGAN(tmp_path / "no.onnx")
    with pytest.raises(ValueError, match="is not an ONNX file"):
        OnnxNGAN(pair[2][: len(pair[2]) // 2])
    other = onnx.load_from_string(pair[2])
    del other.metadata_props[:]
    with pytest.raises(ValueError, match="not an exported NGAN"):
        OnnxNGAN(other.SerializeToString())


def test_advice_on_a_missing_file_never_leads_into_the_package_nor_to_other_weights(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    own, other, run = (tmp_path / name for name in ("package/own", "package/other", "run"))
    monkeypatch.setattr(onnx_model, "EMBEDDED", own)
    for folder in (own, other, run):
        folder.mkdir(parents=True)
    for path, command in (
        (run, f"export --model {run} -o {run}/model.onnx writes one"),
        (run / "gone.onnx", f"export -o {run}/gone.onnx writes one"),
        (own, "export -o model.onnx writes one, which --model model.onnx names"),
        (other, f"export --model {other} -o model.onnx writes one, which --model model.onnx names"),
    ):
        with pytest.raises(FileNotFoundError, match=f"{path.name}.*: no such file; python -m ngan {command}$"):
            OnnxNGAN(path)


def test_a_file_of_other_weights_than_those_beside_it_is_told(pair, tmp_path, caplog):
    model, _, content = pair
    told = f"{tmp_path}: model.onnx was exported from other weights than model.safetensors; export it anew"

    def said() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "ngan.onnx_model"]

    (tmp_path / "model.onnx").write_bytes(content)
    OnnxNGAN(tmp_path)  # nothing to compare with
    halved = copy.deepcopy(model).half()
    for weights in (model, copy.deepcopy(model).to(memory_format=torch.channels_last)):
        weights.save_pretrained(tmp_path)
        OnnxNGAN(tmp_path)
    (tmp_path / "half").mkdir()
    halved.save_pretrained(tmp_path / "half")
    (tmp_path / "half" / "model.onnx").write_bytes(export_onnx(NGAN.from_pretrained(tmp_path / "half")))
    OnnxNGAN(tmp_path / "half")
    assert not said()
    with torch.no_grad():
        halved.image_generator.head.bias[0] += 1
    halved.save_pretrained(tmp_path)
    OnnxNGAN(tmp_path)
    assert said() == [told]
    (tmp_path / "of another.onnx").write_bytes(content)
    OnnxNGAN(tmp_path / "of another.onnx")  # is not said to be of this model
    (tmp_path / "model.safetensors").write_bytes(b"cut short")
    OnnxNGAN(tmp_path)
    assert said() == [told, told]


def test_missing_packages_are_named(monkeypatch, pair):
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(onnx_model.importlib, "import_module", missing)
    with pytest.raises(ImportError, match="onnxruntime is not installed: pip install onnx onnxscript onnxruntime"):
        OnnxNGAN(pair[2])
    with pytest.raises(ImportError, match=r"onnx is not installed"):
        export_onnx(pair[0])
