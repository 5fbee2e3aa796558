"""Work through questions about captioned pictures: each once for everything that it may be answered from."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.agents.examinee import FROM_CAPTIONS, Variant
from MetaCaptioner.data.annotation import AnnotationFile
from MetaCaptioner.data.metafile import Dataset
from MetaCaptioner.data.question import Question, question_of
from MetaCaptioner.data.sample import Sample, sample_from_row
from MetaCaptioner.data.taxonomy import Domain
from MetaCaptioner.errors import ErrorKind, UserError
from MetaCaptioner.evaluation.benchmarks import BENCHMARKS
from MetaCaptioner.planning.provenance import Expected
from MetaCaptioner.records.caption_records import is_caption, resample_folders
from MetaCaptioner.records.index import RecordIndex
from MetaCaptioner.records.reader import result_files
from MetaCaptioner.records.record import Record, may_yet_succeed, told_error
from MetaCaptioner.records.row_map import caption_hash
from MetaCaptioner.runtime.rank import Rank
from MetaCaptioner.utils.json_text import from_json, to_json
from MetaCaptioner.worklist.base import Item, RankFiles, open_results
from MetaCaptioner.worklist.best_caption import Candidates, best

_ASSIGNED = 0
"""Questions belong to no rank of a plan: all processes share the files of this one, each with a part of its own."""


def answers_name(dataset: str, variant: Variant) -> str:
    """What the answers to a dataset's questions are called: a dataset of their own for each variant."""
    return f"{dataset}@{variant}"


@dataclass(frozen=True)
class QuestionSet:
    """The questions about one dataset.

    Raises:
        UserError: a file cannot be read.
    """

    name: str
    dataset: Dataset
    questions: AnnotationFile
    rows: AnnotationFile

    @classmethod
    def of(cls, name: str, dataset: Dataset) -> "QuestionSet":
        assert dataset.questions is not None
        return cls(name, dataset, AnnotationFile(dataset.questions), AnnotationFile(dataset.annotation))

    def __len__(self) -> int:
        return len(self.questions)

    def question(self, index: int) -> Question:
        """One of them.

        Raises:
            ValueError: its row is none; says why.
        """
        question = question_of(self.questions.row(index))
        if question.benchmark not in BENCHMARKS:
            raise ValueError(f"'{question.benchmark:.40}' is no benchmark ({', '.join(BENCHMARKS)})")
        return question


class CaptionsOf:
    """The captions of a folder by sample, the best of each; a sample that has none is told why.

    Raises:
        UserError: there are no results.
    """

    def __init__(self, folder: Path) -> None:
        paths = [path for path, _ in result_files(folder)]
        if not paths:
            raise UserError(f"data folder {folder}: holds no caption results (Rank*_node*_*.jsonl)")
        self._records = RecordIndex(paths)
        scores = folder / "score"
        self._candidates = Candidates(scores, None) if resample_folders(scores) else None

    def record(self, name: str, index: int) -> Record | None:
        """The record of a picture."""
        found = self._records.get(name, index)
        if found is None or self._candidates is None:
            return found
        return best(self._candidates.of(found)).record

    def close(self) -> None:
        self._records.close()
        if self._candidates is not None:
            self._candidates.__exit__()


