import io
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from MetaCaptioner.errors import DecodeError
from MetaCaptioner.media.picture import decode
from tests.pictures import encoded, load, pixels, png_chunk, refused, saved, tiff, unlike, with_chunks


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 65535, 280).astype(np.uint16)[None].repeat(56, axis=0)
    grey = pixels(load(saved(tmp_path / f"a.{suffix}", Image.fromarray(ramp))))[28, :, 0].astype(int)
    assert len(grey) == 280
    assert np.abs(grey - np.linspace(0, 255, 280)).max() <= 2


def test_float_pictures_are_spread_over_the_grey_values(tmp_path: Path) -> None:
    ramp = np.linspace(-3.0, 5.0, 280, dtype=np.float32)[None].repeat(56, axis=0)
    grey = pixels(load(saved(tmp_path / "a.tiff", Image.fromarray(ramp))))[28, :, 0].astype(int)
    assert np.abs(grey - np.linspace(0, 255, 280)).max() <= 2


def shifted(grey: NDArray[np.uint8], low: float, high: float, kind: type) -> NDArray[Any]:
    """The photograph with its values between two others."""
    return (grey * ((high - low) / 255) + low).astype(kind)


def grey_png(values: NDArray[np.uint16]) -> bytes:
    return encoded(Image.fromarray(values), "PNG")


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [
        (0, 4095, np.uint16),
        (0, 1023, np.uint16),
        (300, 3000, np.uint16),
        (-1024, 976, np.int16),
        (-1024, 976, np.int32),
        (3_000_000_000, 3_000_100_000, np.uint32),
        (0, 1, np.float32),
        (-2.5, 1000, np.float64),
        (0, 200, np.float16),
        (-128, 127, np.int8),
    ],
)
def test_what_does_not_say_its_white_is_shown_by_its_range_and_that_is_told(
    grey: NDArray[np.uint8], low: float, high: float, kind: type
) -> None:
    shown = load(tiff(shifted(grey, low, high, kind), photometric="minisblack"))
    assert unlike(shown, grey) < 1.5
    assert shown.note is not None
    assert shown.note.endswith("shown as black to white")
    assert shown.note.startswith(f"values {low:.6g} to {high:.6g} ")


def test_twelve_bit_in_a_sixteen_bit_png(grey: NDArray[np.uint8]) -> None:
    shown = load(grey_png(shifted(grey, 0, 4095, np.uint16)))
    assert unlike(shown, grey) < 1
    assert shown.note == "values 0 to 4095 shown as black to white"


@pytest.mark.parametrize(("low", "high"), [(0, 65535), (0, 33000), (30000, 65535)])
@pytest.mark.parametrize("write", [grey_png, tiff, lambda values: tiff(values, byteorder=">")])
def test_true_sixteen_bit_values_stay_as_they_are(
    grey: NDArray[np.uint8], low: int, high: int, write: Callable[[NDArray[np.uint16]], bytes]
) -> None:
    values = shifted(grey, low, high, np.uint16)
    shown = load(write(values))
    assert unlike(shown, values / 257) < 1
    assert shown.note is None


@pytest.mark.parametrize("level", [0, 1000, 65535])
def test_a_sixteen_bit_picture_of_one_value_is_what_it_is(level: int) -> None:
    shown = load(grey_png(np.full((64, 64), level, dtype=np.uint16)))
    assert (pixels(shown) == round(level / 257)).all()


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf, -9999, -32768, -3.4028235e38, 1e20])
@pytest.mark.parametrize("size", [1, 40])
def test_what_is_missing_does_not_darken_the_rest(grey: NDArray[np.uint8], missing: float, size: int) -> None:
    values = shifted(grey, 0, 1, np.float32)
    values[:size, :size] = missing
    shown = load(tiff(values))
    assert np.abs(pixels(shown)[size:, :, 0].astype(int) - grey[size:]).max() <= 1
    assert len(np.unique(pixels(shown)[:size, :size])) == 1
    assert shown.note == f"values 0 to 1 shown as black to white, {size * size:,} others beyond or missing"


def test_several_marks_are_told_apart_from_values(grey: NDArray[np.uint8]) -> None:
    values = shifted(grey, 100, 900, np.int32)
    values[:8, :8], values[:8, 8:16], values[0, 20:30] = -9999, -32768, 2_000_000_000
    shown = load(tiff(values))
    assert np.abs(pixels(shown)[8:, :, 0].astype(int) - grey[8:]).max() <= 1


