"""What a worker lets its supervisor see: a few numbers in memory that both have mapped.

A store to such memory costs next to nothing, needs nobody who reads, and is seen after the worker's death too.
"""

import ctypes
import mmap
import os
from collections.abc import MutableMapping
from typing import ClassVar

MOST_STAGES = 4
"""That one supervisor's workers run after another."""
_VARIABLE = "_METACAPTIONER_SUPERVISOR"


class Heartbeat(ctypes.Structure):
    """The numbers. They add up over all workers of one supervisor, but for `requests`."""

    _fields_: ClassVar = [
        ("deaths", ctypes.c_uint64),
        ("begun", ctypes.c_uint64),
        ("records", ctypes.c_uint64),
        ("finished", ctypes.c_uint64),
        ("poisoned", ctypes.c_uint64),
        ("requests", ctypes.c_uint64),
        ("progress", ctypes.c_uint64),
        ("stall_seconds", ctypes.c_double),
        ("max_deaths", ctypes.c_uint64),
        ("records_before", ctypes.c_uint64 * MOST_STAGES),
    ]
    deaths: int
    """Workers that died before this one; kept by the supervisor."""
    begun: int
    """1 once a worker has opened its work: from then on the journal tells of this supervisor's workers only."""
    records: int
    """Records written."""
    finished: int
    """Those of them that are no errors."""
    poisoned: int
    """Those of samples that have killed a worker alone: with its record such a sample is settled."""
    requests: int
    """Requests that the engine has and has not answered."""
    progress: int
    """The engine's own count; it stands still only when no token comes."""
    stall_seconds: float
    """So long may requests wait without a sign of progress; 0: for ever."""
    max_deaths: int
    """So many deaths in a row, without a sample settled between them, end the rank."""
    records_before: "ctypes.Array[ctypes.c_uint64]"
    """Of each stage that has begun, the records of those before it."""

    def begin_stage(self, number: int) -> None:
        """Note that the work of a stage is open, for the first time or again."""
        if self.begun <= number:
            self.records_before[number] = self.records
            self.begun = number + 1

    def records_of(self, number: int) -> int:
        """How many records a stage that has begun has written, whatever workers it took."""
        is_last = self.begun <= number + 1
        return (self.records if is_last else self.records_before[number + 1]) - self.records_before[number]


def shared_heartbeat() -> tuple[int, Heartbeat]:
    """(descriptor for the worker, heartbeat): a new one, in memory that a child process can map."""
    descriptor = os.memfd_create("heartbeat")
    os.ftruncate(descriptor, ctypes.sizeof(Heartbeat))
    return descriptor, _mapped(descriptor)


def tell_worker(environment: MutableMapping[str, str], descriptor: int) -> dict[str, str]:
    """The environment for a worker of this process."""
    return {**environment, _VARIABLE: f"{os.getpid()} {descriptor}"}


def is_worker(environment: MutableMapping[str, str]) -> bool:
    """Whether a supervisor has started this very process; a descendant that has inherited the variable is none."""
    return environment.get(_VARIABLE, "").split(" ")[0] == str(os.getppid())


def inherited_heartbeat(environment: MutableMapping[str, str]) -> Heartbeat:
    """The heartbeat that the supervisor looks at; without a supervisor one that nobody does."""
    if not is_worker(environment):
        return Heartbeat()
    descriptor = int(environment.pop(_VARIABLE).split(" ")[1])
    try:
        return _mapped(descriptor)
    finally:
        os.close(descriptor)


def _mapped(descriptor: int) -> Heartbeat:
    return Heartbeat.from_buffer(mmap.mmap(descriptor, ctypes.sizeof(Heartbeat)))
