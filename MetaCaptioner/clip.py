"""What is known of a clip: when its frames are shown, and which of them are wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REORDERED_FRAMES = 32  # no codec puts a frame further from its place than this


class VideoError(Exception):
    """A video cannot be decoded; the message says why, without the file's name."""


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
    taken to go on `step` after what came before, as FFmpeg's `-dts_delta_threshold` does it. The others are put in
    order; frames without a time of their own are spread between their neighbours. All in the same unit.

    Returns:
        As many as there are stamps, strictly rising; the first is the first stamp.
    """
    places: list[int] = []
    values: list[float] = []
    offset, top = 0.0, 0.0
    for place, stamp in enumerate(stamps):
        if stamp is None:
            continue
        value = stamp + offset
        if values and not top - REORDERED_FRAMES * step <= value <= top + longest_gap:
            offset += top + step - value
            value = top + step
        top = max(top, value) if values else value
        places.append(place)
        values.append(value)
    known, xs = np.unique(np.sort(np.asarray(values, np.float64)), return_index=True)
    if len(known) == 0:
        return np.arange(len(stamps), dtype=np.float64) * step
    xs = np.asarray(places)[xs]
    everywhere = np.arange(len(stamps), dtype=np.float64)
    times = np.interp(everywhere, xs, known).astype(np.float64)
    times[: xs[0]] -= step * (xs[0] - everywhere[: xs[0]])
    times[xs[-1] + 1 :] += step * (everywhere[xs[-1] + 1 :] - xs[-1])
    return times
