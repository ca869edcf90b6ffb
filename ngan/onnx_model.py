"""NGAN as an ONNX file: the export, and a runner of such files that stands where `ngan.model.NGAN` is called.

One graph serves both uses, by the value that the code generator's mask channel has for damage to be found:

- inputs, float32: `image` (N, 3, H, W), [-1, 1]; `mask` (N, 1, H, W), 1 = missing, 0 = known, 0.5 = to be found, so
  0.5 all over a picture is what `NGAN.forward` calls no mask. Any number of pictures of any height and width.
- outputs, float32: `code_image` (N, 3, H, W), `location` (N, 1, H, W), logits, `image_output` (N, 3, H, W), and
  `composite` (N, 3, H, W), which equals `image` wherever `mask` is 0.

The export needs the packages onnx and onnxscript, the runner onnxruntime (`pip install onnx onnxscript onnxruntime`).
"""

import contextlib
import copy
import hashlib
import importlib
import logging
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from huggingface_hub import constants
from huggingface_hub.errors import RemoteEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ngan.hub import EMBEDDED, check_hub_id, download, no_folder_either, split_revision
from ngan.masks import composite
from ngan.model import MASK_UNKNOWN, NGAN, NGANOutput, check_shapes

OPSET = 18
OPSETS = range(18, 24)
ONNX_NAME = "model.onnx"  # in a model's folder or repository
TOLERANCE = 1e-4  # of the outputs, of a range of 2
_OUTPUTS = ("code_image", "location", "image_output", "composite")
_SIZE_KEY, _WEIGHTS_KEY = "ngan_image_size", "ngan_weights_sha256"  # of the file's metadata
_logger = logging.getLogger(__name__)
_SAMPLE = (2, 61, 75)  # pictures, height and width while exporting: sides that need padding, unlike each other


class OnnxNGAN:
    """A runner of an exported file, called as `NGAN` is, on the CPU.

    Threads may share one.

    Args:
        source: the file, a folder with a model.onnx, or a Hub id of a repository that holds one,
            "organisation/name[@revision]"; or the file's bytes.
        threads: for one call; None = as many as torch uses.

    Attributes:
        image_size: side of the square pictures that the model was trained at, in pixels.

    Raises:
        FileNotFoundError: no such file.
        ConnectionError: the download broke off, again and again.
        ImportError: onnxruntime is not installed.
        ValueError: not an ONNX file that `export_onnx` made.
    """

    def __init__(self, source: str | Path | bytes, threads: int | None = None) -> None:
        runtime = _package("onnxruntime")
        name = "the file" if isinstance(source, bytes) else str(source)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        content = source if isinstance(source, bytes) else _find(str(source))
        given = content if isinstance(content, bytes) else str(content)
        try:
            self._session = runtime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
        except _errors(runtime) as error:
            raise ValueError(f"{name} is not an ONNX file that can be run: {error}") from error
        notes = self._session.get_modelmeta().custom_metadata_map
        named = [value.name for value in (*self._session.get_inputs(), *self._session.get_outputs())]
        if named != ["image", "mask", *_OUTPUTS] or _SIZE_KEY not in notes:
            raise ValueError(f"{name} is not an exported NGAN: inputs and outputs are {', '.join(named)}")
        self.image_size: int = int(notes[_SIZE_KEY])
        if isinstance(content, Path) and _WEIGHTS_KEY in notes:
            _warn_of_other_weights(content, name, notes[_WEIGHTS_KEY])

    def __call__(self, image: torch.Tensor, mask: torch.Tensor | None = None) -> NGANOutput:
        """Fill the damage of a batch of images; see `NGAN.forward`.

        Args:
            image: (N, 3, H, W), [-1, 1].
            mask: (N, 1, H, W), 1 = missing, 0 = known; None = find the damage.

        Raises:
            ValueError: shapes that do not fit.
        """
        check_shapes(image, mask)
        if mask is None:
            mask = torch.full_like(image[:, :1], MASK_UNKNOWN)
        given = {"image": _array(image), "mask": _array(mask)}
        return NGANOutput(*(torch.from_numpy(array) for array in self._session.run(_OUTPUTS, given)))


def export_onnx(model: NGAN, opset: int = OPSET) -> bytes:
    """Write a model as ONNX; weights in float32.

    Args:
        model: the nested generators, on the CPU; it stays as it is.
        opset: version of ONNX's operators.

    Raises:
        ImportError: onnx or onnxscript is not installed.
        ValueError: `opset` is not one of `OPSETS`.
    """
    if opset not in OPSETS:
        raise ValueError(f"opset={opset}: must be from {OPSETS[0]} to {OPSETS[-1]}")
    _package("onnx")
    _package("onnxscript")
    image, mask = torch.zeros(_SAMPLE[0], 3, *_SAMPLE[1:]), torch.zeros(_SAMPLE[0], 1, *_SAMPLE[1:])
    free = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    with _quiet():
        program = torch.onnx.export(
            _Graph(copy.deepcopy(model).float().eval()),
            (image, mask),
            dynamo=True,
            opset_version=opset,
            input_names=["image", "mask"],
            output_names=list(_OUTPUTS),
            dynamic_shapes={"image": free, "mask": free},
            verbose=False,
        )
    proto = program.model_proto
    for value in (*proto.graph.input, *proto.graph.output):
        for number, name in ((0, "batch"), (2, "height"), (3, "width")):
            value.type.tensor_type.shape.dim[number].dim_param = name
    proto.metadata_props.add(key=_SIZE_KEY, value=str(model.image_size))
    proto.metadata_props.add(key=_WEIGHTS_KEY, value=weights_digest(model.state_dict()))
    return proto.SerializeToString()


