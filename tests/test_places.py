"""Where the command line writes: files, pipes and folders, what may not be written to, and what kills leave."""

import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image
from rights import plain_rights
from shell import SIDE, only_error, write_folders, write_pair

from ngan.__main__ import main
from ngan.disk import is_written_in_place, remove_stale, write_bytes

ROOT = Path(__file__).parent.parent


def draining(pipe: str) -> tuple[threading.Thread, list[bytes]]:
    """Make a named pipe and read it in a thread."""
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(Path(pipe).read_bytes()), daemon=True)
    reader.start()
    return reader, got


@pytest.mark.parametrize("processes", [1, 2])
def test_a_report_may_go_into_a_pipe(here, model, monkeypatch, processes):
    write_pair()
    reader, got = draining("pipe")
    if processes == 2:
        monkeypatch.setenv("RANK", "0")
        monkeypatch.setenv("WORLD_SIZE", "2")
    words = ["inpaint", "face.png", "mask.png", "-o", "out.png", "--report", "pipe", "--model", model]
    assert main(words) == 0
    reader.join(300)
    assert json.loads(got[0])["filled"] == 1
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)
    assert sorted(os.listdir()) == ["face.png", "mask.png", "out.png", "pipe"]


def test_a_picture_may_go_into_a_pipe(here, model):
    write_pair()
    reader, got = draining("out.png")
    assert main(["inpaint", "face.png", "mask.png", "-o", "out.png", "--model", model]) == 0
    reader.join(300)
    Path("got.png").write_bytes(got[0])
    assert Image.open("got.png").size == (SIDE, SIDE)
    assert stat.S_ISFIFO(os.stat("out.png").st_mode)


def test_a_full_device_stays_one_and_is_told(here):
    try:
        os.mknod("full", 0o666 | stat.S_IFCHR, os.makedev(1, 7))
        open("full", "rb").close()
    except OSError:
        pytest.skip("no device can be made here")
    with pytest.raises(OSError, match="No space left on device: 'full'"):
        write_bytes(Path("full"), b"1")
    assert stat.S_ISCHR(os.stat("full").st_mode)


def test_the_report_follows_what_was_printed_where_both_go_to_stdout(here):
    """By a link as /dev/stdout is one, to a file and to a pipe."""
    code = "from pathlib import Path; from ngan.disk import write_bytes; print('first')\n"
    code += "write_bytes(Path('/proc/self/fd/1'), b'second')"
    command, variables = [sys.executable, "-c", code], {**os.environ, "PYTHONPATH": str(ROOT)}
    if not Path("/proc/self/fd/1").is_symlink():
        pytest.skip("there is no /proc")
    with open("shown", "wb") as shown:
        subprocess.run(command, env=variables, stdout=shown, check=True)
    assert Path("shown").read_text() == "first\nsecond"
    done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"first\nsecond" and os.listdir() == ["shown"]


def test_a_link_of_ones_own_is_replaced_and_what_it_leads_to_is_not(here):
    Path("old").write_bytes(b"1")
    os.symlink("old", "link")
    assert not is_written_in_place(Path("link")) and not is_written_in_place(Path("nothing"))
    write_bytes(Path("link"), b"2")
    assert (Path("old").read_bytes(), Path("link").read_bytes()) == (b"1", b"2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["faces", "masks", "-o", "new", "--report", "new"], "new is a folder to write pictures to; name a file"),
        (["faces", "masks", "-o", "a/b", "--report", "./a"], "a is a folder to write pictures to; name a file"),
        (["faces/a.png", "masks/a.png", "-o", "o.png", "--report", "o.png/r"], "o.png is no folder but a picture"),
        (["faces", "masks", "-o", "result.png"], "result.png: many faces need a folder to write to, and its name"),
        (["faces/*.png", "masks", "-o", "r.JPG"], "r.JPG: many faces need a folder to write to, and its name"),
        (["faces", "masks", "-o", "r.heic"], "its name may not end in .heic"),
        (["faces/a.png", "masks/a.png", "-o", "pipe"], "pipe: OUT must be a folder, or a picture file that ends in"),
        (["faces", "masks", "-o", "pipe"], "pipe: OUT must be a folder, or a picture file that ends in"),
    ],
)
def test_places_that_cannot_be_meant_are_refused_before_the_work(here, model, capsys, words, message):
    write_folders(["a.png"])
    os.mkfifo("pipe")
    assert main(["inpaint", *words, "--model", model]) == 2
    assert message in only_error(capsys)
    assert sorted(os.listdir()) == ["faces", "masks", "pipe"]


@pytest.mark.parametrize("out", ["new/", "new/x.png/"])
def test_an_output_that_ends_in_a_slash_is_a_folder(here, model, out):
    write_folders(["a.jpg"])
    assert main(["inpaint", "faces/a.jpg", "masks/a.png", "-o", out, "--model", model]) == 0
    assert os.listdir(out) == ["a.png"]
    assert main(["inpaint", "faces", "masks", "-o", f"many{out}", "--model", model]) == 0
    assert os.listdir(f"many{out}") == ["a.png"]


