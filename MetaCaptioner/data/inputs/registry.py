"""The kinds of input by name."""

from collections.abc import Callable
from dataclasses import dataclass

from MetaCaptioner.data.inputs.base import Given, Input, Notes
from MetaCaptioner.data.inputs.coco import open_coco
from MetaCaptioner.data.inputs.folder import open_folder
from MetaCaptioner.data.inputs.huggingface import open_huggingface
from MetaCaptioner.data.inputs.questions import open_questions
from MetaCaptioner.data.inputs.table import open_table
from MetaCaptioner.data.inputs.webdataset import open_shards


@dataclass(frozen=True)
class Format:
    """How one kind of input is opened, and which of the flags that not all share it listens to.

    It `can_update` where its rows name what lies elsewhere; what is packed would have to be packed anew.
    """

    open: Callable[[Given, Notes], Input]
    flags: frozenset[str]
    about: str
    can_update: bool = True


_COLUMNS = frozenset(("media_column", "caption_column", "id_column"))

FORMATS = {
    "folder": Format(open_folder, frozenset(), "a folder tree, with captions in .txt files beside the media"),
    "webdataset": Format(
        open_shards, frozenset(("root", "caption_column", "id_column")), "tar shards: a file, folder or {0..9} pattern"
    ),
    "huggingface": Format(
        open_huggingface,
        _COLUMNS | {"split", "subset", "shard_megabytes"},
        "a dataset on disk or by name",
        can_update=False,
    ),
    "table": Format(open_table, _COLUMNS | {"root"}, "a CSV, TSV or Parquet file with a column of paths"),
    "coco": Format(open_coco, frozenset(("root",)), "a COCO file: images with file_name, annotations with caption"),
    "questions": Format(
        open_questions,
        frozenset(("root", "split", "subset", "benchmark", "shard_megabytes")),
        "questions about pictures: VLMEvalKit's TSV, JSONL or a Hugging Face dataset, for evaluate",
        can_update=False,
    ),
}
