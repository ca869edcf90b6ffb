"""Old files are deleted, whoever wrote them, and nothing else is."""

import os
import tempfile
from pathlib import Path

import pytest
from editor import aged, wait_until_gone

from page.sweeping import keep_swept, own_folder, sweep


def test_old_files_are_swept_and_nothing_else_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    swept, outside = tmp_path / "swept", aged(tmp_path / "outside" / "photo.png")
    old, young, stuck = (aged(swept / name / "deep" / "photo.png") for name in ("old", "young", "stuck"))
    os.utime(young)
    (swept / "young" / "link").symlink_to(outside.parent, target_is_directory=True)
    os.utime(swept / "young" / "link", (0, 0), follow_symlinks=False)
    for name in ("old", "empty"):
        (swept / name).mkdir(exist_ok=True)
        os.utime(swept / name, (0, 0))
    unlink = Path.unlink

    def refuses(path: Path) -> None:
        if path == stuck:
            raise PermissionError(str(path))
        unlink(path)

    monkeypatch.setattr(Path, "unlink", refuses)
    sweep(swept, 3600)
    assert not old.exists() and {path.name for path in swept.iterdir()} == {"young", "stuck"}
    assert young.is_file() and stuck.is_file() and outside.is_file() and not (swept / "young" / "link").is_symlink()
    sweep(tmp_path / "not there", 3600)
    (tmp_path / "link").symlink_to(outside.parent, target_is_directory=True)
    sweep(tmp_path / "link", 3600)
    assert outside.is_file()


def test_sweeping_goes_on_and_spares_what_stays(tmp_path: Path):
    kept = aged(tmp_path / "thumbnail.png")
    for number in range(3):  # the first finds one file, each later one a new one
        old = aged(tmp_path / f"{number}.png")
        if number == 0:
            keep_swept(tmp_path, 3600, 0.05, [str(kept), str(tmp_path / "gone.png")])
        wait_until_gone(old)
    assert kept.is_file()


def test_a_page_keeps_its_files_in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "mine"))
    first, second = own_folder(), own_folder()
    assert first != second and first.parent == second.parent == tmp_path / "mine" / "ngan"
    monkeypatch.delenv("GRADIO_TEMP_DIR")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert own_folder().parent == tmp_path / "gradio" / "ngan"
