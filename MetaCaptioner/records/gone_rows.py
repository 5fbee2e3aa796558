"""Rows of a result folder's datasets whose media are gone from there: their records stay, but stand for nothing now.

Whoever builds the annotation files anew notes them (`metacaptioner run`); who reads captions passes them over. A medium
that is back has its record still, and is not captioned again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from MetaCaptioner.errors import ResultError
from MetaCaptioner.records.done import DoneSamples
from MetaCaptioner.utils.atomic_io import atomic_write
from MetaCaptioner.utils.json_text import read_as, to_json
from MetaCaptioner.utils.safe_open import read_file

_NAME = "gone_rows.json"
_Ranges = dict[str, list[tuple[int, int]]]


def gone_rows(folder: Path) -> DoneSamples:
    """Which rows are noted in a result folder; none where nothing is.

    Raises:
        ResultError: what is noted cannot be read.
    """
    gone = DoneSamples()
    for name, ranges in _noted(folder).items():
        for start, end in ranges:
            gone.mark_all(name, np.arange(start, end))
    return gone


def note_gone_rows(folder: Path, rows: Mapping[str, Sequence[int]]) -> None:
    """Note that of each of some datasets these rows, in order, are gone and no others; what is noted of others stays.

    Raises:
        UserError: the folder cannot be written.
    """
    before = _noted(folder)
    others = {name: ranges for name, ranges in before.items() if name not in rows}
    now = others | {name: _ranges(numbers) for name, numbers in rows.items() if numbers}
    if now != before:
        with atomic_write(folder / _NAME, "output folder") as file:
            file.write(to_json(now) + b"\n")


def _ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges `start <= row < end`."""
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number:
            ranges[-1] = (ranges[-1][0], number + 1)
        else:
            ranges.append((number, number + 1))
    return ranges


def _noted(folder: Path) -> _Ranges:
    try:
        return read_as(read_file(folder / _NAME), _Ranges)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise ResultError(
            f"{folder / _NAME}: cannot be read ({error}); `metacaptioner run` writes it anew once it is taken away"
        ) from error
