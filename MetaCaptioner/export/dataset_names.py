"""What datasets are called in an export: one place decides, for files, folders and members of tar shards."""

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import quote

from MetaCaptioner.utils.file_names import shortened

ACCOUNT_FILE = "export.json"
"""In every folder that was exported; it tells such a folder from any other."""
METAFILE = "Metafile.json"

_RESERVED = frozenset(name.casefold().removesuffix(".json") for name in (ACCOUNT_FILE, METAFILE))
# What some file system takes for a separator, a stream, a wildcard or nothing at all.
_UNFIT = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f\ud800-\udfff]')
# Of the halves of pairs of surrogates, those that stand for a byte are written as that byte.
_UNWRITABLE = re.compile(r"[\x00\ud800-\udc7f\udd00-\udfff]")
# Names of devices on Windows, whatever follows the dot.
_DEVICE = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_LONGEST_BYTES = 200  # of a name; file systems take 255, and a suffix and a number may follow
_LONGEST_KEY = 150


def file_names(datasets: Iterable[str]) -> dict[str, str]:
    """For each dataset a name that any file system takes, and that neither another dataset nor the export itself has.

    Names that differ in case or in their Unicode form only count as one, as they do on some file systems. A name that
    can stay as it is does; of others, the later in order gets a number. What follows a name's `.json` is not its own.
    """
    ordered = sorted(set(datasets))
    taken: set[str] = set(_RESERVED)
    made: dict[str, str] = {}
    for name in sorted(ordered, key=lambda name: fitting(name) != name):
        stem, number = fitting(name), 0
        while _same(candidate := f"{stem}{f'_{number}' if number else ''}") in taken:
            number += 1
        taken.add(_same(candidate))
        made[name] = candidate
    return {name: made[name] for name in ordered}


def fitting(name: str) -> str:
    """The nearest name that is one part of a path and is no hidden file, device or overlong name anywhere."""
    plain = _UNFIT.sub("_", name)
    if plain.startswith(".") or _DEVICE.match(plain):
        plain = f"_{plain}"
    return shortened(plain.rstrip(". ") or "_", _LONGEST_BYTES)


def writable(part: str) -> str:
    """A part of a path of this system as it is, but for what no file of it can have in its name."""
    return _UNWRITABLE.sub("_", part)


def shard_key(data_name: str, index: int) -> str:
    """The key of a sample in tar shards, which no other has, without slashes and dots, that mean something there."""
    plain = quote(data_name, safe="", errors="surrogatepass").replace(".", "%2E")
    plain = f"%2D{plain[1:]}" if plain.startswith("-") else plain  # else tools would take a member's name for a flag
    return f"{shortened(plain, _LONGEST_KEY)}-{index:09d}"


def _same(name: str) -> str:
    """What names have in common that some file system holds for the same; `.json` behind one is that of the file."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return folded.removesuffix(".json") if folded.removesuffix(".json") in _RESERVED else folded
