"""A folder tree of pictures and clips, with captions in `.txt` files beside them."""

import heapq
import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile

from inputs.exported import MANIFEST, Exported
from inputs.found import Found, Given, Input, Notes, modality_of
from inputs.values import LONGEST_CAPTION_BYTES, caption_text
from MetaCaptioner.errors import UserError

_SORTED_IN_MEMORY = 100_000
_TS_PACKET = 188
_TS_SYNC = b"\x47"


def open_folder(given: Given, notes: Notes) -> Input:
    """All media below a folder, in the order of their names.

    Raises:
        UserError: there is no such folder.
    """
    root = Path(given.place).absolute()
    if not root.is_dir():
        raise UserError(f"input {root}: is not a folder")
    return Input(root, _Tree(root, notes).found())


class _Tree:
    """What lies below a folder."""

    def __init__(self, root: Path, notes: Notes) -> None:
        self._root = root
        self._notes = notes
        self._exported = Exported()
        for folder in root.parents:
            self._exported.look_in(folder)

    def found(self) -> Iterator[Found]:
        """The pictures and clips, each with the caption beside it."""
        stems = _Stems(self._notes)
        for name in self._files("", ()):
            stems.see(name)
            if (modality := modality_of(name)) is None:
                if PurePosixPath(name).suffix.lower() != ".txt":
                    self._notes.left_out("files that are neither picture nor clip by their names", name)
            elif (reason := _unusable(self._root / name)) is not None:
                self._notes.left_out(reason, name)
            else:
                yield Found(modality, name, name, self._caption_beside(self._root / name))
        stems.end()

    def _files(self, folder: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
        """The names of all files below `folder`; `above` are the folders (device, inode) on the way down to it.

        Links are followed, but not to a folder that one is in already. Hidden files and folders are passed over.
        """
        place = self._root / folder
        try:
            status = place.stat()
            way = (*above, (status.st_dev, status.st_ino))
            if way[-1] in above:
                return
            with os.scandir(place) as entries:
                # A slash behind a folder's name sorts its files where their own names belong.
                names = sorted_on_disk(f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries)
        except OSError as error:
            self._notes.problems.append(f"folder {place}: cannot be read: {error.strerror}")
            return
        self._exported.look_in(place)
        for name in names:
            if name.startswith("."):
                if name != MANIFEST:
                    self._notes.left_out("hidden files and folders", folder + name)
            elif name.endswith("/"):
                yield from self._files(folder + name, way)
            else:
                yield folder + name

    def _caption_beside(self, path: Path) -> str | None:
        """The text of the file that has the same name but for `.txt` at its end, if there is one."""
        for beside in (path.with_suffix(".txt"), path.with_suffix(".TXT")):
            try:
                with beside.open("rb") as file:
                    content = file.read(LONGEST_CAPTION_BYTES + 1)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._notes.left_out(f"captions that cannot be read ({error.strerror})", str(beside))
                return None
            if self._exported.wrote(beside, content):
                self._notes.left_out("captions that an export wrote", str(beside))
                return None
            return caption_text(content, str(beside), self._notes)
        return None


class _Stems:
    """Counts texts that are beside no picture or beside several, of names that come in order.

    All names that begin with a stem and a dot follow each other, so only the stems around the last one are kept.
    """

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._open: list[tuple[str, list[str], list[str]]] = []

    def see(self, name: str) -> None:
        """Take the next name."""
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 a path takes long to make
        while self._open and not name.startswith(f"{self._open[-1][0]}."):
            self._close()
        place = next((place for place in reversed(self._open) if place[0] == stem), None)
        if place is None:
            place = (stem, [], [])
            self._open.append(place)
        if suffix.lower() == ".txt":
            place[1].append(name)
        elif modality_of(name) is not None:
            place[2].append(name)

    def end(self) -> None:
        """There are no more names."""
        while self._open:
            self._close()

    def _close(self) -> None:
        _, texts, media = self._open.pop()
        if texts and not media:
            self._notes.left_out("texts that have the name of no picture or clip", texts[0])
        elif texts and len(media) > 1:
            self._notes.noted("texts that are the caption of several files of one name", texts[0])


def _unusable(path: Path) -> str | None:
    """Why a file cannot be a picture or clip, if a look at it tells."""
    try:
        status = path.stat()
    except OSError as error:
        return f"files that cannot be read ({error.strerror})"
    if not stat.S_ISREG(status.st_mode):
        return "names of pictures and clips that are no files"
    if status.st_size == 0:
        return "files that are empty"
    if not os.access(path, os.R_OK):
        return "files that cannot be read (Permission denied)"
    if path.suffix.lower() == ".ts" and not _is_transport_stream(path):
        return ".ts files that are no MPEG transport stream (such as TypeScript)"
    return None


def _is_transport_stream(path: Path) -> bool:
    """Whether packets begin with the sync byte. Source: ISO/IEC 13818-1, section 2.4.3.2."""
    with path.open("rb") as file:
        head = file.read(_TS_PACKET + 1)
    return head[:1] == _TS_SYNC and head[_TS_PACKET:] in (_TS_SYNC, b"")


def sorted_on_disk(names: Iterable[str]) -> Iterator[str]:
    """The names in order; of more than fit well into memory, sorted runs wait in temporary files to be merged.

    Source of the method: Knuth, "The Art of Computer Programming", volume 3, section 5.4 (external sorting).
    """
    left, runs = iter(names), list[Iterable[str]]()
    while chunk := sorted(islice(left, _SORTED_IN_MEMORY)):
        runs.append(_on_disk(chunk) if len(chunk) == _SORTED_IN_MEMORY else chunk)
    return heapq.merge(*runs)


def _on_disk(names: Sequence[str]) -> Iterator[str]:
    """The names again, which meanwhile wait in a temporary file."""
    waiting = TemporaryFile("w+", encoding="ascii")  # noqa: SIM115 closed when they have been read back
    waiting.writelines(f"{json.dumps(name)}\n" for name in names)
    waiting.seek(0)

    def back() -> Iterator[str]:
        with waiting:
            yield from map(json.loads, waiting)

    return back()
