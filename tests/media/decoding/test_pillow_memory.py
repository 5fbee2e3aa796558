"""The memory of a picture, read where it lies."""

import pytest
from PIL import Image

from MetaCaptioner.media.decoding.pillow_memory import LAYOUT, pixels_of


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (644, 476), (4000, 2), (2500, 2500)])
def test_it_is_what_pillow_says(size: tuple[int, int]) -> None:
    """The largest lies in several pieces."""
    image = Image.effect_noise(size, 50).convert("RGB")
    with pixels_of(image) as pixels:
        assert pixels == image.tobytes("raw", LAYOUT)
