"""Work through the captions of earlier results: to score them, to write them anew, to sample them again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.data.sample import Sample
from MetaCaptioner.errors import UserError
from MetaCaptioner.planning.provenance import Expected
from MetaCaptioner.records.caption_records import is_caption
from MetaCaptioner.records.done import DoneSamples
from MetaCaptioner.records.gone_rows import gone_rows
from MetaCaptioner.records.media_identity import mark, named_in
from MetaCaptioner.records.reader import result_files
from MetaCaptioner.records.record import Record, is_error, may_yet_succeed, told_of
from MetaCaptioner.records.row_map import RowNumbers, caption_hash, row_of
from MetaCaptioner.runtime.rank import Rank, assigned_ranks
from MetaCaptioner.worklist.base import Item, RankFiles, check_root, open_results
from MetaCaptioner.worklist.best_caption import Read

_PROBED_CAPTIONS = 1000


_NO_CAPTION = 1  # in place of a caption's hash

ToDo = Callable[[int], Iterator[tuple[str, NDArray[np.integer]]]]
"""(dataset, rows) of the earlier records of a rank that are samples, found without a look into each of them."""
SampleOf = Callable[[int, Record], Sample | None]
"""What is to be done for an earlier record of a rank: (rank, record) -> sample, or None for nothing."""


def lineage(record: Record) -> Record:
    """Where a record comes from that is made from `record`, as its field `source`; passes before it are in there."""
    names = ("model", "models", "prompts", "overall", "source")
    told: Record = {name: record[name] for name in names if name in record}
    return {"caption_hash": caption_hash(record["caption"]) if is_caption(record) else None, **told}


def with_source(sample: Sample, source: Record, **fields: str) -> Sample:
    """The sample of a record with that record's lineage, and further texts for prompts."""
    return replace(sample, carried={**sample.carried, "source": source}, fields={**sample.fields, **fields})


def made_otherwise(read: Read, rank: int) -> Callable[[Record], bool]:
    """Whether a record was made from a caption that has since been replaced by another, or from none and there is one.

    So it was where the row is of other media by now, should their captions be of the same words.

    One whose sample this rank has no record of any more counts too: another rank may have made its caption since.
    Records that do not tell what they were made from are believed.
    """
    current: RowNumbers | None = None

    def outdated(record: Record) -> bool:
        nonlocal current
        source = record.get("source", record)
        if "caption_hash" not in source:
            return False
        if current is None:  # only once there are such records at all
            current = RowNumbers(np.uint64)
            for _, found in read(rank):
                if (place := row_of(found)) is not None:
                    current.set(*place, _mark(found, caption_hash(found["caption"]) if is_caption(found) else None))
        row = row_of(record)
        return row is None or current.get(*row) != _mark(record, source["caption_hash"])

    return outdated


def _mark(record: Record, caption: str | None) -> int:
    """64 bits that stand for the media of a record and the hash of their caption, if there is one."""
    return (int(caption, 16) if caption else _NO_CAPTION) ^ mark(named_in(told_of(record)))


@dataclass
class EarlierWork:
    """The earlier records of which something is to be made that is not there yet.

    The unit is the rank that wrote the earlier records. Where there are more processes than such ranks, several share
    one and take its rows in turn, by their numbers, so that none is anybody else's when records come or go meanwhile;
    each writes a part of its own. What any part holds counts as done, so the number of processes may change from run to
    run.

    Raises:
        UserError: a dataset's root is wrong, told before any model is loaded.
    """

    read: Read
    sample_of: SampleOf
    shares: Mapping[int, tuple[int, int]]
    """Rank of the records -> (this process's turn, number of processes that share it)."""
    files: Mapping[int, RankFiles]
    folder: Path
    to_do: ToDo | None = None
    problems: list[str] = field(default_factory=list)
    taken_over: int = 0

    def __post_init__(self) -> None:
        self._total = self._pending = 0
        for rank, name, rows in self._wanted():
            self._total += len(rows)
            self._pending += len(rows) - int(np.count_nonzero(self.files[rank].done.have(name, rows)))
        probed: dict[tuple[str, Path], list[Sample]] = {}
        for sample in islice(self._samples(), _PROBED_CAPTIONS if self._pending else 0):
            if sample.problem is None:
                probed.setdefault((sample.data_name, sample.root), []).append(sample)
        for (data_name, root), samples in probed.items():
            check_root(data_name, root, samples)

    def total(self) -> int:
        return self._total

    def pending(self) -> int:
        return self._pending

    def help_wanted(self) -> bool:
        return False  # each process has its share of every rank's captions

    def items(self) -> Iterator[Item]:
        for rank, stem, record in self._records():
            if self.files[rank].done.has(record["data_name"], record["index"]):
                continue
            sample = self.sample_of(rank, record)
            if sample is not None:
                yield self.files[rank].item(sample, stem)

    def take_over(self) -> Iterator[Item] | None:
        return None

    def _samples(self) -> Iterator[Sample]:
        made = (self.sample_of(rank, record) for rank, _, record in self._records())
        return (sample for sample in made if sample is not None)

    def _wanted(self) -> Iterator[tuple[int, str, NDArray[np.integer]]]:
        """(rank, dataset, rows) of the earlier records that are this process's and of which something is to be made."""
        if self.to_do is None:
            for rank, _, record in self._records():
                if self.sample_of(rank, record) is not None:
                    yield rank, record["data_name"], np.array([record["index"]])
            return
        for rank, (turn, processes) in self.shares.items():
            counted = DoneSamples()  # a sample with several records is one
            for name, found in self.to_do(rank):
                rows = np.unique(found[found % processes == turn])
                rows = rows[~counted.have(name, rows)]
                counted.mark_all(name, rows)
                yield rank, name, rows

    def _records(self) -> Iterator[tuple[int, str, Record]]:
        """(rank, annotation stem, record) of the earlier records that are this process's."""
        for rank, (turn, processes) in self.shares.items():
            for stem, record in self.read(rank):
                row = row_of(record)
                if row is not None and row[1] % processes == turn:
                    yield rank, stem, record


