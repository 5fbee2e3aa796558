"""The formats by name."""

from collections.abc import Callable
from dataclasses import dataclass

from MetaCaptioner.export.beside_media import export_beside
from MetaCaptioner.export.conversations import export_json, export_jsonl
from MetaCaptioner.export.huggingface import export_huggingface
from MetaCaptioner.export.job import Job
from MetaCaptioner.export.parquet import export_parquet
from MetaCaptioner.export.text_files import export_texts
from MetaCaptioner.export.webdataset import export_webdataset


@dataclass(frozen=True)
class Format:
    """How one format is written, how beside the media if it can be, and which flags beside the common ones it takes."""

    write: Callable[[Job], None]
    about: str
    flags: frozenset[str] = frozenset()
    beside: Callable[[Job], None] | None = None


_ASKS = frozenset(("instruction",))

FORMATS = {
    "conversations": Format(export_json, "folder: annotation files (JSON) for training, and a Metafile", _ASKS),
    "jsonl": Format(export_jsonl, "folder: the same, a row a line", _ASKS),
    "parquet": Format(export_parquet, "file: one table"),
    "txt": Format(
        export_texts, "folder: a .txt for each caption", frozenset(("beside", "one_line", "own_texts")), export_beside
    ),
    "webdataset": Format(
        export_webdataset, "folder: tar shards of media and captions", frozenset(("shard_megabytes",))
    ),
    "huggingface": Format(
        export_huggingface,
        "folder: for the datasets library and the Hub, with a dataset card",
        frozenset(("shard_megabytes", "without_media")),
    ),
}
