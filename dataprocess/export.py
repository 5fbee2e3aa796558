"""Turn captions into training data.

    python dataprocess/export.py --data-folder Output/Caption --format conversations --output data/captioned
    python dataprocess/export.py --data-folder Output/Caption --format txt --output data/txt   (or --beside)
    python dataprocess/export.py --data-folder Output/Caption --format parquet --output data/captions.parquet

Takes what the filter kept; --all takes every caption.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import _repository  # noqa: F401

from MetaCaptioner.errors import BadArguments, UserError
from MetaCaptioner.files import atomic_write
from MetaCaptioner.inferscore import DIMENSIONS
from MetaCaptioner.results import Record, is_error, read_records, result_files
from MetaCaptioner.terminal import run_main, say

_PARQUET_BATCH = 10_000


def captions(folder: Path, everything: bool) -> Iterator[Record]:
    """The caption records to export.

    Raises:
        UserError: there are none.
    """
    if everything:
        paths = [path for path, _ in result_files(folder)]
        if not paths:
            raise UserError(f"data folder {folder}: holds no caption results (Rank*_node*_*.jsonl)")
    else:
        paths = [folder / "filtered" / "kept.jsonl"]
        if not paths[0].is_file():
            raise UserError(f"{paths[0]}: is missing; filter first (dataprocess/filterd_by_score.py), or use --all")
    return (record for path in paths for record in read_records(path) if not is_error(record))


def media_of(record: Record) -> str:
    """The media file as the annotation names it."""
    return str(record[record["modality"]])


def conversation(record: Record, instruction: str) -> Record:
    """One row of an annotation file, with the caption as the answer."""
    modality = record["modality"]
    return {
        "id": record["id"],
        modality: media_of(record),
        "conversations": [
            {"from": "human", "value": f"<{modality}>\n{instruction}"},
            {"from": "gpt", "value": record["caption"]},
        ],
        "task": record["task"],
        "sample_id": record["sample_id"],
    }


def export_conversations(records: Iterator[Record], output: Path, instruction: str) -> int:
    """An annotation file (JSON list) for each dataset, and their Metafile, in the folder `output`."""
    with ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        entries: dict[str, Record] = {}
        for record in records:
            name = record["data_name"]
            if name not in files:
                file_name = f"{name.replace('/', '_')}.json"
                files[name] = stack.enter_context(atomic_write(output / file_name, "annotation file"))
                entries[name] = {"root": record["root"], "annotation": file_name, "length": 0, "task": "auto"}
                entries[name] |= {"sample_count": 0, "modality": record["modality"]}
            files[name].write(b",\n" if entries[name]["length"] else b"[\n")
            files[name].write(json.dumps(conversation(record, instruction), ensure_ascii=False).encode())
            entries[name]["length"] += 1
            entries[name]["sample_count"] += 1
        for file in files.values():
            file.write(b"\n]\n")
        with atomic_write(output / "Metafile.json", "Metafile") as metafile:
            metafile.write(json.dumps(entries, indent=2, ensure_ascii=False).encode() + b"\n")
    return sum(entry["length"] for entry in entries.values())


def text_path(record: Record, output: Path | None) -> Path:
    """Where a caption's .txt goes: beside the media, or under `output`, dataset by dataset, and never out of it."""
    media = PurePosixPath(media_of(record))
    if output is None:
        return (Path(record["root"]) / media).with_suffix(".txt")
    inside = [part for part in (record["data_name"], *media.parts) if part not in ("/", "..", ".")]
    return output.joinpath(*inside).with_suffix(".txt")


def export_texts(records: Iterator[Record], output: Path | None, overwrite: bool) -> int:
    """A .txt for each caption; where two would have the same name, later ones get the row's index.

    Raises:
        UserError: a file beside the media is there already, perhaps somebody's own caption, and `overwrite` is off.
    """
    written: set[Path] = set()
    for record in records:
        path = text_path(record, output)
        if path in written:
            path = path.with_name(f"{path.stem}.{record['index']}.txt")
        if output is None and not overwrite and path.exists():
            raise UserError(f"{path} is there already; --overwrite replaces such files ({len(written)} written so far)")
        written.add(path)
        with atomic_write(path, "caption file", sync=False) as file:
            file.write(record["caption"].encode() + b"\n")
    return len(written)


def table_row(record: Record) -> Record:
    """One row of the Parquet table."""
    scores = record.get("scores", {})
    return {
        "sample_id": record["sample_id"],
        "data_name": record["data_name"],
        "index": record["index"],
        "id": None if record["id"] is None else str(record["id"]),
        "media": media_of(record),
        "root": record["root"],
        "modality": record["modality"],
        "task": record["task"],
        "subdomain": record.get("subdomain"),
        "caption": record["caption"],
        "overall": record.get("overall"),
        **{name: scores.get(name) for name in DIMENSIONS},
        "model": record.get("model"),
        "prompts": record.get("prompts"),
    }


def export_parquet(records: Iterator[Record], output: Path) -> int:
    """One Parquet file, written in batches."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = ["sample_id", "data_name", "id", "media", "root", "modality", "task", "subdomain", "caption", "model"]
    types = dict.fromkeys([*text, "prompts"], pa.string()) | dict.fromkeys(["index", *DIMENSIONS], pa.int64())
    types["overall"] = pa.float64()
    order = ["sample_id", "data_name", "index", "id", "media", "root", "modality", "task", "subdomain", "caption"]
    schema = pa.schema([(name, types[name]) for name in [*order, "overall", *DIMENSIONS, "model", "prompts"]])
    count = 0
    with atomic_write(output, "Parquet file") as file, pq.ParquetWriter(file, schema) as writer:
        while batch := [table_row(record) for record in islice(records, _PARQUET_BATCH)]:
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            count += len(batch)
    return count


def main(arguments: Sequence[str] | None = None) -> int:
    """Export and tell how many captions went where."""
    parser = argparse.ArgumentParser(description="Turn captions into training data.")
    parser.add_argument("--data-folder", type=Path, required=True, help="folder of caption results")
    parser.add_argument("--format", choices=("conversations", "txt", "parquet"), required=True)
    parser.add_argument("--output", type=Path, help="folder (conversations, txt) or file (parquet) to write")
    parser.add_argument("--beside", action="store_true", help="txt: write each caption beside its picture or clip")
    parser.add_argument("--overwrite", action="store_true", help="with --beside: replace .txt files that are there")
    parser.add_argument("--all", action="store_true", help="every caption, not only those that the filter kept")
    parser.add_argument(
        "--instruction", default="Describe this in detail.", help="conversations: what the human turn asks"
    )
    options = parser.parse_args(arguments)
    if options.beside and options.format != "txt":
        raise BadArguments("--beside goes with --format txt")
    if (options.output is None) != options.beside:
        raise BadArguments("name either --output or (with txt) --beside")
    records = captions(options.data_folder, options.all)
    writers: dict[str, Callable[[], int]] = {
        "conversations": lambda: export_conversations(records, options.output, options.instruction),
        "txt": lambda: export_texts(records, options.output, options.overwrite),
        "parquet": lambda: export_parquet(records, options.output),
    }
    count = writers[options.format]()
    say(f"{count} captions written {'beside their media' if options.beside else f'to {options.output}'}")
    return 0


if __name__ == "__main__":
    run_main(main)
