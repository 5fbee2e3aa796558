"""Writes the table of errors in docs/errors.md from `ErrorKind`.

python -m script.error_table
"""

import re
import sys
from pathlib import Path

from MetaCaptioner.errors import ErrorKind

PAGE = Path(__file__).resolve().parents[1] / "docs" / "errors.md"
_HEAD = "| kind | what it means | what to do |\n| --- | --- | --- |\n"
_TABLE = re.compile(re.escape(_HEAD) + r"(?:\|.*\n)*")


def table() -> str:
    """One row of Markdown for each kind of error."""
    return _HEAD + "".join(f"| `{kind}` | {kind.meaning} | {kind.advice} |\n" for kind in ErrorKind)


def main() -> int:
    """Put the table in place of the one in the page; with --check, only say whether that is the same."""
    now = PAGE.read_text(encoding="utf-8")
    made, found = _TABLE.subn(lambda _: table(), now)
    if "--check" in sys.argv[1:]:
        return int(found != 1 or made != now)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
