"""One Parquet file of captions."""

from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from exporting.job import Job
from exporting.tables import FIELDS, table_row

_BATCH_ROWS = 10_000
_PLACES = [("root", pa.string()), ("tar", pa.string())]


def export_parquet(job: Job) -> None:
    """A row for each caption, with the place of its media: `root` and, for members of tar files, `tar`."""
    schema, records = pa.schema([*FIELDS, *_PLACES]), job.captions()
    with job.file() as file, pq.ParquetWriter(file, schema) as writer:
        while batch := list(islice(records, _BATCH_ROWS)):
            rows = [
                {**table_row(record), "root": record["root"], "tar": record.get("tar", {}).get("file")}
                for record in batch
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            for record in batch:
                job.account.add(record)
