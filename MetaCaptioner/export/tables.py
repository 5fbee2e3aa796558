"""The columns that Parquet and Hugging Face exports have in common."""

import pyarrow as pa

from MetaCaptioner.agents.judge import DIMENSIONS
from MetaCaptioner.export.job import Job, media_of
from MetaCaptioner.records.record import Record

_TEXTS = ("sample_id", "data_name", "id", "media", "modality", "task", "subdomain", "caption", "model", "prompts")
_ORDER = ("sample_id", "data_name", "index", "id", "media", "modality", "task", "subdomain", "caption", "overall")
_TYPES = (
    dict.fromkeys(_TEXTS, pa.string()) | dict.fromkeys(("index", *DIMENSIONS), pa.int64()) | {"overall": pa.float64()}
)

FIELDS = [(name, _TYPES[name]) for name in (*_ORDER, *DIMENSIONS, "model", "prompts")]
"""(name, Arrow type) of each column."""


def table_row(job: Job, record: Record) -> Record:
    """The values of those columns; ids become text, since a column has one type."""
    scores = record.get("scores", {})
    row = {
        "sample_id": record["sample_id"],
        "data_name": record["data_name"],
        "index": record["index"],
        "id": None if record["id"] is None else str(record["id"]),
        "media": media_of(record),
        "modality": record["modality"],
        "task": record["task"],
        "subdomain": record.get("subdomain"),
        "caption": record["caption"],
        "overall": record.get("overall"),
        **{name: scores.get(name) for name in DIMENSIONS},
        "model": record.get("model"),
        "prompts": record.get("prompts"),
    }
    return {name: job.text(value, record) if isinstance(value, str) else value for name, value in row.items()}
