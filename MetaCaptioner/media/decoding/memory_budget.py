"""The memory that all files take that are decoded at a time, by what their headers promise."""

import threading
from collections import deque

from MetaCaptioner.errors import DecodeError, ErrorKind

_GIB = 2**30


class EndedError(Exception):
    """The helpers were ended while one was at work, or about to be."""


class Memory:
    """Bytes that all jobs in hand take by their headers, never more than the limit; first come, first served."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._waiting: deque[object] = deque()
        self._held: dict[object, int] = {}
        self._ends = 0

    def take(self, job: object, wanted: int, limit: int) -> None:
        """Wait until there is room for so many bytes; what `job` holds is given back before, or all might wait.

        Raises:
            DecodeError: it would take more than all have.
            EndedError: so it is.
        """
        if wanted > limit:
            takes = f"to decode it takes about {wanted / _GIB:.1f} GiB of memory"
            raise DecodeError(ErrorKind.MEDIA_TOO_LARGE, f"{takes}, over the {limit / _GIB:.1f} GiB of --decode-memory")
        with self._change:
            ends = self._ends
            self._held.pop(job, None)
            self._waiting.append(job)
            self._change.notify_all()
            try:
                while self._waiting[0] is not job or sum(self._held.values()) + wanted > limit:
                    self._change.wait()
                    if self._ends != ends:
                        raise EndedError
                self._held[job] = wanted
            finally:
                self._waiting.remove(job)
                self._change.notify_all()

    def give_back(self, job: object) -> None:
        with self._change:
            if self._held.pop(job, None) is not None:
                self._change.notify_all()

    def end(self) -> None:
        """Have all that wait stop waiting."""
        with self._change:
            self._ends += 1
            self._change.notify_all()
