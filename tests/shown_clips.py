"""Clips in all forms for the tests, what is shown of them here, and what FFmpeg's command line shows of them."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from MetaCaptioner.data.media_source import MediaSource
from MetaCaptioner.media import video
from MetaCaptioner.media.clip import Clip, VideoFacts, Wanted
from tests.odd_clips import FORMS, ffmpeg

SIZE = (112, 84)
SECONDS, RATE = 3, 20

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg (script/system_packages.txt)")


@dataclass(frozen=True)
class Shown:
    """What FFmpeg's command line shows: frames as (frames, height, width, 3), and their times in seconds."""

    frames: NDArray[np.uint8]
    times: NDArray[np.float64]


@pytest.fixture(scope="session")
def plain_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that move everywhere, so that no two frames are alike; stored without loss."""
    path = tmp_path_factory.mktemp("clips") / "plain.mkv"
    moving = f"testsrc2=s=160x120:r={RATE}:d={SECONDS},hue=h=t*100,gblur=sigma=2"
    ffmpeg("-f", "lavfi", "-i", moving, "-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv420p", path)
    return path


@pytest.fixture
def odd_clip(request: pytest.FixtureRequest, plain_clip: Path) -> Path:
    """The clip in the form that the test names; made once."""
    path = plain_clip.parent / (re.sub(r"\W+", "-", request.param) + FORMS[request.param].suffix)
    return path if path.exists() else FORMS[request.param].make(plain_clip, path)


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


@cache
def sampled(path: Path, *shares: float, size: tuple[int, int] = SIZE) -> Clip:
    """The frames at these shares of the clip's frames; all of them if there are none."""

    def plan(facts: VideoFacts) -> Wanted:
        ranks = [round(share * (facts.frames - 1)) for share in shares] or range(facts.frames)
        return Wanted(tuple(ranks), *size)

    return video.sample(MediaSource(path), plan)


def likeness(some: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """PSNR in dB of each of some frames to each of the others."""
    one, two = (frames.reshape(len(frames), -1).astype(np.float64) for frames in (some, others))
    errors = (one**2).sum(1)[:, None] + (two**2).sum(1)[None] - 2 * one @ two.T
    return np.asarray(10 * np.log10(255**2 / np.maximum(errors / one.shape[1], 1e-3)))
