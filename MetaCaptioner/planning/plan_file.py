"""`split_plan.jsonl`: its rows, read and written, and what tells one plan from another."""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.atomic_io import atomic_write
from MetaCaptioner.utils.json_text import to_json
from MetaCaptioner.utils.path_spelling import local_name
from MetaCaptioner.utils.safe_open import read_file
from MetaCaptioner.utils.validation import first_problem


class PlanRow(BaseModel):
    """One shard: rows `start_idx <= index < end_idx` of an annotation file, for one rank.

    `total`, `processed` and `remain` count the whole dataset; `cost` is the shard's estimate (see `cost.py`),
    `metafile` the digest of the Metafile that the plan was made from (see `metafile.py`); neither need be there.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    data_name: Annotated[str, Field(min_length=1)]
    json_url: str
    root: str
    task: str = ""
    modality: Modality = "image"
    total: Annotated[int, Field(ge=0)]
    processed: Annotated[int, Field(ge=0)] = 0
    remain: Annotated[int, Field(ge=0)] = 0
    shard_index: Annotated[int, Field(ge=0)] = 0
    num_shards: Annotated[int, Field(ge=1)] = 1
    start_idx: Annotated[int, Field(ge=0)]
    end_idx: Annotated[int, Field(ge=0)]
    anno_file_key: Annotated[str, Field(min_length=1)]
    assign_rank: Annotated[int, Field(ge=0)]
    cost: float | None = None
    metafile: str = ""

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.end_idx < self.start_idx:
            raise ValueError(f"end_idx {self.end_idx} is below start_idx {self.start_idx}")
        return self

    @property
    def stem(self) -> str:
        """The annotation file's stem, which names the result file."""
        return Path(self.anno_file_key).stem


def read_plan(path: Path) -> tuple[list[PlanRow], list[str]]:
    """The sound rows of a plan, with paths relative to the plan's folder made absolute, and a line for each broken row.

    Raises:
        UserError: the plan is missing or holds no sound row.
    """
    try:
        lines = read_file(path).decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except FileNotFoundError as error:
        raise UserError(f"plan {path}: cannot be read: {error.strerror}; plan first (metacaptioner plan)") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"plan {path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    folder = path.resolve().parent
    absolute = cache(lambda given: str(folder / local_name(given)))
    rows: list[PlanRow] = []
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = PlanRow.model_validate_json(line)
            places = {"json_url": absolute(row.json_url), "root": absolute(row.root)}
        except ValueError as error:
            reason = first_problem(error) if isinstance(error, ValidationError) else error
            problems.append(f"plan {path}: line {number}: {reason}")
            continue
        moved = places != {"json_url": row.json_url, "root": row.root}
        rows.append(row.model_copy(update=places) if moved else row)
    if problems and not rows:
        raise UserError(f"{problems[0]} (no line of the plan can be used)")
    return rows, problems


def without_overlaps(rows: Sequence[PlanRow]) -> list[PlanRow]:
    """The rows of a plan, cut so that no sample is in two of them: an overlap goes to the row that begins first.

    Every process sees the whole plan and so comes to the same cut.
    """
    covered: dict[str, int] = {}
    cut: dict[int, PlanRow] = {}
    for place, row in sorted(enumerate(rows), key=lambda entry: (entry[1].start_idx, entry[0])):
        start = max(row.start_idx, covered.get(row.data_name, 0))
        covered[row.data_name] = max(covered.get(row.data_name, 0), row.end_idx)
        overlaps = start > row.start_idx
        cut[place] = row.model_copy(update={"start_idx": min(start, row.end_idx)}) if overlaps else row
    return [cut[place] for place in range(len(rows))]


def write_plan(rows: Sequence[PlanRow], path: Path) -> None:
    """Write the plan in one atomic step.

    Raises:
        UserError: it cannot be written.
    """
    with atomic_write(path, "plan") as file:
        file.writelines(to_json(row.model_dump()) + b"\n" for row in rows)


def fingerprint(rows: Sequence[PlanRow]) -> str:
    """Sixteen hexadecimal digits that tell one division of work from another."""
    content = hashlib.sha256()
    for row in rows:
        what = (row.data_name, row.json_url, row.start_idx, row.end_idx, row.assign_rank)
        content.update(repr(what).encode("utf-8", "surrogatepass"))
    return content.hexdigest()[:16]
