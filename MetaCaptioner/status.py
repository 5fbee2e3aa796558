"""How far is the run: one screen over all ranks and datasets, live with --watch.

python -m MetaCaptioner.status --plan data/split_plan.jsonl --output-dir Output/Caption --watch

It reads the plan, the result files and the run logs, and nothing else; the ranks do not notice it.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from rich.console import Console
from rich.live import Live

from MetaCaptioner.characters import shown
from MetaCaptioner.errors import NO_MEDIA, BadArguments
from MetaCaptioner.files import atomic_write
from MetaCaptioner.json_text import to_json
from MetaCaptioner.progress import Progress, Watcher
from MetaCaptioner.record import Record
from MetaCaptioner.standing import Count
from MetaCaptioner.status_screen import screen, svg
from MetaCaptioner.terminal import run_main

_EVERY_SECONDS = 2.0
Show = Callable[[Progress], None]


def as_json(progress: Progress) -> Record:
    """All that is known, for scripts; counts are of samples, rates in samples a second."""
    return {
        "time": round(progress.time, 3),
        **_counts(progress.all),
        "rate": _rounded(progress.rate),
        "rate_overall": _rounded(progress.rate_overall),
        "eta_seconds": _rounded(progress.eta_seconds),
        "datasets": {name: _counts(count) for name, count in progress.datasets.items()},
        "ranks": [
            {
                "rank": one.rank,
                "state": one.state,
                **_counts(one.count),
                "rate": _rounded(one.rate),
                "eta_seconds": _rounded(one.eta_seconds),
                "idle_seconds": _rounded(one.idle_seconds),
            }
            for one in progress.ranks
        ],
        "standing_still": [one.rank for one in progress.standing_still()],
        **asdict(progress.oddities),
        "notes": progress.notes,
    }


def _counts(count: Count) -> Record:
    figures = {"total": count.total, "done": count.done, "ok": count.ok, "failed": count.failed}
    return {**figures, "without_media": count.without_media, "remaining": count.remaining, "errors": count.errors}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def as_prometheus(progress: Progress) -> bytes:
    """The same as a textfile for Prometheus' node exporter."""
    registry = CollectorRegistry()

    def gauge(name: str, what: str, *labels: str) -> Gauge:
        return Gauge(f"metacaptioner_{name}", what, labels, registry=registry)

    gauge("status_timestamp_seconds", "When these figures were taken.").set(progress.time)
    if progress.rate is not None:
        gauge("samples_per_second", "Samples that all ranks do a second now.").set(progress.rate)
    if progress.eta_seconds is not None:
        gauge("eta_seconds", "Until the last rank that makes progress is through.").set(progress.eta_seconds)
    samples = gauge("samples", "Samples of a dataset that are to be done.", "dataset")
    ok = gauge("samples_ok", "Samples of a dataset that ended well.", "dataset")
    failed = gauge("samples_failed", "Samples of a dataset that ended in an error.", "dataset", "kind")
    without_media = gauge("samples_without_media", "Rows of a dataset that no stage can use.", "dataset")
    for name, count in ((shown(name), count) for name, count in progress.datasets.items()):
        samples.labels(name).set(count.total)
        ok.labels(name).set(count.ok)
        without_media.labels(name).set(count.without_media)
        for kind, errors in count.errors.items():
            if kind != NO_MEDIA:
                failed.labels(name, shown(kind)).set(errors)
    assigned = gauge("rank_samples", "Samples that the plan gives to a rank.", "rank")
    done = gauge("rank_samples_done", "Samples of a rank that have a record, failed ones included.", "rank")
    rate = gauge("rank_samples_per_second", "Samples that a rank does a second now.", "rank")
    idle = gauge("rank_idle_seconds", "Seconds since the last sign of life of a rank that is not done.", "rank")
    state = gauge("rank_state", "1 for the state that a rank is in.", "rank", "state")
    for one in progress.ranks:
        assigned.labels(one.rank).set(one.count.total)
        done.labels(one.rank).set(one.count.done)
        state.labels(one.rank, one.state).set(1)
        if one.rate is not None:
            rate.labels(one.rank).set(one.rate)
        if one.idle_seconds is not None and one.count.remaining:
            idle.labels(one.rank).set(one.idle_seconds)
    return generate_latest(registry)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m MetaCaptioner.status",
        description="How far is the run: one screen over all ranks and datasets. It costs the ranks nothing.",
    )
    parser.add_argument("--plan", type=Path, required=True, help="split_plan.jsonl")
    parser.add_argument("--output-dir", type=Path, required=True, help="where the ranks write their results")
    parser.add_argument(
        "--watch",
        type=float,
        nargs="?",
        const=_EVERY_SECONDS,
        metavar="SECONDS",
        help="look again every so often (default 2 s), until all is done",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object for each look, and no screen")
    parser.add_argument("--prometheus", type=Path, metavar="FILE", help="write a textfile for the node exporter too")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write a picture of the last screen too")
    parser.add_argument(
        "--window", type=float, default=60.0, metavar="SECONDS", help="the rate now is over this time (default 60 s)"
    )
    parser.add_argument(
        "--stall-seconds",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="a rank without a new record for so long is without progress (default 300 s)",
    )
    options = parser.parse_args(arguments)
    for name in ("watch", "window", "stall_seconds"):
        value = getattr(options, name)
        if value is not None and not 0.1 <= value < float("inf"):
            raise BadArguments(f"--{name.replace('_', '-')} must be at least 0.1 seconds")
    return options


def _looks(watcher: Watcher, every: float | None) -> Iterator[Progress]:
    """Look once, or every so many seconds until nothing remains."""
    while True:
        begin = time.monotonic()
        progress = watcher.look()
        yield progress
        if every is None or not progress.all.remaining:
            return
        time.sleep(max(0.0, begin + every - time.monotonic()))


def _shown(options: argparse.Namespace, console: Console, stack: ExitStack) -> Show:
    """What shows a look: lines of JSON, a live screen on a terminal, or screens one after another."""
    if options.json:
        return lambda progress: print(to_json(as_json(progress)).decode(), flush=True)
    if options.watch is None or not console.is_terminal:
        return lambda progress: console.print(screen(progress, options.output_dir, console))
    live = stack.enter_context(Live(console=console, screen=True, auto_refresh=False))
    return lambda progress: live.update(screen(progress, options.output_dir, console), refresh=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Look and show; the exit status is 0 however far the run is."""
    options = _parse(arguments)
    watcher = Watcher(options.plan, options.output_dir, options.window, options.stall_seconds)
    console = Console(file=sys.stdout)
    last: Progress | None = None
    try:
        with ExitStack() as stack:
            show = _shown(options, console, stack)
            for progress in _looks(watcher, options.watch):
                last = progress
                show(progress)
                if options.prometheus is not None:
                    with atomic_write(options.prometheus, "textfile", sync=False) as file:
                        file.write(as_prometheus(progress))
    except KeyboardInterrupt:
        if options.watch is None:
            raise
    if last is not None and options.watch is not None and console.is_terminal and not options.json:
        console.print(screen(last, options.output_dir, console))
    if last is not None and options.svg is not None:
        with atomic_write(options.svg, "picture") as file:
            file.write(svg(last, options.output_dir).encode())
    return 0


if __name__ == "__main__":
    run_main(main)
