"""What an engine and its processes print, kept in a file; and what a load is at, which is read from there.

Libraries print pages while a model is loaded, from several processes and from C++, so it is the descriptors that are
turned to the file. What this program says still goes to the terminal.
"""

import io
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from MetaCaptioner.runtime.signals import dump_stacks_on_request

_LONGEST_LOG = 16 * 2**20  # bytes; a longer one is set aside when the next engine is loaded
_LOOK_SECONDS, _SAY_SECONDS = 0.5, 10.0
_PHASES = (
    (b"Resolved architecture", "starting its process"),
    (b"Initializing a V1 LLM engine", "making the model"),
    (b"Starting to load model", "fetching and reading its weights"),
    (b"Model loading took", "measuring the memory it needs"),
    (b"Warming up model for the compilation", "trying it out"),
    (b"Starting torch.compile", "compiling"),
    (b"Compiling a graph", "compiling"),
    (b"Available KV cache memory", "making room for the cache"),
    (b"Profiling CUDA graph memory", "recording CUDA graphs"),
    (b"Capturing CUDA graphs", "recording CUDA graphs"),
    (b"Graph capturing finished", "starting"),
)
"""What a load is at from when vLLM prints this on."""
_FIRST_PHASE = "importing vLLM"
_CAUSE = re.compile(rb"\b([A-Za-z_.]*(?:Error|Exception|Exit)\b: .+)")
_NO_CAUSE = (b"Engine core initialization failed", b"Engine core proc", b"WorkerProc initialization failed")


class Printed:
    """What a load has printed to a file, from a place in it on."""

    def __init__(self, path: Path, begin: int) -> None:
        self.path = path
        self._begin = begin

    def _printed(self) -> bytes:
        """That, or nothing where it cannot be read."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._begin)
                return file.read(_LONGEST_LOG)
        except OSError:
            return b""

    def phase(self) -> str:
        """What the load is at."""
        printed = self._printed()
        places = [(printed.rfind(mark), phase) for mark, phase in _PHASES]
        place, phase = max(places)
        return phase if place >= 0 else _FIRST_PHASE

    def cause(self) -> str | None:
        """The last error that was printed, which says more of a failed load than the one that came of it."""
        found = [cause for cause in _CAUSE.findall(self._printed()) if not any(none in cause for none in _NO_CAUSE)]
        return found[-1].decode(errors="replace").strip()[:300] if found else None


def opened_log(path: Path) -> tuple[int, int]:
    """(descriptor, place) from which on something is now to be printed to a file; one that has grown too long is set
    aside.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LONGEST_LOG:
        path.replace(path.with_name(f"{path.name}.1"))
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o666)
    os.write(descriptor, f"\n--- {time.strftime('%Y-%m-%d %H:%M:%S')}, process {os.getpid()}\n".encode())
    return descriptor, os.fstat(descriptor).st_size


class EngineOutput(Printed):
    """The file in which all is kept that this process and those it starts print from now on, but what goes to stderr
    by Python's `sys.stderr` here.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        descriptor, begin = opened_log(path)
        super().__init__(path, begin)
        try:
            sys.stdout.flush()
            sys.stderr.flush()
            terminal = os.dup(sys.stderr.fileno())
            for printed in (1, 2):
                os.dup2(descriptor, printed)
        finally:
            os.close(descriptor)
        sys.stderr = io.TextIOWrapper(
            os.fdopen(terminal, "wb", 0), sys.stderr.encoding, "backslashreplace", write_through=True
        )
        dump_stacks_on_request()  # to the terminal as before
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "INFO")


class LoadingReport:
    """While this block runs, `say` is told what the load is at: when that changes, and every ten seconds."""

    def __init__(self, output: EngineOutput, say: Callable[[str], None]) -> None:
        self._output = output
        self._say = say
        self._over = threading.Event()
        self._teller = threading.Thread(target=self._tell, name="loading", daemon=True)

    def __enter__(self) -> Self:
        self._teller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._teller.join()

    def _tell(self) -> None:
        begin = said_at = time.monotonic()
        said = None
        while not self._over.wait(_LOOK_SECONDS):
            phase, now = self._output.phase(), time.monotonic()
            if phase != said or now - said_at >= _SAY_SECONDS:
                self._say(f"loading: {phase} ({now - begin:.0f} s)")
                said, said_at = phase, now
