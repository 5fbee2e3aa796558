"""Small pictures of media, as text that goes into the page."""

import base64
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from MetaCaptioner import video
from MetaCaptioner.errors import SampleError
from MetaCaptioner.media import MediaBudget, fit, load_media
from MetaCaptioner.metafile import Sample
from MetaCaptioner.results import Record
from MetaCaptioner.work import sample_from_record

# Tried in this order until the picture fits: pixels of a square of the same area, WebP quality.
_ATTEMPTS = ((420, 75), (420, 55), (320, 50), (224, 40), (128, 30))
_BUDGET = MediaBudget(max_pixels=_ATTEMPTS[0][0] ** 2, min_pixels=1, pixel_multiple=2)
_VIDEO_FRAMES = 4
_GAP = 4


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI with its pixels, or why there is none."""

    uri: str | None = None
    width: int = 0
    height: int = 0
    problem: str | None = None


def _frames(path: Path) -> Image.Image:
    """Four frames of a clip from its beginning to its end, in reading order, on one picture."""
    if not path.is_file():
        raise SampleError("media_missing", f"{path}: there is no such file")
    facts = video.probe(path)
    if facts.width * facts.height > _BUDGET.max_source_pixels:
        raise SampleError("media_too_large", f"{path}: {facts.width}x{facts.height} pixels")
    width, height = fit(facts.width, facts.height, _BUDGET.max_pixels // _VIDEO_FRAMES, _BUDGET)
    indices = [int(index) for index in np.linspace(0, facts.frames - 1, _VIDEO_FRAMES).round()]
    frames, _ = video.decode(path, indices, width, height)
    sheet = Image.new("RGBA", (2 * width + _GAP, 2 * height + _GAP))
    for number, frame in enumerate(frames):
        sheet.paste(Image.fromarray(frame), ((number % 2) * (width + _GAP), (number // 2) * (height + _GAP)))
    return sheet


def _decoded(sample: Sample) -> Image.Image:
    if not sample.media_name:
        raise SampleError("bad_row", "the row names no media file")
    if sample.modality == "video":
        return _frames(sample.media_path)
    data = load_media(sample, _BUDGET).data
    assert isinstance(data, Image.Image)
    return data


def _encoded(picture: Image.Image, most_bytes: int) -> bytes:
    """WebP of at most `most_bytes`, or the smallest that is made at all."""
    content = b""
    for side, quality in _ATTEMPTS:
        scale = side / _ATTEMPTS[0][0]
        small = picture if scale == 1 else ImageOps.scale(picture, scale)
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=quality, method=2)
        content = buffer.getvalue()
        if len(content) <= most_bytes:
            break
    return content


def _picture(sample: Sample, most_bytes: int) -> Picture:
    try:
        picture = _decoded(sample)
    except SampleError as error:
        return Picture(problem=error.message)
    except video.VideoError as error:
        return Picture(problem=f"{sample.media_path}: {error}")
    uri = "data:image/webp;base64," + base64.b64encode(_encoded(picture, most_bytes)).decode()
    return Picture(uri, picture.width, picture.height)


def pictures_of(records: Sequence[Record], most_bytes: int) -> list[Picture]:
    """A picture of at most `most_bytes` for the media of each record, in order; of a clip four frames on one."""
    samples = [sample_from_record({"caption": "", **record}) for record in records]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        try:
            return list(threads.map(lambda sample: _picture(sample, most_bytes), samples))
        finally:
            video.end_helpers()
