"""Decoding video in processes of its own.

A single damaged byte can make the decoder abort the process that it runs in, or never return. Each decoding thread of a
rank therefore has a helper process; if that dies or takes too long, one sample fails and the next gets a new helper.
"""

import signal
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

from MetaCaptioner.clip import Clip, Plan, VideoError, VideoFacts, Wanted
from MetaCaptioner.source import MediaSource

__all__ = ["Clip", "Plan", "VideoError", "VideoFacts", "Wanted", "end_helpers", "sample"]

TIMEOUT_SECONDS = 300.0

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_helpers = threading.local()
_all_helpers: "weakref.WeakSet[ProcessPoolExecutor]" = weakref.WeakSet()


def sample(source: MediaSource, plan: Plan) -> Clip:
    """Decode the frames that `plan` wants of a clip, resized on the way. `plan` must be a function that can be pickled.

    Raises:
        VideoError: it has no video, cannot be decoded, is cut off, or takes too long.
        OSError: it cannot be read.
        Exception: what `plan` raises.
    """
    return _in_helper(_sample, source, plan)


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


def _sample(source: MediaSource, plan: Plan) -> Clip:
    from MetaCaptioner.decoder import sample  # FFmpeg's libraries are loaded in the helper alone

    return sample(source, plan)
