"""`Sample` -> decoded image or video within a pixel and frame budget."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from MetaCaptioner.data.media_source import MediaSource
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.errors import DecodeError, ErrorKind, SampleError, cannot_be_read
from MetaCaptioner.media.clip import Clip, VideoFacts, Wanted
from MetaCaptioner.media.decoding import pool
from MetaCaptioner.media.resize_rule import Multiples

_MAX_IMAGE_BYTES = 2**30
_MIN_VIDEO_FRAMES = 4
_UNEVEN_RATE = 1000.0


@dataclass(frozen=True)
class MediaBudget:
    """What a picture or clip may cost.

    `max_pixels` is for an image, `video_pixels` for each frame of a video; `video_frames` bounds the frames of a video,
    `video_fps` how many are taken a second. Sources above `max_source_pixels` are refused without decoding them. To
    decode one may take `decode_seconds`, to decode all that are decoded at a time `decode_memory` bytes.
    """

    max_pixels: int = 1280 * 28 * 28
    min_pixels: int = 4 * 28 * 28
    video_pixels: int = 192 * 28 * 28
    video_frames: int = 32
    video_fps: float = 2.0
    max_source_pixels: int = 250_000_000
    pixel_multiple: int = 28
    decode_seconds: float = 300.0
    decode_memory: int = 4 * 2**30

    @property
    def limits(self) -> pool.Limits:
        return pool.Limits(self.max_source_pixels, self.decode_seconds, self.decode_memory)

    def shape(self, max_pixels: int) -> Multiples:
        """The sizes of pictures and frames that may have so many pixels."""
        return Multiples(max_pixels, self.min_pixels, self.pixel_multiple)


@dataclass(frozen=True)
class Media:
    """A decoded picture or clip.

    `data` is an RGB image, or the frames as (frames, height, width, 3) of 8 bit. `media_id` is the same for the same
    file content under the same budget. `content_hash` is SHA-256 of the file. `frame_times` are seconds. `note` is what
    the record should tell of how it is shown.
    """

    modality: Modality
    data: Image.Image | NDArray[np.uint8]
    media_id: str
    content_hash: str
    width: int
    height: int
    duration: float = 0.0
    source_fps: float = 0.0
    source_frames: int = 1
    frame_indices: tuple[int, ...] = (0,)
    frame_times: tuple[float, ...] = (0.0,)
    note: str | None = None

    def describe(self) -> dict[str, str]:
        """The texts that prompts may use: `duration`, `frame_count` and `frame_times`."""
        return {
            "duration": f"{self.duration:.1f} s",
            "frame_count": str(len(self.frame_times)),
            "frame_times": ", ".join(f"{time:.1f}" for time in self.frame_times),
        }


def load_media(sample: Sample, budget: MediaBudget) -> Media:
    """Have the media of `sample` read, decoded and resized, in another process. Runs in a thread.

    Raises:
        SampleError: `media_missing`, `media_unreadable`, `media_corrupt`, `media_too_large`,
            `media_too_slow`, `media_outside_root` or `media_bad_shape`.
        OutOfFiles: this process may open no more.
    """
    source = sample.source
    try:
        size = source.look()
        if sample.modality == "image" and size > _MAX_IMAGE_BYTES:
            raise SampleError(
                ErrorKind.MEDIA_TOO_LARGE, f"{source}: {size:,} bytes, a picture is read up to {_MAX_IMAGE_BYTES:,}"
            )
        return _load_image(source, budget) if sample.modality == "image" else _load_video(source, budget)
    except DecodeError as error:
        raise SampleError(error.kind, f"{source}: {error}") from error
    except OSError as error:
        raise cannot_be_read(error, str(source)) from error


def unseen_media(sample: Sample) -> Media:
    """What stands for the media of a sample that nobody looks at: nothing is read, the earlier hash is kept."""
    return Media(sample.modality, Image.new("RGB", (1, 1)), "unseen", sample.unseen or "", 1, 1)


def fit(width: int, height: int, max_pixels: int, budget: MediaBudget) -> tuple[int, int]:
    """The (width, height) to resize to: multiples of `budget.pixel_multiple` within the pixel budget.

    Raises:
        SampleError: `media_bad_shape`, one side is over 200 times the other.
    """
    return budget.shape(max_pixels).size(width, height)


def _load_image(source: MediaSource, budget: MediaBudget) -> Media:
    shown = pool.picture(source, budget.limits, budget.shape(budget.max_pixels))
    width, height = shown.image.size
    return Media(
        modality="image",
        data=shown.image,
        media_id=f"image-{shown.content_hash[:32]}-{width}x{height}",
        content_hash=shown.content_hash,
        width=width,
        height=height,
        note=shown.note,
    )


def choose_frames(times: NDArray[np.float64], duration: float, budget: MediaBudget) -> list[int]:
    """Which frames of a video to take, by their places in `times`: evenly spread in time, first and last among them.

    Their number is even and, where the frames are evenly spaced, that of `qwen_vl_utils.vision_process.smart_nframes`:
    `video_fps` a second, at least 4 and at most `video_frames`, never more than there are. No frame is taken twice, so
    that there are fewer where one stands long. A video of one frame gives that frame twice, for models that pair
    frames.
    """
    frames = len(times)
    if frames < 2:
        return [0, 0]
    most = max(2, min(budget.video_frames, frames))
    wanted = duration * min(budget.video_fps, frames / duration)
    count = int(min(max(wanted, _MIN_VIDEO_FRAMES), most)) // 2 * 2
    moments = np.linspace(times[0], times[-1], count)
    after = np.clip(np.searchsorted(times, moments), 1, frames - 1)
    nearest = np.where(moments - times[after - 1] <= times[after] - moments, after - 1, after)
    chosen = set(nearest.tolist())
    while len(chosen) % 2 or len(chosen) < min(_MIN_VIDEO_FRAMES, count):
        taken = times[sorted(chosen)]
        distance = np.abs(times[:, None] - taken[None]).min(axis=1)
        chosen.add(int(distance.argmax()))
    return sorted(chosen)


def _plan_frames(facts: VideoFacts, budget: MediaBudget) -> Wanted:
    width, height = fit(facts.width, facts.height, min(budget.video_pixels, budget.max_pixels), budget)
    return Wanted(tuple(choose_frames(facts.times, facts.duration, budget)), width, height)


def _load_video(source: MediaSource, budget: MediaBudget) -> Media:
    clip, content_hash = pool.clip(source, budget.limits, partial(_plan_frames, budget=budget))
    facts, wanted = clip.facts, clip.wanted
    return Media(
        modality="video",
        data=clip.frames,
        media_id=f"video-{content_hash[:32]}-{wanted.width}x{wanted.height}-{len(wanted.indices)}",
        content_hash=content_hash,
        width=wanted.width,
        height=wanted.height,
        duration=facts.duration,
        frame_times=clip.times,
        **_timeline(clip),
    )


def _timeline(clip: Clip) -> dict[str, Any]:
    """What models that count frames are told: a timeline of even frames on which each frame has its true time.

    That of the clip itself where its frames are evenly spaced, else one of milliseconds.
    """
    facts, indices = clip.facts, clip.wanted.indices
    rate = facts.frames / facts.duration
    if any(abs(index / rate - time) > 0.5 / rate for index, time in zip(indices, clip.times, strict=True)):
        rate = _UNEVEN_RATE
        indices = tuple(round(time * rate) for time in clip.times)
    return {"source_fps": rate, "source_frames": round(facts.duration * rate), "frame_indices": indices}