def test_what_the_file_itself_calls_missing_is_missing(grey: NDArray[np.uint8]) -> None:
    values = shifted(grey, 10, 60, np.float32)
    values[:40] = 5.0  # near the others: only the tag tells
    tag = (42113, 2, 2, "5\0", True)
    assert unlike(load(tiff(values, extratags=[tag])), np.where(np.arange(96)[:, None] < 40, 0, grey)) < 1


def test_a_mark_that_the_type_cannot_hold_hides_no_value(grey: NDArray[np.uint8]) -> None:
    values = shifted(grey, 55000, 56000, np.uint16)
    values[10, 10] = (-9999) % 65536
    shown = load(tiff(values, extratags=[(42113, 2, 6, "-9999\0", True)]))
    assert shown.note is not None
    assert "missing" not in shown.note


def test_a_few_hot_pixels_do_not_darken_the_rest(grey: NDArray[np.uint8]) -> None:
    values = shifted(grey, 100, 3000, np.uint16)
    values[3, 5], values[40, 7], values[80, 100] = 65535, 30000, 45000
    assert unlike(load(grey_png(values)), grey) < 12


def test_classes_and_masks_are_no_marks() -> None:
    values = np.zeros((64, 64), dtype=np.uint16)
    values[16:32], values[32:] = 999, 1000
    found = pixels(load(grey_png(values)))
    assert [found[row, 0, 0] for row in (0, 20, 40)] == [0, 255, 255]
    thin = np.zeros((200, 200), dtype=np.uint16)
    thin[7, 7:17] = 65535
    assert pixels(load(grey_png(thin)))[7, 10, 0] == 255


def test_white_may_be_the_lowest_value(grey: NDArray[np.uint8]) -> None:
    shown = load(tiff(shifted(255 - grey, 0, 4095, np.uint16), photometric="miniswhite"))
    assert unlike(shown, grey) < 1
    assert shown.note == "values 0 to 4095 shown as white to black"
    assert unlike(load(tiff(shifted(255 - grey, 0, 65535, np.uint16), photometric="miniswhite")), grey) < 1
    assert unlike(load(tiff(255 - grey, photometric="miniswhite")), grey) == 0


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full((64, 64), np.nan, dtype=np.float32), "no value is a finite number: there is nothing to see"),
        (np.full((64, 64), 1.5, dtype=np.float32), "all values are 1.5: there is nothing to see"),
        (np.full((64, 64), -1024, dtype=np.int32), "all values are -1024: there is nothing to see"),
    ],
)
def test_where_there_is_nothing_to_see_that_is_told(values: NDArray[Any], reason: str) -> None:
    error = refused(tiff(values))
    assert (error.kind, str(error)) == ("media_corrupt", reason)


PLACES = [(row, column) for row in range(0, 96, 32) for column in range(0, 160, 32)]
COLOUR_OPTIONS: tuple[dict[str, Any], ...] = ({}, {"compression": "lzw", "predictor": True}, {"tile": (32, 32)})


@pytest.mark.parametrize("options", COLOUR_OPTIONS, ids=str)
@pytest.mark.parametrize(
    ("kind", "top"), [(np.uint16, 65535), (np.uint16, 4095), (np.float32, 1), (np.uint32, 10**6), (np.float64, 7)]
)
def test_deep_colours(small: Image.Image, kind: type, top: float, options: dict[str, Any]) -> None:
    values = np.asarray(small).astype(float)
    values = (values - values.min()) / (values.max() - values.min())
    deep = (values * top).astype(kind)
    shown = load(tiff(deep, photometric="rgb", **(options if deep.itemsize < 8 else {})))
    assert unlike(shown, values * 255) < 1
    planes = tiff(np.moveaxis(deep, -1, 0), photometric="rgb", planarconfig="separate")
    assert unlike(load(planes), values * 255) < 1
    if kind is np.uint16:
        assert unlike(load(imagecodecs.png_encode(deep)), values * 255) < 1


def test_deep_colours_with_alpha(small: Image.Image) -> None:
    alpha = np.full((96, 160, 1), 65535, dtype=np.uint16)
    alpha[:10] = 0
    deep = np.concatenate([np.asarray(small).astype(np.uint16) * 257, alpha], axis=2)
    for content in (imagecodecs.png_encode(deep), tiff(deep, photometric="rgb", extrasamples=["unassalpha"])):
        found = pixels(load(content))
        assert (found[:10] == 255).all()
        assert np.abs(found[10:].astype(int) - np.asarray(small)[10:]).max() <= 1
    near_infrared = tiff(deep, photometric="rgb", extrasamples=["unspecified"])
    assert unlike(load(near_infrared), small) == 0


