"""What `status` tells: how far, how fast, when done, what fails, and which ranks stand still."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from MetaCaptioner.monitor.coverage import Count, Coverage, Oddities
from MetaCaptioner.monitor.rate import ENOUGH_SECONDS, Account, Accounts, Watched, by_plan_rank, launch_of, overall_rate
from MetaCaptioner.planning.plan_file import read_plan
from MetaCaptioner.planning.plan_of_folder import told_of_another

RankState = Literal["done", "working", "loading", "waiting", "not begun", "silent", "stopped", "failed", "ended"]
STANDING_STILL: tuple[RankState, ...] = ("silent", "failed", "stopped", "ended", "not begun")
"""The states of a rank that is not done and makes no progress, the worst first."""
_ENDED: Mapping[str, RankState] = {"stopped": "stopped", "failed": "failed", "done": "ended"}


@dataclass(frozen=True)
class RankProgress:
    """A rank of the plan.

    `rate` is in samples a second, None if not known yet; `eta_seconds` is what remains at that rate, None without one.
    `idle_seconds` have gone by since its last sign of life; None if there was none.

    The states: "working" (a record has come lately), "loading" its model, "waiting" until the process that has it is
    through with another rank, "not begun", "silent" (no record for as long as the user allows), and what the run log
    tells of a run that is over before its work: "stopped" by a signal, "failed", or "ended" (`--max-samples`).
    """

    rank: int
    state: RankState
    count: Count
    rate: float | None
    eta_seconds: float | None
    idle_seconds: float | None


@dataclass(frozen=True)
class Progress:
    """A plan and its results at one moment, `time` (Unix). Rates are in samples a second.

    `rate` adds up those of the ranks that are known; `rate_overall` is that of the launch since it began. `eta_seconds`
    is when the last of the ranks that make progress is through; None if none does.
    """

    time: float
    all: Count
    rate: float | None
    rate_overall: float | None
    eta_seconds: float | None
    datasets: dict[str, Count]
    ranks: list[RankProgress]
    oddities: Oddities
    notes: list[str]

    def standing_still(self) -> list[RankProgress]:
        """The ranks that are not done and make no progress, the worst first."""
        still = [rank for rank in self.ranks if rank.state in STANDING_STILL]
        return sorted(still, key=lambda rank: STANDING_STILL.index(rank.state))

    def slowest(self) -> list[RankProgress]:
        """The ranks that make progress, the one that will be the last to end first."""
        moving = [rank for rank in self.ranks if rank.eta_seconds is not None]
        return sorted(moving, key=lambda rank: -(rank.eta_seconds or 0.0))


class Watcher:
    """Looks at the results of a plan again and again.

    Rates are over the last `window` seconds that were watched; of ranks that were not watched long enough yet, over
    what their run logs tell last. A rank is silent after `stall_seconds` without a record.

    Raises:
        UserError: the plan cannot be read.
    """

    def __init__(self, plan: Path, folder: Path, window: float, stall_seconds: float) -> None:
        self._plan = plan
        self._folder = folder
        self._window = window
        self._stall_seconds = stall_seconds
        self._accounts = Accounts(folder)
        self._read_plan()

    def _read_plan(self) -> None:
        self._plan_stamp = _stamp(self._plan)
        self._rows, self._problems = read_plan(self._plan)
        self._coverage = Coverage(self._rows, self._folder)
        self._watched = Watched(self._window)

    def look(self) -> Progress:
        """Where things stand now. A plan that was made again is read again.

        Raises:
            UserError: the plan or a result file cannot be read.
        """
        if _stamp(self._plan) != self._plan_stamp:
            self._read_plan()
        anew = self._coverage.look()
        now = time.time()
        counts, datasets = self._coverage.ranks(), self._coverage.datasets()
        self._watched.note(time.monotonic(), {rank: count.done for rank, count in counts.items()}, anew)
        accounts = self._accounts.look()
        runs = by_plan_rank(accounts, list(counts))
        ranks = self._ranks(counts, runs, now)
        oddities = self._coverage.oddities()
        rates = [rank.rate for rank in ranks if rank.rate is not None]
        return Progress(
            time=now,
            all=_sum(list(datasets.values())),
            rate=sum(rates) if rates else None,
            rate_overall=overall_rate(launch_of(accounts)),
            eta_seconds=_eta(ranks, runs),
            datasets=datasets,
            ranks=ranks,
            oddities=oddities,
            notes=[*self._problems, *self._notes(oddities)],
        )

    def _ranks(self, counts: Mapping[int, Count], runs: Mapping[int, Account], now: float) -> list[RankProgress]:
        changes = self._coverage.last_changes()
        found = []
        for rank, count in counts.items():
            run = runs.get(rank)
            signs = [changes[rank]] if rank in changes else []
            if run is not None and run.goes_on(now):
                signs.append(min(now, run.began + run.run.loading_seconds))
            idle = max(0.0, now - max(signs)) if signs else None
            state = self._state(count, run, idle, changes.get(rank), now)
            found.append(RankProgress(rank, state, count, None, None, idle))
        waiting = _waiting(found, runs, changes)
        found = [replace(one, state="waiting") if one.rank in waiting else one for one in found]
        return [self._with_rate(one, runs.get(one.rank)) for one in found]

    def _state(
        self, count: Count, run: Account | None, idle: float | None, changed: float | None, now: float
    ) -> RankState:
        if not count.remaining:
            return "done"
        goes_on = run is not None and run.goes_on(now)
        if run is not None and goes_on and run.run.state == "loading":
            return "loading"
        if run is not None and run.run.state in _ENDED and (changed is None or changed < run.told + 2):
            return _ENDED[run.run.state]
        if not count.done and not goes_on:
            return "not begun"
        return "silent" if idle is None or idle > self._stall_seconds else "working"

    def _with_rate(self, rank: RankProgress, run: Account | None) -> RankProgress:
        rate = self._watched.rate(rank.rank)
        if self._watched.seconds(rank.rank) < min(ENOUGH_SECONDS, self._window) and rank.state == "working" and run:
            told = run.recent_rate()
            rate = rate if told is None else told
        remaining = rank.count.remaining
        return replace(rank, rate=rate, eta_seconds=remaining / rate if rate and remaining else None)

    def _notes(self, oddities: Oddities) -> list[str]:
        found = {
            "records are of no sample of this plan: is it the plan of these results?": oddities.outside_plan,
            "records are of samples that have another one; they count once": oddities.repeated,
            "lines are no records, with which their rank will not go on (verify.py names them)": oddities.broken,
            "samples have no record here, and no rank has to do them, since the plan counts them as done: "
            "it was made for other results": oddities.nobodys,
        }
        notes = [f"{count:,} {what}" for what, count in found.items() if count]
        if told := told_of_another(self._folder, self._plan, self._rows):
            notes.append(told)
        if not self._folder.is_dir():
            notes.append(f"{self._folder}: there is no such folder yet")
        return notes


def _processes(ranks: Sequence[RankProgress], runs: Mapping[int, Account]) -> list[list[RankProgress]]:
    """The ranks that are not done, by the process that has them; where no run log tells, each has its own."""
    by_process: dict[object, list[RankProgress]] = {}
    for rank in ranks:
        if rank.count.remaining:
            run = runs.get(rank.rank)
            by_process.setdefault(run.run.run if run is not None else rank.rank, []).append(rank)
    return list(by_process.values())


def _waiting(ranks: Sequence[RankProgress], runs: Mapping[int, Account], changes: Mapping[int, float]) -> set[int]:
    """The ranks whose process is alive and at another one of its ranks: that in whose files something came last."""
    waiting: set[int] = set()
    for process in _processes(ranks, runs):
        alive = [rank.rank for rank in process if rank.state in ("working", "silent")]
        if len(process) > 1 and alive:
            waiting |= set(alive) - {max(alive, key=lambda rank: (changes.get(rank, 0.0), -rank))}
    return waiting


def _eta(ranks: Sequence[RankProgress], runs: Mapping[int, Account]) -> float | None:
    """When the last process that makes progress is through with all its ranks."""
    etas = []
    for process in _processes(ranks, runs):
        rate = sum(rank.rate or 0.0 for rank in process)
        if rate:
            etas.append(sum(rank.count.remaining for rank in process) / rate)
    return max(etas, default=None)


def _sum(counts: Sequence[Count]) -> Count:
    errors: Counter[str] = Counter()
    for count in counts:
        errors.update(count.errors)
    return Count(sum(one.total for one in counts), sum(one.done for one in counts), dict(errors.most_common()))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written again; None while there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
