import errno
import os
from pathlib import Path

import pytest

from MetaCaptioner.utils.atomic_io import NotWritten, atomic_folder, atomic_write


def test_a_file_may_have_the_longest_name_that_there_is(tmp_path: Path) -> None:
    for name in ("n" * 255, "é" * 127, "😀" * 63):
        with atomic_write(tmp_path / name, "file") as file:
            file.write(b"content")
        assert (tmp_path / name).read_bytes() == b"content"
    assert len(list(tmp_path.iterdir())) == 3


def synced_folders(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that are synced from now on, each once what was to be in it is there."""
    synced: list[Path] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            synced.append(path)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    return synced


def test_the_folder_of_what_is_written_is_on_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = synced_folders(monkeypatch)
    with atomic_write(tmp_path / "file", "file"):
        assert synced == []
    assert synced == [tmp_path]
    with atomic_folder(tmp_path / "folder", "folder"):
        pass
    assert synced == [tmp_path, tmp_path]
    with atomic_write(tmp_path / "one of millions", "file", sync=False):
        pass
    assert synced == [tmp_path, tmp_path]


@pytest.mark.parametrize(("code", "fails"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_file_system_that_syncs_no_folders_is_one_and_a_disk_that_fails_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, fails: bool
) -> None:
    def refuse(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_dir():
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    try:
        with atomic_write(tmp_path / "file", "file"):
            pass
    except NotWritten:
        assert fails
    else:
        assert not fails


def test_a_folder_may_have_the_longest_name_that_there_is(tmp_path: Path) -> None:
    for name in ("n" * 255, "é" * 127):
        with atomic_folder(tmp_path / name, "folder") as folder:
            (folder / "file").touch()
        assert (tmp_path / name / "file").is_file()