def test_colours_that_were_multiplied_by_their_alpha(small: Image.Image) -> None:
    """On white each is the mean of itself and white, as for an alpha that stands beside whole colours."""
    half = np.full((*small.size[::-1], 1), 32768)
    colours = np.asarray(small).astype(float) * 257 * (32768 / 65535)
    content = tiff(
        np.dstack([np.rint(colours), half]).astype(np.uint16), photometric="rgb", extrasamples=["assocalpha"]
    )
    assert unlike(load(content), (np.asarray(small) + 255.0) / 2) < 1


def test_one_grey_of_sixteen_bit_may_stand_for_transparent(grey: NDArray[np.uint8]) -> None:
    values = grey.astype(np.uint16) * 257
    values[:, :30] = 1800
    content = with_chunks(grey_png(values), png_chunk(b"tRNS", struct.pack(">H", 1800)))
    found = pixels(load(content))[..., 0]
    assert (found[:, :30] == 255).all()
    assert (found[:, 30:] == grey[:, 30:]).all()


@pytest.mark.parametrize("bits", [9, 12, 16])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("codecformat", ["jp2", "j2k"])
def test_the_white_of_deep_jpeg_2000_is_white(small: Image.Image, bits: int, alpha: bool, codecformat: str) -> None:
    colours = np.asarray(small).copy()
    colours[:30] = 255
    values = np.rint(colours.astype(float) * ((2**bits - 1) / 255)).astype(np.uint16)
    if alpha:
        values = np.dstack([values, np.full(values.shape[:2], 2**bits - 1, np.uint16)])
    options: dict[str, Any] = {"level": 0, "codecformat": codecformat, "bitspersample": bits}
    assert unlike(load(bytes(imagecodecs.jpeg2k_encode(values, **options))), colours) < 1


@pytest.mark.parametrize("channels", [2, 5, 100])
def test_bands_that_are_no_colours_are_refused(channels: int) -> None:
    values = np.zeros((32, 48, channels), dtype=np.uint16)
    error = refused(tiff(values, photometric="minisblack", planarconfig="contig"))
    assert f"{channels} values a pixel (MINISBLACK, 16 bit) is neither grey nor RGB" in str(error)


def test_a_large_deep_tiff_is_left_undecoded() -> None:
    content = tiff(np.zeros((300, 300, 3), dtype=np.float32), photometric="rgb")
    with pytest.raises(DecodeError) as raised:
        decode(content, 89_999, lambda *size: size)
    assert raised.value.kind == "media_too_large"


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
@pytest.mark.parametrize("kind", [np.uint16, np.float32])
@pytest.mark.parametrize("options", COLOUR_OPTIONS, ids=str)
def test_a_deep_tiff_that_breaks_off_is_corrupt(
    small: Image.Image, kind: type, options: dict[str, Any], share: float
) -> None:
    content = tiff(np.asarray(small).astype(kind), photometric="rgb", **options)
    assert refused(content[: int(len(content) * share)]).kind == "media_corrupt"


def test_a_deep_tiff_that_breaks_off_between_two_tiles_is_corrupt(small: Image.Image) -> None:
    content = tiff(np.asarray(small).astype(np.uint16), photometric="rgb", tile=(32, 32))
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        last = file.pages.first.dataoffsets[-1]
    assert "the file ends before its last pixel" in str(refused(content[:last]))


def test_tiles_that_a_sparse_file_leaves_out_are_missing(grey: NDArray[np.uint8]) -> None:
    deep = grey.astype(np.float32)
    tiles = iter([deep[:32, :32], None, *(deep[n : n + 32, m : m + 32] for n, m in PLACES[2:])])
    content = tiff(tiles, shape=deep.shape, dtype=deep.dtype, tile=(32, 32), photometric="minisblack")
    found = pixels(load(content))[..., 0]
    assert (found[:32, 32:64] == 0).all()
    assert np.abs(found[32:].astype(int) - grey[32:]).max() <= 1


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "JXL"])
def test_damaged_deep_files_are_no_surprise(small: Image.Image, kind: str) -> None:
    values = np.asarray(small.resize((32, 24))).astype(np.uint16) * 257
    write = {"TIFF": tiff, "PNG": imagecodecs.png_encode, "JXL": imagecodecs.jpegxl_encode}[kind]
    content = bytes(write(values, photometric="rgb") if kind == "TIFF" else write(values))
    random = np.random.default_rng(3)
    for number in range(150):
        damaged = bytearray(content)
        for place in random.integers(0, min(len(content), 600), 1 + number % 6):
            damaged[place] = random.integers(256)
        with suppress(DecodeError):
            assert load(bytes(damaged)).image.mode == "RGB"
