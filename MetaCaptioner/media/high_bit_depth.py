"""Files that Pillow reads in 8 bit only, wrongly or not at all: deep TIFF, PNG of 16-bit colours, JPEG XL."""

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from MetaCaptioner.media import picture_bytes

Values = NDArray[np.integer[Any]] | NDArray[np.floating[Any]]

_DEEPEST_SHALLOW = 8
_COLOURS = 3
_MOST_EXTRA = 13
_HEAD_BYTES = 4096
_IN_YCC = b"colr\x01\0\0\0\0\0\x12"  # the box that names sYCC; source: ITU-T T.800, annex I
_ORIENTATION_TAG, _NO_DATA_TAG = 274, 42113  # the second is GDAL's

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # of damaged files it tells in the log what is checked here


class NotShownError(Exception):
    """The file is sound, but its values are no picture that can be shown."""


@dataclass(frozen=True)
class Layers:
    """The values of a file in full depth.

    `colours` are (height, width) of grey or (height, width, 3) of RGB; `alpha` is (height, width) of the same type.
    `no_data` are the values that the file itself calls missing; `orientation` is that of EXIF, from 1 to 8.
    """

    colours: Values
    alpha: Values | None = None
    no_data: tuple[float, ...] = ()
    low_is_white: bool = False
    orientation: int = 1
    note: str | None = None


def read_tiff(content: bytes, check: Callable[[int, int, int], None], number: int = 0) -> Layers:
    """The page `number` of a TIFF. `check` is given width, height and bytes a pixel before anything is decoded.

    Raises:
        NotShownError: it is not grey or RGB.
        Exception: of many kinds, where the file is damaged.
    """
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page: Any = file.pages[number] if number else file.pages.first
        stored = page.samplesperpixel * max(1, page.bitspersample // 8)
        if page.is_tiled:
            check(page.tilewidth, page.tilelength, stored)
        check(page.imagewidth, page.imagelength, stored)
        if page.imagedepth > 1 or page.dtype is None or page.dtype.kind not in "uif":
            raise NotShownError("a TIFF of a volume, or of values that are no plain numbers: write it as PNG")
        colours, has_alpha = _samples(page)
        _check_segments(page, len(content))
        values = page.asarray()
        if page.samplesperpixel > 1 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
            values = np.moveaxis(values, 0, -1)
        values = values.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)
        alpha = values[..., colours] if has_alpha else None
        shown = values[..., :colours] if colours > 1 else values[..., 0]
        if alpha is not None and page.extrasamples[0] == tifffile.EXTRASAMPLE.ASSOCALPHA:
            shown = _before_alpha(shown, alpha)
        note = which_page(number) if number or _has_second_page(file) else None
        return Layers(
            colours=shown,
            alpha=alpha,
            no_data=_no_data(page),
            low_is_white=page.photometric == tifffile.PHOTOMETRIC.MINISWHITE,
            orientation=int(page.tags.valueof(_ORIENTATION_TAG, 1)),
            note=note,
        )


def which_page(number: int) -> str:
    """What the record should tell of the page, from 0, that is shown of several."""
    return "the first of several pages" if number == 0 else f"page {number + 1}: those before are smaller copies"


def _before_alpha(colours: Values, alpha: Values) -> Values:
    """The colours as they were before they were multiplied by the alpha."""
    whole = float(np.iinfo(alpha.dtype.str).max) if alpha.dtype.kind in "ui" else 1.0
    share = alpha if colours.ndim == alpha.ndim else alpha[..., None]
    factor = np.divide(whole, share, out=np.zeros(share.shape, np.float64), where=share > 0)
    undone = colours * factor
    exact: Values = (np.rint(np.minimum(undone, whole)) if alpha.dtype.kind in "ui" else undone).astype(colours.dtype)
    return exact


