"""WebDataset tar shards: members with the same name but for their extension are one sample.

They are read in place: a row tells where the content of its member lies.
"""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from os.path import commonpath
from pathlib import Path, PurePosixPath
from typing import Any

from braceexpand import braceexpand

from inputs.found import LONGEST_CAPTION_BYTES, Found, Given, Input, Notes, caption_text, modality_of, sound_id
from MetaCaptioner.errors import SampleError, UserError
from MetaCaptioner.metafile import media_source
from MetaCaptioner.source import TarPlace

_CAPTION_FIELD = "caption"


def open_shards(given: Given, notes: Notes) -> Input:
    """The media of one tar file, of all below a folder, or of those that a pattern such as `a-{000..099}.tar` names.

    Raises:
        UserError: there are none.
    """
    paths = _shards(given.place)
    root = given.root.absolute() if given.root else Path(commonpath([path.parent for path in paths]))
    for path in paths:
        if not path.is_relative_to(root):
            raise UserError(f"shard {path}: is not below the root {root}")
    return Input(root, (found for path in paths for found in _shard(root, path, given, notes)))


def _shards(place: str) -> list[Path]:
    folder = Path(place).absolute()
    if folder.is_dir():
        if paths := sorted(folder.rglob("*.tar")):
            return paths
        packed = next((path for kind in ("*.tar.gz", "*.tgz", "*.tar.zst") for path in folder.rglob(kind)), None)
        hint = "" if packed is None else f" ({packed.name} is compressed: unpack it to .tar, which is read in place)"
        raise UserError(f"input {folder}: holds no .tar files{hint}")
    try:
        paths = [Path(name).absolute() for name in braceexpand(place)]
    except ValueError as error:  # of braces that do not close
        raise UserError(f"input {place}: {error}") from error
    if missing := [path for path in paths if not path.is_file()]:
        raise UserError(f"input {place}: {len(missing)} of {len(paths)} shards are missing (first: {missing[0]})")
    return paths


@dataclass
class _Texts:
    """What the members beside the media of one sample say of it."""

    caption: str | None = None
    told: dict[str, Any] = field(default_factory=dict)


def _shard(root: Path, path: Path, given: Given, notes: Notes) -> Iterator[Found]:
    file = path.relative_to(root).as_posix()
    try:
        with tarfile.open(path, "r:") as tar:
            for key, members in groupby(_members(tar), key=lambda member: _key(member.name)):
                yield from _sample(root, file, key, tar, list(members), given, notes)
    except (tarfile.TarError, OSError, EOFError) as error:
        notes.problems.append(f"shard {path}: cannot be read to its end: {error} (only plain .tar is read)")


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members that are files and not hidden, without keeping them all in memory."""
    while (member := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]
        if member.isreg() and not member.issparse() and not PurePosixPath(member.name).name.startswith("."):
            yield member


def _key(name: str) -> str:
    """What the members of one sample have in common: the name up to the first dot behind the last slash."""
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}{base.partition('.')[0]}"


def _sample(
    root: Path, file: str, key: str, tar: tarfile.TarFile, members: list[tarfile.TarInfo], given: Given, notes: Notes
) -> Iterator[Found]:
    """The media of the members that belong together; where there are several, each is a row of its own."""
    media = [(member, kind) for member in members if (kind := modality_of(member.name)) is not None]
    if not media:
        notes.left_out("samples without a picture or clip", f"{file}[{key}]")
        return
    texts = _texts(file, tar, members, given, notes)
    for number, (member, modality) in enumerate(media):
        row_id = sound_id(texts.told.get(given.id_column or "id"))
        row_id = key if row_id is None else row_id
        place = TarPlace(file, member.offset_data, member.size)
        try:
            media_source(root, member.name, place).look()
        except SampleError as error:
            notes.left_out(f"members that cannot be read in place ({error.kind})", error.message)
            continue
        yield Found(modality, member.name, row_id if number == 0 else f"{row_id}.{number}", texts.caption, place)


def _texts(file: str, tar: tarfile.TarFile, members: list[tarfile.TarInfo], given: Given, notes: Notes) -> _Texts:
    texts = _Texts()
    for member in members:
        suffix, where = PurePosixPath(member.name).suffix.lower(), f"{file}[{member.name}]"
        if suffix not in (".txt", ".json"):
            continue
        content = tar.extractfile(member)
        text = content and caption_text(content.read(LONGEST_CAPTION_BYTES + 1), where, notes)
        if text and suffix == ".txt":
            texts.caption = text
        elif text:
            texts.told = _object(text, where, notes)
    if texts.caption is None:
        told = texts.told.get(given.caption_column or _CAPTION_FIELD)
        texts.caption = told.strip() or None if isinstance(told, str) else None
    return texts


def _object(text: str, where: str, notes: Notes) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        notes.left_out(".json members that hold no object", where)
        return {}
    return told
