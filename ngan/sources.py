"""The forms that a set of pictures comes in, Hub data set, data set folder, folder of pictures, opened as rows."""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import yaml
from datasets.load import dataset_module_factory, get_dataset_builder_class
from datasets.packaged_modules.cache.cache import Cache
from huggingface_hub import DatasetCard
from huggingface_hub.errors import HTTPError, RevisionNotFoundError
from huggingface_hub.utils import validate_repo_id
from PIL import Image

from ngan.disk import is_there
from ngan.hub import split_revision

logger = logging.getLogger("ngan")

SPLIT_FOLDERS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
_TABLES = (".parquet", ".arrow", ".tar")
_SHARDS = 16  # of a local set when streamed, so that loader workers and processes can share it


class ColumnError(ValueError):
    """A data set has no column of pictures, or not the one that is asked for, or several: all its splits are so."""


def raw_rows(
    source: str | os.PathLike[str],
    split: str,
    column: str | None,
    streaming: bool,
    masks: str | None = None,
    config_name: str | None = None,
) -> tuple[Any, str]:
    """Open one split of a data set.

    Args:
        source: as for `ngan.data.load_faces`.
        split: name of the split.
        column: the column of the pictures; None = the only one that holds pictures.
        streaming: read the rows while they come in.
        masks: a column that holds no faces, if there is one.
        config_name: as for `ngan.data.load_faces`.

    Returns:
        Its undecoded rows, with the picture column only, and that column's name.

    Raises:
        FileNotFoundError: `source` is a path to nothing.
        ValueError: no such data set, configuration, split or column.
    """
    splits = _open(source, streaming, split, config_name)
    if split not in splits:
        raise ValueError(f"{source} has no split {split!r}; it has: {', '.join(map(str, splits))}")
    rows = splits[split]
    if rows is None:
        raise ValueError(f"{source}: split {split!r} is empty")
    if streaming and isinstance(rows, datasets.Dataset):
        rows = rows.to_iterable_dataset(num_shards=max(1, min(_SHARDS, len(rows))))
    features = rows.features
    if features is None:
        features = rows._resolve_features().features  # a stream without a description: from its first rows
    column = _picture_column(features, column, source, masks)
    rows = rows.select_columns([column])
    if isinstance(features[column], datasets.Image) or _is_bytes(features[column]):
        rows = rows.cast_column(column, datasets.Image(decode=False))
    return rows, column


def split_names(source: str | os.PathLike[str], config_name: str | None = None) -> list[str]:
    """Return the names of a data set's splits; raises as `raw_rows` does."""
    return list(_open(source, streaming=True, config_name=config_name))


def _open(
    source: str | os.PathLike[str], streaming: bool, split: str | None = None, config_name: str | None = None
) -> dict[str, Any]:
    """Return the splits of `source` by name, in whichever of the four forms it comes.

    Where one `split` is asked for, the others may be None: what nobody reads is not downloaded and prepared. So may
    one without a row.
    """
    path = Path(source).expanduser()
    if path.is_file() and path.suffix != ".parquet":
        raise ValueError(
            f"{source} is a file; give a folder of pictures, a data set folder, a parquet file or a Hub id"
        )
    if not is_there(path):
        text, revision = split_revision(str(source))
        if "://" in text:
            raise ValueError(f"{source} is an address; give the data set's id alone, as org/name")
        if text.startswith((".", "~", os.sep)) or text.count("/") > 1 or (os.sep != "/" and os.sep in text):
            raise FileNotFoundError(f"{source}: no such folder")
        if revision is not None and is_there(text):
            raise ValueError(f"{source}: {text} is here, and what is here has no revisions; leave out @{revision}")
        try:
            validate_repo_id(text)
        except ValueError as error:
            raise FileNotFoundError(f"{source}: no such folder here, and not a Hub id, as org/name") from error
        return _load_dataset(source, streaming, split, path=text, name=config_name, revision=revision)
    if path.is_dir() and not _is_saved(path) and (_has_tables(path) or _names_configurations(path)):
        return _load_dataset(source, streaming, split, path=str(path), name=config_name)
    if config_name is not None:
        raise ValueError(f"{source} has no configuration {config_name!r}: its README.md, if there is one, names none")
    if path.is_file():
        return _load_dataset(source, streaming, split, path="parquet", data_files=str(path))
    return _load_from_disk(path) if _is_saved(path) else _picture_folder(path)


