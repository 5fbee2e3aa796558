"""Where the GPU's time goes: some seconds under vLLM's torch profiler, kernels summed by what they do."""

import asyncio
import gzip
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = {
    "attention": r"flash|fmha|attention",
    # cuBLAS names its kernels nvjet and, from two 8-bit floats, qq.
    "products of 8-bit floats": r"^(?!triton_).*(e4m3|fp8_gemm|scaled_mm|nvjet_[^_]*_qq)",
    "products of 16-bit floats": r"nvjet|gemm|gemv|cublas|cutlass|splitkreduce",
    "writing the KV cache": r"reshape_and_cache",
    "norms, activations, quantising": r"^triton_|norm|silu|act_and_mul|quant|rotary",
    "copies": r"^mem(cpy|set)",
}
"""What a kernel does, by the first pattern that its name (in lower case) has; all others are `OTHER`."""
OTHER = "sampling and the rest"

_KERNEL_EVENTS = {"kernel", "gpu_memcpy", "gpu_memset"}
_SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True)
class KernelTime:
    """All kernels of a kind: `share` of the recorded stretch, launches, the name that took longest."""

    kind: str
    share: float
    launches: int
    longest: str


def profiler_config(folder: Path) -> dict[str, Any]:
    """The engine argument of this name under which vLLM can record, into `folder`."""
    return {
        "profiler": "torch",
        "torch_profiler_dir": str(folder.resolve()),
        "torch_profiler_with_stack": False,
        "torch_profiler_dump_cuda_time_total": False,
        "ignore_frontend": True,
    }


async def record(engine: Any, seconds: float, begin: Callable[[], bool]) -> None:
    """Once `begin` is true, let `engine` (a vLLM AsyncLLM) record for so many seconds."""
    while not begin():
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
    await engine.start_profile()
    await asyncio.sleep(seconds)
    await engine.stop_profile()


def read_kernels(folder: Path) -> list[KernelTime]:
    """Sum the kernels of the newest trace in `folder`, the kind that took longest first; none without a GPU.

    Raises:
        FileNotFoundError: the folder holds no trace.
    """
    traces = sorted(folder.glob("*.pt.trace.json*"), key=lambda path: path.stat().st_mtime)
    if not traces:
        raise FileNotFoundError(f"{folder}: no trace was written")
    content = traces[-1].read_bytes()
    trace = json.loads(gzip.decompress(content) if traces[-1].suffix == ".gz" else content)
    return sum_kernels(event for event in trace["traceEvents"] if event.get("cat") in _KERNEL_EVENTS)


def sum_kernels(events: Iterable[Mapping[str, Any]]) -> list[KernelTime]:
    """Of trace events with `name`, `ts` and `dur` (microseconds). Kernels at the same time count each for itself."""
    by_kind: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    begin, end = float("inf"), float("-inf")
    for event in events:
        by_kind[_kind(event["name"])][event["name"]].append(event["dur"])
        begin, end = min(begin, event["ts"]), max(end, event["ts"] + event["dur"])
    found = [
        KernelTime(
            kind,
            sum(map(sum, names.values())) / (end - begin),
            sum(map(len, names.values())),
            max(names, key=lambda name, names=names: sum(names[name])),  # type: ignore[misc]
        )
        for kind, names in by_kind.items()
    ]
    return sorted(found, key=lambda kernel: -kernel.share)


def _kind(name: str) -> str:
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name.lower())), OTHER)


def kernel_table(kernels: Sequence[KernelTime]) -> str:
    """In Markdown."""
    lines = ["| the GPU's time | share | launches | longest |", "| --- | --- | --- | --- |"]
    lines += [f"| {k.kind} | {k.share:.1%} | {k.launches:,} | `{k.longest[:60]}` |" for k in kernels]
    return "\n".join([*lines, f"| all | {sum(k.share for k in kernels):.1%} | | |"])
