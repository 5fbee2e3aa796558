"""Which media the rows of a plan name now, to hold the records of a rank against them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from MetaCaptioner.data.annotation import AnnotationFile
from MetaCaptioner.data.annotation_blocks import BrokenAnnotation
from MetaCaptioner.planning.plan_file import PlanRow
from MetaCaptioner.planning.provenance import Rows
from MetaCaptioner.records.media_identity import RowMedia, of_record, of_renamed, other_media
from MetaCaptioner.records.reader import ResultName, read_glances, stem_in_names
from MetaCaptioner.records.record import Told

_PROBED_RECORDS = 20


@dataclass
class Annotations:
    """The annotation files that a plan names, each opened when it is first asked for, with what its rows name."""

    _opened: dict[str, RowMedia | BrokenAnnotation] = field(default_factory=dict)

    def media(self, row: PlanRow) -> RowMedia | BrokenAnnotation:
        """The media that the rows of its file name, or why it cannot be used."""
        if row.json_url not in self._opened:
            try:
                self._opened[row.json_url] = RowMedia(AnnotationFile(Path(row.json_url)))
            except BrokenAnnotation as error:
                self._opened[row.json_url] = error
        return self._opened[row.json_url]

    def of(self, row: PlanRow) -> AnnotationFile | BrokenAnnotation:
        """Its file, or why it cannot be used."""
        media = self.media(row)
        return media.annotation if isinstance(media, RowMedia) else media


class PlannedMedia(Rows):
    """Which media the rows of a plan are of, to hold the records of a rank against them."""

    def __init__(self, rows: Sequence[PlanRow], annotations: Annotations, paths: Iterable[Path]) -> None:
        """`paths` are the rank's result files, of which some may be of a dataset that now has another name."""
        self._rows = {row.data_name: row for row in rows}
        self._shards: dict[str, list[range]] = defaultdict(list)
        for row in rows:
            self._shards[row.data_name].append(range(row.start_idx, row.end_idx))
        self._annotations = annotations
        self._renamed: dict[str, str] = {}
        for path in paths:
            self._look_for_renamed(path)

    def differences(self, told: Told) -> dict[str, str]:
        """Why a record is not of what its row names now, with the record as an example; empty if it is."""
        if (now := self.renamed(told)) is not None:
            return {of_renamed(str(told.data_name), now): told.sample_id}
        row = self._rows.get(str(told.data_name))
        media = None if row is None else self._annotations.media(row)
        if told.index is None or not isinstance(media, RowMedia):
            return {}
        return other_media(told, media)

    def are_left_out(self, told: Told) -> bool:
        if told.data_name is None or told.index is None or self.renamed(told) is not None:
            return False
        row = self._rows.get(told.data_name)
        media = None if row is None else self._annotations.media(row)
        if isinstance(media, RowMedia) and told.index >= len(media):
            return False  # there is no such row any more
        return not any(told.index in shard for shard in self._shards.get(told.data_name, ()))

    def renamed(self, told: Told) -> str | None:
        """The name that the dataset of a record has now, where the plan knows it by another."""
        return self._renamed.get(str(told.data_name))

    def is_below_another_root(self, told: Told) -> bool:
        """Whether the medium of a record was found below another root than its dataset has now."""
        row = self._rows.get(str(told.data_name))
        return row is not None and told.root is not None and Path(told.root) != Path(row.root)

    def unreadable(self) -> Iterator[str]:
        """What is wrong with each annotation file that cannot be used."""
        media = (self._annotations.media(row) for row in self._rows.values())
        return (str(one) for one in media if isinstance(one, BrokenAnnotation))

    def _look_for_renamed(self, path: Path) -> None:
        """See whether a file begins with records of a dataset that the plan has by another name.

        That is one with an annotation file of the same name, the same root, and the same media in the same rows.
        """
        stem = getattr(ResultName.parse(path.name), "stem", None)
        told = [one for _, _, one in islice(read_glances(path), _PROBED_RECORDS) if one and one.data_name is not None]
        for old in {str(one.data_name) for one in told} - self._rows.keys():
            records = [one for one in told if one.data_name == old and of_record(one) is not None]
            for new, row in self._rows.items():
                media = self._annotations.media(row) if stem_in_names(row.stem) == stem else None
                if records and isinstance(media, RowMedia) and all(_is_of(one, row, media) for one in records):
                    self._renamed[old] = new


def _is_of(told: Told, row: PlanRow, media: RowMedia) -> bool:
    return (
        told.root is not None
        and Path(told.root) == Path(row.root)
        and told.index is not None
        and media.of(told.index) == of_record(told)
    )
