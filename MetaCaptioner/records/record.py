"""What one record tells: a line of a result file, parsed whole or as far as most that look at it need."""

from contextlib import suppress
from dataclasses import asdict
from typing import Any

import msgspec

from MetaCaptioner.data.sample import Sample
from MetaCaptioner.errors import ErrorKind
from MetaCaptioner.records.row_map import HIGHEST_ROW, Row
from MetaCaptioner.utils.json_text import NOT_PLAIN_JSON, from_json

Record = dict[str, Any]
_MOST_ATTEMPTS = 10**6


def parse_record(line: bytes) -> Record | None:
    """The record in one line, or None where the line is torn or is no record."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = from_json(line, finite=True)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("sample_id"), str) else None


class ToldTar(msgspec.Struct, gc=False):
    """The tar file that a record's media lie in, below the root."""

    file: str


class ToldError(msgspec.Struct, gc=False):
    """What a failure says of itself."""

    kind: str


class Told(msgspec.Struct, gc=False):
    """What a line of a result file tells of which sample, how it ended, what it is of and what it was made with.

    A field of another type than it should have is None.
    """

    sample_id: str
    data_name: str | None = None
    index: int | None = None
    status: str | None = None
    stage: str | None = None
    model: str | None = None
    models: dict[str, str] | None = None
    prompts: str | None = None
    root: str | None = None
    image: str | None = None
    video: str | None = None
    tar: ToldTar | None = None
    error: ToldError | None = None

    @property
    def row(self) -> Row | None:
        """Dataset and row of the sample, as `row_of` a record; None where it has no sound identity."""
        if self.data_name is None or self.index is None or not 0 <= self.index <= HIGHEST_ROW:
            return None
        return self.data_name, self.index


_TOLD = msgspec.json.Decoder(Told)
_FIELDS = msgspec.structs.fields(Told)


def told_of(record: Record) -> Told:
    """What a record tells, as `glance` has it."""
    with suppress(msgspec.ValidationError):
        return msgspec.convert(record, Told)
    fields: Record = {}
    for field in _FIELDS:
        try:
            fields[field.name] = msgspec.convert(record.get(field.name), field.type)
        except msgspec.ValidationError:
            fields[field.name] = None
    return Told(**fields)


def glance(line: bytes) -> Told | None:
    """What `parse_record` finds in a line, as far as it tells of which sample, several times faster.

    Numbers that it passes over it does not look into: `1e999` in a line is then no fault.
    """
    if not line.endswith(b"\n"):
        return None
    try:
        if not line.isascii():
            line.decode()  # msgspec does not look into the texts that it passes over
        return _TOLD.decode(line)
    except NOT_PLAIN_JSON:
        record = parse_record(line)
    return None if record is None else told_of(record)


def has_failed(told: Told) -> bool:
    """Whether a glance tells of a failure that another try may mend."""
    return told.status != "ok" and (told.error is None or told.error.kind != ErrorKind.NO_MEDIA)


def is_error(record: Record) -> bool:
    """Whether a record tells of a failure."""
    return record.get("status") != "ok"


def told_error(record: Record) -> Record:
    """What a failure says of itself; nothing where it says nothing that makes sense, as somebody may have edited it."""
    error = record.get("error")
    return error if isinstance(error, dict) else {}


def attempts_of(record: Record) -> int:
    """How often a sample was tried until its record; 1 where that does not say it, or not sensibly."""
    attempts = record.get("attempts")
    return attempts if isinstance(attempts, int) and 0 < attempts <= _MOST_ATTEMPTS else 1


def is_without_media(record: Record) -> bool:
    """Whether a record tells of a row with neither picture nor clip: no stage can use it, and that is no fault."""
    return is_error(record) and told_error(record).get("kind") == ErrorKind.NO_MEDIA


def may_yet_succeed(record: Record) -> bool:
    """Whether a record tells of a failure that another try may mend."""
    return is_error(record) and not is_without_media(record)


def identity(sample: Sample) -> Record:
    """The fields that every record of a sample begins with, in every stage."""
    return {
        "sample_id": sample.sample_id,
        "data_name": sample.data_name,
        "index": sample.index,
        "id": sample.row_id,
        sample.modality: sample.media_name,
        **({} if sample.tar is None else {"tar": asdict(sample.tar)}),
        "root": str(sample.root),
        "modality": sample.modality,
        "task": sample.task,
        "task_source": sample.task_source,
        **sample.carried,
    }
