"""Which kind of input something is, by what it looks like."""

import os
from pathlib import Path

from MetaCaptioner.data.inputs.base import modality_of
from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.json_file import read_json

METAFILE = "metafile"
_BY_SUFFIX = {".tar": "webdataset", ".csv": "table", ".tsv": "table", ".parquet": "table"}
_SAVED_DATASET = ("dataset_info.json", "dataset_dict.json", "state.json")


def detect(place: str) -> str:
    """The name of the kind in the registry, or `METAFILE`.

    Raises:
        UserError: there is no such thing, or it is none of them.
    """
    path = Path(place)
    if path.is_dir():
        return _kind_of_folder(path)
    suffix = path.suffix.lower()
    if suffix == ".tar":  # also a pattern
        return "webdataset"
    if not path.exists():
        raise UserError(f"input {place}: there is no such file or folder (a dataset of the Hub: --format huggingface)")
    if suffix == ".json":
        content = read_json(path, "input")
        is_coco = isinstance(content, dict) and isinstance(content.get("images"), list)
        return "coco" if is_coco else METAFILE
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    advice = "name its folder" if modality_of(path.name) else "--format says what it is"
    raise UserError(
        f"input {place}: is neither a folder nor a Metafile (.json), a COCO file (.json), tar shards (.tar) or a table "
        f"(.csv, .tsv, .parquet): {advice}"
    )


def _kind_of_folder(folder: Path) -> str:
    """By the first picture or clip in it; without any, by its shards or tables.

    Raises:
        UserError: it has nothing of these, or cannot be read.
    """
    if any((folder / name).is_file() for name in _SAVED_DATASET):
        return "huggingface"
    others: set[str] = set()
    files = 0
    unreadable: list[OSError] = []
    for _, _, names in os.walk(folder, onerror=unreadable.append, followlinks=True):
        files += len(names)
        if any(modality_of(name) is not None and not name.startswith(".") for name in names):
            return "folder"
        others.update(Path(name).suffix.lower() for name in names)
    if ".tar" in others:
        return "webdataset"
    if ".parquet" in others:
        return "huggingface"
    if unreadable:
        raise UserError(f"input {folder}: cannot be read: {unreadable[0].filename}: {unreadable[0].strerror}")
    what = f"none of its {files} files is a picture, a clip or a tar shard" if files else "is empty"
    raise UserError(f"input {folder}: {what}: name the folder of your pictures and clips")
