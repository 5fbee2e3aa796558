"""What a `Captioner` and the process that works for it say to each other.

Both are this package, on one machine: messages are objects that `pickle` sends.
"""

import socket
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from MetaCaptioner.api.inputs import Asked
from MetaCaptioner.errors import UserError
from MetaCaptioner.media.resize_rule import Multiples
from MetaCaptioner.records.record import Record
from MetaCaptioner.runner.options import StageOptions


@dataclass(frozen=True)
class Setup:
    """To the process, at first: what to load. `task` is the domain of all inputs, None where the router decides.

    So many processes have died before, which had loaded it.
    """

    options: StageOptions
    task: str | None
    score: bool
    log: Path
    deaths: int = 0


@dataclass(frozen=True)
class Ask:
    """To the process: caption one input of a call. It was in flight at so many deaths of earlier processes."""

    call: int
    index: int
    asked: Asked
    crashes: int = 0

    @property
    def key(self) -> "Key":
        return self.call, self.index


@dataclass(frozen=True)
class Abandon:
    """To the process: nobody waits for what is left of a call."""

    call: int


@dataclass(frozen=True)
class Said:
    """From the process: what it is at while the model loads."""

    text: str


@dataclass(frozen=True)
class Ready:
    """From the process: the model is loaded. So many inputs keep it busy, pictures are looked at in such a size."""

    ahead: int
    shape: Multiples


@dataclass(frozen=True)
class Begun:
    """From the process: an input is in flight."""

    key: "Key"


@dataclass(frozen=True)
class Done:
    """From the process: the record of one input, as a result file has it."""

    key: "Key"
    record: Record


@dataclass(frozen=True)
class Failed:
    """From the process: why it cannot go on."""

    error: UserError


ToProcess = Setup | Ask | Abandon
FromProcess = Said | Ready | Begun | Done | Failed
Key = tuple[int, int]
"""The number of a call, and the place of an input in it."""


class Line:
    """One end of what connects them; any thread may send, one receives."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._connection = Connection(end.dup().detach())
        self._lock = threading.Lock()

    def send(self, message: ToProcess | FromProcess) -> None:
        """Raises OSError where nobody is at the other end."""
        with self._lock:
            self._connection.send(message)

    def waits(self, seconds: float) -> bool:
        """Whether there is something to receive within so many seconds, be it the end."""
        return self._connection.poll(seconds)

    def receive(self) -> Any:
        """The next message.

        Raises:
            EOFError, OSError: nobody is at the other end.
        """
        return self._connection.recv()

    def close(self) -> None:
        """For who receives, after the end: what is sent from now on raises OSError."""
        with self._lock:
            self._connection.close()

    def end(self) -> None:
        """Have both ends stop waiting for each other, from whatever thread."""
        try:
            self._end.shutdown(socket.SHUT_RDWR)
        except OSError:  # it has been ended already, there or here
            return
        finally:
            self._end.close()
