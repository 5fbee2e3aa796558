"""JSON files that people write: read whole, and what is wrong with one told in a line."""

import json
from pathlib import Path
from typing import Any

from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.json_text import from_json
from MetaCaptioner.utils.safe_open import read_file


class _DuplicateKeyError(Exception):
    """A JSON object has a name twice, of which the first would be lost."""


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise _DuplicateKeyError(next(name for name in names if names.count(name) > 1))
    return made


def read_json(path: Path, what: str) -> Any:
    """Parse the JSON file `path`; `what` names it in errors.

    Raises:
        UserError: it is missing, unreadable or no JSON (the message gives line and column). UTF-16 is read too.
    """
    try:
        return from_json(read_file(path), pairs_hook=_without_duplicates)
    except _DuplicateKeyError as error:
        raise UserError(f"{what} {path}: the name '{error}' is there twice") from error
    except OSError as error:
        raise UserError(f"{what} {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{what} {path}: is not UTF-8 text (byte {error.start})") from error
    except json.JSONDecodeError as error:
        more = " (more than one JSON value?)" if error.msg == "Extra data" else ""
        raise UserError(f"{what} {path}: line {error.lineno}, column {error.colno}: {error.msg}{more}") from error
    except ValueError as error:
        raise UserError(f"{what} {path}: cannot be read: {error}") from error
