"""What a PNG says of its colours beside a profile stays in the PNG made of it; of other formats the loss is told."""

import json
import struct
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from shell import SIDE, hole, picture

from ngan import deep
from ngan.__main__ import main
from ngan.saving import Origin, losses, save_picture

PROFILE = b"\0" * 16 + b"RGB " + b"\0" * 108  # the colour space is at bytes 16 to 19
P3 = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
LINEAR, WIDE = (b"gAMA", struct.pack(">I", 100000)), (b"cHRM", struct.pack(">8I", *P3))
USUAL, INTENT, HDR = (b"gAMA", struct.pack(">I", 45455)), (b"sRGB", b"\1"), (b"cICP", bytes((9, 16, 0, 1)))
COLOURS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"iCCP")
DEPTHS = [(8, "RGB"), (8, "RGBA"), (8, "L"), (8, "P"), (16, "RGB"), (16, "RGBA"), (16, "L")]


def chunks_of(path: str | Path) -> list[tuple[bytes, bytes]]:
    data, start, found = Path(path).read_bytes(), 8, []
    while start < len(data):
        size, kind = struct.unpack(">I4s", data[start : start + 8])
        content = data[start + 8 : start + 8 + size]
        assert struct.unpack(">I", data[start + 8 + size : start + 12 + size])[0] == zlib.crc32(kind + content)
        found.append((kind, content))
        start += size + 12
    return found


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def write(path: str, depth: int, mode: str, chunks: list[tuple[bytes, bytes]], before: bytes = b"") -> None:
    """Write a face with `chunks` behind the head, or before the first of kind `before`."""
    if depth == 16:
        shape = {"RGB": (3,), "RGBA": (4,), "L": ()}[mode]
        values = np.random.default_rng(0).integers(0, 65536, (SIDE, SIDE, *shape), dtype=np.uint16)
        cv2.imwrite(path, values)
    else:
        picture(0, mode).save(path)
    data = Path(path).read_bytes()
    start = data.index(before) - 4 if before else 33
    Path(path).write_bytes(data[:start] + b"".join(chunk(*one) for one in chunks) + data[start:])


def fill(model: str, face: str, out: str, *words: str) -> None:
    Image.fromarray(hole()).save("mask.png")
    assert main(["inpaint", face, "mask.png", "-o", out, "--model", model, "--overwrite", *words]) == 0


def colours_of(path: str | Path) -> list[tuple[bytes, bytes]]:
    return [one for one in chunks_of(path) if one[0] in COLOURS]


@pytest.mark.parametrize(("depth", "mode"), DEPTHS)
def test_they_are_handed_on_in_their_order_and_known_pixels_stay(here, model, depth, mode):
    for chunks in ([WIDE, LINEAR], [HDR, USUAL], [INTENT]):
        write("face.png", depth, mode, chunks)
        fill(model, "face.png", "out.png")
        assert colours_of("out.png") == chunks
        kinds = [kind for kind, _ in chunks_of("out.png")]
        assert kinds[0] == b"IHDR" and max(map(kinds.index, dict(chunks))) < kinds.index(b"IDAT")
        how = cv2.IMREAD_UNCHANGED if mode != "P" else cv2.IMREAD_COLOR
        face, filled = cv2.imread("face.png", how), cv2.imread("out.png", how)
        assert filled.dtype == (np.uint16 if depth == 16 else np.uint8)
        assert np.array_equal(filled[hole() == 0], face[hole() == 0])
        with Image.open("out.png") as file:
            file.load()
            assert file.info.get("gamma") == {LINEAR: 1.0, USUAL: 0.45455}.get(chunks[-1])


@pytest.mark.parametrize("depth", [8, 16])
def test_they_are_all_that_they_add(here, model, depth):
    written = []
    for chunks in ([], [WIDE, LINEAR]):
        write("face.png", depth, "RGB", chunks)
        fill(model, "face.png", "out.png")
        written.append(Path("out.png").read_bytes())
    assert written[1].replace(b"".join(map(chunk, *zip(WIDE, LINEAR, strict=True))), b"") == written[0]
    with Image.open("out.png") as file:
        plain = file.convert("RGB")
    buffer = BytesIO()
    if depth == 8:
        plain.save(buffer, "PNG", pnginfo=PngInfo())
        expected = buffer.getvalue()
    else:
        expected = deep.png(cv2.imread("out.png", cv2.IMREAD_UNCHANGED)[..., ::-1], {}, 6)
    assert expected == written[0]


