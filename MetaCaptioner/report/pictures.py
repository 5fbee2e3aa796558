"""Small pictures of media, as text that goes into the page. Loads no model libraries."""

import base64
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageOps

from MetaCaptioner.data.media_source import MediaSource
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.errors import DecodeError, SampleError
from MetaCaptioner.media.clip import VideoFacts, Wanted
from MetaCaptioner.media.decoding import pool
from MetaCaptioner.media.loader import MediaBudget
from MetaCaptioner.media.resize_rule import Within
from MetaCaptioner.records.caption_records import sample_from_record
from MetaCaptioner.records.record import Record

# Tried in this order until the picture fits: its longer side in pixels, WebP quality.
_ATTEMPTS = ((480, 70), (480, 50), (360, 50), (240, 40), (140, 30))
_SIDE = _ATTEMPTS[0][0]
_LIMITS = MediaBudget().limits
_VIDEO_FRAMES = 4
_GAP = 4


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI with its pixels, or why there is none."""

    uri: str | None = None
    width: int = 0
    height: int = 0
    problem: str | None = None


class _NoPictureError(Exception):
    """Why there is none, without the file's name."""


def _image(source: MediaSource) -> Image.Image:
    try:
        shown = pool.picture(source, _LIMITS, Within(_SIDE))
    except (OSError, DecodeError, SampleError) as error:
        raise _NoPictureError(str(getattr(error, "strerror", None) or error)) from error
    return shown.image


def _plan_frames(facts: VideoFacts) -> Wanted:
    """The frames nearest to the beginning, a third, two thirds and the end."""
    moments = np.linspace(0, facts.times[-1], _VIDEO_FRAMES)
    indices = np.abs(facts.times[:, None] - moments[None]).argmin(axis=0)
    return Wanted(tuple(int(index) for index in indices), *Within(_SIDE // 2).size(facts.width, facts.height))


def _frames(source: MediaSource) -> Image.Image:
    """Four frames of a clip from its beginning to its end, in reading order, on one picture."""
    try:
        clip, _ = pool.clip(source, _LIMITS, _plan_frames)
    except (OSError, DecodeError, SampleError) as error:
        raise _NoPictureError(str(getattr(error, "strerror", None) or error)) from error
    width, height = clip.wanted.width, clip.wanted.height
    sheet = Image.new("RGBA", (2 * width + _GAP, 2 * height + _GAP))
    for number, frame in enumerate(clip.frames):
        sheet.paste(Image.fromarray(frame), ((number % 2) * (width + _GAP), (number // 2) * (height + _GAP)))
    return sheet


def _decoded(sample: Sample) -> Image.Image:
    if not sample.media_name:
        raise _NoPictureError("the row names no media file")
    source = sample.source
    if not os.path.lexists(source.path):
        raise _NoPictureError("there is no such file")
    return _frames(source) if sample.modality == "video" else _image(source)


def _encoded(picture: Image.Image, most_bytes: int) -> bytes:
    """WebP of at most `most_bytes`, or the smallest that is made at all."""
    content = b""
    for side, quality in _ATTEMPTS:
        small = picture if side == _SIDE else ImageOps.scale(picture, side / _SIDE)
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=quality, method=1)
        content = buffer.getvalue()
        if len(content) <= most_bytes:
            break
    return content


def _picture(sample: Sample, most_bytes: int) -> Picture:
    try:
        picture = _decoded(sample)
    except _NoPictureError as error:
        return Picture(problem=f"{sample.source}: {error}")
    uri = "data:image/webp;base64," + base64.b64encode(_encoded(picture, most_bytes)).decode()
    return Picture(uri, picture.width, picture.height)


def pictures_of(records: Sequence[Record], most_bytes: int, allow_outside_root: bool = False) -> list[Picture]:
    """A picture of at most `most_bytes` for the media of each record, in order; of a clip four frames on one."""
    told = (sample_from_record({"caption": "", **record}) for record in records)
    samples = [replace(sample, allow_outside_root=allow_outside_root) for sample in told]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        try:
            return list(threads.map(lambda sample: _picture(sample, most_bytes), samples))
        finally:
            pool.end_helpers()
