"""Files that are made to hurt who reads them, and a look at the helpers that read them."""

import io
import struct
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import psutil
from PIL import Image

from tests.pictures import png_chunk


def helpers() -> list[psutil.Process]:
    """The processes that decode for this one, the fork server first."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if any("decoding.helper" in word for word in process.cmdline()):
                found.append(process)
        except psutil.Error:  # it has ended meanwhile
            continue
    return found


def processor_seconds() -> float:
    """What this process and all its helpers have taken of the processors, those too that have ended."""
    server, *others = helpers()
    ended = server.cpu_times()
    living = [process.cpu_times() for process in (psutil.Process(), server, *others)]
    return float(ended.children_user + ended.children_system + sum(times.user + times.system for times in living))


def peak_of_helpers(while_at: Callable[[], object]) -> int:
    """The most bytes that all helpers had in memory together meanwhile."""
    over, peak = threading.Event(), 0

    def look() -> None:
        nonlocal peak
        while not over.wait(0.02):
            found = 0
            for process in helpers():
                with suppress(psutil.NoSuchProcess, ProcessLookupError):  # it has ended meanwhile
                    found += process.memory_full_info().uss  # not what a fork has in common with its parent
            peak = max(peak, found)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        while_at()
    finally:
        over.set()
        looker.join()
    return peak


def jpeg_of_many_scans(scans: int) -> bytes:
    """A progressive JPEG of 1.6 MB for 2,000 scans which bring nothing, each of which takes a walk over all pixels."""
    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (2000, 2000), np.uint8)
    Image.fromarray(noise).resize((4000, 4000)).save(out, "JPEG", progressive=True, quality=5)
    content = out.getvalue()
    begin = content.rindex(b"\xff\xda")  # the last scan, which brings the finest bits of one component
    head = content[begin : begin + 2 + int.from_bytes(content[begin + 2 : begin + 4])]
    empty = head + b"\0" * 8  # it ends at once: what is missing counts as zeros
    return content[:-2] + empty * scans + content[-2:]


def webp_of_one_colour(side: int) -> bytes:
    """A WebP without loss of 34 bytes, whatever its size."""
    bits = (side - 1) | (side - 1) << 14
    body = b"\x2f" + struct.pack("<I", bits) + bytes((0x88, 0x88, 0x08, 0, 0))
    body += bytes(len(body) % 2)
    return b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBPVP8L" + struct.pack("<I", len(body)) + body


def png_of_one_colour(width: int, height: int, rows: int | None = None) -> bytes:
    """A PNG of half-transparent pixels that packs a thousand of its bytes into one; `rows` of them are there."""
    packer = zlib.compressobj(6)
    row = b"\0" + b"\x80" * (4 * width)
    packed = b"".join([packer.compress(row) for _ in range(rows or height)]) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")
