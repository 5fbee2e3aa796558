"""A folder that the `datasets` library loads and the Hub takes: Parquet files and a dataset card."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from exporting.card import card
from exporting.job import MOST_MEDIA_BYTES, Job, media_of
from exporting.tables import FIELDS, table_row
from MetaCaptioner.domains import Modality
from MetaCaptioner.results import Record

_BATCH_ROWS = 1000
_BATCH_BYTES = 64 * 10**6


def export_huggingface(job: Job) -> None:
    """Pictures and clips are configurations of their own, since a table has the same columns throughout.

    Each has the media in a column `image` or `video`, unless the job goes without; paths of this machine are left out.
    """
    with job.folder() as folder:
        with ExitStack() as stack:
            tables: dict[Modality, _Table] = {}
            for record in job.captions.records():
                modality: Modality = record["modality"]
                content = job.media(record) if job.with_media else None
                if job.with_media and content is None:
                    continue
                if modality not in tables:
                    made = _Table(folder / "data" / modality, _schema(modality, job.with_media), job.shard_megabytes)
                    tables[modality] = stack.enter_context(_closing(made))
                row = table_row(record)
                if content is not None:
                    row[modality] = {"bytes": content, "path": Path(media_of(record)).name}
                tables[modality].add(row, len(content or b""))
                job.account.add(record)
        text = card(str(job.output and job.output.name), sorted(tables), job.account)
        (folder / "README.md").write_text(text, encoding="utf-8")


def _schema(modality: Modality, with_media: bool) -> pa.Schema:
    """The columns, with what the library must know of them to show media as media."""
    import datasets

    features: dict[str, Any] = {}
    if with_media:
        features[modality] = {"image": datasets.Image(), "video": datasets.Video()}[modality]
    features |= {name: datasets.Value(str(kind)) for name, kind in FIELDS}
    return datasets.Features(features).arrow_schema


@contextmanager
def _closing(table: "_Table") -> Iterator["_Table"]:
    try:
        yield table
    finally:
        table.close()


@dataclass
class _Table:
    """Parquet files `train-00000.parquet` and on, of about so many megabytes of media (10^6 bytes) each."""

    folder: Path
    schema: pa.Schema
    megabytes: int
    _rows: list[Record] = field(default_factory=list)
    _waiting: int = 0
    _in_file: int = 0
    _files: int = 0
    _writer: Any = None

    def add(self, row: Record, size: int) -> None:
        """Write a row, whose media have `size` bytes; some wait in memory."""
        if self._rows and self._waiting + size > MOST_MEDIA_BYTES:
            self._flush()
        self._rows.append(row)
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
            self._writer = pq.ParquetWriter(self.folder / f"train-{self._files:05d}.parquet", self.schema)
            self._files += 1
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self.schema))
        self._in_file += self._waiting
        self._rows, self._waiting = [], 0
        if self._in_file >= self.megabytes * 10**6:
            self._end_file()

    def _end_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._in_file = None, 0
