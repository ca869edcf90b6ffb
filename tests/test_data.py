import io
import logging
from pathlib import Path

import datasets
import pytest
import torch
from datasets.table import embed_table_storage
from PIL import Image

from ngan import data
from ngan.data import draw_mirrored, load_faces, mirror, read_streamed, stream_faces, to_float, to_uint8

RED, GREEN, BLUE = (200, 10, 10), (10, 200, 10), (10, 10, 200)


@pytest.fixture(autouse=True)
def offline_and_private(tmp_path_factory, monkeypatch):
    cache = str(tmp_path_factory.mktemp("cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0, raising=False)


def encode(picture, kind="PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def solid(colour, size=(40, 32)):
    return Image.new("RGB", size, colour)


def save(folder, name, picture):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


def colours(faces):
    return [tuple(picture[:, 0, 0].tolist()) for picture in faces]


@pytest.fixture
def flat(tmp_path):
    for name, colour in {"a.png": RED, "deep/b.png": GREEN, "deep/test_c.png": BLUE}.items():
        save(tmp_path / "flat", name, solid(colour))
    (tmp_path / "flat" / "notes.txt").write_text("no picture")
    return tmp_path / "flat"


@pytest.fixture
def with_broken(tmp_path):
    for name, colour in {"a.png": RED, "c.png": GREEN, "d.png": BLUE}.items():
        save(tmp_path / "broken", name, solid(colour))
    (tmp_path / "broken" / "b.png").write_bytes(encode(solid(RED))[:60])
    return tmp_path / "broken"


def two_columns():
    features = datasets.Features({"face": datasets.Image(), "mask": datasets.Image(), "n": datasets.Value("int64")})
    pictures = [solid(RED), solid(GREEN)]
    return datasets.Dataset.from_dict({"face": pictures, "mask": pictures[::-1], "n": [0, 1]}, features=features)


def one_column(*pictures):
    return datasets.Dataset.from_dict({"picture": list(pictures), "age": [1] * len(pictures)}).cast_column(
        "picture", datasets.Image()
    )


@pytest.mark.parametrize("in_memory", [False, True])
def test_flat_folder_is_one_train_split(flat, in_memory):
    faces = load_faces(str(flat), image_size=16, in_memory=in_memory, progress=False)
    assert len(faces) == 3
    assert faces[0].shape == (3, 16, 16) and faces[0].dtype == torch.uint8
    assert colours(faces) == [RED, GREEN, BLUE]
    assert torch.equal(faces[-1], faces[2])
    with pytest.raises(IndexError, match="3 of 3"):
        faces[3]
    with pytest.raises(ValueError, match="no split 'validation'; it has: train"):
        load_faces(flat, "validation")


def test_subfolders_are_splits(tmp_path, caplog):
    save(tmp_path, "train/a.png", solid(RED))
    save(tmp_path, "val/class/b.jpg", solid(GREEN))
    save(tmp_path, "stray.png", solid(BLUE))
    assert colours(load_faces(tmp_path, "train", image_size=16)) == [RED]
    assert len(load_faces(tmp_path, "validation", image_size=16)) == 1
    assert "left out 1 pictures" in caplog.text and "stray.png" in caplog.text
    with pytest.raises(ValueError, match="no split 'test'; it has: train, validation"):
        load_faces(tmp_path, "test")


def test_links_to_folders_are_followed_once(tmp_path):
    save(tmp_path, "elsewhere/deep/a.png", solid(RED))
    save(tmp_path, "set/train/b.png", solid(GREEN))
    (tmp_path / "set/train/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/validation").symlink_to(tmp_path / "elsewhere/deep")
    (tmp_path / "elsewhere/deep/loop").symlink_to(tmp_path / "set")
    assert colours(load_faces(tmp_path / "set", image_size=16)) == [GREEN]
    assert colours(load_faces(tmp_path / "set", "validation", image_size=16)) == [RED]
    (tmp_path / "set/validation").unlink()
    assert colours(load_faces(tmp_path / "set", image_size=16)) == [GREEN, RED]


def test_parquet_with_embedded_pictures(tmp_path):
    rows = one_column(solid(RED), solid(GREEN)).with_format("arrow").map(embed_table_storage, batched=True)
    (tmp_path / "data").mkdir()
    rows.to_parquet(str(tmp_path / "data" / "train-00000-of-00001.parquet"))
    assert colours(load_faces(str(tmp_path), image_size=16)) == [RED, GREEN]
    assert colours(load_faces(tmp_path, image_size=16, limit=1)) == [RED]
    assert colours(load_faces(tmp_path / "data" / "train-00000-of-00001.parquet", image_size=16)) == [RED] * 1 + [
        GREEN
    ]
    assert sorted(colours(stream_faces(tmp_path, image_size=16))) == sorted([RED, GREEN])
    with pytest.raises(ValueError, match="no split 'validation'; it has: train"):
        load_faces(tmp_path, "validation")


def two_splits(folder):
    folder.mkdir()
    for split, colour in {"train": RED, "validation": GREEN}.items():
        rows = one_column(solid(colour), solid(BLUE)).with_format("arrow").map(embed_table_storage, batched=True)
        rows.to_parquet(str(folder / f"{split}.parquet"))
    return folder


def prepared():
    """Names of the splits that `datasets` has prepared on this disk."""
    cache = Path(datasets.config.HF_DATASETS_CACHE)
    return {file.stem.split("-")[-1] for file in cache.rglob("*.arrow") if not file.name.startswith("cache-")}


def test_only_the_split_that_is_read_is_prepared(tmp_path):
    folder = two_splits(tmp_path / "tables")
    with pytest.raises(ValueError, match="no split 'test'; it has: train, validation"):
        load_faces(folder, "test")
    assert colours(load_faces(folder, "validation", image_size=16)) == [GREEN, BLUE]
    assert prepared() == {"validation"}
    assert colours(load_faces(folder, image_size=16)) == [RED, BLUE]


def test_faces_read_from_a_stream_are_those_in_order_and_leave_no_copy(tmp_path, with_broken):
    folder = two_splits(tmp_path / "tables")
    assert colours(read_streamed(folder, "validation", image_size=16)) == [GREEN, BLUE]
    assert colours(read_streamed(folder, "train", image_size=16, limit=1)) == [RED]
    assert prepared() == set()
    assert colours(read_streamed(with_broken, "train", image_size=16)) == [RED, GREEN, BLUE]


def test_struct_of_bytes_and_path_is_a_picture_column(tmp_path):
    raw = [{"bytes": encode(solid(c)), "path": None} for c in (RED, GREEN)]
    datasets.Dataset.from_dict({"img": raw, "n": [0, 1]}).to_parquet(str(tmp_path / "train.parquet"))
    assert colours(load_faces(tmp_path, image_size=16)) == [RED, GREEN]
    assert sorted(colours(stream_faces(tmp_path, image_size=16))) == sorted([RED, GREEN])


def test_save_to_disk_of_a_set_and_of_splits(tmp_path):
    one_column(solid(RED)).save_to_disk(str(tmp_path / "one"))
    splits = datasets.DatasetDict({"train": one_column(solid(GREEN)), "test": one_column(solid(BLUE))})
    splits.save_to_disk(str(tmp_path / "two"))
    assert colours(load_faces(tmp_path / "one", image_size=16)) == [RED]
    assert colours(load_faces(tmp_path / "two", "test", image_size=16)) == [BLUE]
    assert colours(stream_faces(tmp_path / "two", "train", image_size=16)) == [GREEN]


def test_several_picture_columns_need_a_name(tmp_path):
    two_columns().save_to_disk(str(tmp_path / "set"))
    with pytest.raises(ValueError, match=r"several columns of pictures \(face, mask\)"):
        load_faces(tmp_path / "set")
    assert colours(load_faces(tmp_path / "set", image_size=16, column="mask")) == [GREEN, RED]
    with pytest.raises(ValueError, match="no column 'image'; it has: face, mask, n"):
        load_faces(tmp_path / "set", column="image")
    with pytest.raises(ValueError, match="column 'n' holds no pictures"):
        load_faces(tmp_path / "set", column="n")
    two_columns().select_columns(["n"]).save_to_disk(str(tmp_path / "none"))
    with pytest.raises(ValueError, match="no column of pictures; its columns: n"):
        load_faces(tmp_path / "none")


def test_broken_picture_is_replaced_by_the_next_and_named_once(with_broken, caplog):
    faces = load_faces(with_broken, image_size=16)
    assert len(faces) == 4
    assert colours(faces) == [RED, GREEN, GREEN, BLUE] == colours(faces)
    assert list(faces.skipped) == [1]
    assert caplog.text.count("skipped picture 1") == 1 and "b.png" in caplog.text


def test_broken_picture_is_left_out_in_memory(with_broken, caplog):
    faces = load_faces(with_broken, image_size=16, in_memory=True, progress=False)
    assert faces.images.shape == (3, 3, 16, 16)
    assert colours(faces) == [RED, GREEN, BLUE]
    assert list(faces.skipped) == [1] and "b.png" in caplog.text


@pytest.mark.parametrize("content", [b"", b"Sent from my phone, see below.\n" * 9])
def test_what_is_no_picture_is_said_in_words(tmp_path, caplog, content):
    save(tmp_path, "a.png", solid(RED))
    (tmp_path / "b.png").write_bytes(content)
    faces = load_faces(tmp_path, image_size=16, in_memory=True, progress=False)
    assert faces.skipped == {1: "not a picture of a format that can be read"}
    assert "b.png" in caplog.text and "object at 0x" not in caplog.text


def test_last_picture_broken_wraps_round(with_broken):
    (with_broken / "d.png").write_bytes(b"no picture")
    assert colours(load_faces(with_broken, image_size=16)) == [RED, GREEN, GREEN, RED]


@pytest.mark.parametrize("in_memory", [False, True])
def test_set_without_usable_picture_is_an_error(tmp_path, in_memory):
    for i in range(3):
        save(tmp_path / "small", f"{i}.png", solid(RED, (1, 1)))
    with pytest.raises(ValueError, match="not one usable picture among 3 rows .PictureError: image: 1x1 pixels"):
        load_faces(tmp_path / "small", in_memory=in_memory, progress=False)
    one_column(solid(RED)).select([]).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(ValueError, match="saved: split .train. is empty"):
        load_faces(tmp_path / "saved", in_memory=in_memory, progress=False)
    (tmp_path / "table").mkdir()
    one_column(solid(RED)).select([]).to_parquet(str(tmp_path / "table" / "train.parquet"))
    with pytest.raises(ValueError, match="table, split 'train': .* no data"):
        load_faces(tmp_path / "table", in_memory=in_memory, progress=False)
    with pytest.raises(ValueError, match="among 0 rows .it is empty"):
        stream_faces(tmp_path / "table")


def test_empty_folder_and_missing_paths_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no picture and no data set"):
        load_faces(tmp_path / "empty")
    for source in (tmp_path / "nothing", "./nothing", "~/no/such/folder", "a/b/c"):
        with pytest.raises(FileNotFoundError, match="no such folder"):
            load_faces(source)
    for address in ("https://huggingface.co/datasets/org/name", "hf://datasets/org/name"):
        with pytest.raises(ValueError, match=f"^{address} is an address; give the data set's id alone, as org/name$"):
            load_faces(address)
    (tmp_path / "faces.csv").write_text("a,b")
    with pytest.raises(ValueError, match="is a file"):
        load_faces(tmp_path / "faces.csv")


def test_unreadable_parquet_is_an_error_that_names_it(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(ValueError, match=r"`datasets` cannot read it \(Parquet magic"):
        load_faces(tmp_path)


def test_unknown_hub_id_gets_advice(monkeypatch):
    def unknown(**_):
        raise datasets.exceptions.DatasetNotFoundError("gone")

    monkeypatch.setattr(data.datasets, "load_dataset_builder", unknown)
    with pytest.raises(ValueError, match="'nobody/nothing': no folder here and no data set on the Hub"):
        load_faces("nobody/nothing")


def test_unreachable_hub_is_said_so(monkeypatch):
    def unreachable(**_):
        raise ConnectionError("no route")

    monkeypatch.setattr(data.datasets, "load_dataset_builder", unreachable)
    with pytest.raises(ValueError, match="the Hub cannot be reached .no route"):
        load_faces("nobody/nothing")


@pytest.mark.parametrize("name, value", [("image_size", 0), ("image_size", 16.5), ("limit", 0)])
def test_impossible_numbers_are_refused_by_name(flat, name, value):
    with pytest.raises(ValueError, match=f"{name}={value}"):
        load_faces(flat, **{name: value})


def test_decompression_bomb_is_skipped(tmp_path, monkeypatch):
    save(tmp_path, "a.png", solid(RED))
    save(tmp_path, "b.png", solid(GREEN, (300, 300)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40_000)  # Pillow refuses twice that
    faces = load_faces(tmp_path, image_size=16, in_memory=True, progress=False)
    assert colours(faces) == [RED]
    assert "DecompressionBombError" in faces.skipped[1]


def test_stream_gives_every_picture_once_and_shuffles_by_seed_and_epoch(tmp_path):
    for i in range(40):
        save(tmp_path, f"{i:02}.png", solid((5 * i, 0, 0)))
    faces = stream_faces(tmp_path, image_size=16, seed=1, shuffle_buffer=10)
    first = colours(faces)
    assert sorted(first) == [(5 * i, 0, 0) for i in range(40)]
    assert first == colours(stream_faces(tmp_path, image_size=16, seed=1, shuffle_buffer=10)) != sorted(first)
    faces.set_epoch(1)
    assert colours(faces) != first
    assert sorted(colours(faces)) == sorted(first)


@pytest.mark.parametrize("world_size", [2, 3])
def test_stream_is_shared_without_overlap(tmp_path, world_size):
    for i in range(12):
        save(tmp_path, f"{i:02}.png", solid((20 * i, 0, 0)))
    parts = [
        colours(stream_faces(tmp_path, image_size=16, rank=rank, world_size=world_size)) for rank in range(world_size)
    ]
    assert all(len(part) == 12 // world_size for part in parts)
    assert sorted(sum(parts, [])) == [(20 * i, 0, 0) for i in range(12)]


def test_stream_skips_a_broken_picture_with_one_warning(with_broken, caplog):
    faces = stream_faces(with_broken, image_size=16)
    assert sorted(colours(faces)) == sorted(colours(faces)) == sorted([RED, GREEN, BLUE])
    assert len(faces.skipped) == 1 and next(iter(faces.skipped)).endswith("b.png")
    assert caplog.text.count("b.png") == 1


def test_stream_without_usable_picture_is_an_error(tmp_path):
    save(tmp_path, "a.png", solid(RED, (40, 3)))
    with pytest.raises(ValueError, match="not one usable picture among 1 rows .PictureError: image: 40x3 pixels"):
        stream_faces(tmp_path)
    with pytest.raises(ValueError, match="rank=2: must be below world_size=2"):
        stream_faces(tmp_path, rank=2, world_size=2)


def test_loader_workers_share_a_stream_and_a_set(flat):
    stream = torch.utils.data.DataLoader(stream_faces(flat, image_size=16), batch_size=None, num_workers=2)
    assert sorted(colours(stream)) == sorted([RED, GREEN, BLUE])
    batches = list(torch.utils.data.DataLoader(load_faces(flat, image_size=16), batch_size=2, num_workers=1))
    assert [batch.shape for batch in batches] == [(2, 3, 16, 16), (1, 3, 16, 16)]


def test_flip_is_reproducible_and_mirrors_about_half():
    images = torch.arange(64 * 3 * 2 * 4).view(64, 3, 2, 4)
    flipped = mirror(images, draw_mirrored(64, torch.Generator().manual_seed(3)))
    assert torch.equal(flipped, mirror(images, draw_mirrored(64, torch.Generator().manual_seed(3))))
    same = [torch.equal(a, b) for a, b in zip(flipped, images, strict=True)]
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(flipped, images, strict=True)]
    assert all(s != m for s, m in zip(same, mirrored, strict=True))
    assert 16 < sum(mirrored) < 48
    other = mirror(images, draw_mirrored(64, torch.Generator().manual_seed(4)))
    assert not torch.equal(flipped, other)


def test_conversion_to_float_and_back():
    levels = torch.arange(256, dtype=torch.uint8)
    floats = to_float(levels)
    assert floats.dtype == torch.float32 and floats[0] == -1 and floats[-1] == 1
    assert torch.equal(to_uint8(floats), levels)
    assert to_uint8(torch.tensor([-1.2, 1.2, 0.0, 0.003])).tolist() == [0, 255, 128, 128]  # 127.5 rounds to even


def test_library_logs_under_its_own_name(with_broken, caplog):
    with caplog.at_level(logging.WARNING, logger="ngan"):
        load_faces(with_broken, image_size=16, in_memory=True, progress=False)
    assert {record.name for record in caplog.records} == {"ngan"}
