"""One fork server of decoders for all runs in this process: to load its libraries takes half a second of a processor.

A run that is a process of its own has its own. Here each has a part of the one server, and its helpers to itself: they
are forked for it, shut in and ended as ever.
"""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from MetaCaptioner.media.decoding.process import ForkServer, ServerGoneError
from MetaCaptioner.media.decoding.shared_pixels import SharedPixels


class LentServer(ForkServer):
    """What a run has in place of a server of its own: its end is that of the run's helpers."""

    def __init__(self, server: ForkServer) -> None:
        self._server = server
        self._helpers: set[int] = set()
        self._is_over = self.has_worked = False

    def fork(self, theirs: socket.socket, pixels: SharedPixels) -> int:
        if self._is_over:
            raise ServerGoneError(self)
        try:
            process = self._server.fork(theirs, pixels)
        except ServerGoneError:
            raise ServerGoneError(self) from None
        self._helpers.add(process)
        return process

    def end_helper(self, process: int) -> int | None:
        self._helpers.discard(process)
        return self._server.end_helper(process)

    def end(self) -> None:
        self._is_over = True
        for process in [*self._helpers]:
            self.end_helper(process)


class Lender:
    """Lends its server, and another where that was killed."""

    def __init__(self) -> None:
        self._server: ForkServer | None = None

    def __call__(self) -> ForkServer:
        if self._server is None or not self._is_there(self._server):
            self._server = ForkServer()
        return LentServer(self._server)

    def _is_there(self, server: ForkServer) -> bool:
        process: subprocess.Popen[bytes] = server._process
        return process.poll() is None

    def end(self) -> None:
        if self._server is not None:
            self._server.end()


@contextmanager
def lending() -> Iterator[Lender]:
    lender = Lender()
    yield lender
    lender.end()
