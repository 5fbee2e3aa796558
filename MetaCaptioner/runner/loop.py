"""The loop that every stage shares: pending samples -> media -> workflow -> record."""

import asyncio
import itertools
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import NoReturn

from tqdm import tqdm

from MetaCaptioner.agents.workflow import Agent, Generate
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.engine.base import Completion, Engine, Request
from MetaCaptioner.errors import EngineDead, ErrorKind, PassingError, SampleError, UserError
from MetaCaptioner.media.decoding import pool
from MetaCaptioner.media.loader import Media, MediaBudget, load_media, unseen_media
from MetaCaptioner.metrics.usage import RunStatistics, Usage
from MetaCaptioner.records.record import Record, identity
from MetaCaptioner.runner.error_rate import ErrorRate
from MetaCaptioner.runtime.heartbeat import Heartbeat
from MetaCaptioner.runtime.signals import StopSignal
from MetaCaptioner.utils.json_text import NotJson, to_json
from MetaCaptioner.worklist.base import Item

RunSample = Callable[[Sample, Media, Generate], Awaitable[Record]]
"""A stage's part in the loop: what it adds to the record of a sample."""
TakeOver = Callable[[], Iterable[Item] | None]
"""Takes over some samples of other ranks, None if there are no more. It is called in a thread, for it may take long."""

_TRIES = 2
_PAUSES_SECONDS = (0.2, 1.0, 3.0)
"""Before media are looked for again, of which it may pass that they cannot be read."""
_STOP_POLL_SECONDS = 0.2
_PROGRESS_SECONDS = 0.5


@dataclass(frozen=True)
class LoopSettings:
    """`in_flight` samples are in the engine at a time; `decode_threads` decode media ahead of them.

    More in flight keep a GPU busier, until the engine's cache is full and it has to do work twice.
    """

    budget: MediaBudget
    in_flight: int = 64
    decode_threads: int = 4
    grace_seconds: float = 20.0
    max_error_rate: float = 1.0
    seed: int | None = None
    seeds: Mapping[str, int] = field(default_factory=dict)
    """Of models that have their own, by name."""


@dataclass
class _Took:
    """What a sample has taken so far: tokens, tries, seconds in the engine, and seconds since its decoding began."""

    usage: Usage = field(default_factory=Usage)
    tries: int = 0
    engine_seconds: float = 0.0
    media: Record = field(default_factory=dict)
    """What the record keeps of the media once they are decoded."""
    _begun: float | None = None

    def begin(self) -> None:
        self._begun = time.monotonic()

    @contextmanager
    def engine_time(self) -> Iterator[None]:
        begin = time.monotonic()
        try:
            yield
        finally:
            self.engine_seconds = time.monotonic() - begin

    def fields(self) -> Record:
        """What the record of the sample keeps. `seconds` include decoding and waiting for a place in the engine."""
        seconds = 0.0 if self._begun is None else time.monotonic() - self._begun
        return {**self.usage.fields(), "engine_seconds": round(self.engine_seconds, 3), "seconds": round(seconds, 3)}


