"""What the bytes of a picture tell before a decoder is asked: is it whole, how large, what is it at all?"""

import re
import zlib
from collections import defaultdict
from collections.abc import Iterator

import simplejpeg

from MetaCaptioner.data.picture_formats import JXL_BOX, JXL_CODESTREAM

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_JPEG2000_HEAD = b"\xff\x4f\xff\x51"
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# Texts and colour profiles of a PNG: no pixels depend on them, and Pillow refuses large ones. Only these texts are of
# use: they may hold EXIF or XMP, which say which side is up.
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_PNG_USEFUL_TEXTS = (b"Raw profile type exif\0", b"Raw profile type APP1\0", b"XML:com.adobe.xmp\0")
_PNG_LONGEST_TEXT = 2**19

_SCAN_END = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_SOF = frozenset((0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF))
_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_SOS, _EOI = 0xDA, 0xD9
_COEFFICIENTS = 64
_MOST_SCANS = 200  # usual are 10; each is gone through in full, however little it brings


class CutOffError(Exception):
    """The picture's data end before its last pixel, or never."""


def is_tiff(content: bytes) -> bool:
    """Whether it begins as TIFF or BigTIFF does."""
    return content.startswith(_TIFF_STARTS)


def is_jxl(content: bytes) -> bool:
    """Whether it begins as JPEG XL does, bare or in a container."""
    return content.startswith((JXL_CODESTREAM, JXL_BOX))


# --- PNG
def without_texts(png: bytes) -> bytes:
    """A PNG less its colour profile and its texts, except for short ones that may say which side is up.

    Programs that make pictures write megabytes of settings there; a small file may also unpack to gigabytes.
    """
    parts, kept_from, place = [], 0, len(PNG_SIGNATURE)
    kept: set[bytes] = set()
    while place + 12 <= len(png):
        kind, end = png[place + 4 : place + 8], place + 12 + int.from_bytes(png[place : place + 4])
        if kind == b"iCCP" or (kind in _PNG_TEXTS and not _is_useful(kind, png[place + 8 : end - 4], kept)):
            parts.append(png[kept_from:place])
            kept_from = end
        place = end
    return b"".join((*parts, png[kept_from:])) if parts else png


def _is_useful(kind: bytes, body: bytes, kept: set[bytes]) -> bool:
    """Whether a text may say which side is up, is the first of its name, and short also when it is unpacked."""
    name = next((name for name in _PNG_USEFUL_TEXTS if body.startswith(name)), None)
    if name is None or name in kept or len(body) > _PNG_LONGEST_TEXT:
        return False
    text = body[len(name) :]
    packed = kind == b"zTXt" or (kind == b"iTXt" and text[:1] != b"\0")
    if packed:
        begin = 1 if kind == b"zTXt" else text.find(b"\0", text.find(b"\0", 2) + 1) + 1
        unpacked = zlib.decompressobj()
        try:
            unpacked.decompress(text[begin:], _PNG_LONGEST_TEXT)
        except zlib.error:
            return False
        if unpacked.unconsumed_tail:
            return False
    kept.add(name)
    return True


# --- JPEG
def mended_jpeg(jpeg: bytes) -> bytes:
    """A JPEG with an end marker: it is put there where only that is missing.

    Raises:
        CutOffError: the data end before the last pixel, or before the last scan of a progressive picture.
    """
    scans, ended = _scans(jpeg)
    if scans is None:
        return jpeg
    if len(scans.scans) > _MOST_SCANS:
        raise CutOffError(f"it has {len(scans.scans):,} scans, where no picture has over {_MOST_SCANS} (a bomb?)")
    if not _are_complete(scans):
        is_meant = ended and _are_complete(scans, spare_bits=1) and not jpeg_problem(jpeg)
        if not is_meant:
            raise CutOffError("it is cut off: later scans of the picture are missing")
    if ended:
        return jpeg
    mended = jpeg + _JPEG_END
    if problem := jpeg_problem(mended):
        raise CutOffError(f"it is cut off in its data ({problem})")
    return mended


