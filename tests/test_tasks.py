"""What is found to be filled: links and what cannot be read in folders, and masks that may be none."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rights import plain_rights
from shell import SIDE, hole, picture, save_finder, summary, write_folders, write_pair

from ngan.__main__ import main
from ngan.tasks import list_pictures


def found(where: str, recursive: bool = True, without: tuple[str, ...] = ()) -> list[str]:
    return [str(path) for path in list_pictures(where, recursive, [Path(folder) for folder in without])[1]]


def test_links_to_folders_are_followed_and_never_round(here):
    for folder in ("faces/x", "elsewhere/y"):
        os.makedirs(folder)
    picture(0).save("faces/x/a.png")
    picture(0).save("elsewhere/y/b.png")
    os.symlink("../elsewhere", "faces/link")
    os.symlink("../faces", "elsewhere/back")
    os.symlink("..", "faces/x/up")
    os.symlink(".", "faces/x/self")
    assert found("faces") == ["faces/link/y/b.png", "faces/x/a.png"]
    os.symlink("../../elsewhere/y/b.png", "faces/x/c.png")
    assert found("faces", without=("elsewhere/y",)) == ["faces/x/a.png", "faces/x/c.png"]


def test_outputs_that_a_link_leads_to_are_no_inputs(here, tmp_path):
    os.makedirs("faces")
    picture(0).point(lambda value: 255 * (value > 128)).save("faces/a.png")
    os.symlink("..", "faces/all")
    finder = save_finder(tmp_path / "finder")
    for _ in range(2):
        assert main(["inpaint", "faces", "--find-damage", "-o", "out", "--recursive", "--model", finder]) == 0
        assert [str(path) for path in Path("out").rglob("*.*")] == ["out/a.png"]


def test_what_cannot_be_read_fails_by_name(here, model, capsys):
    write_folders(["a.png"])
    for folder in ("faces/closed", "faces/.hidden", "masks/closed"):
        os.mkdir(folder)
    write_pair("faces/closed/b.png", "masks/closed/b.png")
    os.symlink("nowhere", "faces/lost.png")
    os.symlink("nowhere", "faces/lost")
    os.symlink("round.jpg", "faces/round.jpg")
    os.symlink("nowhere", "faces/notes.txt")
    for folder in ("faces/closed", "faces/.hidden"):
        os.chmod(folder, 0)
    words = ["inpaint", "faces", "masks", "-o", "out", "--recursive", "--report", "r.json", "--model", model]
    with plain_rights():
        assert main(words) == 1
    lines = summary(capsys)
    assert sorted(lines[:-1]) == [
        "ngan: error: faces/closed: cannot be read (Permission denied)",
        "ngan: error: faces/lost.png: No such file or directory",
        "ngan: error: faces/lost: cannot be read (No such file or directory)",
        "ngan: error: faces/round.jpg cannot be read (Too many levels of symbolic links)",
    ]
    assert lines[-1] == "ngan: 1 of 5 faces filled (1 without a face found), 4 failed"
    assert sorted(json.loads(Path("r.json").read_text())["failed"]) == [
        f"faces/{name}" for name in ("closed", "lost", "lost.png", "round.jpg")
    ]
    assert found("faces", recursive=False) == ["faces/a.png", "faces/lost.png", "faces/round.jpg"]
    os.chmod("faces/closed", 0o755)
    assert found("faces/closed") == ["faces/closed/b.png"]


@pytest.mark.parametrize("pattern", ["faces/**/*.png", "faces/*/*.png", "faces/[cx]*/**/*.png", "fac*s/*/*.png"])
def test_a_folder_that_a_pattern_cannot_read_fails_by_name(here, model, capsys, pattern):
    for i, folder in enumerate(("cx", "closed", ".hidden")):
        os.makedirs(f"faces/{folder}")
        write_pair(f"faces/{folder}/a.png", "mask.png", seed=i)
    for folder in ("closed", ".hidden"):
        os.chmod(f"faces/{folder}", 0)
    with plain_rights():
        assert main(["inpaint", pattern, "--find-damage", "-o", "out", "--model", model]) == 1
    lines = summary(capsys)
    assert lines[0] == "ngan: error: faces/closed: cannot be read (Permission denied)"
    assert lines[-1] == "ngan: 0 of 2 faces filled, 1 written as they were, without damage found, 1 failed"
    with plain_rights():
        assert main(["inpaint", "faces/closed/*.png", "--find-damage", "-o", "out", "--model", model]) == 2
    assert summary(capsys) == ["ngan: error: faces/closed: Permission denied"]


@pytest.mark.parametrize("recursive", [False, True])
def test_a_folder_that_cannot_be_read_at_all_is_refused(here, model, capsys, recursive):
    write_folders(["a.png"])
    os.chmod("faces", 0)
    with plain_rights():
        words = ["inpaint", "faces", "masks", "-o", "out", "--model", model]
        assert main([*words, *(["--recursive"] if recursive else [])]) == 2
    assert summary(capsys) == ["ngan: error: faces: Permission denied"]


def test_a_failure_names_its_file_once(here, model, capsys):
    write_folders(["a.png"])
    Path("faces/zero.png").write_bytes(b"")
    write_pair("face.png", "masks/zero.png")
    assert main(["inpaint", "faces", "masks", "-o", "out", "--model", model]) == 1
    assert summary(capsys)[0] == "ngan: error: faces/zero.png is empty"


def bright(mode: str, colour: tuple[int, ...]) -> Image.Image:
    """A mask that marks its hole by a colour."""
    mask = np.zeros((SIDE, SIDE, len(colour)), np.uint8)
    mask[hole() > 0] = colour
    return Image.fromarray(mask).convert(mode)


def clear() -> Image.Image:
    """A mask that is transparent, over red, where nothing is to be filled."""
    mask = np.full((SIDE, SIDE, 4), (200, 30, 30, 0), np.uint8)
    mask[hole() > 0] = 255
    return Image.fromarray(mask)


@pytest.mark.parametrize(
    ("name", "mask", "coloured"),
    [
        ("photo.png", picture(7), True),
        ("photo.jpg", picture(7), True),
        ("yellow.png", bright("RGB", (255, 255, 0)), True),
        ("palette.png", bright("P", (255, 255, 0)), True),
        ("white.png", bright("RGB", (255, 255, 255)), False),
        ("white.jpg", bright("RGB", (255, 255, 255)), False),
        ("grey.jpg", picture(7, "L"), False),
        ("grey.png", picture(7, "L").convert("RGB"), False),
        ("clear.png", clear(), False),
    ],
)
def test_a_mask_with_colours_is_told(here, model, capsys, name, mask, coloured):
    picture(0).save("a.png")
    mask.save(name)
    assert main(["inpaint", "a.png", name, "-o", "out.png", "--model", model]) == 0
    (line,) = summary(capsys)
    assert line.startswith("ngan: a.png: ")
    assert (f"{name} has colours; it is read as grey, and white is filled." in line) == coloured


def test_masks_with_colours_are_counted_and_reported_by_name(here, model, capsys):
    write_folders(["a.png", "b.png"])
    picture(7).save("masks/b.png")
    words = ["inpaint", "faces", "masks", "-o", "out", "--report", "r.json", "--model", model]
    assert main(words) == 0
    assert summary(capsys) == ["ngan: 2 of 2 faces filled (2 without a face found, 1 by a mask that has colours)"]
    report = json.loads(Path("r.json").read_text())
    assert report["coloured"] == 1
    assert [name for name, notes in report["notes"].items() if "masks/b.png has colours" in notes[0]] == [
        "faces/b.png"
    ]
