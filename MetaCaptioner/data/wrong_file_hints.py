"""What a file is that is given as an annotation file and is none, and the command that makes one of it.

Rows are read at random, by their bytes. That cannot be done in what is compressed, packed into columns or in UTF-16
without a second copy of the whole, which is for the user to make.
"""

import re
import shlex
from pathlib import Path

from MetaCaptioner.utils.cli import as_typed
from MetaCaptioner.utils.json_text import from_json

_UTF16_AND_32 = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_COCO = re.compile(
    rb'\{\s*"(?:info"\s*:\s*\{|(?:images|annotations|categories|licenses)"\s*:\s*\[\s*[{\]])'
)  # what such a file begins with; the first pictures are objects there, file names in rows
_COCO_LISTS = {"images", "annotations"}


def other_kind(path: Path, head: bytes) -> str | None:
    """What a file is, told by its first bytes and then its name, and what to do; None where that may well be rows."""
    return packed_kind(path, head) or _by_text(path, head)


def packed_kind(path: Path, head: bytes) -> str | None:
    """The same of what is no UTF-8 text at all."""
    return _by_magic(path, head) or _by_encoding(path, head)


def _by_magic(path: Path, head: bytes) -> str | None:
    table = f"make rows of it: metacaptioner build --format table --input {as_typed(path)} …"
    for magic, name, advice in (
        (b"\x1f\x8b", "compressed with gzip", _unpack(path, "gzip", ".gz")),
        (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", _unpack(path, "zstd", ".zst")),
        (b"BZh", "compressed with bzip2", _unpack(path, "bzip2", ".bz2")),
        (b"\xfd7zXZ\x00", "compressed with xz", _unpack(path, "xz", ".xz")),
        (b"\x04\x22\x4d\x18", "compressed with LZ4", _unpack(path, "lz4", ".lz4")),
        (b"PK\x03\x04", "a ZIP archive", f"unpack it: unzip {as_typed(path)}"),
        (b"PAR1", "a Parquet table", table),
        (b"ARROW1", "an Arrow file", "take --format huggingface of metacaptioner build for its folder"),
        (b"SQLite format 3", "an SQLite database", "export its rows as JSONL"),
        (b"\x80", "a Python pickle or the like", "write its rows as JSONL; it is never opened, since that runs code"),
    ):
        if head.startswith(magic) and not _is_text(head, magic):
            return f"is {name}, not JSON text; {advice}"
    if head[257:262] == b"ustar":
        return "is a tar file, not JSON text; take --format webdataset of metacaptioner build, or unpack it"
    return None


def _unpack(path: Path, program: str, suffix: str) -> str:
    """The command that unpacks a file; one that was packed under its own name gets it back."""
    if path.suffix == suffix:
        return f"unpack it: {program} -dk {as_typed(path)}"
    new = as_typed(path.with_name(f"{path.name}.new"))
    return f"unpack it: {program} -dc < {as_typed(path)} > {new} && mv {new} {as_typed(path)}"


def _is_text(head: bytes, magic: bytes) -> bool:
    """Whether what begins with the magic bytes of letters goes on as text."""
    return magic.isalnum() and all(byte >= 32 or byte in b"\t\r\n" for byte in head)


def _by_encoding(path: Path, head: bytes) -> str | None:
    name = next((name for mark, name in _UTF16_AND_32 if head.startswith(mark)), None)
    if name is None and head[:2] in (b"[\0", b"{\0"):
        name = "UTF-16LE"
    if name is None and head[:2] in (b"\0[", b"\0{"):
        name = "UTF-16BE"
    if name is None:
        return None
    anew = shlex.quote(f"{path.stem}.utf8{path.suffix}")
    return f"is {name}, and must be UTF-8; write it anew: iconv -f {name} -t UTF-8 {as_typed(path)} > {anew}"


def _by_text(path: Path, head: bytes) -> str | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text or text.startswith(b"["):
        return None
    if text.startswith(b"{"):
        return _one_object(path, text)
    first = text.split(b"\n", 1)[0].strip()
    if first.startswith(b"<"):
        return "is a web page or XML, not JSON text; was the download refused?"
    if _is_table(path, text):
        return (
            "is a table (CSV or TSV), not JSON text; make rows of it: "
            f"metacaptioner build --format table --input {as_typed(path)} …"
        )
    if text[0] < 32 or text[0] >= 127:
        return f"is no JSON text: it begins with the bytes {text[:8].hex(' ')}"
    return None


def _is_table(path: Path, text: bytes) -> bool:
    """Whether text is that of a CSV or TSV file, by its name or by delimiters in two lines that are no JSON."""
    lines = [line.strip() for line in text.split(b"\n", 2)[:2] if line.strip()]
    if any(line.startswith((b"{", b"[")) or _is_json(line) for line in lines):
        return False
    is_named_so = path.suffix.lower() in (".csv", ".tsv", ".psv")
    return is_named_so or any(all(mark in line for line in lines) for mark in (b",", b"\t"))


def _is_json(line: bytes) -> bool:
    try:
        from_json(line)
    except ValueError:
        return False
    return True


def _one_object(path: Path, text: bytes) -> str | None:
    """What a file is that begins with `{`, where its first line shows that this is no row."""
    first, line_break, _ = text.partition(b"\n")
    if not line_break or _is_json(first):
        return None
    return large_object(path, text) or (_object(path, "KEY") if first.strip() == b"{" else None)


def large_object(path: Path, text: bytes) -> str | None:
    """What a file is that begins with an object so large, or over so many lines, that it is no row."""
    return _coco(path) if _COCO.match(text.removeprefix(b"\xef\xbb\xbf").lstrip()) else None


def only_object(path: Path, row: object) -> str | None:
    """What a file is whose one row is an object without media that holds the rows; None where it does not."""
    if not isinstance(row, dict) or any(row.get(name) for name in ("image", "video")):
        return None
    if row.keys() >= _COCO_LISTS and isinstance(row["annotations"], list):
        return _coco(path)
    for key, value in row.items():
        if isinstance(value, list) and any(isinstance(one, dict) and {"image", "video"} & one.keys() for one in value):
            return _object(path, key)
    return None


def _coco(path: Path) -> str:
    return (
        "is one COCO object, not a list of rows; make a row of each of its pictures: "
        f"metacaptioner build --format coco --input {as_typed(path)} …"
    )


def _object(path: Path, key: str) -> str:
    return (
        "is one JSON object; it must be a list of rows, or JSONL "
        f"(are its rows under '{key}'? jq '.\"{key}\"' {as_typed(path)} > {_rows_file(path)})"
    )


def _rows_file(path: Path) -> str:
    return shlex.quote(f"{path.stem}.rows.json")
