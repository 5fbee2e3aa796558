"""How long the frames of a clip take to decode, beside decord, which was used before.

    pip install decord
    python -m benchmarks.decoding --work scratch

Makes H.264 clips of 1920x1080 pixels with ffmpeg, of moving shapes under noise, and takes of each as many frames as a
caption does, by one thread: `decoder` as a rank calls it, decord by `get_batch`. The file is read once before. What a
rank used decord for was two calls, one to look and one to decode, which is the second figure for it. Processors' time
is given, which other programs on the machine change little.
"""

import argparse
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from MetaCaptioner.data.media_source import MediaSource
from MetaCaptioner.errors import UserError
from MetaCaptioner.media import video
from MetaCaptioner.media.clip import VideoFacts, Wanted
from MetaCaptioner.media.loader import MediaBudget, choose_frames, fit
from MetaCaptioner.utils.cli import run_main

RATE = 30


@dataclass(frozen=True)
class Measured:
    """Seconds of processors' time for the frames of one clip: here, by decord, and by decord with a look before."""

    name: str
    frames: int
    ours: float
    decord: float
    decord_twice: float

    @property
    def share(self) -> float:
        """Our speed as a share of decord's."""
        return self.decord / self.ours


def make_clip(folder: Path, seconds: int, gop: int, size: str = "1920x1080", b_frames: int = 3) -> Path:
    """The clip, made unless it is there; `b_frames` are the most between two frames that others build upon."""
    path = folder / f"{seconds}s-gop{gop}-b{b_frames}-{size}.mp4"
    if not path.exists():
        source = f"testsrc2=s={size}:r={RATE}:d={seconds},noise=alls=6:allf=t"
        codec = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "26", "-g", str(gop)]
        codec += ["-bf", str(b_frames), "-pix_fmt", "yuv420p"]
        partly = path.with_suffix(".part.mp4")
        command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", source, *codec, str(partly)]
        subprocess.run(command, check=True)
        partly.rename(path)
    return path


def _plan(facts: VideoFacts, budget: MediaBudget) -> Wanted:
    width, height = fit(facts.width, facts.height, budget.video_pixels, budget)
    return Wanted(tuple(choose_frames(facts.times, facts.duration, budget)), width, height)


def _by_decord(path: Path, wanted: Wanted, looks_first: bool) -> Any:
    decord = import_module("decord")
    if looks_first:
        decord.VideoReader(str(path), num_threads=1)[0].asnumpy()
    reader = decord.VideoReader(str(path), num_threads=1, width=wanted.width, height=wanted.height)
    frames = reader.get_batch(list(wanted.indices)).asnumpy()
    return frames, reader.get_frame_timestamp(list(wanted.indices))


def _seconds(function: Callable[[], object], times: int) -> float:
    """The shortest of some runs."""
    found = []
    for _ in range(times):
        begin = time.process_time()
        function()
        found.append(time.process_time() - begin)
    return min(found)


def measure(path: Path, frames: int, times: int) -> Measured:
    """Time one clip, of which at most `frames` are taken."""
    budget = MediaBudget(video_frames=frames)
    ours = partial(video.sample, MediaSource(path), partial(_plan, budget=budget))
    wanted = ours().wanted
    return Measured(
        name=path.stem,
        frames=len(wanted.indices),
        ours=_seconds(ours, times),
        decord=_seconds(lambda: _by_decord(path, wanted, looks_first=False), times),
        decord_twice=_seconds(lambda: _by_decord(path, wanted, looks_first=True), times),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row for each clip and number of frames; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoding", description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the clips, which stay there")
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 60], help="lengths of the clips")
    parser.add_argument("--gops", type=int, nargs="+", default=[30, 250], help="frames between keyframes")
    parser.add_argument("--b-frames", type=int, default=3, help="frames in a row that no others build upon")
    parser.add_argument("--frames", type=int, nargs="+", default=[16, 32], help="most frames to take")
    parser.add_argument("--times", type=int, default=3, help="runs of each, of which the shortest counts")
    options = parser.parse_args(arguments)
    try:
        import_module("decord")
    except ImportError:
        raise UserError("this compares with decord, which is not installed: pip install decord") from None
    options.work.mkdir(parents=True, exist_ok=True)
    print("| clip | frames | PyAV, s | decord, s | decord with a look, s | speed against decord |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for seconds in options.seconds:
        for gop in options.gops:
            path = make_clip(options.work, seconds, gop, b_frames=options.b_frames)
            for frames in options.frames:
                row = measure(path, frames, options.times)
                figures = f"{row.ours:.2f} | {row.decord:.2f} | {row.decord_twice:.2f} | {row.share:.2f}"
                print(f"| {row.name} | {row.frames} | {figures} |")
    return 0


if __name__ == "__main__":
    run_main(main)
