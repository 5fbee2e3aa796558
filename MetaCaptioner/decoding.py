"""Decoding pictures and clips in processes of their own.

A single damaged byte can make a decoder abort the process that it runs in, never return, or take all memory. Each
decoding thread of a rank therefore has a helper process that is shut in: it sees the one open file that it is given. If
it dies or takes too long, one sample fails and the next gets a new helper. What all of them take at a time is bounded.
The pixels come through a file in memory that the two share: through a socket they would take a turn of both processes
for every buffer, which on a busy machine is long.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.clip import Clip, Plan, VideoFacts, Wanted
from MetaCaptioner.decode_messages import (
    ANSWER,
    END,
    FORK,
    ORDER,
    Facts,
    Go,
    Job,
    Kind,
    Leave,
    NonsenseError,
    Ready,
    Refused,
    Shown,
    Size,
    Unreadable,
    framed,
    receive,
    receive_bytes,
)
from MetaCaptioner.errors import UserError
from MetaCaptioner.source import MediaSource
from MetaCaptioner.terminal import say

_PACKAGE = Path(__file__).parent
_PROGRAM = "import sys; sys.path[:] = {path!r}; from {package}.decode_helper import main; main({control}, {rank})"
_KINDS = frozenset(("media_corrupt", "media_too_large", "unexpected"))
_GIB = 2**30
_MARGIN_SECONDS = 2.0  # by which a helper should have ended itself
_LONGEST_REASON = 1000
_START_SECONDS = 60.0
_TRIES = 3
_KEPT_PIXELS = 2**22  # bytes of a picture as most are: their pages are written over by the next
# For glibc, mallopt(3): a helper keeps the memory of one picture for the next, instead of having it made anew.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**26), "MALLOC_ARENA_MAX": "1"}

Fit = Callable[[int, int], tuple[int, int]]
"""From the (width, height) of a picture to those that it should have."""


class DecodeError(Exception):
    """There is nothing to see, and why, without the file's name; `kind` is that of the error record."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class Limits:
    """What a file may take: pixels and seconds of each; `memory` in bytes of all that are decoded at a time."""

    most_pixels: int
    seconds: float
    memory: int


@dataclass(frozen=True)
class ShownPicture:
    """(height, width, 3) in RGB; what the record should tell of it; SHA-256 of the file."""

    pixels: NDArray[np.uint8]
    note: str | None
    content_hash: str


def picture(source: MediaSource, limits: Limits, fit: Fit) -> ShownPicture:
    """The picture in a file, upright, in the size that `fit` gives it.

    Raises:
        DecodeError: it cannot be decoded, or takes too much.
        OSError: it cannot be read.
        Exception: what `fit` raises.
    """

    def answer(message: Size | Facts) -> Go:
        return Go(*fit(message.width, message.height))

    shown, pixels = _helpers.decode("picture", source, limits, answer)
    return ShownPicture(pixels[0], shown.note, shown.content_hash)


def clip(source: MediaSource, limits: Limits, plan: Plan) -> tuple[Clip, str]:
    """The frames that `plan` wants of a clip, resized on the way, and SHA-256 of the file.

    Raises:
        DecodeError: it cannot be decoded, or takes too much.
        OSError: it cannot be read.
        Exception: what `plan` raises.
    """
    found: list[tuple[VideoFacts, Wanted]] = []

    def answer(message: Size | Facts) -> Go:
        if isinstance(message, Size):
            return Go(message.width, message.height)
        facts = VideoFacts(np.frombuffer(message.times), message.duration, message.width, message.height)
        wanted = plan(facts)
        found.append((facts, wanted))
        return Go(wanted.width, wanted.height, wanted.indices)

    shown, frames = _helpers.decode("clip", source, limits, answer)
    facts, wanted = found[-1]
    return Clip(facts, wanted, frames), shown.content_hash


def end_helpers() -> None:
    """Kill all helper processes, so that no decoder that hangs keeps the rank from ending."""
    _helpers.end()


# --- memory


class _EndedError(Exception):
    """The helpers were ended while one was at work, or about to be."""


class _ServerGoneError(Exception):
    """A fork server was killed, and with it its helpers: that says nothing of the files that they had in hand."""

    def __init__(self, server: "_ForkServer") -> None:
        super().__init__()
        self.server = server


