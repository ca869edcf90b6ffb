"""Optimizers of generators and critics: Adam, or Muon for what lies inside and Adam for the rest."""

import torch
from torch import nn

from ngan.discriminators import HEADS

OPTIMIZERS = ("muon", "adam")
MOMENTUM = 0.95  # of Muon, with Nesterov's look ahead
_NEWTON_SCHULZ, _ITERATIONS = (3.4445, -4.7750, 2.0315), 5  # of the quintic, as Jordan et al. found them
# of the generators: they read or write pixels; of the critics: they read pixels or write logits
_EDGES = ("stem", "head", "read", "code_generator.up2", "convs.0", "classify")


class MuonAdam(torch.optim.Adam):
    """Muon (Jordan et al. 2024) for matrices, Adam for all else, as one optimizer with one learning rate.

    Muon makes the singular values of a matrix's momentum nearly equal before it steps: directions that few pictures
    need, such as thin or rare things, move as fast as those that all need. A convolution counts as the matrix of its
    filters. Its step is scaled to the size that Adam's has (Liu et al. 2025, "Muon is scalable for LLM training"), so
    both share a rate. What stands in the checkpoint of a matrix is its momentum, in the matrix's own shape.

    Args:
        matrices: parameters of two dimensions or more.
        others: all other parameters.
        learning_rate: of both.
        betas: of Adam.
        dtype: that Muon computes its directions in.
    """

    def __init__(
        self,
        matrices: list[nn.Parameter],
        others: list[nn.Parameter],
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.99),
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        self.dtype = dtype
        groups = [{"params": others, "muon": False}, {"params": matrices, "muon": True}]
        super().__init__([group for group in groups if group["params"]], learning_rate, betas, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Make one step; gradients of the matrices are gone then."""
        for group in self.param_groups:
            if group["muon"]:
                self._step_matrices(group)
        return super().step(closure)

    def _step_matrices(self, group: dict) -> None:
        taught = [p for p in group["params"] if p.grad is not None]
        for p in taught:
            if "momentum" not in self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p, memory_format=torch.preserve_format)
        momenta, gradients = [self.state[p]["momentum"] for p in taught], [p.grad for p in taught]
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        updates = torch._foreach_lerp(gradients, momenta, MOMENTUM)
        alike: dict[tuple[int, ...], list[tuple[nn.Parameter, torch.Tensor]]] = {}
        for p, update in zip(taught, updates, strict=True):
            rows = _rows(update.contiguous(memory_format=_layout(p))).view(len(p), -1)
            # together on a GPU, where a small matrix leaves most of it idle; one by one on a CPU
            alike.setdefault((*rows.shape, 0 if rows.is_cuda else len(alike)), []).append((p, rows))
            p.grad = None  # Adam passes over it
        for pairs in alike.values():
            rows = [rows for _, rows in pairs]
            if len(rows) > 1:
                directions = orthogonalise(torch.stack(rows), self.dtype)
            else:
                directions = orthogonalise(rows[0], self.dtype).unsqueeze(0)
            for (p, _), direction in zip(pairs, directions, strict=True):
                weight = _rows(p).view(len(p), -1)
                scale = 0.2 * max(weight.shape) ** 0.5
                if isinstance(group["lr"], torch.Tensor):
                    weight.addcmul_(direction.float(), group["lr"], value=-scale)
                else:
                    weight.add_(direction, alpha=-group["lr"] * scale)


def orthogonalise(matrices: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Bring all singular values of matrices (..., M, N) to about 1, 0.7 to 1.2, by Newton-Schulz (Jordan et al. 2024).

    Args:
        matrices: one, or several as one batch, each of any scale.
        dtype: to compute in; bfloat16 does.
    """
    a, b, c = _NEWTON_SCHULZ
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = (matrices if wide else matrices.mT).to(dtype)
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)  # so that none is above 1
    add = torch.addmm if x.ndim == 2 else torch.baddbmm
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = add(x, add(square, square, square, beta=b, alpha=c), x, beta=a)
    return x if wide else x.mT


def _layout(parameter: torch.Tensor) -> torch.memory_format:
    last = parameter.ndim == 4 and parameter.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _rows(tensor: torch.Tensor) -> torch.Tensor:
    """Return a view of a weight whose rows, one an output channel, lie in one piece each."""
    return tensor.permute(0, 2, 3, 1) if _layout(tensor) == torch.channels_last else tensor


def inner_matrices(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Split a module's parameters into the matrices that neither read nor write pixels or logits, and all others.

    Critics' heads on frozen features count among the others: they learn faster by Adam (held-out loss after 100
    updates at 5e-4: 1.23; by Muon 1.36).
    """
    matrices, others = [], []
    for name, parameter in module.named_parameters():
        layer = name.rpartition(".")[0]
        inner = parameter.ndim >= 2 and not layer.endswith(_EDGES) and HEADS not in name
        (matrices if inner else others).append(parameter)
    return matrices, others


def make_optimizer(
    module: nn.Module,
    kind: str,
    learning_rate: float,
    betas: tuple[float, float],
    dtype: torch.dtype = torch.bfloat16,
) -> MuonAdam:
    """Build an optimizer of `OPTIMIZERS` for all parameters of a module; "adam" is `MuonAdam` without a matrix."""
    matrices, others = inner_matrices(module) if kind == "muon" else ([], list(module.parameters()))
    return MuonAdam(matrices, others, learning_rate, betas, dtype)
