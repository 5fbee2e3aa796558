"""Decoding video in processes of its own.

A single damaged byte can make the decoder abort the process that it runs in, or never return. Each decoding thread of a
rank therefore has a helper process; if that dies or takes too long, one sample fails and the next gets a new helper.
"""

import signal
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.source import MediaSource

if TYPE_CHECKING:
    from decord import VideoReader

TIMEOUT_SECONDS = 300.0

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_helpers = threading.local()
_all_helpers: "weakref.WeakSet[ProcessPoolExecutor]" = weakref.WeakSet()


class VideoError(Exception):
    """A video cannot be decoded; the message says why, without the file's name."""


@dataclass(frozen=True)
class VideoFacts:
    """What a video says of itself: number of frames, frames a second, pixels."""

    frames: int
    fps: float
    width: int
    height: int


def probe(source: MediaSource) -> VideoFacts:
    """Look into a video.

    Raises:
        VideoError: it has no video stream or no frames, or is no video at all.
    """
    return _in_helper(_probe, source.ffmpeg_url())


def decode(
    source: MediaSource, indices: Sequence[int], width: int, height: int
) -> tuple[NDArray[np.uint8], tuple[float, ...]]:
    """Decode some frames, resized on the way.

    Returns:
        The frames as (frames, height, width, 3) in RGB, and the seconds at which they are shown.

    Raises:
        VideoError: they cannot be decoded.
    """
    return _in_helper(_decode, source.ffmpeg_url(), tuple(indices), width, height)


def _in_helper(
    function: Callable[_Arguments, _Result], *arguments: _Arguments.args, **named: _Arguments.kwargs
) -> _Result:
    """Run `function` in this thread's helper process."""
    helper = _helper()
    try:
        future = helper.submit(function, *arguments, **named)
    except RuntimeError:  # it was ended since this thread's last clip
        _helpers.process = None
        helper = _helper()
        future = helper.submit(function, *arguments, **named)
    try:
        return future.result(timeout=TIMEOUT_SECONDS)
    except BrokenProcessPool as error:
        _helpers.process = None
        raise VideoError("the file is so damaged that the decoder crashed") from error
    except TimeoutError as error:
        _helpers.process = None
        _kill(helper)
        raise VideoError(f"the decoder did not finish within {TIMEOUT_SECONDS:.0f} s") from error


def _helper() -> ProcessPoolExecutor:
    """This thread's helper, started when it is first needed."""
    helper: ProcessPoolExecutor | None = getattr(_helpers, "process", None)
    if helper is None:
        helper = _helpers.process = ProcessPoolExecutor(1, get_context("spawn"), initializer=_ignore_signals)
        _all_helpers.add(helper)
    return helper


def end_helpers() -> None:
    """Kill all helper processes, so that no decoder that hangs keeps the rank from ending."""
    for helper in list(_all_helpers):
        _kill(helper)
        helper.shutdown(wait=False, cancel_futures=True)


def _kill(helper: ProcessPoolExecutor) -> None:
    for process in list((helper._processes or {}).values()):  # the public way would wait for them
        process.kill()


def _ignore_signals() -> None:
    """A signal to the whole process group is the rank's to act on; the clip in hand is decoded to its end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def _open(url: str, width: int = -1, height: int = -1) -> "VideoReader":
    import decord

    try:
        reader = decord.VideoReader(url, num_threads=1, width=width, height=height)
        if len(reader) == 0:
            raise VideoError("the video has no frames")
    except (decord.DECORDError, RuntimeError) as error:
        raise VideoError(_reason(error)) from None
    return reader


def _probe(url: str) -> VideoFacts:
    import decord

    reader = _open(url)
    try:
        height, width = reader[0].shape[:2]
        return VideoFacts(len(reader), float(reader.get_avg_fps()), width, height)
    except (decord.DECORDError, RuntimeError, IndexError) as error:
        raise VideoError(_reason(error)) from None


def _decode(url: str, indices: tuple[int, ...], width: int, height: int) -> tuple[NDArray[np.uint8], tuple[float, ...]]:
    import decord

    reader = _open(url, width, height)
    try:
        frames: NDArray[np.uint8] = reader.get_batch(list(indices)).asnumpy()
        stamps = reader.get_frame_timestamp(list(indices))
    except (decord.DECORDError, RuntimeError, IndexError) as error:
        raise VideoError(_reason(error)) from None
    return frames, tuple(float(begin) for begin in stamps[:, 0])


def _reason(error: Exception) -> str:
    """The part of a decord error that says something."""
    if "cannot find video stream" in str(error):
        return "has no video stream (audio only?)"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0].rpartition("Check failed:")[2].strip() if lines else type(error).__name__
    return f"no video can be read from it: {reason[:200]}"
