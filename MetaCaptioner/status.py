"""How far is the run: one screen over all ranks and datasets, live with --watch.

python -m MetaCaptioner.status --plan data/split_plan.jsonl --output-dir Output/Caption --watch

It reads the plan, the result files and the run logs, and nothing else; the ranks do not notice it.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from rich.console import Console
from rich.live import Live

from MetaCaptioner.monitor.progress import Progress, Watcher
from MetaCaptioner.monitor.screen import screen, svg
from MetaCaptioner.monitor.status_formats import as_json, as_prometheus
from MetaCaptioner.utils.atomic_io import atomic_write
from MetaCaptioner.utils.cli import run_main
from MetaCaptioner.utils.common_options import PlanOption
from MetaCaptioner.utils.json_text import to_json
from MetaCaptioner.utils.options import Flag, option
from MetaCaptioner.utils.options_sources import read

_EVERY_SECONDS = 2.0
_ABOUT = "How far is the run: one screen over all ranks and datasets. It costs the ranks nothing."
Show = Callable[[Progress], None]


class StatusOptions(PlanOption):
    """What is looked at, and how it is shown."""

    command: ClassVar[str] = "status"

    output_dir: Path = option(..., "where the ranks write their results", Flag("FOLDER"))
    watch: float | None = option(
        None,
        "look again every so often, every 2 s where none is said, until all is done (default: look once)",
        Flag("SECONDS", bare=_EVERY_SECONDS),
        ge=0.1,
    )
    as_json: bool = option(False, "one JSON object for each look, and no screen", Flag(name="json"))
    prometheus: Path | None = option(None, "write a textfile for the node exporter too", Flag("FILE"))
    svg: Path | None = option(None, "write a picture of the last screen too", Flag("FILE"))
    window: float = option(60.0, "the rate now is over this time", Flag("SECONDS"), ge=0.1)
    stall_seconds: float = option(
        300.0, "a rank without a new record for so long is without progress", Flag("SECONDS"), ge=0.1
    )


OPTIONS = StatusOptions


def _looks(watcher: Watcher, every: float | None) -> Iterator[Progress]:
    """Look once, or every so many seconds until nothing remains."""
    while True:
        begin = time.monotonic()
        progress = watcher.look()
        yield progress
        if every is None or not progress.all.remaining:
            return
        time.sleep(max(0.0, begin + every - time.monotonic()))


def _shown(options: StatusOptions, console: Console, stack: ExitStack) -> Show:
    """What shows a look: lines of JSON, a live screen on a terminal, or screens one after another."""
    if options.as_json:
        return lambda progress: print(to_json(as_json(progress)).decode(), flush=True)
    if options.watch is None or not console.is_terminal:
        return lambda progress: console.print(screen(progress, options.output_dir, console))
    live = stack.enter_context(Live(console=console, screen=True, auto_refresh=False))
    return lambda progress: live.update(screen(progress, options.output_dir, console), refresh=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Look and show; the exit status is 0 however far the run is."""
    options = read(OPTIONS, arguments, _ABOUT)
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
    if last is not None and options.watch is not None and console.is_terminal and not options.as_json:
        console.print(screen(last, options.output_dir, console))
    if last is not None and options.svg is not None:
        with atomic_write(options.svg, "picture") as file:
            file.write(svg(last, options.output_dir).encode())
    return 0


if __name__ == "__main__":
    run_main(main)
