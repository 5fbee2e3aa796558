"""Which captions are exported: found once, then given in order of dataset and row, however the result files lie."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO, Self

import numpy as np

from MetaCaptioner.agents.repetition import repeats_itself
from MetaCaptioner.agents.thresholds import has_marks
from MetaCaptioner.data.media_source import name_outside, tar_place
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.errors import UserError
from MetaCaptioner.export.totals import Account
from MetaCaptioner.records.caption_records import is_caption, resample_folders
from MetaCaptioner.records.gone_rows import gone_rows
from MetaCaptioner.records.reader import PlacedRecords, read_lines, result_files
from MetaCaptioner.records.record import Record, is_error
from MetaCaptioner.records.row_map import RowNumbers, row_of
from MetaCaptioner.utils.json_text import to_json
from MetaCaptioner.worklist.best_caption import Candidates, best
from MetaCaptioner.worklist.earlier_captions import caption_ranks

_INT64 = 2**63


@dataclass
class Kind:
    """What the captions of a dataset have in common, or not."""

    roots: Counter[str] = field(default_factory=Counter)
    modalities: set[Modality] = field(default_factory=set)

    @property
    def root(self) -> str:
        """The root that most of them have."""
        return min(self.roots, key=lambda root: (-self.roots[root], root))


class Captions:
    """Caption records by their places in files, eight bytes a row on the disk; of several of a sample the first counts.

    `kinds` tells of each dataset, in order of their names; `whole_ids` whether every id is a whole number of 64 bits,
    `judged` what there are how many marks for.
    """

    def __init__(self, account: Account, allow_outside_root: bool = False) -> None:
        self.kinds: dict[str, Kind] = {}
        self.has_ids = False
        self.whole_ids = True
        self.judged: Counter[tuple[str, ...]] = Counter()
        self._account = account
        self._allow_outside_root = allow_outside_root
        self._files = PlacedRecords()
        self._places = RowNumbers(np.uint64)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def __len__(self) -> int:
        return sum(kind.roots.total() for kind in self.kinds.values())

    @property
    def dimensions(self) -> list[str]:
        """All that there are marks for."""
        return [*dict.fromkeys(name for names in self.judged for name in names)]

    def add_file(self, path: Path) -> int:
        """Number of a file, from 1, for `add`."""
        return self._files.add_file(path)

    def add(self, file: int, offset: int, record: Record) -> None:
        """Note a record whose line begins at `offset` bytes of a file."""
        if (problem := _problem(record) or self._place_problem(record)) is not None:
            self._account.leave_out(problem, str(record["sample_id"]))
            return
        name, index = record["data_name"], record["index"]
        kind = self.kinds.setdefault(name, Kind())
        if self._places.get(name, index):
            self._account.note("captions of a sample that has another one are not among them", record["sample_id"])
            return
        self._places.set(name, index, self._files.place(file, offset))
        if has_marks(record):
            self.judged[tuple(record["scores"])] += 1
        kind.roots[record["root"]] += 1
        kind.modalities.add(record["modality"])
        value = record["id"]
        whole = isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64
        self.has_ids |= value is not None
        self.whole_ids &= whole

    def _place_problem(self, record: Record) -> str | None:
        """What is wrong with the place of a record's media, by their names alone."""
        try:
            outside = name_outside(Path(record["root"]), record[record["modality"]], tar_place(record.get("tar")))
        except (TypeError, ValueError):
            return "records whose root or place in a tar file is none"
        if outside is None or self._allow_outside_root:
            return None
        return "captions of media outside their root (--allow-outside-root takes them)"

    def sort(self) -> None:
        """Put the datasets in order, once all records are added."""
        self.kinds = {name: self.kinds[name] for name in sorted(self.kinds)}

    def records(self, datasets: Iterable[str] | None = None) -> Iterator[Record]:
        """The records of all or some datasets, by dataset and row.

        Raises:
            UserError: a file is not what it was any more.
        """
        for name in self.kinds if datasets is None else datasets:
            for index in self._places.rows_of(name):
                place = self._places.get(name, index)
                record = self._files.read(place)
                if record is None or row_of(record) != (name, index):
                    raise UserError(f"{self._files.path(place)}: was changed while it was read; export again")
                yield record

    def id_of(self, record: Record) -> int | str | None:
        """The id, of one type throughout: whole numbers if all are, else texts, empty where there is none."""
        value: object = record["id"]
        if self.whole_ids and isinstance(value, int):
            return value
        if not self.has_ids or isinstance(value, str):
            return value if isinstance(value, str) else None
        self._account.note("ids are written as text, since not all are whole numbers", record["sample_id"])
        return "" if value is None else str(value)


