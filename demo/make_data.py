"""Draw datasets of pictures and clips of all nine domains, with their annotation files and their Metafile.

    python -m demo.make_data [--output data/demo] [--seed 0]

The same seed gives the same bytes on the same versions of Pillow, NumPy and PyAV.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
from PIL import Image

from .drawing import AGENTS, kinds_of
from .scene import Claim, Clip, Kind, caption, stream

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
SCALE = 2
FRAMES, FRAMES_PER_SECOND = 32, 8


@dataclass(frozen=True)
class Dataset:
    """Drawings of one domain to be made.

    Where `routed`, its task is "auto", which leaves it to the router; otherwise it is the domain. `sizes` gives the
    rows their width and height; `named` are the rows that name their domain themselves.
    """

    domain: str
    count: int
    routed: bool = False
    sizes: bool = True
    named: tuple[int, ...] = ()

    @property
    def modality(self) -> str:
        return "video" if self.domain == "Video & Temporal" else "image"


@dataclass(frozen=True)
class Item:
    """A drawing in a dataset, at `index` of its annotation file, and all that is true of it."""

    dataset: str
    index: int
    path: Path
    kind: Kind
    claims: tuple[Claim, ...]
    size: tuple[int, int]


DATASETS = {
    "natural_scenes": Dataset("Natural", 4),
    "structure_math": Dataset("Structure & Math", 4),
    "infographic_documents": Dataset("Infographic & Document", 4),
    "medical_bio": Dataset("Medical & Bio-Imaging", 4),
    "ui_screens": Dataset("UI & Interaction", 4),
    "code_snippets": Dataset("Code & Programming", 4, sizes=False),
    "knowledge_education": Dataset("Knowledge & Education", 5, routed=True, named=(3,)),
    "synthetic_art": Dataset("Synthetic & Aesthetic", 4, routed=True, sizes=False),
    "video_clips": Dataset("Video & Temporal", 3),
}
"""The demo: few drawings, and every way in which a dataset may say its domain."""


def routed_datasets(count: int) -> dict[str, Dataset]:
    """The demo's datasets with `count` drawings each, no domain said: what a benchmark of router and captions needs."""
    return {name: replace(dataset, count=count, routed=True, named=()) for name, dataset in DATASETS.items()}


def save_picture(image: Image.Image, path: Path) -> None:
    """Write a picture as an optimized PNG or as a JPEG of quality 90, as its name tells."""
    if path.suffix == ".jpg":
        image.save(path, quality=90, optimize=True)
    else:
        image.save(path, optimize=True)


def save_clip(clip: Clip, path: Path, frames: int = FRAMES, rate: int = FRAMES_PER_SECOND) -> tuple[int, int]:
    """Write a clip as H.264 in MP4, `frames` from its first to its last moment, and return their width and height.

    One thread and no assembler: with its SIMD code, x264 was seen to give other bytes in some runs of the same frames.
    """
    settings = {"crf": "23", "preset": "slow", "threads": "1", "x264-params": "no-asm=1"}
    images = [clip.frame(number / (frames - 1)) for number in range(frames)]
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        track = container.add_stream("libx264", rate=rate, options=settings)
        track.pix_fmt = "yuv420p"
        track.width, track.height = images[0].size
        for image in images:
            container.mux(track.encode(av.VideoFrame.from_image(image)))
        container.mux(track.encode())
    return images[0].size


def make_item(name: str, dataset: Dataset, index: int, folder: Path, split: str, seed: int) -> Item:
    """Draw one item into `folder`; the kinds of its domain take turns."""
    kinds = kinds_of(dataset.domain)
    kind = kinds[index % len(kinds)]
    drawing = kind.draw(stream(split, seed, list(AGENTS).index(dataset.domain), index), SCALE)
    if isinstance(drawing, Clip):
        path = folder / f"{kind.name}_{index}.mp4"
        size = save_clip(drawing, path)
    else:
        path = folder / f"{kind.name}_{index}.{('png', 'jpg')[index % 2]}"
        save_picture(drawing.image, path)
        size = drawing.image.size
    return Item(name, index, path, kind, drawing.claims, size)


def make_row(item: Item, dataset: Dataset) -> dict[str, Any]:
    """The annotation row of an item."""
    row: dict[str, Any] = {"id": item.index, dataset.modality: item.path.name}
    if dataset.sizes:
        row |= {"width": item.size[0], "height": item.size[1]}
    if item.index in dataset.named:
        row["task"] = dataset.domain
    question = f"<{dataset.modality}>\nDescribe the {dataset.modality}."
    answer = caption(item.claims)
    row["conversations"] = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return row


def write_json(content: Any, path: Path) -> None:
    """Write indented JSON with one newline at its end."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_datasets(output: Path, datasets: Mapping[str, Dataset], split: str, seed: int) -> dict[str, list[Item]]:
    """Draw the datasets, and write their annotation files and `Metafile.json`.

    Returns the items of each dataset in the order of its rows, so that captions can be held against what is true.
    """
    metafile, made = {}, {}
    for name, dataset in datasets.items():
        folder = output / name
        folder.mkdir(parents=True, exist_ok=True)
        made[name] = [make_item(name, dataset, index, folder, split, seed) for index in range(dataset.count)]
        write_json([make_row(item, dataset) for item in made[name]], output / f"{name}.json")
        metafile[name] = {
            "root": name,
            "annotation": f"{name}.json",
            "length": dataset.count,
            "task": "auto" if dataset.routed else dataset.domain,
            "sample_count": dataset.count,
            "modality": dataset.modality,
        }
    write_json(metafile, output / "Metafile.json")
    return made


def main() -> None:
    """Make all datasets and the Metafile."""
    parser = argparse.ArgumentParser(description="Draw the demo datasets of MetaCaptioner.")
    parser.add_argument("--output", type=Path, default=DEMO, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random in the drawings")
    args = parser.parse_args()
    made = write_datasets(args.output, DATASETS, "demo", args.seed)
    print(f"{sum(map(len, made.values()))} items of {len(made)} datasets in {args.output}")


if __name__ == "__main__":
    main()
