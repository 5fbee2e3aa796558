"""The process that works for a `Captioner`, as that sees it.

It is a process of its own so that this one is left as it is: what vLLM does to its process (environment, logging, GPUs,
printing, other processes made of the main module) is done there, and it can be ended whatever it is at.
"""

import logging
import os
import queue
import shutil
import signal
import site
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from MetaCaptioner.api.messages import Abandon, Done, Failed, Line, Ready, Said, Setup, ToProcess
from MetaCaptioner.errors import EngineDead, UserError
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.utils.processes import signal_name

_END_SECONDS = 10.0
"""In which it should have ended by itself."""
_ROOT = str(Path(__file__).parents[2])
_logger = logging.getLogger("MetaCaptioner")

Answer = Callable[[Done | UserError], None]
"""Is told of each record of a call, or of what ends them all."""


class CaptionerProcess:
    """One such process, from its start, in which the model is loaded.

    What has to be in files is in a temporary folder, which is kept only for the log of a process that has failed, where
    `log` names no other place. `pictures` is the part of it for pictures that are in no files.

    Raises:
        UserError: the model cannot be loaded; one line.
    """

    def __init__(self, options: StageOptions, task: str | None, score: bool, log: Path | None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="metacaptioner-"))
        self.pictures = self._folder / "pictures"
        self.pictures.mkdir()
        self.log = self._folder / "log.txt" if log is None else log.absolute()
        self._owner = os.getpid()
        self._calls: dict[int, Answer] = {}
        self._lock = threading.Lock()
        self._started: queue.SimpleQueue[Ready | UserError] = queue.SimpleQueue()
        self._failure: UserError | None = None
        self._is_ended = False
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = _start(theirs.fileno(), self.log)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._line = Line(ours)
        self._receiver = threading.Thread(target=self._receive, name="captioner", daemon=True)
        self._receiver.start()
        try:
            with suppress(OSError):
                self._line.send(Setup(options, task, score, self.log))
            ready = self._started.get()
            if isinstance(ready, UserError):
                raise ready
        except BaseException:
            self.end()
            raise
        self.ready = ready

    def open_call(self, number: int, answer: Answer) -> None:
        with self._lock:
            self._calls[number] = answer
            if self._failure is not None:
                answer(self._failure)

    def close_call(self, number: int) -> None:
        """Nobody waits for it any more."""
        with self._lock:
            del self._calls[number]
        self.send(Abandon(number))

    def send(self, message: ToProcess) -> None:
        """Tell it; where it is gone, whoever waits for records is told."""
        with suppress(OSError):
            self._line.send(message)

    def _receive(self) -> None:
        """Hand on what it says until it ends."""
        failure: UserError | None = None
        with suppress(EOFError, OSError):
            while True:
                message = self._line.receive()
                if isinstance(message, Done):
                    with self._lock:
                        answer = self._calls.get(message.call)
                    if answer is not None:
                        answer(message)
                elif isinstance(message, Said):
                    _logger.info("%s", message.text)
                elif isinstance(message, Ready):
                    self._started.put(message)
                elif isinstance(message, Failed):
                    failure = self._with_log(message.error)
        self._line.close()
        self._fail(failure or self._how_it_ended())

    def _fail(self, failure: UserError) -> None:
        with self._lock:
            self._failure = failure
            self._started.put(failure)
            for answer in self._calls.values():
                answer(failure)

    def _with_log(self, error: UserError) -> UserError:
        told = str(error)
        return error if str(self.log) in told else type(error)(f"{told}; what was printed is in {self.log}")

    def _how_it_ended(self) -> UserError:
        if self._is_ended:
            return UserError("the Captioner is closed")
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        status = self._process.returncode
        how = "does not answer" if status is None else f"has ended with status {status}"
        if status is not None and status < 0:
            how = f"was ended by {signal_name(-status)}"
        return self._with_log(EngineDead(f"the process that captions {how}"))

    def end(self) -> None:
        """End it, if it has not; after that nothing of it is left but the log of a failure."""
        if self._is_ended or os.getpid() != self._owner:  # a fork of the one that made it
            return
        self._is_ended = True
        self._line.end()
        try:
            self._process.wait(_END_SECONDS if self._failure is None else 1.0)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if self._process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)  # it leads a session of its own
                self._process.wait()
        if threading.current_thread() is not self._receiver:
            self._receiver.join(_END_SECONDS)
        is_log_named = self._failure is not None and str(self.log) in str(self._failure)
        if is_log_named and self.log.is_relative_to(self._folder):
            shutil.rmtree(self.pictures, ignore_errors=True)
        else:
            shutil.rmtree(self._folder, ignore_errors=True)


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
