"""Which plan the results of a folder are made by, so that no other one has their samples done again.

`planned_by.json` in the folder describes that plan. Whoever would write results there by another one is refused, unless
the planner has handed the folder over to it (`--results`), or the user says so (`--adopt-plan`). Beside a plan a hidden
file names the folders that it fills, so that it is not written over while results in them are not complete.

Whoever writes results tells its plan in its rank's lock and then reads the file; whoever changes the file writes it and
then looks for others at work. So one of two that come at the same time always sees the other.
"""

import errno
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec

from MetaCaptioner.errors import ResultError, UserError
from MetaCaptioner.planning.expected_rows import NOBODY, expected_rows
from MetaCaptioner.planning.leases import Leases
from MetaCaptioner.planning.plan_file import PlanRow, fingerprint, read_plan, without_overlaps
from MetaCaptioner.records.done import DoneSamples
from MetaCaptioner.records.rank_lock import ranks_at_work
from MetaCaptioner.records.reader import file_sizes, read_glances, result_files
from MetaCaptioner.records.store import RankResults
from MetaCaptioner.utils.atomic_io import NotWritten, atomic_write, restated
from MetaCaptioner.utils.cli import as_typed, note
from MetaCaptioner.utils.json_text import as_json, read_as, to_json
from MetaCaptioner.utils.locks import held_alone
from MetaCaptioner.utils.safe_open import read_file
from MetaCaptioner.utils.text import counted

FILE_NAME = "planned_by.json"
_SHOWN_DIFFERENCES = 3
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


class PlannedDataset(msgspec.Struct, frozen=True):
    """What a plan says of a dataset; `samples` of its `total` rows are in the plan's shards."""

    annotation: str
    root: str
    task: str
    modality: str
    total: int
    samples: int

    def differences(self, other: "PlannedDataset") -> Iterator[str]:
        """In what this one is unlike `other`."""
        if self.total != other.total:
            yield f"has {self.total:,} rows, not {other.total:,}"
        for name in ("annotation", "root", "task", "modality"):
            mine, others = getattr(self, name), getattr(other, name)
            if mine != others:
                yield f"has {name} {mine or 'none'}, not {others or 'none'}"


