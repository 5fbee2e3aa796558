"""The process that works for a `Captioner`: it loads the model and runs the rank loop over what is asked for.

    python -m MetaCaptioner.api.worker DESCRIPTOR PARENT

The workflows are those of the stages. Captions that are to be marked go through the loop once more, as samples of the
score stage: so they are tried again, and fail, as they do there.
"""

import asyncio
import faulthandler
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from MetaCaptioner import captionpipeline, inferscore
from MetaCaptioner.agents.captioner import refuse_earlier_texts
from MetaCaptioner.agents.prompts import Prompts
from MetaCaptioner.agents.workflow import Generate
from MetaCaptioner.api.messages import Abandon, Ask, Begun, Done, Failed, Line, Ready, Said, Setup
from MetaCaptioner.api.records import judged
from MetaCaptioner.data.sample import Sample, sample_from_row
from MetaCaptioner.data.taxonomy import ROUTED_TASKS, find_domain
from MetaCaptioner.engine.base import Engine
from MetaCaptioner.engine.registry import open_engine
from MetaCaptioner.errors import EngineDead, ErrorKind, SampleError, UserError
from MetaCaptioner.launch.supervisor import Pulse
from MetaCaptioner.media.loader import Media
from MetaCaptioner.records.journal import Past
from MetaCaptioner.records.record import Record
from MetaCaptioner.runner.loop import RankLoop, RunSample
from MetaCaptioner.runner.models import AskedModel, AskedModels, engine_of
from MetaCaptioner.runner.stage import Stage, loop_settings
from MetaCaptioner.runtime.gpus import claim_gpus
from MetaCaptioner.runtime.heartbeat import Heartbeat
from MetaCaptioner.runtime.rank import who_am_i
from MetaCaptioner.runtime.signals import StopSignal
from MetaCaptioner.utils.cli import note
from MetaCaptioner.utils.log_lines import speak
from MetaCaptioner.worklist.base import is_suspect, refuse_deadly

_DATA_NAME = "inputs"
_LOOK_SECONDS, _POLL_SECONDS, _PULSE_SECONDS, _END_SECONDS = 2.0, 0.2, 1.0, 5.0


@dataclass(frozen=True)
class _Input:
    """One input on its way through the loop, and again with its caption to be marked."""

    desk: "_Desk"
    ask: Ask
    sample: Sample
    caption: Record | None = None

    @property
    def past(self) -> Past:
        return Past(crashes=self.ask.crashes)

    @property
    def suspect(self) -> bool:
        return is_suspect(self.past)

    def begin(self) -> None:
        """Raises SampleError where nobody waits for it any more, or it has killed a process alone."""
        if self.ask.call in self.desk.abandoned:
            raise SampleError(ErrorKind.UNEXPECTED, "nobody waits for it")
        refuse_deadly(self.past)
        self.desk.line.send(Begun(self.ask.key))

    def write(self, record: Record) -> None:
        self.desk.finish(self, record)


@dataclass
class _Desk:
    """Takes in what is asked for, in a thread, and hands out what is done."""

    line: Line
    parent: int
    stop: StopSignal
    score: bool
    prompts: Prompts
    task: str
    kill_all: Callable[[], None]
    is_loaded: bool = False
    abandoned: set[int] = field(default_factory=set)
    _waiting: "queue.SimpleQueue[_Input | None]" = field(default_factory=queue.SimpleQueue)

    def begin(self) -> None:
        threading.Thread(target=self._take_in, name="inputs", daemon=True).start()

    def _take_in(self) -> None:
        """Until the other end is gone; then see to it that this process ends too."""
        with suppress(EOFError, OSError):
            while True:
                while not self.line.waits(_LOOK_SECONDS):
                    if os.getppid() != self.parent:  # and a fork of it keeps the line open
                        raise EOFError
                message = self.line.receive()
                if isinstance(message, Ask):
                    self._waiting.put(_Input(self, message, self._sample(message)))
                elif isinstance(message, Abandon):
                    self.abandoned.add(message.call)
        self.stop.received = "its Captioner's end"
        self._waiting.put(None)
        if self.is_loaded:
            time.sleep(_END_SECONDS)
        self.kill_all()

    def _sample(self, ask: Ask) -> Sample:
        """The sample, as of a dataset whose root is everywhere: the user has named the file."""
        asked = ask.asked
        domains = self.prompts.domains
        row, everywhere = asked.row, Path("/")
        sample = sample_from_row(row, _DATA_NAME, ask.index, everywhere, asked.modality, self.task, domains, True)
        if asked.problem is None:
            return sample
        kind, message = asked.problem
        return replace(sample, problem=f"input {ask.index}: {message}", problem_kind=kind)

    def take(self) -> Iterable[_Input] | None:
        """What waits, soon; None at the end. For the loop, which looks in between whether it can go on."""
        taken: list[_Input | None] = []
        with suppress(queue.Empty):
            taken.append(self._waiting.get(timeout=_POLL_SECONDS))
            while True:
                taken.append(self._waiting.get_nowait())
        return None if None in taken else [one for one in taken if one is not None]

    def finish(self, done: _Input, record: Record) -> None:
        """Have a caption marked, if that is wanted; else it is done."""
        if done.caption is not None:
            record = judged(done.caption, record)
        elif self.score and (captioned := inferscore.to_score(0, record)) is not None:
            sample = replace(captioned, allow_outside_root=True)
            self._waiting.put(replace(done, sample=sample, caption=record))
            return
        self.line.send(Done(done.ask.key, record))


