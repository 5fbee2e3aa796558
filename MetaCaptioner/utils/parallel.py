"""Work on many files, in several processes where that is worth their start."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.log_lines import speak, spoken
from MetaCaptioner.utils.processes import kill_when_parent_ends

Task = TypeVar("Task")
Result = TypeVar("Result")

_FROM_BYTES = 64 * 2**20  # below that, starting processes takes longer than it saves
_MOST_PROCESSES = 8


def parallel_map(
    function: Callable[[Task], Result], tasks: Sequence[Task], files: Sequence[Path], from_bytes: int | None = None
) -> Iterator[Result]:
    """`function` of each task, in their order; the n-th task reads the n-th file. The function must be of a module.

    Files of fewer than `from_bytes` (default 64 MiB) in all are read in this process.

    Raises:
        UserError: a helper process was killed.
    """
    sizes = [_size(path) for path in files]
    processes = min(len(os.sched_getaffinity(0)), len(tasks), _MOST_PROCESSES)
    if processes < 2 or sum(sizes) < (_FROM_BYTES if from_bytes is None else from_bytes):
        yield from map(function, tasks)
        return
    spawned = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(processes, spawned, initializer=_begin_helper, initargs=(os.getpid(), spoken()))
    try:
        # The largest first, so that none is left alone at the end.
        largest_first = sorted(range(len(tasks)), key=lambda number: sizes[number], reverse=True)
        running = {number: executor.submit(function, tasks[number]) for number in largest_first}
        for number in range(len(tasks)):
            yield running.pop(number).result()
    except BrokenProcessPool as error:
        raise UserError("a helper process was killed (was the memory used up?)") from error
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _begin_helper(planner: int, least: int | None) -> None:
    """A helper ends with the planner, and at Ctrl-C without a word; it speaks as the planner does."""
    kill_when_parent_ends(planner)
    if least is not None:
        speak(least)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
