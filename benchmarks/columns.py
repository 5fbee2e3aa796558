"""The ways of captioning that benchmarks/throughput.py compares, all on one engine and one set of samples."""

import asyncio
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks import kernel_profile
from benchmarks.dummy_model import ANSWER_LETTERS, Work
from benchmarks.workload import TASKS, Workload
from MetaCaptioner import captionpipeline
from MetaCaptioner.agents.prompts import Prompts
from MetaCaptioner.agents.workflow import Agent, Workflow, base_texts, fill
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.engine.base import Completion, Request
from MetaCaptioner.engine.vllm import VllmEngine
from MetaCaptioner.engine.vllm_prompts import PromptWriter
from MetaCaptioner.media.loader import Media, load_media
from MetaCaptioner.records.record import identity
from MetaCaptioner.runner.loop import LoopSettings, RankLoop
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.runner.stage import loop_settings, open_plan_work
from MetaCaptioner.runtime.heartbeat import Heartbeat
from MetaCaptioner.runtime.rank import Rank
from MetaCaptioner.runtime.signals import StopSignal
from MetaCaptioner.worklist.base import Item

STAGED_BATCH = 32
"""Samples that the staged baseline sends together."""


class MeasuredWriter(PromptWriter):
    """`role_first` puts the instruction into the system message, before the media, as the staged baseline does: then no
    two agents of a sample share a prefix."""

    role_first = False

    def text(self, instruction: str, modality: Modality | None, is_held: bool = False) -> str:
        if not self.role_first or modality is None:
            return super().text(instruction, modality, is_held)
        head, system, media = super().text("", modality, is_held).partition("<|im_end|>")
        opening = head[: head.index("\n") + 1]
        return f"{opening}{instruction}{system}{media}"


class MeasuredEngine(VllmEngine):
    """The product's engine, but every answer has the workload's length, and what was done is counted."""

    _writer = MeasuredWriter
    _prompts: MeasuredWriter

    def __init__(self, options: StageOptions, workload: Workload, on_gpu: bool) -> None:
        super().__init__(options.engine_options(), on_gpu)
        self._workload = workload
        self.done: list[Work] = []

    async def generate(self, request: Request) -> Completion:
        sample_id, agent, _ = request.request_id.rsplit("/", 2)
        tokens = self._workload.answer_tokens(sample_id, agent)
        completion = await super().generate(replace(request, sampling=replace(request.sampling, max_tokens=tokens)))
        self.done.append(Work(completion.input_tokens, completion.cached_tokens, completion.output_tokens))
        return completion

    @property
    def role_first(self) -> bool:
        """As its writer's."""
        return self._prompts.role_first

    @role_first.setter
    def role_first(self, is_so: bool) -> None:
        self._prompts.role_first = is_so

    async def forget(self, media: bool = True) -> None:
        """Empty the caches; with `media` also those of processed pictures."""
        self.done = []
        await self._engine.reset_prefix_cache()
        await self._engine.reset_encoder_cache()
        if media:
            await self._engine.reset_mm_cache()

    async def profile(self, seconds: float, begin: Callable[[], bool]) -> None:
        """Record the engine's kernels for so many seconds, once `begin` is true."""
        await kernel_profile.record(self._engine, seconds, begin)


@dataclass(frozen=True)
class Bench:
    """One engine and what it is to caption; `profile` seconds of the pipeline are recorded, half-way."""

    engine: MeasuredEngine
    options: StageOptions
    prompts: Prompts
    workload: Workload
    plan: Path
    output: Path
    profile: float = 0.0

    @property
    def workflow(self) -> Workflow:
        """The agents of the workload's only domain."""
        return self.prompts.workflows[TASKS[self.workload.modality]]

    @property
    def settings(self) -> LoopSettings:
        """The rank loop's, as the stage sets them."""
        return loop_settings(self.engine, self.options, self.prompts)

    def items(self, stack: ExitStack, column: str, count: int) -> Iterator[Item]:
        """The first `count` samples of the plan, their records going to a folder of the column's own."""
        expected = captionpipeline.STAGE.expects(self.options, self.prompts)
        work = open_plan_work(expected, self.plan, self.output / column, self.options, Rank(), self.prompts, stack)
        return islice(work.items(), count)

    def request(self, item: Item, agent: Agent, texts: Mapping[str, str], media: Media, number: int) -> Request:
        """A request as the rank loop would make it."""
        return Request(
            request_id=f"{item.sample.sample_id}/{agent.name}/{number}.1",
            instruction=fill(agent.prompt, texts),
            media=media if agent.sees_media else None,
            sampling=agent.sampling,
            priority=number,
        )


