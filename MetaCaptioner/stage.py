"""What a stage is, and how one is run from the command line."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from MetaCaptioner import cost, ranks
from MetaCaptioner.accounting import Run, RunAccount, describe
from MetaCaptioner.claims import Claims
from MetaCaptioner.engine import Engine
from MetaCaptioner.engine.registry import open_engine
from MetaCaptioner.errors import BadArguments, EngineDead, StoppedEarly, UserError
from MetaCaptioner.options import StageOptions, add_arguments, from_arguments
from MetaCaptioner.plan import read_plan
from MetaCaptioner.Prompt import Prompts, limit_output, load_prompts
from MetaCaptioner.rank_loop import LoopSettings, RankLoop, RunSample
from MetaCaptioner.ranks import Rank, StopSignal, assigned_ranks
from MetaCaptioner.results import Record, is_error, result_files
from MetaCaptioner.run_log import RunLog
from MetaCaptioner.terminal import say
from MetaCaptioner.vitals import Vitals, inherited_vitals
from MetaCaptioner.work import (
    CaptionWork,
    Item,
    PlanWork,
    Work,
    caption_shares,
    open_results,
    planned,
    scored_otherwise,
    without_overlaps,
)

# The engine's processes are spawned, and so import this module before they do anything else.
ranks.begin_helper()

_UNLIMITED_IN_FLIGHT, _MOST_IN_FLIGHT = 64, 256
_BAR_FORMAT = "{desc}: {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


@dataclass(frozen=True)
class Stage:
    """A workflow run over samples: its name, what it does for a sample, and where its samples come from."""

    name: str
    run_sample: Callable[[Prompts], RunSample]
    add_work_arguments: Callable[[argparse.ArgumentParser], None]
    open_work: Callable[[argparse.Namespace, StageOptions, Rank, Prompts, ExitStack], Work]


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """The work flags of the stages that follow a plan."""
    parser.add_argument("--plan", type=Path, required=True, help="split_plan.jsonl")
    parser.add_argument("--output-dir", type=Path, required=True, help="where the result files go")


def open_plan_work(
    arguments: argparse.Namespace, options: StageOptions, rank: Rank, prompts: Prompts, stack: ExitStack
) -> Work:
    """The rows of the plan that fall to this process, and what it may take over from others.

    Claims that were made are honoured, even where the user wants no more of them.
    """
    rows, problems = read_plan(arguments.plan)
    rows = without_overlaps(rows)
    mine = assigned_ranks(rank, [row.assign_rank for row in rows])
    own = [row for row in rows if row.assign_rank in mine]
    claims = Claims(arguments.output_dir, rows)
    held = [*own, *(row for number in mine for chunk in claims.taken_over(number) for row in chunk.rows)]
    retried = planned(held) if options.retry_errors else None
    files = {number: open_results(stack, arguments.output_dir, rank, number, retried) for number in mine}
    # A run of some samples only is a trial: what it leaves is not for the others to take over.
    takes_over = bool(files and options.takeover_chunk) and options.max_samples is None
    if takes_over:
        claims.agree_on(options.takeover_chunk)
        if not claims.size:
            say(f"note: {arguments.output_dir}: the file system has no symbolic links: each rank keeps to the plan")
    return PlanWork(own, prompts.domains, files, arguments.output_dir, problems, claims, takes_over)


def add_caption_arguments(parser: argparse.ArgumentParser) -> None:
    """The work flags of the stages that follow the captions of earlier results."""
    parser.add_argument("--data-folder", type=Path, required=True, help="folder of caption results")
    parser.add_argument("--output-dir", type=Path, help="where the scores go (default: DATA_FOLDER/score)")


def open_caption_work(
    arguments: argparse.Namespace, options: StageOptions, rank: Rank, prompts: Prompts, stack: ExitStack
) -> Work:
    """The captions that fall to this process."""
    names = [name for _, name in result_files(arguments.data_folder)]
    if not names:
        raise UserError(f"data folder {arguments.data_folder}: holds no caption results (Rank*_node*_*.jsonl)")
    output = arguments.output_dir or arguments.data_folder / "score"
    shares = caption_shares(rank, [name.rank for name in names])
    retried = is_error if options.retry_errors else None
    files = {
        number: open_results(
            stack, output, rank, number, retried, share, outdated=scored_otherwise(arguments.data_folder, number)
        )
        for number, share in shares.items()
    }
    return CaptionWork(arguments.data_folder, shares, files, output, prompts.domains)


def run_stage(stage: Stage, arguments: Sequence[str] | None = None) -> int:
    """Run this process's rank of a stage; the exit status as DESIGN's command lines have it."""
    parser = argparse.ArgumentParser(
        prog=f"python -m MetaCaptioner.{stage.name}", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    stage.add_work_arguments(parser)
    add_arguments(parser)
    parsed = parser.parse_args(arguments)
    options = from_arguments(parsed)
    vitals = inherited_vitals(os.environ)
    vitals.stall_seconds, vitals.max_deaths = options.stall_seconds, options.max_deaths
    rank = replace(ranks.who_am_i(os.environ), restarts=vitals.deaths if vitals.begun else 0)
    try:
        return _run_rank(stage, parsed, options, rank, vitals)
    except BadArguments:
        raise
    except UserError as error:
        expected = isinstance(error, StoppedEarly | EngineDead)
        say(f"rank {rank.rank}: {error}" if expected else f"rank {rank.rank}: error: {error}")
        return error.exit_status


def _run_rank(stage: Stage, parsed: argparse.Namespace, options: StageOptions, rank: Rank, vitals: Vitals) -> int:
    stop = StopSignal()
    stop.install()
    prompts = load_prompts(options.prompts_dir)
    if options.max_output_tokens is not None:
        prompts = limit_output(prompts, options.max_output_tokens)
    with ExitStack() as stack:
        work = stage.open_work(parsed, options, rank, prompts, stack)
        vitals.begun = 1
        for problem in work.problems:
            say(f"rank {rank.rank}: error: {problem}")
        total, pending = work.total(), work.pending()
        say(f"rank {rank.rank}: {stage.name}: {total - pending} of {total} samples are done, {pending} to do")
        if options.max_samples is not None:  # a bound for this run, however many workers it takes
            pending = min(pending, ranks.share(options.max_samples, rank) - vitals.records)
        if pending > 0 or work.help_wanted():
            run = _work_through(stage, work, pending, options, rank, prompts, stop, vitals)
            say(f"rank {rank.rank}: {describe(run)}")
            if work.taken_over:
                say(f"rank {rank.rank}: took over {work.taken_over} samples of slower ranks")
            if run.state == "stopped":
                raise StoppedEarly(f"stopped by {stop.received}; run the same command again to go on")
    return 1 if work.problems else 0


def _work_through(
    stage: Stage,
    work: Work,
    pending: int,
    options: StageOptions,
    rank: Rank,
    prompts: Prompts,
    stop: StopSignal,
    vitals: Vitals,
) -> Run:
    """Load the engine and run the loop over what is pending; the account of it is kept in the run log."""
    model_runs = options.engine.kind == "vllm"
    gpus = ranks.claim_gpus(rank, options.engine.tensor_parallel_size, os.environ) if model_runs else []
    what = options.engine.model if model_runs else f"the {options.engine.kind} engine"
    say(f"rank {rank.rank}: loading {what} on {'GPU ' + ','.join(gpus) if gpus else 'the CPU'}")
    begun = _begun(stage, options, rank, prompts, gpus)

    async def run(account: RunAccount) -> None:
        engine = _open_engine(options, rank, on_gpu=bool(gpus))
        settings = loop_settings(engine, options, prompts)
        loaded = f"loaded in {account.run().loading_seconds:.0f} s"
        say(f"rank {rank.rank}: {loaded}; up to {settings.in_flight} samples in flight")
        stop.interruptible = False
        try:
            items = work.items() if options.max_samples is None else islice(work.items(), pending)
            await loop_over(items, engine, settings, account)
        finally:
            engine.close()

    async def loop_over(items: Iterator[Item], engine: Engine, settings: LoopSettings, account: RunAccount) -> None:
        constant: Record = {"model": engine.model, "prompts": prompts.digest()}
        with _bar(stage, rank, pending) as bar:
            loop = RankLoop(stage.run_sample(prompts), engine, settings, stop, constant, bar, vitals)
            account.begin_work(engine.model, loop.tally)
            await loop.run(_counted(items, bar))

    with RunAccount(RunLog(work.folder, rank.rank, rank.node), begun) as account:
        asyncio.run(run(account))
    return account.run()


def _begun(stage: Stage, options: StageOptions, rank: Rank, prompts: Prompts, gpus: Sequence[str]) -> Run:
    """The account of this run before there is anything to count."""
    return Run(
        stage=stage.name,
        rank=rank.rank,
        node=rank.node,
        world_size=rank.world_size,
        model=options.engine.model,
        prompts=prompts.digest(),
        gpus=len(gpus),
        device=ranks.device_name(gpus),
    )


def loop_settings(engine: Engine, options: StageOptions, prompts: Prompts) -> LoopSettings:
    """The rank loop's settings. Unless the user says so, as many samples are in flight as the engine's cache holds."""
    budget = replace(options.budget, pixel_multiple=engine.pixel_multiple)
    fitting = _UNLIMITED_IN_FLIGHT
    if engine.cache_tokens is not None:
        fitting = min(max(int(engine.cache_tokens / cost.resident_tokens(prompts, budget)), 1), _MOST_IN_FLIGHT)
    return LoopSettings(
        budget=budget,
        in_flight=options.in_flight or fitting,
        decode_threads=options.decode_threads,
        grace_seconds=options.grace_seconds,
        max_error_rate=options.max_error_rate,
        seed=options.engine.seed,
    )


def _open_engine(options: StageOptions, rank: Rank, on_gpu: bool) -> Engine:
    """The engine. Where an earlier worker has loaded it, that it fails now may pass, such as memory not yet given back.

    Raises:
        UserError: it cannot be loaded, and another worker would not load it either.
        EngineDead: it cannot be loaded now.
    """
    try:
        return open_engine(options.engine, on_gpu)
    except UserError as error:
        if rank.restarts and error.exit_status == UserError.exit_status:
            raise EngineDead(str(error)) from error
        raise


def _counted(items: Iterator[Item], bar: "tqdm[NoReturn]") -> Iterator[Item]:
    """The items; what is taken over comes on top of the bar's total."""
    for number, item in enumerate(items, start=1):
        bar.total = max(bar.total or 0, number)
        yield item


def _bar(stage: Stage, rank: Rank, total: int) -> "tqdm[NoReturn]":
    """One bar a rank; in a log file a line every half minute."""
    return tqdm(
        total=total,
        desc=f"rank {rank.rank} {stage.name}",
        unit="sample",
        position=rank.local_rank if sys.stderr.isatty() else None,
        mininterval=0.5 if sys.stderr.isatty() else 30.0,
        delay=0 if sys.stderr.isatty() else 1,
        dynamic_ncols=True,
        bar_format=_BAR_FORMAT,
    )
