"""Decoding pictures and clips in processes of their own.

A single damaged byte can make a decoder abort the process that it runs in, never return, or take all memory. Each
decoding thread of a rank therefore has a helper process that is shut in: it sees the one open file that it is given. If
it dies or takes too long, one sample fails and the next gets a new helper. What all of them take at a time is bounded.
"""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from MetaCaptioner.data.media_source import MediaSource
from MetaCaptioner.errors import DecodeError, ErrorKind, SampleError, UserError
from MetaCaptioner.media.clip import Clip, Plan, VideoFacts, Wanted
from MetaCaptioner.media.decoding.memory_budget import EndedError, Memory
from MetaCaptioner.media.decoding.messages import Facts, Go, Job, Kind, Misfit, NonsenseError, Shown
from MetaCaptioner.media.decoding.pillow_memory import LAYOUT
from MetaCaptioner.media.decoding.process import Client, ForkServer, Helper, ServerGoneError
from MetaCaptioner.media.decoding.shared_pixels import SharedPixels
from MetaCaptioner.media.resize_rule import Fit
from MetaCaptioner.utils.cli import note

_TRIES = 3
_GRANTED = 2**25  # bytes of memory that each file may have unasked: what pictures of two million pixels take
_GRANTED_SHARE = 32  # of all memory: so many such files can be decoded at a time at least


@dataclass(frozen=True)
class Limits:
    """What a file may take: pixels and seconds of each; `memory` in bytes of all that are decoded at a time."""

    most_pixels: int
    seconds: float
    memory: int


@dataclass(frozen=True)
class ShownPicture:
    """In RGB; what the record should tell of it; SHA-256 of the file."""

    image: Image.Image
    note: str | None
    content_hash: str


def picture(source: MediaSource, limits: Limits, fit: Fit) -> ShownPicture:
    """The picture in a file, upright, in the size that `fit` gives it.

    Raises:
        DecodeError: it cannot be decoded, or takes too much.
        OSError: it cannot be read.
        SampleError: what `fit` raises.
    """
    client = _PictureClient(fit)
    shown = _helpers.decode("picture", source, limits, client, fit)
    return ShownPicture(client.image, shown.note, shown.content_hash)


def clip(source: MediaSource, limits: Limits, plan: Plan) -> tuple[Clip, str]:
    """The frames that `plan` wants of a clip, resized on the way, and SHA-256 of the file.

    Raises:
        DecodeError: it cannot be decoded, or takes too much.
        OSError: it cannot be read.
        Exception: what `plan` raises.
    """
    client = _ClipClient(plan)
    shown = _helpers.decode("clip", source, limits, client)
    return Clip(client.facts, client.wanted, client.frames), shown.content_hash


class _PictureClient:
    """Helper and rank each have `fit`: the helper need not ask, and what it answers is checked."""

    image: Image.Image

    def __init__(self, fit: Fit) -> None:
        self._fit = fit

    def answer(self, message: Misfit | Facts) -> Go:
        if isinstance(message, Misfit):
            with suppress(ArithmeticError):
                self._fit.size(message.width, message.height)
        raise NonsenseError  # it has a size, or never was a picture

    def agrees(self, shown: Shown) -> bool:
        try:
            return shown.frames == 1 and self._fit.size(*shown.source) == (shown.width, shown.height)
        except (SampleError, ArithmeticError):
            return False

    def take(self, shown: Shown, pixels: SharedPixels) -> None:
        self.image = Image.new("RGB", (shown.width, shown.height), None)  # not filled, for it is written over at once
        self.image.frombytes(pixels.view(shown.width * shown.height * len(LAYOUT)), "raw", LAYOUT)


class _ClipClient:
    """It plans by what the helper tells of the clip, and takes that plan's frames."""

    facts: VideoFacts
    wanted: Wanted
    frames: NDArray[np.uint8]

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._is_planned = False

    def answer(self, message: Misfit | Facts) -> Go:
        if isinstance(message, Misfit):
            raise NonsenseError
        self.facts = VideoFacts(np.frombuffer(message.times), message.duration, message.width, message.height)
        self.wanted = self._plan(self.facts)
        self._is_planned = True
        return Go(self.wanted.width, self.wanted.height, self.wanted.indices)

    def agrees(self, shown: Shown) -> bool:
        if not self._is_planned:
            return False
        wanted = self.wanted
        return (shown.frames, shown.width, shown.height) == (len(wanted.indices), wanted.width, wanted.height)

    def take(self, shown: Shown, pixels: SharedPixels) -> None:
        shape = (shown.frames, shown.height, shown.width, 3)
        self.frames = pixels.copied(math.prod(shape)).reshape(shape)


def end_helpers() -> None:
    """Kill all helper processes, so that no decoder that hangs keeps the rank from ending."""
    _helpers.end()


# --- processes
class _Helpers:
    """The helpers of this process, as many as decode at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: ForkServer | None = None
        self._idle: list[Helper] = []
        self._memory = Memory()
        self._ends = 0
        self._has_said = False

    def decode(self, kind: Kind, source: MediaSource, limits: Limits, client: Client, fit: Fit | None = None) -> Shown:
        """Decode a file in a helper; raises as `Helper.decode` does, and UserError where no helper can be started."""
        job_number, has_worked = object(), False

        def grant(memory: int) -> None:
            self._memory.take(job_number, memory, limits.memory)

        ends = self._ends
        granted = min(_GRANTED, limits.memory // _GRANTED_SHARE)
        with source.opened() as content:
            job = Job(kind, content.begin, content.size, limits.most_pixels, limits.seconds, granted, fit)
            for _ in range(_TRIES):
                try:
                    with self._helper() as helper:
                        grant(granted)
                        return helper.decode(job, content.descriptor, client, grant)
                except ServerGoneError as gone:
                    has_worked = gone.server.has_worked
                    self._forget(gone.server)
                    if self._ends != ends:
                        raise EndedError from None
                finally:
                    self._memory.give_back(job_number)
        if not has_worked:
            raise UserError("the processes that decode media cannot be started; what they said is above")
        raise DecodeError(ErrorKind.UNEXPECTED, "the process that starts decoders was killed, several times")

    @contextmanager
    def _helper(self) -> Iterator[Helper]:
        with self._lock:
            helper = self._idle.pop() if self._idle else None
            if helper is None and self._server is None:
                self._server = ForkServer()
            server = self._server
        if helper is None:
            assert server is not None
            helper = Helper(server)
            self._say_what_lacks(helper)
        try:
            yield helper
        finally:
            with self._lock:
                is_kept = helper.is_sound and helper.server is self._server
                if is_kept:
                    self._idle.append(helper)
            if not is_kept and not helper.is_over:
                helper.end()

    def _say_what_lacks(self, helper: Helper) -> None:
        with self._lock:
            says = bool(helper.lacks) and not self._has_said
            self._has_said |= says
        if says:
            lacks = " nor ".join(helper.lacks)
            note(f"this kernel offers no {lacks}: what decodes media is not kept from other files and the network")

    def _forget(self, server: ForkServer | None) -> None:
        """End a fork server, and drop the helpers that go with it."""
        with self._lock:
            if self._server is server:
                self._server = None
            self._idle = [helper for helper in self._idle if helper.server is not server]
        if server is not None:
            server.end()

    def end(self) -> None:
        """End all helpers; later files get new ones."""
        self._ends += 1
        self._memory.end()
        self._forget(self._server)


_helpers = _Helpers()