def caption_shares(rank: Rank, caption_ranks: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Which ranks' captions this process takes: rank -> (its turn, number of processes that share that rank)."""
    ranks = sorted(set(caption_ranks))
    if rank.world_size <= len(ranks):
        return dict.fromkeys(assigned_ranks(rank, ranks), (0, 1))
    if not ranks:
        return {}
    place = rank.rank % len(ranks)
    processes = (rank.world_size - place + len(ranks) - 1) // len(ranks)
    return {ranks[place]: (rank.rank // len(ranks), processes)}


@dataclass(frozen=True)
class Earlier:
    """A folder of captions, how they are read, what is to be made from them, and where that goes."""

    captions: Path
    read: Read
    expected: Expected
    output: Path
    allow_outside_root: bool
    to_do: ToDo | None = None
    """Counts what is to be done of a rank, where that can be told faster than by making every sample."""

    def open(
        self,
        rank: Rank,
        retry_errors: bool,
        stack: ExitStack,
        sample_of: SampleOf,
        shares: Mapping[int, tuple[int, int]] | None = None,
    ) -> EarlierWork:
        """The records that fall to this process, or those of `shares`. What has left its dataset is passed over.

        What was made from captions that have since changed is taken out.

        Raises:
            UserError: the folder holds no captions, or as `EarlierWork`.
        """
        if self.output.resolve() == self.captions.resolve():
            raise UserError(f"output folder {self.output}: is that of the earlier captions; name another")
        if shares is None:
            # Also those that have none any more, since the captions were made anew by others: nobody else looks there.
            left = {name.rank for _, name in result_files(self.output)}
            shares = caption_shares(rank, [*caption_ranks(self.captions), *left])
        retried = may_yet_succeed if retry_errors else None
        files = {
            number: open_results(
                stack, self.output, rank, number, self.expected, retried, share, made_otherwise(self.read, number)
            )
            for number, share in shares.items()
        }

        gone = gone_rows(self.captions)

        def permitted(number: int, record: Record) -> Sample | None:
            row = row_of(record)
            if row is not None and gone.has(*row):
                return None
            sample = sample_of(number, record)
            return sample and replace(sample, allow_outside_root=self.allow_outside_root)

        def still_there(number: int) -> Iterator[tuple[str, NDArray[np.integer]]]:
            for name, rows in self.to_do(number) if self.to_do else ():
                yield name, rows[~gone.have(name, rows)]

        to_do = still_there if self.to_do else None
        return EarlierWork(self.read, permitted, shares, files, self.output, to_do)


def some_records(folder: Path, read: Read) -> list[Record]:
    """The first records of a folder, to see of what kind they are before anything is loaded.

    Raises:
        UserError: there are none.
    """
    records = (record for rank in caption_ranks(folder) for _, record in read(rank))
    return list(islice(records, _PROBED_CAPTIONS))


def check_are_captions(folder: Path, read: Read) -> None:
    """Refuse a folder of another stage: none of its first records has a caption, though not all have failed.

    Raises:
        UserError: that, or there are no records.
    """
    made = [record for record in some_records(folder, read) if not is_error(record)]
    if made and not any(map(is_caption, made)):
        raise UserError(f"data folder {folder}: {made[0]['sample_id']} has no caption: is it of the caption stage?")


def own_shares(rank: Rank, plan_ranks: Sequence[int], folders: Sequence[Path]) -> dict[int, tuple[int, int]]:
    """Shares of a process that has just captioned its ranks of a plan: those, while others may still be at theirs.

    The records that other plans have left in `folders` go round, as nobody adds to them.
    """
    mine, planned = assigned_ranks(rank, plan_ranks), set(plan_ranks)
    there = {name.rank for folder in folders for _, name in result_files(folder)}
    left = [number for number in sorted(there - planned) if number % rank.world_size == rank.rank]
    return dict.fromkeys([*mine, *left], (0, 1))


def caption_ranks(folder: Path) -> list[int]:
    """The ranks that have captions in a folder.

    Raises:
        UserError: there are none.
    """
    names = [name for _, name in result_files(folder)]
    if not names:
        raise UserError(f"data folder {folder}: holds no caption results (Rank*_node*_*.jsonl)")
    return sorted({name.rank for name in names})
