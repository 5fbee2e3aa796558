"""What is shown of a clip, held against FFmpeg's own command line: frame by frame, time by time."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from MetaCaptioner.data.media_source import MediaSource
from MetaCaptioner.media import video
from MetaCaptioner.media.clip import VideoFacts, Wanted
from tests.odd_clips import FORMS
from tests.shown_clips import RATE, SECONDS, SIZE, likeness, needs_ffmpeg, sampled, shown_by_ffmpeg

pytestmark = needs_ffmpeg


def told_by_ffprobe(path: Path) -> float | None:
    """How long the video is, in seconds; None where the file does not say it, or only what stood there at first."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_streams", "-show_format", "-of", "json"]
    told = json.loads(subprocess.run([*command, str(path)], capture_output=True, check=True, timeout=60).stdout)
    stream = told["streams"][-1]
    tag = stream.get("tags", {}).get("DURATION")
    if tag is not None:  # Matroska
        hours, minutes, seconds = tag.split(":")
        return float(hours) * 3600 + float(minutes) * 60 + float(seconds) - float(stream.get("start_time", 0))
    told, frames = float(stream.get("duration", "inf")), int(stream.get("nb_frames", 0))
    return told if told < 1e6 and frames < 2**30 else None


@pytest.mark.parametrize("odd_clip", FORMS, indirect=True)
def test_every_frame_is_the_one_that_ffmpeg_shows_at_that_time(odd_clip: Path) -> None:
    """In whatever form: few frames far apart, for which parts of the file are passed over, and all of them."""
    expected = shown_by_ffmpeg(odd_clip, *SIZE)
    whole = sampled(odd_clip)
    assert whole.facts.frames == len(expected.frames)
    assert whole.facts.times == pytest.approx(expected.times - expected.times[0], abs=_allowed(odd_clip))
    assert (np.diff(whole.facts.times) > 0).all()
    assert whole.facts.times[0] == 0
    for found in (
        whole,
        sampled(odd_clip, 0, 0.45, 1),
        sampled(odd_clip, 0.3, 0.31, 0.8),
        sampled(odd_clip, 0, 0.5, 0.99),
    ):
        ranks = list(found.wanted.indices)
        matches = likeness(found.frames, expected.frames)
        right = matches[np.arange(len(ranks)), ranks]
        assert (right > matches.max(axis=1) - 0.5).all()  # a higher rate shows a frame several times
        assert right.min() > 28  # our FFmpeg places MPEG-1's colours better than older ones


def _allowed(odd_clip: Path) -> float:
    """Seconds by which a time may differ: a frame for AVI, which has no times of showing."""
    return 1.01 / RATE if odd_clip.suffix == ".avi" else 0.0015


@pytest.mark.parametrize("odd_clip", FORMS, indirect=True)
def test_a_clip_lasts_as_long_as_ffprobe_says(odd_clip: Path) -> None:
    facts = sampled(odd_clip, 0).facts
    longest_step = float(np.diff(facts.times).max())
    assert facts.times[-1] < facts.duration <= facts.times[-1] + 1.01 * longest_step
    told = told_by_ffprobe(odd_clip)
    if told is not None:
        assert facts.duration == pytest.approx(told, abs=2.1 / RATE)


@pytest.mark.parametrize("odd_clip", [name for name, form in FORMS.items() if form.is_whole], indirect=True)
def test_every_form_shows_the_plain_clip(odd_clip: Path, plain_clip: Path) -> None:
    """Upright, with its own shape and colours, at its own times."""
    expected = shown_by_ffmpeg(plain_clip, *SIZE)
    found = sampled(odd_clip)
    assert found.facts.width / found.facts.height == pytest.approx(160 / 120, rel=0.02)
    assert found.facts.duration == pytest.approx(SECONDS, abs=0.15)
    for time, frame in zip(found.times, found.frames, strict=True):
        nearest = expected.frames[max(0, round(time * RATE) - 1) : round(time * RATE) + 2]
        assert likeness(frame[None], nearest).max() > 25


IN_ONE_PASS = [name for name in FORMS if "avi" not in name and "cut" not in name and name != "h264 intra refresh"]


@pytest.mark.parametrize("odd_clip", IN_ONE_PASS, indirect=True)
def test_a_sound_clip_is_not_decoded_twice(odd_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "_by_decoding_all", lambda *_: pytest.fail("all was decoded"))

    def plan(facts: VideoFacts) -> Wanted:
        return Wanted((0, facts.frames // 2, facts.frames - 1), *SIZE)

    assert len(video.sample(MediaSource(odd_clip), plan).frames) == 3
