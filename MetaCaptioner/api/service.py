"""What keeps a process captioning for a `Captioner`, whatever becomes of one."""

import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from MetaCaptioner.api.messages import Abandon, Ask, Begun, Done, Failed, Key, Ready, Said, Setup
from MetaCaptioner.api.process import CaptionerProcess
from MetaCaptioner.errors import EngineDead, ErrorKind, UserError
from MetaCaptioner.launch.supervisor import Deaths
from MetaCaptioner.records.record import is_error, told_error
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.runtime.heartbeat import Heartbeat
from MetaCaptioner.utils.log_lines import LOGGER

_JOIN_SECONDS = 10.0

Answer = Callable[[Done | UserError], None]
"""Is told of each record of a call, or of what ends them all."""


class Service:
    """A process that captions, from when its model is loaded; another one goes on where it dies or hangs.

    That one is asked again for what has no record. An input that was in flight at two deaths is done alone, and has an
    error record if it kills that process too: as a rank does it, by the same numbers. `log` is where all of them print.

    What has to be in files is in a temporary folder, which is kept only for the log that a failure has named.
    `pictures` is the part of it for pictures that are in no files.

    Raises:
        UserError: the model cannot be loaded; one line.
    """

    def __init__(self, options: StageOptions, task: str | None, score: bool, log: Path | None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="metacaptioner-"))
        self.pictures = self._folder / "pictures"
        self.pictures.mkdir()
        self.log = self._folder / "log.txt" if log is None else log.absolute()
        self._setup = Setup(options, task, score, self.log)
        self._owner = os.getpid()
        self._calls: dict[int, Answer] = {}
        self._asked: dict[Key, Ask] = {}
        self._begun: set[Key] = set()
        self._lock = threading.Lock()
        self._started: queue.SimpleQueue[Ready | UserError] = queue.SimpleQueue()
        self._failure: UserError | None = None
        self._end = threading.Event()
        self._heartbeat = Heartbeat(max_deaths=options.max_deaths)
        try:
            self.process = CaptionerProcess(self._setup)
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        self._keeper = threading.Thread(target=self._keep, name="captioner", daemon=True)
        self._keeper.start()
        try:
            self.ready = self._wait_until_ready()
        except BaseException:
            self.end()
            raise

    def _wait_until_ready(self) -> Ready:
        ready = self._started.get()
        if isinstance(ready, UserError):
            raise ready
        return ready

    def open_call(self, number: int, answer: Answer) -> None:
        """Have `answer` told of what comes of a call."""
        with self._lock:
            self._calls[number] = answer
            if self._failure is not None:
                answer(self._failure)

    def ask(self, ask: Ask) -> None:
        """Have one input of an open call captioned."""
        with self._lock:
            if ask.call in self._calls:
                self._asked[ask.key] = ask
                self.process.send(ask)

    def close_call(self, number: int) -> None:
        """Nobody waits for it any more."""
        with self._lock:
            del self._calls[number]
            for key in [key for key in self._asked if key[0] == number]:
                del self._asked[key]
                self._begun.discard(key)
            self.process.send(Abandon(number))

    # --- in the thread that keeps it going

    def _keep(self) -> None:
        """Whatever becomes of it, those who wait are told."""
        try:
            failure = self._keep_going()
        except Exception as error:  # noqa: BLE001 a thread's end, which nobody would hear of
            failure = UserError(f"nobody foresaw this: {type(error).__name__}: {error}")
        self._fail(UserError("the Captioner is closed") if self._end.is_set() else failure)

    def _keep_going(self) -> UserError:
        """Start processes until one cannot be gone on from; why."""
        deaths = Deaths(self._heartbeat)
        failure = self._hear()
        while self._heartbeat.begun and isinstance(failure, EngineDead) and not self._end.is_set():
            deaths.note(str(failure))
            if deaths.are_too_many:
                return EngineDead(f"given up after {deaths.in_vain} deaths without a caption between them: {failure}")
            LOGGER.warning("%s; another one is started", failure)
            if not self._end.wait(deaths.pause):
                failure = self._start_again()
        return failure

    def _start_again(self) -> UserError:
        """Have another process go on; what has become of it. That its model cannot be loaded now may pass."""
        self.process.end()
        with self._lock:
            for key in self._begun:
                self._asked[key] = replace(self._asked[key], crashes=self._asked[key].crashes + 1)
            self._begun.clear()
            self.process = CaptionerProcess(replace(self._setup, deaths=self._heartbeat.deaths))
            if self._end.is_set():  # and has ended the one before
                self.process.end()
            for ask in self._asked.values():
                self.process.send(ask)
        return self._hear()

    def _hear(self) -> UserError:
        """Hand on what the process says until it ends; why it has ended."""
        failure: UserError | None = None
        for message in self.process.messages():
            if isinstance(message, Begun):
                self._note_begun(message.key)
            elif isinstance(message, Done):
                self._hand_on(message)
            elif isinstance(message, Said):
                LOGGER.info("%s", message.text)
            elif isinstance(message, Ready):
                self._heartbeat.begun = 1
                self._started.put(message)
            elif isinstance(message, Failed):
                failure = message.error
        if failure is None:
            how = self.process.how_it_ended()
            failure = EngineDead(f"the process that captions {how}")
        return self._with_log(failure)

    def _with_log(self, failure: UserError) -> UserError:
        """It, with the place of what was printed, if anything was."""
        told = str(failure)
        if str(self.log) in told or not self.log.stat().st_size:
            return failure
        return type(failure)(f"{told}; what was printed is in {self.log}")

    def _note_begun(self, key: Key) -> None:
        with self._lock:
            if key in self._asked:
                self._begun.add(key)

    def _hand_on(self, done: Done) -> None:
        self._heartbeat.finished += not is_error(done.record)
        self._heartbeat.poisoned += told_error(done.record).get("kind") == ErrorKind.ENGINE_CRASH
        with self._lock:
            self._asked.pop(done.key, None)
            self._begun.discard(done.key)
            answer = self._calls.get(done.key[0])
        if answer is not None:
            answer(done)

    def _fail(self, failure: UserError) -> None:
        with self._lock:
            self._failure = failure
            self._started.put(failure)
            for answer in self._calls.values():
                answer(failure)

    def end(self) -> None:
        """End the process; nothing of it is left then but the log that a failure has named. It can be done twice."""
        if self._end.is_set() or os.getpid() != self._owner:  # a fork of the one that made it
            return
        is_log_named = str(self.log) in str(self._failure)
        self._end.set()
        try:
            self.process.end()
            if threading.current_thread() is not self._keeper:
                self._keeper.join(_JOIN_SECONDS)
        finally:
            is_temporary = self.log.is_relative_to(self._folder)
            shutil.rmtree(self.pictures if is_log_named and is_temporary else self._folder, ignore_errors=True)
