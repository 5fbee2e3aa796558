"""Which file a name means that is not spelt as the file is: addresses, Unicode forms, the separators of Windows.

The name is always tried as it stands first. What is tried after that is the same name written in another way, and never
leads out of where the name itself points. Spellings that mean another name are not followed, only hinted at.
"""

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

_FILE = re.compile(r"file:(?://(?P<host>[^/]*))?(?P<path>/(?!/).*)", re.IGNORECASE | re.DOTALL)
_DRIVE = re.compile(r"[A-Za-z]:")
_GUESSED_SUFFIXES = (".jpg", ".png")


def local_name(name: str) -> str:
    """The path that a `file:` address means; any other name as it is.

    Source: RFC 8089, "The file URI Scheme".

    Raises:
        ValueError: it is another address, or names a file of another machine.
    """
    address = _FILE.fullmatch(name)
    if address is None:
        if "://" in name:
            raise ValueError(f"is an address, not a file: download it first ({name:.80})")
        return name
    host = address["host"] or ""
    if host.casefold() not in ("", "localhost"):
        raise ValueError(f"is a file of another machine, '{host:.40}': only file:///path is read ({name:.80})")
    return _decoded(address["path"])


def local_or_itself(name: str) -> str:
    """The same, where a name that is another address stays as it is."""
    try:
        return local_name(name)
    except ValueError:
        return name


def find(root: Path, name: str) -> Path:
    """The file below `root` (or at an absolute place) that `name` means; where there is none, the one it spells."""
    own = root / local_or_itself(name)
    if os.path.lexists(own):
        return own
    return next((path for path in _same_names(root, name) if os.path.lexists(path)), own)


def hint(root: Path, name: str) -> str:
    """Where a file is not there: what is there that may have been meant, as `: …`; empty where that is nothing."""
    for path, advice in _near_names(root, local_or_itself(name)):
        if os.path.isfile(path):  # noqa: PTH113 Path.is_file fails on odd names
            return f": {advice} ({path} is there)"
    return ""


def _same_names(root: Path, name: str) -> Iterator[Path]:
    local = local_or_itself(name)
    address = _FILE.fullmatch(name)
    written = [local] if address is None else [local, address["path"]]
    if "\\" in local and _leads_down(slashed := local.replace("\\", "/")):
        written.append(slashed)
    for one in written:
        for form in dict.fromkeys((one, unicodedata.normalize("NFC", one), unicodedata.normalize("NFD", one))):
            if form != local:
                yield root / form


def _leads_down(slashed: str) -> bool:
    return not (slashed.startswith("/") or _DRIVE.match(slashed) or ".." in slashed.split("/"))


def _near_names(root: Path, name: str) -> Iterator[tuple[Path, str]]:
    if name.startswith("/"):
        yield root / name.lstrip("/"), "an absolute path; take its leading '/' off to name a file below the root"
    if "%" in name:
        yield root / _decoded(name), "its name is percent-encoded in the row, write it plainly"
    plain = PurePosixPath(name)
    for other in (name.lower(), name.upper(), *(str(plain.with_suffix(s)) for s in _other_cases(plain.suffix))):
        if other != name:
            yield root / other, "upper and lower case differ"
    for suffix in _GUESSED_SUFFIXES:
        yield root / f"{name}{suffix}", f"the row leaves '{suffix}' out"
    if plain.parts and plain.parts[0] == root.name:
        yield root.parent / name, f"the root ends with '{root.name}' already, take it from one of the two"


def _other_cases(suffix: str) -> tuple[str, ...]:
    return (suffix.lower(), suffix.upper()) if suffix else ()


def _decoded(text: str) -> str:
    return unquote(text, errors="surrogateescape")
