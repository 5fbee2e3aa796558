"""The formats of pictures that are read, and which of them some bytes begin as."""

from contextlib import suppress
from io import BytesIO

from PIL import Image

# Only formats that are plain pixels: no PostScript or the like, which start other programs.
PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")
IMAGE_FORMATS = (*PILLOW_FORMATS, "JXL")
JXL_BOX = b"\0\0\0\x0cJXL \r\n\x87\n"
JXL_CODESTREAM = b"\xff\x0a"
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def format_of(content: bytes) -> str | None:
    """The format of `IMAGE_FORMATS` that some bytes begin as; None where it is none of them."""
    if content.startswith((JXL_CODESTREAM, JXL_BOX)):
        return "JXL"
    if content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS:
        return "HEIF"
    Image.init()
    known = [one for one in PILLOW_FORMATS if one in Image.OPEN]  # Pillow itself fails on one that it has no plugin for
    with (
        suppress(OSError, ValueError, SyntaxError, Image.DecompressionBombError),
        Image.open(BytesIO(content), formats=known) as image,
    ):
        return image.format
    return None
