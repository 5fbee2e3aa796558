"""What a stage is, and how one is run from the command line."""

import asyncio
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

from tqdm import tqdm

from MetaCaptioner.agents.prompts import Part, Prompts
from MetaCaptioner.agents.roles import writer
from MetaCaptioner.agents.workflow import Agent
from MetaCaptioner.engine.base import Engine
from MetaCaptioner.engine.options import EngineOptions
from MetaCaptioner.engine.registry import open_engine
from MetaCaptioner.errors import BadArguments, EngineDead, StoppedEarly, UserError
from MetaCaptioner.metrics.in_words import describe
from MetaCaptioner.metrics.run_configuration import keep_configuration
from MetaCaptioner.metrics.run_log import RunLog, engine_log
from MetaCaptioner.metrics.usage import Run, RunAccount
from MetaCaptioner.planning.leases import Leases
from MetaCaptioner.planning.plan_file import PlanRow, read_plan, without_overlaps
from MetaCaptioner.planning.plan_of_folder import ThisPlan
from MetaCaptioner.planning.provenance import Expected, Provenance
from MetaCaptioner.planning.row_media import Annotations, PlannedMedia
from MetaCaptioner.records.published_counts import CountsPublisher
from MetaCaptioner.records.reader import result_files
from MetaCaptioner.runner.in_flight import samples_that_fit, unlike_planned
from MetaCaptioner.runner.loop import LoopSettings, RankLoop, RunSample
from MetaCaptioner.runner.models import AskedModel, AskedModels, engine_of, loading, places_of, usage_of
from MetaCaptioner.runner.options import StageOptions
from MetaCaptioner.runtime import rank as rank_variables
from MetaCaptioner.runtime import signals
from MetaCaptioner.runtime.gpus import claim_gpus, device_name
from MetaCaptioner.runtime.heartbeat import Heartbeat, inherited_heartbeat
from MetaCaptioner.runtime.rank import Rank, assigned_ranks
from MetaCaptioner.runtime.signals import StopSignal
from MetaCaptioner.utils.cli import as_typed, complain, note, say
from MetaCaptioner.utils.next_command import tell_next
from MetaCaptioner.utils.options import as_flags
from MetaCaptioner.utils.options_sources import READ_NO_FILE, read
from MetaCaptioner.worklist.base import Item, Work, open_results
from MetaCaptioner.worklist.plan_rows import PlanWork, failures_left_out, left_by_earlier_plans, planned, redo_left

# The engine's processes are spawned, and so import this module before they do anything else.
signals.begin_helper()

_BAR_FORMAT = "{desc}: {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


Given = TypeVar("Given", bound=StageOptions)
"""The options of one stage."""


@dataclass(frozen=True)
class Stage(Generic[Given]):
    """A workflow run over samples: its name, what it does for a sample, and where its samples come from.

    `asks` are the parts of the prompts that it asks with, once `adapt` has made them its own. `options` are those of
    its command line, and what `open_work` is given, which is also told what the results that it opens should be like.
    `conclude` makes the lines to say at its end, `before` and `then` the stages that go before it and follow it in the
    same run; they have the same options. `about` is what --help says. `leads_to` tells where the results are, and the
    commands of which one is to follow; `routes` whether what has no domain is routed.
    """

    name: str
    asks: tuple[Part, ...]
    run_sample: Callable[[Prompts], RunSample]
    options: type[Given]
    open_work: Callable[[Expected, Given, Rank, Prompts, ExitStack], Work]
    adapt: Callable[[Prompts, StageOptions], Prompts] = lambda prompts, given: prompts
    conclude: Callable[[Path, Rank, Given], Sequence[str]] = lambda folder, rank, given: ()
    before: Callable[[Given], "Sequence[Stage[Given]]"] = lambda given: ()
    then: Callable[[Given], "Sequence[Stage[Given]]"] = lambda given: ()
    about: str = ""
    leads_to: Callable[[Given], tuple[Path, Sequence[str]]] | None = None
    routes: Callable[[StageOptions], bool] = lambda given: True

    def asked(self, options: StageOptions, prompts: Prompts) -> list[Agent]:
        """Those who are asked, with `prompts` of settled models; no router where nobody looks."""
        mine = self.adapt(prompts, options)
        agents = mine.asked([part for part in self.asks if part != "router"])
        is_routed = "router" in self.asks and self.routes(options)
        is_routed = is_routed and ("agents" not in self.asks or any(agent.sees_media for agent in agents))
        return [*mine.asked(["router"] * is_routed), *agents]

    def expects(self, options: StageOptions, prompts: Prompts) -> Expected:
        """What its records should be like."""
        asked, agents = self.adapt(prompts, options), self.asked(options, prompts)
        names = {name: model.made_by for name, model in AskedModels(options, agents).by_name.items()}
        model = options.engine_options().made_by if "" in names else writer(agents, names)
        several = {name: made_by for name, made_by in names.items() if name}
        made = Provenance(self.name, model, asked.digest(self.asks), asked.digest(), several)
        return Expected(made, options.others)


