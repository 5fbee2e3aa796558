import io
import itertools
import struct
import subprocess
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw, PngImagePlugin

from MetaCaptioner.data.inputs.base import IMAGE_SUFFIXES
from MetaCaptioner.data.picture_formats import IMAGE_FORMATS
from MetaCaptioner.errors import DecodeError
from MetaCaptioner.media import picture_bytes
from MetaCaptioner.media.picture import size_by_header
from tests.pictures import (
    BLACK,
    BLUE,
    GREEN,
    ORIENTATION,
    RED,
    SIDEWAYS,
    WHITE,
    encoded,
    load,
    near,
    pixels,
    png_chunk,
    refused,
    saved,
    tiff,
    unlike,
    with_chunks,
)

# --- every format


@pytest.mark.parametrize("kind", [*IMAGE_FORMATS, "MPO"])
def test_every_format_shows_the_same_picture(photograph: Image.Image, kind: str) -> None:
    shown = load(encoded(photograph, kind))
    assert unlike(shown, photograph) < 6
    assert shown.note is None


def test_cmyk(tmp_path: Path) -> None:
    media = load(saved(tmp_path / "a.jpg", Image.new("RGB", (84, 84), RED).convert("CMYK"), quality=95))
    assert near(pixels(media)[40, 40], RED)


def test_black_and_white_of_one_bit(tmp_path: Path) -> None:
    image = Image.new("1", (112, 56))
    image.paste(1, (56, 0, 112, 56))
    found = pixels(load(saved(tmp_path / "a.png", image)))
    assert near(found[28, 20], (0, 0, 0))
    assert near(found[28, 90], WHITE)


def test_alpha_is_laid_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (112, 56), (*RED, 255))
    image.paste((0, 0, 0, 0), (56, 0, 112, 56))
    found = pixels(load(saved(tmp_path / "a.png", image)))
    assert near(found[28, 20], RED)
    assert near(found[28, 90], WHITE)


def test_half_transparent_pixels_are_mixed_with_white(tmp_path: Path) -> None:
    media = load(saved(tmp_path / "a.png", Image.new("LA", (56, 56), (0, 128))))
    assert near(pixels(media)[28, 28], (127, 127, 127))


def test_a_palette_with_transparency_is_laid_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (112, 56), 0)
    image.putpalette([*RED, *BLUE])
    image.paste(1, (56, 0, 112, 56))
    found = pixels(load(saved(tmp_path / "a.png", image, transparency=1)))
    assert near(found[28, 20], RED)
    assert near(found[28, 90], WHITE)


def test_cmyk_of_adobe_and_of_tiff(small: Image.Image) -> None:
    for kind, options in (("JPEG", {"quality": 97, "subsampling": 0}), ("TIFF", {})):
        assert unlike(load(encoded(small.convert("CMYK"), kind, **options)), small) < 4


@pytest.mark.parametrize("mode", ["LAB", "YCbCr", "P"])
def test_colours_of_other_kinds(small: Image.Image, mode: str) -> None:
    if mode == "P":
        assert unlike(load(encoded(small.quantize(), "PNG")), small.quantize().convert("RGB")) == 0
    else:
        assert unlike(load(encoded(small.convert(mode), "TIFF")), small) < 6


def test_of_several_pages_the_first_is_shown_and_that_is_told(small: Image.Image) -> None:
    content = encoded(small, "TIFF", save_all=True, append_images=[small.rotate(90)])
    shown = load(content)
    assert unlike(shown, small) == 0
    assert shown.note == "the first of several pages"


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_page_that_calls_itself_a_thumbnail_is_not_taken_for_the_picture(small: Image.Image, kind: type) -> None:
    scale = 257 if kind is np.uint16 else 1
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as file:
        for image, options in ((small.resize((16, 12)), {"subfiletype": 1}), (small, {})):
            file.write(np.asarray(image).astype(kind) * scale, photometric="rgb", **options)
    shown = load(out.getvalue())
    assert unlike(shown, small) < 1
    assert shown.note == "page 2: those before are smaller copies"


