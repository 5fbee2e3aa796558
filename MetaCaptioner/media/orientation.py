"""From a frame as it is stored to the picture that is shown: upright, with square pixels, in RGB."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

_WHITE = 255
# FFmpeg's quick way keeps half of the colours' width, which saturated edges show.
_SCALING = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)


@dataclass(frozen=True)
class _Turn:
    """How a stored picture is turned for showing: its sides are swapped first, then it is mirrored."""

    swaps_sides: bool = False
    mirrors_x: bool = False
    mirrors_y: bool = False


def upright_size(aspect: Fraction | None, frame: VideoFrame) -> tuple[int, int]:
    """The (width, height) of what is shown, with square pixels: the longer side of a pixel is what counts.

    `aspect` is the width of a stored pixel by its height, None or 0 where that is not known.
    """
    width, height = float(frame.width), float(frame.height)
    if aspect is not None and aspect > 0:
        width, height = width * max(1.0, float(aspect)), height * max(1.0, float(1 / aspect))
    size = round(width), round(height)
    return size[::-1] if _turn(frame).swaps_sides else size


def upright_picture(frame: VideoFrame, width: int, height: int) -> NDArray[np.uint8]:
    """The picture as (height, width, 3) of 8-bit RGB; what is transparent is laid on white."""
    turn = _turn(frame)
    stored = (height, width) if turn.swaps_sides else (width, height)
    is_opaque = not any(component.is_alpha for component in frame.format.components)
    layout = "rgb24" if is_opaque else "rgba"
    scaled = frame.reformat(*stored, layout, interpolation=_SCALING, threads=1)
    picture = np.asarray(scaled.to_ndarray(), np.uint8)
    if not is_opaque:
        picture = _on_white(picture)
    if turn.swaps_sides:
        picture = picture.swapaxes(0, 1)
    steps = (-1 if turn.mirrors_y else 1, -1 if turn.mirrors_x else 1)
    return picture[:: steps[0], :: steps[1]]


def picture_within(
    frame: VideoFrame, own_size: tuple[int, int], size: tuple[int, int], wanted: tuple[int, int]
) -> NDArray[np.uint8]:
    """The picture of a frame of another shape than the first of its clip: whole and undistorted, on black.

    All are (width, height): the frame's upright size, that of the first frame, and the one that this is given.
    """
    scale = min(size[0] / own_size[0], size[1] / own_size[1])
    inner = [max(1, round(full * own * scale / first)) for full, own, first in zip(wanted, own_size, size, strict=True)]
    picture = np.zeros((wanted[1], wanted[0], 3), np.uint8)
    left, top = ((full - part) // 2 for full, part in zip(wanted, inner, strict=True))
    picture[top : top + inner[1], left : left + inner[0]] = upright_picture(frame, *inner)
    return picture


def _turn(frame: VideoFrame) -> _Turn:
    """What the frame's display matrix asks for, to the nearest quarter turn.

    Source: FFmpeg's libavutil/display.h. Of the 3x3 matrix, kept as 9 numbers of 32 bits, a point (x, y) goes to
    (a x + c y, b x + d y) with a, b the first two numbers of the first row and c, d those of the second.
    """
    side_data: Any = frame.side_data
    if SideData.DISPLAYMATRIX not in side_data:
        return _Turn()
    matrix = np.frombuffer(bytes(side_data[SideData.DISPLAYMATRIX]), np.int32)
    a, b, _, c, d = (int(number) for number in matrix[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return _Turn(True, mirrors_x=c < 0, mirrors_y=b < 0)
    return _Turn(False, mirrors_x=a < 0, mirrors_y=d < 0)


def _on_white(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    share = picture[..., 3:].astype(np.float32) / 255
    mixed: NDArray[np.uint8] = np.rint(picture[..., :3] * share + _WHITE * (1 - share)).astype(np.uint8)
    return mixed
