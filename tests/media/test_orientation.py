"""Frames as they are to be seen."""

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from MetaCaptioner.media.orientation import upright_picture, upright_size
from tests.helpers import make_clip

# The nine numbers of a display matrix, and where the stored top left corner is then seen.
MATRICES = {
    "as it is": ((1, 0, 0, 1), "top left"),
    "a quarter turn": ((0, 1, -1, 0), "top right"),
    "half a turn": ((-1, 0, 0, -1), "bottom right"),
    "three quarters": ((0, -1, 1, 0), "bottom left"),
    "mirrored": ((-1, 0, 0, 1), "top right"),
    "upside down": ((1, 0, 0, -1), "bottom left"),
    "sides swapped": ((0, 1, 1, 0), "top left"),
    "sides swapped and turned": ((0, -1, -1, 0), "bottom right"),
    "shrunk and turned": ((0, 0.5, -0.5, 0), "top right"),
}
QUARTERS = {"left": slice(None, 20), "right": slice(-20, None), "top": slice(None, 20), "bottom": slice(-20, None)}


def cornered(path: Path, matrix: tuple[float, float, float, float]) -> Path:
    """A clip of 96x64 pixels whose top left corner is white, with a display matrix."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32, :48] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        a, b, c, d = (round(65536 * number) for number in matrix)
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def first_picture(path: Path) -> tuple[tuple[int, int], NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        size = upright_size(stream.sample_aspect_ratio, frame)
        return size, upright_picture(frame, *size)


@pytest.mark.parametrize("name", MATRICES)
def test_a_display_matrix_is_followed(tmp_path: Path, name: str) -> None:
    matrix, corner = MATRICES[name]
    size, picture = first_picture(cornered(tmp_path / "a.mp4", matrix))
    assert size == ((96, 64) if matrix[0] else (64, 96))
    assert picture.shape == (size[1], size[0], 3)
    row, column = corner.split()
    for rows in ("top", "bottom"):
        for columns in ("left", "right"):
            is_white = (rows, columns) == (row, column)
            assert picture[QUARTERS[rows], QUARTERS[columns]].mean() == pytest.approx(255 * is_white, abs=6)


def test_colours_are_those_that_were_stored(tmp_path: Path) -> None:
    _, picture = first_picture(make_clip(tmp_path / "a.mp4", 3))
    assert picture.reshape(-1, 3).mean(axis=0) == pytest.approx([255, 0, 0], abs=8)
