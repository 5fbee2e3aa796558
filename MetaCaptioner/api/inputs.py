"""What a user may give to be captioned -> a row as an annotation file has it, or why it is none."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import SAVE_INFO

from MetaCaptioner.data.inputs.base import modality_of
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.errors import ErrorKind, SampleError
from MetaCaptioner.media.resize_rule import Multiples

Picture = str | os.PathLike[str] | Image.Image | NDArray[np.uint8]
"""A path of a picture or clip, or a picture: of Pillow, or (height, width, 3) of 8 bit in RGB."""
_KNOWN = "give a path, a PIL image, or an array of shape (height, width, 3) and type uint8"
_PLAIN = ("L", "RGB")
_OF_PNG = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
"""Modes of Pillow that PNG takes without loss, with the value that is transparent; most others TIFF does."""


@dataclass(frozen=True)
class Asked:
    """One input: the row that stands for it, how the user named it, and what is wrong with it.

    `spooled` is a file that was made for it and is of no use afterwards.
    """

    row: dict[str, str] = field(default_factory=dict)
    name: str | None = None
    modality: Modality = "image"
    problem: tuple[ErrorKind, str] | None = None
    spooled: Path | None = None


def check_inputs(inputs: object) -> None:
    """Refuse what is one input, or none, where many are wanted.

    Raises:
        TypeError: so it is.
    """
    if isinstance(inputs, str | bytes | os.PathLike | Image.Image | np.ndarray):
        raise TypeError(f"caption() takes many inputs, not one {type(inputs).__name__}: put it into a list")
    if not isinstance(inputs, Iterable):
        raise TypeError(f"caption() takes what can be iterated over, not {type(inputs).__name__}")


def asked(given: object, spool: Path, shape: Multiples) -> Asked:
    """The row of one input. A picture that is in no file is written to the file `spool`, in the size that is looked at.

    Nothing is raised for an input that cannot be captioned: that is its record's to say.
    """
    try:
        if isinstance(given, str | os.PathLike):
            return _of_path(given)
        picture = _picture(given)
    except TypeError as error:
        return Asked(problem=(ErrorKind.BAD_ROW, str(error)))
    try:
        written = _spool(picture, spool, shape)
    except SampleError as error:
        return Asked(problem=(error.kind, error.message))
    except Exception as error:  # noqa: BLE001 whatever Pillow says of a file that it reads only now
        is_of_system = isinstance(error, OSError) and error.errno is not None
        kind = ErrorKind.MEDIA_UNREADABLE if is_of_system else ErrorKind.MEDIA_CORRUPT
        return Asked(problem=(kind, f"the image cannot be read or put into a file: {type(error).__name__}: {error}"))
    return Asked({"image": str(written)}, spooled=written)


def _of_path(given: str | os.PathLike[str]) -> Asked:
    name = os.fspath(given)
    if not isinstance(name, str):
        raise TypeError(f"is a path of {type(name).__name__}, not of text; {_KNOWN}")
    modality = modality_of(name) or "image"
    is_address = "://" in name or not name.strip()  # told as such, which is not a file below the current folder
    return Asked({modality: name if is_address else os.path.abspath(name)}, name, modality)  # noqa: PTH100


def _picture(given: object) -> Image.Image:
    """Raises TypeError where it is no picture."""
    if isinstance(given, Image.Image):
        return given
    if not isinstance(given, np.ndarray):
        raise TypeError(f"is of type {type(given).__name__}; {_KNOWN}")
    if given.ndim == 4:
        raise TypeError(f"has the shape {given.shape}: frames do not say when they are shown; write a clip to a file")
    if given.ndim != 3 or given.shape[2] != 3 or not given.size or given.dtype != np.uint8:
        raise TypeError(f"is an array of shape {given.shape} and type {given.dtype}; {_KNOWN}")
    return Image.fromarray(np.ascontiguousarray(given))


def _spool(picture: Image.Image, spool: Path, shape: Multiples) -> Path:
    """Write a picture without loss, upright. One of plain colours is made as small as it will be seen.

    Others are left to those who do it for files: transparency is laid on a ground, deep values are stretched.
    """
    upright = ImageOps.exif_transpose(picture)
    if upright.mode not in _OF_PNG and upright.mode not in SAVE_INFO:
        upright = upright.convert({"La": "LA", "PA": "RGBA", "RGBa": "RGBA"}.get(upright.mode, "RGB"))
    if upright.mode not in _PLAIN or upright.has_transparency_data:
        path = spool.with_suffix(".png" if upright.mode in _OF_PNG else ".tiff")
        upright.save(path, compress_level=1)
        return path
    plain = upright.convert("RGB")
    size = shape.size(*plain.size)
    path = spool.with_suffix(".ppm")
    (plain if plain.size == size else plain.resize(size, Image.Resampling.BICUBIC)).save(path)
    return path
