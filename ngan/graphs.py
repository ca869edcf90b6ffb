"""Updates recorded once as CUDA graphs and replayed: a GPU then need not wait for Python to launch its kernels.

An update of the five networks is thousands of short kernels, which Python launches one by one; on a fast GPU and a
small batch that takes longer than the work itself. A graph holds them all, in the memory they ran in.
"""

from collections.abc import Callable, Hashable

import torch

from ngan.draws import Batch
from ngan.training import Losses, Optimizers

_BEFORE = 2  # updates of a kind made as usual before it is recorded: they set up libraries and optimizers
Step = Callable[[Batch, int], Losses]


class GraphedUpdates:
    """Makes updates: of each kind the first two as usual, then by the recording of the third.

    Every call is an update of its own batch; recording makes none more or less. All batches have one shape.

    Args:
        step: makes the update of a batch and its number, as `ngan.training.train_step` does, without a wait for the
            device.
        kind: what two updates must have in common, by their numbers, to launch the same kernels.
        optimizers: of the step; their learning rates become tensors on the device, which `set_learning_rate` fills.
        device: a CUDA device.
        recorder: records a call; another one for tests without a GPU.
    """

    def __init__(
        self,
        step: Step,
        kind: Callable[[int], Hashable],
        optimizers: Optimizers,
        device: torch.device,
        recorder: "Recorder | None" = None,
    ) -> None:
        self._step, self._kind = step, kind
        self._recorder = recorder or Recorder(device)
        self._optimizers = optimizers.generators, optimizers.discriminators
        self._made: dict[Hashable, int] = {}
        self._recorded: dict[Hashable, _Recording] = {}
        self._given: Batch | None = None
        for group in self._groups():
            group["lr"] = torch.tensor(float(group["lr"]), device=device)

    def __call__(self, batch: Batch, number: int) -> Losses:
        """Make the update `number` on a batch, as the step does; return its losses."""
        kind = batch.hidden, self._kind(number)
        given = self._take(batch)
        if kind not in self._recorded:
            made = self._made[kind] = self._made.get(kind, 0) + 1
            if made <= _BEFORE:
                return self._recorder.prepare(lambda: self._step(given, number))
            self._recorded[kind] = self._record(given, number)
        recording = self._recorded[kind]
        recording.replay()
        values = recording.losses.clone().unbind()  # the next replay writes over its own
        return dict(zip(recording.names, values, strict=True))

    def _take(self, batch: Batch) -> Batch:
        """Copy a batch to where recordings read it."""
        new = batch.image, batch.corrupted, batch.mask
        if self._given is None:
            self._given = Batch(*(torch.empty_like(tensor) for tensor in new), hidden=False)
        mine = self._given.image, self._given.corrupted, self._given.mask
        for own, given in zip(mine, new, strict=True):
            own.copy_(given)
        return Batch(*mine, batch.hidden)

    def _record(self, given: Batch, number: int) -> "_Recording":
        recording = _Recording()

        def make() -> None:
            losses = self._step(given, number)
            recording.names = list(losses)
            recording.losses = torch.stack([value.float() for value in losses.values()])

        for group in self._groups():
            group["capturable"] = True  # torch asks for it; to fused Adam it makes no difference
        recording.replay = self._recorder.record(make)
        for group in self._groups():
            group["capturable"] = False
        return recording

    def _groups(self) -> list[dict]:
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]


class _Recording:
    """An update that can be made again, on what lies in its memory then; afterwards `losses` are that update's."""

    replay: Callable[[], None]
    names: list[str]
    losses: torch.Tensor


class Recorder:
    """Records what a function launches on a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()  # graphs are replayed one after the other: they share memory

    def prepare(self, function: Callable[[], Losses]) -> Losses:
        """Call it on the stream that recordings are made on."""
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            result = function()
        current.wait_stream(self._stream)
        return result

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        """Record a call, which computes nothing yet; return what computes it."""
        graph = torch.cuda.CUDAGraph()
        # "thread_local": the loader's thread may ask for page-locked memory meanwhile
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            function()
        return graph.replay


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all groups, on the device where a recording reads it there."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
