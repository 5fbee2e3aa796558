"""The processes that decode: a fork server, which knows the libraries, and the helpers that it forks.

A rank starts this module as a program (`decoding`). Loading the libraries takes a third of a second; a fork of the
process that has done it takes a hundredth. Helpers are shut in (`sandbox`): they get each file open from the rank.
"""

import codecs
import errno
import gc
import hashlib
import importlib
import os
import pkgutil
import resource
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import NoReturn

import av
import msgspec
import numpy as np
import PIL
import tifffile
from PIL import Image

from MetaCaptioner.data.media_source import Stretch
from MetaCaptioner.errors import DecodeError, ErrorKind, SampleError
from MetaCaptioner.media import picture, video
from MetaCaptioner.media.clip import VideoError, VideoFacts, Wanted
from MetaCaptioner.media.decoding import sandbox
from MetaCaptioner.media.decoding.limits import SLACK, memory_of, memory_of_clip, processor_seconds
from MetaCaptioner.media.decoding.messages import (
    ANSWER,
    FORK,
    ORDER,
    Facts,
    FromHelper,
    Go,
    Job,
    Misfit,
    Need,
    Question,
    Ready,
    Refused,
    Shown,
    Unreadable,
    framed,
    receive_answer,
    receive_job,
)
from MetaCaptioner.media.decoding.pillow_memory import pixels_of
from MetaCaptioner.media.decoding.shared_pixels import PixelWriter
from MetaCaptioner.utils.processes import kill_when_parent_ends

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
_CODECS = ("ascii", "cp1252", "latin_1", "utf_8", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "unicode_escape")
_NEVER_NEEDED = ("av.__main__", *(f"PIL.{name}" for name in ("__main__", "report", "ImageTk", "ImageQt", "ImageShow")))
_NEEDED_LATE = ("numpy.ma", "xml.etree.ElementTree", "statistics", "datetime", "logging", "traceback")
_LOOK_MILLISECONDS = 2000
_EASILY_KEPT = 2**27  # bytes that a helper may still have when it is through with a file


def main(control: int, rank: int) -> NoReturn:
    """The fork server: fork and end helpers as the rank says, until that is gone.

    A signal to the whole process group is the rank's to act on; what is in hand is decoded to its end.
    """
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    _load_all()
    gc.freeze()
    helpers: set[int] = set()
    with suppress(ConnectionError):  # how it shows that the rank was killed while an order or an answer was on its way
        _follow_orders(socket.socket(fileno=control), rank, helpers)
    for process in helpers:
        _end(process)
    os._exit(0)


def _follow_orders(orders: socket.socket, rank: int, helpers: set[int]) -> None:
    """Keep up `helpers`, the processes that are there, until the rank is gone.

    Raises:
        ConnectionError: so it is.
    """
    answer = select.poll()
    answer.register(orders, select.POLLIN)
    while os.getppid() == rank:
        if not answer.poll(_LOOK_MILLISECONDS):
            continue
        data, descriptors, _, _ = socket.recv_fds(orders, ORDER.size, 3)
        if not data:
            break
        order, process = ORDER.unpack(data)
        if order == FORK:
            process = os.fork()
            if process == 0:
                orders.close()
                connection, usual, large = descriptors
                _be_helper(socket.socket(fileno=connection), PixelWriter(usual, large), os.getppid())
            helpers.add(process)
            for descriptor in descriptors:
                os.close(descriptor)
            orders.sendall(ANSWER.pack(process))
        else:
            status = _end(process) if process in helpers else 0  # else it is none of ours, or not any more
            helpers.discard(process)
            orders.sendall(ANSWER.pack(status))


def _end(process: int) -> int:
    """Kill a helper that may be dead by itself; its status as of `os.waitstatus_to_exitcode`."""
    os.kill(process, signal.SIGKILL)  # until it is waited for, no other process has its number
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _load_all() -> None:
    """Import what the libraries import only when it is needed: a helper can open no file."""
    for name in _CODECS:
        codecs.lookup(name)
    packages = (*pkgutil.walk_packages(av.__path__, "av."), *pkgutil.iter_modules(PIL.__path__, "PIL."))
    for name in (*(module.name for module in packages), *_NEEDED_LATE):
        if name not in _NEVER_NEEDED:
            with suppress(ImportError):  # of formats that take further libraries
                importlib.import_module(name)
    for compression in tifffile.COMPRESSION:
        with suppress(KeyError):  # it knows more names than it can read
            tifffile.TIFF.DECOMPRESSORS[compression]
    for predictor in tifffile.PREDICTOR:
        with suppress(KeyError):
            tifffile.TIFF.UNPREDICTORS[predictor]


# --- the helper
def _be_helper(connection: socket.socket, pixels: PixelWriter, server: int) -> NoReturn:
    try:
        kill_when_parent_ends(server)
        with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
            file.write("1000")  # where memory runs out, the kernel takes a helper and not the rank
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        _Helper(connection, pixels).serve()
    except (EOFError, ConnectionError):
        os._exit(0)
    finally:
        os._exit(1)


def _of_system(error: OSError) -> Unreadable | Refused:
    if error.errno == errno.EACCES:  # not of the file, which is open: a library wanted more than it may have
        return Refused(ErrorKind.UNEXPECTED, f"the decoder asked for another file: {error}")
    return Unreadable(error.errno) if error.errno else Refused(ErrorKind.MEDIA_CORRUPT, str(error))


class _LeftError(Exception):
    """The rank does not want the file, after what it was told."""


