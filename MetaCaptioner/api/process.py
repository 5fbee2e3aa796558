"""A process that works for a `Captioner`, as that sees it.

It is a process of its own so that this one is left as it is: what vLLM does to its process (environment, logging, GPUs,
printing, other processes made of the main module) is done there, and it can be ended whatever it is at.
"""

import os
import signal
import site
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from MetaCaptioner.api.messages import FromProcess, Line, Setup, ToProcess
from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.processes import members, signal_name

_END_SECONDS = 10.0
"""In which it should have ended by itself."""
_OTHERS_SECONDS = 3.0
_ROOT = str(Path(__file__).parents[2])


class CaptionerProcess:
    """One such process, from its start.

    Raises:
        UserError: the log cannot be written.
    """

    def __init__(self, setup: Setup) -> None:
        ours, theirs = socket.socketpair()
        self._line = Line(ours)
        try:
            with theirs:
                self._process = _start(theirs.fileno(), setup.log)
        except BaseException:
            self._line.close()
            self._line.end()
            raise
        self.number = self._process.pid
        self.send(setup)

    def send(self, message: ToProcess) -> None:
        """Tell it, if it is there; if not, who waits for what it says will see that."""
        with suppress(OSError):
            self._line.send(message)

    def messages(self) -> Iterator[FromProcess]:
        """What it says until it ends."""
        with suppress(EOFError, OSError):
            while True:
                yield self._line.receive()
        self._line.close()

    def how_it_ended(self) -> str:
        """After the last message."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        status = self._process.returncode
        if status is None:
            return "does not answer"
        return f"was killed by {signal_name(-status)}" if status < 0 else f"has ended with status {status}"

    def end(self) -> None:
        """End it and those that it has started, which are of its session; it may take some seconds for that."""
        self._line.end()
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
                self._wait_for_others()
        finally:
            if members(self.number):
                with suppress(ProcessLookupError):
                    os.killpg(self.number, signal.SIGKILL)
            self._process.wait()

    def _wait_for_others(self) -> None:
        """Its engine ends after it, and what tidies shared memory up after that."""
        deadline = time.monotonic() + _OTHERS_SECONDS
        while members(self.number) and time.monotonic() < deadline:
            time.sleep(0.02)


def _start(descriptor: int, log: Path) -> "subprocess.Popen[bytes]":
    """Start it where Ctrl-C does not reach it, for what has to be ended is this one's to say.

    Raises:
        UserError: the log cannot be written.
    """
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if _ROOT not in (*site.getsitepackages(), site.getusersitepackages(), *paths):
        paths.insert(0, _ROOT)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("ab")
    except OSError as error:
        raise UserError(f"log {log}: cannot be written: {error.strerror}") from error
    with file:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "MetaCaptioner.api.worker", str(descriptor), str(os.getpid())],
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
