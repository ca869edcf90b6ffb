"""How `Inpainter` runs the networks: where, in which precision, by which backend, and with a mirror image beside."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ngan.devices import usable_device
from ngan.hub import default_model
from ngan.model import NGAN, NGANOutput
from ngan.onnx_model import OnnxNGAN
from ngan.prepared import PreparedNGAN, can_prepare

BACKENDS = ("torch", "onnx")
PRECISIONS = ("auto", "float32", "bfloat16")
_DRAWN = ("code_image", "location", "image")  # by the networks; of these the composite is made


class NotFinite(ValueError):
    """Networks returned NaN or infinity."""


class Runner:
    """The networks, ready to be called as `NGAN` is, and by several threads.

    Args:
        model: an `NGAN` (it is moved to `device`, put into evaluation mode, and on a CPU laid out channels_last), a
            folder, a Hub id, or None for `ngan.hub.default_model()`; with `backend="onnx"` what `OnnxNGAN` takes.
        device: a torch device; None takes "cuda" where there is one, else "cpu".
        backend: "torch", or "onnx" for ONNX Runtime on the CPU.
        precision: "float32"; "bfloat16" for convolutions and attention in it; "auto" takes bfloat16 on a CPU that
            computes in it by itself, else float32. On a GPU, float32 convolutions may take TensorFloat-32, as
            `torch.backends.cudnn.allow_tf32` says (True unless changed).
        self_ensemble: run each picture and its mirror image, and take the mean of both: the geometric self-ensemble
            of Lim et al., 2017, arXiv:1707.02921. Twice the time.

    Attributes:
        model: the networks.
        device: where they are.
        precision: "float32" or "bfloat16".

    Raises:
        ValueError: a device that is not there, weights that do not fit, or an unknown backend or precision.
        FileNotFoundError: no model there.
        ImportError: `backend="onnx"` without onnxruntime.
    """

    def __init__(
        self,
        model: NGAN | str | Path | None,
        device: str | torch.device | None,
        backend: str,
        precision: str,
        self_ensemble: bool,
    ) -> None:
        for name, value, known in (("backend", backend, BACKENDS), ("precision", precision, PRECISIONS)):
            if value not in known:
                raise ValueError(f"{name}={value!r}: must be one of {', '.join(known)}")
        self.self_ensemble = self_ensemble
        self._prepares = False
        self._prepared: tuple[list[tuple[int, int]], PreparedNGAN] | None = None  # with the state of its weights
        if backend == "onnx":
            if str(device or "cpu") != "cpu" or precision == "bfloat16" or isinstance(model, NGAN):
                raise ValueError("backend='onnx' runs exported files, on the CPU and in float32 only")
            self.device, self.precision = torch.device("cpu"), "float32"
            self.model = OnnxNGAN(default_model() if model is None else model)
            return
        self.device = usable_device(device)
        if precision == "auto":
            precision = "bfloat16" if self.device.type == "cpu" and has_bfloat16() else "float32"
        self.precision = precision
        if not isinstance(model, NGAN):
            model = NGAN.from_pretrained(str(default_model() if model is None else model))
        self.model = model.to(self.device).eval()
        if self.device.type == "cpu":
            self.model.to(memory_format=torch.channels_last)
            self._prepares = can_prepare() and (precision == "float32" or has_bfloat16())
            if self._prepares:  # _places: walking the modules at each call would take 0.2 of 8 ms
                kept = [module._parameters for module in self.model.modules()]
                self._places = [
                    (weights, name) for weights in kept for name, weight in weights.items() if weight is not None
                ]
                self._prepare()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_prepared": None}  # packed weights cannot be copied; the next call packs them anew

    @torch.inference_mode()
    def __call__(self, image: torch.Tensor, mask: torch.Tensor | None) -> NGANOutput:
        """Fill the damage of a batch; see `NGAN.forward`.

        Args:
            image: (N, 3, H, W), [-1, 1], float32, on the CPU.
            mask: (N, 1, H, W), {0, 1}, 1 = missing; None = find the damage.

        Returns:
            In float32, on the CPU.

        Raises:
            NotFinite: the networks return NaN or infinity.
        """
        output = mirror_mean(self._once, image, mask) if self.self_ensemble else self._once(image, mask)
        _check_finite(output)
        return output

    def _once(self, image: torch.Tensor, mask: torch.Tensor | None) -> NGANOutput:
        if isinstance(self.model, OnnxNGAN):
            return self.model(image, mask)
        if self._prepares:
            return self._prepare()(image, mask)
        dtype = next(self.model.parameters()).dtype
        given = image.to(self.device, dtype), None if mask is None else mask.to(self.device, dtype)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            output = self.model(*given)
        return NGANOutput(*(part.float().cpu() for part in _parts(output)))

    def _prepare(self) -> PreparedNGAN:
        """Return the prepared networks, anew if the model's weights have changed since.

        What is written through a weight's `.data` leaves no trace and goes unseen.
        """
        weights = [parameters[name] for parameters, name in self._places]
        state = [(p.data_ptr(), 0 if p.is_inference() else p._version) for p in weights]
        if self._prepared is None or self._prepared[0] != state:
            self._prepared = state, PreparedNGAN(self.model, getattr(torch, self.precision))
        return self._prepared[1]


def mirror_mean(
    networks: Callable[[torch.Tensor, torch.Tensor | None], NGANOutput], image: torch.Tensor, mask: torch.Tensor | None
) -> NGANOutput:
    """Call networks on a batch and on its mirror image at once, and return the mean of what they make of both.

    Args:
        networks: called as `NGAN` is.
        image: (N, 3, H, W), [-1, 1].
        mask: (N, 1, H, W), {0, 1}, 1 = missing; None = find the damage.
    """
    both = networks(torch.cat([image, image.flip(-1)]), None if mask is None else torch.cat([mask, mask.flip(-1)]))
    halves = (part.chunk(2) for part in _parts(both))
    return NGANOutput(*((part + mirrored.flip(-1)) / 2 for part, mirrored in halves))


def _parts(output: NGANOutput) -> tuple[torch.Tensor, ...]:
    return output.code_image, output.location, output.image, output.composite


def _check_finite(output: NGANOutput) -> None:
    broken = [name for name in _DRAWN if not getattr(output, name).isfinite().all()]
    if broken:
        reason = f"the model's outputs are not finite: {', '.join(broken)}"
        raise NotFinite(f"{reason}; the weights are too large for the networks, or broken")


def has_bfloat16() -> bool:
    """Tell whether this CPU multiplies bfloat16 by itself; one that does not is slower in it."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # not in every torch from 2.8 on
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16"))
