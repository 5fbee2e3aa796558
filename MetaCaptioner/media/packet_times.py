"""What the packets of a clip tell before any is decoded: the time of every frame, and whether the file is whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from MetaCaptioner.media.clip import REORDERED_FRAMES, VideoError, VideoFacts

_PROMISE_THEIR_LENGTH = frozenset(("mov", "matroska", "avi", "asf", "flv", "ivf", "mxf"))
_BROADCAST = frozenset(("mpegts", "mpeg"))
_COUNT_FROM_ZERO = frozenset(("matroska", "flv"))  # some writers do, whenever the first frame is shown
_ONE_LENGTH = frozenset(("matroska", "asf"))  # it is that of the file, which FFmpeg tells of each stream
_USUAL_RATE = 25
# Source: the defaults of FFmpeg's -dts_delta_threshold and -dts_error_threshold.
_LEAP_SECONDS, _NONSENSE_SECONDS = 10.0, 30.0 * 3600
_ENDLESS_SECONDS = 1000.0 * 3600  # what stands in a header that was written to a pipe, and never completed
# By how much a header may promise more than there is: other streams, the last frame and rounding are in it.
_LEAST_SECONDS, _SHORT_SECONDS, _SHORT_SHARES, _SHORT_GAPS = 0.1, 1.0, (0.1, 0.01), 1.5


class PacketFacts(NamedTuple):
    """A packet without its content; times are in the stream's unit."""

    pts: int | None
    duration: int
    is_key: bool
    is_discarded: bool
    is_corrupt: bool

    @classmethod
    def of(cls, packet: "Packet[Any]") -> "PacketFacts":
        return cls(packet.pts, packet.duration or 0, packet.is_keyframe, packet.is_discard, packet.is_corrupt)


