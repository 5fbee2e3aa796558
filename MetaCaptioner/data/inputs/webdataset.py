"""WebDataset tar shards, which are read in place: a row tells where the content of its member lies."""

from collections.abc import Iterator
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path
from typing import Any, BinaryIO

from braceexpand import braceexpand

from MetaCaptioner.data.inputs.base import OUTSIDE, Found, Given, Input, Notes, RowId, modality_of
from MetaCaptioner.data.inputs.cell_values import (
    CAPTION_COLUMNS,
    LONGEST_CAPTION_BYTES,
    caption_of,
    caption_text,
    dig,
    id_or,
)
from MetaCaptioner.data.inputs.sample_groups import Grouped, grouped
from MetaCaptioner.data.inputs.tars import Member, tar_members
from MetaCaptioner.data.media_source import TarPlace, check_name, media_source
from MetaCaptioner.errors import SampleError, UserError
from MetaCaptioner.utils.json_text import from_json
from MetaCaptioner.utils.safe_open import is_below, leads_out, open_file

_ID_FIELD = "id"
_COMPRESSED = (".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz")


def open_shards(given: Given, notes: Notes) -> Input:
    """The media of one tar file, of all below a folder, or of those that a pattern such as `a-{000..099}.tar`
    or `a-*.tar` names.

    Raises:
        UserError: there are none.
    """
    paths = _shards(given.place, notes)
    root = given.root.absolute() if given.root else Path(commonpath([path.parent for path in paths]))
    for path in paths:
        if not path.is_relative_to(root):
            raise UserError(f"shard {path}: is not below the root {root}")
        if not given.allow_outside_root and not is_below(root, path):
            raise UserError(f"shard {path}: lies outside the root {root}, behind a link; --allow-outside-root takes it")
    reader = _Reader(root, given, notes)
    return Input(root, (found for path in paths for found in reader.shard(path)))


def _shards(place: str, notes: Notes) -> list[Path]:
    folder = Path(place).absolute()
    if folder.is_dir():
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        packed = [path for path in files if path.name.lower().endswith(_COMPRESSED)]
        if paths := [path for path in files if path.suffix.lower() == ".tar"]:
            for path in packed:
                notes.left_out("compressed shards: unpack them to .tar, which is read in place", path.name)
            return paths
        hint = f" ({packed[0].name} is compressed: unpack it to .tar, which is read in place)" if packed else ""
        raise UserError(f"input {folder}: holds no .tar files{hint}")
    try:
        paths = [path for name in braceexpand(place) for path in _matching(name)]
    except ValueError as error:  # of braces that do not close
        raise UserError(f"input {place}: {error}") from error
    if missing := [path for path in paths if not path.is_file()]:
        raise UserError(f"input {place}: {len(missing)} of {len(paths)} shards are missing (first: {missing[0]})")
    return paths


def _matching(name: str) -> list[Path]:
    """The files that a name with `*` or `?` in it is a pattern of, if there are any; else the file of that name."""
    path = Path(name).absolute()
    is_pattern = ("*" in name or "?" in name) and not path.exists()
    root = Path(path.anchor)
    return (sorted(root.glob(str(path.relative_to(root)))) if is_pattern else []) or [path]


@dataclass(frozen=True)
class _Reader:
    """Makes rows of the samples in shards below `root`."""

    root: Path
    given: Given
    notes: Notes

    def shard(self, path: Path) -> Iterator[Found]:
        """The pictures and clips in one shard."""
        file = path.relative_to(self.root).as_posix()
        try:
            for members in tar_members(path, self.notes):
                samples = grouped(members, file, self.notes)
                with open_file(path) as content:
                    yield from (found for sample in samples if (found := self._found(file, content, sample)))
        except OSError as error:
            self.notes.problems.append(f"shard {path}: cannot be read: {error.strerror}")

    def _found(self, file: str, content: BinaryIO, sample: Grouped) -> Found | None:
        media, where = sample.media, f"{file}[{sample.media.name}]"
        modality = modality_of(media.name)
        place = TarPlace(file, media.offset, media.size)
        try:
            check_name(media.stored, "its name")
            if not self.given.allow_outside_root and leads_out(self.root, media.stored):
                self.notes.left_out(OUTSIDE, where)
                return None
            media_source(self.root, media.stored, place, self.given.allow_outside_root).look()
        except SampleError as error:
            self.notes.left_out(f"members that cannot be read in place ({error.kind})", error.message)
            return None
        except ValueError as error:
            self.notes.left_out("members whose name can be none", f"{where}: {error}")
            return None
        told = self._told(file, content, sample.told)
        row_id: RowId = sample.key
        if self.given.id_column is not None or told.get(_ID_FIELD) is not None:
            row_id = id_or(dig(told, self.given.id_column or _ID_FIELD), sample.key, where, self.notes)
        return Found(modality or "image", media.stored, row_id, self._caption(file, content, sample, told), place)

    def _caption(self, file: str, content: BinaryIO, sample: Grouped, told: dict[str, Any]) -> str | None:
        """What the user's field says, else the text beside the media, else a field with a usual name."""
        where = f"{file}[{sample.media.name}]"
        if self.given.caption_column is not None:
            return caption_of(dig(told, self.given.caption_column), where, self.notes)
        if sample.text is not None and (text := self._text(file, content, sample.text)):
            return text
        return next((text for name in CAPTION_COLUMNS if (text := caption_of(told.get(name), where, self.notes))), None)

    def _told(self, file: str, content: BinaryIO, member: Member | None) -> dict[str, Any]:
        if member is None or not (text := self._text(file, content, member)):
            return {}
        try:
            told = from_json(text)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            self.notes.left_out(".json members that hold no object", f"{file}[{member.name}]")
            return {}
        return told

    def _text(self, file: str, content: BinaryIO, member: Member) -> str | None:
        content.seek(member.offset)
        data = content.read(min(member.size, LONGEST_CAPTION_BYTES + 1))
        return caption_text(data, f"{file}[{member.name}]", self.notes)
