"""What the cells of a Hugging Face dataset may name: its own files, and nothing else that this machine can read."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.safe_open import OutsideRoot, is_below, open_file

_ARCHIVES = ("zip://", "tar://", "gzip://", "bz2://", "xz://", "lz4://", "zstd://")
_HUB = "hf://datasets/"


@dataclass(frozen=True)
class Origin:
    """A dataset: `place` is its folder or file here, or its name on the Hub; `folder` where its own files lie here.

    With `anywhere` its cells may name what they like, but for addresses outside the Hub.
    """

    place: str
    folder: Path | None
    anywhere: bool

    def read(self, name: str) -> bytes:
        """The content of what the library names so: a file, one in an archive (`zip://a.jpg::/x.zip`), one on the Hub.

        Raises:
            OutsideRoot: it is not the dataset's.
            OSError: it cannot be read, or is an address elsewhere.
        """
        archives, _, place = name.rpartition("::")
        if not all(part.startswith(_ARCHIVES) for part in filter(None, archives.split("::"))):
            raise OSError(f"is an address of no file of a dataset ({name:.80})")
        if "://" in place:
            self._check_on_hub(place)
            return _fetched(name)
        if self.folder is None:
            raise OSError(f"is no file of the dataset ({name:.80})")
        path = self.folder / place
        with open_file(path, None if self.anywhere else self.folder) as file:
            if not archives:
                return file.read()
        return _fetched(f"{archives}::{path}")

    def check_files(self) -> None:
        """Look through the dataset's folder before the library does, which opens whatever has the name of a table.

        Raises:
            UserError: something there is no file, or a link leads out of the folder.
        """
        if self.folder is not None and Path(self.place).is_dir():
            for entry in _entries(self.folder):
                if entry.is_symlink():
                    self.check_below([entry.path])
                mode = _mode(entry)
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    raise UserError(f"dataset {self.place}: {entry.path} is no file; take it away")

    def check_below(self, paths: Iterable[str]) -> None:
        """Refuse files that the dataset says are its own, and are not.

        Raises:
            UserError: one is not below its folder.
        """
        if self.folder is None or self.anywhere:
            return
        for path in paths:
            if "://" not in path and not is_below(self.folder, Path(path)):
                raise UserError(f"dataset {self.place}: {path} leads out of it; --allow-outside-root takes it")

    def _check_on_hub(self, place: str) -> None:
        if not place.startswith(_HUB):
            raise OSError(f"is an address, not a file: download it first ({place:.80})")
        own = place.startswith((f"{_HUB}{self.place}@", f"{_HUB}{self.place}/")) and ".." not in place.split("/")
        if not (own and self.folder is None) and not self.anywhere:
            raise OutsideRoot(f"is a file of another dataset ({place:.80})")


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What lies below a folder, but what is hidden; links to folders are not followed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    yield from _entries(Path(entry.path))


def _mode(entry: os.DirEntry[str]) -> int:
    """What kind of thing it is, behind links; without asking the file system where the folder tells."""
    if entry.is_file(follow_symlinks=False):
        return stat.S_IFREG
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    try:
        return entry.stat().st_mode
    except FileNotFoundError:  # a link to nothing, which nobody can open
        return stat.S_IFREG


def _fetched(name: str) -> bytes:
    import fsspec

    try:
        with fsspec.open(name, "rb") as file:
            content: bytes = file.read()
    except (ValueError, KeyError, BadZipFile) as error:
        raise OSError(f"{name:.80}: {error}") from error
    return content
