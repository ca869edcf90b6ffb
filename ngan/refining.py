"""Train the refiner (`ngan.refiner`): `python -m ngan.refining --dataset PATH_OR_ID --output_dir runs/refiner`.

No pictures are needed that are larger than a data set's. Half of each batch are pairs: real faces, and the same at
half the size, blurred where a hole was drawn. The other half are fills of a model, refined, and brought to the size of
the real faces, with which a critic compares them. All of it is seen in windows of half a face's side, at the holes.

    refiner = 4 L1 to the truth (pairs) + 4 L1 of colours to the fill + 4 L1 of known pixels (fills)
              + lambda adv + lambda feature matching + lambda perceptual
    critic  = discriminator(real, refined) + R1
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from ngan.average import EMA
from ngan.data import load_faces
from ngan.disk import plain_os_errors, whole_folder
from ngan.features import STRIDE, ImageFeatures, load_features
from ngan.hub import CRISP
from ngan.layers import activate, initialise
from ngan.losses import (
    feature_matching_loss,
    perceptual_loss,
    projected_adversarial_loss,
    projected_discriminator_loss,
    r1_penalty,
)
from ngan.masks import composite
from ngan.model import NGAN
from ngan.refiner import FACTOR, Refiner, blurred
from ngan.refiner_faces import SHARE, Faces, resized

_SIZES = 4 * STRIDE  # a face has a multiple of so many pixels: so do windows of what `ImageFeatures` reads
_SHALLOW = 2  # grids of ImageNet features that are compared
_CRITIC_FROM = 0.06  # of the run: the refiner learns from the critic from then on
_R1_EVERY, _GAMMA = 16, 5.0
_HALF_LIFE = 5_000  # of the average, in windows
_WARM_UP = 50  # updates
_SAVE_EVERY = 5.0  # minutes
_CRITIC = "critic.safetensors"


class RefinerCritic(nn.Module):
    """Tells real faces from refined ones, place by place.

    Args:
        width: channels of the first convolution.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        w = width
        shapes = [(6, w, 4, 2), (w, 2 * w, 3, 1), (2 * w, 4 * w, 4, 2), (4 * w, 4 * w, 3, 1), (4 * w, 4 * w, 4, 2)]
        self.layers = nn.ModuleList(nn.Conv2d(c, d, kernel, stride, 1) for c, d, kernel, stride in shapes)
        self.judge = nn.Conv2d(4 * width, 1, 3, padding=1)
        initialise(self)

    def forward(
        self, image: torch.Tensor, mask: torch.Tensor, position: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Judge images (N, 3, S, S), with the share of each pixel that is filled and its position.

        Returns:
            Logits (N, 1, S/8, S/8), positive = real, and the features of each convolution.
        """
        x, features = torch.cat([image, mask, position], dim=1), []
        for layer in self.layers:
            x = activate(layer(x))
            features.append(x)
        return self.judge(x), features


class RefinerTraining:
    """A refiner, its critic, and what an update needs.

    Args:
        refiner: to be trained.
        critic: as far as it is.
        faces: what they see.
        features: of ImageNet, or random ones in tests.
        options: `lambda_adversarial`, `lambda_feature_matching`, `lambda_perceptual`, `batch_size`.
    """

    def __init__(
        self,
        refiner: Refiner,
        critic: RefinerCritic,
        faces: Faces,
        features: ImageFeatures,
        options: argparse.Namespace,
    ) -> None:
        self.refiner = refiner.train().requires_grad_(True).to(memory_format=torch.channels_last)
        self.critic = critic.to(memory_format=torch.channels_last)
        self.faces, self.features, self.options = faces, features.in_bfloat16(), options
        self.average = EMA(refiner, _HALF_LIFE)
        self.optimizers = (
            torch.optim.Adam(refiner.parameters(), betas=(0.9, 0.99)),
            torch.optim.Adam(critic.parameters(), betas=(0.5, 0.99)),
        )
        self.updates = 0

    def update(self, learning_rate: float, heard: bool) -> dict[str, float]:
        """Take one step of the critic and one of the refiner.

        Args:
            learning_rate: of both.
            heard: the refiner learns from the critic too.

        Returns:
            Losses by name.
        """
        for optimizer in self.optimizers:
            optimizer.param_groups[0]["lr"] = learning_rate
        half = self.options.batch_size // 2
        fills, pairs = self.faces.fills(half), self.faces.pairs(half)
        with torch.autocast("cpu", torch.bfloat16):
            of_fills, of_pairs = (self.refiner(w.image, w.mask, w.position).float() for w in (fills, pairs))
        side = fills.truth.shape[-1]
        seen = resized(of_fills, side)
        truth, refined = torch.cat([fills.truth, pairs.truth]), torch.cat([seen, of_pairs])
        mask = torch.cat([F.interpolate(w.mask, size=(side, side), mode="bilinear") for w in (fills, pairs)])
        place = torch.cat([F.interpolate(w.position, size=(side, side), mode="bilinear") for w in (fills, pairs)])
        shown = composite(truth, refined, mask)

        losses = {"critic": self._teach(truth, shown.detach(), mask, place)}
        known = ((seen - fills.truth).abs() * (1 - mask[:half])).mean()
        colours = (blurred(F.avg_pool2d(of_fills, FACTOR), 1.0) - blurred(fills.image, 1.0)).abs().mean()
        pixels = ((of_pairs - pairs.truth).abs() * (1 + 3 * mask[half:])).mean() / 2
        loss = 4 * (pixels + colours + known)
        perceptual = perceptual_loss(self._seen(shown), self._seen(truth), mask)
        loss = loss + self.options.lambda_perceptual * perceptual
        if heard:
            adversarial, matching = self._judged(truth, shown, mask, place)
            loss = loss + self.options.lambda_adversarial * adversarial
            loss = loss + self.options.lambda_feature_matching * matching
            losses |= {"adversarial": adversarial.item(), "feature_matching": matching.item()}
        _step(self.optimizers[0], loss)
        self.updates += 1
        self.average.update(self.refiner, 2 * half, 2 * half * self.updates)
        return losses | {"pixels": pixels.item(), "perceptual": perceptual.item(), "known": known.item()}

    def _seen(self, image: torch.Tensor) -> list[torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return self.features(image)[:_SHALLOW]

    def _teach(self, truth: torch.Tensor, shown: torch.Tensor, mask: torch.Tensor, place: torch.Tensor) -> float:
        with torch.autocast("cpu", torch.bfloat16):
            real, fake = (self.critic(image, mask, place)[0] for image in (truth, shown))
        loss = projected_discriminator_loss([real], [fake], mask)
        total = loss
        if self.updates % _R1_EVERY == 0:
            images = truth.detach().clone().requires_grad_()
            penalty = r1_penalty(self.critic(images, mask, place)[0].mean(dim=(1, 2, 3)), [images])
            total = loss + _R1_EVERY * _GAMMA / 2 * penalty
        _step(self.optimizers[1], total)
        return loss.item()

    def _judged(
        self, truth: torch.Tensor, shown: torch.Tensor, mask: torch.Tensor, place: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.critic.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16):
            logits, features = self.critic(shown, mask, place)
            with torch.no_grad():
                _, wanted = self.critic(truth, mask, place)
        self.critic.requires_grad_(True)
        return projected_adversarial_loss([logits], mask), feature_matching_loss(features, wanted)

    def save(self, folder: Path) -> None:
        """Write the refiner's average, as `Refiner.from_pretrained` reads it, and the critic, or leave what is there.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        critic = {name: weight.contiguous() for name, weight in self.critic.state_dict().items()}
        with whole_folder(folder) as new, plain_os_errors(folder):
            with self.average.applied(self.refiner):
                self.refiner.save_pretrained(new)
            save_file(critic, new / _CRITIC)


def _step(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says; return the exit code: 0, 2 if it cannot, or 130 if Ctrl-C ended it."""
    options = _parser().parse_args(arguments)
    try:
        _run(_prepare(options), options)
    except (OSError, ValueError, SafetensorError) as error:
        print(f"refining: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"refining: interrupted; {options.output_dir / 'model'} holds what was saved last", file=sys.stderr)
        return 130
    return 0


def _run(training: RefinerTraining, options: argparse.Namespace) -> None:
    folder = options.output_dir / "model"
    begin, saved = time.monotonic(), 0.0
    with tqdm(desc="refining", unit="it") as bar:
        while (minutes := (time.monotonic() - begin) / 60) < options.minutes:
            spent = minutes / options.minutes
            rate = options.learning_rate * min(1, (training.updates + 1) / _WARM_UP)
            rate *= (1 + math.cos(math.pi * spent)) / 2
            losses = training.update(rate, heard=spent >= _CRITIC_FROM)
            bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items()})
            bar.update()
            if not all(map(math.isfinite, losses.values())):
                raise ValueError(f"update {training.updates}: losses are not finite; lower --learning_rate")
            if minutes - saved > _SAVE_EVERY:
                training.save(folder)
                saved = minutes
    training.save(folder)
    print(f"{training.updates} updates; the refiner is {folder}")


def _prepare(options: argparse.Namespace) -> RefinerTraining:
    if not options.minutes > 0 or not options.learning_rate > 0 or options.batch_size < 2 or options.batch_size % 2:
        raise ValueError("--minutes and --learning_rate must be over 0, --batch_size even and at least 2")
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    size = NGAN.from_pretrained(options.model).image_size
    if size % _SIZES:
        raise ValueError(f"--model {options.model}: faces of {size} pixels; must be a multiple of {_SIZES}")
    refiner, critic = Refiner(image_size=size), RefinerCritic()
    if options.init_from:
        refiner = Refiner.from_pretrained(options.init_from)
        if (options.init_from / _CRITIC).is_file():
            critic.load_state_dict(load_file(options.init_from / _CRITIC))
    side = int(size * FACTOR * SHARE)
    truth = load_faces(options.dataset, options.split, image_size=side, limit=options.faces, in_memory=True).images
    options.output_dir.mkdir(parents=True, exist_ok=True)
    return RefinerTraining(refiner, critic, Faces(options.model, truth, generator), load_features(), options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ngan.refining", description="Train the refiner, on a CPU.")
    parser.add_argument("--dataset", required=True, help="Hub id, folder of pictures, parquet or save_to_disk folder")
    parser.add_argument("--split", default="train", help="split to train on (train)")
    parser.add_argument(
        "--faces", type=int, default=2400, help="faces that a model fills, the first of the set (2400)"
    )
    parser.add_argument("--model", default=CRISP.name, help=f"model that fills: folder, Hub id or name ({CRISP.name})")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder of which model/ will be the refiner")
    parser.add_argument(
        "--init_from", type=Path, help="folder of a refiner to go on from; its critic too, if it is there"
    )
    parser.add_argument("--minutes", type=float, default=45, help="how long to train (45)")
    parser.add_argument("--batch_size", type=int, default=16, help="windows of an update, half of them fills (16)")
    parser.add_argument("--learning_rate", type=float, default=4e-4, help="of refiner and critic, at first (4e-4)")
    parser.add_argument("--lambda_adversarial", type=float, default=0.05, help="weight of the adversarial loss (0.05)")
    parser.add_argument("--lambda_feature_matching", type=float, default=0.1, help="of feature matching (0.1)")
    parser.add_argument("--lambda_perceptual", type=float, default=2.0, help="of the perceptual loss (2)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (0)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
