"""How well a model fills faces that are off the training framing, as those found in photos are."""

from collections.abc import Sequence
from typing import Any

import torch

from ngan.data import to_float, to_uint8
from ngan.evaluation import evaluate
from ngan.masks import make_masks
from ngan.model import NGAN
from ngan.reframing import draw_framings, reframe, reframe_masks

KINDS = ("center", "feature")  # of holes that are measured


def measure_off_frame(
    model: NGAN, faces: Sequence[torch.Tensor], image_size: int, *, jitter: float = 1.0, seed: int = 0, **options: Any
) -> dict[str, dict[str, Any]]:
    """Measure a model on faces off their framing, under holes that went along.

    Args:
        model: the nested generators.
        faces: uint8 (3, S, S) each, S = `ngan.reframing.source_size` of `image_size`.
        image_size: side of the faces to fill, in pixels.
        jitter: how far they may be off, as in `draw_framings`.
        seed: of how far each is off, and of its holes.
        **options: further arguments of `ngan.evaluation.evaluate`.

    Returns:
        By "<kind> off frame", what `evaluate` returns of a kind of holes.
    """
    off = ReframedFaces(faces, image_size, jitter, seed)
    holes = {f"{kind} off frame": off.masks(kind) for kind in KINDS}
    return evaluate(model, off, masks=(), damages=(), stored_masks=holes, **options)["masks"]


class ReframedFaces(Sequence[torch.Tensor]):
    """A set of faces all of which are off their framing, the same way each time; to measure a model on.

    Args:
        faces: uint8 (3, S, S) each, S about `SOURCE` times `image_size`.
        image_size: side of the faces that come out, in pixels.
        jitter: as of `draw_framings`.
        seed: of how far each is off, and of its holes.
    """

    def __init__(self, faces: Sequence[torch.Tensor], image_size: int, jitter: float = 1.0, seed: int = 0) -> None:
        self._faces, self._size, self._seed = faces, image_size, seed
        self._framings = draw_framings(len(faces), jitter, torch.Generator().manual_seed(seed), aligned=0.0)

    def __len__(self) -> int:
        return len(self._faces)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Return face `index`, uint8 (3, image_size, image_size)."""
        seen = reframe(to_float(self._faces[index])[None], self._framings[index][None], self._size)
        return to_uint8(seen)[0]

    def masks(self, kind: str) -> torch.Tensor:
        """Return a hole for each face, of a kind of `MASK_KINDS`, that went along; (N, 1, image_size, image_size)."""
        n, generator = len(self), torch.Generator().manual_seed(self._seed)
        return reframe_masks(make_masks(kind, n, self._size, self._size, generator), self._framings)
