"""Face sets from the Hugging Face Hub, a data set folder or a folder of pictures, as tensors.

Whatever a set looks like, its pictures come out the same: turned as EXIF says, in RGB, cut to the centre square and
resized, uint8 (3, S, S). `datasets` only reads the bytes and `ngan.decoding` decodes them, so that one broken picture
is skipped, counted and named instead of ending the training. No other module imports `datasets`.
"""

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import torch
from datasets.distributed import split_dataset_by_node
from tqdm.auto import tqdm

from ngan.decoding import decode_square, picture_name
from ngan.sources import raw_rows, read_rows

logger = logging.getLogger("ngan")

_CHUNK = 256  # pictures read ahead of the decoding threads


def load_faces(
    source: str | os.PathLike[str],
    split: str = "train",
    *,
    image_size: int = 128,
    column: str | None = None,
    config_name: str | None = None,
    limit: int | None = None,
    in_memory: bool = False,
    room: int | None = None,
    progress: bool = True,
) -> "FaceSet":
    """Open a set of faces.

    Args:
        source: id of a data set on the Hub, "organisation/name" or "organisation/name@revision", a folder of parquet
            files, a folder written by `save_to_disk`, or a folder of pictures. Such a folder's subfolders train,
            validation and test are its splits; without them all its pictures, at any depth, are the split "train". A
            README.md that names configurations, as data sets on the Hub have it, goes before that.
        split: name of the split.
        image_size: side of the square pictures to return, in pixels.
        column: the column of the pictures; None = the only one that holds pictures.
        config_name: the configuration (subset) of the data set; None = the default or only one.
        limit: rows to take from the beginning of the split; None = all.
        in_memory: decode everything now: 3 x image_size^2 bytes a picture.
        room: bytes that this may take; None = any number.
        progress: show a bar while decoding into memory.

    Raises:
        FileNotFoundError: `source` is a path to nothing.
        ValueError: no such data set, configuration, split or column, no usable picture, more pictures than there is
            room for, or an argument out of its range.
    """
    _require("image_size", image_size, 8)
    if limit is not None:
        _require("limit", limit, 1)
    rows, column = raw_rows(source, split, column, streaming=False, config_name=config_name)
    if limit is not None:
        rows = rows.select(range(min(limit, len(rows))))
    name = f"{source}, split {split}"
    if in_memory and room is not None:
        _check_room(name, len(rows), image_size, room)
    return FaceSet(rows, column, image_size, name, in_memory=in_memory, progress=progress)


def memory_of_each_process() -> int | None:
    """Return the bytes of memory available to each of this machine's processes of a run; None where nothing tells."""
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        available = 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, ValueError, LookupError):  # not Linux: what there is in all
        if not {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= getattr(os, "sysconf_names", {}).keys():
            return None
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return available // int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # set by torchrun, which accelerate launch calls


def _check_room(name: str, pictures: int, image_size: int, room: int) -> None:
    needed = pictures * 3 * image_size**2
    if needed > room:
        raise ValueError(
            f"{name}: {pictures:,} pictures of {image_size}x{image_size} pixels take {needed / 1e9:,.2f} GB of memory "
            f"in each process, {room / 1e9:,.2f} GB are available to it; read them from disk: --in_memory false"
        )


def read_streamed(
    source: str | os.PathLike[str],
    split: str,
    *,
    image_size: int = 128,
    column: str | None = None,
    config_name: str | None = None,
    limit: int | None = None,
) -> torch.Tensor:
    """Read the first pictures of a set into memory while they come in, without a copy of the set on disk.

    Args:
        source: as for `load_faces`; so are the others.
        split: name of the split.
        image_size: side of the square pictures to return, in pixels.
        column: the column of the pictures; None = the only one that holds pictures.
        config_name: the configuration (subset) of the data set; None = the default or only one.
        limit: rows to take from the beginning of the split; None = all.

    Returns:
        uint8 (N, 3, S, S), broken pictures left out.

    Raises:
        FileNotFoundError, ValueError: as `load_faces`.
    """
    _require("image_size", image_size, 8)
    rows, column = raw_rows(source, split, column, streaming=True, config_name=config_name)
    rows = rows if limit is None else rows.take(limit)
    return torch.stack(list(StreamedFaces(rows, column, image_size, f"{source}, split {split}")))


class FaceSet(torch.utils.data.Dataset):
    """A map-style set of pictures, uint8 (3, S, S) each. Made by `load_faces`.

    In memory, broken pictures are left out. Otherwise the length is known before anything is decoded, so the next
    usable picture, round the end, takes a broken one's place: the same one each time.

    Attributes:
        images: all pictures, uint8 (N, 3, S, S), if in memory, else None.
        skipped: reason by row number, of the broken pictures met so far; a loader's worker counts for itself.
    """

    def __init__(
        self,
        rows: datasets.Dataset,
        column: str,
        image_size: int,
        name: str,
        *,
        in_memory: bool = False,
        progress: bool = True,
    ) -> None:
        self.image_size = image_size
        self.name = name
        self.skipped: dict[int, str] = {}
        self.images: torch.Tensor | None = None
        self._rows = rows
        self._column = column
        if in_memory:
            self.images = self._decode_all(progress)
            if not len(self.images):
                raise self._unusable()
        else:
            self._usable_from(0)

    def __len__(self) -> int:
        return len(self._rows) if self.images is None else len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Return picture `index` as uint8 (3, S, S)."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)} in {self.name}")
        if self.images is not None:
            return self.images[index]
        return self._usable_from(index % len(self))

    def _usable_from(self, start: int) -> torch.Tensor:
        total = len(self._rows)
        for index in (i % total for i in range(start, start + total)):
            if index in self.skipped:
                continue
            raw = self._rows[index][self._column]
            picture = decode_square(raw, self.image_size)
            if isinstance(picture, torch.Tensor):
                return picture
            self._skip(index, raw, picture)
        raise self._unusable()

    def _decode_all(self, progress: bool) -> torch.Tensor:
        total, size = len(self._rows), self.image_size
        images = torch.empty(total, 3, size, size, dtype=torch.uint8)
        kept = 0
        with (
            ThreadPoolExecutor(os.cpu_count()) as pool,
            tqdm(total=total, desc=f"decoding {self.name}", unit="img", disable=not progress) as bar,
        ):
            for start in range(0, total, _CHUNK):
                raws = self._rows[start : start + _CHUNK][self._column]
                for i, picture in enumerate(pool.map(decode_square, raws, [size] * len(raws))):
                    if isinstance(picture, torch.Tensor):
                        images[kept] = picture
                        kept += 1
                    else:
                        self._skip(start + i, raws[i], picture)
                bar.update(len(raws))
        return images[:kept]

    def _skip(self, index: int, raw: Any, reason: str) -> None:
        self.skipped[index] = reason
        logger.warning("%s: skipped picture %d (%s): %s", self.name, index, picture_name(raw), reason)

    def _unusable(self) -> ValueError:
        first = next(iter(self.skipped.values()), "it is empty")
        return ValueError(f"{self.name}: not one usable picture among {len(self._rows)} rows ({first})")


