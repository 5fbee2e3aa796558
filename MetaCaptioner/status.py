"""How far is the run: one screen over all ranks and datasets, live with --watch.

python -m MetaCaptioner.status --plan data/split_plan.jsonl --output-dir Output/Caption --watch

It reads the plan, the result files and the run logs, and nothing else; the ranks do not notice it.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.live import Live

from MetaCaptioner.errors import BadArguments
from MetaCaptioner.monitor.progress import Progress, Watcher
from MetaCaptioner.monitor.screen import screen, svg
from MetaCaptioner.monitor.status_formats import as_json, as_prometheus
from MetaCaptioner.utils.atomic_io import atomic_write
from MetaCaptioner.utils.cli import command_line, run_main
from MetaCaptioner.utils.json_text import to_json

_EVERY_SECONDS = 2.0
Show = Callable[[Progress], None]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command_line("How far is the run: one screen over all ranks and datasets. It costs the ranks nothing.")
    parser.add_argument("--plan", type=Path, required=True, help="split_plan.jsonl")
    parser.add_argument("--output-dir", type=Path, required=True, help="where the ranks write their results")
    parser.add_argument(
        "--watch",
        type=float,
        nargs="?",
        const=_EVERY_SECONDS,
        metavar="SECONDS",
        help="look again every so often, every 2 s where none is said, until all is done (default: look once)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object for each look, and no screen")
    parser.add_argument("--prometheus", type=Path, metavar="FILE", help="write a textfile for the node exporter too")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write a picture of the last screen too")
    parser.add_argument("--window", type=float, default=60.0, metavar="SECONDS", help="the rate now is over this time")
    parser.add_argument(
        "--stall-seconds",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="a rank without a new record for so long is without progress",
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
