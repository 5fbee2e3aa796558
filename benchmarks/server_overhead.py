"""What it costs to ask a server rather than an engine in process: the same pictures, model and machine, in turns.

    python -m benchmarks.server_overhead --work scratch [--pictures 200] [--rounds 3] [--model demo --model 130m]

Captions the pictures by vLLM in process and by vLLM's API server on loopback, each a rank of the caption stage with its
engine loaded; a round is one turn of each. Time is the rank's from its first sample to its last record. CPU time is of
all its processes and of the server's. A model is a folder, "demo", or a shape of `benchmarks.dummy_model`, which gets
random weights: its words are noise, drawn at a temperature. Of others both must have made the same captions.
"""

import argparse
import asyncio
import itertools
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from PIL import Image
from tqdm import tqdm

from benchmarks.dummy_model import SHAPES
from benchmarks.served_model import served
from demo.random_model import make_random_model
from MetaCaptioner import captionpipeline
from MetaCaptioner.agents.prompts import load_prompts
from MetaCaptioner.engine.base import Engine
from MetaCaptioner.engine.registry import open_engine
from MetaCaptioner.records.reader import read_records, result_files
from MetaCaptioner.runner.loop import RankLoop
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.runner.stage import loop_settings, open_plan_work
from MetaCaptioner.runtime.heartbeat import Heartbeat
from MetaCaptioner.runtime.rank import Rank
from MetaCaptioner.runtime.signals import StopSignal
from MetaCaptioner.utils.cli import run_main, say
from MetaCaptioner.utils.options_sources import READ_NO_FILE, read

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
ALLOWED = 0.10
"""So much longer may a run on a server take."""
PARTS = ("rank", "server", "engine")
"""The rank with its decoders, vLLM's API server, and vLLM's engine, whoever has started it."""


@dataclass(frozen=True)
class Turn:
    """What one run over all pictures took, in seconds; of a processor by `PARTS`."""

    engine: str
    seconds: float
    used: Mapping[str, float]
    tokens: int
    requests: int

    @property
    def cpu_seconds(self) -> float:
        return sum(self.used.values())


@dataclass(frozen=True)
class Model:
    """What is served, and the prompts that it is asked with. One that `is_noise` has no words of its own."""

    name: str
    folder: Path
    prompts: Path
    is_noise: bool = False


def make_pictures(folder: Path, count: int) -> Path:
    """A plan for `count` pictures: drawings of the demo, in each of which a few pixels are others."""
    media = folder / "media"
    media.mkdir(parents=True, exist_ok=True)
    rows = json.loads((DEMO / "natural_scenes.json").read_text())
    drawn = [Image.open(DEMO / "natural_scenes" / row["image"]).convert("RGB") for row in rows]
    made = []
    for number, image in zip(range(count), itertools.cycle(drawn), strict=False):
        pixels = np.array(image)
        pixels[:2, :8] = np.random.default_rng(number).integers(0, 256, (2, 8, 3))
        Image.fromarray(pixels).save(media / f"{number}.png")
        made.append({"id": number, "image": f"{number}.png", "width": image.width, "height": image.height})
    annotation, plan = folder / "set.json", folder / "plan.jsonl"
    annotation.write_text(json.dumps(made))
    row: dict[str, object] = {
        "data_name": "set",
        "json_url": str(annotation),
        "root": str(media),
        "task": "Natural",
        "modality": "image",
    }
    row |= {"total": count, "processed": 0, "remain": count, "shard_index": 0, "num_shards": 1, "start_idx": 0}
    plan.write_text(json.dumps(row | {"end_idx": count, "anno_file_key": annotation.name, "assign_rank": 0}) + "\n")
    return plan


def cpu_seconds() -> dict[str, float]:
    """What this process and all that it has started have taken, by `PARTS`."""
    total, this = dict.fromkeys(PARTS, 0.0), psutil.Process()
    for process in (this, *this.children(recursive=True)):
        try:
            times, command = process.cpu_times(), " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
        part = "engine" if "EngineCore" in command else "server" if "api_server" in command else "rank"
        total[part] += times.user + times.system + times.children_user + times.children_system
    return total


async def turn(engine: Engine, options: StageOptions, plan: Path, output: Path) -> Turn:
    """Caption all pictures once."""
    prompts = load_prompts(options.prompts_dir)
    shutil.rmtree(output, ignore_errors=True)
    settings = loop_settings(engine, options, prompts)
    with ExitStack() as stack:
        expected = captionpipeline.STAGE.expects(options, prompts)
        work = open_plan_work(expected, plan, output, options, Rank(), prompts, stack)
        bar = tqdm(total=work.total(), disable=True)
        run_sample = captionpipeline.STAGE.run_sample(prompts)
        loop = RankLoop(run_sample, engine, settings, StopSignal(), expected.made.fields(), bar, Heartbeat())
        begin, before = time.monotonic(), cpu_seconds()
        statistics = await loop.run(work.items())
        seconds, after = time.monotonic() - begin, cpu_seconds()
    if statistics.failed:
        raise RuntimeError(f"{statistics.failed} pictures failed: {dict(statistics.errors)}")
    requests = sum(len(record["agents"]) for record in _records(output).values())
    used = {part: after[part] - before[part] for part in PARTS}
    return Turn(options.engine, seconds, used, statistics.output_tokens, requests)


