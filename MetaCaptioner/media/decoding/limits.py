"""What decoding may take: memory by what a header promises, processors' time, and a share of the machine for all."""

import os
from contextlib import suppress
from pathlib import Path

_PROC, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_SHARE = 4
_LEAST_MEMORY = 2**30

SLACK = 2**26
"""Bytes that a helper may take besides what was asked for: for small files, and for what no header tells."""

# Bytes a pixel at the peak of decoding, about one and a half times what pictures of 36 million pixels took.
_BYTES_A_PIXEL = {"JPEG": 12, "MPO": 12, "PNG": 14, "WEBP": 24, "GIF": 14, "BMP": 12, "PPM": 12}
_BYTES_A_PIXEL |= {"TIFF": 16, "JPEG2000": 30, "AVIF": 24, "HEIF": 24, "JXL": 40}
_BYTES_A_CLIP_PIXEL = 80  # of a frame: up to 16 frames that others build upon, and those on their way
_DEEP_TIMES = 5  # of the bytes that deep values are stored in
_COPIES_OF_FILE = 3

# Processors' seconds that are allowed: a file at all, a byte of it, and a pixel that is decoded.
_SECONDS, _BYTES_A_SECOND, _PIXELS_A_SECOND = 1.5, 10e6, 5e6


def memory_of(kind: str, width: int, height: int, size: int, stored: int = 0) -> int:
    """Bytes that it takes to decode a picture of `size` bytes, at most; `stored` are those of a pixel of over 8 bit."""
    each = max(_BYTES_A_PIXEL.get(kind, max(_BYTES_A_PIXEL.values())), _DEEP_TIMES * stored)
    return width * height * each + _COPIES_OF_FILE * size


def memory_of_clip(width: int, height: int) -> int:
    """Bytes that it takes to decode frames of this size, whatever the codec."""
    return width * height * _BYTES_A_CLIP_PIXEL


def processor_seconds(size: int, pixels: int) -> float:
    """Processors' seconds in which `size` bytes must be read and `pixels` decoded; several times what it takes."""
    return _SECONDS + size / _BYTES_A_SECOND + pixels / _PIXELS_A_SECOND


def default_memory(ranks_here: int) -> int:
    """Bytes for all that a rank decodes at a time: a quarter of its share of the machine, or of its control group."""
    return max(_memory_here() // max(1, ranks_here) // _SHARE, _LEAST_MEMORY)


def _memory_here() -> int:
    """Bytes that the processes here may use: those of the machine, or less if a control group says so.

    Source: cgroups(7); the files memory.max (version 2) and memory.limit_in_bytes (version 1).
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with suppress(OSError):
        for line in _PROC.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            top, name = (_CGROUPS / "memory", "memory.limit_in_bytes") if controllers else (_CGROUPS, "memory.max")
            for folder in (top / path.lstrip("/"), *(top / path.lstrip("/")).parents):
                with suppress(OSError, ValueError):
                    limits.append(int((folder / name).read_text()))
    return min(limits)
