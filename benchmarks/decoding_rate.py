"""How fast sound pictures are decoded, as a rank does it, beside another version of the package.

    python -m benchmarks.decoding_rate --work scratch --against ../before

Makes pictures of the usual kinds and has each decoded many times by 1 and by 8 threads. `--against` names the root of
another version; the two are run in turn, each time in a process of its own, and the medians of the rounds are compared.
Processors' time is that of all processes, which other programs on the machine change little; the clock's says more
where nothing else runs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from MetaCaptioner.media import MediaBudget, load_media
from MetaCaptioner.metafile import Sample

_ROOT = Path(__file__).parents[1]
_PICTURES: dict[str, tuple[tuple[int, int], dict[str, Any], int]] = {
    "JPEG 12 MP.jpg": ((4000, 3000), {"quality": 90}, 24),
    "JPEG 0.3 MP.jpg": ((640, 480), {"quality": 90}, 400),
    "PNG 1 MP.png": ((1024, 1024), {}, 48),
    "WebP 1 MP.webp": ((1024, 1024), {"quality": 85}, 64),
}
"""Size, how it is saved, how often it is decoded."""


@dataclass(frozen=True)
class Measured:
    """Milliseconds a picture by the clock and by the processors."""

    name: str
    threads: int
    clock: float
    processor: float


def write_pictures(folder: Path) -> None:
    """Pictures with the noise and the gradients of photographs, where they are not there yet."""
    dice = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for name, ((width, height), options, _) in _PICTURES.items():
        if not (folder / name).exists():
            coarse = dice.integers(0, 255, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
            smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.int16)
            noisy = smooth + dice.normal(0, 6, (height, width, 1)).astype(np.int16)
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / name, **options)


def measure(folder: Path, name: str, threads: int, times: int) -> Measured:
    """Decode one picture so often."""
    sample, budget = Sample("set", 0, folder, name, "image"), MediaBudget()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: load_media(sample, budget), range(2 * threads)))
        begin, used = time.monotonic(), _processor_seconds()
        list(pool.map(lambda _: load_media(sample, budget), range(times)))
        each = 1000 / times
        clock, processor = (time.monotonic() - begin) * each, (_processor_seconds() - used) * each
    return Measured(Path(name).stem, threads, round(clock, 3), round(processor, 3))


def _processor_seconds() -> float:
    """Of this process and those that it has started, to the nanosecond: psutil's are counted in ticks of the clock.

    Source: clock_getcpuclockid(3) for the number of another process's clock.
    """
    here = psutil.Process()
    return sum(time.clock_gettime(~process.pid << 3 | 2) for process in (here, *here.children(recursive=True)))


def _all_of(root: Path, options: argparse.Namespace) -> list[Measured]:
    """What a process measures that imports the package from `root`."""
    command = [sys.executable, __file__, "--work", str(options.work), "--one"]
    command += ["--threads", *map(str, options.threads), "--share", str(options.share)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [Measured(**row) for row in json.loads(done.stdout)]


def compare(options: argparse.Namespace) -> list[str]:
    """The table's rows: here, there, and the rate here as a share of that there."""
    rounds = [(_all_of(_ROOT, options), _all_of(options.against, options)) for _ in range(options.rounds)]
    rows = []
    for place, first in enumerate(rounds[0][0]):
        pairs = [(here[place], there[place]) for here, there in rounds]
        cells = [first.name, str(first.threads)]
        for which in ("clock", "processor"):
            ours, theirs = (statistics.median(getattr(pair[side], which) for pair in pairs) for side in (0, 1))
            share = statistics.median(getattr(there, which) / getattr(here, which) for here, there in pairs)
            cells += [f"{theirs:.2f}", f"{ours:.2f}", f"{share:.2f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row for each picture and number of threads; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoding_rate", description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the pictures, which stay there")
    parser.add_argument("--against", type=Path, default=_ROOT, help="root of the version to compare with")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 8], help="how many decode at a time")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each, in turn")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of pictures")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    write_pictures(options.work)
    if options.one:
        found = [
            measure(options.work, name, threads, max(1, round(times * options.share)))
            for threads in options.threads
            for name, (_, _, times) in _PICTURES.items()
        ]
        print(json.dumps([asdict(row) for row in found]))
        return 0
    print("| picture | threads | before, ms | now, ms | rate | before, CPU ms | now, CPU ms | rate by CPU |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    print("\n".join(compare(options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
