"""WebDataset tar shards: media, caption and marks of each sample side by side."""

import json
from urllib.parse import quote

from inputs.found import SUFFIXES
from packing import extension, shards

from exporting.job import Job, media_of
from exporting.tables import table_row
from MetaCaptioner.results import Record


def export_webdataset(job: Job) -> None:
    """For each caption the members `KEY.jpg` (or as the media are), `KEY.txt` and `KEY.json`."""
    with job.folder() as folder, shards(folder, job.shard_megabytes) as write:
        for record in job.captions():
            if (content := job.media(record)) is None:
                continue
            told = {**table_row(record), "id": record["id"]}
            write(
                _key(record),
                {
                    extension(media_of(record), record["modality"], SUFFIXES[record["modality"]]): content,
                    "txt": record["caption"].encode(),
                    "json": json.dumps(told, ensure_ascii=False).encode(),
                },
            )
            job.account.add(record)


def _key(record: Record) -> str:
    """A name that no other sample has, without the slashes and dots that mean something in a shard."""
    return f"{quote(record['data_name'], safe='').replace('.', '%2E')}-{record['index']:09d}"
