"""The bytes of a picture file -> what a model is shown: upright, 8-bit RGB, on a ground; and what had to be chosen."""

import io
import math
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO

import imagecodecs
import numpy as np
import pillow_heif
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from MetaCaptioner.data.picture_formats import IMAGE_FORMATS, PILLOW_FORMATS
from MetaCaptioner.errors import DecodeError, ErrorKind
from MetaCaptioner.media import high_bit_depth, picture_bytes
from MetaCaptioner.media.high_bit_depth import Layers, NotShownError
from MetaCaptioner.media.tone_mapping import NothingToSeeError, to_eight_bit

_ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
_FRAMES_LOOKED_AT = 100
_PNG_COLOURS = (2, 4, 6)  # with colours or alpha
_ORIENTATION_TAG, _BITS_TAG, _FORMAT_TAG = 274, 258, 339
_SUBFILE_TAG, _SUBFILES_TAG, _REDUCED = 254, 330, 1
_SEEN_ALPHA, _STANDS_OUT, _GROUND_PIXELS = 64, 32, 1_000_000
_GROUNDS = {"white": 255, "black": 0, "grey": 128}
_SHALLOW = 8
_DEEP_BYTES = 8  # a pixel of four values of 16 bit
_BAND_ROWS = 256
_GREY = 128  # what libjpeg shows where data are missing
_TOO_FEW_ROWS = "Not enough image data"  # libpng's words
_CUT_OFF_SIGNS = ("premature end", "instead of RST")

# What a decoder may answer to odd bytes.
_DECODER_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, RuntimeError, LookupError, TypeError, ArithmeticError),
    *(struct.error, zlib.error),
)

Image.init()  # registers all formats, so that the list above may name them; MPO comes with JPEG
Image.MAX_IMAGE_PIXELS = None  # sizes are checked here instead, before anything is decoded
# Thumbnails are other pictures than the one that they stand for; the pictures of many samples are decoded at a time.
pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
Image.register_extension("JXL", ".jxl")

Fit = Callable[[int, int], tuple[int, int]]
"""From the (width, height) of a file to those that are wanted of it; the picture may come larger."""

Admit = Callable[[str, int, int, int], None]
"""Told what a header promises, before anything is decoded: format, width, height, bytes of a pixel of over 8 bit or 0.

It may wait until there is memory for that, or raise."""


@dataclass(frozen=True)
class Picture:
    """An upright RGB picture of 8 bit, and what the record should tell of how it is shown."""

    image: Image.Image
    note: str | None = None


def _admit_all(kind: str, width: int, height: int, stored: int) -> None:
    pass