class FolderPlan(msgspec.Struct, frozen=True):
    """A plan as the folder of its results describes it.

    `plan` is the absolute path of its file, `division` the fingerprint of its shards. `scattered` tells that records of
    what it gives one rank may lie in the files of others, which all ranks then have to look into.
    """

    plan: str
    division: str
    ranks: int
    datasets: dict[str, PlannedDataset]
    scattered: bool = False

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that tell one plan from another, wherever its file lies."""
        datasets = sorted((name, msgspec.structs.astuple(one)) for name, one in self.datasets.items())
        return hashlib.sha256(to_json([self.division, datasets])).hexdigest()[:16]

    @property
    def samples(self) -> int:
        return sum(dataset.samples for dataset in self.datasets.values())

    def differences(self, other: "FolderPlan") -> str:
        """In what this plan is unlike `other`, the most telling first."""
        mine, others = self.datasets, other.datasets
        found = [f"dataset '{name}' is new" for name in mine if name not in others]
        found += [f"dataset '{name}' is not in it" for name in others if name not in mine]
        common = ((name, mine[name], others[name]) for name in mine if name in others)
        found += [f"'{name}' {what}" for name, one, two in common for what in one.differences(two)]
        if self.ranks != other.ranks:
            found.append(f"it is for {counted(self.ranks, 'rank')}, not {other.ranks}")
        if self.samples != other.samples:
            found.append(f"it has {self.samples:,} samples, not {other.samples:,}")
        more = f"; and {len(found) - _SHOWN_DIFFERENCES} more" if len(found) > _SHOWN_DIFFERENCES else ""
        return ("; ".join(found[:_SHOWN_DIFFERENCES]) or "its shards are cut otherwise") + more


def described(plan: Path, rows: Sequence[PlanRow]) -> FolderPlan:
    """A plan, of whose file these are the rows."""
    datasets: dict[str, PlannedDataset] = {}
    for row in rows:
        before = datasets.get(row.data_name)
        datasets[row.data_name] = PlannedDataset(
            row.json_url,
            row.root,
            row.task,
            row.modality,
            max(row.total, row.end_idx, before.total if before else 0),
            row.end_idx - row.start_idx + (before.samples if before else 0),
        )
    ranks = len({row.assign_rank for row in rows})
    return FolderPlan(str(plan.absolute()), fingerprint(rows), ranks, datasets)


def stated_plan(folder: Path) -> FolderPlan | None:
    """The plan that a folder says its results are made by; None where it says nothing that makes sense."""
    try:
        return read_as(read_file(folder / FILE_NAME), FolderPlan)
    except (OSError, ValueError):
        return None


def told_of_another(folder: Path, plan: Path, rows: Sequence[PlanRow]) -> str:
    """What to say where the results of a folder are of another plan than this one; nothing if they are of this."""
    said, mine = stated_plan(folder), described(plan, without_overlaps(rows))
    if said is None or said.fingerprint == mine.fingerprint:
        return ""
    return f"{folder}: its results are of plan {said.plan}; {plan} is another one: {mine.differences(said)}"


@dataclass(frozen=True)
class ThisPlan:
    """The plan of a run, for the folder that its results go to; with `adopt` whatever the folder says."""

    path: Path
    rows: Sequence[PlanRow]
    """Without overlaps."""
    adopt: bool = False

    @cached_property
    def described(self) -> FolderPlan:
        return described(self.path, self.rows)

    def check(self, folder: Path) -> None:
        """Refuse a folder with results of another plan.

        Raises:
            UserError: names the differences, and what to do.
        """
        said, mine = stated_plan(folder), self.described
        if said is None or self.adopt or said.fingerprint == mine.fingerprint or not result_files(folder):
            return
        which = "the plan that was there before" if said.plan == mine.plan else f"plan {said.plan}"
        raise UserError(
            f"output folder {folder}: its results are of {which}; plan {self.path} is another one: "
            f"{mine.differences(said)}. Plan what remains of them (RESULTS={as_typed(folder)}, --results), name "
            "another OUTPUT, or have every sample that has a record there count as done under this plan (--adopt-plan)"
        )

    def agree(self, own: RankResults) -> bool:
        """Have the folder of a rank's results say that they are made by this plan.

        The rank's lock tells of this plan by then.

        Returns:
            Whether records of what is this rank's may lie in the files of other ranks.

        Raises:
            UserError: the folder has results of another plan, or others work there by one.
        """
        folder, mine = own.folder, self.described
        said = stated_plan(folder)
        if said is not None and said.fingerprint == mine.fingerprint:
            return said.scattered
        with _changed_alone(folder, own.single_launch):
            self.check(folder)
            said = stated_plan(folder)
            if said is not None and said.fingerprint == mine.fingerprint:  # by another process meanwhile
                return said.scattered
            mine = msgspec.structs.replace(mine, scattered=_lie_elsewhere(folder, self.rows))
            with restated(folder / FILE_NAME, _encoded(mine)):
                if any(told.plan not in ("", mine.fingerprint) for told in own.told_by_others()):
                    raise UserError(
                        f"output folder {folder}: ranks are at work there by another plan than {self.path}: wait for "
                        "them, or stop them first; or name another OUTPUT"
                    )
            if said is not None and result_files(folder):
                which = "the plan that was there before" if said.plan == mine.plan else f"plan {said.plan}"
                note(f"{folder}: its results, of {which}, count as done under plan {self.path}")
            _note_folder(self.path, folder)
            return mine.scattered


@contextmanager
def handed_over(
    folder: Path, before: Mapping[str, int], rows: Sequence[PlanRow], plan: Path, single_launch: bool = False
) -> Iterator[None]:
    """Have a folder say that a plan of what remains of its results, written within the block, is now theirs.

    `before` are its `file_sizes` from before the planner looked what remains. One that can only be read is left alone:
    what is made of it goes elsewhere.

    Raises:
        UserError: a rank has worked there meanwhile, or the folder cannot be written.
    """
    with ExitStack() as held:
        at_work: list[int] = []
        try:
            held.enter_context(_changed_alone(folder, single_launch))
        except ResultError as error:
            if getattr(error.__cause__, "errno", None) not in _READ_ONLY:
                raise
            note(f"{error}: it is not told that plan {plan} goes on from it")
        else:
            held.enter_context(restated(folder / FILE_NAME, _encoded(described(plan, rows))))
            at_work = ranks_at_work(folder)
        grown = [name for name, size in file_sizes(folder).items() if size > before.get(name, 0)]
        if grown or at_work:
            raise UserError(
                f"--results {folder}: a rank has worked there while this plan was made: stop that run, then plan again"
            )
        yield
    _note_folder(plan, folder)


def refuse_to_replace(plan: Path, rows: Sequence[PlanRow]) -> None:
    """Refuse to write these `rows` over a plan while results by it are not complete.

    Raises:
        UserError: names the folder of those results, and what to do.
    """
    mine = described(plan, rows)
    for folder, said in _filled_by(plan):
        if said.fingerprint != mine.fingerprint:
            _refuse_unless_complete(
                plan,
                folder,
                said,
                f"this plan would be another: {mine.differences(said)}. Plan what remains (RESULTS={as_typed(folder)}, "
                "--results), name another --output, or take the folder or the plan away if they are no longer wanted",
            )


def refuse_to_replace_another(plan: Path, results: Path) -> None:
    """Refuse to write what remains of some `results` over a plan by which others are not complete.

    Raises:
        UserError: names the folder of those, and what to do.
    """
    for folder, said in _filled_by(plan):
        if folder.resolve() != results.resolve():
            _refuse_unless_complete(
                plan,
                folder,
                said,
                f"what remains of {results} would take its place: name another --output, or complete them first, or "
                "take that folder away if it is no longer wanted",
            )


def _filled_by(plan: Path) -> Iterator[tuple[Path, FolderPlan]]:
    """The folders with results by the plan that has been written to this place, and how they describe it."""
    for folder in _noted_folders(plan) if plan.exists() else ():
        said = stated_plan(folder)
        if said is not None and said.plan == str(plan.absolute()) and result_files(folder):
            yield folder, said


def _refuse_unless_complete(plan: Path, folder: Path, said: FolderPlan, why: str) -> None:
    done, samples = _progress(folder, plan, said)
    if done < samples:
        raise UserError(f"plan {plan}: results by it are in {folder}, of {done:,} of {samples:,} samples, and {why}")


def _progress(folder: Path, plan: Path, said: FolderPlan) -> tuple[int, int]:
    """(samples done, all) of a plan; where its file has become another one, of all rows of its datasets."""
    rows = []
    with suppress(UserError):
        rows = without_overlaps(read_plan(plan)[0])
    if rows and described(plan, rows).fingerprint == said.fingerprint:
        asked = [(row.data_name, row.start_idx, row.end_idx) for row in rows]
    else:
        asked = [(name, 0, dataset.total) for name, dataset in said.datasets.items()]
    done = DoneSamples().read(folder)
    return sum(done.count(*some) for some in asked), sum(end - start for _, start, end in asked)


def _lie_elsewhere(folder: Path, rows: Sequence[PlanRow]) -> bool:
    """Whether records of what a plan gives one rank are in the files of another that has not taken it over."""
    if not result_files(folder):
        return False
    expected, takers = expected_rows(rows), Leases(folder, rows).takers()
    for path, file in result_files(folder):
        for _, _, told in read_glances(path):
            row = None if told is None else told.row
            if row is None or row[0] not in expected:
                continue
            planned = expected[row[0]].rank(row[1])
            if planned not in (NOBODY, file.rank) and takers.get(*row) != file.rank + 1:
                return True
    return False


@contextmanager
def _changed_alone(folder: Path, single_launch: bool) -> Iterator[None]:
    """Be the only one that changes what a folder says of its plan.

    Raises:
        NoLocks: the file system keeps none, and this is not the `single_launch`.
        ResultError: the folder cannot be written.
    """
    try:
        with held_alone(folder / f".{FILE_NAME}.lock", str(folder / FILE_NAME), not single_launch):
            yield
    except OSError as error:
        raise ResultError(f"output folder {folder}: cannot be written: {error.strerror}") from error


def _encoded(plan: FolderPlan) -> bytes:
    return as_json(plan, indent=1) + b"\n"


# --- beside a plan, the folders that it fills
def _list_of_folders(plan: Path) -> Path:
    return plan.with_name(f".{plan.name}.folders.json")


def _noted_folders(plan: Path) -> list[Path]:
    try:
        return [Path(name) for name in read_as(read_file(_list_of_folders(plan)), list[str])]
    except (OSError, ValueError):
        return []


def _note_folder(plan: Path, folder: Path) -> None:
    """Note beside a plan that it fills a folder. Where that cannot be written the planner does not warn, no more."""
    known, place = _noted_folders(plan), _list_of_folders(plan)
    if folder.absolute() in known:
        return
    with suppress(OSError, NotWritten), held_alone(place.with_suffix(".lock"), str(place), needed=False):
        names = [*map(str, _noted_folders(plan)), str(folder.absolute())]
        with atomic_write(place, "list") as file:
            file.write(to_json(list(dict.fromkeys(names))))
