"""A `.txt` file for each caption."""

import hashlib
from array import array
from pathlib import Path, PurePosixPath

import numpy as np

from exporting.job import Job, media_of
from MetaCaptioner.errors import UserError
from MetaCaptioner.files import atomic_write
from MetaCaptioner.results import Record


def export_texts(job: Job) -> None:
    """Under the output folder, dataset by dataset. Where two would have one name, later ones get the row's index."""
    with job.folder() as folder:
        for record in job.captions():
            path = folder.joinpath(*_inside(record)).with_suffix(".txt")
            if path.exists():
                path = _with_index(path, record)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_content(record))
            job.account.add(record)


def export_beside(job: Job) -> None:
    """Beside the media. Nothing is written before all places are known to be free.

    Raises:
        UserError: a file is there already, perhaps somebody's own caption, and may not be replaced; or media lie in
            tar files.
    """
    hashes = array("Q")
    for record in job.captions():
        path = _beside(record)
        if not job.overwrite and path.exists():
            raise UserError(f"{path} is there already; --overwrite replaces such files (nothing is written yet)")
        hashes.append(_hash(path))
    values, counts = np.unique(np.frombuffer(hashes, dtype=np.uint64), return_counts=True)
    shared, taken = set(values[counts > 1].tolist()), set[int]()
    for record in job.captions():
        path = _beside(record)
        if (number := _hash(path)) in taken:
            path = _with_index(path, record)
        elif number in shared:
            taken.add(number)
        with atomic_write(path, "caption file", sync=False) as file:
            file.write(_content(record))
        job.account.add(record)


def _content(record: Record) -> bytes:
    return f"{record['caption']}\n".encode()


def _inside(record: Record) -> list[str]:
    """The parts of a path below the output folder, and never out of it; of a tar member below its tar file's name."""
    shard = PurePosixPath(record["tar"]["file"]).with_suffix("").parts if "tar" in record else ()
    parts = (record["data_name"], *shard, *PurePosixPath(media_of(record)).parts)
    return [part for part in parts if part not in ("/", "..", ".")]


def _beside(record: Record) -> Path:
    if "tar" in record:
        raise UserError(f"{record['sample_id']}: lies in a tar file, beside which is no place; use --format webdataset")
    return (Path(record["root"]) / media_of(record)).with_suffix(".txt")


def _with_index(path: Path, record: Record) -> Path:
    return path.with_name(f"{path.stem}.{record['index']}.txt")


def _hash(path: Path) -> int:
    """64 bits that stand for a path: eight bytes a caption, where a set of paths would take hundreds."""
    return int.from_bytes(hashlib.blake2b(bytes(path), digest_size=8).digest())
