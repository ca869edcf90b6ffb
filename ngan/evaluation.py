"""The figures that stand in the model card and the README, and the picture grid beside them.

Every figure is of the picture that a user gets: rounded to 8 bits, known pixels untouched. Holes and damage are drawn
for each face from a seed of its own, so that neither batch size nor a limit changes them. Means are over images, also
that of PSNR; a picture equal to the truth, whose PSNR is infinite, counts with `PSNR_CAP`.
"""

import importlib.util
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from ngan.damage import DAMAGE_KINDS, damage
from ngan.data import to_float, to_uint8
from ngan.masks import MASK_KINDS, composite, make_masks
from ngan.metrics import FeatureStatistics, border_band, frechet_distance, iou, l1, psnr, ssim
from ngan.model import NGAN
from ngan.samples import frozen, sample_grid

PSNR_CAP = 100.0  # dB; one wrong value in a 128x128 picture gives 95
BORDER_WIDTH = 8  # of the band around the hole's border, in pixels to each side
PEERS = ("telea",)
Features = Callable[[torch.Tensor], torch.Tensor]  # uint8 (N, 3, H, W) -> (N, D), such as Inception's pooled ones


def evaluate(
    model: NGAN,
    faces: Sequence[torch.Tensor],
    *,
    masks: Sequence[str] = ("center", "box", "freeform"),
    damages: Sequence[str] = DAMAGE_KINDS,
    batch_size: int = 32,
    seed: int = 0,
    device: torch.device | str | None = None,
    limit: int | None = None,
    peers: Sequence[str] = PEERS,
    stored_masks: Mapping[str, torch.Tensor] | None = None,
    features: Mapping[str, Features] | None = None,
    self_ensemble: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Measure a model on faces, in float32, and leave it in the mode it came in.

    Args:
        model: the nested generators.
        faces: what `ngan.data.load_faces` returns, or any sequence of uint8 (3, S, S).
        masks: kinds of holes, of `MASK_KINDS`.
        damages: kinds of damage for the mask-free mode, of `DAMAGE_KINDS`.
        batch_size: faces at a time.
        seed: of the holes and the damage.
        device: where the model is moved to; None = where it is.
        limit: only so many of the faces, the first; None = all.
        peers: other methods to measure on the same holes, of `PEERS`: "telea" is OpenCV's, radius 3, left out with a
            warning where OpenCV is not installed.
        stored_masks: further holes by name, (K, 1, S, S), {0, 1}, 1 = missing; face i gets mask i modulo K.
        features: by name, what networks make of pictures, for Frechet distances to the faces themselves.
        self_ensemble: measure the holes also as `Inpainter` fills them, by the mean with the mirror image.
        progress: show a progress bar.

    Returns:
        JSON-able: `n` faces, `image_size` in pixels, `seed`, `border_width` in pixels, the `torch` version, and

        - `masks[kind]`: `n`, `hole_ratio`, and for "ngan", "self_ensemble" where it was asked for, "code_image"
          (the code image pasted into the hole) and each peer: `psnr`, `ssim`, `l1` over the whole image, `psnr_hole`,
          `l1_hole` over the hole, `l1_border` over `border_band`; for each of `features` also
          `frechet_<its name>`, over the whole images.
        - `damages[kind]`: `n`, `damage_ratio`, `iou` of the damage found (location probability above 1/2), `psnr` of
          `NGAN.forward`'s composite without a mask, and `psnr_damaged` of what the model was given.

        L1 is in units of the full range, black to white = 1. None stands where there was nothing to measure.

    Raises:
        ValueError: an unknown kind, nothing to measure, faces that are not uint8 (3, S, S), or stored masks of another
            shape or of a kind's name.
    """
    n = len(faces) if limit is None else min(limit, len(faces))
    stored = dict(stored_masks or {})
    _check_kinds(masks, damages, peers, stored)
    _check_faces(faces, limit=limit, batch_size=batch_size)
    _check_stored(stored, faces[0].shape[-1])
    if "telea" in peers and importlib.util.find_spec("cv2") is None:
        warnings.warn("OpenCV is not installed, so its Telea method is not measured", stacklevel=2)
        peers = [peer for peer in peers if peer != "telea"]
    if device is not None:
        model.to(device)

    tables: dict[str, dict[str, Any]] = {"masks": {}, "damages": {}}
    total = n * (len(masks) + len(stored) + len(damages))
    with frozen(model), tqdm(total=total, unit="face", disable=not progress) as bar:
        for table, kinds in (("masks", [*masks, *stored]), ("damages", damages)):
            for kind in kinds:
                bar.set_description(kind)
                scores = _Scores(features or {})
                for start in range(0, n, batch_size):
                    indices = range(start, min(start + batch_size, n))
                    real = torch.stack([faces[i] for i in indices])
                    if table == "damages":
                        _measure_damage(model, real, kind, seed, indices, scores)
                    elif kind in stored:
                        _measure_masks(model, real, _repeated(stored[kind], indices), self_ensemble, peers, scores)
                    else:
                        _measure_masks(
                            model, real, _draw_masks(kind, real, seed, indices), self_ensemble, peers, scores
                        )
                    bar.update(len(indices))
                tables[table][kind] = {"n": n, **scores.means()}
    size = {"image_size": faces[0].shape[-1], "border_width": BORDER_WIDTH}
    return {"n": n, **size, "seed": seed, "torch": torch.__version__, **tables}


def example_grid(
    model: NGAN,
    faces: Sequence[torch.Tensor],
    *,
    masks: Sequence[str] = ("center", "box", "freeform"),
    damages: Sequence[str] = DAMAGE_KINDS,
    seed: int = 0,
) -> Image.Image:
    """Draw `sample_grid` of the first faces: two a kind of hole (one, if there is one), then one a kind of damage.

    The holes and the damage, whose mask is kept back, are those that `evaluate` measures at the same seed.

    Args:
        model: the nested generators.
        faces: uint8 (3, S, S) each; taken again from the first if there are too few.
        masks: kinds of holes, of `MASK_KINDS`.
        damages: kinds of damage, of `DAMAGE_KINDS`.
        seed: of the holes and the damage.

    Raises:
        ValueError: an unknown kind, or neither masks nor damages.
    """
    _check_kinds(masks, damages)
    a_kind = min(2, len(faces))
    rows = [(kind, i % len(faces)) for i, kind in enumerate([*(k for k in masks for _ in range(a_kind)), *damages])]
    images = to_float(torch.stack([faces[i] for _, i in rows]))
    holes, parts = a_kind * len(masks), []
    if masks:
        drawn = [_draw_masks(kind, images, seed, [i]) for kind, i in rows[:holes]]
        parts.append(sample_grid(model, images[:holes], torch.cat(drawn)))
    if damages:
        pairs = [_draw_damage(rows[k][0], images[k : k + 1], seed, [rows[k][1]]) for k in range(holes, len(rows))]
        parts.append(sample_grid(model, images[holes:], None, torch.cat([damaged for damaged, _ in pairs])))
    grid = Image.new("RGB", (parts[0].width, sum(part.height for part in parts)), "white")
    for i, part in enumerate(parts):
        grid.paste(part, (0, i * parts[0].height))
    return grid


class _Scores:
    """Values of single images under (method, measure), in order of arrival; statistics of each method's features."""

    def __init__(self, features: Mapping[str, Features]) -> None:
        self.values: dict[tuple[str, str], list[float]] = {}
        self.features = features
        self.statistics: dict[tuple[str, str], FeatureStatistics] = {}

    def add(self, method: str, **measures: torch.Tensor) -> None:
        for name, values in measures.items():
            self.values.setdefault((method, name), []).extend(values.tolist())

    def add_pictures(self, **pictures: torch.Tensor) -> None:
        """Take in the features of each method's pictures, uint8 (N, 3, H, W), the truth's under "truth"."""
        for name, features in self.features.items():
            for method, picture in pictures.items():
                self.statistics.setdefault((method, name), FeatureStatistics()).add(features(picture))

    def means(self) -> dict[str, Any]:
        """Average over the images that have a value; measures without a method stand at the top."""
        means: dict[str, Any] = {}
        for (method, name), values in self.values.items():
            finite = [min(value, PSNR_CAP) for value in values if not math.isnan(value)]
            target = means.setdefault(method, {}) if method else means
            target[name] = sum(finite) / len(finite) if finite else None
        for (method, name), own in self.statistics.items():
            if method != "truth":
                truth = self.statistics["truth", name]
                means[method][f"frechet_{name}"] = (
                    frechet_distance(own.mean, own.covariance, truth.mean, truth.covariance) if own.n > 1 else None
                )
        return means


def _measure_masks(
    model: NGAN,
    real: torch.Tensor,
    mask: torch.Tensor,
    self_ensemble: bool,
    peers: Sequence[str],
    scores: _Scores,
) -> None:
    device = next(model.parameters()).device
    image = to_float(real)
    given = (image * (1 - mask)).to(device), mask.to(device)
    output = model(*given)
    fills = {"ngan": output.image.cpu(), "code_image": output.code_image.cpu()}
    if self_ensemble:
        mirrored = model(*(part.flip(-1) for part in given)).image.flip(-1)
        fills["self_ensemble"] = ((output.image + mirrored) / 2).cpu()
    filled = {method: to_uint8(composite(image, fill, mask)) for method, fill in fills.items()}
    if "telea" in peers:
        filled["telea"] = _telea(real, mask)
    scores.add("", hole_ratio=mask.mean(dim=(1, 2, 3)))
    scores.add_pictures(truth=real, **filled)
    truth, band = real / 255, border_band(mask, BORDER_WIDTH)
    for method, picture in filled.items():
        picture = picture / 255
        scores.add(
            method,
            psnr=psnr(picture, truth),
            ssim=ssim(picture, truth),
            l1=l1(picture, truth),
            psnr_hole=psnr(picture, truth, mask),
            l1_hole=l1(picture, truth, mask),
            l1_border=l1(picture, truth, band),
        )


def _measure_damage(
    model: NGAN, real: torch.Tensor, kind: str, seed: int, indices: Sequence[int], scores: _Scores
) -> None:
    device = next(model.parameters()).device
    damaged, mask = _draw_damage(kind, to_float(real), seed, indices)
    output = model(damaged.to(device), None)
    truth = real / 255
    scores.add(
        "",
        damage_ratio=mask.mean(dim=(1, 2, 3)),
        iou=iou(output.location.cpu().sigmoid() > 0.5, mask),
        psnr=psnr(to_uint8(output.composite.cpu()) / 255, truth),
        psnr_damaged=psnr(to_uint8(damaged) / 255, truth),
    )


def _telea(real: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Fill uint8 (N, 3, H, W) with OpenCV's Telea method, radius 3."""
    import cv2  # only this peer needs it

    holes = mask[:, 0].byte().numpy()
    pictures = (real * (1 - mask).byte()).permute(0, 2, 3, 1).contiguous().numpy()
    filled = [cv2.inpaint(picture, hole, 3, cv2.INPAINT_TELEA) for picture, hole in zip(pictures, holes, strict=True)]
    return torch.from_numpy(np.stack(filled)).permute(0, 3, 1, 2)


def _draw_masks(kind: str, like: torch.Tensor, seed: int, indices: Sequence[int]) -> torch.Tensor:
    height, width = like.shape[-2:]
    return torch.cat([make_masks(kind, 1, height, width, _generator(seed, i)) for i in indices])


def _repeated(masks: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
    return masks[[i % len(masks) for i in indices]].float()


def _draw_damage(
    kind: str, images: torch.Tensor, seed: int, indices: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    pairs = [damage(image[None], _generator(seed, i), kind) for image, i in zip(images, indices, strict=True)]
    return torch.cat([damaged for damaged, _ in pairs]), torch.cat([mask for _, mask in pairs])


def _generator(seed: int, index: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + index)


def _check_kinds(
    masks: Sequence[str],
    damages: Sequence[str],
    peers: Sequence[str] = (),
    stored: Mapping[str, torch.Tensor] | None = None,
) -> None:
    checks = (("masks", masks, MASK_KINDS), ("damages", damages, DAMAGE_KINDS), ("peers", peers, PEERS))
    for name, kinds, known in checks:
        for kind in kinds:
            if kind not in known:
                raise ValueError(f"{name}: {kind!r} is not one of {', '.join(known)}")
    if not masks and not damages and not stored:
        raise ValueError("masks and damages: both empty, nothing to measure")


def _check_stored(stored: Mapping[str, torch.Tensor], side: int) -> None:
    for name, masks in stored.items():
        if name in MASK_KINDS:
            raise ValueError(f"stored_masks: {name!r} is a kind of masks; take another name")
        if masks.ndim != 4 or len(masks) == 0 or masks.shape[1:] != (1, side, side):
            raise ValueError(f"stored_masks[{name!r}]: shape {tuple(masks.shape)}, expected (K, 1, {side}, {side})")


def _check_faces(faces: Sequence[torch.Tensor], **at_least_one: int | None) -> None:
    for name, value in at_least_one.items():
        if value is not None and value < 1:
            raise ValueError(f"{name}={value}: must be at least 1")
    if not len(faces):
        raise ValueError("faces: there are none")
    first = faces[0]
    if first.dtype != torch.uint8 or first.ndim != 3 or first.shape[0] != 3:
        raise ValueError(f"faces: {first.dtype} of shape {tuple(first.shape)}, expected torch.uint8 (3, S, S)")