def decode(content: bytes, most_pixels: int, fit: Fit, admit: Admit = _admit_all) -> Picture:
    """The picture in the bytes of a file.

    Raises:
        DecodeError: `media_corrupt`, or `media_too_large`: it has over `most_pixels` and is left undecoded.
        MemoryError: there is not enough.
        Exception: what `fit` and `admit` raise.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged EXIF and the like: the pixels decide
            return _decoded(content, most_pixels, fit, admit)
    except UnidentifiedImageError as error:
        raise DecodeError(
            ErrorKind.MEDIA_CORRUPT, picture_bytes.what_it_is(content, ", ".join(IMAGE_FORMATS))
        ) from error
    except (picture_bytes.CutOffError, NothingToSeeError, NotShownError) as error:
        raise DecodeError(ErrorKind.MEDIA_CORRUPT, str(error)) from error
    except PermissionError:  # not of these bytes
        raise
    except _DECODER_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DecodeError(ErrorKind.MEDIA_CORRUPT, f"cannot be decoded: {reason:.300}") from error


def _decoded(content: bytes, most_pixels: int, fit: Fit, admit: Admit) -> Picture:
    def check(kind: str, width: int, height: int, stored: int = 0) -> None:
        if width * height > most_pixels:
            reason = f"{width}x{height} is over {most_pixels:,} pixels, left undecoded (a bomb?)"
            raise DecodeError(ErrorKind.MEDIA_TOO_LARGE, reason)
        if not width * height:
            raise DecodeError(ErrorKind.MEDIA_CORRUPT, f"its header says {width}x{height}: there is nothing to see")
        admit(kind, width, height, stored)

    if picture_bytes.is_jxl(content):
        check("JXL", *picture_bytes.jxl_size(content))
        return _of_layers(high_bit_depth.read_jxl(content))
    if (size := picture_bytes.webp_size(content)) is not None:  # Pillow takes the memory as it opens the file
        check("WEBP", *size)
    if content.startswith(picture_bytes.PNG_SIGNATURE):
        content = picture_bytes.without_texts(content)
    elif content.startswith(picture_bytes.JPEG_START):
        content = picture_bytes.mended_jpeg(content)
    try:
        with Image.open(io.BytesIO(content), formats=PILLOW_FORMATS) as image:
            page = _seek_full_page(image) if image.format == "TIFF" else 0
            is_deep = _is_deep(image, content)
            check(image.format or "", image.width, image.height, _DEEP_BYTES if is_deep else 0)
            if not is_deep:
                return _of_pillow(image, content, most_pixels, fit)
            if image.format == "PNG":
                orientation = image.getexif().get(_ORIENTATION_TAG, 1)
                return _of_layers(replace(high_bit_depth.read_png(content), orientation=orientation))
            if image.format == "JPEG2000":
                image.load()  # of a file that breaks off Pillow tells, the other reader does not
                return _of_layers(high_bit_depth.read_jpeg2000(content))
    except UnidentifiedImageError:
        if not picture_bytes.is_tiff(content):
            raise
        page = 0
    return _of_layers(high_bit_depth.read_tiff(content, partial(check, "TIFF"), page))


def size_by_header(file: BinaryIO) -> tuple[int, int]:
    """Width and height by a picture's header alone.

    Raises:
        ValueError: they cannot be told.
    """
    head = file.read(4096)
    if head.startswith(picture_bytes.PNG_SIGNATURE):
        return struct.unpack(">II", head[16:24].ljust(8, b"\0"))
    if picture_bytes.is_jxl(head):
        return picture_bytes.jxl_size(head)
    if (size := picture_bytes.webp_size(head)) is not None:
        return size
    file.seek(0)
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file, formats=PILLOW_FORMATS) as image:
            return image.size
    except _DECODER_ERRORS as error:
        raise ValueError(str(error)) from error


def _of_pillow(image: ImageFile.ImageFile, content: bytes, most_pixels: int, fit: Fit) -> Picture:
    """What is shown of a file that Pillow has opened."""
    wanted = fit(image.width, image.height)
    notes: list[str | None] = []
    if image.format in ("JPEG", "MPO"):
        image.draft("RGB", wanted)  # formats besides JPEG would answer with a thumbnail
        image.load()
        _check_jpeg(image, content)
    elif image.format in _ANIMATED and getattr(image, "is_animated", False):
        notes.append(_seek_first_to_see(image, most_pixels))
    elif image.format == "TIFF" and getattr(image, "is_animated", False):
        notes.append(high_bit_depth.which_page(image.tell()))
    elif image.format == "PNG":
        image.load()
        _check_png(image, content)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
        return _of_layers(Layers(np.asarray(image), orientation=orientation))
    return _upright(image, *notes)


def _check_jpeg(image: Image.Image, content: bytes) -> None:
    """Refuse a picture that ends in the grey which stands for missing data, if data are missing."""
    last = image.getpixel((image.width - 1, image.height - 1))
    values = last if isinstance(last, tuple) else (last,)
    if all(value is not None and abs(value - _GREY) <= 1 for value in values):
        problem = picture_bytes.jpeg_problem(content)
        if problem is not None and any(sign in problem for sign in _CUT_OFF_SIGNS):
            raise picture_bytes.CutOffError(f"it is cut off in its data ({problem})")


def _check_png(image: Image.Image, content: bytes) -> None:
    """Refuse a picture of which too few rows were packed: Pillow shows the others as zeros.

    An interlaced one may lack every second row, so that one of the last two is looked at.
    """
    last_rows = [image.crop((0, row, image.width, row + 1)) for row in range(max(0, image.height - 2), image.height)]
    if any(row.getbbox(alpha_only=False) is None for row in last_rows):
        try:
            imagecodecs.png_decode(content)
        except imagecodecs.PngError as error:
            if _TOO_FEW_ROWS in str(error):
                raise picture_bytes.CutOffError("it holds fewer rows than its header promises") from error


def _seek_full_page(image: ImageFile.ImageFile) -> int:
    """Go to the first page of a TIFF that does not call itself a smaller copy of another one.

    Raises:
        NotShownError: there are smaller copies alone, beside values that are no page, as in a camera's raw files.
    """
    pages, first = 0, getattr(image, "tag_v2", {})
    try:
        while getattr(image, "tag_v2", {}).get(_SUBFILE_TAG, 0) & _REDUCED:
            pages += 1
            image.seek(pages)
    except EOFError:
        if _SUBFILES_TAG in first:
            raise NotShownError("only a thumbnail can be read of it (a camera's raw file?): write it as PNG") from None
        image.seek(0)
    return image.tell()


def _seek_first_to_see(image: Image.Image, most_pixels: int) -> str:
    """Go to the first frame of an animation that is not all of one colour or transparent; to the first if none is."""
    frames = max(1, min(_FRAMES_LOOKED_AT, 4 * most_pixels // (image.width * image.height)))
    for number in range(frames):
        try:
            image.seek(number)
        except EOFError:  # there are no more
            break
        if not _is_empty(image):
            return f"frame {number + 1} of an animation" + (", the first that is not empty" if number else "")
    image.seek(0)
    return "frame 1 of an animation"


def _is_empty(frame: Image.Image) -> bool:
    *colours, alpha = frame.convert("RGBA").getextrema()
    return alpha == (0, 0) or all(low == high for low, high in (*colours, alpha))


# --- more than 8 bit
def _is_deep(image: Image.Image, content: bytes) -> bool:
    """Whether a file has colours of over 8 bit, or other values that Pillow does not take as they are."""
    if image.format == "PNG":
        return content[24] == 16 and (content[25] in _PNG_COLOURS or "transparency" in image.info)
    if image.format == "JPEG2000":
        return not image.mode.startswith(("I", "L;")) and picture_bytes.jpeg2000_bits(content) > _SHALLOW
    tags = getattr(image, "tag_v2", {})
    has_colours = image.mode != "CMYK"
    return (
        image.format == "TIFF"
        and has_colours
        and high_bit_depth.is_deep(tags.get(_BITS_TAG, (1,)), tags.get(_FORMAT_TAG, (1,)))
    )


def _of_layers(layers: Layers) -> Picture:
    """Values of any depth as a picture of 8 bit."""
    colours, note = layers.colours, None
    if colours.dtype != np.uint8:
        colours, note = to_eight_bit(colours, layers.no_data, layers.low_is_white)
    image = Image.fromarray(colours)
    if layers.alpha is not None:
        whole = float(np.iinfo(layers.alpha.dtype.str).max) if layers.alpha.dtype.kind in "ui" else 1.0
        alpha = np.clip(layers.alpha.astype(np.float64) * (255.0 / whole), 0, 255)
        image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    image.getexif()[_ORIENTATION_TAG] = layers.orientation
    return _upright(image, layers.note, note)


def _upright(image: Image.Image, *notes: str | None) -> Picture:
    ImageOps.exif_transpose(image, in_place=True)
    rgb, ground = _to_rgb(image)
    return Picture(rgb, "; ".join(note for note in (*notes, ground) if note) or None)


# --- transparency
def _to_rgb(image: Image.Image) -> tuple[Image.Image, str | None]:
    """An 8-bit picture of any mode as RGB, transparency laid on a ground; what the record should tell of that."""
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB"), None
    layer = image if image.mode == "RGBA" else image.convert("RGBA")
    lowest, highest = layer.getchannel("A").getextrema()
    if highest == 0:
        raise NothingToSeeError("every pixel is transparent: there is nothing to see")
    if lowest == 255:
        return layer.convert("RGB"), None
    ground = _ground(layer)
    return _laid_on(layer, ground), None if ground == "white" else f"laid on {ground}: on white it would not be seen"


def _laid_on(layer: Image.Image, ground: str) -> Image.Image:
    """The layer on a ground, as RGB; done in bands, since all at once takes five times the memory."""
    rgb = Image.new("RGB", layer.size)
    for top in range(0, layer.height, _BAND_ROWS):
        band = layer.crop((0, top, layer.width, min(top + _BAND_ROWS, layer.height)))
        rgb.paste(Image.alpha_composite(Image.new("RGBA", band.size, ground), band).convert("RGB"), (0, top))
    return rgb


def _ground(layer: Image.Image) -> str:
    """The ground from which what is drawn stands out: white, unless less than half of it does."""
    step = 1 + math.isqrt(layer.width * layer.height // _GROUND_PIXELS)
    rows = (layer.crop((0, top, layer.width, top + 1)) for top in range(0, layer.height, step))
    some = np.concatenate([np.asarray(row)[:, ::step] for row in rows]) if step > 1 else np.asarray(layer)
    drawn = some[some[..., 3] >= min(_SEEN_ALPHA, int(some[..., 3].max()))].astype(np.int16)
    alpha = drawn[:, 3:] / 255.0
    shares = {
        name: float(np.mean((np.abs(drawn[:, :3] - value) * alpha).max(axis=1) >= _STANDS_OUT))
        for name, value in _GROUNDS.items()
    }
    return "white" if shares["white"] >= 0.5 else max(shares, key=lambda name: shares[name])
