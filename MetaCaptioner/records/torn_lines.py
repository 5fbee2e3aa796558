"""What of a result file is no record: a line that a crash left unfinished, or a file that somebody has changed.

A rank writes a record in one system call, at the end of a file that nobody else writes, and what a full disk lets
through of it is taken back. So a crash leaves at most the beginning of a record, behind the last line break, and a
power cut zeros in its place. Only that may be dropped. All else was done by somebody, who may well have meant to keep
what it holds: `jq` writes a record over many lines, `gzip` packs the file under its name.
"""

from pathlib import Path

from MetaCaptioner.data.wrong_file_hints import packed_kind
from MetaCaptioner.utils.cli import as_typed
from MetaCaptioner.utils.safe_open import open_file

_BEGINNING = b'{"sample_id"'  # of every record
_HOLE = bytes(8)
_HEAD_BYTES = 1024


def is_torn(line: bytes) -> bool:
    """Whether a last line is what a crash may have left: the beginning of a record, zeros, or one after the other."""
    if line.endswith(b"\n"):
        return False
    text = line.rstrip(b"\0")
    return text.startswith((_BEGINNING, _HOLE)) or _BEGINNING.startswith(text)


def what_is_wrong(path: Path, number: int) -> str:
    """Which line of a result file is no record, and what to do.

    Raises:
        OSError: the file cannot be read.
    """
    if (other := what_else(path)) is not None:
        return f"result file {path}: {other}"
    return (
        f"result file {path}, line {number}: is no record, and not what a crash leaves: mend the line, or have "
        "dataprocess/verify.py --mend move such lines aside, after which their samples are done again"
    )


def what_else(path: Path) -> str | None:
    """What a file is as a whole that holds no records line by line, and the command that mends it.

    Raises:
        OSError: the file cannot be read.
    """
    with open_file(path) as file:
        head = file.read(_HEAD_BYTES)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    first, _, _ = text.partition(b"\n")
    if first.strip() in (b"{", b"[") or first.startswith((b"[{", b"[ {")):
        each = "'.[]'" if first.startswith(b"[") else "."
        now, new = as_typed(path), as_typed(path.with_name(f"{path.name}.new"))
        return f"holds no record a line: was it formatted? Write it anew: jq -c {each} {now} > {new} && mv {new} {now}"
    return packed_kind(path, head)
