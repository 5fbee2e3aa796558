"""Pictures whose values are deeper than 8 bit, as what an eye or a model can be shown.

A file of 16 bit, of whole numbers or of floats seldom says which value is white: a 12-bit radiograph lies in 16-bit
files, a CT begins at -1024, a height map marks what is missing by -9999. So the range that the values really take is
shown from black to white, as the window and level of a radiology viewer are first set, and a note tells it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.media.high_bit_depth import Values

_DEEPEST = 65535
_HALF = 32768
_LEAST_LEVELS = 16  # fewer different values are no picture but classes or a mask
_TAIL_PERCENT = 0.1
_TAIL_TIMES = 10
_SAMPLE = 1_000_000
_MARKS = 4
_ROWS = 64


class NothingToSeeError(Exception):
    """No value is there, or all are the same."""


def to_eight_bit(values: Values, no_data: Sequence[float] = (), low_is_white: bool = False) -> tuple[
    NDArray[np.uint8], str | None
]:  # fmt: skip
    """Values as 8-bit ones, and what was done with them, if that has to be told.

    Both are (height, width), or (height, width, 3) of colours, which are all shown by one range.

    1. NaN, infinities and `no_data` (what the file itself calls missing) are left out of account.
    2. So is the lowest or highest value where it lies further from all others than they do from one another: a mark
       such as -9999 or -3.4e38, or a broken pixel.
    3. What remains is shown from black to white; if 99.8% of it takes less than a tenth of the range, those do, so that
       a few hot pixels do not turn the rest black.
    4. Whole numbers from 0 to 65535 that take half of that range or more are true 16-bit values: v is shown as v / 257,
       and there is nothing to tell.

    Values beyond the range are shown as its ends, missing ones as black.

    Raises:
        NothingToSeeError: no value is finite, or all are equal and no 16-bit ones.
    """
    finite = np.isfinite(values)
    for mark in no_data:
        finite &= values != (mark if values.dtype.kind in "ui" else np.asarray(mark).astype(values.dtype))
    there = values.ravel() if finite.all() else values[finite]
    if not there.size:
        raise NothingToSeeError("no value is a finite number: there is nothing to see")
    low, high = _range(there)
    if _are_sixteen_bit(values, low, high):
        low, high, note = 0.0, float(_DEEPEST), None
    elif high == low:
        raise NothingToSeeError(f"all values are {low:g}: there is nothing to see")
    else:
        ends = "white to black" if low_is_white else "black to white"
        note = f"values {low:.6g} to {high:.6g} shown as {ends}"
        beyond = values.size - int(np.count_nonzero((there >= low) & (there <= high)))
        note += f", {beyond:,} others beyond or missing" if beyond else ""
    shown = np.empty(values.shape, dtype=np.uint8)
    for begin in range(0, len(values), _ROWS):  # in parts, since the numbers between take several times the memory
        rows = slice(begin, begin + _ROWS)
        shares = (np.clip(values[rows], low, high).astype(np.float64) - low) * (255.0 / (high - low))
        with np.errstate(invalid="ignore"):  # of NaN
            shown[rows] = np.rint(255.0 - shares if low_is_white else shares)
        shown[rows][~finite[rows] & ~np.isinf(values[rows])] = 0
    return shown, note


def _are_sixteen_bit(values: Values, low: float, high: float) -> bool:
    whole = np.issubdtype(values.dtype, np.integer)
    within = whole and low >= 0 and high <= _DEEPEST
    return within and (high - low >= _HALF or (high == low and values.dtype.itemsize == 2))


def _range(there: Values) -> tuple[float, float]:
    """The lowest and the highest value to show of those that are there."""
    there = _without_marks(there)
    low, high = float(there.min()), float(there.max())
    some = _some(there)
    inner_low, inner_high = (float(end) for end in np.percentile(some, (_TAIL_PERCENT, 100 - _TAIL_PERCENT)))
    if (inner_high - inner_low) * _TAIL_TIMES < high - low:
        inner = some[(some >= inner_low) & (some <= inner_high)]
        if _is_picture(inner):
            return inner_low, inner_high
    return low, high


def _without_marks(there: Values) -> Values:
    """Leave out extreme values that lie further off than all others do from one another."""
    for _ in range(_MARKS):
        low, high = there.min(), there.max()
        for mark, other in ((low, high), (high, low)):
            rest = there[there != mark]
            if not rest.size:
                return there
            nearest = rest.min() if mark == low else rest.max()
            if abs(float(mark) - float(nearest)) > abs(float(nearest) - float(other)) and _is_picture(rest):
                there = rest
                break
        else:
            return there
    return there


def _is_picture(values: Values) -> bool:
    return len(np.unique(_some(values))) >= _LEAST_LEVELS


def _some(values: Values) -> Values:
    """At most a million of the values, evenly spread: enough for percentiles."""
    return values[:: 1 + values.size // _SAMPLE]