class RankLoop:
    """Runs one stage over the items of one rank.

    Media are decoded in threads ahead of need; at most `in_flight` samples are in the engine, and an older sample's
    requests go before a younger one's. Every sample ends in one record, written as soon as it is done. A sample that
    may have killed two workers is done alone. `heartbeat` is kept up to date for the supervisor.
    """

    def __init__(
        self,
        run_sample: RunSample,
        engine: Engine,
        settings: LoopSettings,
        stop: StopSignal,
        constant: Record,
        bar: "tqdm[NoReturn]",
        heartbeat: Heartbeat,
    ) -> None:
        self._run_sample = run_sample
        self._engine = engine
        self._settings = settings
        self._stop = stop
        self._constant = constant
        self._bar = bar
        self._heartbeat = heartbeat
        self._error_rate = ErrorRate(settings.max_error_rate)
        self._decoders = ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="decode")
        self._slots = asyncio.Semaphore(settings.in_flight)
        self._ahead = asyncio.Semaphore(settings.in_flight + 2 * settings.decode_threads)
        self._running: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count()
        self._fatal: BaseException | None = None
        self._deadline: float | None = None
        self.statistics = RunStatistics()

    async def run(self, items: Iterable[Item], take_over: TakeOver = lambda: None) -> RunStatistics:
        """Work through `items`, then what can be taken over, until that ends, a signal comes, or the rank cannot go on.

        The first is taken over once half of what was in flight is done. A rank that has begun a little later is not
        slow, and has its own in flight by then.

        Raises:
            ResultError: a record could not be written.
            TooManyErrors: to go on is pointless.
            EngineDead: the engine is gone.
        """
        begin = time.monotonic()
        reporter = asyncio.create_task(self._report_progress())
        reporter.add_done_callback(self._note_failure)
        try:
            await self._admit(items)
            await self._drain(len(self._running) // 2)
            while not self._over() and (taken := await asyncio.to_thread(take_over)) is not None:
                await self._admit(taken)
            await self._drain()
        finally:
            tasks = [reporter, *self._running]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._decoders.shutdown(wait=False, cancel_futures=True)
            pool.end_helpers()
            self.statistics.seconds = time.monotonic() - begin
        if self._stop.received and (self._fatal is None or isinstance(self._fatal, EngineDead)):
            self.statistics.stopped = True  # a signal to the whole group ends the engine's processes as well
        elif self._fatal is not None:
            raise self._fatal
        return self.statistics

    def _over(self) -> bool:
        return self._stop.received is not None or self._fatal is not None

    async def _admit(self, items: Iterable[Item]) -> None:
        """Start a task for each item, never more than may wait for the engine with their media decoded."""
        for item, number in zip(items, self._numbers, strict=False):
            if item.suspect:
                await self._drain()
            while not self._over():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ahead.acquire(), _STOP_POLL_SECONDS)
                    break
            if self._over():
                return
            task = asyncio.create_task(self._do(item, number))
            self._running.add(task)
            task.add_done_callback(self._ended)
            if item.suspect:
                await self._drain()

    async def _report_progress(self) -> None:
        while True:
            self._heartbeat.progress = self._engine.progress()
            await asyncio.sleep(_PROGRESS_SECONDS)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._ahead.release()
        self._note_failure(task)

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None and self._fatal is None:
            self._fatal = task.exception()

    async def _drain(self, left: int = 0) -> None:
        """Wait for what is in flight until so much is left; after a signal no longer than the grace time."""
        while len(self._running) > left and self._fatal is None:
            if self._stop.received and self._deadline is None:
                self._deadline = time.monotonic() + self._settings.grace_seconds
                self._engine.stop_waiting()
            if self._deadline is not None and time.monotonic() >= self._deadline:
                return
            await asyncio.wait(self._running, timeout=_STOP_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)

    async def _do(self, item: Item, number: int) -> None:
        """One sample from file to record. Whatever goes wrong with the sample becomes its error record.

        That a record cannot be written as JSON is such a thing too; that the disk does not take it is not.
        """
        took = _Took()
        kind = None
        try:
            record = identity(item.sample) | await self._done(item, number, took)
            record |= {**self._constant, "attempts": item.past.attempts + took.tries, **took.fields()}
            item.write(record)
        except UserError:  # ends the run: the disk is full, the engine has died
            raise
        except Exception as error:  # noqa: BLE001 the sample boundary: one bad sample costs one record, never the rank
            kind = error.kind if isinstance(error, SampleError) else ErrorKind.UNEXPECTED
            record = self._failure(item, took, kind, error)
            item.write(record)
        self._note(record, kind, retried=item.past.attempts > 0)

    async def _done(self, item: Item, number: int, took: _Took) -> Record:
        """What the record of a sample says of it, beside which sample it is, if it ends well.

        Raises:
            SampleError: it cannot be done.
            UserError: the run cannot go on.
        """
        item.begin()
        if item.sample.problem is not None:
            raise SampleError(item.sample.problem_kind, item.sample.problem)
        loop = asyncio.get_running_loop()
        media = await loop.run_in_executor(self._decoders, self._load, item.sample, took)
        told = {"media_hash": media.content_hash or None, "media_note": media.note}
        took.media = {name: value for name, value in told.items() if value is not None}
        async with self._slots:
            with took.engine_time():
                fields = await self._try(item.sample, media, number, item.past.attempts, took)
        return {**took.media, "status": "ok", **fields}

    def _failure(self, item: Item, took: _Took, kind: ErrorKind, error: Exception) -> Record:
        """The record of a sample that has failed; what no file can hold is left out of it."""
        message = error.message if isinstance(error, SampleError) else f"{type(error).__name__}: {error}"
        tries = item.past.crashes if kind is ErrorKind.ENGINE_CRASH else max(1, took.tries)
        return {
            **{name: value for name, value in identity(item.sample).items() if _can_be_written(value)},
            **took.media,
            "status": "error",
            "error": {"kind": kind.value, "message": message[:2000]},
            **self._constant,
            "attempts": item.past.attempts + tries,
            **took.fields(),
        }

    def _load(self, sample: Sample, took: _Took) -> Media:
        """Decode the media of a sample, in a thread; more than once where what is wrong may pass."""
        took.begin()
        if sample.unseen is not None:
            return unseen_media(sample)
        for pause in _PAUSES_SECONDS:
            try:
                return load_media(sample, self._settings.budget)
            except PassingError:
                if self._over():
                    raise
                time.sleep(pause)
        return load_media(sample, self._settings.budget)

    async def _try(self, sample: Sample, media: Media, number: int, before: int, took: _Took) -> Record:
        """Run the stage on a sample, once more where an answer was empty, looped, refused or did not fit."""
        while True:
            took.tries += 1
            generate = self._generate_for(sample, media, number, before + took.tries, took.usage)
            try:
                return await self._run_sample(sample, media, generate)
            except SampleError as error:
                if not error.kind.is_worth_another_try or took.tries == _TRIES:
                    raise

    def _generate_for(self, sample: Sample, media: Media, number: int, attempt: int, usage: Usage) -> Generate:
        """The `generate` that an agent is given: bound to one sample, its media and its place in the queue."""

        async def generate(agent: Agent, instruction: str) -> Completion:
            sampling = agent.sampling
            seed = self._settings.seeds.get(agent.model, self._settings.seed)
            if seed is not None:
                identity_of_answer = f"{seed}/{sample.sample_id}/{agent.name}/{attempt}"
                sampling = replace(sampling, seed=_seed(identity_of_answer))
            request = Request(
                request_id=f"{sample.sample_id}/{agent.name}/{number}.{attempt}",
                instruction=instruction,
                media=media if agent.sees_media else None,
                sampling=sampling,
                constraint=agent.constraint,
                priority=number,
                model=agent.model,
            )
            self._heartbeat.requests += 1
            try:
                completion = await self._engine.generate(request)
            finally:
                self._heartbeat.requests -= 1
            for_claims = agent.role == "claims"
            usage.count(completion, for_claims)
            self.statistics.count_answer(agent.model, completion, for_claims)
            return completion

        return generate

    def _note(self, record: Record, kind: ErrorKind | None, retried: bool) -> None:
        """Count a record. What failed in an earlier run or pass says nothing of this one if it fails again.

        Nor does a row that was known to be of no use before: no sample is opened for it.

        Raises:
            TooManyErrors: too many samples have failed of late.
        """
        self.statistics.note(record)
        self._heartbeat.records += 1
        self._heartbeat.finished += kind is None
        self._heartbeat.poisoned += kind is ErrorKind.ENGINE_CRASH
        self._bar.set_postfix(errors=self.statistics.failed, refresh=False)
        self._bar.update()
        if not retried and (kind is None or not kind.is_known_beforehand):
            self._error_rate.note(kind, "" if kind is None else record["error"]["message"])


def _can_be_written(value: object) -> bool:
    try:
        to_json(value)
    except NotJson:
        return False
    return True


def _seed(text: str) -> int:
    """A 31-bit number that depends on nothing but `text`."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) & 0x7FFFFFFF
