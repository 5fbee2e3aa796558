"""The folder of `metacaptioner run`: whose it is, what of its input is new or gone, and how its captions ended."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from MetaCaptioner.data.annotation import AnnotationFile, parse_row
from MetaCaptioner.data.annotation_blocks import BrokenAnnotation
from MetaCaptioner.data.metafile import Dataset, metafile_digest
from MetaCaptioner.errors import UserError
from MetaCaptioner.planning.plan_file import read_plan
from MetaCaptioner.records.reader import read_records, result_files
from MetaCaptioner.records.record import Record, is_error, is_without_media, told_error
from MetaCaptioner.records.row_map import row_of
from MetaCaptioner.utils.atomic_io import atomic_write
from MetaCaptioner.utils.json_text import as_json, read_as
from MetaCaptioner.utils.locks import FileLock, held_alone
from MetaCaptioner.utils.safe_open import read_file
from MetaCaptioner.worklist.best_caption import once_in

PLAN = "split_plan.jsonl"
_NAME = "run.json"
_LOCK = ".run.lock"
_SHOWN_FAILURES = 10


class Origin(msgspec.Struct, frozen=True):
    """What an output folder says that it is made from, and for how many ranks its plan is (0: there is none yet)."""

    input: str
    format: str
    ranks: int = 0


def stated_origin(out: Path, metafile: str) -> Origin | None:
    """What a folder is made from; None where nothing is there yet, or what stages made of this very `metafile`.

    Raises:
        UserError: something else is there.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"output {out}: is a file; name a folder as --output")
    try:
        return read_as(read_file(out / _NAME), Origin)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"output {out}: its {_NAME} cannot be read ({reason}): name another --output") from error
    try:
        others = sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) if out.exists() else []
    except OSError as error:
        raise UserError(f"output {out}: cannot be read: {error.strerror}") from error
    if others and not is_plan_of(out / PLAN, Path(metafile)):
        raise UserError(
            f"output {out}: holds what this command has not made (such as {others[0]}): name a new folder as --output"
        )
    return None


def is_plan_of(plan: Path, metafile: Path) -> bool:
    """Whether a plan is there that was made from a Metafile as that is now."""
    with suppress(UserError):
        return {row.metafile for row in read_plan(plan)[0]} == {metafile_digest(metafile)}
    return False


def state_origin(out: Path, origin: Origin) -> None:
    """Have a folder say what it is made from.

    Raises:
        UserError: it cannot be written.
    """
    with atomic_write(out / _NAME, "output") as file:
        file.write(as_json(origin, indent=1) + b"\n")


@contextmanager
def held(out: Path, needed: bool) -> Iterator[FileLock]:
    """Be the only run of an output folder, which is made where there is none; another one is waited for.

    Raises:
        NoLocks: there are none, and they are `needed`.
        UserError: it cannot be written.
    """
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(held_alone(out / _LOCK, f"output {out}", needed))
        except OSError as error:
            raise UserError(f"output {out}: cannot be written: {error.strerror or error}") from error
        yield lock


@dataclass(frozen=True)
class Rows:
    """The rows of a dataset: how many, which are gone from its input, how many have a caption from there."""

    count: int = 0
    gone: tuple[int, ...] = ()
    captioned: int = 0


def rows_of(datasets: Mapping[str, Dataset]) -> dict[str, Rows]:
    """The rows of some datasets; what cannot be read is for the planner to tell."""
    found = {}
    for name, dataset in datasets.items():
        try:
            with closing(AnnotationFile(dataset.annotation)) as file:
                found[name] = _rows_of(file)
        except BrokenAnnotation:
            continue
    return found


def _rows_of(file: AnnotationFile) -> Rows:
    gone: list[int] = []
    captioned = 0
    for first, texts in file.blocks(0, len(file)):
        for number, text in enumerate(texts, start=first):
            row = parse_row(text) if b'"removed"' in text else None
            if isinstance(row, dict) and row.get("removed") is True:
                gone.append(number)
            else:
                captioned += b'"conversations"' in text
    return Rows(len(file), tuple(gone), captioned)


def changes(before: Mapping[str, Rows], after: Mapping[str, Rows]) -> Iterator[str]:
    """A line for each dataset of which rows are new, gone or back."""
    for name, now in after.items():
        was = before.get(name, Rows())
        counts = {
            "new": now.count - was.count,
            "gone": len(set(now.gone) - set(was.gone)),
            "back": len(set(was.gone) - set(now.gone)),
        }
        if told := ", ".join(f"{count:,} {what}" for what, count in counts.items() if count > 0):
            yield f"{name}: {told}"


@dataclass
class Outcome:
    """How the captions of a result folder ended; `failures` are the first that failed, each with its reason."""

    captions: int = 0
    failed: int = 0
    gone: int = 0
    failures: list[str] = field(default_factory=list)


def outcome_of(captions: Path) -> Outcome:
    """How each sample's record ended.

    Raises:
        ResultError: a result file cannot be read.
    """
    found, once = Outcome(), once_in(captions)
    for path, _ in result_files(captions):
        for record in read_records(path):
            if not once.counts(path, row_of(record), not is_error(record)) or is_without_media(record):
                continue
            if not is_error(record):
                found.captions += 1
                continue
            found.failed += 1
            if len(found.failures) < _SHOWN_FAILURES:
                found.failures.append(_failure(record))
    found.gone = once.gone
    return found


def _failure(record: Record) -> str:
    """A failure by its file, which most messages name already."""
    name, error = str(record.get(str(record.get("modality"))) or record["sample_id"]), told_error(record)
    message = f"{error.get('message', ''):.200}"
    return f"{error.get('kind')}: {message}" if name in message else f"{name}: {error.get('kind')}: {message}"