def stream_faces(
    source: str | os.PathLike[str],
    split: str = "train",
    *,
    image_size: int = 128,
    column: str | None = None,
    config_name: str | None = None,
    seed: int = 0,
    shuffle_buffer: int = 1000,
    rank: int = 0,
    world_size: int = 1,
) -> "StreamedFaces":
    """Open a set of faces to be read while it comes in, from the same sources as `load_faces`.

    Args:
        source: as for `load_faces`.
        split: name of the split.
        image_size: side of the square pictures to return, in pixels.
        column: the column of the pictures; None = the only one that holds pictures.
        config_name: the configuration (subset) of the data set; None = the default or only one.
        seed: of the shuffling; the same on all processes.
        shuffle_buffer: pictures held back to draw the next one from; 0 = in order.
        rank: number of this process.
        world_size: how many processes share the set.

    Raises:
        FileNotFoundError: `source` is a path to nothing.
        ValueError: no such data set, configuration, split or column, no usable picture, or an argument out of its
            range.
    """
    _require("image_size", image_size, 8)
    _require("shuffle_buffer", shuffle_buffer, 0)
    _require("world_size", world_size, 1)
    _require("rank", rank, 0)
    if rank >= world_size:
        raise ValueError(f"rank={rank}: must be below world_size={world_size}")
    rows, column = raw_rows(source, split, column, streaming=True, config_name=config_name)
    name = f"{source}, split {split}"
    first_pass = iter(StreamedFaces(rows, column, image_size, name))
    next(first_pass)  # refuses a set of broken pictures before any worker starts
    first_pass.close()
    if shuffle_buffer:
        rows = rows.shuffle(seed=seed, buffer_size=shuffle_buffer)
    return StreamedFaces(split_dataset_by_node(rows, rank, world_size), column, image_size, name)


class StreamedFaces(torch.utils.data.IterableDataset):
    """A set of pictures of unknown length, uint8 (3, S, S) each, one pass an iteration. Made by `stream_faces`.

    Attributes:
        skipped: reason by picture name, of the broken pictures met so far; a loader's worker counts for itself.
    """

    def __init__(self, rows: datasets.IterableDataset, column: str, image_size: int, name: str) -> None:
        self.image_size = image_size
        self.name = name
        self.skipped: dict[str, str] = {}
        self._rows = rows
        self._column = column

    def set_epoch(self, epoch: int) -> None:
        """Shuffle the next pass in the order that belongs to `epoch`."""
        self._rows.set_epoch(epoch)

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Yield the usable pictures of one pass.

        Raises:
            ValueError: the set cannot be read, or no more; or the whole pass gave none, but not in a loader's worker,
                whose share may be empty by bad luck.
        """
        read = usable = 0
        for row in read_rows(self._rows, self.name):
            read += 1
            raw = row[self._column]
            picture = decode_square(raw, self.image_size)
            if isinstance(picture, torch.Tensor):
                usable += 1
                yield picture
            elif (name := picture_name(raw)) not in self.skipped:
                self.skipped[name] = picture
                logger.warning("%s: skipped picture %s: %s", self.name, name, picture)
        if not usable and torch.utils.data.get_worker_info() is None:
            first = next(iter(self.skipped.values()), "it is empty")
            raise ValueError(f"{self.name}: not one usable picture among {read} rows ({first})")


def draw_mirrored(n: int, generator: torch.Generator) -> torch.Tensor:
    """Draw which of `n` images are to be mirrored, each with probability 1/2, (n,) bool."""
    return torch.rand(n, generator=generator, device=generator.device) < 0.5


def mirror(images: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
    """Mirror the images of a batch (N, C, H, W) left to right for which `mirrored` (N,) is true."""
    mirrored = mirrored.to(images.device, non_blocking=True)
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)


def to_float(images: torch.Tensor) -> torch.Tensor:
    """Return uint8 images as float32 in [-1, 1]: 0 -> -1, 255 -> 1."""
    return images.float() / 127.5 - 1


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """Return float images in [-1, 1] as uint8, rounded to the nearest, clamped."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def _require(name: str, value: Any, at_least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise ValueError(f"{name}={value!r}: must be an integer of at least {at_least}")
