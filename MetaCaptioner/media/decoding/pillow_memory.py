"""The memory in which Pillow keeps a picture, to be read where it lies.

Sources: Pillow's manual, "Arrow support"; Arrow's manual, "The Arrow C data interface" and "The Arrow PyCapsule
Interface".
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

LAYOUT = "RGBX"
"""How Pillow keeps the values of an RGB picture: with a fourth byte, which says nothing."""


class _ArrowArray(ctypes.Structure):
    """struct ArrowArray; of its fields, those up to the ones that are needed."""


_ArrowArray._fields_ = (
    *((name, ctypes.c_int64) for name in ("length", "null_count", "offset", "n_buffers", "n_children")),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_ArrowArray))),
)
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


@contextmanager
def pixels_of(image: Image.Image) -> Iterator[memoryview]:
    """The values of an RGB picture in `LAYOUT`, row by row, as long as the context lasts."""
    count = image.width * image.height * len(LAYOUT)
    try:
        _, capsule = image.__arrow_c_array__()  # frees what it holds as it goes
    except ValueError:  # a large picture lies in several pieces
        yield memoryview(image.tobytes("raw", LAYOUT))
        return
    array = _ArrowArray.from_address(_pointer(capsule, b"arrow_array"))
    values = array.children[0].contents.buffers[1]  # of as many bytes to each pixel
    yield memoryview((ctypes.c_ubyte * count).from_address(values))
    del capsule
