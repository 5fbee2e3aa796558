"""A Hugging Face dataset, on disk or by name.

Its media lie inside Arrow or Parquet files, often compressed and often in a cache that is emptied some day. They are
written out once, byte for byte, into tar shards beside the annotation file, and read there in place: a few large files,
which a cluster's file system likes better than millions of small ones, and one way of reading them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packing import FIRST_SHARD, Write, extension, shards

from inputs.found import SUFFIXES, Given, Input, Notes, sound_id
from inputs.shards import open_shards
from MetaCaptioner.domains import Modality
from MetaCaptioner.errors import UserError
from MetaCaptioner.files import atomic_folder

_CAPTION_COLUMNS = ("caption", "text")

HubRow = Mapping[str, Any]


@dataclass(frozen=True)
class _Opened:
    """The rows of one split, with media undecoded, and which columns are what."""

    rows: Iterable[HubRow]
    media: Mapping[str, Modality]
    caption: str | None
    row_id: str | None


def open_huggingface(given: Given, notes: Notes) -> Input:
    """The media of one split, once they are packed into shards in the folder `given.pack_in`.

    Raises:
        UserError: the dataset cannot be opened, has no such split or columns, or the shards cannot be written.
    """
    with _told(given.place):
        opened = _open(given)
    replaced = FIRST_SHARD if given.replace else None
    with (
        atomic_folder(given.pack_in, "folder of shards", replaced) as folder,
        shards(folder, given.shard_megabytes) as write,
    ):
        for number, row in enumerate(_read(opened.rows, given.place)):
            _pack(number, row, opened, write, notes)
    return open_shards(
        replace(given, place=str(given.pack_in), root=given.pack_in, caption_column=None, id_column=None), notes
    )


def _read(rows: Iterable[HubRow], place: str) -> Iterator[HubRow]:
    with _told(place):
        yield from rows


@contextmanager
def _told(place: str) -> Iterator[None]:
    """Turn what the library raises into one line."""
    try:
        yield
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise UserError(f"dataset {place}: {' '.join(str(error).split())[:500]}") from error


def _open(given: Given) -> _Opened:
    import datasets

    rows = _split(given)
    names = list(rows.features or ())
    kinds: dict[type, Modality] = {datasets.Image: "image", datasets.Video: "video"}
    media = {name: kinds[type(feature)] for name, feature in (rows.features or {}).items() if type(feature) in kinds}
    for wanted in (given.media_column, given.caption_column, given.id_column):
        if wanted is not None and wanted not in names:
            raise UserError(f"dataset {given.place}: has no column '{wanted}' (has: {', '.join(names)})")
    if given.media_column is not None:
        media = {name: kind for name, kind in media.items() if name == given.media_column}
    if not media:
        what = f"'{given.media_column}' is no column" if given.media_column else "has no column"
        raise UserError(f"dataset {given.place}: {what} of images or videos ({rows.features})")
    for name in media:
        rows = rows.cast_column(name, type(rows.features[name])(decode=False))
    caption = given.caption_column or next((name for name in _CAPTION_COLUMNS if name in names), None)
    row_id = given.id_column or ("id" if "id" in names else None)
    wanted_names = [name for name in names if name in {*media, caption, row_id}]
    return _Opened(rows.select_columns(wanted_names), media, caption, row_id)


def _split(given: Given) -> Any:
    """The split that is wanted, or the only one; read as a stream unless it lies on disk as Arrow files."""
    import datasets

    folder = Path(given.place)
    on_disk = any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))
    if on_disk:
        loaded = datasets.load_from_disk(given.place)
        if isinstance(loaded, datasets.Dataset):
            return loaded
    else:
        loaded = datasets.load_dataset(given.place, given.subset, streaming=True)
    splits = list(loaded)
    wanted = given.split or (splits[0] if len(splits) == 1 else None)
    if wanted not in splits:
        complaint = "which split? Say --split" if wanted is None else f"has no split '{wanted}'"
        raise UserError(f"dataset {given.place}: {complaint} (has: {', '.join(map(str, splits))})")
    return loaded[wanted]


def _pack(number: int, row: HubRow, opened: _Opened, write: Write, notes: Notes) -> None:
    """Write the media of one row, each as a sample, with id and caption beside it."""
    row_id = sound_id(row[opened.row_id]) if opened.row_id else None
    told: dict[str, object] = {"id": number if row_id is None else row_id}
    caption = row[opened.caption] if opened.caption else None
    if isinstance(caption, str) and caption.strip():
        told["caption"] = caption.strip()
    for place, (column, modality) in enumerate(opened.media.items()):
        value = row[column]
        try:
            content = None if value is None else _content(value)
        except OSError as error:
            notes.left_out(f"rows whose file in the column '{column}' cannot be read", f"row {number}: {error}")
            continue
        if not content:
            notes.left_out(f"rows without anything in the column '{column}'", f"row {number}")
            continue
        key = f"{number:09d}" if len(opened.media) == 1 else f"{number:09d}-{place}"
        name = extension(value.get("path") or "", modality, SUFFIXES[modality])
        write(key, {name: content, "json": json.dumps(told, ensure_ascii=False).encode()})


def _content(value: Mapping[str, Any]) -> bytes | None:
    """The file that a cell holds, or that it names."""
    content: bytes | None = value.get("bytes")
    return Path(value["path"]).read_bytes() if content is None and value.get("path") else content