def _problem(record: Record) -> str | None:
    """Why a record cannot be exported: somebody may have worked on the file."""
    if not is_caption(record):
        return "records without a caption of a row"
    if repeats_itself(record["caption"], bool(record.get("truncated"))):
        return "captions that repeat themselves"
    media = record.get(str(record.get("modality")))
    if record.get("modality") not in ("image", "video") or not isinstance(media, str) or not _can_be_file(media):
        return "records that name no picture or clip"
    lacking = [name for name in ("id", "root", "task") if name not in record]
    return f"records without the field {lacking[0]!r}" if lacking else None


def _can_be_file(name: str) -> bool:
    """Whether any file can have such a name."""
    with suppress(ValueError):
        return bool(name) and b"\0" not in os.fsencode(name)
    return False


def placed_records(path: Path, account: Account) -> Iterator[tuple[int, Record]]:
    """(offset in bytes, record) of each sound line; others are counted as left out.

    Raises:
        UserError: the file cannot be read.
    """
    offset = 0
    for number, line, record in read_lines(path):
        if record is not None:
            yield offset, record
        elif line.strip():
            account.leave_out("lines that are no records", f"{path}, line {number}")
        offset += len(line)


def kept_captions(
    kept: Path, account: Account, look: Callable[[Record], None], allow_outside_root: bool = False
) -> Captions:
    """What the filter kept; `look` is shown every record once."""
    captions = Captions(account, allow_outside_root)
    file = captions.add_file(kept)
    for offset, record in placed_records(kept, account):
        look(record)
        captions.add(file, offset, record)
    captions.sort()
    return captions


def all_captions(folder: Path, account: Account, scratch: BinaryIO, allow_outside_root: bool = False) -> Captions:
    """Every caption of a result folder. Those sampled again are taken as they are now, which `scratch` holds.

    Raises:
        UserError: there are none.
    """
    captions, scores = Captions(account, allow_outside_root), folder / "score"
    again = captions.add_file(Path(scratch.name))
    caption_ranks(folder)
    gone = gone_rows(folder)
    for rank in dict.fromkeys(name.rank for _, name in result_files(folder)):
        candidates = Candidates(scores, rank) if resample_folders(scores) else None
        for path, _ in result_files(folder, rank):
            file = captions.add_file(path)
            for offset, record in placed_records(path, account):
                if is_error(record):
                    account.note("captions that failed are not among them", str(record["sample_id"]))
                    continue
                if (row := row_of(record)) is not None and gone.has(*row):
                    account.note("captions of media that are gone are not among them", str(record["sample_id"]))
                    continue
                chosen = record if candidates is None else best(candidates.of(record)).record
                if chosen is record:
                    captions.add(file, offset, record)
                else:
                    captions.add(again, scratch.tell(), chosen)
                    scratch.write(to_json(chosen) + b"\n")
    scratch.flush()
    captions.sort()
    return captions


def scratch_file() -> BinaryIO:
    """A file that is gone once it is closed.

    Raises:
        UserError: it cannot be made.
    """
    with suppress(OSError):
        return NamedTemporaryFile(prefix="metacaptioner-", suffix=".jsonl")  # type: ignore[return-value]
    raise UserError("no temporary file can be made; name a folder with room by TMPDIR")
