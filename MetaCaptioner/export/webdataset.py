"""WebDataset tar shards: media, caption and marks of each sample side by side."""

from MetaCaptioner.data.inputs.base import SUFFIXES
from MetaCaptioner.data.tar_shards import extension, shards
from MetaCaptioner.export.dataset_names import shard_key
from MetaCaptioner.export.job import Job, media_of
from MetaCaptioner.export.tables import fields_of, table_row
from MetaCaptioner.utils.json_text import to_json


def export_webdataset(job: Job) -> None:
    """For each caption the members `KEY.jpg` (or as the media are), `KEY.txt` and `KEY.json`."""
    fields = fields_of(job)
    with job.folder() as folder, shards(folder, job.shard_megabytes) as write:
        for record in job.captions.records():
            if (content := job.media(record)) is None:
                continue
            told = {**table_row(job, record, fields), "id": job.captions.id_of(record)}
            write(
                shard_key(record["data_name"], record["index"]),
                {
                    extension(media_of(record), record["modality"], SUFFIXES[record["modality"]]): content,
                    "txt": job.text(record["caption"], record).encode(),
                    "json": to_json(told),
                },
            )
            job.account.add(record)
