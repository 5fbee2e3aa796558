"""A `.txt` file for each caption, in a folder of their own; beside the media is in `beside.py`."""

import hashlib
import os
import re
from array import array
from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.export.dataset_names import writable
from MetaCaptioner.export.job import Job, media_of
from MetaCaptioner.records.record import Record
from MetaCaptioner.utils.file_names import shortened

SUFFIX = ".txt"
_LONGEST_BYTES = 251  # with the suffix as many as file systems take
_LINE_ENDS = re.compile(r"\r\n|\r|\n")


def export_texts(job: Job) -> None:
    """Under the output folder, dataset by dataset, each named as its media but for the suffix."""
    folders = job.names(job.captions.kinds)

    def place(record: Record) -> str:
        return "/".join(_inside(record, folders[record["data_name"]]))

    media = ((place(record), str(media_key(record))) for record in job.captions.records())
    names = TextNames(media, case_counts=False)
    with job.folder() as folder:
        for record in job.captions.records():
            name = names.free(place(record), str(media_key(record)), record, job)
            if name is None:
                continue
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text_of(record, job))
            job.account.add(record)


class TextNames:
    """Which `.txt` each caption gets: that of its media's name without suffix, since trainers look for it.

    Where several media would share it (`a.jpg` and `a.png`), a trainer would take one's caption for the other: theirs
    are `a.jpg.txt` and `a.png.txt`, which is told. Media with several captions get the first. 16 bytes a caption.

    Args:
        media: (place of the media, their key) of all captions that count.
        case_counts: whether names that differ in case only are two.
    """

    def __init__(self, media: Iterable[tuple[str, str]], case_counts: bool) -> None:
        self._case_counts = case_counts
        hashes = array("Q")
        for place, key in media:
            hashes.extend((self._number(text_name(place)), _hash(key)))
        pairs = np.frombuffer(hashes, dtype=np.uint64).reshape(-1, 2) if hashes else np.zeros((0, 2), np.uint64)
        self._repeated = _repeated(pairs[:, 1])
        pairs = np.unique(pairs, axis=0)
        self._shared = _repeated(pairs[:, 0])
        self._wanted = np.unique(pairs[:, 0])
        self._written: set[int] = set()
        self._full: set[int] = set()

    def begin_again(self) -> None:
        """Forget which names were given."""
        self._written.clear()
        self._full.clear()

    def free(self, place: str, key: str, record: Record, job: Job) -> str | None:
        """The name for a caption; None where it gets none, which is counted."""
        medium = _hash(key)
        if medium in self._repeated:
            if medium in self._written:
                job.account.note("captions of media that have one already are not written", record["sample_id"])
                return None
            self._written.add(medium)
        if self._number(text_name(place)) not in self._shared:
            return text_name(place)
        name = full_name(place)
        number = self._number(name)
        if number in self._full or _has(self._wanted, number):
            job.account.leave_out("captions of media that share their names but for the suffix", place)
            return None
        self._full.add(number)
        job.account.note(
            "captions of media that share a name are in files that trainers do not read (a.jpg.txt; rename the media)",
            place,
        )
        return name

    def _number(self, name: str) -> int:
        return _hash(name if self._case_counts else name.casefold())


def text_name(place: str) -> str:
    """The name of a text file as trainers look for it: with the suffix of the media replaced."""
    folder, _, name = place.rpartition("/")
    return f"{folder}/{_cut(os.path.splitext(name)[0])}" if folder else _cut(os.path.splitext(name)[0])  # noqa: PTH122


def full_name(place: str) -> str:
    """The name that no other media share."""
    folder, _, name = place.rpartition("/")
    return f"{folder}/{_cut(name)}" if folder else _cut(name)


def text_of(record: Record, job: Job) -> bytes:
    """The content of the file. Trainers such as kohya's sd-scripts read its first line only, so more are told.

    Source: sd-scripts, `library/train_util.py`, `read_caption`: `lines[0].strip()`.
    """
    caption = job.text(str(record["caption"]), record)
    lines = [line.strip() for line in _LINE_ENDS.split(caption) if line.strip()]
    joined = " ".join(lines)
    if job.one_line:
        caption = joined
    elif _LINE_ENDS.split(caption)[0].strip() != joined:
        job.account.note(
            "captions have several lines, of which some trainers read the first only; --one-line joins them",
            record["sample_id"],
        )
    return f"{caption}\n".encode()


def media_key(record: Record) -> tuple[object, ...]:
    """What is the same for two captions of the same media in one dataset."""
    tar = record.get("tar")
    return (record["data_name"], record["root"], tar and tar["file"], media_of(record))


def _inside(record: Record, folder: str) -> list[str]:
    """The parts of a path below the output folder, and never out of it; of a tar member below its tar file's name."""
    shard = PurePosixPath(os.path.splitext(record["tar"]["file"])[0]).parts if "tar" in record else ()  # noqa: PTH122
    parts = [part for part in (*shard, *PurePosixPath(media_of(record)).parts) if part not in ("/", "..", ".")]
    return [folder, *(shortened(writable(part), _LONGEST_BYTES) for part in parts)]


def _cut(stem: str) -> str:
    return shortened(stem, _LONGEST_BYTES) + SUFFIX


def _hash(text: str) -> int:
    """64 bits that stand for a text: eight bytes a caption, where a set of paths would take hundreds."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def _repeated(values: NDArray[np.uint64]) -> frozenset[int]:
    found, counts = np.unique(values, return_counts=True)
    return frozenset(found[counts > 1].tolist())


def _has(ordered: NDArray[np.uint64], value: int) -> bool:
    place = int(np.searchsorted(ordered, np.uint64(value)))
    return place < len(ordered) and int(ordered[place]) == value