def test_they_stay_with_the_profile_and_without_the_metadata(here, model):
    write("face.png", 8, "RGB", [LINEAR, WIDE])
    fill(model, "face.png", "out.png", "--strip-metadata")
    assert colours_of("out.png") == [LINEAR, WIDE]

    picture(0).save("face.png", icc_profile=PROFILE)
    data = Path("face.png").read_bytes()
    start = data.index(b"IDAT") - 4
    Path("face.png").write_bytes(data[:start] + chunk(*LINEAR) + chunk(*INTENT) + data[start:])
    fill(model, "face.png", "out.png")
    assert [kind for kind, _ in colours_of("out.png")] == [b"iCCP", b"gAMA"]  # sRGB may not stand beside a profile
    with Image.open("out.png") as file:
        assert file.info["icc_profile"] == PROFILE


@pytest.mark.parametrize(
    "broken",
    [
        (b"gAMA", bytes(4)),
        (b"gAMA", b"\xff" * 4),
        (b"gAMA", struct.pack(">II", 100000, 1)),
        (b"cHRM", struct.pack(">4I", *P3[:4])),
        (b"cHRM", struct.pack(">8I", 31270, 0, *P3[2:])),
        (b"sRGB", b"\7"),
        (b"sRGB", b"\1\1"),
        (b"cICP", bytes((9, 16, 0))),
        (b"cICP", bytes((9, 16, 9, 1))),
        (b"cICP", bytes((9, 16, 0, 2))),
    ],
)
def test_broken_ones_are_left_out(here, broken):
    sound = USUAL if broken[0] != b"gAMA" else INTENT
    write("face.png", 8, "RGB", [broken, sound])
    with Image.open("face.png") as file:
        assert Origin.of(file).colours == (sound,)


def test_of_two_the_first_counts_and_none_behind_the_palette(here):
    write("face.png", 8, "P", [LINEAR, USUAL])
    with Image.open("face.png") as file:
        assert Origin.of(file).colours == (LINEAR,)
    write("face.png", 8, "P", [LINEAR], before=b"IDAT")
    with Image.open("face.png") as file:
        assert Origin.of(file).colours == ()


@pytest.mark.parametrize(
    ("chunks", "profile", "names"),
    [
        ([LINEAR], b"", "gAMA"),
        ([LINEAR, WIDE], b"", "gAMA and cHRM"),
        ([USUAL, WIDE], b"", "cHRM"),
        ([HDR, USUAL], b"", "cICP"),
        ([HDR], PROFILE, "cICP"),  # it goes before a profile
        ([LINEAR, WIDE], PROFILE, None),
        ([(b"cICP", bytes((1, 13, 0, 1))), LINEAR], b"", None),  # sRGB, before gAMA
        ([INTENT, LINEAR], b"", None),
        ([(b"gAMA", struct.pack(">I", 45000))], b"", None),
        ([(b"gAMA", struct.pack(">I", 55556))], b"", "gAMA"),  # 1/1.8
        ([], b"", None),
    ],
)
def test_a_format_that_holds_none_says_it_where_colours_change(chunks, profile, names):
    origin = Origin("PNG", "RGB", icc_profile=profile, colours=tuple(chunks))
    assert losses(picture(0), ".PNG", origin) == [] == losses(picture(0), ".webp")
    for suffix in (".webp", ".tif", ".bmp", ".jpg"):
        told = f"{suffix} holds no {names}: its colours will be read otherwise; PNG holds them."
        bare = [".bmp holds no colour profile; PNG, TIFF and WebP do."] if profile and suffix == ".bmp" else []
        assert losses(picture(0), suffix, origin) == bare + ([told] if names else [])


def test_the_command_says_it(here, model, capsys):
    write("face.png", 8, "RGB", [LINEAR])
    fill(model, "face.png", "out.webp", "--report", "r.json")
    (notes,) = json.loads(Path("r.json").read_text())["notes"].values()
    assert any(note.startswith(".webp holds no gAMA") for note in notes)
    assert ".webp holds no gAMA" in capsys.readouterr().err


def test_other_files_have_none(here):
    picture(0).save("face.jpg")
    with Image.open("face.jpg") as file:
        assert Origin.of(file).colours == ()
    save_picture(Path("out.png"), picture(0))
    assert colours_of("out.png") == []