@dataclass(frozen=True)
class PacketIndex:
    """The packets of a clip's video in the order of the file.

    `stamps` are their presentation times in units of `unit` seconds, NaN where there is none; `step` is the usual time
    between two frames; `begin` is when the video begins by the header. `shown` says whose frames are shown: an edit
    list leaves out what a cut needs only for decoding. The packets from `end` on, at most the last one, were cut off
    when a recording ended. `told_end` is when the video ends by the header, NaN if that says nothing. A broadcast may
    begin anywhere, and its times may leap.
    """

    unit: Fraction
    stamps: NDArray[np.float64]
    durations: NDArray[np.float64]
    keys: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    corrupt: NDArray[np.bool_]
    step: float
    begin: float
    end: int
    told_end: float
    is_broadcast: bool

    @classmethod
    def of(
        cls, container: InputContainer, stream: VideoStream, packets: Sequence[PacketFacts], begin: int | None
    ) -> "PacketIndex":
        """`begin` is the stream's start before its packets were read: reading them, FFmpeg may set it anew."""
        end = len(packets) - (len(packets) > 1 and packets[-1].is_corrupt)
        stamps = np.array([np.nan if packet.pts is None else packet.pts for packet in packets], np.float64)
        shown = ~np.array([packet.is_discarded for packet in packets], np.bool_)
        shown[end:] = False
        unit = stream.time_base or Fraction(1, 1000)
        rate = stream.average_rate or stream.guessed_rate or _USUAL_RATE
        known = np.unique(stamps[shown & ~np.isnan(stamps)])
        gaps = np.diff(known)
        first = begin if begin is not None else float(known[0]) if len(known) else 0.0
        is_broadcast = _kind(container) in _BROADCAST
        return cls(
            unit=unit,
            stamps=stamps,
            durations=np.array([packet.duration for packet in packets], np.float64),
            keys=np.array([packet.is_key for packet in packets], np.bool_),
            shown=shown,
            corrupt=np.array([packet.is_corrupt for packet in packets], np.bool_),
            step=float(np.median(gaps)) if len(gaps) else float(1 / rate / unit),
            begin=first,
            end=end,
            # Of a broadcast FFmpeg has guessed it, for short ones wrongly.
            told_end=first + stream.duration if stream.duration and not is_broadcast else np.nan,
            is_broadcast=is_broadcast,
        )

    @property
    def order(self) -> NDArray[np.intp]:
        """The packets whose frames are shown at a known time, in the order of their showing."""
        [places] = np.nonzero(self.shown & ~np.isnan(self.stamps))
        return places[np.argsort(self.stamps[places], kind="stable")]

    @property
    def longest_gap(self) -> float:
        """How long a frame may stand before its end is taken for a leap in time, in the stream's unit."""
        return (_LEAP_SECONDS if self.is_broadcast else _NONSENSE_SECONDS) / float(self.unit)

    @property
    def first_key(self) -> int:
        return int(np.argmax(self.keys)) if self.keys.any() else len(self.keys)

    def is_plain(self) -> bool:
        """Whether the times of the packets can be those of frames: known, different, nearly in order, no leaps."""
        order = self.order
        if not len(order) or np.isnan(self.stamps[self.shown]).any():
            return False
        gaps = np.diff(self.stamps[order])
        in_file = np.argsort(np.argsort(order))
        is_near = np.abs(in_file - np.arange(len(order))).max() <= REORDERED_FRAMES
        return bool((gaps > 0).all() and (gaps <= self.longest_gap).all() and is_near)

    def facts(self, times: NDArray[np.float64], last_duration: float, size: tuple[int, int]) -> VideoFacts:
        """The facts of frames that are shown at `times`, in the stream's unit.

        The last one ends when the header says so, if that can be: the duration of a packet is that of its decoding.
        Where all packets have one duration, unlike the time between them, FFmpeg has guessed it by their mean.
        """
        last = float(times[-1])
        if len(set(self.durations)) == 1 and abs(self.durations[0] - self.step) > self.step / 2:
            last_duration = self.step
        longest = max(last_duration, np.diff(times).max(initial=0.0), 2 * self.step)
        end = last + (last_duration if last_duration > 0 else self.step)
        end = self.told_end if last < self.told_end <= last + longest else end
        return VideoFacts((times - times[0]) * float(self.unit), (end - float(times[0])) * float(self.unit), *size)

    def check(self, container: InputContainer, stream: VideoStream, last_end: float) -> None:
        """See whether the file is whole; `last_end` is when its last packet of sound or video ends, in seconds.

        Raises:
            VideoError: data are damaged, or there is clearly less than its header promises.
        """
        # Where a recording ends and the next begins, up to two packets before the joint are called damaged.
        begins = np.append(self.keys, [True, True])
        is_joint = begins[:-2] | begins[1:-1] | begins[2:]
        is_damaged = self.corrupt & ~is_joint if self.is_broadcast else self.corrupt
        damaged = int(is_damaged[self.first_key : self.end].sum())
        if damaged:
            raise VideoError(f"{damaged} of its {len(self.stamps)} video packets are damaged")
        kind = _kind(container)
        if kind not in _PROMISE_THEIR_LENGTH:
            return
        unit = float(self.unit)
        known = ~np.isnan(self.stamps)
        if stream.duration and kind not in _ONE_LENGTH:
            promised = stream.duration * unit
            if kind == "avi" and stream.average_rate:  # its duration is cut to what is there, its number of frames not
                promised = max(promised, float(stream.frames / stream.average_rate))
            ends = (self.stamps + self.durations)[known] * unit
            held = ends.max(initial=0.0) - self.begin * unit
        else:
            promised = (container.duration or 0) / 1e6
            start = (container.start_time or 0) / 1e6
            last_end = max(last_end, float(self.stamps[known].max(initial=-np.inf) + self.step) * unit)
            held = last_end - (0.0 if kind in _COUNT_FROM_ZERO and promised > start else start)
        gap = np.diff(np.unique(self.stamps[known])).max(initial=0.0) * unit
        allowed = max(_LEAST_SECONDS, min(_SHORT_SECONDS, _SHORT_SHARES[0] * promised))
        if promised < _ENDLESS_SECONDS and promised - held > max(
            allowed, _SHORT_SHARES[1] * promised, _SHORT_GAPS * gap
        ):
            raise VideoError(f"its header promises {promised:.1f} s but its data end at {held:.1f} s: was it cut off?")


def _kind(container: InputContainer) -> str:
    return container.format.name.split(",")[0]
