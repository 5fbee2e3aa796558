"""Records as the stages write them, for tests that need no run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def caption_record(index: int, name: str = "photos", **fields: object) -> Record:
    """A caption record as the caption stage writes it."""
    return {
        "sample_id": f"{name}/{index}",
        "data_name": name,
        "index": index,
        "id": index,
        "image": f"{index}.png",
        "root": "/media",
        "modality": "image",
        "task": "Natural",
        "task_source": "metafile",
        "status": "ok",
        "caption": f"caption {index}",
        "truncated": False,
        "model": "m",
        "prompts": "p",
        "attempts": 1,
        **fields,
    }


def score_record(index: int, name: str = "photos", **marks: int) -> Record:
    """A score record: every mark 4, but those given."""
    names = ("accuracy", "completeness", "hallucination", "reasoning", "fluency")
    scores = {dimension: marks.get(dimension, 4) for dimension in names}
    identity = {"sample_id": f"{name}/{index}", "data_name": name, "index": index, "status": "ok"}
    media = {"image": f"{index}.png"}
    return {**identity, **media, "scores": scores, "overall": sum(scores.values()) / 5, "reason": f"reason {index}"}


def judged(index: int, name: str = "photos", **scores: int) -> Record:
    """A score record of a judge that marks these dimensions."""
    return {**score_record(index, name), "scores": scores, "overall": sum(scores.values()) / len(scores)}


def failed(record: Record, kind: str) -> Record:
    return {**record, "status": "error", "error": {"kind": kind, "message": "…"}}


def run_record(**fields: object) -> Record:
    """A line of the run log: an hour on one GPU."""
    made = {"run": "r", "started": "2026-01-01T00:00:00+00:00", "state": "done", "stage": "captionpipeline", "rank": 0}
    made |= {"node": 0, "model": "m", "prompts": "p", "gpus": 1, "device": "NVIDIA H200"}
    made |= {"loading_seconds": 600.0, "working_seconds": 3000.0, "images": 7, "output_tokens": 6000}
    return {**made, **fields}


WriteLines = Callable[[Path, list[Record]], Path]