def _records(folder: Path) -> dict[str, dict[str, Any]]:
    """By sample."""
    return {record["sample_id"]: record for path, _ in result_files(folder) for record in read_records(path)}


def same_captions(work: Path) -> bool:
    """Whether both engines have made the same."""
    own, other = (
        {sample: record["caption"] for sample, record in _records(work / engine).items()}
        for engine in ("vllm", "openai")
    )
    return own == other


def model_of(text: str, prompts: Path, work: Path) -> Model:
    """The model that a command line names; one of random weights is written to `work`."""
    if text not in SHAPES:
        return Model(text, DEMO / "model" if text == "demo" else Path(text).absolute(), prompts)
    folder, noisy = work / text, work / "prompts"
    make_random_model(folder, shape=SHAPES[text][0])
    shutil.copytree(prompts, noisy, dirs_exist_ok=True)
    for path in noisy.glob("*.yaml"):  # the likeliest words of noise are always the same
        path.write_text(path.read_text().replace("temperature: 0.0", "temperature: 1.0"))
    return Model(text, folder, noisy, is_noise=True)


async def measure(given: argparse.Namespace, model: Model, address: str) -> list[Turn]:
    """All turns; each begins with empty result folders and whatever its engine has cached of other pictures."""
    common = ["--in-flight=64", f"--prompts-dir={model.prompts}", READ_NO_FILE, *given.flags]
    own = read(StageOptions, [f"--model={model.folder}", *common], "")
    other = read(StageOptions, ["--engine=openai", "--model=served", f"--endpoint={address}", *common], "")
    engines = [(one, open_engine(one.engine_options(), False, given.work / "engine.log")) for one in (own, other)]
    turns = []
    try:
        for number in range(given.rounds + 1):  # the first is to warm up
            plan = make_pictures(given.work / f"pictures{number}", given.pictures if number else 8)
            for options, engine in engines if number % 2 else engines[::-1]:
                output = given.work / options.engine
                turns.append(await turn(engine, options, plan, output))
                parts = ", ".join(f"{part} {seconds:.2f}" for part, seconds in turns[-1].used.items())
                say(f"  {options.engine:>6}: {turns[-1].seconds:6.2f} s, CPU {turns[-1].cpu_seconds:6.2f} s ({parts})")
            if not (model.is_noise or same_captions(given.work)):
                raise RuntimeError("the captions are not the same")
    finally:
        for _, engine in engines:
            engine.close()
    return turns[2:]


def report(name: str, turns: Sequence[Turn]) -> float:
    """Say the table; the overhead as a share of the time in process."""
    each = "".join(f" {part} |" for part in PARTS)
    say(f"| model | engine | tokens written | time, s | CPU time, s | CPU time a request, ms: all |{each}")
    say(f"| --- | --- |{' ---: |' * (4 + len(PARTS))}")
    for engine in ("vllm", "openai"):
        mine = [one for one in turns if one.engine == engine]
        seconds, used = median(one.seconds for one in mine), median(one.cpu_seconds for one in mine)
        tokens, requests = median(one.tokens for one in mine), mine[0].requests
        shares = [used, *(median(one.used[part] for one in mine) for part in PARTS)]
        told = "".join(f" {1e3 * share / requests:.1f} |" for share in shares)
        say(f"| {name} | {engine} | {tokens:,.0f} | {seconds:.2f} | {used:.2f} |{told}")
    pairs = list(zip(turns[::2], turns[1::2], strict=True))
    ordered = [pair if pair[0].engine == "vllm" else pair[::-1] for pair in pairs]
    overhead = median(other.seconds / own.seconds - 1 for own, other in ordered)
    by_cpu = median(other.cpu_seconds / own.cpu_seconds - 1 for own, other in ordered)
    more = median(1e3 * (other.cpu_seconds - own.cpu_seconds) / own.requests for own, other in ordered)
    say(
        f"{name}: overhead of the server: {overhead:+.1%} of the time, {by_cpu:+.1%} of the CPU time, {more:.1f} ms of "
        f"a processor a request: within {ALLOWED:.0%} where a request costs {more / ALLOWED:.0f} ms"
    )
    return overhead


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and say; status 1 if the overhead is more than is allowed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for what is made")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", action="append", help="may be given several times; the demo's if none is")
    parser.add_argument("--prompts", type=Path, default=DEMO / "prompts")
    given, more = parser.parse_known_args(arguments)
    given.flags = more
    given.work.mkdir(parents=True, exist_ok=True)
    overheads = []
    for text in given.model or ["demo"]:
        model = model_of(text, given.prompts, given.work)
        with served(model.folder, "served", given.work / "server.log") as address:
            overheads.append(report(text, asyncio.run(measure(given, model, address))))
    return 1 if max(overheads) > ALLOWED else 0


if __name__ == "__main__":
    run_main(main)