def check_onnx(content: bytes, model: NGAN) -> float:
    """Compare an exported model with the original, at several sizes, with a mask and without.

    Args:
        content: of the file.
        model: the original, float32, on the CPU.

    Returns:
        The largest difference of any output, of the location's probabilities.

    Raises:
        ValueError: it is above `TOLERANCE`.
    """
    runner, largest = OnnxNGAN(content), 0.0
    generator = torch.Generator().manual_seed(0)
    side = model.image_size
    for shape in ((1, side, side), (2, side + 3, side // 2 + 1)):
        image = 2 * torch.rand(shape[0], 3, *shape[1:], generator=generator) - 1
        holes = (torch.rand(shape[0], 1, *shape[1:], generator=generator) > 0.5).float()
        for mask in (holes, None):
            with torch.inference_mode():
                expected = model(image, mask)
            found = runner(image, mask)
            for name in ("code_image", "location", "image", "composite"):
                pair = [getattr(output, name) for output in (found, expected)]
                if name == "location":  # logits of a trained model reach from -61 to 40, where rounding alone is 1e-4
                    pair = [logits.sigmoid() for logits in pair]
                largest = max(largest, float((pair[0] - pair[1]).abs().max()))
    if not largest <= TOLERANCE:
        raise ValueError(f"the exported model differs from the original by {largest:.2e}, more than {TOLERANCE}")
    return largest


def weights_digest(weights: dict[str, torch.Tensor]) -> str:
    """Name weights by the SHA-256 of their names, shapes and values, float32 whatever they are stored in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        array = np.ascontiguousarray(_array(tensor), dtype="<f4")
        digest.update(f"{name} {array.shape}\n".encode())
        digest.update(array)
    return digest.hexdigest()


class _Graph(nn.Module):
    """`NGAN.forward` for masks that may hold 0.5, without a branch."""

    def __init__(self, model: NGAN) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        unknown = mask == MASK_UNKNOWN
        image = image.masked_fill(mask == 1, 0)
        code_image, location = self.model.code_generator(torch.where(unknown, image, image * (1 - mask)), mask)
        mask = torch.where(unknown, location.sigmoid(), mask)
        code = composite(image, code_image, mask)
        final = self.model.image_generator(image * (1 - mask), code, mask)
        return code_image, location, final, composite(image, final, mask)


def _array(x: torch.Tensor) -> np.ndarray:
    return x.detach().to("cpu", torch.float32).contiguous().numpy()


def _find(source: str) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir() or path.suffix == ".onnx":
        file = path / ONNX_NAME if path.is_dir() else path
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such file; {_advice(path, file)}")
        return file
    name = split_revision(source)[0]
    check_hub_id(name)
    try:
        with no_folder_either(name):
            return download(source, ONNX_NAME)
    except RemoteEntryNotFoundError as error:
        raise FileNotFoundError(f"{source} on the Hub holds no {ONNX_NAME}") from error


def _warn_of_other_weights(file: Path, name: str, exported: str) -> None:
    """Warn where a model's own exported file is not of the weights beside it; on the Hub, of those in the cache."""
    weights = file.with_name(constants.SAFETENSORS_SINGLE_FILE)
    if file.name != ONNX_NAME or not weights.is_file():
        return
    try:
        same = weights_digest(load_file(weights)) == exported
    except (SafetensorError, OSError):  # what cannot be read is not what was exported
        same = False
    if not same:
        _logger.warning(
            "%s: %s was exported from other weights than %s; export it anew", name, file.name, weights.name
        )


def _advice(source: Path, file: Path) -> str:
    """Say how to make an exported file that is missing, of weights in the folder `source` if that is one."""
    command = ["python", "-m", "ngan", "export"]
    if source.resolve() != EMBEDDED.resolve() and source.is_dir():
        command += ["--model", str(source)]
    if EMBEDDED.parent.resolve() in source.resolve().parents:  # a new version of the package would take its place
        return f"{shlex.join([*command, '-o', ONNX_NAME])} writes one, which --model {ONNX_NAME} names"
    return f"{shlex.join([*command, '-o', str(file)])} writes one"


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{name} is not installed: pip install onnx onnxscript onnxruntime") from error


def _errors(runtime: ModuleType) -> tuple[type[Exception], ...]:
    """What onnxruntime raises on files that it cannot run; its classes have no base of their own."""
    names = "Fail InvalidArgument InvalidGraph InvalidProtobuf NoSuchFile NotImplemented RuntimeException".split()
    return tuple(getattr(runtime.capi.onnxruntime_pybind11_state, name) for name in names)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes on what is no concern of ours, such as torchvision's absence, from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