class _Memory:
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
            _EndedError: so it is.
        """
        if wanted > limit:
            takes = f"to decode it takes about {wanted / _GIB:.1f} GiB of memory"
            raise DecodeError("media_too_large", f"{takes}, over the {limit / _GIB:.1f} GiB of --decode-memory")
        with self._change:
            ends = self._ends
            self._held.pop(job, None)
            self._waiting.append(job)
            self._change.notify_all()
            try:
                while self._waiting[0] is not job or sum(self._held.values()) + wanted > limit:
                    self._change.wait()
                    if self._ends != ends:
                        raise _EndedError
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


# --- processes


class _ForkServer:
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
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env={**inherited, **settings}
            )

    def fork(self, theirs: socket.socket, pixels: BinaryIO) -> int:
        """The number of a new helper that has this socket, and this file to write pixels to.

        Raises:
            _ServerGoneError: so it is.
        """
        try:
            return self._ask(FORK, 0, theirs.fileno(), pixels.fileno())
        except (OSError, EOFError) as error:
            raise _ServerGoneError(self) from error

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


Answer = Callable[[Size | Facts], Go]


class _Helper:
    """One helper, as the rank sees it. `is_sound` while it can be given another file."""

    def __init__(self, server: _ForkServer) -> None:
        self.server = server
        self._pixels = _file_in_memory()
        self._connection, theirs = socket.socketpair()
        self._connection.settimeout(_START_SECONDS)
        with theirs:
            self._process = server.fork(theirs, self._pixels)
        self.is_sound = self.is_over = False
        try:
            ready = receive(self._connection)
        except (OSError, EOFError, NonsenseError) as error:
            raise _ServerGoneError(server) from error
        self.is_sound = server.has_worked = isinstance(ready, Ready)
        self.lacks = ready.lacks if isinstance(ready, Ready) else ()

    def decode(self, job: Job, descriptor: int, answer: Answer) -> tuple[Shown, NDArray[np.uint8]]:
        """Have it decode a file; `answer` says to what it tells how to go on.

        Raises:
            DecodeError: it cannot be decoded; the helper has died of it, or took too long and was killed.
            OSError: it cannot be read.
            _ServerGoneError: it died, but not of that.
            Exception: what `answer` raises.
        """
        self.is_sound = False
        try:
            shown = self._converse(job, descriptor, answer)
            if isinstance(shown, Shown):
                pixels = self._received(shown)
        except TimeoutError:
            self.end()
            reason = f"was not decoded within {job.seconds:g} s (--decode-seconds)"
            raise DecodeError("media_too_slow", reason) from None
        except (EOFError, ConnectionError):
            status = self.end()
            raise _ServerGoneError(self.server) if status is None else _how_it_died(status) from None
        except NonsenseError:
            self.end()
            raise DecodeError("media_corrupt", "the decoder was led astray by it, and was ended") from None
        self.is_sound = not shown.retires
        if isinstance(shown, Refused):
            kind = shown.kind if shown.kind in _KINDS else "media_corrupt"
            raise DecodeError(kind, shown.reason[:_LONGEST_REASON])
        if isinstance(shown, Unreadable):
            raise OSError(shown.number, os.strerror(shown.number))
        return shown, pixels

    def _converse(self, job: Job, descriptor: int, answer: Answer) -> Shown | Refused | Unreadable:
        deadline = time.monotonic() + job.seconds + _MARGIN_SECONDS
        allowed: set[tuple[int, int, int]] = set()
        socket.send_fds(self._connection, [framed(job)], [descriptor])
        while True:
            self._connection.settimeout(max(0.01, deadline - time.monotonic()))
            message = receive(self._connection)
            if isinstance(message, Size | Facts):
                begin = time.monotonic()
                go = self._answered(answer, message)
                deadline += time.monotonic() - begin
                allowed.add((go.width, go.height, len(go.indices) if job.kind == "clip" else 1))
                self._connection.sendall(framed(go))
            elif isinstance(message, Refused | Unreadable) or (
                isinstance(message, Shown) and (message.width, message.height, message.frames) in allowed
            ):
                return message
            else:
                raise NonsenseError

    def _received(self, shown: Shown) -> NDArray[np.uint8]:
        """The pixels that it has written: a copy, since it goes on to write those of the next file."""
        pixels = np.empty((shown.frames, shown.height, shown.width, 3), np.uint8)
        view, place = pixels.reshape(-1).data, 0
        while place < pixels.nbytes:
            got = os.preadv(self._pixels.fileno(), [view[place:]], place)
            if not got:
                raise NonsenseError
            place += got
        if pixels.nbytes > _KEPT_PIXELS:
            os.ftruncate(self._pixels.fileno(), 0)
        return pixels

    def _answered(self, answer: Answer, message: Size | Facts) -> Go:
        """The answer; where there is none, the helper is told to leave the file, and is as sound as before."""
        try:
            return answer(message)
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


def _file_in_memory() -> BinaryIO:
    """A file without a name; on systems that cannot keep it in memory, on the disk."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("pixels"), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


