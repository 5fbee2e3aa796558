"""The table of an evaluation: what captions are worth to somebody who has to answer questions, and what they cost."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.agents.examinee import Variant
from MetaCaptioner.evaluation.benchmarks import BENCHMARKS
from MetaCaptioner.evaluation.intervals import LEVEL, interval, mean_of, resampled_means
from MetaCaptioner.metrics.usage import figures, runs_of
from MetaCaptioner.records.record import Record
from MetaCaptioner.stages.evaluation_answers import RIGHT, Answers

_ROWS: Mapping[Variant, str] = {
    "captions": "captions",
    "one_prompt": "captions of one prompt",
    "none": "no caption",
    "picture": "the picture itself",
}
_IMAGES = 100
_CAPTIONED = "captionpipeline"


@dataclass(frozen=True)
class Cell:
    """The mean mark of some questions in percent, its interval, and how many there are."""

    mean: float
    low: float
    high: float
    questions: int

    def __str__(self) -> str:
        return f"{self.mean:.1f} ({self.low:.1f}–{self.high:.1f})"


@dataclass(frozen=True)
class Cost:
    """What captions cost for a hundred pictures or clips; None where that is not known."""

    gpu_hours: float | None = None
    money: float | None = None

    def __str__(self) -> str:
        told = [f"{self.gpu_hours:.3f} GPU h"] if self.gpu_hours is not None else []
        return " = ".join([*told, *([f"{self.money:.2f}"] if self.money is not None else [])]) or "–"


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    variant: Variant
    label: str
    cells: Mapping[str, Cell]
    mean: Cell
    cost: Cost


@dataclass(frozen=True)
class Table:
    """All rows, and what is to be said below them. `by_category` has a benchmark's cells by category and variant."""

    columns: Sequence[str]
    lines: Sequence[Line]
    by_category: Mapping[str, Mapping[str, Mapping[Variant, Cell]]]
    answered_by: str
    notes: Sequence[str]
    open: int

    def content(self) -> Record:
        """The table as JSON has it."""
        return asdict(self)


def cost_of(folder: Path, gpu_hour_price: float | None) -> Cost:
    """What the captions of a folder cost, by its run logs: GPU hours, loading included, and money.

    Money is by the price of a GPU hour, or else what the runs' tokens cost.
    """
    runs = [run for run in runs_of([folder]) if run.stage == _CAPTIONED]
    sums = figures(runs)
    captioned = sums.images + sums.videos
    if not captioned:
        return Cost()
    hours = None if sums.gpu_hours is None else sums.gpu_hours * _IMAGES / captioned
    money = None if sums.money is None else sums.money * _IMAGES / captioned
    if gpu_hour_price is not None and hours is not None:
        money = hours * gpu_hour_price
    return Cost(hours, money)


def table_of(
    answers: Answers,
    costs: Mapping[Variant, Cost],
    captioned_by: Mapping[Variant, str],
    answered_by: str,
    judged_by: str,
) -> Table:
    """The table of some answers; `costs` and `captioned_by` are of the captions of each variant that has some."""
    asked = {str(benchmark) for names in answers.benchmarks.values() for benchmark in np.unique(names)}
    columns = [name for name in BENCHMARKS if name in asked]
    lines = []
    for variant in answers.variants():
        marks = {name: answers.marks(variant, name) for name in columns}
        drawn = {name: resampled_means(one, name) for name, one in marks.items() if len(one)}
        cells = {name: _cell(float(marks[name].mean()), drawn[name], len(marks[name])) for name in drawn}
        every = sum(cell.questions for cell in cells.values())
        mean = sum(cell.mean for cell in cells.values()) / 100 / max(1, len(cells))
        whole = _cell(mean, mean_of(list(drawn.values())), every) if drawn else Cell(0, 0, 0, 0)
        by = answered_by if variant == "picture" else captioned_by.get(variant, "")
        label = f"{_ROWS[variant]}{f', {by}' if by else ''}"
        lines.append(Line(variant, label, cells, whole, costs.get(variant, Cost())))
    unanswered = sum(one.open for one in answers.answered.values())
    notes = [*_notes(answers, answered_by, judged_by)]
    return Table(columns, lines, _by_category(answers, columns), answered_by, notes, unanswered)


