"""A folder tree of pictures and clips, with captions in `.txt` files beside them."""

import heapq
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile

from MetaCaptioner.data.export_manifest import LOCK, NAME
from MetaCaptioner.data.inputs.base import OUTSIDE, Found, Given, Input, Notes, modality_of
from MetaCaptioner.data.inputs.cell_values import LONGEST_CAPTION_BYTES, caption_text
from MetaCaptioner.data.inputs.own_exports import Exported
from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.json_text import from_json, to_json
from MetaCaptioner.utils.safe_open import OutsideRoot, is_below, open_file

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
    return Input(root, _Tree(root, notes, given.allow_outside_root).found())


class _Tree:
    """What lies below a folder."""

    def __init__(self, root: Path, notes: Notes, allow_outside_root: bool) -> None:
        self._root = root
        self._notes = notes
        self._bound = None if allow_outside_root else root
        self._exported = Exported()
        for folder in root.parents:
            self._exported.look_in(folder)

    def found(self) -> Iterator[Found]:
        """The pictures and clips, each with the caption beside it, in the order of their names."""
        waiting: deque[tuple[str, _Stem]] = deque()
        for name, stem in by_stem(self._files("", ())):
            while waiting and not waiting[0][1].may_go_on:
                yield from self._of(*waiting.popleft())
            if modality_of(name) is not None:
                stem.media.append(name)
            elif name.lower().endswith(".txt"):
                stem.texts.append(name)
            else:
                self._notes.left_out("files that are neither picture nor clip by their names", name)
                continue
            waiting.append((name, stem))
        for name, stem in waiting:
            yield from self._of(name, stem)

    def _of(self, name: str, stem: "_Stem") -> Iterator[Found]:
        """What a file is worth, once all with its stem are known: a picture or clip, or texts that are counted."""
        if (modality := modality_of(name)) is None:
            if not stem.media:
                self._notes.left_out("texts that have the name of no picture or clip", name)
            elif name is not stem.texts[0]:
                self._notes.left_out("texts of a picture that has one already", name)
            elif len(stem.media) > 1:
                self._notes.noted("texts that are the caption of several files of one name", name)
        elif (reason := _unusable(self._root / name, self._bound)) is not None:
            self._notes.left_out(reason, name)
        else:
            yield Found(modality, name, name, self._caption(self._root / stem.texts[0]) if stem.texts else None)

    def _files(self, folder: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
        """The names of all files below `folder`; `above` are the folders (device, inode) on the way down to it.

        Links are followed, but not to a folder that one is in already. Hidden files and folders are passed over.
        """
        place = self._root / folder
        if self._bound is not None and folder and place.is_symlink() and not is_below(self._bound, place):
            self._notes.left_out(OUTSIDE, folder)
            return
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
                if name not in (NAME, LOCK):
                    self._notes.left_out("hidden files and folders", folder + name)
            elif name.endswith("/"):
                yield from self._files(folder + name, way)
            else:
                yield folder + name

    def _caption(self, path: Path) -> str | None:
        """The text in a file, unless an export wrote it."""
        try:
            with open_file(path, self._bound) as file:
                content = file.read(LONGEST_CAPTION_BYTES + 1)
        except OutsideRoot:
            self._notes.left_out(OUTSIDE, str(path))
            return None
        except OSError as error:
            self._notes.left_out(f"captions that cannot be read ({error.strerror})", str(path))
            return None
        if self._exported.wrote(path, content):
            self._notes.left_out("captions that an export wrote", str(path))
            return None
        return caption_text(content, str(path), self._notes)


@dataclass
class _Stem:
    """A name without its end, and the files of that name so far; `may_go_on` until all of them have come."""

    name: str
    texts: list[str] = field(default_factory=list)
    media: list[str] = field(default_factory=list)
    may_go_on: bool = True


def by_stem(names: Iterable[str]) -> Iterator[tuple[str, _Stem]]:
    """Each of the sorted names with its stem.

    All names that begin with a stem and a dot follow each other, so few stems may go on at a time.
    """
    stems: list[_Stem] = []
    for name in names:
        while stems and not name.startswith(f"{stems[-1].name}."):
            stems.pop().may_go_on = False
        own = os.path.splitext(name)[0]  # noqa: PTH122 making a path takes longer
        stem = next((stem for stem in stems if stem.name == own), None)
        if stem is None:
            stem = _Stem(own)
            stems.append(stem)
        yield name, stem


def _unusable(path: Path, root: Path | None) -> str | None:
    """Why a file cannot be a picture or clip, if a look at it tells; with `root` it has to lie below that."""
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            status = path.stat()
            if root is not None and not is_below(root, path):
                return OUTSIDE
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
    with open_file(path) as file:
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
    waiting = TemporaryFile("w+b")  # noqa: SIM115 closed when they have been read back
    waiting.writelines(to_json(name) + b"\n" for name in names)
    waiting.seek(0)

    def back() -> Iterator[str]:
        with waiting:
            yield from map(from_json, waiting)

    return back()