def run_sample(prompts: Prompts) -> RunSample:
    """The caption stage, or the score stage for what has a caption."""
    captions, scores = captionpipeline.run_sample(prompts), inferscore.run_sample(prompts)

    async def run(sample: Sample, media: Media, generate: Generate) -> Record:
        return await (scores if "caption" in sample.fields else captions)(sample, media, generate)

    return run


def _kill_all() -> NoReturn:
    """End this process, whatever it is at, and those that it has started: they are of its session."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


async def work(line: Line, setup: Setup, parent: int, kill_all: Callable[[], None] = _kill_all) -> None:
    """Load the model and caption what is asked for until nobody is at the other end.

    Where it does not end by itself then, or hangs, `kill_all` is called.

    Raises:
        UserError: it cannot be done, or not be gone on with.
    """
    options, stop = setup.options, StopSignal()
    prompts = options.prompts()
    refuse_earlier_texts(prompts, "only a second pass over earlier captions has it")
    desk = _Desk(line, parent, stop, setup.score, prompts, _task(setup.task, prompts), kill_all)
    desk.begin()
    rank = who_am_i(os.environ)
    stages: list[Stage[Any]] = [captionpipeline.STAGE, *([inferscore.STAGE] if setup.score else [])]
    agents = [agent for stage in stages for agent in stage.asked(options, prompts)]
    models = AskedModels(options, agents)
    models.check_served()
    here = models.in_process
    gpus = claim_gpus(rank, here.options.tensor_parallel_size, os.environ) if here else []

    def opened(model: AskedModel) -> Engine:
        return _open_engine(model, setup, bool(gpus), lambda told: line.send(Said(told)))

    engine = engine_of(models, agents, opened, None)
    desk.is_loaded = True
    try:
        await _caption(engine, desk, setup, rank.ranks_on_node or 1)
    finally:
        engine.close()


def _open_engine(model: AskedModel, setup: Setup, on_gpu: bool, say: Callable[[str], None]) -> Engine:
    """The engine of a model; that it cannot be loaded may pass where it has been loaded before."""
    try:
        return open_engine(model.engine_options(setup.options.seed), on_gpu, setup.log, say)
    except UserError as error:
        raise EngineDead(str(error)) if setup.deaths else error from None


async def _caption(engine: Engine, desk: _Desk, setup: Setup, ranks_here: int) -> None:
    """Run the loop; a sample that fails never ends it, and at the end it waits for nothing."""
    settings = loop_settings(engine, setup.options, desk.prompts, ranks_here)
    settings = replace(settings, max_error_rate=1.0, grace_seconds=0.0)
    made = captionpipeline.STAGE.expects(setup.options, desk.prompts).made
    heartbeat = Heartbeat(stall_seconds=setup.options.stall_seconds)
    threading.Thread(target=_end_when_hung, args=(heartbeat, desk.kill_all), name="pulse", daemon=True).start()
    with tqdm(disable=True) as bar:
        loop = RankLoop(run_sample(desk.prompts), engine, settings, desk.stop, made.fields(), bar, heartbeat)
        ahead = 2 * (settings.in_flight + 2 * settings.decode_threads)
        desk.line.send(Ready(ahead, settings.budget.shape(settings.budget.max_pixels)))
        await loop.run((), desk.take)


def _task(named: str | None, prompts: Prompts) -> str:
    """Raises UserError where there is no such domain."""
    if named is None:
        return ""
    try:
        return named if named.strip().casefold() in ROUTED_TASKS else find_domain(named, prompts.domains).name
    except ValueError as error:
        raise UserError(str(error)) from error


def _end_when_hung(heartbeat: Heartbeat, kill_all: Callable[[], None]) -> None:
    """End this process when requests wait and no token comes; another one goes on."""
    pulse = Pulse(heartbeat)
    while not pulse.look():
        time.sleep(_PULSE_SECONDS)
    note(f"no token for {heartbeat.stall_seconds:g} s; what this process is at:")
    faulthandler.dump_traceback(all_threads=True)
    kill_all()


def main() -> None:
    """Work for the Captioner whose process is the parent, at the other end of the socket that came along."""
    descriptor, parent = map(int, sys.argv[1:])
    speak()
    line = Line(socket.socket(fileno=descriptor))
    setup = line.receive()
    assert isinstance(setup, Setup)
    try:
        asyncio.run(work(line, setup, parent))
    except UserError as error:
        with suppress(OSError):
            line.send(Failed(error))


if __name__ == "__main__":
    main()
