"""Datasets, annotation files and results as large as a real project's, the same every time."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from MetaCaptioner.data.taxonomy import DOMAINS
from MetaCaptioner.planning.plan_file import PlanRow
from MetaCaptioner.records.reader import ResultName

_PICTURES = 64
_CHUNK_ROWS = 20_000
_TEXTS = 256
_WORDS = [
    "the",
    "of",
    "red",
    "cars",
    "café",
    "near",
    "chart",
    "\\alpha",
    "“sign”",
    "x²",
    "says:",
    "lower",
    "value",
    "図",
]
_DONE_SHARE_BEFORE_HOLES = 0.9


@dataclass(frozen=True)
class DataSet:
    """One dataset to make: how many rows, what kind of file, what the rows hold."""

    name: str
    rows: int
    is_list: bool
    one_line: bool
    is_video: bool
    has_sizes: bool
    task: str


def describe_datasets(rows: int, datasets: int) -> list[DataSet]:
    """`datasets` datasets of `rows` rows in all; the n-th holds a share like 1/n. Lists and JSONL take turns."""
    weights = 1 / np.arange(1, datasets + 1)
    ends = np.round(np.cumsum(weights) / weights.sum() * rows).astype(int)
    counts = np.diff(ends, prepend=0).tolist()
    made = []
    for number, count in enumerate(counts):
        is_video = number % 8 == 5
        task = "auto" if number % 5 == 4 else DOMAINS[number % 8].name
        made.append(
            DataSet(
                name=f"set{number:02}",
                rows=count,
                is_list=number % 2 == 0,
                one_line=number % 4 == 2,
                is_video=is_video,
                has_sizes=number % 10 != 7,
                task="Video & Temporal" if is_video else task,
            )
        )
    return made


def make_data(work: Path, datasets: Sequence[DataSet]) -> Path:
    """Write the datasets below `work`; returns the Metafile."""
    media = work / "media"
    media.mkdir(parents=True)
    for number in range(_PICTURES):
        Image.new("RGB", (64 + number, 64)).save(media / f"{number:03}.png")
        (media / f"{number:03}.mp4").touch()  # looked for, never opened
    entries = {}
    for seed, dataset in enumerate(datasets):
        path = work / f"{dataset.name}.{'json' if dataset.is_list else 'jsonl'}"
        separator = (b", " if dataset.one_line else b",\n") if dataset.is_list else b"\n"
        with path.open("wb") as file:
            file.write(b"[" if dataset.is_list else b"")
            for number, chunk in enumerate(_row_chunks(dataset, seed)):
                file.write((separator if number else b"") + separator.join(chunk))
            file.write(b"]\n" if dataset.is_list else b"\n")
        entries[dataset.name] = {
            "root": "media",
            "annotation": path.name,
            "length": dataset.rows,
            "task": dataset.task,
            "modality": "video" if dataset.is_video else "image",
        }
    metafile = work / "Metafile.json"
    metafile.write_text(json.dumps(entries))
    return metafile


def _row_chunks(dataset: DataSet, seed: int) -> Iterator[list[bytes]]:
    """The rows as JSON, some thousands at a time; about 350 bytes each."""
    random = np.random.default_rng(seed)
    conversations = [_conversation(random) for _ in range(_TEXTS)]
    kind, suffix = (b"video", b"mp4") if dataset.is_video else (b"image", b"png")
    for first in range(0, dataset.rows, _CHUNK_ROWS):
        count = min(_CHUNK_ROWS, dataset.rows - first)
        sides = np.clip(random.lognormal(6.8, 0.5, (count, 2)), 56, 8000).astype(int).tolist()
        texts = random.integers(0, _TEXTS, count).tolist()
        chunk = []
        for index, (width, height), text in zip(range(first, first + count), sides, texts, strict=True):
            size = b', "width": %d, "height": %d' % (width, height) if dataset.has_sizes else b""
            name = b'"%b": "%03d.%b"' % (kind, index % _PICTURES, suffix)
            chunk.append(b'{"id": %d, %b%b, "conversations": %b}' % (index, name, size, conversations[text]))
        yield chunk


def _conversation(random: np.random.Generator) -> bytes:
    """One or two turns, some with escaped characters and some without, as different programs write them."""
    turns = []
    for _ in range(int(random.integers(1, 3))):
        question, answer = (" ".join(random.choice(_WORDS, int(random.integers(4, most)))) for most in (12, 40))
        turns += [{"from": "human", "value": f"<image>\n{question}?"}, {"from": "gpt", "value": f'{answer} "done".'}]
    return json.dumps(turns, ensure_ascii=bool(random.integers(0, 2))).encode()


def make_results(folder: Path, plan: Sequence[PlanRow], records: int) -> int:
    """Results as of a run that was killed: the beginning of every rank's rows, with holes towards the end.

    Returns:
        The number of records: about `records`.
    """
    folder.mkdir()
    random = np.random.default_rng(0)
    share = records / sum(row.end_idx - row.start_idx for row in plan)
    written = 0
    for row in plan:
        reached = round((row.end_idx - row.start_idx) * share / (0.5 + 0.5 * _DONE_SHARE_BEFORE_HOLES) * 0.95)
        done = np.arange(row.start_idx, row.start_idx + reached)
        done = done[(np.arange(reached) < _DONE_SHARE_BEFORE_HOLES * reached) | (random.random(reached) < 0.5)]
        name = ResultName(row.assign_rank, row.assign_rank // 8, row.stem)
        with (folder / str(name)).open("ab") as file:
            file.writelines(_record(row, index) for index in done.tolist())
        written += len(done)
    return written


_ANSWER = json.dumps(" ".join(_WORDS) * 4, ensure_ascii=False).encode()
_RECORD = (
    b'{"sample_id": "%b/%d", "data_name": "%b", "index": %d, "id": %d, "image": "%03d.png", "modality": "image", '
    b'"task": "Natural", "task_source": "metafile", "media_hash": "%064d", "status": "ok", "caption": %b, "agents": '
    b'{"objects": {"text": %b, "finish_reason": "stop", "output_tokens": 99}, "summary": {"text": %b, '
    b'"finish_reason": "stop", "output_tokens": 99}}, "model": "m", "prompts": "p", "attempts": 1, "seconds": 1.5}\n'
)


def _record(row: PlanRow, index: int) -> bytes:
    name = row.data_name.encode()
    return _RECORD % (name, index, name, index, index, index % _PICTURES, index, _ANSWER, _ANSWER, _ANSWER)