def open_plan_work(
    expected: Expected,
    followed: Path,
    folder: Path,
    options: StageOptions,
    rank: Rank,
    prompts: Prompts,
    stack: ExitStack,
    unlooked: Collection[str] = (),
) -> Work:
    """The rows of a plan that fall to this process of a stage, and what it may take over from others.

    Results go to `folder`. Of the domains `unlooked` nobody looks at the media. Leases that were taken are honoured,
    even where the user wants no more of them.
    """
    rows, problems = read_plan(followed)
    rows = without_overlaps(rows)
    plan = ThisPlan(followed, rows, options.adopt_plan)
    plan.check(folder)  # before anything is taken out of it
    mine = assigned_ranks(rank, [row.assign_rank for row in rows])
    own = [row for row in rows if row.assign_rank in mine]
    leases = Leases(folder, rows)
    held = [*own, *(row for number in mine for chunk in leases.taken_over(number) for row in chunk.rows)]
    annotations = Annotations()
    retried = planned(held, annotations) if options.retry_errors else None
    left = left_by_earlier_plans(folder, rows, mine)
    if options.retry_errors:
        _tell_of_failures_left_out(folder, rows, [*mine, *left])
    left = left if options.others == "redo" else []
    paths = [path for number in [*mine, *left] for path, _ in result_files(folder, number)]
    expected = replace(expected, rows=PlannedMedia(rows, annotations, paths), plan=plan)
    redo_left(folder, mine, left, expected, retried, rank.single_launch)
    files = {number: open_results(stack, folder, rank, number, expected, retried) for number in mine}
    # A run of some samples only is a trial: what it leaves is not for the others to take over.
    takes_over = bool(files and options.takeover_chunk) and options.max_samples is None
    if takes_over:
        leases.agree_on(options.takeover_chunk)
        if not leases.size:
            note(f"{folder}: the file system has no symbolic links: each rank keeps to the plan")
    anywhere = options.allow_outside_root
    return PlanWork(own, prompts.domains, files, folder, problems, leases, takes_over, annotations, anywhere, unlooked)


def _tell_of_failures_left_out(folder: Path, rows: Sequence[PlanRow], ranks: Iterable[int]) -> None:
    """Say so where failures are not tried again because the plan was made with results that have their records."""
    paths = [path for number in ranks for path, _ in result_files(folder, number)]
    if count := failures_left_out(rows, paths):
        note(
            f"{folder}: {count} failed samples are of rows that this plan leaves out, as it counts them as done: "
            f"they are not tried again; plan with --results {as_typed(folder)} --retry-errors for that"
        )


def said_to(stage: Stage[Given], arguments: Sequence[str] | None = None) -> list[str]:
    """What was said to a stage, by whatever source, as flags that nothing else adds to.

    Raises:
        BadArguments: an option cannot be.
    """
    return [*as_flags(read(stage.options, arguments, stage.about)), READ_NO_FILE]


def run_stage(stage: Stage[Given], arguments: Sequence[str] | None = None) -> int:
    """Run this process's rank of a stage and of those that go with it; the exit status as DESIGN has it."""
    options = read(stage.options, arguments, stage.about)
    rank = replace(rank_variables.who_am_i(os.environ), single_launch=options.single_launch)
    stages = (*stage.before(options), stage, *stage.then(options))
    heartbeat = inherited_heartbeat(os.environ)
    heartbeat.stall_seconds, heartbeat.max_deaths = options.stall_seconds, options.max_deaths
    try:
        status = asyncio.run(_RankRun(options, rank, heartbeat).run(stages))
        if status == 0:
            _tell_what_follows(stage, options, rank)
        return status
    except BadArguments:
        raise
    except UserError as error:
        tell = note if isinstance(error, StoppedEarly | EngineDead) else complain
        tell(f"rank {rank.rank}: {error}")
        return error.exit_status


def _tell_what_follows(stage: Stage[Given], options: Given, rank: Rank) -> None:
    """Say where the results are and what to do next, once a node; other ranks may be at work for a while yet."""
    if stage.leads_to is None or not (rank.local_rank == 0 or (rank.local_rank is None and rank.rank == 0)):
        return
    folder, typed = stage.leads_to(options)
    when = ", when all ranks are done" if rank.world_size > 1 else ""
    begins = chain([f"rank {rank.rank}: its results are in {folder}; next{when}"], repeat("or"))
    for begin, one in zip(begins, typed, strict=False):
        tell_next(one, begin)


