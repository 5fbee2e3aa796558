"""Draw the demo datasets: pictures and clips of all nine domains, their annotation files and the Metafile.

    python data/demo/make_demo.py [--output data/demo] [--seed 0]

The same seed gives the same bytes on the same versions of Pillow, NumPy and PyAV.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import av
from drawing import ITEMS, Item
from PIL import Image


@dataclass(frozen=True)
class Dataset:
    """An entry of the Metafile: task "auto" leaves it to the router, `sizes` gives the rows their width and height."""

    task: str
    modality: str = "image"
    sizes: bool = True


DATASETS = {
    "natural_scenes": Dataset("Natural"),
    "structure_math": Dataset("Structure & Math"),
    "infographic_documents": Dataset("Infographic & Document"),
    "medical_bio": Dataset("Medical & Bio-Imaging"),
    "ui_screens": Dataset("UI & Interaction"),
    "code_snippets": Dataset("Code & Programming", sizes=False),
    "knowledge_education": Dataset("auto"),
    "synthetic_art": Dataset("auto", sizes=False),
    "video_clips": Dataset("Video & Temporal", modality="video"),
}


def save_picture(image: Image.Image, path: Path) -> None:
    """Write a picture as an optimized PNG or as a JPEG of quality 90, as its name tells."""
    if path.suffix == ".jpg":
        image.save(path, quality=90, optimize=True)
    else:
        image.save(path, optimize=True)


def save_clip(frames: Iterator[Image.Image], path: Path, fps: int) -> tuple[int, int]:
    """Write frames as H.264 in MP4 and return their width and height.

    One thread and no assembler: with its SIMD code, x264 was seen to give other bytes in some runs of the same frames.
    """
    settings = {"crf": "23", "preset": "slow", "threads": "1", "x264-params": "no-asm=1"}
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options=settings)
        stream.pix_fmt = "yuv420p"
        first = next(frames)
        stream.width, stream.height = first.size
        for image in chain((first,), frames):
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())
    return first.size


def make_item(item: Item, folder: Path, seed: int) -> tuple[str, tuple[int, int]]:
    """Draw one item into `folder`; returns its caption and its size."""
    path = folder / item.file_name
    if item.draw_clip is not None:
        frames, caption = item.draw_clip(item.generator(seed))
        return caption, save_clip(frames, path, item.fps)
    if item.draw_picture is None:
        raise ValueError(f"{item.dataset}/{item.file_name} has nothing that draws it")
    image, caption = item.draw_picture(item.generator(seed))
    save_picture(image, path)
    return caption, image.size


def make_row(number: int, item: Item, dataset: Dataset, caption: str, size: tuple[int, int]) -> dict[str, Any]:
    """The annotation row of an item."""
    row: dict[str, Any] = {"id": number, dataset.modality: item.file_name}
    if dataset.sizes:
        row |= {"width": size[0], "height": size[1]}
    if item.task is not None:
        row["task"] = item.task
    question = f"<{dataset.modality}>\nDescribe the {dataset.modality}."
    row["conversations"] = [{"from": "human", "value": question}, {"from": "gpt", "value": caption}]
    return row


def write_json(content: Any, path: Path) -> None:
    """Write indented JSON with one newline at its end."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def make_dataset(name: str, output: Path, seed: int) -> dict[str, Any]:
    """Draw a dataset and write its annotation file; returns its entry in the Metafile."""
    dataset, folder = DATASETS[name], output / name
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, item in enumerate(ITEMS[name]):
        caption, size = make_item(item, folder, seed)
        rows.append(make_row(number, item, dataset, caption, size))
    write_json(rows, output / f"{name}.json")
    return {
        "root": name,
        "annotation": f"{name}.json",
        "length": len(rows),
        "task": dataset.task,
        "sample_count": len(rows),
        "modality": dataset.modality,
    }


def main() -> None:
    """Make all datasets and the Metafile."""
    parser = argparse.ArgumentParser(description="Draw the demo datasets of MetaCaptioner.")
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parent, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random in the drawings")
    args = parser.parse_args()
    write_json({name: make_dataset(name, args.output, args.seed) for name in DATASETS}, args.output / "Metafile.json")
    print(f"{sum(map(len, ITEMS.values()))} items of {len(DATASETS)} datasets in {args.output}")


if __name__ == "__main__":
    main()
