"""A folder tree of pictures and clips, with captions in `.txt` files beside them."""

import heapq
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile

from inputs.found import LONGEST_CAPTION_BYTES, Found, Given, Input, Notes, caption_text, modality_of
from MetaCaptioner.errors import UserError

_SORTED_IN_MEMORY = 100_000


def open_folder(given: Given, notes: Notes) -> Input:
    """All media below a folder, in the order of their names.

    Raises:
        UserError: there is no such folder.
    """
    root = Path(given.place).absolute()
    if not root.is_dir():
        raise UserError(f"input {root}: is not a folder")
    return Input(root, _found(root, notes))


def _found(root: Path, notes: Notes) -> Iterator[Found]:
    for name in _files(root, "", (), notes):
        if (modality := modality_of(name)) is not None:
            yield Found(modality, name, name, _caption_beside(root / name, notes))
        elif not name.endswith(".txt"):
            notes.left_out("files that are neither picture nor clip by their names", name)


def _files(root: Path, folder: str, above: tuple[tuple[int, int], ...], notes: Notes) -> Iterator[str]:
    """The names of all files below `root`/`folder`; `above` are the folders (device, inode) on the way down to it.

    Links are followed, but not to a folder that one is in already. Hidden files and folders are passed over.
    """
    status = (root / folder).stat()
    way = (*above, (status.st_dev, status.st_ino))
    if way[-1] in above:
        return
    try:
        with os.scandir(root / folder) as entries:
            shown = (entry for entry in entries if not entry.name.startswith("."))
            # A slash behind a folder's name sorts its files where their own names belong.
            names = sorted_on_disk(f"{entry.name}/" if entry.is_dir() else entry.name for entry in shown)
    except OSError as error:
        notes.problems.append(f"folder {root / folder}: cannot be read: {error.strerror}")
        return
    for name in names:
        if name.endswith("/"):
            yield from _files(root, folder + name, way, notes)
        else:
            yield folder + name


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


def _caption_beside(path: Path, notes: Notes) -> str | None:
    """The text of the file that has the same name but for `.txt` at its end, if there is one."""
    beside = path.with_suffix(".txt")
    try:
        with beside.open("rb") as file:
            return caption_text(file.read(LONGEST_CAPTION_BYTES + 1), str(beside), notes)
    except FileNotFoundError:
        return None
    except OSError as error:
        notes.left_out(f"captions that cannot be read ({error.strerror})", str(beside))
        return None
