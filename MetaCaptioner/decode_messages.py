"""What a rank and its decoding helpers say to each other over a socket.

What comes from a helper is data and never objects to be made (no pickle): it has read a file that nobody vouches for.
A message is its length in four bytes, then MessagePack; pixels go through a file that both have open.
"""

import socket
import struct
from typing import Literal

import msgspec

_LONGEST = 2**28
_ROOM = 2**16

FORK, END = b"fork", b"end "
"""What a rank asks of the fork server: a helper on the socket and with the file that come along, or the end of one."""
ORDER, ANSWER = struct.Struct("=4sq"), struct.Struct("=q")
"""How that is sent, and what comes back: the helper's number, or the status that it ended with."""

Kind = Literal["picture", "clip"]


class Job(msgspec.Struct, frozen=True, tag=True):
    """To a helper, with an open file: decode `size` bytes from `begin`, within `most_pixels` and `seconds`."""

    kind: Kind
    begin: int
    size: int
    most_pixels: int
    seconds: float


class Go(msgspec.Struct, frozen=True, tag=True):
    """To a helper: go on, and make it of this size; of a clip, take the frames of these indices."""

    width: int
    height: int
    indices: tuple[int, ...] = ()


class Leave(msgspec.Struct, frozen=True, tag=True):
    """To a helper: that file is not wanted; wait for the next."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From a helper, at first: it is shut in, but for the locks that the kernel lacks."""

    lacks: tuple[str, ...]


class Size(msgspec.Struct, frozen=True, tag=True):
    """From a helper: pixels by the header, and how many bytes of memory it takes to decode them; 0: no more."""

    width: int
    height: int
    memory: int


class Facts(msgspec.Struct, frozen=True, tag=True):
    """From a helper: what there is to see of a clip (`VideoFacts`); `times` are float64 in the machine's order."""

    times: bytes
    duration: float
    width: int
    height: int


class Shown(msgspec.Struct, frozen=True, tag=True):
    """From a helper: done, and its file begins with the RGB values of `frames` pictures. It ends now if `retires`."""

    width: int
    height: int
    frames: int
    content_hash: str
    note: str | None = None
    retires: bool = False


class Refused(msgspec.Struct, frozen=True, tag=True):
    """From a helper: why there is nothing to see."""

    kind: str
    reason: str
    retires: bool = False


class Unreadable(msgspec.Struct, frozen=True, tag=True):
    """From a helper: the operating system's error while it read the file."""

    number: int
    retires: bool = False


ToHelper = Job | Go | Leave
FromHelper = Ready | Size | Facts | Shown | Refused | Unreadable

_to_helper: msgspec.msgpack.Decoder[ToHelper] = msgspec.msgpack.Decoder(ToHelper)
_from_helper: msgspec.msgpack.Decoder[FromHelper] = msgspec.msgpack.Decoder(FromHelper)


class NonsenseError(Exception):
    """What came is no message."""


def framed(message: ToHelper | FromHelper) -> bytes:
    """A message as it is sent."""
    body = msgspec.msgpack.encode(message)
    return struct.pack("=I", len(body)) + body


def receive_job(connection: socket.socket) -> tuple[Job, int]:
    """The next job and the descriptor of its file.

    Raises:
        EOFError: there are no more.
    """
    data, descriptors, _, _ = socket.recv_fds(connection, _ROOM, 1)
    if not data:
        raise EOFError
    message = _to_helper.decode(data[4:])
    if not isinstance(message, Job) or len(descriptors) != 1:
        raise NonsenseError
    return message, descriptors[0]


def receive_answer(connection: socket.socket) -> ToHelper:
    """What the rank answers to a `Size` or `Facts`."""
    return _to_helper.decode(_body(connection))


def receive(connection: socket.socket) -> FromHelper:
    """The next message of a helper.

    Raises:
        EOFError: it has ended.
        TimeoutError: the socket's time is over.
        NonsenseError: it sent no message.
    """
    try:
        return _from_helper.decode(_body(connection))
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


def _body(connection: socket.socket) -> bytearray:
    [length] = struct.unpack("=I", receive_bytes(connection, 4))
    if length > _LONGEST:
        raise NonsenseError
    return receive_bytes(connection, length)
