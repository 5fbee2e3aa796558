"""The processes that decode, as the rank sees them: one that forks helpers, and each helper.

What comes from a helper is not trusted: it has read a file that nobody vouches for.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from MetaCaptioner.errors import DecodeError, ErrorKind
from MetaCaptioner.media.decoding.messages import (
    ANSWER,
    END,
    FORK,
    ORDER,
    Facts,
    Go,
    Job,
    Leave,
    Misfit,
    Need,
    NonsenseError,
    Question,
    Ready,
    Refused,
    Shown,
    Unreadable,
    framed,
    receive,
    receive_bytes,
)
from MetaCaptioner.media.decoding.shared_pixels import NotWrittenError, SharedPixels
from MetaCaptioner.utils.processes import signal_name

_PACKAGE = Path(__file__).parents[2]
_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; from {package}.media.decoding.helper import main; main({control}, {rank})"
)
_KINDS = {kind.value: kind for kind in (ErrorKind.MEDIA_CORRUPT, ErrorKind.MEDIA_TOO_LARGE, ErrorKind.UNEXPECTED)}
"""What a helper may say of a file. Where it says anything else, it was led astray by the file."""
_MARGIN_SECONDS = 2.0  # by which a helper should have ended itself
_LONGEST_REASON = 1000
_START_SECONDS = 60.0
# For glibc, mallopt(3): a helper keeps the memory of one picture for the next, instead of having it made anew.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**26), "MALLOC_ARENA_MAX": "1"}


class ServerGoneError(Exception):
    """A fork server was killed, and with it its helpers: that says nothing of the files that they had in hand."""

    def __init__(self, server: "ForkServer") -> None:
        super().__init__()
        self.server = server


def _stderr() -> int | None:
    """Where this process says what goes wrong, which is not where its engine's libraries print; None: as inherited."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return None


