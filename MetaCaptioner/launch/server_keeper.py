"""Keeps the server of a model going, whatever becomes of one.

    python -m MetaCaptioner.launch.server_keeper MODEL

MODEL is a `ServedModel` as JSON. If the server dies, another one is started on the same port, which ranks wait for. A
signal to stop ends it; so does the end of the process that has started this one.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

import msgspec

from MetaCaptioner.engine.engine_output import Printed, opened_log
from MetaCaptioner.errors import UserError
from MetaCaptioner.launch.served import HOST, ServedModel
from MetaCaptioner.launch.supervisor import end_leftovers
from MetaCaptioner.runtime.signals import STOP_SIGNALS
from MetaCaptioner.utils import processes
from MetaCaptioner.utils.cli import note, run_main, say
from MetaCaptioner.utils.json_text import read_as, to_json
from MetaCaptioner.utils.log_lines import NOTE, speak

_AWAITED = {*STOP_SIGNALS, signal.SIGCHLD}
_LOOK_SECONDS, _SAY_SECONDS = 0.5, 10.0
_MOST_DEATHS = 5
"""So many, each within `_STEADY_SECONDS` of a server's being ready, are the end."""
_STEADY_SECONDS = 300.0
_END_SECONDS = 20.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ServerKeeper:
    """Runs the server of one model, as often as it takes."""

    def __init__(self, model: ServedModel, module: str = "MetaCaptioner.engine.vllm_server") -> None:
        self._model = model
        self._command = [sys.executable, "-m", module, to_json(msgspec.to_builtins(model.server)).decode()]
        self._told = f"model '{model.name}' ({model.server.model})"
        self._deaths = 0
        self._was_ready = False
        self._stopped = False
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
        processes.adopt_orphans()

    def run(self) -> int:
        """Until a signal to stop (0), or there is no use in another server (1)."""
        while True:
            try:
                log, begin = opened_log(Path(self._model.log))
            except OSError as error:
                raise UserError(f"log {self._model.log}: cannot be written: {error.strerror}") from error
            printed = Printed(Path(self._model.log), begin)
            died = self._run_server(log, printed)
            if self._stopped:
                return 0
            cause = printed.cause() or died
            self._deaths += 1
            if not self._was_ready or self._deaths >= _MOST_DEATHS:
                self._give_up(cause)
            note(f"{self._told}: its server {died}; another one is started; what it printed is in {self._model.log}")
            if signal.sigtimedwait(STOP_SIGNALS, 2.0 ** (self._deaths - 1) - 1) is not None:
                return 0

    def _give_up(self, cause: str) -> NoReturn:
        """Raises UserError: there is no use in another one."""
        often = f" ({self._deaths} of its servers have died)" if self._was_ready else ""
        raise UserError(
            f"{self._told} cannot be served{often}: {cause.removeprefix('ModelError: ')}; what it printed is in "
            f"{self._model.log}"
        )

    def _run_server(self, log: int, printed: Printed) -> str:
        """How one server has died, or that it was ended."""
        server = subprocess.Popen(
            self._command,
            env={"VLLM_LOGGING_LEVEL": "INFO", **os.environ},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,
            preexec_fn=partial(_begin_server, os.getpid()),
        )
        os.close(log)
        loading = _Loading(self._model, self._told, printed)
        while server.poll() is None:
            received = signal.sigtimedwait(_AWAITED, _LOOK_SECONDS)
            if received is not None and received.si_signo != signal.SIGCHLD and not self._stopped:
                self._stopped = True
                server.terminate()
                deadline = time.monotonic() + _END_SECONDS
            if self._stopped and time.monotonic() > deadline:
                server.kill()
            if not self._stopped and loading.is_over():
                self._was_ready = True
                self._deaths = 0 if loading.steady_seconds() > _STEADY_SECONDS else self._deaths
        end_leftovers(server.pid)
        if server.returncode < 0:
            return f"was killed by {processes.signal_name(-server.returncode)}"
        return f"has ended with status {server.returncode}"


class _Loading:
    """Tells what a server is at until it answers."""

    def __init__(self, model: ServedModel, told: str, printed: Printed) -> None:
        self._model, self._told, self._printed = model, told, printed
        self._begin = self._said_at = time.monotonic()
        self._phase = ""
        self._ready_at: float | None = None

    def is_over(self) -> bool:
        """Whether it answers; to be asked again and again."""
        if self._ready_at is not None:
            return True
        now = time.monotonic()
        with suppress(OSError), _DIRECT.open(f"http://{HOST}:{self._model.server.port}/health", timeout=5):
            self._ready_at = now
            say(f"{self._told}: served on {self._model.place} after {now - self._begin:.0f} s")
            return True
        phase = self._printed.phase()
        if phase != self._phase or now - self._said_at >= _SAY_SECONDS:
            say(f"{self._told}: its server is loading on {self._model.place}: {phase} ({now - self._begin:.0f} s)")
            self._phase, self._said_at = phase, now
        return False

    def steady_seconds(self) -> float:
        """For how long it has answered."""
        return 0.0 if self._ready_at is None else time.monotonic() - self._ready_at


def _begin_server(keeper: int) -> None:
    """In the new process."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
    processes.kill_when_parent_ends(keeper)


def main() -> int:
    """Keep one server going."""
    model = read_as(sys.argv[1].encode(), ServedModel)
    if model.quiet:
        speak(NOTE)
    return ServerKeeper(model).run()


if __name__ == "__main__":
    run_main(main)
