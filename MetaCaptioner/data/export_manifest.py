"""Which texts beside media exports have written: a hidden file in each root tells. No user gave those."""

import hashlib
from pathlib import Path

import msgspec

from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.atomic_io import atomic_write
from MetaCaptioner.utils.json_text import NOT_PLAIN_JSON, to_json
from MetaCaptioner.utils.safe_open import NotAFile, leads_out, read_file

NAME = ".metacaptioner-export.json"
LOCK = ".metacaptioner-export.lock"
FORMAT = 1


class Manifest(msgspec.Struct):
    """What exports have written below a root.

    `files`: path below the root, with slashes -> SHA-256 of the content, in hexadecimal digits. `of`: path -> the
    result folder whose caption it holds; those of an earlier version are not in there.
    """

    files: dict[str, str]
    of: dict[str, str] = {}
    format: int = FORMAT


def read_manifest(root: Path) -> Manifest:
    """What the file of a root tells; nothing where there is none.

    Raises:
        UserError: the file is something else, or cannot be read.
    """
    path = root / NAME
    try:
        manifest = msgspec.json.decode(read_file(path), type=Manifest)
    except FileNotFoundError:
        return Manifest({})
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except NOT_PLAIN_JSON as error:
        raise UserError(f"{path}: tells not what exports wrote here ({error}); move it away") from error
    if manifest.format != FORMAT:
        raise UserError(f"{path}: is of format {manifest.format}, this program knows {FORMAT}")
    if outside := [name for name in manifest.files if leads_out(root, name)]:
        raise UserError(f"{path}: names a file that is not below its folder ({outside[0]:.80}); move it away")
    return manifest


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Put the file there in one step.

    Raises:
        UserError: it cannot be written.
    """
    told = {"format": FORMAT, "files": manifest.files, "of": manifest.of}
    with atomic_write(root / NAME, "list of exported texts") as file:
        file.write(to_json(told) + b"\n")


def digest_of(content: bytes) -> str:
    """What the manifest has of a content."""
    return hashlib.sha256(content).hexdigest()


def digest_there(path: Path) -> str | None:
    """The same of a file; None where there is none, and an empty text for what is no file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return digest_of(read_file(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (IsADirectoryError, NotAFile):
        return ""
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
