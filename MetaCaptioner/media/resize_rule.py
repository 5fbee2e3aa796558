"""Which size a picture is given, as plain numbers: who decodes it need not ask for every file."""

import math

import msgspec

from MetaCaptioner.errors import ErrorKind, SampleError

_MAX_SIDE_RATIO = 200  # the limit of the Qwen-VL processors (qwen_vl_utils.vision_process.MAX_RATIO)


class Multiples(msgspec.Struct, frozen=True, tag=True):
    """Sides that are multiples of `unit`, and so many pixels at most and at least.

    They are those of `qwen_vl_utils.vision_process.smart_resize`, so that a Qwen-VL processor does not resize again;
    that function itself would load torch into every process, and give a strip within a small budget a side of 0.
    """

    max_pixels: int
    min_pixels: int
    unit: int

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) to resize to.

        Raises:
            SampleError: `media_bad_shape`, one side is over 200 times the other.
        """
        if max(width, height) > _MAX_SIDE_RATIO * min(width, height):
            raise SampleError(
                ErrorKind.MEDIA_BAD_SHAPE,
                f"{width}x{height} pixels: one side is over {_MAX_SIDE_RATIO} times the other, no model takes it",
            )
        unit = self.unit
        min_pixels = min(self.min_pixels, self.max_pixels)
        columns, rows = (max(1, round(side / unit)) for side in (width, height))
        if columns * rows * unit**2 > self.max_pixels:
            shrink = math.sqrt(width * height / self.max_pixels)
            longest = max(1, self.max_pixels // unit**2)
            columns, rows = (min(max(1, int(side / shrink / unit)), longest) for side in (width, height))
        elif columns * rows * unit**2 < min_pixels:
            grow = math.sqrt(min_pixels / (width * height))
            columns, rows = (math.ceil(side * grow / unit) for side in (width, height))
        return columns * unit, rows * unit


class Within(msgspec.Struct, frozen=True, tag=True):
    """No side longer than `side`, and none longer than it was."""

    side: int

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) to resize to."""
        scale = min(1.0, self.side / max(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))


Fit = Multiples | Within