def test_a_raw_file_is_not_shown_as_its_thumbnail(small: Image.Image) -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as file:
        file.write(np.asarray(small.resize((16, 12))), photometric="rgb", subfiletype=1, subifds=1)
        file.write(np.asarray(small.convert("L")).astype(np.uint16), photometric="cfa")
    assert "only a thumbnail" in str(refused(out.getvalue()))


def logo(colour: tuple[int, int, int], ground: tuple[int, int, int] = WHITE, dot: object = None) -> Image.Image:
    """A ring on a transparent ground, which has a colour all the same."""
    image = Image.new("RGBA", (200, 200), (*ground, 0))
    draw = ImageDraw.Draw(image)
    draw.ellipse((40, 40, 160, 160), outline=(*colour, 255), width=12)
    if dot is not None:
        draw.ellipse((90, 90, 104, 104), fill=dot)
    return image


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF"])
@pytest.mark.parametrize(
    ("colour", "dot", "ground"),
    [
        (WHITE, None, BLACK),
        ((250, 250, 235), None, BLACK),
        (WHITE, (255, 0, 0, 255), BLACK),
        (BLACK, None, WHITE),
        (RED, None, WHITE),
        (RED, (255, 255, 255, 255), WHITE),
    ],
)
def test_what_is_drawn_stands_out_from_its_ground(
    kind: str, colour: tuple[int, int, int], dot: object, ground: tuple[int, int, int]
) -> None:
    shown = load(encoded(logo(colour, dot=dot), kind, **({"lossless": True} if kind == "WEBP" else {})))
    found = pixels(shown)
    assert near(found[5, 5], ground)
    assert near(found[100, 45], colour)
    assert shown.note == (None if ground == WHITE else "laid on black: on white it would not be seen")


def test_black_and_white_on_a_transparent_ground_are_laid_on_grey() -> None:
    image = logo(WHITE)
    ImageDraw.Draw(image).ellipse((48, 48, 152, 152), outline=(0, 0, 0, 255), width=4)
    shown = load(encoded(image, "PNG"))
    assert near(pixels(shown)[5, 5], (128, 128, 128))
    assert shown.note == "laid on grey: on white it would not be seen"


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_picture_that_is_all_transparent_is_refused(small: Image.Image, mode: str) -> None:
    image = small.convert(mode)
    image.putalpha(0)
    assert "every pixel is transparent: there is nothing to see" in str(refused(encoded(image, "PNG")))


def test_alpha_that_hides_nothing_changes_nothing(small: Image.Image) -> None:
    shown = load(encoded(small.convert("RGBA"), "PNG"))
    assert unlike(shown, small) == 0
    assert shown.note is None


@pytest.mark.parametrize("kind", IMAGE_FORMATS)
def test_the_size_is_told_by_the_header(small: Image.Image, kind: str) -> None:
    assert size_by_header(io.BytesIO(encoded(small, kind))) == small.size


def test_a_folder_is_searched_for_every_format() -> None:
    assert {".jpg", ".png", ".tif", ".heic", ".heif", ".avif", ".jxl", ".webp", ".jp2"} <= IMAGE_SUFFIXES
    assert not IMAGE_SUFFIXES & {".eps", ".pdf", ".svg", ".ico", ".psd"}


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"])
def test_a_header_that_tells_no_size_is_no_surprise(content: bytes) -> None:
    with suppress(ValueError):
        assert all(side >= 0 for side in size_by_header(io.BytesIO(content)))


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "WEBP"])
def test_no_thumbnail_stands_for_the_picture(small: Image.Image, kind: str) -> None:
    options = {"thumbnails": [40]} if kind == "HEIF" else {}
    assert load(encoded(small, kind, **options), lambda *_: (20, 12)).image.size == small.size


# --- which side is up


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, "top left"), (2, "top right"), (3, "bottom right"), (6, "top right"), (8, "bottom left")],
)
def test_pictures_are_turned_upright(tmp_path: Path, orientation: int, corner: str) -> None:
    image = Image.new("RGB", (168, 84), BLUE)
    image.paste(RED, (0, 0, 28, 28))
    exif = Image.Exif()
    exif[0x0112] = orientation
    media = load(saved(tmp_path / "a.jpg", image, exif=exif, quality=95, subsampling=0))
    assert media.image.size == ((84, 168) if orientation in (6, 8) else (168, 84))
    found = pixels(media)
    corners = {
        "top left": found[10, 10],
        "top right": found[10, -10],
        "bottom left": found[-10, 10],
        "bottom right": found[-10, -10],
    }
    assert {name for name, colour in corners.items() if near(colour, RED, 40)} == {corner}