class _RankRun(Generic[Given]):
    """One rank's run of a stage and of those that follow it, with one engine for all, loaded when it is needed."""

    def __init__(self, options: Given, rank: Rank, heartbeat: Heartbeat) -> None:
        self._options = options
        self._rank = rank
        self._heartbeat = heartbeat
        self._stop = StopSignal()
        self._gpus: list[str] | None = None
        self._engine: Engine | None = None
        self._opened = 0

    async def run(self, stages: Sequence[Stage[Given]]) -> int:
        """Returns the exit status.

        Raises:
            UserError: the run cannot be done, or was stopped.
        """
        self._stop.install()
        prompts = self._options.prompts()
        self._models = models_of(stages, self._options, prompts)
        self._models.check_served()
        try:
            problems = [await self._run_stage(stage, number, prompts) for number, stage in enumerate(stages)]
        finally:
            if self._engine is not None:
                self._engine.close()
        return 1 if any(problems) else 0

    async def _run_stage(self, stage: Stage[Given], number: int, prompts: Prompts) -> list[str]:
        """Do what is pending of one stage; returns what cannot be worked on."""
        heartbeat, say = self._heartbeat, self._say
        self._rank = replace(self._rank, restarts=heartbeat.deaths if heartbeat.begun > number else 0)
        with ExitStack() as stack:
            expected, asked = stage.expects(self._options, prompts), stage.adapt(prompts, self._options)
            work = stage.open_work(expected, self._options, self._rank, prompts, stack)
            heartbeat.begin_stage(number)
            for problem in work.problems:
                complain(f"rank {self._rank.rank}: {problem}")
            total, pending = work.total(), work.pending()
            say(f"{stage.name}: {total - pending} of {total} samples are done, {pending} to do")
            if self._options.max_samples is not None:  # a bound for each stage of this run, whatever workers it takes
                pending = min(
                    pending, rank_variables.share(self._options.max_samples, self._rank) - heartbeat.records_of(number)
                )
            if pending > 0 or work.help_wanted():
                run = await self._work_through(stage, work, pending, asked, expected.made)
                say(describe(run))
                if work.taken_over:
                    say(f"took over {work.taken_over} samples of slower ranks")
                if run.state == "stopped":
                    raise StoppedEarly(f"stopped by {self._stop.received}; run the same command again to go on")
            for line in stage.conclude(work.folder, self._rank, self._options):
                say(line)
        return work.problems

    def _say(self, message: str) -> None:
        say(f"rank {self._rank.rank}: {message}")

    def _tell_if_unlike_planned(self, engine: Engine, settings: LoopSettings) -> None:
        is_first_of_many = self._rank.rank == 0 and self._rank.world_size > 1
        if is_first_of_many and (rough := unlike_planned(engine, settings.budget)):
            note(rough)

    async def _work_through(
        self, stage: Stage[Given], work: Work, pending: int, prompts: Prompts, made: Provenance
    ) -> Run:
        """Load the engine, if it is not, and run the loop over what is pending; the account is kept in the run log."""
        begun = _begun(made, self._rank, self._claimed_gpus(), self._options, self._models)
        me = (work.folder, self._rank.rank, self._rank.node)
        results = [files.results for files in work.files.values()]
        counts = CountsPublisher(
            *me,
            lambda: chain.from_iterable(one.files() for one in results),
            lambda: chain.from_iterable(one.written() for one in results),
        )
        opened = self._opened
        with RunAccount(RunLog(*me), begun, counts) as account:
            engine = self._loaded_engine(work.folder, stage.asked(self._options, prompts))
            config = keep_configuration(work.folder, self._options, engine.arguments)
            settings = loop_settings(engine, self._options, prompts, self._rank.ranks_on_node or 1)
            seconds = f"loaded in {account.run().loading_seconds:.0f} s"
            is_new = self._opened != opened
            loaded = seconds if is_new else "goes on with what is loaded"
            self._say(f"{loaded}; up to {settings.in_flight} samples in flight")
            if engine.chosen_for_speed:
                self._say(f"chosen for this GPU and model: {' '.join(engine.chosen_for_speed)}")
            if is_new:
                self._tell_if_unlike_planned(engine, settings)
            self._stop.answer = (
                f"rank {self._rank.rank}: {{signal}}: what is in flight is finished, for up to "
                f"{settings.grace_seconds:g} s; Ctrl-C then ends it at once"
            )
            self._stop.interruptible = False
            with _bar(stage.name, self._rank, pending, self._options.quiet) as bar:
                run_sample = stage.run_sample(prompts)
                loop = RankLoop(run_sample, engine, settings, self._stop, made.fields(), bar, self._heartbeat)
                account.begin_work(loop.statistics, config)
                if self._options.max_samples is None:
                    await loop.run(work.items(), lambda: _added(work.take_over(), bar))
                else:
                    await loop.run(islice(work.items(), pending))
        return account.run()

    def _claimed_gpus(self) -> list[str]:
        if self._gpus is None:
            here = self._models.in_process
            self._gpus = claim_gpus(self._rank, here.options.tensor_parallel_size, os.environ) if here else []
        return self._gpus

    def _loaded_engine(self, folder: Path, agents: Sequence[Agent]) -> Engine:
        """The engine that answers these agents, of whichever models they ask."""

        def opened(model: AskedModel) -> Engine:
            gpus, wanted = self._claimed_gpus(), model.engine_options(self._options.seed)
            self._opened += 1
            self._say(loading(wanted, gpus))
            return _open_engine(wanted, self._rank, bool(gpus), log, self._say)

        log = engine_log(folder, self._rank.rank, self._rank.node)
        self._engine = engine_of(self._models, agents, opened, self._engine)
        return self._engine


