"""Picture files of every kind, made on the spot, and what they are shown as."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from MetaCaptioner.errors import DecodeError
from MetaCaptioner.media.picture import Picture, decode

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
MOST_PIXELS = 250_000_000
ORIENTATION = 0x0112
SIDEWAYS = 6  # of EXIF: to be turned by 90 degrees clockwise


def load(file: Path | bytes, fit: Callable[[int, int], tuple[int, int]] = lambda *size: size) -> Picture:
    return decode(file if isinstance(file, bytes) else file.read_bytes(), MOST_PIXELS, fit)


def refused(file: Path | bytes) -> DecodeError:
    """The error of a file that is no picture; it must be one line."""
    with pytest.raises(DecodeError) as raised:
        load(file)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 1000
    return raised.value


def pixels(picture: Picture) -> NDArray[np.uint8]:
    assert picture.image.mode == "RGB"
    return np.asarray(picture.image)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    if kind == "JXL":
        return bytes(imagecodecs.jpegxl_encode(np.asarray(image), **({"lossless": True} | options)))
    image.save(out, kind, **options)
    return out.getvalue()


def tiff(values: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, values, **options)
    return out.getvalue()


def near(colour: NDArray[np.uint8], wanted: tuple[int, int, int], tolerance: int = 12) -> bool:
    return bool(np.abs(colour.astype(int) - wanted).max() <= tolerance)


def unlike(shown: Picture, wanted: NDArray[Any] | Image.Image) -> float:
    """The mean difference of shown values from those wanted; 255 where the size is another."""
    expected = np.asarray(wanted).astype(float)
    expected = expected if expected.ndim == 3 else np.dstack([expected] * 3)
    found = pixels(shown).astype(float)
    return float(np.abs(found - expected).mean()) if found.shape == expected.shape else 255.0


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """A PNG with more chunks behind its header."""
    return png[:33] + b"".join(chunks) + png[33:]
