"""What a rank and its decoding helpers say to each other over a socket.

What comes from a helper is data and never objects to be made (no pickle): it has read a file that nobody vouches for.
A message is its length in four bytes, then MessagePack; pixels go through a file that both have open.
"""

import socket
import struct
from typing import Literal

import msgspec

from MetaCaptioner.media.resize_rule import Fit

_LONGEST = 2**28
_ROOM = 2**16
_LENGTH = struct.Struct("=I")

FORK, END = b"fork", b"end "
"""What a rank asks of the fork server: a helper on the socket and with the files that come along, or the end of one."""
ORDER, ANSWER = struct.Struct("=4sq"), struct.Struct("=q")
"""How that is sent, and what comes back: the helper's number, or the status that it ended with."""

Kind = Literal["picture", "clip"]


class Job(msgspec.Struct, frozen=True, tag=True):
    """To a helper, with an open file: decode `size` bytes from `begin`, within `most_pixels` and `seconds`.

    It may take `granted` bytes of memory unasked. A picture is made of the size that `fit` gives it.
    """

    kind: Kind
    begin: int
    size: int
    most_pixels: int
    seconds: float
    granted: int
    fit: Fit | None = None


class Go(msgspec.Struct, frozen=True, tag=True):
    """To a helper: go on; of a clip, take the frames of these indices, and make them of this size."""

    width: int = 0
    height: int = 0
    indices: tuple[int, ...] = ()


class Leave(msgspec.Struct, frozen=True, tag=True):
    """To a helper: that file is not wanted; wait for the next."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From a helper, at first: it is shut in, but for the locks that the kernel lacks."""

    lacks: tuple[str, ...]


class Need(msgspec.Struct, frozen=True, tag=True):
    """From a helper: by its header the file takes so many bytes of memory, more than were granted."""

    memory: int


class Misfit(msgspec.Struct, frozen=True, tag=True):
    """From a helper: `fit` gives a picture of so many pixels no size. What is wrong with it the rank finds itself."""

    width: int
    height: int


class Facts(msgspec.Struct, frozen=True, tag=True):
    """From a helper: what there is to see of a clip (`VideoFacts`); `times` are float64 in the machine's order."""

    times: bytes
    duration: float
    width: int
    height: int


class Shown(msgspec.Struct, frozen=True, tag=True):
    """From a helper: done, and its file begins with the values of `frames` pictures, in `LAYOUT` or RGB of a clip.

    `source` is the (width, height) of a picture before it was resized. The helper ends now if `retires`.
    """

    width: int
    height: int
    frames: int
    content_hash: str
    source: tuple[int, int] = (0, 0)
    note: str | None = None
    retires: bool = False


class Refused(msgspec.Struct, frozen=True, tag=True):
    """From a helper: why there is nothing to see; `kind` is an `ErrorKind`, if the helper is what it should be."""

    kind: str
    reason: str
    retires: bool = False


class Unreadable(msgspec.Struct, frozen=True, tag=True):
    """From a helper: the operating system's error while it read the file."""

    number: int
    retires: bool = False


ToHelper = Job | Go | Leave
Question = Need | Misfit | Facts
FromHelper = Ready | Question | Shown | Refused | Unreadable

_to_helper: msgspec.msgpack.Decoder[ToHelper] = msgspec.msgpack.Decoder(ToHelper)
_from_helper: msgspec.msgpack.Decoder[FromHelper] = msgspec.msgpack.Decoder(FromHelper)


class NonsenseError(Exception):
    """What came is no message."""


def framed(message: ToHelper | FromHelper) -> bytes:
    """A message as it is sent."""
    body = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(body)) + body


def receive_job(connection: socket.socket) -> tuple[Job, int]:
    """The next job and the descriptor of its file.

    Raises:
        EOFError: there are no more.
    """
    data, descriptors, _, _ = socket.recv_fds(connection, _ROOM, 1)
    if not data:
        raise EOFError
    message = _to_helper.decode(data[_LENGTH.size :])
    if not isinstance(message, Job) or len(descriptors) != 1:
        raise NonsenseError
    return message, descriptors[0]


def receive_answer(connection: socket.socket) -> ToHelper:
    """What the rank answers to a question. No byte more is read: the next job may follow, and its file with it."""
    [length] = _LENGTH.unpack(receive_bytes(connection, _LENGTH.size))
    return _to_helper.decode(receive_bytes(connection, length))


def receive(connection: socket.socket) -> FromHelper:
    """The next message of a helper, which sends no other before it is answered: mostly it comes in one piece.

    Raises:
        EOFError: it has ended.
        TimeoutError: the socket's time is over.
        NonsenseError: it sent no message.
    """
    data = connection.recv(_ROOM)
    if not data:
        raise EOFError
    if len(data) < _LENGTH.size:
        data += receive_bytes(connection, _LENGTH.size - len(data))
    [length] = _LENGTH.unpack_from(data)
    missing = _LENGTH.size + length - len(data)
    if length > _LONGEST or missing < 0:
        raise NonsenseError
    if missing:
        data += receive_bytes(connection, missing)
    try:
        return _from_helper.decode(memoryview(data)[_LENGTH.size :])
    except msgspec.MsgspecError as error:
        raise NonsenseError from error


def receive_bytes(connection: socket.socket, count: int) -> bytearray:
    """Exactly so many bytes; raises as `receive` does."""
    data = bytearray(count)
    view = memoryview(data)
    while view:
        got = connection.recv_into(view)
        if not got:
            raise EOFError
        view = view[got:]
    return data
