"""One export: which captions, how, and where to."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from MetaCaptioner.data.conversation import INSTRUCTION
from MetaCaptioner.errors import SampleError, UserError
from MetaCaptioner.export.captions import Captions
from MetaCaptioner.export.dataset_names import ACCOUNT_FILE, file_names
from MetaCaptioner.export.totals import Account
from MetaCaptioner.records.caption_records import sample_from_record
from MetaCaptioner.records.record import Record
from MetaCaptioner.utils.atomic_io import atomic_folder, atomic_write
from MetaCaptioner.utils.json_text import from_json, to_json
from MetaCaptioner.utils.temporary import remove_left
from MetaCaptioner.utils.text import is_whole, whole

MOST_MEDIA_BYTES = 2**31 - 2**20
"""Of one picture or clip. A value of an Arrow column has fewer than 2^31 bytes, and loaders hold a sample in memory.

Source: Apache Arrow Columnar Format, "Variable-size Binary Layout" (32-bit offsets); `datasets` stores media so.
"""


_TOO_BIG = "captions whose media are over 2 GiB, more than a table or shard holds"


@dataclass
class Job:
    """What every format is given: `captions` of the result folder `results`. `output` is None where none is needed.

    `others` reads what else the results have records of: media whose captions are not exported. `with_media` asks for
    the media themselves where the format can hold them, in shards of about `shard_megabytes`. `own_texts` says what
    becomes of texts beside media that are no export's: "keep" or "replace", else the export is refused. Media outside
    their root are read only if `allow_outside_root`.
    """

    captions: Captions
    account: Account
    results: Path
    others: Callable[[], Iterator[Record]] = lambda: iter(())
    output: Path | None = None
    overwrite: bool = False
    with_media: bool = True
    instruction: str = INSTRUCTION
    shard_megabytes: int = 1000
    one_line: bool = False
    own_texts: str | None = None
    allow_outside_root: bool = False
    single_launch: bool = False

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """The folder to fill; it gets the account and takes its place when the block ends without an exception.

        Raises:
            UserError: something is there that may not be replaced, or it cannot be written.
        """
        output = self._free_place()
        if self.overwrite and output.is_dir():
            _check_own(output)
        with atomic_folder(output, "export", ACCOUNT_FILE if self.overwrite else None) as folder:
            yield folder
            holds = sorted(path.name for path in folder.iterdir())
            (folder / ACCOUNT_FILE).write_bytes(to_json({**self.account.content(), "holds": holds}, indent=2) + b"\n")

    @contextmanager
    def file(self) -> Iterator[BinaryIO]:
        """The file to write, likewise; whether one that is there is an earlier export is the caller's to know.

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
        remove_left(self.output)
        taken = self.output.is_file() or (self.output.is_dir() and any(self.output.iterdir()))
        if taken and not self.overwrite:
            raise UserError(f"{self.output} is there already; --overwrite replaces an earlier export")
        return self.output

    def names(self, datasets: Iterable[str]) -> dict[str, str]:
        """What each dataset is called in names of files; the account tells where that is not its own name."""
        made = file_names(datasets)
        others = {name: other for name, other in made.items() if other != name}
        if others:
            first, other = next(iter(others.items()))
            self.account.note(
                "datasets have another name in the names of files", f"{first!r:.80}: {other:.80}", len(others)
            )
            self.account.facts["names"] = others
        return made

    def text(self, text: str, record: Record) -> str:
        """A text of a record for a format that has no escapes: none of these can hold half of a character."""
        if is_whole(text):
            return text
        what = "captions have half of a character (a lone surrogate) in their texts, for which U+FFFD stands"
        self.account.note(what, record["sample_id"])
        return whole(text)

    def media(self, record: Record) -> bytes | None:
        """The content that a caption was made from; None, and left out, where that is gone, has changed or is too big.

        Memory: the content, up to `MOST_MEDIA_BYTES`. Writing it to a table takes three times as much.
        """
        source = replace(sample_from_record(record), allow_outside_root=self.allow_outside_root).source
        try:
            if source.look() > MOST_MEDIA_BYTES:
                self.account.leave_out(_TOO_BIG, str(source))
                return None
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


def _check_own(folder: Path) -> None:
    """Refuse to replace a folder that is no export, or in which somebody has put more.

    Raises:
        UserError: it is one.
    """
    account = folder / ACCOUNT_FILE
    if not account.is_file():
        return  # whether it may be replaced is told by whether it is empty
    try:
        told = from_json(account.read_bytes())
        is_export = isinstance(told["captions"], int) and isinstance(told["left_out"], dict)
    except (OSError, ValueError, KeyError, TypeError):
        is_export = False
    if not is_export:
        raise UserError(f"{folder}: its {ACCOUNT_FILE} is not that of an export; name another place")
    known = {*told.get("holds", ()), ACCOUNT_FILE}
    foreign = sorted(path.name for path in folder.iterdir() if path.name not in known) if "holds" in told else []
    if foreign:
        raise UserError(f"{folder}: holds {foreign[0]}, which no export wrote; move it away or name another place")


def media_of(record: Record) -> str:
    """The media file or tar member as the annotation names it."""
    return str(record[record["modality"]])