def _how_it_died(status: int) -> DecodeError:
    if status == -signal.SIGPROF:
        reason = "took more processor time than --decode-seconds, or far more than a file of its size: is it damaged?"
        return DecodeError("media_too_slow", reason)
    if status == -signal.SIGKILL:
        return DecodeError("media_too_large", "its decoder was killed: was the machine's memory used up?")
    name = signal.Signals(-status).name if -status in {*signal.Signals} else f"status {status}"
    return DecodeError("media_corrupt", f"the file is so damaged that the decoder crashed ({name})")


class _Helpers:
    """The helpers of this process, as many as decode at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: _ForkServer | None = None
        self._idle: list[_Helper] = []
        self._memory = _Memory()
        self._ends = 0
        self._has_said = False

    def decode(
        self, kind: Kind, source: MediaSource, limits: Limits, answer: Answer
    ) -> tuple[Shown, NDArray[np.uint8]]:
        """Decode a file in a helper; raises as `_Helper.decode` does, and UserError where no helper can be started."""
        job_number, has_worked = object(), False

        def with_memory(message: Size | Facts) -> Go:
            go = answer(message)
            if isinstance(message, Size) and message.memory:
                self._memory.take(job_number, message.memory, limits.memory)
            return go

        ends = self._ends
        with source.opened() as content:
            job = Job(kind, content.begin, content.size, limits.most_pixels, limits.seconds)
            for _ in range(_TRIES):
                try:
                    with self._helper() as helper:
                        return helper.decode(job, content.descriptor, with_memory)
                except _ServerGoneError as gone:
                    has_worked = gone.server.has_worked
                    self._forget(gone.server)
                    if self._ends != ends:
                        raise _EndedError from None
                finally:
                    self._memory.give_back(job_number)
        if not has_worked:
            raise UserError("the processes that decode media cannot be started; what they said is above")
        raise DecodeError("unexpected", "the process that starts decoders was killed, several times")

    @contextmanager
    def _helper(self) -> Iterator[_Helper]:
        with self._lock:
            helper = self._idle.pop() if self._idle else None
            if helper is None and self._server is None:
                self._server = _ForkServer()
            server = self._server
        if helper is None:
            assert server is not None
            helper = _Helper(server)
            self._say_what_lacks(helper)
        try:
            yield helper
        finally:
            with self._lock:
                is_kept = helper.is_sound and helper.server is self._server
                if is_kept:
                    self._idle.append(helper)
            if not is_kept and not helper.is_over:
                helper.end()

    def _say_what_lacks(self, helper: _Helper) -> None:
        with self._lock:
            says = bool(helper.lacks) and not self._has_said
            self._has_said |= says
        if says:
            lacks = " nor ".join(helper.lacks)
            say(f"note: this kernel offers no {lacks}: what decodes media is not kept from other files and the network")

    def _forget(self, server: _ForkServer | None) -> None:
        """End a fork server, and drop the helpers that go with it."""
        with self._lock:
            if self._server is server:
                self._server = None
            self._idle = [helper for helper in self._idle if helper.server is not server]
        if server is not None:
            server.end()

    def end(self) -> None:
        """End all helpers; later files get new ones."""
        self._ends += 1
        self._memory.end()
        self._forget(self._server)


_helpers = _Helpers()