def _cell(mean: float, drawn: NDArray[np.float64], questions: int) -> Cell:
    low, high = interval(drawn)
    return Cell(100 * mean, 100 * low, 100 * high, questions)


def _by_category(answers: Answers, columns: Sequence[str]) -> dict[str, dict[str, dict[Variant, Cell]]]:
    """The cells of each category, of the benchmarks that have more than one."""
    found: dict[str, dict[str, dict[Variant, Cell]]] = {}
    for column in columns:
        names: set[str] = set()
        for dataset, benchmarks in answers.benchmarks.items():
            names.update(map(str, np.unique(answers.categories[dataset][benchmarks == column])))
        for category in sorted(names) if len(names) > 1 else ():
            for variant in answers.variants():
                marks = answers.marks(variant, column, category)
                if len(marks):
                    drawn = resampled_means(marks, f"{column}/{category}")
                    cell = _cell(float(marks.mean()), drawn, len(marks))
                    found.setdefault(column, {}).setdefault(category, {})[variant] = cell
    return found


def _notes(answers: Answers, answered_by: str, judged_by: str) -> Iterator[str]:
    """What a reader of the table has to know."""
    judged = sum(one.judged for one in answers.answered.values())
    by = f"{judged:,} answers marked by {judged_by} as a judge" if judged else "no judge was needed"
    yield (
        f"Answers by {answered_by}; {by}. In brackets: {LEVEL:.0%} bootstrap intervals. Mean: of the benchmarks. "
        f"Cost: of captioning {_IMAGES} pictures or clips."
    )
    for variant in answers.variants():
        found = [one for _, one in answers.of(variant)]
        missing, open_still = sum(one.missing for one in found), sum(one.open for one in found)
        failed = sum(one.failed.total() for one in found) - missing
        without = sum(one.without for one in found)
        left_out = sum(int((~one.counted).sum()) for one in found)
        told = [
            f"{missing:,} questions without a caption count as wrong" if missing else "",
            f"{failed:,} questions that ended in an error count as wrong" if failed else "",
            f"{without:,} questions have no picture: these answers used no caption" if without else "",
            f"{open_still:,} questions are not answered yet and count as wrong so far" if open_still else "",
            f"{left_out:,} questions about several pictures are left out" if left_out else "",
        ]
        if any(told):
            yield f"{_ROWS[variant].capitalize()}: {'; '.join(filter(None, told))}."
    yield from _guessed(answers)


def _guessed(answers: Answers) -> Iterator[str]:
    """How many of the right answers need no caption: the model knew them, or guessed."""
    both = right = 0
    for name, one in answers.of("captions"):
        guesses = answers.answered.get((name, "none"))
        if guesses is None:
            return
        is_right = one.marks >= RIGHT
        right += int(is_right.sum())
        both += int((is_right & (guesses.marks >= RIGHT)).sum())
    if right:
        yield f"Of {right:,} right answers from captions {both:,} are right without any caption as well."


def markdown(table: Table) -> str:
    """The table as a page, the published one's columns first."""
    head = ["", *table.columns, "Mean", "Cost"]
    rows = [
        [line.label, *(str(line.cells.get(name, "–")) for name in table.columns), str(line.mean), str(line.cost)]
        for line in table.lines
    ]
    parts = [_grid(head, rows), "\n".join(table.notes)]
    for column, categories in table.by_category.items():
        labels = [line.label for line in table.lines]
        variants = [line.variant for line in table.lines]
        body = [[name, *(str(cells.get(variant, "–")) for variant in variants)] for name, cells in categories.items()]
        parts.append(f"{column}, by category\n\n{_grid(['', *labels], body)}")
    return "\n\n".join(parts) + "\n"


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table whose columns stand under each other."""
    shown = [[" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in (head, *rows)]
    widths = [max(3, *(len(row[place]) for row in shown)) for place in range(len(head))]
    lines = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in shown]
    return "\n".join([lines[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines[1:]])
