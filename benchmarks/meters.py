"""What a stretch of work takes from the machine: GPU, processors, memory.

To look must cost next to nothing, or it slows what it measures: no walk through page tables, no process for each look.
"""

import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil

_SECONDS_BETWEEN_LOOKS = 1.0
_GPU_READINGS = ("utilization.gpu", "power.draw", "clocks.sm")
"""In percent, W and MHz, by the names that the driver's program knows."""

PEAK_TFLOPS = {"H100": (989.4, 1978.9), "H200": (989.4, 1978.9), "A100": (312.0, 312.0), "A800": (312.0, 312.0)}
"""Dense bfloat16 and 8-bit float rates of NVIDIA's data sheets, by a part of the device's name (SXM boards)."""


@dataclass
class Meter:
    """Looks at this process and all it has started, once a second, while its `with` block runs.

    Afterwards: `seconds`, `cores` kept busy on average, `memory` in GiB at its peak (what each process has for itself,
    and the largest shared part); of the first GPU on average `gpu_busy`, the share of time in which a kernel ran,
    `gpu_watts` and `gpu_megahertz`, the clock of its multiprocessors, which falls where power is short. Those are None
    without a GPU.
    """

    seconds: float = 0.0
    cores: float = 0.0
    memory: float = 0.0
    gpu_busy: float | None = None
    gpu_watts: float | None = None
    gpu_megahertz: float | None = None
    _watcher: "subprocess.Popen[str] | None" = None

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._begin, self._processor_seconds = time.monotonic(), _processor_seconds()
        self._watcher = _watch_gpu()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.seconds = time.monotonic() - self._begin
        self.cores = (_processor_seconds() - self._processor_seconds) / self.seconds
        self._over.set()
        self._thread.join()
        if self._watcher is not None:
            self._watcher.terminate()
            looks = [line.split(", ") for line in self._watcher.communicate()[0].splitlines()]
            percent, self.gpu_watts, self.gpu_megahertz = (
                _mean([look[place] for look in looks if len(look) == len(_GPU_READINGS)])
                for place in range(len(_GPU_READINGS))
            )
            self.gpu_busy = None if percent is None else percent / 100

    def _look(self) -> None:
        while True:
            self.memory = max(self.memory, _memory())
            if self._over.wait(_SECONDS_BETWEEN_LOOKS):
                return


def device_name() -> str:
    """The first GPU's name, or how many processors there are."""
    found = _ask_driver("name")
    return found or f"{psutil.cpu_count()} processor cores, no GPU"


def peak_tflops(device: str, fp8: bool) -> float | None:
    """The device's dense rate, or None where it is not known."""
    return next((rates[fp8] for name, rates in PEAK_TFLOPS.items() if name in device), None)


def _watch_gpu() -> "subprocess.Popen[str] | None":
    """A process that prints the readings of the first GPU once a second, a line each time; None without one."""
    query = f"--query-gpu={','.join(_GPU_READINGS)}"
    command = ["nvidia-smi", "--id=0", query, "--format=csv,noheader,nounits", "--loop-ms=1000"]
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        return None


def _mean(cells: Sequence[str]) -> float | None:
    numbers = [float(cell) for cell in cells if cell.replace(".", "", 1).isdecimal()]  # others: "[N/A]"
    return sum(numbers) / len(numbers) if numbers else None


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
    """GiB. The kernel keeps these counts; to count every shared page once it would have to walk through all of them."""
    held = [memory for process in _living() if (memory := _held(process))]
    return (sum(rss - shared for rss, shared in held) + max(shared for _, shared in held)) / 2**30


def _held(process: psutil.Process) -> tuple[int, int] | None:
    """(bytes in memory, of these bytes that may be shared) of a process; None if it has just ended."""
    try:
        memory = process.memory_info()
    except psutil.Error:
        return None
    return memory.rss, memory.shared


def _living() -> list[psutil.Process]:
    here = psutil.Process()
    return [here, *here.children(recursive=True)]
