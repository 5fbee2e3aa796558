"""Lets requests into the engine in groups, so that few of its steps have to read prompts.

A step that reads any prompt is slower for all sequences that only write: their attention is computed in larger tiles,
and the step runs without CUDA graph. If the prompt has a new picture, the host also starts the vision tower's
kernels, for one picture or for several (benchmarks/NOTES.md). With hundreds of requests in flight one ends in nearly
every step and another begins, so nearly every step would read a prompt.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Admission:
    """Opens whenever there waits one request for every `group` that are inside; so at once while there are few.

    On average 1 of 2 * `group` waits, and about `group` groups pass in the time that one request takes: this holds for
    every model and GPU, which a number of seconds or tokens would not.
    """

    def __init__(self, group: int) -> None:
        self._group = group
        self._inside = self._waiting = 0
        self._opens = asyncio.Event()

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Wait for the door; be inside. Requests pass in the order in which they came."""
        opens = self._opens
        self._waiting += 1
        try:
            self._look()
            if opens.is_set():
                await asyncio.sleep(0)  # those who waited go first
            await opens.wait()
            yield
        finally:
            if opens.is_set():
                self._inside -= 1
            else:
                self._waiting -= 1
            self._look()

    def _look(self) -> None:
        if self._waiting * self._group >= self._inside:
            self._inside += self._waiting
            self._waiting = 0
            self._opens.set()
            self._opens = asyncio.Event()
