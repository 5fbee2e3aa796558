"""How fast the ranks are: by what was watched, and by what their run logs tell of the time before."""

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from MetaCaptioner.metrics.run_log import read_run_log, run_logs
from MetaCaptioner.metrics.usage import Run, kept_again_after
from MetaCaptioner.records.record import Record
from MetaCaptioner.runtime.rank import Rank, assigned_ranks

ENOUGH_SECONDS = 10.0
"""So long must be watched before it tells more than the run logs do."""
_LATE_SECONDS = 15.0  # a run log may be written so late, or the clocks of two machines may differ so much


def records_of(run: Run) -> int:
    """How many records a run has written, by its account."""
    return run.images + run.videos + sum(run.errors.values())


@dataclass(frozen=True)
class Account:
    """The last account of a run, and the one before it, if there are two."""

    run: Run
    before: Run | None

    @property
    def began(self) -> float:
        """When it began, as Unix time."""
        return datetime.fromisoformat(self.run.started).timestamp()

    @property
    def told(self) -> float:
        """When the account was written, as Unix time, by the clock of the rank."""
        return self.began + self.run.loading_seconds + self.run.working_seconds

    def goes_on(self, now: float) -> bool:
        """Whether the run is still there: it has not ended by itself, and its last account is not overdue."""
        due = kept_again_after(self.told - self.began)
        return self.run.state in ("loading", "working") and now - self.told <= due + _LATE_SECONDS

    def recent_rate(self) -> float | None:
        """Records a second between the last two accounts, or from the beginning of the work; None if too short."""
        since = self.before or self.run.model_copy(
            update={"working_seconds": 0.0, "images": 0, "videos": 0, "errors": {}}
        )
        seconds = self.run.working_seconds - since.working_seconds
        return (records_of(self.run) - records_of(since)) / seconds if seconds >= 1 else None


class Accounts:
    """The run logs of a folder; each is read again when it has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, tuple[tuple[int, int, int], list[Account]]] = {}

    def look(self) -> list[Account]:
        """The accounts of all runs, in the order they began.

        Raises:
            ResultError: a run log cannot be read.
        """
        for path in run_logs(self._folder):
            with suppress(FileNotFoundError):
                status = path.stat()
                stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
                if path not in self._read or self._read[path][0] != stamp:
                    self._read[path] = (stamp, _accounts(path))
        return sorted((account for _, found in self._read.values() for account in found), key=lambda one: one.began)


def _accounts(path: Path) -> list[Account]:
    lines: dict[str, list[Record]] = {}
    for line in read_run_log(path):
        run = str(line.get("run"))
        lines[run] = [*lines.get(run, [])[-1:], line]
    found = []
    for last in lines.values():
        with suppress(ValueError):  # changed by hand
            *before, run_now = [Run.model_validate(line) for line in last]
            account = Account(run_now, before[0] if before else None)
            if account.told:  # a time that cannot be read is a ValueError
                found.append(account)
    return found


def launch_of(accounts: Sequence[Account]) -> list[Account]:
    """Of runs in the order they began: the newest, and those that were there at the same time, and so on."""
    launch: list[Account] = []
    since = float("inf")
    for account in sorted(accounts, key=lambda one: -one.told):
        if not launch or account.told >= since:
            launch.append(account)
            since = min(since, account.began)
    return launch


def overall_rate(launch: Sequence[Account]) -> float | None:
    """Records a second of a launch from its first beginning on, loading included; None if there is no time to tell."""
    if not launch:
        return None
    seconds = max(one.told for one in launch) - min(one.began for one in launch)
    return sum(records_of(one.run) for one in launch) / seconds if seconds >= 1 else None


def by_plan_rank(accounts: Sequence[Account], plan_ranks: Sequence[int]) -> dict[int, Account]:
    """The newest run of the process that works on each rank of the plan, as far as run logs tell."""
    newest: dict[int, Account] = {}
    for account in accounts:
        run = account.run
        if run.world_size:
            mine = assigned_ranks(Rank(run.rank, run.world_size), plan_ranks)
            newest |= dict.fromkeys(mine, account)
    return newest


class Watched:
    """What was counted of each rank at the looks of the last `window` seconds."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._points: dict[int, deque[tuple[float, int]]] = {}

    def note(self, now: float, done: Mapping[int, int], anew: set[int]) -> None:
        """Take in a look at time `now` (monotonic); of the ranks `anew` what was seen before no longer compares."""
        for rank, count in done.items():
            points = self._points.setdefault(rank, deque())
            if rank in anew:
                points.clear()
            points.append((now, count))
            while len(points) > 2 and now - points[1][0] >= self._window:
                points.popleft()

    def seconds(self, rank: int) -> float:
        """How long the rank was watched, at most about the window."""
        points = self._points.get(rank)
        return points[-1][0] - points[0][0] if points else 0.0

    def rate(self, rank: int) -> float | None:
        """Records a second over that time; None after a single look."""
        seconds = self.seconds(rank)
        if not seconds:
            return None
        points = self._points[rank]
        return max(0, points[-1][1] - points[0][1]) / seconds
