"""Annotation files with the captions as gpt turns, ready for training or for another run."""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from conversation import turns

from exporting.job import Job, media_of
from MetaCaptioner.results import Record


@dataclass(frozen=True)
class _Layout:
    """How rows are put into a file."""

    suffix: str
    begin: bytes
    between: bytes
    end: bytes


_JSON = _Layout(".json", b"[\n", b",\n", b"\n]\n")
_JSONL = _Layout(".jsonl", b"", b"\n", b"\n")


def export_json(job: Job) -> None:
    """For each dataset an annotation file (a JSON list), and their Metafile."""
    _export(job, _JSON)


def export_jsonl(job: Job) -> None:
    """The same with a row a line (JSONL)."""
    _export(job, _JSONL)


def _export(job: Job, layout: _Layout) -> None:
    with job.folder() as folder, ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        entries: dict[str, Record] = {}
        for record in job.captions():
            name = record["data_name"]
            if name not in files:
                path = _free_path(folder, name, layout.suffix)
                files[name] = stack.enter_context(path.open("xb"))
                entries[name] = {"root": record["root"], "annotation": path.name, "length": 0, "task": "auto"}
                entries[name] |= {"sample_count": 0, "modality": record["modality"]}
            files[name].write(layout.between if entries[name]["length"] else layout.begin)
            files[name].write(json.dumps(_row(record, job.instruction), ensure_ascii=False).encode())
            entries[name]["length"] += 1
            entries[name]["sample_count"] += 1
            job.account.add(record)
        for file in files.values():
            file.write(layout.end)
        text = json.dumps(entries, indent=2, ensure_ascii=False)
        (folder / "Metafile.json").write_text(f"{text}\n", encoding="utf-8")


def _free_path(folder: Path, data_name: str, suffix: str) -> Path:
    """A file for a dataset; names that differ in their slashes only get a number."""
    stem, number = data_name.replace("/", "_"), 0
    while (path := folder / f"{stem}{f'_{number}' if number else ''}{suffix}").exists():
        number += 1
    return path


def _row(record: Record, instruction: str) -> Record:
    """One row of an annotation file, with the caption as the answer."""
    modality = record["modality"]
    return {
        "id": record["id"],
        modality: media_of(record),
        **({"tar": record["tar"]} if "tar" in record else {}),
        "conversations": turns(modality, instruction, record["caption"]),
        "task": record["task"],
        "sample_id": record["sample_id"],
    }
