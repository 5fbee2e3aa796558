"""One export: which captions, how, and where to."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from conversation import INSTRUCTION

from exporting.account import FILE_NAME, Account
from MetaCaptioner.candidates import read_best
from MetaCaptioner.earlier import caption_ranks, sample_from_record
from MetaCaptioner.errors import SampleError, UserError
from MetaCaptioner.files import atomic_folder, atomic_write
from MetaCaptioner.results import Record, is_error, read_records
from MetaCaptioner.source import MediaSource


@dataclass
class Job:
    """What every format is given. `captions` reads the records anew each time; `output` is None where none is needed.

    `with_media` asks for the media themselves where the format can hold them, in shards of about `shard_megabytes`.
    """

    captions: Callable[[], Iterator[Record]]
    account: Account
    output: Path | None = None
    overwrite: bool = False
    with_media: bool = True
    instruction: str = INSTRUCTION
    shard_megabytes: int = 1000

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """The folder to fill; it gets the account and takes its place when the block ends without an exception.

        Raises:
            UserError: something is there that may not be replaced, or it cannot be written.
        """
        output = self._free_place()
        with atomic_folder(output, "export", FILE_NAME if self.overwrite else None) as folder:
            yield folder
            text = json.dumps(self.account.content(), indent=2, ensure_ascii=False)
            (folder / FILE_NAME).write_text(f"{text}\n", encoding="utf-8")

    @contextmanager
    def file(self) -> Iterator[BinaryIO]:
        """The file to write, likewise.

        Raises:
            UserError: as `folder`.
        """
        output = self._free_place()
        if output.is_dir():
            raise UserError(f"{output} is a folder; name a file")
        with atomic_write(output, "export") as file:
            yield file

    def _free_place(self) -> Path:
        assert self.output is not None
        taken = self.output.is_file() or (self.output.is_dir() and any(self.output.iterdir()))
        if taken and not self.overwrite:
            raise UserError(f"{self.output} is there already; --overwrite replaces an earlier export")
        return self.output

    def media(self, record: Record) -> bytes | None:
        """The content that a caption was made from; None, and left out, where that is gone or has changed."""
        source = source_of(record)
        try:
            source.look()
            content = source.read()
        except SampleError as error:
            self.account.leave_out(f"captions whose media cannot be read ({error.kind})", error.message)
            return None
        except OSError as error:
            self.account.leave_out("captions whose media cannot be read", f"{source}: {error.strerror or error}")
            return None
        known = record.get("media_hash")
        if known is not None and hashlib.sha256(content).hexdigest() != known:
            self.account.leave_out("captions whose media have changed since", str(source))
            return None
        return content


def read_captions(folder: Path, everything: bool) -> Callable[[], Iterator[Record]]:
    """Reads the caption records to export, each time anew: what the filter kept, or all, sampled again or not.

    Raises:
        UserError: there are none.
    """
    if everything:
        read, ranks = read_best(folder, folder / "score"), caption_ranks(folder)
        return lambda: (record for rank in dict.fromkeys(ranks) for _, record in read(rank) if not is_error(record))
    kept = folder / "filtered" / "kept.jsonl"
    if not kept.is_file():
        raise UserError(f"{kept}: is missing; filter first (dataprocess/filterd_by_score.py), or use --all")
    return lambda: read_records(kept)


def read_thresholds(folder: Path) -> dict[str, Any] | None:
    """What the filter asked for, from the summary beside `kept.jsonl`; None where that does not tell."""
    try:
        told = json.loads((folder / "filtered" / "summary.json").read_bytes())["thresholds"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return told if isinstance(told, dict) else None


def media_of(record: Record) -> str:
    """The media file or tar member as the annotation names it."""
    return str(record[record["modality"]])


def source_of(record: Record) -> MediaSource:
    """Where the media of a record lie."""
    return sample_from_record(record).source
