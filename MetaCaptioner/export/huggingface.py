"""A folder that the `datasets` library loads and the Hub takes: Parquet files and a dataset card."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.export.dataset_card import card
from MetaCaptioner.export.job import MOST_MEDIA_BYTES, Job, media_of
from MetaCaptioner.export.tables import fields_of, table_row
from MetaCaptioner.records.record import Record

_BATCH_ROWS = 1000
_BATCH_BYTES = 64 * 10**6


def export_huggingface(job: Job) -> None:
    """Pictures and clips are configurations of their own, since a table has the same columns throughout.

    Each has the media in a column `image` or `video`, unless the job goes without; paths of this machine are left out.
    """
    fields = fields_of(job)
    with job.folder() as folder:
        with ExitStack() as stack:
            tables: dict[Modality, _Table] = {}
            for record in job.captions.records():
                modality: Modality = record["modality"]
                content = job.media(record) if job.with_media else None
                if job.with_media and content is None:
                    continue
                if modality not in tables:
                    column = modality if job.with_media else None
                    made = _Table(folder / "data" / modality, _schema(column, fields), job.shard_megabytes, column)
                    tables[modality] = stack.enter_context(_closing(made))
                media = [] if content is None else [(content, Path(media_of(record)).name)]
                tables[modality].add(table_row(job, record, fields), media)
                job.account.add(record)
        text = card(str(job.output and job.output.name), sorted(tables), job.account)
        (folder / "README.md").write_text(text, encoding="utf-8")


def _schema(media: Modality | None, fields: Sequence[tuple[str, pa.DataType]]) -> pa.Schema:
    """The columns, first that of media, if any, with what the library must know of it to show media as media."""
    import datasets

    features: dict[str, Any] = {}
    if media is not None:
        features[media] = {"image": datasets.Image(), "video": datasets.Video()}[media]
    features |= {name: datasets.Value(str(kind)) for name, kind in fields}
    return datasets.Features(features).arrow_schema


@contextmanager
def _closing(table: "_Table") -> Iterator["_Table"]:
    try:
        yield table
    finally:
        table.close()


@dataclass
class _Table:
    """Parquet files `train-00000.parquet` and on, of about so many megabytes of media (10^6 bytes) each.

    `media` is the column of media, if there is one.
    """

    folder: Path
    schema: pa.Schema
    megabytes: int
    media: str | None
    _rows: list[Record] = field(default_factory=list)
    _media: list[tuple[bytes, str]] = field(default_factory=list)
    _waiting: int = 0
    _in_file: int = 0
    _files: int = 0
    _writer: Any = None
    _open_file: ExitStack = field(default_factory=ExitStack)

    def add(self, row: Record, media: Sequence[tuple[bytes, str]]) -> None:
        """Write a row with its media (content, name), if they go along; some wait in memory."""
        size = sum(len(content) for content, _ in media)
        if self._rows and self._waiting + size > MOST_MEDIA_BYTES:
            self._flush()
        self._rows.append(row)
        self._media.extend(media)
        self._waiting += size
        if len(self._rows) >= _BATCH_ROWS or self._waiting >= min(_BATCH_BYTES, self.megabytes * 10**6):
            self._flush()

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._end_file()

    def _flush(self) -> None:
        if self._writer is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._writer = self._open(self.folder / f"train-{self._files:05d}.parquet")
            self._files += 1
        texts = [name for name in self.schema.names if name != self.media]
        columns = pa.Table.from_pylist(self._rows, schema=pa.schema([self.schema.field(name) for name in texts]))
        if self.media is not None:
            columns = columns.add_column(0, self.media, _media_column(self._media))
        self._writer.write_table(columns.cast(self.schema))
        self._in_file += self._waiting
        self._rows, self._media, self._waiting = [], [], 0
        if self._in_file >= self.megabytes * 10**6:
            self._end_file()

    def _open(self, path: Path) -> pq.ParquetWriter:
        """Media are compressed already, and a dictionary or statistics of them would be copies."""
        texts = [name for name in self.schema.names if name != self.media]
        compression = dict.fromkeys(texts, "snappy")
        if self.media is not None:
            compression |= {f"{self.media}.bytes": "none", f"{self.media}.path": "snappy"}
        # Open already, since pyarrow takes no name that is not UTF-8.
        file = self._open_file.enter_context(path.open("wb"))
        return pq.ParquetWriter(
            file, self.schema, use_dictionary=texts, write_statistics=texts, compression=compression
        )

    def _end_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._open_file.close()
        self._writer, self._in_file = None, 0


def _media_column(media: Sequence[tuple[bytes, str]]) -> pa.Array:
    """The column of media, of less than 2^31 bytes in all. A single one, which may be big, is not copied."""
    contents = [content for content, _ in media]
    ends = np.cumsum([0, *map(len, contents)], dtype=np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(contents))]
    data = pa.Array.from_buffers(pa.binary(), len(contents), buffers)
    return pa.StructArray.from_arrays(
        [data, pa.array([name for _, name in media], pa.string())], names=["bytes", "path"]
    )
