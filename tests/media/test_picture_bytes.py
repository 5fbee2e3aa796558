import io
import struct
import time
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from MetaCaptioner.errors import DecodeError
from MetaCaptioner.media.picture import size_by_header
from MetaCaptioner.media.picture_bytes import PNG_SIGNATURE
from tests.pictures import ORIENTATION, SIDEWAYS, encoded, load, pixels, png_chunk, refused, unlike, with_chunks

# --- PNG with much beside its pixels


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("count", [1, 70])
def test_a_png_with_long_texts_is_read(small: Image.Image, count: int, zipped: bool, where: str) -> None:
    text = b"x" * (1_500_000 if count == 1 else 1_000_000)
    body = zlib.compress(text) if zipped else text
    chunks = [png_chunk(b"zTXt" if zipped else b"tEXt", b"k%d\0" % n + b"\0" * zipped + body) for n in range(count)]
    itxt = png_chunk(b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress(text))
    plain = encoded(small, "PNG")
    whole = (
        with_chunks(plain, *chunks, itxt) if where == "before" else plain[:-12] + b"".join(chunks) + itxt + plain[-12:]
    )
    assert unlike(load(whole), small) == 0
    assert size_by_header(io.BytesIO(whole)) == small.size


def test_a_png_with_a_long_colour_profile_is_read(small: Image.Image) -> None:
    assert unlike(load(encoded(small, "PNG", icc_profile=bytes(2_000_000))), small) == 0


@pytest.mark.parametrize("name", [b"parameters", b"XML:com.adobe.xmp", b"Raw profile type exif"])
def test_texts_that_unpack_to_gigabytes_are_not_unpacked(small: Image.Image, name: bytes) -> None:
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(10_000_000)) for _ in range(30)) + packer.flush()
    chunks = [png_chunk(b"zTXt", name + b"\0\0" + packed), png_chunk(b"iTXt", name + b"\0\1\0\0\0" + packed)] * 10
    begin = time.monotonic()
    assert unlike(load(with_chunks(encoded(small, "PNG"), *chunks)), small) == 0
    assert time.monotonic() - begin < 1


def few_rows(values: NDArray[Any], colour_type: int, interlaced: bool) -> bytes:
    """A PNG that promises all rows and holds the upper half of them, or, interlaced, all but the last pass."""
    depth = 8 * values.dtype.itemsize
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, colour_type, 0, 0, interlaced)
    big = values.astype(values.dtype.newbyteorder(">"))
    passes = [big[y::dy, x::dx] for x, y, dx, dy in ADAM7[:-1]] if interlaced else [big[: len(big) // 2]]
    rows = b"".join(b"\0" + np.ascontiguousarray(row).tobytes() for part in passes for row in part)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return PNG_SIGNATURE + b"".join(png_chunk(*chunk) for chunk in chunks)


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("colours", ["RGB", "L"])
def test_a_png_of_too_few_rows_is_never_shown(small: Image.Image, colours: str, kind: type, interlaced: bool) -> None:
    values = np.asarray(small.convert(colours)).astype(kind)
    refused(few_rows(values, 2 if colours == "RGB" else 0, interlaced))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "LA"])
def test_a_png_whose_last_rows_are_black_is_whole(mode: str) -> None:
    image = Image.new("RGB", (40, 30), "black")
    image.paste("white", (0, 0, 40, 10))
    assert unlike(load(encoded(image.convert(mode), "PNG")), image) == 0


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_a_picture_of_the_kind_of_an_mp4_that_is_cut_off_is_not_called_a_video(small: Image.Image, kind: str) -> None:
    content = encoded(small, kind)
    assert "video" not in str(refused(content[: len(content) // 2]))


# --- JPEG without its end


JPEG_KINDS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("baseline", "RGB", {}),
    ("grey", "L", {}),
    ("CMYK", "CMYK", {}),
    ("progressive", "RGB", {"progressive": True}),
    ("restarts", "RGB", {"restart_marker_blocks": 8}),
)


@pytest.mark.parametrize(("name", "mode", "options"), JPEG_KINDS)
def test_a_jpeg_that_lacks_its_end_marker_alone_is_read(
    photograph: Image.Image, name: str, mode: str, options: dict[str, Any]
) -> None:
    content = encoded(photograph.convert(mode), "JPEG", quality=90, **options)
    assert unlike(load(content[:-2]), pixels(load(content))) == 0
    assert unlike(load(content + bytes(5000)), pixels(load(content))) == 0
    assert unlike(load(content[:-1]), pixels(load(content))) == 0


@pytest.mark.parametrize(("name", "mode", "options"), JPEG_KINDS)
def test_a_jpeg_that_is_decoded_smaller_is_the_same_picture(
    photograph: Image.Image, name: str, mode: str, options: dict[str, Any]
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = SIDEWAYS
    content = encoded(photograph.rotate(90).convert(mode), "JPEG", quality=90, exif=exif.tobytes(), **options)
    shown = load(content, lambda *_: (120, 120))
    assert shown.image.size == (128, 128)
    assert unlike(shown, photograph.convert(mode).convert("RGB").resize((128, 128))) < 12


@pytest.mark.parametrize(("name", "mode", "options"), JPEG_KINDS)
def test_a_jpeg_that_is_cut_in_its_data_is_never_shown(
    small: Image.Image, name: str, mode: str, options: dict[str, Any]
) -> None:
    """At any place; but for its last bits, which may change nothing."""
    content = encoded(small.convert(mode), "JPEG", quality=90, **options)
    whole = pixels(load(content))
    shown = 0
    for cut in (*range(3, 300), *range(300, len(content), 101)):
        try:
            found = load(content[:-cut])
        except DecodeError:
            continue
        shown += 1
        assert np.abs(pixels(found).astype(int) - whole).max() <= 24
    assert shown < 25


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
@pytest.mark.parametrize(("name", "mode", "options"), JPEG_KINDS)
def test_a_jpeg_that_was_cut_and_closed_is_never_shown(
    photograph: Image.Image, name: str, mode: str, options: dict[str, Any], share: float
) -> None:
    """Pillow shows what is missing in grey."""
    content = encoded(photograph.convert(mode), "JPEG", quality=90, **options)
    if name == "progressive":
        share *= 0.75  # beyond that, what is missing is the last bit of some coefficients, which no eye sees
    for fit in (lambda *size: size, lambda *_: (56, 56)):
        with pytest.raises(DecodeError, match="it is cut off"):
            load(content[: int(len(content) * share)] + b"\xff\xd9", fit)


def test_a_grey_corner_is_no_cut(photograph: Image.Image) -> None:
    image = photograph.copy()
    image.paste((128, 128, 128), (300, 300, 512, 512))
    assert unlike(load(encoded(image, "JPEG", quality=90)), image) < 6


def test_a_thumbnail_inside_a_jpeg_is_not_taken_for_its_end(photograph: Image.Image, small: Image.Image) -> None:
    body = b"Exif\0\0" + encoded(small, "JPEG", quality=20)
    content = encoded(photograph, "JPEG", quality=90)
    content = content[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + content[2:]
    assert unlike(load(content[:-2]), photograph) < 6
    assert refused(content[: len(content) // 2]).kind == "media_corrupt"
