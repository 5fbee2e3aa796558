"""Writes the tables of docs/ that follow from the code: of errors from `ErrorKind`, of options from their models.

python -m script.page_tables
"""

import re
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from MetaCaptioner.errors import ErrorKind
from MetaCaptioner.launch.options import LaunchOptions
from MetaCaptioner.utils.commands import COMMANDS, options_of
from MetaCaptioner.utils.options import Option, all_of
from MetaCaptioner.utils.options_sources import help_of

DOCS = Path(__file__).resolve().parents[1] / "docs"
_ERRORS = "| kind | what it means | what to do |\n| --- | --- | --- |\n"
_OPTIONS = "| option | of | what it says |\n| --- | --- | --- |\n"


def errors() -> str:
    """One row for each kind of error."""
    return "".join(f"| `{kind}` | {kind.meaning} | {kind.advice} |\n" for kind in ErrorKind)


def options() -> str:
    """One row for each option: those of groups first, with the commands that have them, then those of one command."""
    owners: dict[tuple[bool, str, str], tuple[Option, list[str]]] = {}
    for command, at in COMMANDS.items():
        launched = all_of(LaunchOptions).values() if at.on_ranks else ()
        for one in (*all_of(options_of(command)).values(), *launched):
            key = (one.is_own, command if one.is_own else one.home.heading, one.typed)
            owners.setdefault(key, (one, []))[1].append(command)
    rows = sorted(owners.items(), key=lambda row: row[0][0])
    lines = ((typed, commands, told) for _, (one, commands) in rows for typed, told in _told(one))
    return "".join(f"| `{typed}` | {', '.join(commands)} | {told} |\n" for typed, commands, told in lines)


def _told(option: Option) -> Collection[tuple[str, str]]:
    values = f"; one of {', '.join(option.choices)}" if option.choices and not option.flag.words else ""
    return (option.flag.words or {"": (option.typed, help_of(option) + values)}).values()


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "errors.md": (_ERRORS, errors),
    "options.md": (_OPTIONS, options),
}


def main() -> int:
    """Put each table in place of the one in its page; with --check, only say whether they are the same."""
    status = 0
    for name, (head, rows) in TABLES.items():
        page = DOCS / name
        table = re.compile(re.escape(head) + r"(?:\|.*\n)*")
        now = page.read_text(encoding="utf-8")
        new = (head + rows()).replace("\\", r"\\")
        made, found = table.subn(new, now)
        if "--check" in sys.argv[1:]:
            status |= int(found != 1 or made != now)
        else:
            page.write_text(made, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
