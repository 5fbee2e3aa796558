"""What a stage works on, one item a sample, and the result files that it ends in."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from MetaCaptioner.data.media_source import WHAT_TO_DO
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.errors import ErrorKind, SampleError, UserError
from MetaCaptioner.planning.provenance import Expected
from MetaCaptioner.records.done import DoneSamples
from MetaCaptioner.records.journal import CRASHES_BEFORE_ALONE, Past
from MetaCaptioner.records.record import Record
from MetaCaptioner.records.store import RankResults
from MetaCaptioner.runtime.rank import Rank
from MetaCaptioner.utils.cli import note


class Item(Protocol):
    """A sample to do, and where its record goes."""

    @property
    def sample(self) -> Sample: ...

    @property
    def past(self) -> Past:
        """What it has behind it: attempts in earlier runs, crashes it was at."""
        ...

    @property
    def suspect(self) -> bool:
        """Whether it may be what killed two workers: it is then done with nothing else in flight."""
        ...

    def begin(self) -> None:
        """Note that it is in flight.

        Raises:
            SampleError: it is not to be done.
        """
        ...

    def write(self, record: Record) -> None:
        """Take its record.

        Raises:
            UserError: no record can be taken any more.
        """
        ...


def is_suspect(past: Past) -> bool:
    """Whether what has this behind it may have killed two workers."""
    return past.crashes == CRASHES_BEFORE_ALONE


def refuse_deadly(past: Past) -> None:
    """Refuse what has killed a worker alone.

    Raises:
        SampleError: so it has.
    """
    if past.crashes > CRASHES_BEFORE_ALONE:
        deaths = f"{past.crashes} deaths of the worker"
        raise SampleError(ErrorKind.ENGINE_CRASH, f"was in flight at {deaths}, at the last one alone")


@dataclass(frozen=True)
class ResultItem:
    """An item whose record goes to the result files of a rank."""

    sample: Sample
    results: RankResults
    stem: str
    past: Past

    @property
    def suspect(self) -> bool:
        return is_suspect(self.past)

    def begin(self) -> None:
        """Note that it is in flight.

        Raises:
            SampleError: it has killed a worker alone.
        """
        refuse_deadly(self.past)
        self.results.journal.begin(self.sample.data_name, self.sample.index)

    def write(self, record: Record) -> None:
        self.results.append(self.stem, record)


class Work(Protocol):
    """What a stage works through."""

    folder: Path
    """Where its results go."""
    files: "Mapping[int, RankFiles]"
    """The results of each rank that is this process's."""
    problems: list[str]
    """One line for each thing that cannot be worked on, such as a plan row out of range."""
    taken_over: int
    """Samples that this run has taken over from other processes."""

    def total(self) -> int:
        """How many samples are this rank's."""
        ...

    def pending(self) -> int:
        """How many of them have no record yet."""
        ...

    def help_wanted(self) -> bool:
        """Whether other processes have work that this one could take over."""
        ...

    def items(self) -> Iterator[Item]:
        """The pending samples, read as they are asked for."""
        ...

    def take_over(self) -> Iterator[Item] | None:
        """Claim some samples of a slower rank; None where there are none to be had.

        To look for them may take a while. It may be done in a thread of its own, the samples be asked for in another.
        """
        ...


@dataclass
class RankFiles:
    """The results of one assigned rank: open, recovered, with what is done."""

    results: RankResults
    done: DoneSamples

    def item(self, sample: Sample, stem: str) -> Item:
        return ResultItem(sample, self.results, stem, self.results.journal.past(sample.data_name, sample.index))


def open_results(
    stack: ExitStack,
    folder: Path,
    rank: Rank,
    assigned: int,
    expected: Expected,
    retried: Callable[[Record], bool] | None,
    share: tuple[int, int] = (0, 1),
    outdated: Callable[[Record], bool] | None = None,
) -> RankFiles:
    """Open the results that a stage has of one assigned rank, or of a share (turn, processes) of it.

    Records that are `retried` are taken out and count as attempts, but only by the first worker of a run: the next one
    finds them out, or made anew. `outdated` ones are just taken out, and so are those that are not as `expected` and to
    be made again. Where a rank is shared, such a record may lie in a part of another process, which takes it out, while
    its sample is this process's turn: that is pending all the same.

    Raises:
        UserError: the results cannot be written, another process has them, or they are of another plan or stage or
            made otherwise.
    """
    results = stack.enter_context(RankResults(folder, assigned, rank.node, *share, single_launch=rank.single_launch))
    if not results.lock.kept:
        note(f"{folder}: the file system keeps no locks there: no other launch may work on it")
    gone = [test for test in (outdated, retried) if test is not None]
    if told := expected.check(results, lambda record: any(test(record) for test in gone)):
        note(told)
    scattered = expected.agree(results)
    if outdated is not None:
        results.drop(outdated)
    if expected.others == "redo":
        results.drop(expected.is_redone)
    if retried is not None and not rank.restarts:
        results.retry(retried)
    unwanted = [*gone, expected.is_redone] if expected.others == "redo" else gone
    done = results.done(lambda record: any(test(record) for test in unwanted), scattered)
    results.journal.settle(done.has, crashed=rank.restarts > 0)
    return RankFiles(results, done)


def check_root(data_name: str, root: str | Path, samples: Iterable[Sample]) -> None:
    """Refuse a root under which none of some samples is found, or none that may be read.

    Raises:
        UserError: the root is no folder, or there are two samples or more and no file of them is there, or all that are
            there are links out of it.
    """
    sources = [sample.source for sample in samples if sample.problem is None and sample.unseen is None]
    there = [source for source in sources if os.path.exists(source.path)]  # noqa: PTH110 Path.exists fails on odd names
    if len(there) > 1 and all(source.leaves_root() for source in there):
        raise UserError(
            f"dataset '{data_name}': all of {len(there)} files looked at lie outside the root {root}, behind links "
            f"(such as {there[0].path}, which is {os.path.realpath(there[0].path)}): {WHAT_TO_DO}"
        )
    if not sources or there:
        return
    if not Path(root).is_dir():
        raise UserError(f"dataset '{data_name}': root {root} is not a folder")
    if len(sources) > 1:
        raise UserError(
            f"dataset '{data_name}': root {root} looks wrong: none of {len(sources)} files looked for is there "
            f"(such as {sources[0].path}{sources[0].hint()})"
        )