def _is_saved(path: Path) -> bool:
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def _has_tables(path: Path) -> bool:
    return any(file.suffix in _TABLES for file in _files(path))


def _names_configurations(path: Path) -> bool:
    """Tell whether a folder's card says of which files its configurations consist, as one of the Hub's does."""
    try:
        text = (path / "README.md").read_text(encoding="utf-8")
        return text.startswith("---") and bool(DatasetCard(text).data.to_dict().get("configs"))
    except (OSError, ValueError, TypeError, yaml.YAMLError):  # not such a card
        return False


def _load_dataset(
    source: str | os.PathLike[str], streaming: bool, split: str | None, **arguments: Any
) -> dict[str, Any]:
    try:
        if arguments.get("revision"):
            _check_revision(**arguments)
        if streaming or split is None:
            return dict(datasets.load_dataset(**arguments, streaming=streaming))
        return _load_split(split, **arguments)
    except datasets.exceptions.DatasetNotFoundError as error:
        if isinstance(error.__cause__, RevisionNotFoundError):
            raise ValueError(f"{source!r}: the data set has no revision {arguments['revision']!r}") from error
        raise ValueError(
            f"{source!r}: no folder here and no data set on the Hub has this name, or it is private or gated; check "
            f"its spelling, log in with `hf auth login` if it needs an account, or give a folder as ./{source}"
        ) from error
    except ConnectionError as error:
        raise ValueError(
            f"{source!r}: no folder here has this name, and the Hub cannot be reached ({error})"
        ) from error
    except (datasets.exceptions.DatasetsError, OSError, ValueError) as error:
        _check_configuration(source, **arguments)
        what = f"{source}, split {split!r}" if split else f"{source}"
        raise ValueError(f"{what}: {_why_unreadable(error)}") from error


