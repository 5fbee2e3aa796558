"""How fast sound pictures are decoded, as a rank does it, beside another version of the package.

    python -m benchmarks.decoding_rate --work scratch --against ../before

Makes pictures of the usual kinds and has each decoded many times by 1 and by 8 threads. `--against` names the root of
another version. One process may take half as long again as the next of the same version, by which processor it is on
and what else the machine does, and so may one second as against the next. Therefore two processes, one of each version,
take turns of a fraction of a second, and many others follow them. Each pair of turns gives a rate; told are the median
of all and the range that it is within at 90%. Processors' time is that of all processes, which other programs on the
machine change little; the clock's says more where nothing else runs. On one processor (`taskset -c 0 python -m …`)
the rates differ least.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import psutil
from PIL import Image

try:
    from MetaCaptioner.data.sample import Sample
    from MetaCaptioner.media.loader import MediaBudget, load_media
except ModuleNotFoundError:  # the version to compare with is from before the package had folders
    from MetaCaptioner.metafile import Sample  # type: ignore[import-not-found, no-redef]

    from MetaCaptioner.media import MediaBudget, load_media  # type: ignore[attr-defined, no-redef]

_ROOT = Path(__file__).parents[1]
_PICTURES: dict[str, tuple[tuple[int, int], dict[str, Any], int]] = {
    "JPEG 12 MP.jpg": ((4000, 3000), {"quality": 90}, 3),
    "JPEG 0.3 MP.jpg": ((640, 480), {"quality": 90}, 40),
    "PNG 1 MP.png": ((1024, 1024), {}, 6),
    "WebP 1 MP.webp": ((1024, 1024), {"quality": 85}, 8),
}
"""Size, how it is saved, how often it is decoded in a turn, at least once by each thread."""
_DRAWS = 2000


@dataclass(frozen=True)
class Measured:
    """Milliseconds a picture by the clock and by the processors."""

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
    _warm(folder, name, threads)
    with ThreadPoolExecutor(threads) as pool:
        begin, used = time.monotonic(), _processor_seconds()
        list(pool.map(lambda _: _decode(folder, name), range(times)))
        each = 1000 / times
        clock, processor = (time.monotonic() - begin) * each, (_processor_seconds() - used) * each
    return Measured(clock, processor)


@cache
def _warm(folder: Path, name: str, threads: int) -> None:
    """Once in a process: as many helpers as there are threads have had the picture."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: _decode(folder, name), range(threads)))


def _decode(folder: Path, name: str) -> None:
    load_media(Sample("set", 0, folder, name, "image"), MediaBudget())


def _processor_seconds() -> float:
    """Of this process and those that it has started, to the nanosecond: psutil's are counted in ticks of the clock.

    Source: clock_getcpuclockid(3) for the number of another process's clock.
    """
    here = psutil.Process()
    return sum(time.clock_gettime(~process.pid << 3 | 2) for process in (here, *here.children(recursive=True)))


class _Version:
    """A process that measures the package that it imports from `root`, turn by turn."""

    def __init__(self, root: Path, work: Path) -> None:
        command = [sys.executable, __file__, "--work", str(work), "--serve"]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        self._process = subprocess.Popen(command, env=environment, stdin=PIPE, stdout=PIPE, text=True)

    def measure(self, name: str, threads: int, times: int) -> Measured:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps((name, threads, times)), file=self._process.stdin, flush=True)
        return Measured(**json.loads(self._process.stdout.readline()))

    def end(self) -> None:
        self._process.communicate()


def _serve(folder: Path) -> None:
    for line in sys.stdin:
        print(json.dumps(asdict(measure(folder, *json.loads(line)))), flush=True)


def compare(options: argparse.Namespace) -> list[str]:
    """The table's rows: there, here, and the rate here as a share of that there."""
    pairs: dict[tuple[str, int], list[tuple[Measured, Measured]]] = defaultdict(list)
    for number in range(options.rounds):
        there, here = (_Version(root, options.work) for root in (options.against, _ROOT))
        for threads, (name, (_, _, times)) in product(options.threads, _PICTURES.items()):
            count = max(threads, round(times * options.share))
            for turn in range(options.turns):
                both = [version.measure(name, threads, count) for version in _in_turn((there, here), number + turn)]
                first, second = _in_turn(both, number + turn)
                pairs[name, threads].append((first, second))
        there.end()
        here.end()
    return [f"| {Path(name).stem} | {threads} | {_cells(found)} |" for (name, threads), found in pairs.items()]


def _in_turn(both: Sequence[Any], number: int) -> Sequence[Any]:
    """The two as they are, or every second time the other way round: neither is always the first."""
    return both[::-1] if number % 2 else both


def _cells(pairs: Sequence[tuple[Measured, Measured]]) -> str:
    dice, cells = np.random.default_rng(0), []
    for which in ("clock", "processor"):
        before, now = (np.array([getattr(one, which) for one in side]) for side in zip(*pairs, strict=True))
        rates = before / now
        # Source: B. Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979; the range by percentiles.
        medians = np.median(dice.choice(rates, (_DRAWS, len(rates))), axis=1)
        low, high = np.percentile(medians, (5, 95))
        cells += [f"{np.median(before):.2f}", f"{np.median(now):.2f}"]
        cells += [f"{np.median(rates):.2f} ({low:.2f} to {high:.2f})"]
    return " | ".join(cells)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row for each picture and number of threads; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoding_rate", description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the pictures, which stay there")
    parser.add_argument("--against", type=Path, default=_ROOT, help="root of the version to compare with")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 8], help="how many decode at a time")
    parser.add_argument("--rounds", type=int, default=24, help="processes of each version, one after the other")
    parser.add_argument("--turns", type=int, default=2, help="of each pair of processes, for each picture")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of pictures in a turn")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    write_pictures(options.work)
    if options.serve:
        _serve(options.work)
        return 0
    print("| picture | threads | before, ms | now, ms | rate | before, CPU ms | now, CPU ms | rate by CPU |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    print("\n".join(compare(options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
