"""Which texts beside the media of a root exports have written: a hidden file in the root tells."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import msgspec

from MetaCaptioner.errors import UserError
from MetaCaptioner.files import atomic_write

NAME = ".metacaptioner-export.json"
FORMAT = 1


class _Manifest(msgspec.Struct):
    format: int
    files: dict[str, str]


def read_manifest(root: Path) -> dict[str, str]:
    """Path below the root, with slashes -> SHA-256 of the content that an export wrote, in hexadecimal digits.

    Raises:
        UserError: the file is something else, or cannot be read.
    """
    path = root / NAME
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=_Manifest)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: tells not what exports wrote here ({error}); move it away") from error
    if manifest.format != FORMAT:
        raise UserError(f"{path}: is of format {manifest.format}, this program knows {FORMAT}")
    return manifest.files


def write_manifest(root: Path, files: Mapping[str, str]) -> None:
    """Put the file there in one step.

    Raises:
        UserError: it cannot be written.
    """
    with atomic_write(root / NAME, "list of exported texts") as file:
        file.write(json.dumps({"format": FORMAT, "files": dict(files)}, ensure_ascii=False).encode() + b"\n")


def digest_of(content: bytes) -> str:
    """What the manifest has of a content."""
    return hashlib.sha256(content).hexdigest()


def digest_there(path: Path) -> str | None:
    """The same of a file; None where there is none, and an empty text for what is no file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return digest_of(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IsADirectoryError:
        return ""
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
