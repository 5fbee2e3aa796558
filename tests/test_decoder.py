"""What is shown of a clip, held against FFmpeg's own command line: frame by frame, time by time."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from MetaCaptioner import decoder
from MetaCaptioner.clip import Clip, VideoFacts, Wanted
from MetaCaptioner.source import MediaSource
from tests.odd_clips import FORMS, ffmpeg

SIZE = (112, 84)
SECONDS, RATE = 3, 20

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


@dataclass(frozen=True)
class Shown:
    """What FFmpeg's command line shows: frames as (frames, height, width, 3), and their times in seconds."""

    frames: NDArray[np.uint8]
    times: NDArray[np.float64]


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that move everywhere, so that no two frames are alike; stored without loss."""
    path = tmp_path_factory.mktemp("clips") / "plain.mkv"
    moving = f"testsrc2=s=160x120:r={RATE}:d={SECONDS},hue=h=t*100,gblur=sigma=2"
    ffmpeg("-f", "lavfi", "-i", moving, "-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv420p", path)
    return path


@pytest.fixture
def clip(request: pytest.FixtureRequest, plain: Path) -> Path:
    """The clip in the form that the test names; made once."""
    path = plain.parent / (re.sub(r"\W+", "-", request.param) + FORMS[request.param].suffix)
    return path if path.exists() else FORMS[request.param].make(plain, path)


@cache
def shown_by_ffmpeg(path: Path, width: int, height: int) -> Shown:
    filters = f"showinfo,scale={width}:{height}:flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
    command = ["ffmpeg", "-nostdin", "-threads", "1", "-i", str(path), "-vf", filters]
    command += ["-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    times = [float(found) for found in re.findall(rb"pts_time:\s*(-?[\d.]+)", done.stderr)]
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)
    assert len(times) == len(frames) > 1
    return Shown(frames, np.array(times))


def told_by_ffprobe(path: Path) -> float | None:
    """How long the video is, in seconds; None where the file does not say it of the video."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_streams", "-show_format", "-of", "json"]
    told = json.loads(subprocess.run([*command, str(path)], capture_output=True, check=True, timeout=60).stdout)
    stream = told["streams"][-1]
    tag = stream.get("tags", {}).get("DURATION")
    if tag is not None:  # Matroska
        hours, minutes, seconds = tag.split(":")
        return float(hours) * 3600 + float(minutes) * 60 + float(seconds) - float(stream.get("start_time", 0))
    return float(stream["duration"]) if "duration" in stream else None


@cache
def sampled(path: Path, *shares: float, size: tuple[int, int] = SIZE) -> Clip:
    """The frames at these shares of the clip's frames; all of them if there are none."""

    def plan(facts: VideoFacts) -> Wanted:
        ranks = [round(share * (facts.frames - 1)) for share in shares] or range(facts.frames)
        return Wanted(tuple(ranks), *size)

    return decoder.sample(MediaSource(path), plan)


def likeness(some: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """PSNR in dB of each of some frames to each of the others."""
    one, two = (frames.reshape(len(frames), -1).astype(np.float64) for frames in (some, others))
    errors = (one**2).sum(1)[:, None] + (two**2).sum(1)[None] - 2 * one @ two.T
    return np.asarray(10 * np.log10(255**2 / np.maximum(errors / one.shape[1], 1e-3)))


@pytest.mark.parametrize("clip", FORMS, indirect=True)
def test_every_frame_is_the_one_that_ffmpeg_shows_at_that_time(clip: Path) -> None:
    """In whatever form: few frames far apart, for which parts of the file are passed over, and all of them."""
    expected = shown_by_ffmpeg(clip, *SIZE)
    whole = sampled(clip)
    assert whole.facts.frames == len(expected.frames)
    assert whole.facts.times == pytest.approx(expected.times - expected.times[0], abs=_allowed(clip))
    assert (np.diff(whole.facts.times) > 0).all()
    assert whole.facts.times[0] == 0
    for found in (whole, sampled(clip, 0, 0.45, 1), sampled(clip, 0.3, 0.31, 0.8), sampled(clip, 0, 0.5, 0.99)):
        ranks = list(found.wanted.indices)
        matches = likeness(found.frames, expected.frames)
        right = matches[np.arange(len(ranks)), ranks]
        assert (right > matches.max(axis=1) - 0.5).all()  # a higher rate shows a frame several times
        assert right.min() > 28  # our FFmpeg places MPEG-1's colours better than older ones


def _allowed(clip: Path) -> float:
    """Seconds by which a time may differ: a frame for AVI, which has no times of showing."""
    return 1.01 / RATE if clip.suffix == ".avi" else 0.0015


@pytest.mark.parametrize("clip", FORMS, indirect=True)
def test_a_clip_lasts_as_long_as_ffprobe_says(clip: Path) -> None:
    facts = sampled(clip, 0).facts
    longest_step = float(np.diff(facts.times).max())
    assert facts.times[-1] < facts.duration <= facts.times[-1] + 1.01 * longest_step
    told = told_by_ffprobe(clip)
    if told is not None:
        assert facts.duration == pytest.approx(told, abs=2.1 / RATE)


@pytest.mark.parametrize("clip", [name for name, form in FORMS.items() if form.is_whole], indirect=True)
def test_every_form_shows_the_plain_clip(clip: Path, plain: Path) -> None:
    """Upright, with its own shape and colours, at its own times."""
    expected = shown_by_ffmpeg(plain, *SIZE)
    found = sampled(clip)
    assert found.facts.width / found.facts.height == pytest.approx(160 / 120, rel=0.02)
    assert found.facts.duration == pytest.approx(SECONDS, abs=0.15)
    for time, frame in zip(found.times, found.frames, strict=True):
        nearest = expected.frames[max(0, round(time * RATE) - 1) : round(time * RATE) + 2]
        assert likeness(frame[None], nearest).max() > 25


IN_ONE_PASS = [name for name in FORMS if "avi" not in name and "cut" not in name and name != "h264 intra refresh"]


@pytest.mark.parametrize("clip", IN_ONE_PASS, indirect=True)
def test_a_sound_clip_is_not_decoded_twice(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "_by_decoding_all", lambda *_: pytest.fail("all was decoded"))

    def plan(facts: VideoFacts) -> Wanted:
        return Wanted((0, facts.frames // 2, facts.frames - 1), *SIZE)

    assert len(decoder.sample(MediaSource(clip), plan).frames) == 3
