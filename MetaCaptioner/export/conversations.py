"""Annotation files with the captions as gpt turns, ready for training or for another run."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from MetaCaptioner.data.conversation import as_plain_text, turns
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.errors import BadArguments
from MetaCaptioner.export.dataset_names import METAFILE
from MetaCaptioner.export.job import Job, media_of
from MetaCaptioner.records.record import Record
from MetaCaptioner.utils.json_text import to_json


@dataclass(frozen=True)
class _Layout:
    """How rows are put into a file."""

    suffix: str
    begin: bytes
    between: bytes
    end: bytes


_JSON = _Layout(".json", b"[\n", b",\n", b"\n]\n")
_JSONL = _Layout(".jsonl", b"", b"\n", b"\n")
_MODALITIES: tuple[Modality, ...] = ("image", "video")


def export_json(job: Job) -> None:
    """For each dataset an annotation file (a JSON list), and their Metafile."""
    _export(job, _JSON)


def export_jsonl(job: Job) -> None:
    """The same with a row a line (JSONL)."""
    _export(job, _JSONL)


@dataclass
class _Part:
    """The captions of a dataset that are of pictures, or of clips: what goes into one file."""

    data_name: str
    modality: Modality
    root: Path
    length: int = 0

    def entry(self, annotation: str) -> Record:
        """The entry of the Metafile."""
        counts = {"length": self.length, "task": "auto", "sample_count": self.length}
        return {"root": str(self.root), "annotation": annotation, **counts, "modality": self.modality}


def _export(job: Job, layout: _Layout) -> None:
    """Pictures and clips of one dataset have a file each: rows of one file then have the same columns.

    Raises:
        BadArguments: the instruction says where the media go, which the export does itself.
    """
    if as_plain_text(job.instruction) != job.instruction:
        raise BadArguments("--instruction is text alone: the place of the media, as <image>, is put in before it")
    parts = _parts(job)
    names = job.names(parts)
    with job.folder() as folder:
        for label, part in parts.items():
            with (folder / f"{names[label]}{layout.suffix}").open("xb") as file:
                _write(job, layout, part, file)
        entries = {label: part.entry(f"{names[label]}{layout.suffix}") for label, part in parts.items()}
        (folder / METAFILE).write_bytes(to_json(entries, indent=2) + b"\n")


def _parts(job: Job) -> dict[str, _Part]:
    """The files by the name that each has as a dataset of its own."""
    parts: dict[str, _Part] = {}
    kinds = job.captions.kinds
    for name, kind in kinds.items():
        root = Path(os.path.abspath(kind.root))  # noqa: PTH100 (links stay as they are)
        for modality in _MODALITIES:
            if modality in kind.modalities:
                label = name if len(kind.modalities) == 1 or modality == "image" else f"{name}_{modality}"
                while label != name and (label in kinds or label in parts):
                    label += "_"
                parts[label] = _Part(name, modality, root)
    return parts


def _write(job: Job, layout: _Layout, part: _Part, file: BinaryIO) -> None:
    for record in _records(job, part):
        file.write(layout.between if part.length else layout.begin)
        file.write(to_json(_row(job, part, record)))
        part.length += 1
        job.account.add(record)
    file.write(layout.end)


def _records(job: Job, part: _Part) -> Iterator[Record]:
    return (r for r in job.captions.records([part.data_name]) if r["modality"] == part.modality)


def _row(job: Job, part: _Part, record: Record) -> Record:
    """One row of an annotation file, with the caption as the answer. Media under another root are named in full."""
    caption = as_plain_text(record["caption"])
    if caption != record["caption"]:
        job.account.note("captions got a space in what trainers take for media or a token", record["sample_id"])
    root = Path(os.path.abspath(record["root"]))  # noqa: PTH100
    name, tar = media_of(record), record.get("tar")
    if root != part.root:
        job.account.note(
            "media below another root are named in full (--allow-outside-root reads them)", str(root / name)
        )
    if root != part.root and tar is None:
        name = str(root / name)
    elif tar is not None and root != part.root:
        tar = {**tar, "file": str(root / tar["file"])}
    return {
        "id": job.captions.id_of(record),
        part.modality: name,
        **({} if tar is None else {"tar": tar}),
        "conversations": turns(part.modality, job.instruction, caption),
        "task": record["task"],
        "sample_id": record["sample_id"],
    }
