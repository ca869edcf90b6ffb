"""Files and folders that are complete or absent, on a disk that is full, and after a kill."""

import errno
import os
import resource
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from ngan.disk import plain_os_errors, remove_partial, remove_whole, whole_folder, write_bytes, write_whole


@pytest.fixture
def small_disk():
    """No file of this process may grow beyond 20 kB: as a full disk, the kernel itself refuses to write on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_folder_appears_whole_and_takes_an_older_ones_place(tmp_path):
    for text in ("old", "new"):
        with whole_folder(tmp_path / "a") as folder:
            assert folder.name == "a" and folder.parent != tmp_path
            (folder / "sub").mkdir()
            (folder / "sub/x").write_text(text)
            (folder / text).write_text("")
            assert (tmp_path / "a").exists() == (text == "new")
    assert names(tmp_path) == ["a", "a/new", "a/sub", "a/sub/x"]
    assert (tmp_path / "a/sub/x").read_text() == "new"


def test_a_folder_that_fails_leaves_nothing_and_the_older_one(tmp_path, small_disk):
    with whole_folder(tmp_path / "a") as folder:
        (folder / "x").write_text("old")
    with pytest.raises(OSError) as caught:
        with whole_folder(tmp_path / "a") as folder:
            (folder / "x").write_text("new")
            (folder / "y").write_bytes(bytes(30_000))
    assert caught.value.errno == errno.EFBIG
    assert names(tmp_path) == ["a", "a/x"] and (tmp_path / "a/x").read_text() == "old"


def test_a_full_disk_is_an_os_error_that_names_the_file_with_safetensors_too(tmp_path, small_disk):
    with pytest.raises(OSError, match=r"File too large: '.*w\.safetensors'") as caught:
        with plain_os_errors(tmp_path / "w.safetensors"):
            save_file({"w": torch.zeros(100_000)}, tmp_path / "w.safetensors")
    assert caught.value.errno == errno.EFBIG


def test_a_text_is_replaced_whole_or_not_at_all(tmp_path, small_disk):
    write_whole(tmp_path / "x", "old")
    with pytest.raises(OSError):
        write_whole(tmp_path / "x", "n" * 30_000)
    assert names(tmp_path) == ["x"] and (tmp_path / "x").read_text() == "old"
    write_whole(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "new"


def test_what_a_kill_left_is_removed_and_nothing_else(tmp_path):
    with whole_folder(tmp_path / "a") as folder:
        (folder / "x").write_text("")
    (tmp_path / ".partial-b/b").mkdir(parents=True)
    (tmp_path / ".partial-b/b/half").write_text("")
    (tmp_path / ".partial-c").write_text("half")
    (tmp_path / ".hidden").write_text("")
    remove_partial(tmp_path)
    assert names(tmp_path) == [".hidden", "a", "a/x"]
    remove_whole(tmp_path / "a")
    assert names(tmp_path) == [".hidden"]


@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_what_comes_next_on_an_own_descriptor_does_not_go_over_what_was_written(tmp_path, place):
    """As in a shell's `{ ngan info --json /dev/stdout; echo done; } > log`."""
    code = "import sys; from pathlib import Path; from ngan.disk import write_bytes; print('first')\n"
    code += "write_bytes(Path(sys.argv[1]), b'figures\\n'); print('last')"
    with open(tmp_path / "log", "wb") as log:
        subprocess.run([sys.executable, "-c", code, place], stdout=log, check=True)
        os.write(log.fileno(), b"done\n")
    assert (tmp_path / "log").read_text() == "first\nfigures\nlast\ndone\n"


def test_a_pipe_by_a_link_of_ones_own_gets_what_is_written(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_bytes(tmp_path / "link", b"figures")
    assert os.read(reader, 100) == b"figures"
    os.close(reader)