class _Helper:
    """Decodes one file after another."""

    def __init__(self, connection: socket.socket, pixels: PixelWriter) -> None:
        self._connection = connection
        self._pixels = pixels
        self._memory_file = os.open("/proc/self/statm", os.O_RDONLY) if sys.platform == "linux" else None
        self._at_first = self._memory()
        self._lacks = sandbox.shut_in()
        self._admitted = 0
        _, self._most_memory = resource.getrlimit(resource.RLIMIT_DATA)

    def serve(self) -> None:
        """Raises EOFError where the rank is gone."""
        self._send(Ready(self._lacks))
        while True:
            job, descriptor = receive_job(self._connection)
            try:
                shown = self._do(job, Stretch(descriptor, job.begin, job.size))
            except _LeftError:
                continue
            finally:  # before it is told: this file's time must not end the next one
                signal.setitimer(signal.ITIMER_PROF, 0)
                os.close(descriptor)
            retires = self._memory() - self._at_first > _EASILY_KEPT
            self._send(msgspec.structs.replace(shown, retires=retires))
            if retires:
                return

    def _do(self, job: Job, content: Stretch) -> Shown | Refused | Unreadable:
        """Decode a file; what is to be told of it."""
        self._begin(job)
        try:
            return (self._picture if job.kind == "picture" else self._clip)(job, content)
        except (DecodeError, SampleError) as error:
            return Refused(error.kind, str(error))
        except _LeftError:
            raise
        except MemoryError:
            taken = max(self._admitted, SLACK) / 2**30
            return Refused(
                ErrorKind.MEDIA_TOO_LARGE, f"takes over {taken:.1f} GiB to decode, more than its size lets expect"
            )
        except OSError as error:
            return _of_system(error)
        except Exception as error:  # noqa: BLE001 what no decoder should say costs one sample
            return Refused(ErrorKind.UNEXPECTED, f"{type(error).__name__}: {error}")

    def _begin(self, job: Job) -> None:
        self._job = job
        self._limit_memory(job.granted)
        self._limit_time(job.size, 0)

    def _limit_memory(self, more: int) -> None:
        """Have all that is asked for beyond `more` bytes refused: a file may take more than its header lets expect."""
        self._admitted, most = more, self._most_memory
        wanted = self._memory() + SLACK + more
        resource.setrlimit(resource.RLIMIT_DATA, (wanted if most < 0 else min(wanted, most), most))

    def _limit_time(self, size: int, pixels: int) -> None:
        signal.setitimer(signal.ITIMER_PROF, min(processor_seconds(size, pixels), self._job.seconds))

    def _memory(self) -> int:
        """Bytes that this process may write to. Source: proc(5), /proc/[pid]/statm."""
        if self._memory_file is None:
            return 0
        return int(os.pread(self._memory_file, 256, 0).split()[5]) * resource.getpagesize()

    def _send(self, message: FromHelper) -> None:
        self._connection.sendall(framed(message))

    def _ask(self, message: Question) -> Go:
        """Tell the rank what there is, and hear what it wants; while it thinks, no time runs.

        Raises:
            _LeftError: nothing.
        """
        self._send(message)
        answer = receive_answer(self._connection)
        if not isinstance(answer, Go):
            raise _LeftError
        return answer

    def _admit(self, memory: int) -> None:
        if memory > self._admitted:
            self._ask(Need(memory))
            self._limit_memory(memory)

    # --- pictures

    def _picture(self, job: Job, content: Stretch) -> Shown:
        def fit(width: int, height: int) -> tuple[int, int]:
            assert job.fit is not None
            try:
                return job.fit.size(width, height)
            except SampleError:
                self._ask(Misfit(width, height))
                raise

        def admit(kind: str, width: int, height: int, stored: int) -> None:
            fit(width, height)
            self._admit(memory_of(kind, width, height, job.size, stored))
            self._limit_time(job.size, width * height)

        if job.size > SLACK // 4:  # its bytes alone are too many to be read unasked
            with content.open() as file, suppress(ValueError):
                admit("", *picture.size_by_header(file), 0)
        data = content.read()
        shown = picture.decode(data, job.most_pixels, fit, admit)
        size = fit(*shown.image.size)
        image = shown.image if shown.image.size == size else shown.image.resize(size, Image.Resampling.BICUBIC)
        with pixels_of(image) as pixels:
            self._pixels.write(pixels)
        return Shown(*size, 1, hashlib.sha256(data).hexdigest(), shown.image.size, shown.note)

    # --- clips

    def _clip(self, job: Job, content: Stretch) -> Shown:
        def admit(width: int, height: int, frames: int) -> None:
            if width * height > job.most_pixels:
                reason = f"{width}x{height} is over {job.most_pixels:,} pixels, left undecoded (a bomb?)"
                raise DecodeError(ErrorKind.MEDIA_TOO_LARGE, reason)
            if frames and not width * height:
                raise VideoError(f"its frames are of {width}x{height} pixels: there is nothing to see")
            self._admit(memory_of_clip(width, height))
            self._limit_time(job.size, width * height * frames)

        def plan(facts: VideoFacts) -> Wanted:
            told = Facts(facts.times.astype(np.float64).tobytes(), facts.duration, facts.width, facts.height)
            go = self._ask(told)
            return Wanted(go.indices, go.width, go.height)

        clip = video.sample(content, plan, admit)
        wanted = clip.wanted
        self._pixels.write(clip.frames.reshape(-1).data)
        return Shown(wanted.width, wanted.height, len(wanted.indices), content.hash())
