"""Media as servers see them: the same pixels, in whatever form."""

import asyncio
import base64
import gc
import io
import json

import msgspec
import numpy as np
import pytest
from PIL import Image
from skimage import data

from MetaCaptioner.engine.server_media import EncodedMedia, Format, Part, Shown, encoded
from MetaCaptioner.media.loader import Media


def picture() -> Media:
    pixels = data.astronaut()
    return Media("image", Image.fromarray(pixels), "a", "a", *pixels.shape[1::-1])


def clip(*times: float) -> Media:
    frames = np.random.default_rng(1).integers(0, 256, (len(times), 28, 56, 3), dtype=np.uint8)
    indices = tuple(round(time * 10) for time in times)
    return Media("video", frames, "v", "v", 56, 28, 3.0, 10.0, 30, indices, times)


def seen(shown: Shown) -> list[np.ndarray]:
    """What a server decodes."""
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(frame)))) for frame in shown.frames]


@pytest.mark.parametrize("form", ["png", "bmp"])
def test_a_server_sees_the_very_pixels(form: Format) -> None:
    media, video = picture(), clip(0.0, 1.0)
    assert np.array_equal(seen(encoded(media, form))[0], np.asarray(media.data))
    assert np.array_equal(np.stack(seen(encoded(video, form))), np.asarray(video.data))


def test_the_frames_of_a_clip_keep_their_times() -> None:
    shown = encoded(clip(0.0, 0.7, 2.9))
    assert shown.timeline["frames_indices"] == [0, 7, 29]
    assert (shown.timeline["fps"], shown.timeline["total_num_frames"]) == (10.0, 30)
    texts = [part["text"] for part in shown.as_pictures() if part["type"] == "text"]
    assert texts == ["At 0.0 s:", "At 0.7 s:", "At 2.9 s:"]
    [part] = shown.named("name", is_known=False)
    url = json.loads(msgspec.json.encode(part["video_url"]))
    assert url == {"url": f"data:video/jpeg;base64,{b','.join(shown.frames).decode()}"}


def test_a_name_stands_for_pixels_and_times() -> None:
    assert encoded(clip(0.0, 1.0)).name == encoded(clip(0.0, 1.0)).name != encoded(clip(0.0, 2.0)).name
    assert encoded(picture()).name != encoded(clip(0.0, 1.0)).name
    known: list[Part] = encoded(picture()).named("name", is_known=True)
    assert known == [{"image_url": None, "uuid": "name"}]


def test_media_are_encoded_once_and_forgotten_with_their_sample() -> None:
    async def ask() -> None:
        made, media = EncodedMedia("bmp"), picture()
        one, other = await asyncio.gather(made.of(media), made.of(media))
        assert one is other
        del media
        gc.collect()
        assert not made._made

    asyncio.run(ask())
