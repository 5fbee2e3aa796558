"""Pixels through memory that a helper and a rank share, written by one that may be hostile."""

import os

import numpy as np
import pytest

from MetaCaptioner.media.decoding.shared_pixels import NotWrittenError, PixelWriter, SharedPixels

USUAL = 2**22


def writer_of(pixels: SharedPixels) -> PixelWriter:
    return PixelWriter(*(os.dup(descriptor) for descriptor in pixels.descriptors))


@pytest.mark.parametrize("count", [1, 4097, USUAL, USUAL + 1, 3 * USUAL])
def test_what_is_written_is_read(count: int) -> None:
    pixels = SharedPixels()
    writer = writer_of(pixels)
    for seed in (0, 1):
        values = np.random.default_rng(seed).integers(0, 256, count, np.uint8)
        writer.write(values.data)
        assert np.array_equal(pixels.view(count), values)
        writer.write(values.data)
        assert np.array_equal(pixels.copied(count), values)


def test_memory_of_large_pictures_is_given_back() -> None:
    pixels = SharedPixels()
    writer_of(pixels).write(memoryview(bytes(USUAL + 1)))
    pixels.view(USUAL + 1)
    assert os.fstat(pixels.descriptors[1]).st_size == 0


def test_what_was_never_written_is_told() -> None:
    with pytest.raises(NotWrittenError):
        SharedPixels().view(USUAL + 1)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memfd_create(2)")
@pytest.mark.parametrize("size", [0, USUAL - 1, USUAL + 1])
def test_the_file_that_a_rank_has_mapped_keeps_its_size(size: int) -> None:
    """To read beyond its end would end the rank with SIGBUS."""
    pixels = SharedPixels()
    with pytest.raises(PermissionError):
        os.ftruncate(pixels.descriptors[0], size)
    assert pixels.view(USUAL)[-1] == 0
