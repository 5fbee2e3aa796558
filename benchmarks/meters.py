"""What a stretch of work takes from the machine: GPU, processors, memory."""

import subprocess
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import psutil

_SECONDS_BETWEEN_LOOKS = 1.0
PEAK_TFLOPS = {"H100": (989.4, 1978.9), "H200": (989.4, 1978.9), "A100": (312.0, 312.0), "A800": (312.0, 312.0)}
"""Dense bfloat16 and 8-bit float rates of NVIDIA's data sheets, by a part of the device's name (SXM boards)."""


@dataclass
class Meter:
    """Looks at this process and all it has started, once a second, while its `with` block runs.

    Afterwards: `seconds`, `cores` kept busy on average, `memory` in GiB at its peak (pages shared between processes
    counted once), and `gpu_busy`, the share of the looks' time in which a kernel ran, None without a GPU.
    """

    seconds: float = 0.0
    cores: float = 0.0
    memory: float = 0.0
    gpu_busy: float | None = None
    _gpu: list[float] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._begin, self._processor_seconds = time.monotonic(), _processor_seconds()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.seconds = time.monotonic() - self._begin
        self.cores = (_processor_seconds() - self._processor_seconds) / self.seconds
        self._over.set()
        self._thread.join()
        self.gpu_busy = sum(self._gpu) / len(self._gpu) if self._gpu else None

    def _look(self) -> None:
        while True:
            self.memory = max(self.memory, _memory())
            busy = _gpu_busy()
            if busy is not None:
                self._gpu.append(busy)
            if self._over.wait(_SECONDS_BETWEEN_LOOKS):
                return


def device_name() -> str:
    """The first GPU's name, or how many processors there are."""
    found = _ask_driver("name")
    return found or f"{psutil.cpu_count()} processor cores, no GPU"


def peak_tflops(device: str, fp8: bool) -> float | None:
    """The device's dense rate, or None where it is not known."""
    return next((rates[fp8] for name, rates in PEAK_TFLOPS.items() if name in device), None)


def _gpu_busy() -> float | None:
    answer = _ask_driver("utilization.gpu")
    return float(answer) / 100 if answer else None


def _ask_driver(what: str) -> str | None:
    command = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    return lines[0].strip() if lines else None


def _processor_seconds() -> float:
    return float(sum(process.cpu_times().user + process.cpu_times().system for process in _living()))


def _memory() -> float:
    return float(sum(_pages(process) for process in _living())) / 2**30


def _pages(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:  # it has just ended
        return 0


def _living() -> list[psutil.Process]:
    here = psutil.Process()
    return [here, *here.children(recursive=True)]
