"""What a rank knows of samples without a record: which are in flight, how often each was tried or was at a crash.

A worker that is killed cannot say what it was at; the journal beside the result files says it. Every line tells all
there is to tell of one sample, and a later line of the same sample takes the place of an earlier one. A line is written
when a sample begins; that it has ended is told by its record. So the file holds some thousand lines at most beside what
is known of samples with a past. Nothing is synced: what the kernel has been given outlives any process.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from MetaCaptioner.errors import UserError
from MetaCaptioner.files import atomic_write

CRASHES_BEFORE_ALONE = 2
"""A sample that was in flight at so many crashes is tried with nothing else in flight; one crash more is its own."""
ENGINE_CRASH = "engine_crash"
_LINES_BEFORE_REWRITE = 1000


@dataclass(frozen=True)
class Past:
    """What a sample has behind it: attempts that ended in an error record, crashes that it was in flight at."""

    attempts: int = 0
    crashes: int = 0


class Journal:
    """The journal of one rank, for the one process that holds the rank's lock.

    Raises:
        UserError: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._past: dict[str, Past] = {}
        self._in_flight: set[str] = set()
        self._descriptor: int | None = None
        self._lines = 0
        for sample_id, past, in_flight in _read(path):
            self._past[sample_id] = past
            (self._in_flight.add if in_flight else self._in_flight.discard)(sample_id)

    def settle(self, finished: Callable[[str], bool], crashed: bool) -> None:
        """Begin where another worker ended: samples that have a record are forgotten.

        If that worker `crashed`, each sample that it had in flight was there at one crash more.
        """
        if crashed:
            self._past |= {name: _with_crash(self.past(name)) for name in self._in_flight}
        self._in_flight.clear()
        self._past = {name: past for name, past in self._past.items() if past != Past() and not finished(name)}
        if self._path.exists():
            self._rewrite()

    def past(self, sample_id: str) -> Past:
        return self._past.get(sample_id, Past())

    def remember(self, past: Mapping[str, Past]) -> None:
        """Note what samples have behind them whose records are about to be taken out."""
        if past:
            self._past |= past
            self._rewrite()

    def begin(self, sample_id: str) -> None:
        """Note that a sample is in flight from now on."""
        self._in_flight.add(sample_id)
        if self._descriptor is None or self._lines >= _LINES_BEFORE_REWRITE + len(self._past):
            self._rewrite()
            return
        try:
            os.write(self._descriptor, _line(sample_id, self.past(sample_id), in_flight=True))
        except OSError as error:
            raise UserError(f"journal {self._path}: cannot be written: {error.strerror}") from error
        self._lines += 1

    def end(self, sample_id: str) -> None:
        """The sample has its record."""
        self._in_flight.discard(sample_id)
        self._past.pop(sample_id, None)

    def close(self) -> None:
        """Leave the file for the next worker; there is none when nothing is left to tell."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if not self._in_flight and not self._past:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _rewrite(self) -> None:
        """Write the file anew with what still matters, in one atomic step, and go on after that."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        with atomic_write(self._path, "journal", sync=False) as file:
            for sample_id in {*self._past, *self._in_flight}:
                file.write(_line(sample_id, self.past(sample_id), sample_id in self._in_flight))
        try:
            self._descriptor = os.open(self._path, os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            raise UserError(f"journal {self._path}: cannot be written: {error.strerror}") from error
        self._lines = 0


def _with_crash(past: Past) -> Past:
    return replace(past, crashes=past.crashes + 1)


def _line(sample_id: str, past: Past, in_flight: bool) -> bytes:
    fields = {"sample_id": sample_id, "attempts": past.attempts, "crashes": past.crashes, "in_flight": in_flight}
    return json.dumps(fields).encode() + b"\n"


def _read(path: Path) -> Iterator[tuple[str, Past, bool]]:
    """(sample id, its past, whether it is in flight) of every whole line; a torn one has not happened."""
    try:
        with path.open("rb") as file:
            for line in file:
                with suppress(ValueError, KeyError, TypeError):
                    fields = json.loads(line)
                    past = Past(int(fields["attempts"]), int(fields["crashes"]))
                    yield str(fields["sample_id"]), past, bool(fields["in_flight"])
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"journal {path}: cannot be read: {error.strerror}") from error