def models_of(stages: Sequence[Stage[Given]], options: Given, prompts: Prompts) -> AskedModels:
    """The models that stages of one run ask, with `prompts` of settled models.

    Raises:
        BadArguments: they cannot be had together.
    """
    return AskedModels(options, [agent for stage in stages for agent in stage.asked(options, prompts)])


def _begun(made: Provenance, rank: Rank, gpus: Sequence[str], options: StageOptions, models: AskedModels) -> Run:
    """The account of this run before there is anything to count."""
    return Run(
        stage=made.stage,
        rank=rank.rank,
        node=rank.node,
        world_size=rank.world_size,
        model=made.model,
        prompts=made.prompts,
        gpus=len(gpus),
        device=device_name(gpus),
        price_in=None if models.are_several else options.price_in,
        price_out=None if models.are_several else options.price_out,
        models=usage_of(models, len(gpus), rank.ranks_on_node or 1),
    )


def loop_settings(engine: Engine, options: StageOptions, prompts: Prompts, ranks_here: int = 1) -> LoopSettings:
    """The rank loop's settings. Unless the user says so, as many samples are in flight as the engines' caches hold."""
    budget = options.budget(ranks_here)
    if engine.pixel_multiple is not None:
        budget = replace(budget, pixel_multiple=engine.pixel_multiple)
    return LoopSettings(
        budget=budget,
        in_flight=options.in_flight or samples_that_fit(engine, prompts, budget, places_of(options)),
        decode_threads=options.decode_threads,
        grace_seconds=options.grace_seconds,
        max_error_rate=options.max_error_rate,
        seed=options.seed,
        seeds={name: model.seed for name, model in options.models.items() if model.seed is not None},
    )


def _open_engine(options: EngineOptions, rank: Rank, on_gpu: bool, log: Path, say: Callable[[str], None]) -> Engine:
    """The engine; what it prints is kept in `log`.

    Where an earlier worker has loaded it, that it fails now may pass, such as memory not yet given back.

    Raises:
        UserError: it cannot be loaded, and another worker would not load it either.
        EngineDead: it cannot be loaded now.
    """
    try:
        return open_engine(options, on_gpu, log, say)
    except UserError as error:
        if rank.restarts and error.exit_status == UserError.exit_status:
            raise EngineDead(str(error)) from error
        raise


def _added(taken: Iterator[Item] | None, bar: "tqdm[NoReturn]") -> Iterator[Item] | None:
    """The items, if there are any, each on top of the bar's total."""

    def add(item: Item) -> Item:
        bar.total = (bar.total or 0) + 1
        return item

    return None if taken is None else map(add, taken)


def _bar(stage_name: str, rank: Rank, total: int, quiet: bool) -> "tqdm[NoReturn]":
    """One bar a rank; in a log file a line every half minute. If `quiet`, none is seen."""
    return tqdm(
        disable=quiet,
        total=total,
        desc=f"rank {rank.rank} {stage_name}",
        unit="sample",
        position=rank.local_rank or 0 if sys.stderr.isatty() else None,
        mininterval=0.5 if sys.stderr.isatty() else 30.0,
        delay=0 if sys.stderr.isatty() else 1,
        dynamic_ncols=True,
        bar_format=_BAR_FORMAT,
    )
