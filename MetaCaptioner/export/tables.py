"""The columns that Parquet and Hugging Face exports have in common."""

from collections.abc import Iterable

import pyarrow as pa

from MetaCaptioner.agents.dimensions import SHIPPED
from MetaCaptioner.agents.thresholds import has_marks
from MetaCaptioner.export.job import Job, media_of
from MetaCaptioner.records.record import Record

_TEXTS = ("sample_id", "data_name", "id", "media", "modality", "task", "subdomain", "caption", "model", "prompts")
_ORDER = ("sample_id", "data_name", "index", "id", "media", "modality", "task", "subdomain", "caption", "overall")
_TYPES = dict.fromkeys(_TEXTS, pa.string()) | {"index": pa.int64(), "overall": pa.float64()}
_OTHERS = frozenset((*_TYPES, "root", "tar", "image", "video"))


def fields_of(job: Job) -> list[tuple[str, pa.DataType]]:
    """(name, Arrow type) of each column: those of marks are for what the captions are marked for.

    Where none is marked, they are there too, empty, for what the shipped judge marks.
    """
    marks = [(_column(name), pa.int64()) for name in job.captions.dimensions or [one.name for one in SHIPPED]]
    texts = [(name, _TYPES[name]) for name in ("model", "prompts")]
    return [*((name, _TYPES[name]) for name in _ORDER), *marks, *texts]


def _column(dimension: str) -> str:
    """The column of a dimension, which may be called as another column is."""
    return f"mark_{dimension}" if dimension in _OTHERS else dimension


def table_row(job: Job, record: Record, fields: Iterable[tuple[str, pa.DataType]]) -> Record:
    """The values of those columns; ids become text, since a column has one type."""
    scores = record["scores"] if has_marks(record) else {}
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
        **{_column(name): mark for name, mark in scores.items()},
        "model": record.get("model"),
        "prompts": record.get("prompts"),
    }
    found = {name: row.get(name) for name, _ in fields}
    return {name: job.text(value, record) if isinstance(value, str) else value for name, value in found.items()}
