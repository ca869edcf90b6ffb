"""Sets of pictures that `datasets` cannot read, or reads no further: what is told of them."""

import io
from collections.abc import Iterator
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from huggingface_hub.errors import HTTPError
from PIL import Image

from ngan.data import load_faces, stream_faces


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize("opened", [load_faces, stream_faces])
def test_a_parquet_file_without_a_row_is_called_empty(tmp_path, opened):
    features = datasets.Features({"image": datasets.Image()}).arrow_schema
    pyarrow.parquet.write_table(features.empty_table(), tmp_path / "train.parquet")
    with pytest.raises(ValueError, match=rf"{tmp_path}, split '?train'?: it is empty"):
        opened(tmp_path)


@pytest.mark.parametrize("opened", [load_faces, stream_faces])
@pytest.mark.parametrize("kind", [pyarrow.binary(), pyarrow.large_binary()])
def test_a_column_of_bytes_is_read_once_it_is_named(tmp_path, opened, kind):
    content = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(content, "PNG")
    columns = {"n": [1, 2], "face": pyarrow.array([content.getvalue(), b"no picture"], kind)}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "train.parquet")
    with pytest.raises(ValueError, match="no column of pictures; its columns: n, face; if face holds them as bytes, "):
        opened(tmp_path)
    faces = opened(tmp_path, column="face", image_size=16)
    assert next(iter(faces))[:, 0, 0].tolist() == [255, 0, 0]


def test_a_stream_that_breaks_off_is_named(tmp_path, monkeypatch):
    def lost(*_: object) -> Iterator[dict[str, Any]]:
        raise HTTPError("the connection broke off")
        yield

    Image.new("RGB", (40, 40)).save(tmp_path / "face.png")
    faces = stream_faces(tmp_path)
    monkeypatch.setattr(type(faces._rows), "__iter__", lost)
    with pytest.raises(ValueError, match="split train: `datasets` cannot read it .the connection broke off"):
        next(iter(faces))