def jpeg_problem(jpeg: bytes) -> str | None:
    """What libjpeg warns of while it reads all data, such as a premature end; None where there is nothing.

    Pillow hears no warnings: it shows the part that is missing in grey.
    """
    try:
        *_, colours, _ = simplejpeg.decode_jpeg_header(jpeg)
        simplejpeg.decode_jpeg(jpeg, "CMYK" if colours in ("CMYK", "YCCK") else "GRAY", min_factor=8)
    except ValueError as error:
        return str(error)
    return None


def _segments(jpeg: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and body of each segment, as far as they are sound; what is coded after the head of a scan is skipped.

    Source: ITU-T T.81, annex B.
    """
    place = len(JPEG_START)
    while place + 4 <= len(jpeg) and jpeg[place] == 0xFF:
        marker = jpeg[place + 1]
        if marker == 0xFF:  # fill bytes
            place += 1
            continue
        if marker == _EOI:
            break
        end = place + 2 + int.from_bytes(jpeg[place + 2 : place + 4])
        yield marker, jpeg[place + 4 : end]
        place = end
        if marker == _SOS:
            found = _SCAN_END.search(jpeg, place)
            place = found.start() if found else len(jpeg)
    if jpeg[place : place + 2] == _JPEG_END:
        yield _EOI, b""


_Scan = tuple[frozenset[int], int, int, int]
"""Components, first and last coefficient, and the lowest bit that the scan brings."""


class _Frame:
    def __init__(self, marker: int, body: bytes) -> None:
        self.progressive = marker in _PROGRESSIVE
        self.first = body[6] if len(body) > 6 else 0
        self.components = frozenset(body[6::3][: body[5]])
        self.scans: list[_Scan] = []


def _scans(jpeg: bytes) -> tuple[_Frame | None, bool]:
    """The picture's scans, None where the bytes are not understood; and whether its end is marked."""
    frame = None
    for marker, body in _segments(jpeg):
        if marker in _SOF and frame is None and len(body) > 5:
            frame = _Frame(marker, body)
        elif marker == _SOS and frame is not None and body and len(body) >= 4 + 2 * body[0]:
            count = body[0]
            first, last, bits = body[1 + 2 * count : 4 + 2 * count]
            frame.scans.append((frozenset(body[1 : 1 + 2 * count : 2]), first, last, bits & 15))
        elif marker == _EOI:
            return (frame if frame is not None and frame.scans else None), True
    return (frame if frame is not None and frame.scans else None), False


def _are_complete(frame: _Frame, spare_bits: int = 0) -> bool:
    """Whether the scans bring every component, and of a progressive picture the coefficients in full.

    Of them, `spare_bits` of the finest may be missing: an encoder may have saved them. It may also leave out finer
    coefficients of a colour that are all 0, but not of the first component, which is the brightness.
    """
    if not frame.progressive:
        return frame.components <= frozenset().union(*(scan[0] for scan in frame.scans))
    left: dict[int, dict[int, int]] = defaultdict(dict)
    for components, first, last, lowest_bit in frame.scans:
        for component in components:
            left[component].update(dict.fromkeys(range(first, last + 1), lowest_bit))
    if len(left[frame.first]) < _COEFFICIENTS:
        return False
    return all(0 in left[one] and max(left[one].values()) <= spare_bits for one in frame.components)


# --- JPEG 2000
def jpeg2000_bits(content: bytes) -> int:
    """The most bits of a value, by the head of the codestream; 0 where there is none.

    Source: ITU-T T.800, annex A, marker SIZ.
    """
    begin = content.find(_JPEG2000_HEAD) + len(_JPEG2000_HEAD)
    count = int.from_bytes(content[begin + 36 : begin + 38])
    sizes = content[begin + 38 : begin + 38 + 3 * count : 3] if begin >= len(_JPEG2000_HEAD) else b""
    return max((1 + (size & 0x7F) for size in sizes), default=0)


# --- WebP
def webp_size(content: bytes) -> tuple[int, int] | None:
    """Width and height by the head of a WebP file, None where there is none.

    Source: RFC 9649, sections 2.5 to 2.7.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP" or len(content) < 30:
        return None
    kind, body = content[12:16], content[20:30]
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    return None


# --- JPEG XL
def jxl_size(content: bytes) -> tuple[int, int]:
    """Width and height by the head of a JPEG XL file, whose decoder tells them only after all is decoded.

    They are those before the picture is turned upright.
    Source: ISO/IEC 18181-1, SizeHeader; the boxes of ISO/IEC 18181-2.

    Raises:
        ValueError: there is no such head.
    """
    head = _jxl_head(content)
    bits = int.from_bytes(head[2:16].ljust(14, b"\0"), "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    small = take(1)

    def side() -> int:
        return (take(5) + 1) * 8 if small else take((9, 13, 18, 30)[take(2)]) + 1

    height = side()
    ratio = take(3)
    shares = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
    width = height * shares[ratio - 1][0] // shares[ratio - 1][1] if ratio else side()
    return width, height


def _jxl_head(content: bytes) -> bytes:
    if content.startswith(JXL_CODESTREAM):
        return content[:64]
    place = 0
    while place + 16 <= len(content):
        length, kind, head = int.from_bytes(content[place : place + 4]), content[place + 4 : place + 8], 8
        if length == 1:
            length, head = int.from_bytes(content[place + 8 : place + 16]), 16
        if kind in (b"jxlc", b"jxlp"):
            begin = place + head + (4 if kind == b"jxlp" else 0)
            stream = content[begin : begin + 64]
            if stream.startswith(JXL_CODESTREAM):
                return stream
            break
        if length < head:
            break
        place += length
    raise ValueError("the head of the JPEG XL picture is damaged")


# --- anything else
_OTHER_KINDS = (
    (rb"\0\0\x01\0", "an icon (ICO)"),
    (rb"DDS ", "a texture (DDS)"),
    (rb"qoif", "a QOI picture"),
    (rb"\x01\xda[\0\x01][\x01\x02]", "an SGI picture"),
    (rb"\x0a[\0-\x05]\x01[\x01\x02\x04\x08]", "a PCX picture"),
    (rb"8BPS", "a Photoshop file (PSD)"),
    (rb"gimp xcf", "a GIMP file (XCF)"),
    (rb"%PDF", "a PDF document"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript (EPS)"),
    (rb"SIMPLE  =", "a FITS file"),
    (rb"(?s).{128}DICM", "a DICOM file"),
    (rb"\x89HDF", "an HDF5 file"),
    (rb"v/1\x01", "an OpenEXR picture"),
    (rb"#\?RADIANCE", "a Radiance picture (HDR)"),
    (rb"PK\x03\x04", "a zip archive"),
    (rb"\x1f\x8b", "packed by gzip"),
    (rb"(?s)....ftyp|\x1aE\xdf\xa3|(?s:RIFF....AVI )", "a video, in a row that names an image"),
)
_ISO_PICTURE = rb"(?s)....ftyp(avi[fs]|mif1|msf1|he[iv][cxms])"
_TGA_END = b"TRUEVISION-XFILE.\0"


def what_it_is(content: bytes, formats: str) -> str:
    """Why a file that no decoder knows is not read, as far as its bytes tell; `formats` are those that are read."""
    head = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"<"):
        if re.search(rb"<(\w+:)?svg[\s/>]", head) and not re.match(rb"<(!doctype html|html|head|body)", head):
            return "is an SVG drawing, which has no pixels yet: write it as PNG, in the size to be looked at"
        if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
            return "is a web page (HTML or XML), not an image: was the download refused?"
    if head.startswith((b"{", b"[")):
        return "is JSON text, not an image"
    if content[:64].lstrip(b" \t\r\n").startswith(JPEG_START) and not content.startswith(JPEG_START):
        return "is a JPEG picture with something written before its first byte: was it fetched as text?"
    if content.startswith(JPEG_START):
        return "is a JPEG picture of a kind that is not read (of 12 bit, without loss, or damaged): write it as PNG"
    if re.match(_ISO_PICTURE, content[:16]):
        return "is an AVIF or HEIC picture that is damaged or cut off"
    names = [name for start, name in _OTHER_KINDS if re.match(start, content[:256])]
    if names or content.endswith(_TGA_END):
        kind = (*names, "a TGA picture")[0]
        return f"is {kind}, not one of the formats that are read here ({formats}): write it as one of them"
    return f"is no image format that is read here ({formats})"
