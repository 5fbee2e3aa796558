"""Questions about pictures and clips: an annotation file of the distinct ones, and a file of the questions beside it.

However many questions a picture has, it is one row, and so is captioned once. A question whose picture is none stays,
with what is wrong: nothing can answer it, and that counts.
"""

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import msgspec

from MetaCaptioner.data.inputs.base import Given, Input, Notes, nothing_found
from MetaCaptioner.data.inputs.huggingface_origin import Origin
from MetaCaptioner.data.inputs.question_fields import each_question, fields_of, media_cells
from MetaCaptioner.data.inputs.question_media import NoPicture, Pictures, Reference
from MetaCaptioner.data.inputs.question_rows import question_rows
from MetaCaptioner.data.inputs.webdataset import open_shards
from MetaCaptioner.data.question import question_of
from MetaCaptioner.data.tar_shards import FIRST_SHARD, Write, shards
from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.atomic_io import atomic_folder, atomic_write
from MetaCaptioner.utils.json_text import from_json, to_json


def open_questions(given: Given, notes: Notes) -> Input:
    """The distinct pictures and clips of some questions, once the questions are in `NAME.questions.jsonl`.

    Pictures that rows hold are packed into shards in the folder `given.pack_in`. Rows wait without them in a temporary
    file, as each may refer to any other for its picture.

    Raises:
        UserError: it cannot be opened, nothing of it can be used, or something cannot be written.
    """
    place = Path(given.place)
    folder = given.root or (place if place.is_dir() else place.parent if place.exists() else None)
    folder = folder and folder.absolute()
    questions = given.pack_in.with_name(f"{given.pack_in.name}.questions.jsonl")
    with ExitStack() as held, TemporaryFile(prefix="metacaptioner-") as waiting:
        pictures = Pictures(_packing(given, held), Origin(given.place, folder, given.allow_outside_root))
        about = _collect(given, pictures, waiting, notes)
        if not pictures.names:
            wrong = next((f"; such as: {one}" for one in about.rows if isinstance(one, str)), "")
            raise UserError(f"{nothing_found(given.place, notes)}{wrong}")
        held.close()  # what was packed is in its place
        _write(questions, waiting, pictures.names, about, notes)
    if not pictures.are_packed:
        assert folder is not None
        return Input(folder, pictures.found(), questions)
    packed = replace(given, place=str(given.pack_in), root=given.pack_in, caption_column=None, id_column=None)
    return replace(open_shards(packed, notes), questions=questions)


def _packing(given: Given, held: ExitStack) -> Callable[[], Write]:
    """Opens the shards once they are needed."""
    opened: list[Write] = []

    def write() -> Write:
        if not opened:
            replaced = FIRST_SHARD if given.replace else None
            folder = held.enter_context(atomic_folder(given.pack_in, "folder of shards", replaced))
            opened.append(held.enter_context(shards(folder, given.shard_megabytes)))
        return opened[0]

    return write


@dataclass
class _About:
    """What the rows are about, in their order, and which row has which index; of several the first."""

    rows: list[list[int] | Reference | str] = field(default_factory=list)
    by_index: dict[str, int] = field(default_factory=dict)

    def followed(self, row: int) -> list[int] | str:
        """The pictures of a row, those of the row that it refers to, and so on; or what is wrong."""
        seen = {row}
        found = self.rows[row]
        while isinstance(found, Reference):
            other = self.by_index.get(found.index)
            if other is None:
                return f"takes the picture of a row that is not there: {found.index:.70}"
            if other in seen:
                return f"takes its picture from a row that takes it from this one: {found.index:.70}"
            seen.add(other)
            found = self.rows[other]
        return found


def _collect(given: Given, pictures: Pictures, waiting: IO[bytes], notes: Notes) -> _About:
    """Put every question into `waiting` as a line of its place and fields; returns what each is about."""
    about = _About()
    rows = question_rows(given, pictures.origin, notes)
    for where, one in ((where, one) for where, row in rows for one in each_question(row)):
        try:
            fields = fields_of(one)
        except ValueError as error:
            notes.left_out(str(error), where)
            continue
        number = len(about.rows)
        about.by_index.setdefault(str(fields.get("id", number)), number)
        try:
            about.rows.append(pictures.of(media_cells(one)))
        except NoPicture as error:
            about.rows.append(str(error))
        waiting.write(to_json([where, {"benchmark": given.benchmark, **fields}]) + b"\n")
    return about


def _write(path: Path, waiting: IO[bytes], names: list[str], about: _About, notes: Notes) -> None:
    waiting.seek(0)
    with atomic_write(path, "question file") as file:
        for number, line in enumerate(waiting):
            where, fields = from_json(line)
            found = about.followed(number)
            if isinstance(found, str):
                notes.noted(f"questions that nothing can answer, and which count as wrong: {_kind(found)}", where)
                fields["problem"] = f"{where} {found}"
            else:
                fields["shown"] = [{"index": one, "name": names[one]} for one in found]
            file.write(to_json(msgspec.to_builtins(question_of(fields))) + b"\n")


def _kind(problem: str) -> str:
    """A problem without what differs from row to row."""
    return re.sub(r"[\d,]+ bytes", "bytes", problem).partition(" (")[0].partition(":")[0]
