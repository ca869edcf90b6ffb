"""Measure how many masks and damaged images per second one process makes, by kind, at 128 and 256 pixels; prints JSON.

python -m benchmarks.masks_speed --seconds 2
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from functools import partial

import torch

from ngan.damage import DAMAGE_KINDS, damage
from ngan.masks import MASK_KINDS, make_masks

SIZES = (128, 256)  # sides of the images, in pixels


def rate(make: Callable[[], object], batch: int, seconds: float) -> float:
    """Return samples per second of `make`, which makes `batch` of them a call, over at least `seconds`."""
    make()  # the first call fills caches
    calls, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or not calls:
        make()
        calls += 1
    return round(calls * batch / elapsed, 1)


def measure(seconds: float, batch: int, threads: int) -> dict[str, object]:
    """Return the machine and the rates by what is made, image size and kind.

    Args:
        seconds: time for each kind and size.
        batch: samples a call.
        threads: that torch may use; a loader's worker has one.
    """
    torch.set_num_threads(threads)
    masks: dict[str, dict[str, float]] = {}
    damages: dict[str, dict[str, float]] = {}
    for size in SIZES:
        generator = torch.Generator().manual_seed(0)
        images = 2 * torch.rand(batch, 3, size, size, generator=generator) - 1
        masks[str(size)] = {
            kind: rate(partial(make_masks, kind, batch, size, size, generator), batch, seconds) for kind in MASK_KINDS
        }
        damages[str(size)] = {
            str(kind or "drawn"): rate(partial(damage, images, generator, kind), batch, seconds)
            for kind in (*DAMAGE_KINDS, None)
        }
    return {
        "unit": "samples per second, one process",
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "threads": threads,
        "batch": batch,
        "seconds": seconds,
        "masks": masks,
        "damage": damages,
    }


def main() -> None:
    """Parse the command line and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each kind and size (default 1)")
    parser.add_argument("--batch", type=int, default=16, help="samples a call (default 16)")
    parser.add_argument("--threads", type=int, default=1, help="of torch; a loader's worker has one (default 1)")
    arguments = parser.parse_args()
    if not arguments.seconds > 0:
        parser.error(f"--seconds {arguments.seconds}: must be above 0")
    for name in ("batch", "threads"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} {getattr(arguments, name)}: must be at least 1")
    print(json.dumps(measure(arguments.seconds, arguments.batch, arguments.threads), indent=2))


if __name__ == "__main__":
    main()