def is_deep(bits: tuple[int, ...], formats: tuple[int, ...]) -> bool:
    """Whether values of a TIFF are other than whole numbers of up to 8 bit, by its tags BitsPerSample, SampleFormat."""
    return max(bits) > _DEEPEST_SHALLOW or any(kind != tifffile.SAMPLEFORMAT.UINT for kind in formats)


def _samples(page: Any) -> tuple[int, bool]:
    """How many values of a pixel are its colours, and whether the next is its alpha."""
    grey = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)
    colours = _COLOURS if page.photometric == tifffile.PHOTOMETRIC.RGB else 1 if page.photometric in grey else 0
    extra = page.samplesperpixel - colours
    alphas = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
    has_alpha = extra > 0 and page.extrasamples[:1] != () and page.extrasamples[0] in alphas
    if colours == 0 or extra > (has_alpha if colours == 1 else _MOST_EXTRA):
        kind = getattr(page.photometric, "name", page.photometric)
        raise NotShownError(
            f"a TIFF of {page.samplesperpixel} values a pixel ({kind}, {page.bitspersample} bit) is neither grey nor "
            "RGB: choose what of it to show and write that as PNG"
        )
    return colours, has_alpha


def _check_segments(page: Any, size: int) -> None:
    """Refuse a file that ends before its pixels do: tifffile takes a strip or tile behind the end for one left out.

    Those that really are left out, with a count of 0, hold what the file calls missing, as GDAL writes sparse files.
    """
    segments = [*zip(page.dataoffsets, page.databytecounts, strict=True)]
    if not any(count for _, count in segments) or any(offset + count > size for offset, count in segments):
        raise ValueError("the file ends before its last pixel")


def _has_second_page(file: tifffile.TiffFile) -> bool:
    try:
        return file.pages[1] is not None
    except IndexError:
        return False


def _no_data(page: Any) -> tuple[float, ...]:
    try:
        return (float(page.tags.valueof(_NO_DATA_TAG, "")),)
    except ValueError:
        return ()


def read_png(content: bytes) -> Layers:
    """A PNG of 16 bit in full depth.

    Raises:
        Exception: of many kinds, where the file is damaged.
    """
    return _by_channels(imagecodecs.png_decode(content))


def read_jpeg2000(content: bytes) -> Layers:
    """A JPEG 2000 picture of colours of over 8 bit, its values raised to 16; Pillow turns the whitest of them black.

    Raises:
        NotShownError: its colours are kept as brightness and hues.
        Exception: of many kinds, where the file is damaged.
    """
    if _IN_YCC in content[:_HEAD_BYTES]:
        raise NotShownError("a JPEG 2000 picture of over 8 bit that is kept as YCC: write it as PNG")
    bits = picture_bytes.jpeg2000_bits(content)
    values = imagecodecs.jpeg2k_decode(content, numthreads=1)
    if values.dtype != np.uint16:
        raise NotShownError(f"a JPEG 2000 picture of {bits} bit: write it as PNG")
    return _by_channels(values << (16 - bits))


def read_jxl(content: bytes) -> Layers:
    """A JPEG XL picture, turned upright as its codestream says; of an animation the first frame.

    What EXIF says of turning counts for nothing. Source: ISO/IEC 18181-2.

    Raises:
        Exception: of many kinds, where the file is damaged.
    """
    return _by_channels(imagecodecs.jpegxl_decode(content, index=0, numthreads=1))


def _by_channels(values: Values) -> Layers:
    """Grey, grey and alpha, RGB, or RGB and alpha, by the number of channels."""
    if values.ndim == 2:
        return Layers(values)
    channels = values.shape[2]
    if values.ndim != 3 or not 1 <= channels <= _COLOURS + 1:
        raise NotShownError(f"a picture of the shape {values.shape} is neither grey nor RGB")
    colours = 1 if channels < _COLOURS else _COLOURS
    return Layers(
        colours=values[..., 0] if colours == 1 else values[..., :_COLOURS],
        alpha=values[..., colours] if channels > colours else None,
    )