def test_a_file_with_a_slash_is_no_folder(here, model, capsys):
    write_pair()
    Path("file.png").write_bytes(b"1")
    assert main(["inpaint", "face.png", "mask.png", "-o", "file.png/", "--model", model]) == 2
    assert "file.png/face.png: cannot be written there (Not a directory)" in only_error(capsys)


def test_a_folder_that_is_there_may_end_like_a_picture(here, model):
    write_folders(["a.png"])
    os.mkdir("result.png")
    assert main(["inpaint", "faces", "masks", "-o", "result.png", "--model", model]) == 0
    assert os.listdir("result.png") == ["a.png"]


@pytest.mark.parametrize(
    "words",
    [
        ["inpaint", "faces", "masks", "-o", "closed"],
        ["inpaint", "faces", "masks", "-o", "closed/new"],
        ["inpaint", "faces", "masks", "-o", "faces/a.png/new"],
        ["inpaint", "faces/a.png", "masks/a.png", "-o", "closed"],
        ["inpaint", "faces/a.png", "masks/a.png", "-o", "closed/o.png"],
        ["inpaint", "faces", "masks", "-o", "new", "--report", "closed/r.json"],
        ["export", "-o", "closed/model.onnx"],
        ["evaluate", "--dataset", "faces", "--masks", "box", "--json", "closed/figures.json"],
    ],
)
def test_what_cannot_be_written_to_is_found_before_the_work(here, model, capsys, monkeypatch, words):
    write_folders(["a.png", "b.png"])
    os.mkdir("closed", 0o555)
    for work in ("ngan.inference.Inpainter.fill", "ngan.commands.export_onnx", "ngan.data.load_faces"):
        monkeypatch.setattr(work, lambda *given, **how: pytest.fail("worked"))
    with plain_rights():
        assert main([*words, "--model", model]) == 2
    assert ": cannot be written there (" in only_error(capsys)
    assert sorted(os.listdir()) == ["closed", "faces", "masks"]


def test_a_card_that_cannot_be_written_is_found_before_the_work(here, model, capsys, monkeypatch):
    write_folders(["a.png"])
    monkeypatch.setattr("ngan.data.load_faces", lambda *given, **how: pytest.fail("worked"))
    Path(model, "README.md").write_text("# x\n")
    os.chmod(model, 0o555)
    with plain_rights():
        assert main(["evaluate", "--dataset", "faces", "--update-card", "--model", model]) == 2
    assert "README.md: cannot be written there (Permission denied)" in only_error(capsys)


def test_a_run_with_nothing_left_to_do_writes_nothing_and_may_not(here, model):
    write_folders(["a.png"])
    words = ["inpaint", "faces", "masks", "-o", "out", "--model", model]
    assert main(words) == 0
    os.chmod("out", 0o555)
    with plain_rights():
        assert main(words) == 0


def test_errors_of_writing_name_the_output(here):
    os.mkdir("closed", 0o555)
    with plain_rights(), pytest.raises(PermissionError, match="denied: 'closed/a.png'$"):
        write_bytes(Path("closed/a.png"), b"1")
    Path("file").write_bytes(b"1")
    with pytest.raises(FileExistsError, match="exists: 'file/a.png'$"):
        write_bytes(Path("file/a.png"), b"1")


def test_what_killed_runs_left_is_removed_and_nothing_else(here, model):
    write_folders(["a.png"])
    os.makedirs("faces/x")
    os.makedirs("masks/x")
    write_pair("faces/x/b.png", "masks/x/b.png")
    os.makedirs("out/x")
    old = [f"out/.{'0a' * 16}.part", f"out/x/.{'1b' * 16}.part"]
    kept = [f"out/.{'2c' * 16}.part", "out/.mine.part", f"out/{'3d' * 16}.part", "out/.hidden"]
    for name in (*old, *kept):
        Path(name).write_bytes(b"1")
    for name in (*old, *kept[1:]):  # the first of those that are kept is being written now
        os.utime(name, (0, time.time() - 3700))
    assert main(["inpaint", "faces", "masks", "-o", "out", "--recursive", "--model", model]) == 0
    found = {str(path) for path in Path("out").rglob("*") if path.is_file()}
    assert found == {*kept, "out/a.png", "out/x/b.png"}


def test_the_name_of_a_file_that_is_being_written_is_known(here, monkeypatch):
    names = []
    monkeypatch.setattr(os, "fsync", lambda place: names.extend(os.listdir()))
    write_bytes(Path("a.png"), b"1")
    (name,) = names
    Path(name).write_bytes(b"1")
    os.utime(name, (0, 0))
    remove_stale(Path("."))
    assert os.listdir() == ["a.png"]


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "--dataset", "closed/x"],
        ["inpaint", "--dataset", "closed/x", "--find-damage", "-o", "out"],
        ["inpaint", "faces", "masks", "-o", "closed/x", "--report", "r.json"],
        ["info", "--model", "closed/x"],
        ["info", "--model", "closed/x@y"],
    ],
)
def test_what_lies_in_a_folder_that_may_not_be_entered_is_not_said_to_be_missing(here, capsys, words):
    write_folders(["a.png"])
    os.mkdir("closed", 0o000)
    with plain_rights():
        assert main(words) == 2
    assert "closed/x" in (said := only_error(capsys)) and "Permission denied" in said
