"""What is known of a clip: when its frames are shown, and which of them are wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.errors import DecodeError, ErrorKind

REORDERED_FRAMES = 32  # no codec puts a frame further from its place than this


class VideoError(DecodeError):
    """A video cannot be decoded: it is `media_corrupt`."""

    def __init__(self, reason: str) -> None:
        super().__init__(ErrorKind.MEDIA_CORRUPT, reason)


@dataclass(frozen=True)
class VideoFacts:
    """What there is to see of a clip.

    `times` are the seconds at which its frames are shown, from 0 and rising; `duration` is when the last one ends.
    `width` and `height` are those of the upright picture with square pixels, and never less than what is stored.
    """

    times: NDArray[np.float64]
    duration: float
    width: int
    height: int

    @property
    def frames(self) -> int:
        return len(self.times)


@dataclass(frozen=True)
class Wanted:
    """Which frames to decode, by their places in `VideoFacts.times`, in order, and the size to give them."""

    indices: tuple[int, ...]
    width: int
    height: int


Plan = Callable[[VideoFacts], Wanted]


@dataclass(frozen=True)
class Clip:
    """The wanted frames, as (frames, height, width, 3) in RGB."""

    facts: VideoFacts
    wanted: Wanted
    frames: NDArray[np.uint8]

    @property
    def times(self) -> tuple[float, ...]:
        """The seconds at which they are shown."""
        return tuple(float(self.facts.times[index]) for index in self.wanted.indices)


def rising_times(stamps: Sequence[int | None], step: float, longest_gap: float) -> NDArray[np.float64]:
    """When frames that come in the order of their showing are shown, as well as their time stamps tell.

    Where the stamps leap back (parts that each begin at 0), or forward by more than `longest_gap`, what follows is
    taken to go on `step` after what came before, as FFmpeg's `-dts_delta_threshold` does it; so it is where an earlier
    stamp comes again, since a part may be shorter than any leap. The others are put in order; frames without a time of
    their own are spread between their neighbours. All in the same unit.

    Returns:
        As many as there are stamps, from 0 and strictly rising.
    """
    places = [place for place, stamp in enumerate(stamps) if stamp is not None]
    if not places:
        return np.arange(len(stamps), dtype=np.float64) * step
    values = _without_leaps([stamp for stamp in stamps if stamp is not None], step, longest_gap)
    known, firsts = np.unique(np.sort(np.asarray(values, np.float64)), return_index=True)
    xs = np.asarray(places)[firsts]
    everywhere = np.arange(len(stamps), dtype=np.float64)
    times = np.interp(everywhere, xs, known).astype(np.float64)
    times[: xs[0]] -= step * (xs[0] - everywhere[: xs[0]])
    times[xs[-1] + 1 :] += step * (everywhere[xs[-1] + 1 :] - xs[-1])
    from_zero: NDArray[np.float64] = times - times[0]
    return from_zero


def _without_leaps(stamps: Sequence[int], step: float, longest_gap: float) -> list[int]:
    """The stamps from 0 on, each part after a leap set behind the one before; in whole numbers, however large."""
    offset, top = -stamps[0], 0
    values: list[int] = []
    had: set[int] = set()
    for stamp in stamps:
        value = stamp + offset
        comes_again = stamp in had and value < top
        if comes_again or not top - REORDERED_FRAMES * step <= value <= top + longest_gap:
            offset += top + round(step) - value
            value = top + round(step)
            had.clear()
        had.add(stamp)
        top = max(top, value)
        values.append(value)
    return values
