"""The screen of `status`."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from io import StringIO
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from MetaCaptioner.errors import ErrorKind
from MetaCaptioner.monitor.coverage import Count
from MetaCaptioner.monitor.progress import STANDING_STILL, Progress, RankProgress
from MetaCaptioner.utils.text import shown

_PICTURE_WIDTH, _PICTURE_HEIGHT = 110, 34
_FIXED_LINES = 13
_TWO_COLUMNS_FROM = 96
_STYLES = {"done": "green", "working": "cyan", "loading": "blue", "waiting": "blue"}


def screen(progress: Progress, folder: Path, console: Console) -> RenderableType:
    """All on one screen of this console: of long lists the part that matters most."""
    height = console.height if console.is_terminal else _PICTURE_HEIGHT
    room = max(4, height - _FIXED_LINES - len(progress.notes))
    sides = [[_datasets(progress, room), _errors(progress, room)], [_slowest(progress, room), _still(progress, room)]]
    columns = [Group(*(table for table in side if table is not None)) for side in sides]
    body: RenderableType = Group(*columns)
    if console.width >= _TWO_COLUMNS_FROM:
        grid = Table.grid(expand=True, padding=(0, 2))
        grid.add_column(ratio=1)
        grid.add_column(ratio=1)
        grid.add_row(*columns)
        body = grid
    notes = [Text(shown(f"note: {note}"), style="yellow") for note in progress.notes]
    return Group(_summary(progress, folder), body, *notes)


def svg(progress: Progress, folder: Path) -> str:
    """The screen as a picture that needs no network."""
    console = Console(record=True, width=_PICTURE_WIDTH, height=_PICTURE_HEIGHT, file=StringIO(), force_terminal=True)
    console.print(screen(progress, folder, console))
    picture = console.export_svg(title="python -m MetaCaptioner.status", unique_id="status")
    return re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)


def _summary(progress: Progress, folder: Path) -> Panel:
    everything = progress.all
    bar = Table.grid(expand=True, padding=(0, 2))
    bar.add_column(ratio=1)
    bar.add_column(justify="right")
    bar.add_column(justify="right")
    done = Text(f"{everything.done:,} of {everything.total:,} samples")
    bar.add_row(_bar(everything), Text(_percent(everything), style="bold"), done)
    eta = "–"
    if not everything.remaining:
        eta = "all done"
    elif progress.eta_seconds is not None:
        at = datetime.fromtimestamp(progress.time + progress.eta_seconds)
        eta = f"{_duration(progress.eta_seconds)} ({at:%a %H:%M})"
    facts = {
        "ok": f"{everything.ok:,}",
        "failed": f"{everything.failed:,}",
        **({"without media": f"{everything.without_media:,}"} if everything.without_media else {}),
        "rate now": _rate(progress.rate),
        "overall": _rate(progress.rate_overall),
        "ETA": eta,
    }
    line = Text("   ").join(Text.assemble((f"{name} ", "dim"), (value, "bold")) for name, value in facts.items())
    title = Text(f"{shown(str(folder))}  {datetime.fromtimestamp(progress.time):%Y-%m-%d %H:%M:%S}", style="bold")
    return Panel(Group(bar, line, _states(progress)), title=title, box=box.ROUNDED, border_style="dim")


def _states(progress: Progress) -> Text:
    """How many ranks are in which state."""
    states = Counter(rank.state for rank in progress.ranks)
    parts = [Text(f"{count} {state}", style=_style(state)) for state, count in states.most_common()]
    left_out = "   (ETA: of the others)" if progress.standing_still() and progress.eta_seconds is not None else ""
    return Text.assemble(("ranks ", "dim"), Text(" · ").join(parts), (left_out, "dim"))


def _datasets(progress: Progress, room: int) -> Table:
    """Those that are not done come first."""
    table = _table("dataset", "", "done", "failed")
    entries = sorted(progress.datasets.items(), key=lambda entry: entry[1].remaining == 0)
    most = room - min(len(progress.all.errors), room // 3) - (3 if progress.all.errors else 0)
    for name, count in entries[: _most(len(entries), most)]:
        failed = Text(f"{count.failed:,}", style="red" if count.failed else "dim")
        table.add_row(Text(shown(name)), _bar(count), _percent(count), failed)
    return _with_rest(table, len(entries))


def _errors(progress: Progress, room: int) -> Table | None:
    errors = progress.all.errors
    if not errors:
        return None
    table = _table("error", "samples", "of all done")
    for kind, count in list(errors.items())[: _most(len(errors), room // 3)]:
        style = "dim" if kind == ErrorKind.NO_MEDIA else "red"
        table.add_row(Text(shown(kind), style=style), f"{count:,}", f"{100 * count / progress.all.done:.2f}%")
    return _with_rest(table, len(errors))


def _slowest(progress: Progress, room: int) -> Table:
    table = _table("slowest", "", "done", "rate", "ETA")
    ranks = progress.slowest()
    still = len(progress.standing_still())
    for rank in ranks[: _most(len(ranks), room - min(still, room // 2) - (3 if still else 0))]:
        table.add_row(*_rank(rank), _rate(rank.rate), _duration(rank.eta_seconds))
    if not ranks:
        table.add_row(Text("none is known to move", style="dim"), "", "", "", "")
    return _with_rest(table, len(ranks))


def _still(progress: Progress, room: int) -> Table | None:
    ranks = progress.standing_still()
    if not ranks:
        return None
    table = _table("no progress", "", "done", "state", "for")
    for rank in ranks[: _most(len(ranks), room // 2)]:
        table.add_row(*_rank(rank), Text(rank.state, style=_style(rank.state)), _duration(rank.idle_seconds))
    return _with_rest(table, len(ranks))


def _rank(rank: RankProgress) -> Sequence[RenderableType]:
    return f"rank {rank.rank}", _bar(rank.count), _percent(rank.count)


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, expand=True, padding=(0, 1), header_style="dim")
    bars = "" in others
    table.add_column(first, no_wrap=True, overflow="ellipsis", min_width=len(first), ratio=None if bars else 1)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True, ratio=None if name else 1)
    return table


def _most(count: int, room: int) -> int:
    """How many of `count` lines to show where there is room for so many; one says what is left out."""
    return count if count <= max(1, room) else max(1, room - 1)


def _with_rest(table: Table, count: int) -> Table:
    if count > table.row_count and table.row_count:
        table.add_row(Text(f"… and {count - table.row_count:,} more", style="dim"))
    return table


def _bar(count: Count) -> ProgressBar:
    done, total = (count.done, count.total) if count.total else (1, 1)
    return ProgressBar(total=total, completed=done, complete_style="cyan", finished_style="green")


def _percent(count: Count) -> str:
    """Never 100% before all is done."""
    share = 1000 * count.done // count.total / 10 if count.total else 100.0
    return f"{share:.1f}%"


def _rate(rate: float | None) -> str:
    if rate is None:
        return "–"
    if 0 < rate < 0.1:
        return f"{3600 * rate:,.0f}/h"
    return f"{rate:,.{2 if rate < 10 else 1 if rate < 100 else 0}f}/s"


def _duration(seconds: float | None) -> str:
    """In the two largest units."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _style(state: str) -> str:
    return _STYLES.get(state, "red" if state in STANDING_STILL else "")
