"""A Hugging Face dataset, on disk or by name.

Its media lie inside Arrow or Parquet files, often compressed and often in a cache that is emptied some day. They are
written out once, byte for byte, into tar shards beside the annotation file, and read there in place: a few large files,
which a cluster's file system likes better than millions of small ones, and one way of reading them.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from MetaCaptioner.data.inputs.base import OUTSIDE, SUFFIXES, Given, Input, Notes, modality_of, nothing_found
from MetaCaptioner.data.inputs.cell_values import caption_of, dig, id_or
from MetaCaptioner.data.inputs.huggingface_features import Chosen, MediaColumn, choose, undecoded
from MetaCaptioner.data.inputs.huggingface_origin import Origin
from MetaCaptioner.data.inputs.webdataset import open_shards
from MetaCaptioner.data.tar_shards import FIRST_SHARD, Write, extension, shards
from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.atomic_io import atomic_folder
from MetaCaptioner.utils.json_text import to_json
from MetaCaptioner.utils.safe_open import OutsideRoot, open_file

_ROWS_TO_TELL_COLUMNS = 100

HubRow = Mapping[str, Any]


@dataclass(frozen=True)
class _Opened:
    """The rows of one split, with media undecoded, which columns are what, and what their cells may name."""

    rows: Iterable[HubRow]
    chosen: Chosen
    origin: Origin


def open_huggingface(given: Given, notes: Notes) -> Input:
    """The media of one split, once they are packed into shards in the folder `given.pack_in`.

    Raises:
        UserError: the dataset cannot be opened, has no such split or columns, or the shards cannot be written.
    """
    with told_of(given.place):
        opened = _open(given, notes)
    replaced = FIRST_SHARD if given.replace else None
    with (
        atomic_folder(given.pack_in, "folder of shards", replaced) as folder,
        shards(folder, given.shard_megabytes) as write,
    ):
        packed = 0
        packer = _Packer(opened.chosen, opened.origin, write, notes)
        for number, row in enumerate(_read(opened.rows, given.place)):
            packed += packer.pack(number, row)
        if not packed:
            raise UserError(nothing_found(given.place, notes))
    return open_shards(
        replace(given, place=str(given.pack_in), root=given.pack_in, caption_column=None, id_column=None), notes
    )


def _read(rows: Iterable[HubRow], place: str) -> Iterator[HubRow]:
    with told_of(place):
        yield from rows


@contextmanager
def told_of(place: str) -> Iterator[None]:
    """Turn what the library raises into one line."""
    try:
        yield
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise UserError(f"dataset {place}: {' '.join(str(error).split())[:500]}") from error


def _open(given: Given, notes: Notes) -> _Opened:
    place = Path(given.place)
    folder = place.absolute() if place.is_dir() else place.absolute().parent if place.exists() else None
    origin = Origin(given.place, folder, given.allow_outside_root)
    rows = open_split(given, origin)
    features = rows.features or features_of_the_first(rows)
    chosen = choose(features, given, place.exists(), notes)
    paths = [*(column.path for column in chosen.media), *filter(None, (chosen.caption, chosen.row_id))]
    top = {path if path in features else path.partition(".")[0] for path in paths}
    for name in top:
        if (kept := undecoded(features[name])) != features[name]:
            rows = rows.cast_column(name, kept)
    return _Opened(rows.select_columns([name for name in features if name in top]), chosen, origin)


def features_of_the_first(rows: Any) -> Mapping[str, Any]:
    """The columns of rows of which the library knows none before it reads them, as of CSV."""
    import datasets

    first = list(rows.take(_ROWS_TO_TELL_COLUMNS))
    return datasets.Dataset.from_list(first).features if first else {}


def open_split(given: Given, origin: Origin) -> Any:
    """The split that is wanted, or the only one; read as a stream unless it lies on disk as Arrow files."""
    import datasets

    folder = Path(given.place)
    origin.check_files()
    on_disk = any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))
    if given.subset is not None and (on_disk or folder.is_file()):
        raise UserError(f"dataset {given.place}: lies on disk as one; it has no --subset")
    if on_disk:
        loaded = datasets.load_from_disk(given.place)
        if isinstance(loaded, datasets.Dataset):
            loaded = {str(loaded.split or given.split): loaded}
        origin.check_below(file["filename"] for split in loaded.values() for file in split.cache_files)
    elif folder.is_file():
        if folder.suffix.lower() != ".parquet":
            raise UserError(f"dataset {given.place}: is a file; of files only .parquet is read here")
        open_file(folder).close()  # a FIFO would be waited for
        loaded = datasets.load_dataset("parquet", data_files={"train": str(folder)}, streaming=True)
    elif folder.is_dir():
        shard = next(folder.rglob("*.tar"), None)
        if shard is not None and not any(folder.rglob("*.parquet")):
            raise UserError(f"dataset {given.place}: holds tar shards ({shard.name}): --format webdataset reads them")
        # As an absolute path, since names such as "json" are kinds of files to the library.
        builder = datasets.load_dataset_builder(str(folder.absolute()), given.subset)
        files = builder.config.data_files or {}
        origin.check_below(str(file) for split in files.values() for file in split)
        loaded = builder.as_streaming_dataset()
    else:
        loaded = datasets.load_dataset(given.place, given.subset, streaming=True)
    splits = list(loaded)
    wanted = given.split or (splits[0] if len(splits) == 1 else None)
    if wanted not in splits:
        complaint = "which split? Say --split" if wanted is None else f"has no split '{wanted}'"
        raise UserError(f"dataset {given.place}: {complaint} (has: {', '.join(map(str, splits))})")
    return loaded[wanted]


@dataclass(frozen=True)
class _Packer:
    """Writes the media of rows, each as a sample, with id and caption beside it.

    Of several in a row, a caption that is the row's is that of the first column, and of no single one of a list.
    """

    chosen: Chosen
    origin: Origin
    write: Write
    notes: Notes

    def pack(self, number: int, row: HubRow) -> int:
        """Write those of one row; returns how many there are."""
        packed = 0
        where = f"row {number}"
        row_id = id_or(dig(row, self.chosen.row_id), number, where, self.notes) if self.chosen.row_id else number
        caption = self._caption(row, where)
        for place, column in enumerate(self.chosen.media):
            media = self._media(row, column, number)
            packed += len(media)
            are_several = len(media) > 1
            told: dict[str, object] = {}
            if caption is not None and media and self._is_of(column, are_several, where):
                told["caption"] = caption
            key = f"{number:09d}" if len(self.chosen.media) == 1 else f"{number:09d}-{place}"
            for item, (name, content) in enumerate(media):
                modality = modality_of(name) or column.modality
                told["id"] = f"{row_id}-{item}" if are_several else row_id
                suffix = extension(name, modality, SUFFIXES[modality], content)
                text = to_json(told)
                numbered = f"{key}-{item}" if are_several else key
                self.write(f"{numbered}-{_content_mark(content)}", {suffix: content, "json": text})
        return packed

    def _is_of(self, column: MediaColumn, are_several: bool, where: str) -> bool:
        """Whether the row's caption is that of what the row has in a column."""
        if column is not self.chosen.media[0]:
            self.notes.left_out(f"captions for '{column.path}', as they are taken for the first column's", where)
        elif are_several:
            self.notes.left_out("captions of several pictures or clips together, which no single one is given", where)
        else:
            return True
        return False

    def _caption(self, row: HubRow, where: str) -> str | None:
        if self.chosen.caption is None:
            return None
        value = dig(row, self.chosen.caption)
        if self.chosen.labels is not None and isinstance(value, int) and 0 <= value < len(self.chosen.labels):
            value = self.chosen.labels[value]
        return caption_of(value, where, self.notes)

    def _media(self, row: HubRow, column: MediaColumn, number: int) -> list[tuple[str, bytes]]:
        """(name, content) of what a row has in a column."""
        value = dig(row, column.path)
        media = []
        for cell in _flat(value):
            try:
                name, content = self._file(cell)
            except OutsideRoot as error:
                self.notes.left_out(OUTSIDE, f"row {number}: {error}")
                continue
            except OSError as error:
                reason = f"rows whose file in the column '{column.path}' cannot be read"
                self.notes.left_out(reason, f"row {number}: {error}")
                continue
            if content:
                media.append((name, content))
            else:
                self.notes.left_out(f"rows without anything in the column '{column.path}'", f"row {number}")
        if len(media) > 1:
            self.notes.noted("rows with several pictures or clips in a column, each a row of its own", f"row {number}")
        if value == []:
            self.notes.left_out(f"rows without anything in the column '{column.path}'", f"row {number}")
        return media

    def _file(self, cell: object) -> tuple[str, bytes | None]:
        """Name and content of the file that a cell holds, or that it names, which must be of the dataset.

        Raises:
            OSError: it cannot be read.
        """
        if isinstance(cell, bytes):
            return "", cell
        name = dig(cell, "path") if isinstance(cell, Mapping) else cell
        content = dig(cell, "bytes")
        name = name if isinstance(name, str) else ""
        if content is None and name:
            content = self.origin.read(name)
        return name.partition("::")[0], content


def _content_mark(content: bytes) -> str:
    """What the name of a packed file tells of its content: else row 7 of a dataset that was packed anew would have the
    name that another picture had, and the results of that would seem to be its own."""
    return hashlib.sha256(content).hexdigest()[:12]


def _flat(value: object) -> Iterator[object]:
    """A cell, or those of a list of cells."""
    if isinstance(value, list):
        for item in value:
            yield from _flat(item)
    else:
        yield value
