"""Media as servers are sent them: the very pixels that an engine in process is given, encoded once a sample.

A picture is a PNG, which loses nothing and which every server reads; for vLLM on this machine a BMP: no network is to
be spared then, and packing a picture takes longer than all else that is done to send it. A clip is its frames, each
such a picture: for vLLM one `video_url` of the type video/jpeg (which takes frames of any format), with their places in
time beside it; for other servers, which would take an encoded file and choose frames themselves, pictures with their
times before them.
"""

import asyncio
import base64
import hashlib
import io
import weakref
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import numpy as np
from PIL import Image

from MetaCaptioner.engine.server_pool import Home
from MetaCaptioner.media.loader import Media

_PNG: Mapping[str, Any] = {"compress_level": 1, "compress_type": zlib.Z_RLE}
"""A sixth of the default's time, and no more bytes."""
Part = Mapping[str, Any]
Format = Literal["png", "bmp"]


@dataclass(eq=False)
class Shown:
    """The encoded media of a sample. `home` is the server that has seen them."""

    times: tuple[float, ...]
    is_video: bool
    timeline: Mapping[str, Any]
    form: Format
    frames: Sequence[bytes]
    """Each in base64."""
    name: str
    """Names the content: the same for the same pixels and times."""
    home: Home = field(default_factory=Home, repr=False)
    known_to: set[str] = field(default_factory=set)
    """The addresses of servers that have them by their name."""

    def as_pictures(self) -> list[Part]:
        """For any server: of a clip each frame after its time."""
        if not self.is_video:
            return [self._picture(self.frames[0])]
        frames = zip(self.times, self.frames, strict=True)
        return [part for time, frame in frames for part in (_text(f"At {time:.1f} s:"), self._picture(frame))]

    def _picture(self, frame: bytes) -> Part:
        return {"type": "image_url", "image_url": {"url": _data_url(f"image/{self.form}", frame)}}

    def named(self, name: str, is_known: bool) -> list[Part]:
        """For vLLM, which need not hash what has a name; what it has by that name need not be sent again."""
        kind = "video_url" if self.is_video else "image_url"
        if is_known:
            return [{kind: None, "uuid": name}]
        url = _data_url("video/jpeg" if self.is_video else f"image/{self.form}", b",".join(self.frames))
        return [{"type": kind, kind: {"url": url}, "uuid": name}]


def _data_url(form: str, data: bytes) -> msgspec.Raw:
    """As JSON already: base64 has nothing to escape, and to look for that in a megabyte takes time."""
    return msgspec.Raw(b'"data:%b;base64,%b"' % (form.encode(), data))


def _text(text: str) -> Part:
    return {"type": "text", "text": text}


def encoded(media: Media, form: Format = "png") -> Shown:
    """Encode media; as PNG that takes a tenth of a second for a picture of a megapixel."""
    is_video = media.modality == "video"
    images = [Image.fromarray(frame) for frame in np.asarray(media.data)] if is_video else [media.data]
    files = [_file(image, form) for image in images if isinstance(image, Image.Image)]
    timeline = _timeline(media) if is_video else {}
    digest = hashlib.sha256(repr(timeline).encode())
    for file in files:
        digest.update(file)
    frames = [base64.b64encode(file) for file in files]
    return Shown(media.frame_times, is_video, timeline, form, frames, digest.hexdigest()[:32])


def _file(image: Image.Image, form: Format) -> memoryview:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, form, **(_PNG if form == "png" else {}))
    return buffer.getbuffer()


def _timeline(media: Media) -> dict[str, Any]:
    """The places of the frames in time, in the words of vLLM's reader of frames."""
    return {
        "num_frames": -1,  # take all
        "fps": media.source_fps,
        "duration": media.duration,
        "total_num_frames": max(media.source_frames, len(media.frame_indices)),
        "frames_indices": list(media.frame_indices),
        "do_sample_frames": False,
    }


class EncodedMedia:
    """Media that are encoded already, each for as long as somebody has the sample's own."""

    def __init__(self, form: Format) -> None:
        self._form = form
        self._made: dict[int, asyncio.Task[Shown]] = {}

    async def of(self, media: Media) -> Shown:
        """What `media` look like to servers; encoded in a thread when it is asked for first."""
        key = id(media)
        if key not in self._made:
            self._made[key] = asyncio.create_task(asyncio.to_thread(encoded, media, self._form))
            weakref.finalize(media, self._made.pop, key, None)
        return await asyncio.shield(self._made[key])
