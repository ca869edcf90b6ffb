"""The ways of filling faces that `inference_speed.py` measures, each a call of pictures and masks."""

import contextlib
from collections.abc import Callable

import cv2
import torch
from torch import nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.glcic import GLCICGenerator
from ngan.model import NGAN
from ngan.onnx_model import OnnxNGAN, export_onnx
from ngan.runner import Runner

PRECISIONS = ("float32", "bfloat16")
COMPILED, PREPARED, ENSEMBLE = "compiled", "prepared", "self-ensemble"  # words in the names of ways
_CONVOLUTIONS = ((128, 64), (256, 32))  # channels, side of the grid
_KINDS = {  # operators by what they are for
    "convolutions": ("convolution",),
    "attention": ("bmm", "softmax", "scaled_dot_product", "group_norm"),
    "copies": ("copy_", "cat", "pixel_shuffle", "pixel_unshuffle", "upsample"),
}
Call = Callable[[torch.Tensor, torch.Tensor], object]


def network_call(network: nn.Module, *, bf16: bool = False, channels_last: bool = False) -> Call:
    """Return a call of a network; weights in channels_last are shared with nothing else."""
    layout = torch.channels_last if channels_last else torch.contiguous_format

    def call(image: torch.Tensor, mask: torch.Tensor) -> object:
        precision = torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext()
        with torch.inference_mode(), precision:
            return network(image.contiguous(memory_format=layout), mask)

    return call


def telea(image: torch.Tensor, mask: torch.Tensor) -> object:
    """Fill by OpenCV's Telea, radius 3."""
    pixels = ((image + 1) * 127.5).byte().permute(0, 2, 3, 1).contiguous().numpy()
    holes = mask[:, 0].byte().numpy()
    return [cv2.inpaint(face, hole, 3, cv2.INPAINT_TELEA) for face, hole in zip(pixels, holes, strict=True)]


def make_calls(model: NGAN, threads: int, compiled: bool) -> dict[str, Call]:
    """Return all that is measured, by name; a network's name says its precision.

    "prepared" is what `Inpainter` runs, once for each picture; "self-ensemble" its default, the picture and its mirror
    image in one batch. "compiled" is torch.compile in channels_last with its weights frozen, which is its fastest.
    """
    networks = {"NGAN": (model, _last(model)), "GLCIC": (GLCICGenerator().eval(), _last(GLCICGenerator().eval()))}
    calls: dict[str, Call] = {"NGAN float32 onnxruntime": OnnxNGAN(export_onnx(model), threads=threads)}
    for name, (plain, last) in networks.items():
        fast = torch.compile(last, dynamic=False, options={"freezing": True}) if compiled else None
        for precision in PRECISIONS:
            bf16 = precision == "bfloat16"
            calls[f"{name} {precision}"] = network_call(plain, bf16=bf16)
            calls[f"{name} {precision} channels_last"] = network_call(last, bf16=bf16, channels_last=True)
            if fast is not None:
                calls[f"{name} {precision} {COMPILED}"] = network_call(fast, bf16=bf16, channels_last=True)
    for precision in PRECISIONS:
        calls[f"NGAN {precision} {PREPARED}"] = Runner(_last(model), "cpu", "torch", precision, False)
        calls[f"NGAN {precision} {ENSEMBLE}"] = Runner(_last(model), "cpu", "torch", precision, True)
    return dict(sorted(calls.items(), reverse=True)) | {"OpenCV Telea": telea}


def _last(network: nn.Module) -> nn.Module:
    """A copy in channels_last."""
    copy = type(network)(**network._hub_mixin_config).eval().to(memory_format=torch.channels_last)
    copy.load_state_dict(network.state_dict())
    return copy


def convolution_calls() -> dict[str, list[tuple[Callable[[], object], float]]]:
    """Return, by precision, convolutions and their cost in operations, a multiply-add counted as two."""
    calls: dict[str, list[tuple[Callable[[], object], float]]] = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        for channels, side in _CONVOLUTIONS:
            x = torch.randn(16, channels, side, side).to(dtype).contiguous(memory_format=torch.channels_last)
            weight = torch.randn(channels, channels, 3, 3).to(dtype).contiguous(memory_format=torch.channels_last)

            def call(x: torch.Tensor = x, weight: torch.Tensor = weight) -> object:
                with torch.inference_mode():
                    return F.conv2d(x, weight, padding=1)

            calls.setdefault(name, []).append((call, 2.0 * 9 * channels**2 * side**2 * len(x)))
    return calls


def inputs(side: int, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random pictures and centre holes."""
    image = 2 * torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(0)) - 1
    mask = torch.zeros(batch, 1, side, side)
    mask[..., side // 4 : -(side // 4), side // 4 : -(side // 4)] = 1
    return image, mask


def gflops(network: nn.Module, side: int) -> float:
    """Return the cost of one picture by torch's counter, a multiply-add counted as two."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(*inputs(side, 1))
    return counter.get_total_flops() / 1e9


def time_shares(call: Call, given: tuple[torch.Tensor, torch.Tensor], repeats: int = 5) -> dict[str, float]:
    """Return what share of a warm call's time goes to which kind of operator, by torch's profiler."""
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(repeats):
            call(*given)
    times = dict.fromkeys((*_KINDS, "the rest"), 0.0)
    for event in recorded.key_averages():
        kinds = [kind for kind, words in _KINDS.items() if any(word in event.key for word in words)]
        times[kinds[0] if kinds else "the rest"] += event.self_cpu_time_total
    return {kind: round(time / sum(times.values()), 3) for kind, time in times.items()}
