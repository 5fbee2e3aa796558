"""Writing WebDataset tar shards."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath

from MetaCaptioner.data.picture_formats import format_of
from MetaCaptioner.data.taxonomy import Modality

FIRST_SHARD = "shard-000000.tar"
_MOST_SAMPLES = 20_000  # of one shard: its writer keeps a note of every member
_USUAL_OF_FORMAT = {
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "AVIF": "avif",
    "JPEG2000": "jp2",
    "HEIF": "heic",
    "JXL": "jxl",
}
_USUAL_SUFFIX = {"image": "jpg", "video": "mp4"}

Write = Callable[[str, dict[str, bytes]], None]
"""(key, content by extension) of a sample."""


@contextmanager
def shards(folder: Path, megabytes: int) -> Iterator[Write]:
    """Write samples into `shard-000000.tar` and on in `folder`, each of about so many megabytes (10^6 bytes)."""
    from webdataset import ShardWriter

    pattern = f"{folder}/".replace("%", "%%") + "shard-%06d.tar"
    writer = ShardWriter(
        pattern,
        maxcount=_MOST_SAMPLES,
        maxsize=megabytes * 10**6,
        verbose=0,
        encoder=False,
        format="PAX_FORMAT",  # which has no limit to the length of a name
        mtime=0,
    )
    with closing(writer):
        yield lambda key, parts: writer.write({"__key__": key, **parts})


def extension(name: str, modality: Modality, known: frozenset[str], content: bytes = b"") -> str:
    """The extension of a media file without its dot: by its name if that is a `known` one, else by a picture's content.

    Where neither tells, it is the usual one of its kind.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in known:
        return suffix.removeprefix(".")
    if modality == "image" and content:
        return _USUAL_OF_FORMAT.get(format_of(content) or "", _USUAL_SUFFIX[modality])
    return _USUAL_SUFFIX[modality]