class ForkServer:
    """The process that forks helpers; it ends with this one, whichever way that ends."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair()
        self._lock = threading.Lock()
        places = [str(_PACKAGE.parent), *(path for path in sys.path if path)]
        program = _PROGRAM.format(path=places, package=_PACKAGE.name, control=theirs.fileno(), rank=os.getpid())
        # One thread a helper: a rank decodes many files at a time, and a fork takes no threads along.
        settings = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **_KEEP_MEMORY}
        # vLLM has torch's libraries and another allocator preloaded for a model on processors. What reads files from
        # outside has as few libraries as can be, and `_KEEP_MEMORY` is said to the C library's allocator.
        inherited = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        command = [sys.executable, "-P", "-c", program]
        self.has_worked = False
        with theirs:
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=_stderr(),
                env={**inherited, **settings},
            )

    def fork(self, theirs: socket.socket, pixels: SharedPixels) -> int:
        """The number of a new helper that has this socket, and these files to write pixels to.

        Raises:
            ServerGoneError: so it is.
        """
        try:
            return self._ask(FORK, 0, theirs.fileno(), *pixels.descriptors)
        except (OSError, EOFError) as error:
            raise ServerGoneError(self) from error

    def end_helper(self, process: int) -> int | None:
        """Kill it, if it lives; the status that it ended with, None where the server is gone, and so the helper."""
        try:
            return self._ask(END, process)
        except (OSError, EOFError):
            return None

    def _ask(self, what: bytes, process: int, *descriptors: int) -> int:
        with self._lock:
            socket.send_fds(self._orders, [ORDER.pack(what, process)], descriptors)
            [answer] = ANSWER.unpack(receive_bytes(self._orders, ANSWER.size))
        return int(answer)

    def end(self) -> None:
        """End it and all its helpers."""
        with suppress(OSError):
            self._orders.shutdown(socket.SHUT_RDWR)
        self._orders.close()
        try:
            self._process.wait(_MARGIN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Client(Protocol):
    """Who wants a file decoded."""

    def answer(self, message: Misfit | Facts) -> Go:
        """How to go on after what the helper tells; it may raise, and then the file is left."""

    def agrees(self, shown: Shown) -> bool:
        """Whether that is what was wanted."""

    def take(self, shown: Shown, pixels: SharedPixels) -> None:
        """Take what is shown, before the helper is given another file."""


class Helper:
    """One helper, as the rank sees it. `is_sound` while it can be given another file."""

    def __init__(self, server: ForkServer) -> None:
        self.server = server
        self._pixels = SharedPixels()
        self._connection, theirs = socket.socketpair()
        self._connection.settimeout(_START_SECONDS)
        with theirs:
            self._process = server.fork(theirs, self._pixels)
        self.is_sound = self.is_over = False
        try:
            ready = receive(self._connection)
        except (OSError, EOFError, NonsenseError) as error:
            raise ServerGoneError(server) from error
        self.is_sound = server.has_worked = isinstance(ready, Ready)
        self.lacks = ready.lacks if isinstance(ready, Ready) else ()

    def decode(self, job: Job, descriptor: int, client: Client, grant: Callable[[int], None]) -> Shown:
        """Have it decode a file for `client`; `grant` is told how many bytes of memory it needs, and may wait or raise.

        Raises:
            DecodeError: it cannot be decoded; the helper has died of it, or took too long and was killed.
            OSError: it cannot be read.
            ServerGoneError: it died, but not of that.
            Exception: what `client` and `grant` raise.
        """
        self.is_sound = False
        try:
            shown = self._converse(job, descriptor, client, grant)
            if isinstance(shown, Shown):
                client.take(shown, self._pixels)
        except TimeoutError:
            self.end()
            reason = f"was not decoded within {job.seconds:g} s (--decode-seconds)"
            raise DecodeError(ErrorKind.MEDIA_TOO_SLOW, reason) from None
        except (EOFError, ConnectionError):
            status = self.end()
            raise ServerGoneError(self.server) if status is None else _how_it_died(status) from None
        except (NonsenseError, NotWrittenError):
            self.end()
            raise DecodeError(ErrorKind.MEDIA_CORRUPT, "the decoder was led astray by it, and was ended") from None
        self.is_sound = not shown.retires
        if isinstance(shown, Refused):
            raise DecodeError(_KINDS.get(shown.kind, ErrorKind.MEDIA_CORRUPT), shown.reason[:_LONGEST_REASON])
        if isinstance(shown, Unreadable):
            raise OSError(shown.number, os.strerror(shown.number))
        return shown

    def _converse(
        self, job: Job, descriptor: int, client: Client, grant: Callable[[int], None]
    ) -> Shown | Refused | Unreadable:
        deadline = time.monotonic() + job.seconds + _MARGIN_SECONDS
        socket.send_fds(self._connection, [framed(job)], [descriptor])
        while True:
            self._connection.settimeout(max(0.01, deadline - time.monotonic()))
            message = receive(self._connection)
            if isinstance(message, Refused | Unreadable) or (isinstance(message, Shown) and client.agrees(message)):
                return message
            if isinstance(message, Ready | Shown):
                raise NonsenseError
            begin = time.monotonic()
            go = self._answered(message, client, grant)
            deadline += time.monotonic() - begin
            self._connection.sendall(framed(go))

    def _answered(self, message: Question, client: Client, grant: Callable[[int], None]) -> Go:
        """The answer; where there is none, the helper is told to leave the file, and is as sound as before."""
        try:
            if isinstance(message, Need):
                grant(message.memory)
                return Go()
            return client.answer(message)
        except Exception:
            with suppress(OSError):
                self._connection.sendall(framed(Leave()))
                self.is_sound = True
            raise

    def end(self) -> int | None:
        """Kill it; its status, None where the fork server is gone too. It can be ended once."""
        self.is_sound, self.is_over = False, True
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        return self.server.end_helper(self._process)


def _how_it_died(status: int) -> DecodeError:
    if status == -signal.SIGPROF:
        reason = "took more processor time than --decode-seconds, or far more than a file of its size: is it damaged?"
        return DecodeError(ErrorKind.MEDIA_TOO_SLOW, reason)
    if status == -signal.SIGKILL:
        return DecodeError(ErrorKind.MEDIA_TOO_LARGE, "its decoder was killed: was the machine's memory used up?")
    name = signal_name(-status) if status < 0 else f"status {status}"
    return DecodeError(ErrorKind.MEDIA_CORRUPT, f"the file is so damaged that the decoder crashed ({name})")
