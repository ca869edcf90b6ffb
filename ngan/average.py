"""The average of the generators' weights over a run, which is what a run exports."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


class EMA:
    """Exponential moving average of a module's parameters; buffers are copied.

    Args:
        module: what to follow; its present weights are the first average.
        half_life: images after which a weight's share has halved; 0 = the average is the module itself. Early in a run
            it is at most a twentieth of the images seen (as in StyleGAN2-ADA), so that the first random weights are
            soon forgotten.
    """

    def __init__(self, module: nn.Module, half_life: float) -> None:
        self.half_life = half_life
        self.average = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, images: int, images_seen: int) -> None:
        """Move the average towards `module` after an update on `images` images, the latest of `images_seen`."""
        half_life = min(self.half_life, 0.05 * images_seen)
        decay = 0.5 ** (images / half_life) if half_life > 0 else 0.0
        state = module.state_dict()
        floats = [name for name, tensor in state.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.average[name] for name in floats], [state[name] for name in floats], 1 - decay)
        for name in state.keys() - set(floats):
            self.average[name].copy_(state[name])

    @contextlib.contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Lend the average to `module` for the length of a with-block."""
        own = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
        module.load_state_dict(self.average)
        try:
            yield
        finally:
            module.load_state_dict(own)