def read_rows(rows: datasets.IterableDataset, name: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a stream, which may break off after hours.

    Raises:
        ValueError: it cannot be read, or no more, with its name.
    """
    try:
        yield from rows
    except (datasets.exceptions.DatasetsError, HTTPError, OSError, ValueError) as error:
        raise ValueError(f"{name}: {_why_unreadable(error)}") from error


def _why_unreadable(error: Exception) -> str:
    cause = error.__cause__ or error
    if "BatchSize must be greater than 0" in str(cause):  # what pyarrow says of a parquet file without a row
        return "it is empty"
    return f"`datasets` cannot read it ({cause})"


def _check_revision(revision: str, **arguments: Any) -> None:
    """Refuse the cache's copy of another revision, which `datasets` takes where the Hub does not answer."""
    builder = datasets.load_dataset_builder(revision=revision, **arguments)
    if isinstance(builder, Cache) and builder.hash != revision:
        raise ConnectionError(f"the copy in the cache is of the revision {builder.hash}: name that one, or none")


def _check_configuration(source: str | os.PathLike[str], path: str, **chosen: Any) -> None:
    """Refuse no name of a configuration where there are several, and one that the data set has not."""
    if "data_files" in chosen:
        return
    name = chosen["name"]
    try:
        builder = get_dataset_builder_class(dataset_module_factory(path, revision=chosen.get("revision")))
    except (datasets.exceptions.DatasetsError, OSError, ValueError):
        return  # something else is wrong with it
    if issubclass(builder, Cache):
        raise ValueError(
            f"{source!r}: the Hub cannot be reached, and the cache holds no copy that `datasets` would take; where it "
            f"can be, `hf download {path} --type dataset --local-dir DIR` makes one for --dataset DIR"
        )
    names = list(builder.builder_configs)
    if name is None and builder.DEFAULT_CONFIG_NAME is None and len(names) > 1:
        raise ValueError(
            f"{source} has several configurations ({', '.join(names)}); name one of them, on a command line as "
            "--dataset_config_name"
        )
    if name is not None and names and name not in names:
        raise ValueError(f"{source} has no configuration {name!r}; it has: {', '.join(names)}")


def _load_split(split: str, **arguments: Any) -> dict[str, Any]:
    """Prepare one split only: `load_dataset(split=...)` prepares them all and then leaves the others out."""
    builder = datasets.load_dataset_builder(**arguments)
    files = {str(name): found for name, found in (builder.config.data_files or {}).items()}
    if len(files) < 2 or Path(builder.cache_dir).is_dir():  # nothing to leave out, or all are prepared already
        return dict(datasets.load_dataset(**arguments))
    splits = dict.fromkeys(files)
    if split in files:
        arguments |= {"data_files": {split: files[split]}, "features": builder.info.features}
        splits |= datasets.load_dataset(**arguments)
    return splits


def _load_from_disk(path: Path) -> dict[str, datasets.Dataset | None]:
    """Open what `save_to_disk` wrote, split by split: one without a row, which `datasets` cannot read, is None."""
    names = _saved_splits(path)
    splits: dict[str, datasets.Dataset | None] = {}
    for name in names or [""]:
        try:
            saved = datasets.load_from_disk(str(path / name))
        except IndexError:
            splits[name or "train"] = None
        except (OSError, ValueError, LookupError) as error:
            raise ValueError(f"{path / name}: `datasets` cannot read it ({error})") from error
        else:
            splits[name or str(saved.split or "train")] = saved
    return splits


def _saved_splits(path: Path) -> list[str]:
    """Return the splits of a saved data set; none if it is a single one."""
    index = path / "dataset_dict.json"
    if not index.is_file():
        return []
    try:
        return [str(name) for name in json.loads(index.read_text())["splits"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{index}: not what `save_to_disk` writes ({error})") from error


def _picture_folder(path: Path) -> dict[str, datasets.Dataset]:
    # Not `load_dataset("imagefolder")`: that one also takes "test" or "val" in a file's own name for a split.
    suffixes = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    found: dict[str, list[str]] = {}
    for file in _files(path):
        inside = file.relative_to(path).parts
        if file.suffix.lower() in suffixes and not any(part.startswith(".") for part in inside) and file.is_file():
            split = SPLIT_FOLDERS.get(inside[0].lower(), "") if len(inside) > 1 else ""
            found.setdefault(split, []).append(str(file))
    if not found:
        raise ValueError(f"{path} holds no picture and no data set")
    outside = found.pop("", [])
    if not found:
        found = {"train": outside}
    elif outside:
        logger.warning("%s: left out %d pictures outside its split folders (%s, ...)", path, len(outside), outside[0])
    feature = datasets.Features({"image": datasets.Image()})
    return {split: datasets.Dataset.from_dict({"image": files}, features=feature) for split, files in found.items()}


def _files(folder: Path) -> list[Path]:
    """Return the files in a folder at any depth, in order; links to folders are followed, but no folder twice."""
    seen, found, waiting = set(), [], [folder]
    while waiting:  # the folder itself before all that links in it lead to: its own places are its splits
        for place, folders, names in os.walk(waiting.pop(0)):
            real = os.path.realpath(place)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            waiting += [path for name in sorted(folders) if (path := Path(place, name)).is_symlink()]
            found += [Path(place, name) for name in names]
    return sorted(found)


def _picture_column(
    features: dict[str, Any], column: str | None, source: str | os.PathLike[str], masks: str | None
) -> str:
    layout = ", ".join(features)
    if column is not None and column not in features:
        raise ColumnError(f"{source} has no column {column!r}; it has: {layout}")
    pictures = [name for name, feature in features.items() if _holds_pictures(feature)]
    if column is not None and _is_bytes(features[column]):
        return column
    if column is not None and column not in pictures:
        raise ColumnError(
            f"{source}: column {column!r} holds no pictures; those that do: {', '.join(pictures) or 'none'}"
        )
    if not pictures:
        raw = next((name for name, feature in features.items() if _is_bytes(feature)), None)
        advice = f"; if {raw} holds them as bytes, name it, on a command line as --image_column {raw}" if raw else ""
        raise ColumnError(f"{source} has no column of pictures; its columns: {layout}{advice}")
    if column is None and len(pictures) > 1:
        pictures = [name for name in pictures if name != masks]
    if column is None and len(pictures) > 1:
        raise ColumnError(
            f"{source} has several columns of pictures ({', '.join(pictures)}); name one of them, on a command line "
            "as --image_column"
        )
    return column or pictures[0]


def _holds_pictures(feature: Any) -> bool:
    """Say whether a column is an Image, or the struct of bytes and path that an Image is stored as."""
    if isinstance(feature, datasets.Image):
        return True
    return isinstance(feature, dict) and _is_bytes(feature.get("bytes")) and set(feature) <= {"bytes", "path"}


def _is_bytes(feature: Any) -> bool:
    """Say whether a column holds bytes alone, which may be pictures or anything else."""
    return getattr(feature, "dtype", "") in ("binary", "large_binary")
