"""One Parquet file of captions."""

from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from MetaCaptioner.errors import UserError
from MetaCaptioner.export.job import Job
from MetaCaptioner.export.tables import fields_of, table_row
from MetaCaptioner.utils.json_text import to_json
from MetaCaptioner.utils.safe_open import open_file

_BATCH_ROWS = 10_000
_PLACES = [("root", pa.string()), ("tar", pa.string())]
_ACCOUNT_KEY = "metacaptioner.export"
"""Of the file's metadata; it holds the account and tells an export from any other table."""


def export_parquet(job: Job) -> None:
    """A row for each caption, with the place of its media: `root` and, for members of tar files, `tar`.

    Raises:
        UserError: something other than an earlier export is there.
    """
    if job.overwrite and job.output is not None and job.output.is_file() and not _is_export(job.output):
        raise UserError(f"{job.output} is no earlier export; move it away or name another place")
    fields, records = fields_of(job), job.captions.records()
    schema = pa.schema([*fields, *_PLACES])
    with job.file() as file, pq.ParquetWriter(file, schema) as writer:
        while batch := list(islice(records, _BATCH_ROWS)):
            rows = [
                {**table_row(job, record, fields), "root": record["root"], "tar": record.get("tar", {}).get("file")}
                for record in batch
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            for record in batch:
                job.account.add(record)
        writer.add_key_value_metadata({_ACCOUNT_KEY: to_json(job.account.content())})


def _is_export(path: Path) -> bool:
    try:
        with open_file(path) as file:
            return _ACCOUNT_KEY.encode() in (pq.read_metadata(file).metadata or {})
    except (OSError, pa.ArrowException):
        return False