@dataclass
class QuestionSamples:
    """Makes samples of questions: `captions` are those that there are, by variant."""

    sets: Mapping[str, QuestionSet]
    captions: Mapping[Variant, CaptionsOf]
    domains: tuple[Domain, ...]
    allow_outside_root: bool = False

    @cached_property
    def _by_name(self) -> dict[str, tuple[QuestionSet, Variant]]:
        """What the answers are called -> the questions, and what they are answered from."""
        variants: tuple[Variant, ...] = (*self.captions, "none", "picture")
        return {answers_name(one.name, variant): (one, variant) for one in self.sets.values() for variant in variants}

    def sample(self, asked: QuestionSet, variant: Variant, index: int) -> Sample:
        """The sample of one question, which carries the question and tells which captions it is answered from."""
        name = answers_name(asked.name, variant)
        try:
            question = asked.question(index)
        except ValueError as error:
            return Sample(
                name, index, asked.dataset.root, "", "image", problem=f"row {index} of {asked.questions.path}: {error}"
            )
        sample = self._of_picture(asked, question)
        told: dict[str, object] = {"variant": variant, "asked": _told(question)}
        problem, kind, texts = question.problem, ErrorKind.BAD_ROW, list[str]()
        if variant in FROM_CAPTIONS:
            told["captions"], texts, missing = self._captions(asked, question, variant)
            if missing and not problem:
                problem, kind = missing, ErrorKind.BAD_SOURCE
        looks = variant == "picture" and bool(question.shown)
        if looks and not problem:
            problem, kind = sample.problem, sample.problem_kind
            if len(question.shown) > 1:
                problem, kind = "is about several pictures, of which one at a time can be shown", ErrorKind.BAD_ROW
        return replace(
            sample,
            data_name=name,
            index=index,
            row_id=question.id,
            problem=problem,
            problem_kind=kind,
            carried=told,
            fields={"captions": _numbered(texts)},
            unseen=None if looks else "",
        )

    def is_outdated(self, record: Record) -> bool:
        """Whether a record is of another question than its row has now, or of other captions than there are now."""
        known, index = self._by_name.get(str(record.get("data_name"))), record.get("index")
        if known is None or not isinstance(index, int) or not 0 <= index < len(known[0]):
            return False
        now = self.sample(*known, index).carried
        return any(record.get(name) != now.get(name) for name in ("asked", "captions"))

    def _of_picture(self, asked: QuestionSet, question: Question) -> Sample:
        """The sample of the first picture of a question, or one without any."""
        dataset = asked.dataset
        if not question.shown:
            return Sample(asked.name, 0, dataset.root, "", dataset.modality)
        shown = question.shown[0]
        if shown.index >= len(asked.rows):
            return Sample(asked.name, 0, dataset.root, shown.name, dataset.modality, problem=_other_rows(asked))
        row, task = asked.rows.row(shown.index), dataset.task
        made = (dataset.root, dataset.modality, task, self.domains, self.allow_outside_root)
        sample = sample_from_row(row, asked.name, shown.index, *made)
        return sample if sample.media_name == shown.name else replace(sample, problem=_other_rows(asked))

    def _captions(
        self, asked: QuestionSet, question: Question, variant: Variant
    ) -> tuple[list[Record], list[str], str]:
        """What a record tells of the captions of a question's pictures, their texts, and which is missing and why."""
        told: list[Record] = []
        texts: list[str] = []
        missing = ""
        for shown in question.shown:
            record = self.captions[variant].record(asked.name, shown.index)
            text = _caption(record, shown.name)
            told.append({"index": shown.index, "hash": None if text is None else caption_hash(text)})
            if text is not None:
                texts.append(text)
                continue
            why = "it has no record yet" if record is None else told_error(record).get("kind", "it is of another file")
            missing = missing or f"there is no caption of {asked.name}/{shown.index} ({shown.name:.80}): {why}"
        return told, texts, missing


def _caption(record: Record | None, name: str) -> str | None:
    """The caption of a picture, if there is one, and of the file of that name."""
    if record is None or not is_caption(record) or record.get(str(record.get("modality"))) != name:
        return None
    return str(record["caption"])


def _other_rows(asked: QuestionSet) -> str:
    return f"{asked.questions.path} is of other rows than {asked.rows.path} has now: build both anew"


def _told(question: Question) -> Record:
    """A question as its records keep it, and as they are read again."""
    told: Record = from_json(to_json(msgspec.to_builtins(question)))
    return told


def _numbered(texts: Sequence[str]) -> str:
    """Captions as the examinee is given them; several are numbered."""
    if len(texts) < 2:
        return "".join(texts)
    return "\n\n".join(f"Picture {number}:\n{text}" for number, text in enumerate(texts, start=1))


@dataclass
class QuestionWork:
    """This process's share of the questions, for every variant: each `processes`-th from its `turn`."""

    samples: QuestionSamples
    variants: Sequence[Variant]
    share: tuple[int, int]
    files: Mapping[int, RankFiles]
    folder: Path
    problems: list[str] = field(default_factory=list)
    taken_over: int = 0

    def total(self) -> int:
        return sum(len(rows) for _, _, rows in self._wanted())

    def pending(self) -> int:
        done = self.files[_ASSIGNED].done
        return sum(
            len(rows) - int(np.count_nonzero(done.have(answers_name(asked.name, variant), rows)))
            for asked, variant, rows in self._wanted()
        )

    def help_wanted(self) -> bool:
        return False  # each process has its share

    def items(self) -> Iterator[Item]:
        mine = self.files[_ASSIGNED]
        for asked, variant, rows in self._wanted():
            name = answers_name(asked.name, variant)
            for index in rows.tolist():
                if not mine.done.has(name, index):
                    yield mine.item(self.samples.sample(asked, variant, index), name)

    def take_over(self) -> Iterator[Item] | None:
        return None

    def _wanted(self) -> Iterator[tuple[QuestionSet, Variant, NDArray[np.integer]]]:
        turn, processes = self.share
        for asked in self.samples.sets.values():
            for variant in self.variants:
                yield asked, variant, np.arange(turn, len(asked), processes)


def open_questions(
    expected: Expected,
    samples: QuestionSamples,
    variants: Sequence[Variant],
    folder: Path,
    rank: Rank,
    retry_errors: bool,
    stack: ExitStack,
) -> QuestionWork:
    """The questions that fall to this process; answers go to `folder`.

    What was answered to another question than its row has now, or from other captions than there are now, is taken out.

    Raises:
        UserError: the results cannot be written, or are made otherwise.
    """
    share = (rank.rank, rank.world_size)
    retried = may_yet_succeed if retry_errors else None
    files = open_results(stack, folder, rank, _ASSIGNED, expected, retried, share, samples.is_outdated)
    return QuestionWork(samples, variants, share, {_ASSIGNED: files}, folder)
