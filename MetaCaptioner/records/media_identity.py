"""Which media a row names now, and which a record is of. Where those differ, the row has another number than before."""

import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from MetaCaptioner.data.annotation import AnnotationFile, parse_row
from MetaCaptioner.data.annotation_row import as_it_was
from MetaCaptioner.data.sample import PlainRow, Sample, glance, sample_from_row
from MetaCaptioner.errors import ErrorKind
from MetaCaptioner.records.record import Record, Told, told_of

_OF_NO_MEDIA = (ErrorKind.BAD_ROW, ErrorKind.NO_MEDIA)
"""Errors of rows that name no media, or none that could be made out."""
_ROWS = 2048
"""Kept of a file, in blocks: records lie in the order in which samples ended, so that those of some are mixed."""
OTHER_MEDIA = "of other media than their rows name now"
GONE = "of rows that are not there any more"
_SHOWN = 200  # characters of a name, which in a row may be anything


def of_renamed(before: str, now: str) -> str:
    """Why records do not fit whose dataset has another name now. They are of no row of it, whoever keeps them."""
    return f"of the dataset '{before}', which is '{now}' now (its old name in the Metafile makes them fit again)"


def named(name: str | None, tar_file: str | None) -> str | None:
    """The media of a row or record in words: a name below the root, of a tar member behind its file's; None: none."""
    return (f"{tar_file}[{name}]" if tar_file else name) if name else None


def of_record(told: Told) -> str | None:
    """The media that a record is of; None where it says nothing of them, as of a row that named none."""
    if told.error is not None and told.error.kind in _OF_NO_MEDIA:
        return None
    return named_in(told)


def named_in(told: Told) -> str | None:
    """The media that a record names, also where its row was at fault."""
    return named(told.image or told.video, told.tar.file if told.tar else None)


def same_media(one: Record, other: Record) -> bool:
    """Whether two records of a sample name the same media, as far as both name any: its row may have changed."""
    names = {named_in(told_of(record)) for record in (one, other)} - {None}
    return len(names) < 2


def of_sample(sample: Sample) -> str | None:
    """The media of a sample."""
    return named(sample.media_name, sample.tar.file if sample.tar else None)


def of_plain(row: PlainRow) -> str | None:
    """The media of a row that was glanced at."""
    return named(row.image or row.video, row.tar.file if row.tar else None)


def of_rows(texts: Sequence[bytes]) -> list[str | None]:
    """The media that each of some rows names, or named before it was removed; None where that cannot be made out."""
    rows = glance(texts)
    if rows is None:
        return [_of_row(text) for text in texts]
    return [of_plain(row) or _of_row(text) for row, text in zip(rows, texts, strict=True)]


def _of_row(text: bytes) -> str | None:
    row = as_it_was(parse_row(text))
    without_task = {**row, "task": None} if isinstance(row, dict) else row  # which may be one of other prompts
    return of_sample(sample_from_row(without_task, "", 0, Path(), "image", "", (), allow_outside_root=True))


def mark(media: str | None) -> int:
    """A number of 32 bits that stands for the media, for comparing millions; 0: none are named."""
    return 0 if media is None else zlib.crc32(media.encode("utf-8", "surrogatepass")) or 1


class RowMedia:
    """The media that the rows of an annotation file name now, looked up a block of rows at a time."""

    def __init__(self, annotation: AnnotationFile) -> None:
        self.annotation = annotation
        self._blocks: OrderedDict[int, list[str | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.annotation)

    def of(self, index: int | None) -> str | None:
        """The media of a row; None where it names none, or there is no such row.

        Raises:
            BrokenAnnotation: the file has changed while it was read.
        """
        if index is None or not 0 <= index < len(self.annotation):
            return None
        begin = self.annotation.block_begin(index)
        if begin not in self._blocks:
            while len(self._blocks) > 1 and sum(map(len, self._blocks.values())) > _ROWS:
                self._blocks.popitem(last=False)
            self._blocks[begin] = of_rows(self.annotation.block(index)[1])
        return self._blocks[begin][index - begin]


def other_media(told: Told, media: RowMedia) -> dict[str, str]:
    """Why a record is not of what its row names now, with the record as an example; empty if it is."""
    if told.index is not None and told.index >= len(media):
        return {GONE: told.sample_id}
    was, now = of_record(told), media.of(told.index)
    if was is None or was == now:
        return {}
    return {OTHER_MEDIA: f"{told.sample_id} (of {was:.{_SHOWN}}, the row names {now or 'none':.{_SHOWN}})"}