async def staged(bench: Bench, count: int) -> None:
    """Batches of 32, the role before the image.

    Each agent opens the batch's pictures and waits for the slowest answer of the agent before.
    """
    bench.engine.role_first = True
    with ExitStack() as stack:
        items = bench.items(stack, "staged", count)
        while batch := list(islice(items, STAGED_BATCH)):
            texts: list[dict[str, str]] = [{} for _ in batch]
            for agent in bench.workflow.agents:
                media = await _load(bench, batch)
                texts = [base_texts(i.sample, m, None) | t for i, m, t in zip(batch, media, texts, strict=True)]
                together = zip(batch, texts, media, strict=True)
                requests = [bench.request(item, agent, known, seen, 0) for item, known, seen in together]
                for found, completion in zip(texts, await _ask_all(bench, requests), strict=True):
                    found[agent.name] = completion.text.strip()
            for item, found in zip(batch, texts, strict=True):
                item.write({**identity(item.sample), "status": "ok", "caption": found[bench.workflow.agents[-1].name]})
    bench.engine.role_first = False


async def pipeline(bench: Bench, count: int) -> None:
    """The caption stage: its rank loop, its workflow, its result files."""
    with ExitStack() as stack, tqdm(total=count, desc="pipeline", mininterval=10.0) as bar:
        run_sample = captionpipeline.run_sample(bench.prompts)
        loop = RankLoop(run_sample, bench.engine, bench.settings, StopSignal(), {}, bar, Heartbeat())
        async with asyncio.TaskGroup() as tasks:
            if bench.profile:
                tasks.create_task(bench.engine.profile(bench.profile, lambda: bar.n >= count // 2))
            statistics = await loop.run(bench.items(stack, "pipeline", count))
    if statistics.failed:
        raise RuntimeError(f"{statistics.failed} samples failed: {dict(statistics.errors)}")


async def all_at_once(bench: Bench, count: int) -> None:
    """The engine's limit: all requests known from the start, the summaries' notes made up in the right length."""
    with ExitStack() as stack:
        items = list(bench.items(stack, "all_at_once", count))
        media = await _load(bench, items)
        requests = []
        for number, (item, one) in enumerate(zip(items, media, strict=True)):
            known = base_texts(item.sample, one, None)
            for agent in bench.workflow.agents:
                notes = {name: _made_up(bench.workload, item.sample.sample_id, name) for name in agent.requires}
                requests.append(bench.request(item, agent, {**known, **notes}, one, number))
        await _ask_all(bench, requests)


def _made_up(workload: Workload, sample_id: str, agent: str) -> str:
    """Notes of as many tokens as the agent would write."""
    rng = np.random.default_rng(zlib.crc32(f"notes/{sample_id}/{agent}".encode()))
    letters = rng.choice(ANSWER_LETTERS, workload.answer_tokens(sample_id, agent))
    return "".join(map(chr, letters))


async def _load(bench: Bench, items: Sequence[Item]) -> list[Media]:
    """Decode the media of `items`, as many at a time as the rank loop would."""
    slots = asyncio.Semaphore(bench.options.decode_threads)

    async def load(item: Item) -> Media:
        async with slots:
            return await asyncio.to_thread(load_media, item.sample, bench.settings.budget)

    return list(await asyncio.gather(*map(load, items)))


async def _ask_all(bench: Bench, requests: Sequence[Request]) -> list[Completion]:
    return list(await asyncio.gather(*map(bench.engine.generate, requests)))
