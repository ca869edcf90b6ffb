"""Dark, faded and tinted photos, brought to usual colours for the networks: filled and searched better so.

Training shows the networks few photos of little contrast or in coloured light. What they draw is brought back.
Figures: README, and `benchmarks/levels.py`.
"""

from collections.abc import Callable

import torch

from ngan.model import NGANOutput
from ngan.tone import is_toned

# Of red, green and blue in [-1, 1], over 3,000 training faces: the means of a face's mean and standard deviation, the
# least standard deviation of 49 in 50, and the means between which 24 in 25 are.
_MEAN, _SPREAD = (0.02, -0.15, -0.24), (0.52, 0.48, 0.47)
_LEAST_SPREAD, _DARKEST, _LIGHTEST = (0.29, 0.27, 0.23), (-0.53, -0.64, -0.72), (0.62, 0.44, 0.38)
# A picture that is searched gets all of the usual spread from so many times its own on in a channel; from 1.6 times on
# something was marked of 5 in place of 3 of 60 sound portraits.
_UNUSUAL = 2.2
_FLAT = 4 / 127.5  # standard deviation of what is noise rather than contrast
_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)

Networks = Callable[[torch.Tensor, torch.Tensor | None], NGANOutput]


class Levelled:
    """Networks that see a picture of little contrast in usual colours, and draw in its own.

    To be filled, a picture is only brought to the least contrast and the bounds of brightness that training showed:
    what is known around a large hole may well be flatter than the face in it, and 20 portraits of usual light, the
    flattest of 200, were filled 0.6 dB worse when brought to the mean of all faces. To be searched, where nothing is
    hidden, it is brought to that. The channels of a picture in one tone get one gain and one offset, those of others
    each their own.

    Args:
        networks: called as `NGAN` is.
    """

    def __init__(self, networks: Networks) -> None:
        self.networks = networks

    def __call__(self, image: torch.Tensor, mask: torch.Tensor | None) -> NGANOutput:
        """Fill the damage of a batch; see `NGAN.forward`.

        Args:
            image: (N, 3, H, W), [-1, 1].
            mask: (N, 1, H, W), {0, 1}, 1 = missing; None = find the damage.
        """
        masks = [None] * len(image) if mask is None else mask
        gain, offset = (torch.stack(part) for part in zip(*map(_levels, image, masks), strict=True))
        if bool((gain == 1).all() and (offset == 0).all()):
            return self.networks(image, mask)
        output = self.networks((image * gain + offset).clamp(-1, 1), mask)
        stages = output.code_image, output.image, output.composite
        code_image, final, whole = ((part - offset) / gain for part in stages)
        if mask is not None:
            whole = torch.where(mask > 0, whole, image)
        return NGANOutput(code_image, output.location, final, whole)


def _levels(image: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Gain and offset, (3, 1, 1) each, of an image (3, H, W), by its cells where a mask (1, H, W) is 0, or by all."""
    missing = torch.zeros_like(image[:1]) if mask is None else mask
    known = image[:, missing[0] == 0]
    same = image.new_ones(3, 1, 1), image.new_zeros(3, 1, 1)
    if not known.shape[1]:
        return same
    usual = [image.new_tensor(values) for values in (_MEAN, _SPREAD, _LEAST_SPREAD, _DARKEST, _LIGHTEST)]
    if is_toned(image[None], missing[None]):
        luma = image.new_tensor(_LUMA)
        known, usual = (luma @ known)[None], [(luma @ values)[None] for values in usual]
    mean, spread, least, darkest, lightest = usual
    own_mean, own_spread = known.mean(dim=1), known.std(dim=1, correction=0).clamp(min=_FLAT)
    if mask is None:
        gain = spread / own_spread
        if gain.max() < _UNUSUAL:
            return same
    else:
        gain, mean = (least / own_spread).clamp(min=1), own_mean.clamp(darkest, lightest)
        if gain.max() == 1 and torch.equal(mean, own_mean):
            return same
    return tuple(part.expand(3)[:, None, None] for part in (gain, mean - gain * own_mean))
