"""What benchmarks/throughput.py captions: seeded pictures and clips, and how long every answer is."""

import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from MetaCaptioner import plan
from MetaCaptioner.data.taxonomy import Modality

PROMPTS = Path(__file__).resolve().parent / "prompts"
TASKS: dict[Modality, str] = {"image": "Natural", "video": "Video & Temporal"}
FRAMES, FRAMES_PER_SECOND = 32, 2
_MAKERS = 16  # threads that draw


@dataclass(frozen=True)
class Workload:
    """`items` pictures of `side` x `side` pixels, or clips of 32 frames of that size.

    An answer's length is drawn log-normally about a mean of `agent_tokens`, or `summary_tokens` for the summary:
    `sigma` is the standard deviation of its logarithm. It depends on nothing but the sample, the agent and the seed.
    """

    modality: Modality = "image"
    items: int = 512
    side: int = 1008
    agent_tokens: int = 256
    summary_tokens: int = 512
    sigma: float = 0.4
    seed: int = 0

    def answer_tokens(self, sample_id: str, agent: str) -> int:
        """How many tokens this agent answers on this sample: a quarter of the mean at least, four times it at most."""
        mean = self.summary_tokens if agent == "summary" else self.agent_tokens
        rng = np.random.default_rng(zlib.crc32(f"{self.seed}/{sample_id}/{agent}".encode()))
        length = rng.lognormal(np.log(mean) - self.sigma**2 / 2, self.sigma)
        return int(np.clip(round(length), max(1, mean // 4), 4 * mean))

    def describe(self) -> str:
        """In one line."""
        what = (
            f"{self.items} pictures of {self.side}x{self.side} pixels"
            if self.modality == "image"
            else f"{self.items} clips of {FRAMES} frames of {self.side}x{self.side} pixels"
        )
        return (
            f"{what}; three agents of {self.agent_tokens} tokens on average and a summary of {self.summary_tokens}, "
            f"log-normal with sigma {self.sigma}; seed {self.seed}"
        )

    def write(self, folder: Path) -> Path:
        """Write media, annotation file, Metafile and a plan for one rank, each picture unlike the others.

        Returns:
            The plan's path.
        """
        media = folder / f"{self.modality}-{self.side}"
        media.mkdir(parents=True, exist_ok=True)
        ending = "jpg" if self.modality == "image" else "mp4"
        paths = [media / f"{number}.{ending}" for number in range(self.items)]
        with ThreadPoolExecutor(_MAKERS) as pool:
            list(pool.map(self._make, paths, range(self.items)))
        size = {"width": self.side, "height": self.side}
        rows = [{"id": n, self.modality: path.name, "conversations": [], **size} for n, path in enumerate(paths)]
        name = f"{self.modality}s"
        (folder / f"{name}.json").write_text(json.dumps(rows))
        dataset = {"root": media.name, "annotation": f"{name}.json", "task": TASKS[self.modality]}
        metafile, made = folder / f"Metafile_{name}.json", folder / f"plan_{name}.jsonl"
        metafile.write_text(json.dumps({name: dataset | {"modality": self.modality}}))
        plan.main(["--metafile", str(metafile), "--num-ranks", "1", "--output", str(made)])
        return made

    def _make(self, path: Path, number: int) -> None:
        if path.exists():
            return
        rng = np.random.default_rng((self.seed, number))
        if self.modality == "image":
            Image.fromarray(_picture(rng, self.side)).save(path, quality=90)
        else:
            _write_clip(path, _picture(rng, self.side))


def _picture(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Colours that flow from place to place, with fine grain: about as hard to decode as a photograph."""
    coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    grain = rng.normal(0, 6, (side, side, 1))
    return np.clip(np.asarray(coarse, np.float64) + grain, 0, 255).astype(np.uint8)


def _write_clip(path: Path, picture: NDArray[np.uint8]) -> None:
    """A clip in which the picture wanders sideways."""
    import av

    temporary = path.with_suffix(".part.mp4")
    with av.open(str(temporary), "w") as container:
        track = container.add_stream("mpeg4", rate=FRAMES_PER_SECOND)
        track.height, track.width = picture.shape[:2]
        track.pix_fmt, track.bit_rate = "yuv420p", 2_000_000
        for step in range(FRAMES):
            frame = np.roll(picture, step * picture.shape[1] // FRAMES, axis=1)
            container.mux(track.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(track.encode())
    temporary.replace(path)