def test_a_large_jpeg_that_is_turned_is_not_distorted(tmp_path: Path, photograph: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    media = load(
        saved(tmp_path / "a.jpg", photograph.resize((3000, 1500)), exif=exif),
        lambda width, height: (width // 5, height // 5),
    )
    assert media.image.width < 1000
    assert media.image.height == pytest.approx(2 * media.image.width, rel=0.03)


def test_damaged_exif_does_not_cost_the_picture(tmp_path: Path, photograph: Image.Image) -> None:
    path = saved(tmp_path / "a.jpg", photograph, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\1\2\3")
    assert load(path).image.size == photograph.size


EXIF_KINDS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", EXIF_KINDS)
def test_a_picture_is_turned_once_whatever_its_format(small: Image.Image, kind: str, orientation: int) -> None:
    """The turned picture, saved so that a viewer turns it back; AVIF and HEIF hold the turn in a box of their own."""
    method = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    turned = small if method is None else small.transpose(method)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert unlike(load(encoded(turned, kind, exif=exif.tobytes(), quality=95)), small) < 4


@pytest.mark.parametrize("depth", ["grey 16", "grey float", "RGB 16"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_deep_pictures_are_turned_too(small: Image.Image, grey: NDArray[np.uint8], kind: str, depth: str) -> None:
    values = (np.asarray(small) if depth == "RGB 16" else grey).astype(np.uint16) * 257
    turned = np.rot90(values)
    if kind == "TIFF":
        turned = turned.astype(np.float32) if depth == "grey float" else turned
        photometric = "rgb" if depth == "RGB 16" else "minisblack"
        content = tiff(turned, photometric=photometric, extratags=[(ORIENTATION, 3, 1, SIDEWAYS, True)])
    else:
        exif = Image.Exif()
        exif[ORIENTATION] = SIDEWAYS
        chunk = png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
        content = with_chunks(imagecodecs.png_encode(np.ascontiguousarray(turned)), chunk)
    assert unlike(load(content), values // 257) < 1


def turned_jxl(values: NDArray[np.uint8], orientation: int) -> bytes:
    """JPEG XL whose codestream says how it is to be turned, which the encoder at hand cannot write.

    The head has no such field: it is put in, with the others that then follow (ISO/IEC 18181-1, ImageMetadata). Where
    the last of them belongs is tried out.
    """
    content = bytes(imagecodecs.jpegxl_encode(values, lossless=True))
    bits = "".join(f"{byte:08b}"[::-1] for byte in content[:20])
    place = 17 if bits[16] == "1" else 16 + 1 + 2 + (9, 13, 18, 30)[int(bits[17:19][::-1], 2)]
    place += 5 if bits[16] == "1" else 0
    ratio, place = bits[place : place + 3], place + 3
    if ratio == "000":
        place += 5 if bits[16] == "1" else 2 + (9, 13, 18, 30)[int(bits[place : place + 2][::-1], 2)]
    field = "01" + f"{orientation - 1:03b}"[::-1] + "000"
    for end, split in itertools.product(range(place // 8 + 1, 12), range(place + 2, 96)):
        whole = bits[:place] + field + bits[place + 2 : split] + "1" + bits[split : 8 * end]
        for head in (whole.ljust(-(-len(whole) // 8) * 8, "0"), whole[: len(whole) // 8 * 8]):
            if "1" in whole[len(head) :]:
                continue
            tried = bytes(int(head[n : n + 8][::-1], 2) for n in range(0, len(head), 8)) + content[end:]
            try:
                found = imagecodecs.jpegxl_decode(tried, index=0, keeporientation=True)
            except imagecodecs.JpegxlError:
                continue
            if np.array_equal(found, values):
                return tried
    raise AssertionError("no place for the field")


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 1), (8, 3)])
def test_jpeg_xl_is_turned_as_its_codestream_says(small: Image.Image, orientation: int, turns: int) -> None:
    values = np.asarray(small)
    assert unlike(load(turned_jxl(np.ascontiguousarray(np.rot90(values, turns)), orientation)), values) == 0


@pytest.mark.parametrize("raw", ["zTXt", "iTXt"])
def test_a_png_whose_texts_say_which_side_is_up_is_turned(small: Image.Image, raw: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = SIDEWAYS
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", "x" * 3_000_000)
    if raw == "zTXt":
        hexadecimal = exif.tobytes().hex()
        texts.add_text("Raw profile type exif", f"\nexif\n{len(hexadecimal) // 2:8}\n{hexadecimal}\n", zip=True)
    else:
        texts.add_itxt("XML:com.adobe.xmp", f'<x:xmpmeta><rdf tiff:Orientation="{SIDEWAYS}"/></x:xmpmeta>')
    assert unlike(load(encoded(small.rotate(90, expand=True), "PNG", pnginfo=texts)), small) == 0


# --- animations


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    first, *others = (Image.new("RGB", (56, 56), colour) for colour in (RED, GREEN, BLUE))
    for suffix in ("gif", "webp", "png"):
        path = saved(tmp_path / f"a.{suffix}", first, save_all=True, append_images=others, duration=100)
        assert near(pixels(load(path))[28, 28], RED)


ANIMATED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("GIF", {}),
    ("WEBP", {"lossless": True}),
    ("PNG", {}),
    ("AVIF", {"quality": 95}),
)


def animation(kind: str, options: dict[str, Any], *frames: Image.Image) -> bytes:
    first, *others = frames
    return encoded(first, kind, save_all=True, append_images=others, duration=100, **options)


@pytest.mark.parametrize(("kind", "options"), ANIMATED)
@pytest.mark.parametrize("empty", [(0, 0, 0, 0), (0, 0, 0, 255), (255, 255, 255, 255)])
def test_the_first_frame_that_is_not_empty_is_shown_and_that_is_told(
    small: Image.Image, kind: str, options: dict[str, Any], empty: tuple[int, ...]
) -> None:
    blank = Image.new("RGBA", small.size, empty)
    shown = load(animation(kind, options, blank, small.convert("RGBA")))
    assert unlike(shown, small) < 8
    assert shown.note == "frame 2 of an animation, the first that is not empty"


@pytest.mark.parametrize(("kind", "options"), ANIMATED)
def test_of_an_animation_it_is_told_which_frame_is_shown(
    small: Image.Image, kind: str, options: dict[str, Any]
) -> None:
    shown = load(animation(kind, options, small, small.rotate(180)))
    assert unlike(shown, small) < 8
    assert shown.note == "frame 1 of an animation"


def test_an_animation_that_never_shows_anything_is_looked_at_for_a_while_only() -> None:
    frames = [Image.new("RGBA", (8, 8), (number, 0, 0, 255)) for number in range(250)]
    begin = time.monotonic()
    shown = load(animation("WEBP", {"lossless": True}, *frames))
    assert time.monotonic() - begin < 2
    assert (pixels(shown) == (0, 0, 0)).all()


def test_an_animation_that_breaks_off_before_anything_is_shown_is_corrupt(small: Image.Image) -> None:
    content = animation("GIF", {}, Image.new("RGB", small.size), small)
    assert refused(content[: len(content) * 6 // 10]).kind == "media_corrupt"


# --- what is refused


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header claims the given size, with next to no data."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        picture_bytes.PNG_SIGNATURE + header + png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
    )


def test_a_decompression_bomb_is_left_undecoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(60_000, 60_000))
    begin = time.monotonic()
    error = refused(path)
    assert time.monotonic() - begin < 1
    assert error.kind == "media_too_large"
    assert "60000x60000 is over 250,000,000 pixels" in str(error)


@pytest.mark.parametrize("kind", [kind for kind in IMAGE_FORMATS if kind not in ("GIF", "JPEG2000")])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_picture_that_breaks_off_is_corrupt(tmp_path: Path, photograph: Image.Image, kind: str, share: float) -> None:
    path = tmp_path / "a.img"
    content = encoded(photograph, kind)
    path.write_bytes(content[: int(len(content) * share)])
    error = refused(path)
    assert error.kind == "media_corrupt"


@pytest.mark.parametrize("kind", IMAGE_FORMATS)
def test_damaged_bytes_are_no_surprise(tmp_path: Path, photograph: Image.Image, kind: str) -> None:
    """Whatever a decoder makes of them, it ends in a picture or in an error of a known kind."""
    content = encoded(photograph.resize((64, 48)), kind)
    random = np.random.default_rng(7)
    kinds = set()
    for number in range(60):
        damaged = bytearray(content)
        for place in random.integers(0, len(content), 1 + number % 12):
            damaged[place] = random.integers(256)
        (tmp_path / "a.img").write_bytes(damaged)
        try:
            load(tmp_path / "a.img")
        except DecodeError as error:
            kinds.add(error.kind)
    assert "media_corrupt" in kinds or kind in ("BMP", "PPM")
    assert kinds <= {"media_corrupt", "media_too_large"}


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (np.random.default_rng(0).bytes(5000), "is no image format that is read here (JPEG, PNG, "),
        (b'{"error": "not found"}', "is JSON text, not an image"),
        (b'  [{"error": 1}]', "is JSON text"),
        (b"<!DOCTYPE html><html><body>403 Forbidden</body></html>", "is a web page (HTML or XML), not an image"),
        (b"\n<html>", "was the download refused?"),
        (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "is a web page (HTML or XML)"),
        (EPS, "is PostScript (EPS), not one of the formats that are read here (JPEG, PNG, "),
        (b"%PDF-1.4\n", "is a PDF document"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>', "is an SVG drawing"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="x"/>', "is an SVG drawing"),
        (b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "svg11.dtd"><svg:svg/>', "is an SVG drawing"),
        (b"<!doctype html><html><svg></svg></html>", "is a web page"),
        (encoded(Image.new("RGB", (32, 32)), "ICO"), "is an icon (ICO)"),
        (encoded(Image.new("RGB", (32, 32)), "TGA"), "is a TGA picture"),
        (encoded(Image.new("RGB", (32, 32)), "DDS"), "is a texture (DDS)"),
        (encoded(Image.new("RGB", (32, 32)), "QOI"), "is a QOI picture"),
        (encoded(Image.new("RGB", (32, 32)), "SGI"), "is an SGI picture"),
        (encoded(Image.new("RGB", (32, 32)), "PCX"), "is a PCX picture"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "is a video, in a row that names an image"),
        (
            bytes(imagecodecs.ljpeg_encode(np.zeros((32, 32), dtype=np.uint16))),
            "is a JPEG picture of a kind that is not",
        ),
        (b"\r\n" + encoded(Image.new("RGB", (32, 32)), "JPEG"), "something written before its first byte"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_is_no_picture_says_what_it_seems_to_be(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    error = refused(tmp_path / "a.jpg")
    assert error.kind == "media_corrupt"
    assert str(error).startswith("is ")
    assert complaint in str(error)


def test_postscript_never_starts_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    (tmp_path / "a.eps").write_bytes(EPS)
    assert refused(tmp_path / "a.eps").kind == "media_corrupt"


@pytest.mark.parametrize("size", [(60_000, 60_000), (262_144, 262_144)])
def test_a_jpeg_xl_bomb_is_left_undecoded(size: tuple[int, int]) -> None:
    bits, place = 0, 0
    for value, count in ((0, 1), (3, 2), (size[1] - 1, 30), (1, 3)):
        bits, place = bits | value << place, place + count
    begin = time.monotonic()
    error = refused(b"\xff\x0a" + bits.to_bytes(5, "little") + bytes(1000))
    assert time.monotonic() - begin < 1
    assert error.kind == "media_too_large"


@pytest.mark.parametrize("size", [(8, 8), (64, 256), (300, 200), (1000, 37), (4000, 3000), (1920, 1080), (16, 9)])
@pytest.mark.parametrize("container", [False, True])
def test_the_size_of_jpeg_xl_is_read_rightly(size: tuple[int, int], container: bool) -> None:
    values = np.zeros((size[1], size[0]), dtype=np.uint8)
    content = bytes(imagecodecs.jpegxl_encode(values, lossless=True, effort=1, usecontainer=container))
    assert picture_bytes.jxl_size(content) == size
