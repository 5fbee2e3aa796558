"""The answers to questions, as a table counts them: a mark for each question, whatever its answer is from."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.agents.examinee import Variant
from MetaCaptioner.errors import ErrorKind
from MetaCaptioner.evaluation.intervals import Marks
from MetaCaptioner.records.reader import read_records, result_files
from MetaCaptioner.records.record import Record, is_error, told_error
from MetaCaptioner.worklist.questions import QuestionSet, answers_name

RIGHT = 0.5
"""The lowest mark of what counts as right where right and wrong are counted."""
NO_CATEGORY = "(none)"
_Names = NDArray[np.str_]
_Flags = NDArray[np.bool_]


@dataclass
class Answered:
    """The answers of one variant to the questions of one dataset.

    `marks` are NaN where there is no answer, and `counted` says which questions count. `failed` are answers that ended
    in an error, by kind; `without` those that should be from a caption, of questions that have no picture.
    """

    marks: Marks
    counted: _Flags
    failed: Counter[str] = field(default_factory=Counter)
    without: int = 0
    judged: int = 0
    _is_known: _Flags = field(init=False)

    def __post_init__(self) -> None:
        self._is_known = np.zeros(len(self.marks), dtype=np.bool_)

    def add(self, index: int, record: Record, variant: Variant) -> None:
        """Count a record; of several of a question the first."""
        if self._is_known[index]:
            return
        self._is_known[index] = True
        if is_error(record):
            self.marks[index] = 0.0
            if self.counted[index]:
                self.failed[str(told_error(record).get("kind", "no kind"))] += 1
            return
        self.marks[index] = float(record.get("mark") or 0.0)
        self.judged += bool(record.get("judged"))
        self.without += variant in ("captions", "one_prompt") and not record.get("used_caption")

    @property
    def open(self) -> int:
        """How many questions have no record yet."""
        return int(np.count_nonzero(np.isnan(self.marks) & self.counted))

    @property
    def missing(self) -> int:
        """How many questions have no caption to be answered from."""
        return self.failed[ErrorKind.BAD_SOURCE]


@dataclass
class Answers:
    """All answers of a folder to some sets of questions."""

    benchmarks: Mapping[str, _Names]
    """The benchmark of each question, by dataset."""
    categories: Mapping[str, _Names]
    answered: Mapping[tuple[str, Variant], Answered]

    def variants(self) -> list[Variant]:
        """What there are answers from."""
        return list(dict.fromkeys(variant for _, variant in self.answered))

    def of(self, variant: Variant) -> Iterator[tuple[str, Answered]]:
        """The answers of one variant, by dataset."""
        yield from ((name, found) for (name, one), found in self.answered.items() if one == variant)

    def marks(self, variant: Variant, benchmark: str, category: str | None = None) -> Marks:
        """The marks of the questions of a benchmark that count; 0 where there is no answer."""
        found = []
        for name, one in self.of(variant):
            wanted = one.counted & (self.benchmarks[name] == benchmark)
            if category is not None:
                wanted &= self.categories[name] == category
            found.append(np.nan_to_num(one.marks[wanted]))
        return np.concatenate(found) if found else np.zeros(0, np.float32)


def read_answers(folder: Path, sets: Sequence[QuestionSet], variants: Sequence[Variant]) -> Answers:
    """The answers in a folder; of `variants`, and of others that there are records of.

    Raises:
        ResultError: a result file cannot be read.
    """
    benchmarks: dict[str, _Names] = {}
    categories: dict[str, _Names] = {}
    several: dict[str, _Flags] = {}
    for one in sets:
        benchmarks[one.name], categories[one.name], several[one.name] = _columns(one)
    every: tuple[Variant, ...] = ("captions", "one_prompt", "none", "picture")
    made = {
        answers_name(one.name, variant): (one.name, variant, _none_yet(several[one.name], variant))
        for variant in every
        for one in sets
    }
    there: set[str] = {answers_name(one.name, variant) for one in sets for variant in variants}
    for path, _ in result_files(folder):
        for record in read_records(path):
            known, index = made.get(str(record.get("data_name"))), record.get("index")
            if known is not None and isinstance(index, int) and 0 <= index < len(known[2].marks):
                known[2].add(index, record, known[1])
                there.add(str(record["data_name"]))
    answered = {(name, variant): found for key, (name, variant, found) in made.items() if key in there}
    return Answers(benchmarks, categories, answered)


def _none_yet(several: _Flags, variant: Variant) -> Answered:
    """No answers; questions about several pictures cannot be shown them, and do not count there."""
    counted = ~several if variant == "picture" else np.ones(len(several), dtype=np.bool_)
    return Answered(np.full(len(several), np.nan, dtype=np.float32), counted)


def _columns(asked: QuestionSet) -> tuple[_Names, _Names, _Flags]:
    """Benchmark and category of each question, and whether it is about several pictures."""
    benchmarks, categories = ["other"] * len(asked), [NO_CATEGORY] * len(asked)
    several = np.zeros(len(asked), dtype=np.bool_)
    for index in range(len(asked)):
        with suppress(ValueError):  # such a row has an error record
            question = asked.question(index)
            benchmarks[index] = question.benchmark
            categories[index] = question.category or NO_CATEGORY
            several[index] = len(question.shown) > 1
    return np.array(benchmarks), np.array(categories), several
