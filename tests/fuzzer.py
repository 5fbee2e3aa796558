"""Hostile files: real ones of every format that is read, made on the spot and damaged on purpose, seeded."""

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tests.helpers import make_clip
from tests.odd_clips import FORMS
from tests.pipeline.test_odd_pictures import write_forms

CLIPS = (
    *("h264 gop 12", "h264 fragmented", "h264 mov", "h264 ts", "h264 avi", "h264 flv", "h264 open gop mkv", "prores"),
    *("hevc closed gop", "mpeg-1", "mpeg-2", "mpeg-2 mxf", "xvid avi", "mjpeg avi", "wmv", "vp8 webm", "vp9 webm"),
    *("av1 mp4", "av1 ivf", "theora", "gif", "ffv1", "turned 90", "sound first"),
)
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x3FFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_MOST_BYTES = 2**21

Damage = Callable[[random.Random, bytearray, list[bytes]], bytearray]


def sound_files(folder: Path) -> dict[str, bytes]:
    """Small pictures and clips by their names, all of them readable."""
    noise = np.random.default_rng(0).normal(0, 12, (84, 112, 3))
    ramp = np.add.outer(np.linspace(0, 120, 84), np.linspace(0, 100, 112))[..., None] + 16
    Image.fromarray((ramp + noise).clip(0, 255).astype(np.uint8)).save(folder / "source.png")
    write_forms(folder / "pictures", folder / "source.png")
    (folder / "clips").mkdir()
    source = make_clip(folder / "source.mp4", 30)
    for number, name in enumerate(CLIPS):
        FORMS[name].make(source, folder / "clips" / f"{number}{FORMS[name].suffix}")
    paths = sorted([*(folder / "pictures").iterdir(), *(folder / "clips").iterdir()])
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def hostile_files(sound: dict[str, bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Name and content of `count` files, each with one to three damages; every sound file has its turn."""
    names, contents = [*sound], [*sound.values()]
    for number in range(count):
        dice = random.Random(f"{seed}/{number}")
        name = names[number % len(names)]
        content = bytearray(sound[name])
        for _ in range(dice.choice((1, 1, 2, 3))):
            content = dice.choice(DAMAGES)(dice, content, contents)[:_MOST_BYTES]
        yield f"{number}-{name.replace('/', '-')}", bytes(content)


def _place(dice: random.Random, content: bytearray, size: int = 1) -> int:
    """Anywhere, but as often as not near the beginning, where lengths and sizes stand."""
    most = max(0, len(content) - size)
    return dice.randint(0, min(most, 512) if dice.random() < 0.5 else most)


def _flip_bits(dice: random.Random, content: bytearray, _: list[bytes]) -> bytearray:
    for _number in range(dice.choice((1, 3, 20, 200))):
        if content:
            content[_place(dice, content)] ^= 1 << dice.randrange(8)
    return content


def _cut_off(dice: random.Random, content: bytearray, _: list[bytes]) -> bytearray:
    return content[: dice.randint(1, max(1, len(content)))]


def _set_a_number(dice: random.Random, content: bytearray, _: list[bytes]) -> bytearray:
    """A length, a count or a size becomes another, in either order of bytes."""
    form = dice.choice((">H", "<H", ">I", "<I"))
    mask = 0xFFFF if form[1] == "H" else 0xFFFFFFFF
    packed = struct.pack(form, dice.choice((*_EXTREMES, dice.randrange(2**32))) & mask)
    place = _place(dice, content, len(packed))
    content[place : place + len(packed)] = packed
    return content


def _repeat(dice: random.Random, content: bytearray, _: list[bytes]) -> bytearray:
    begin = _place(dice, content)
    part = content[begin : begin + dice.choice((8, 64, 1024, 8192))]
    return content[:begin] + part * dice.choice((2, 10, 300)) + content[begin:]


def _leave_out(dice: random.Random, content: bytearray, _: list[bytes]) -> bytearray:
    begin = _place(dice, content)
    return content[:begin] + content[begin + dice.choice((1, 4, 100, 1000)) :]


def _overwrite(dice: random.Random, content: bytearray, _: list[bytes]) -> bytearray:
    begin, length = _place(dice, content), dice.choice((4, 100, 1000))
    filled = dice.choice((bytes(length), b"\xff" * length, dice.randbytes(length)))
    content[begin : begin + length] = filled
    return content


def _other_head(dice: random.Random, content: bytearray, others: list[bytes]) -> bytearray:
    length = dice.choice((12, 32, 200, 1000))
    return bytearray(dice.choice(others)[:length]) + content[length:]


def _other_tail(dice: random.Random, content: bytearray, others: list[bytes]) -> bytearray:
    other = dice.choice(others)
    return content[: _place(dice, content)] + other[dice.randrange(len(other)) :]


def _huge(dice: random.Random, content: bytearray, _: list[bytes]) -> bytearray:
    """Width and height become huge; a PNG's checksum is made to fit."""
    width, height = (dice.choice((1, 20_000, 65_000, 15_000, 0)) for _side in range(2))
    if content.startswith(b"\x89PNG"):
        content[16:24] = struct.pack(">II", width, height)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    elif content.startswith(b"\xff\xd8"):
        places = [place for kind in (b"\xff\xc0", b"\xff\xc2") if (place := content.find(kind)) >= 0]
        for place in places:
            content[place + 5 : place + 9] = struct.pack(">HH", height, width)
    elif content.startswith(b"GIF8"):
        content[6:10] = struct.pack("<HH", width, height)
    elif content[8:12] == b"WEBP":
        content[24:30] = (width - 1 & 0xFFFFFF).to_bytes(3, "little") + (height - 1 & 0xFFFFFF).to_bytes(3, "little")
    else:
        for old in (112, 84, 96, 64):
            place = content.find(struct.pack(">H", old))
            if place >= 0:
                content[place : place + 2] = struct.pack(">H", dice.choice((width, height)) & 0xFFFF)
    return content


DAMAGES: tuple[Damage, ...] = (
    *(_flip_bits, _cut_off, _set_a_number, _set_a_number, _repeat, _leave_out, _overwrite, _other_head, _other_tail),
    *(_huge, _huge),
)
