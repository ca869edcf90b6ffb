"""What the refiner's training sees: windows of real faces, of the same at half the size, and of fills of them."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F
from tqdm import tqdm

from ngan.data import mirror, to_float, to_uint8
from ngan.layers import coordinates
from ngan.looks import draw_looks
from ngan.masks import composite, make_masks, uniform
from ngan.refiner import FACTOR, blurred
from ngan.runner import Runner

# Side of the faces, of the doubled grid's: a data set's are seldom larger, and a critic compares with what there is.
SHARE = 0.75
HOLES = ("face", "feature", "inner", "face", "feature", "center")  # kinds that are filled, in turn
_LOOKS = 0.3  # share of the windows in other colours
_BLUR = 0.3, 0.9  # of what is to be refined in a pair, standard deviation in cells
_ALL_BLURRED = 0.3  # share of the pairs blurred everywhere


@dataclass
class Windows:
    """Windows of a batch: fills or pairs.

    Attributes:
        image: (N, 3, s, s), [-1, 1], what the refiner is given, and
        mask: (N, 1, s, s), {0, 1}, 1 = filled, and
        position: (N, 2, s, s), of its cells in the face's square.
        truth: (N, 3, S, S), [-1, 1], real faces, S = 0.75 times the model's `image_size`.
    """

    image: torch.Tensor
    mask: torch.Tensor
    position: torch.Tensor
    truth: torch.Tensor


class Faces:
    """Real faces, and a model's fills of them; windows are drawn from both.

    Args:
        model: a folder, a Hub id, or the name of a model that comes with the package.
        truth: uint8 (N, 3, S, S), S = 1.5 times the model's `image_size`.
        generator: source of all draws.
    """

    def __init__(self, model: str | Path, truth: torch.Tensor, generator: torch.Generator) -> None:
        runner = Runner(model, "cpu", "torch", "auto", self_ensemble=True)
        self.size, self.truth, self.generator = runner.model.image_size, truth, generator
        filled, masks = [], []
        for i, face in enumerate(tqdm(truth, desc="filling faces", unit="img")):
            mask = make_masks(HOLES[i % len(HOLES)], 1, self.size, self.size, generator)
            small = resized(to_float(face[None]), self.size)
            filled.append(to_uint8(composite(small, runner(small * (1 - mask), mask).image.clamp(-1, 1), mask)))
            masks.append(mask.bool())
        self.filled, self.masks = torch.cat(filled), torch.cat(masks)

    def fills(self, n: int) -> Windows:
        """Draw windows of `n` fills, at their holes."""
        numbers = torch.randint(len(self.truth), (n,), generator=self.generator)
        side, parts = self.size // 2, []
        position = coordinates(self.filled[:1].float())
        for i in numbers.tolist():
            cells = self.masks[i, 0].nonzero().float()
            middle = cells.mean(dim=0) if len(cells) else torch.full((2,), self.size / 2)
            away = (uniform(2, self.generator) - 0.5) * side / 2
            corner = ((middle + away - side / 2).clamp(0, self.size - side) // 2 * 2).int()
            own = _window(corner, side)
            fine = _window((corner * FACTOR * SHARE).int(), int(side * FACTOR * SHARE))
            filled, truth = to_float(self.filled[i][own]), to_float(self.truth[i][fine])
            parts.append((filled, self.masks[i][own].float(), position[0][own], truth))
        return self._varied(*(torch.stack(part) for part in zip(*parts, strict=True)))

    def pairs(self, n: int) -> Windows:
        """Draw windows of `n` real faces, and of the same at half the size, blurred where a hole is."""
        numbers = torch.randint(len(self.truth), (2, n), generator=self.generator).tolist()
        whole = self.truth.shape[-1]
        side, parts = int(self.size * SHARE), []
        position = coordinates(torch.empty(1, 1, whole // FACTOR, whole // FACTOR))
        for i, j in zip(*numbers, strict=True):
            corner = (uniform(2, self.generator) * (whole - side) / FACTOR).int() * FACTOR
            truth = to_float(self.truth[i][_window(corner, side)])
            own = _window(corner // FACTOR, side // FACTOR)
            mask = F.interpolate(self.masks[j : j + 1].float(), size=whole // FACTOR)[0][own]
            if uniform(1, self.generator) < _ALL_BLURRED:
                mask = torch.ones_like(mask)
            small = F.avg_pool2d(truth[None], FACTOR)
            low, high = _BLUR
            soft = blurred(small, low + (high - low) * uniform(1, self.generator).item())
            parts.append((composite(small, soft, mask)[0], mask, position[0][own], truth))
        return self._varied(*(torch.stack(part) for part in zip(*parts, strict=True)))

    def _varied(self, image: torch.Tensor, mask: torch.Tensor, position: torch.Tensor, truth: torch.Tensor) -> Windows:
        """Mirror every second one, and change the colours of some."""
        mirrored = uniform(len(image), self.generator) < 0.5
        image, mask, position, truth = (mirror(part, mirrored) for part in (image, mask, position, truth))
        position[mirrored, 0] *= -1
        looks = draw_looks(len(image), _LOOKS, self.generator)
        return Windows(looks.apply(image), mask, position, looks.apply(truth))


def _window(corner: torch.Tensor, side: int) -> tuple[slice, slice, slice]:
    top, left = corner.tolist()
    return slice(None), slice(top, top + side), slice(left, left + side)


def resized(image: torch.Tensor, side: int) -> torch.Tensor:
    """Resize (N, C, S, S) to (N, C, side, side), without aliasing."""
    return F.interpolate(image, size=(side, side), mode="bicubic", antialias=True, align_corners=False)
