"""What lies in a tar file and where: also behind links, and in a second tar that was joined to the first by `cat`."""

import posixpath
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from MetaCaptioner.data.inputs.base import Notes
from MetaCaptioner.utils.safe_open import open_file

_BLOCK = tarfile.BLOCKSIZE
_SCANNED_BYTES = 2**20
_MOST_LINKS = 16  # from one to the next, before it counts as a circle
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar: its name, and the content's place and the name that its own header has for it.

    The two names differ where the member is a link to another.
    """

    name: str
    stored: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class _Link:
    """A member that is another one: `target` is the name of that, as it lies in the tar."""

    target: str


_Entries = dict[str, Member | _Link]


def tar_members(path: Path, notes: Notes) -> Iterator[list[Member]]:
    """The files in a tar, in its order; each tar of several that were joined by `cat` on its own.

    Holds the names of one tar at a time. Source of the layout: POSIX.1-2017, pax, "ustar Interchange Format".
    """
    begin: int | None = 0
    while begin is not None:
        entries: _Entries = {}
        try:
            with open_file(path) as file:
                begin = _next_tar(file, _read(file, begin, entries, path, notes), path, notes)
        except (tarfile.TarError, OSError, EOFError) as error:
            notes.problems.append(f"shard {path}: cannot be read to its end: {_why(path, error)}")
            begin = None
        yield list(_resolved(entries, path, notes))


def _why(path: Path, error: Exception) -> str:
    try:
        with open_file(path) as file:
            head = file.read(8)
    except OSError:
        return str(error)
    kind = next((kind for mark, kind in _COMPRESSED.items() if head.startswith(mark)), None)
    return str(error) if kind is None else f"it is {kind}-compressed: unpack it to a plain .tar, which is read in place"


def _read(file: BinaryIO, begin: int, entries: _Entries, path: Path, notes: Notes) -> int:
    """Enter the members of the tar that begins at a byte; returns the byte at which they end.

    Raises:
        tarfile.TarError: it breaks off, or is none.
    """
    file.seek(begin)
    with tarfile.open(fileobj=file, mode="r:") as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # they would all be kept
            where = f"{path.name}[{member.name}]"
            if (entry := _entry(member, where, notes)) is None:
                continue
            if entries.pop(member.name, None) is not None:  # as tar itself unpacks them
                notes.left_out("members that a later one of the same name replaces", where)
            entries[member.name] = entry
        return int(tar.offset)


def _entry(member: tarfile.TarInfo, where: str, notes: Notes) -> Member | _Link | None:
    place = PurePosixPath(member.name)
    if member.isdir():
        return None
    if place.name.startswith(".") or "__MACOSX" in place.parts:
        notes.left_out("hidden members, such as a Mac's resource forks", where)
    elif member.islnk():
        return _Link(member.linkname)
    elif member.issym():
        return _Link(posixpath.join(posixpath.dirname(member.name), member.linkname))
    elif not member.isreg():
        notes.left_out("members that are no files", where)
    elif member.issparse():
        notes.left_out("sparse members, which do not lie in one piece", where)
    else:
        return Member(member.name, member.name, member.offset_data, member.size)
    return None


def _next_tar(file: BinaryIO, end: int, path: Path, notes: Notes) -> int | None:
    """The byte at which another tar begins behind the end of one; None where there is none.

    Raises:
        tarfile.TarError: what stands there is no tar.
    """
    file.seek(end)
    mark = file.read(_BLOCK)
    if not mark:
        notes.noted("shards without an end mark (were they cut off?)", path.name)
        return None
    if mark.strip(b"\0"):
        raise tarfile.ReadError(f"at byte {end} is no header of a member")
    place = end + len(mark)
    while chunk := file.read(_SCANNED_BYTES):
        if shown := chunk.lstrip(b"\0"):
            place += len(chunk) - len(shown)
            break
        place += len(chunk)
    else:
        return None
    file.seek(place)
    try:
        tarfile.TarInfo.frombuf(file.read(_BLOCK), tarfile.ENCODING, "surrogateescape")
    except tarfile.HeaderError as error:
        raise tarfile.ReadError(f"behind its end, at byte {place}, is something that is no tar") from error
    if place % _BLOCK:
        raise tarfile.ReadError(f"a second tar begins at byte {place}, no multiple of {_BLOCK}: take them apart")
    notes.noted("further tars in a shard, joined to it behind its end", path.name)
    return place


def _resolved(entries: Mapping[str, Member | _Link], path: Path, notes: Notes) -> Iterator[Member]:
    """The members, links among them with the content of what they lead to."""
    names: dict[str, str] = {}
    if any(isinstance(entry, _Link) for entry in entries.values()):
        names = {posixpath.normpath(name): name for name in entries}
    for name, entry in entries.items():
        content: Member | _Link | None = entry
        for _ in range(_MOST_LINKS):
            if not isinstance(content, _Link):
                break
            content = entries.get(names.get(posixpath.normpath(content.target), ""))
        if not isinstance(content, Member):
            notes.left_out("links that lead to no file in the shard", f"{path.name}[{name}]")
        elif content is entry:
            yield content
        else:
            yield Member(name, content.stored, content.offset, content.size)
