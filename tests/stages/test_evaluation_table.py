from typing import Any

import numpy as np
import pytest

from MetaCaptioner.stages.evaluation_answers import Answered, Answers
from MetaCaptioner.stages.evaluation_table import Cost, markdown, table_of


def answered(*marks: float, **fields: Any) -> Answered:
    made = Answered(np.array(marks, np.float32), np.ones(len(marks), np.bool_))
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def answers(captions: Answered, none: Answered, benchmark: str = "MMMU") -> Answers:
    size = len(captions.marks)
    names, kinds = np.array([benchmark] * size), np.array(["a|b" if n % 2 else "c" for n in range(size)])
    return Answers({"x": names}, {"x": kinds}, {("x", "captions"): captions, ("x", "none"): none})


def test_marks_become_percents_and_what_is_not_answered_counts_as_wrong() -> None:
    table = table_of(
        answers(answered(1, 0.5, np.nan, 1), answered(0, 0, 0, 1)), {}, {"captions": "m"}, "answerer", "judge"
    )
    captions, none = table.lines
    assert (captions.label, none.label) == ("captions, m", "no caption")
    assert (captions.cells["MMMU"].mean, none.cells["MMMU"].mean) == (62.5, 25)
    assert captions.cells["MMMU"].low < 62.5 < captions.cells["MMMU"].high
    assert captions.mean.mean == 62.5
    assert table.open == 1
    assert "Captions: 1 questions are not answered yet and count as wrong so far." in table.notes
    assert table.notes[-1] == "Of 3 right answers from captions 1 are right without any caption as well."


def test_the_page_is_a_markdown_table_whatever_names_hold() -> None:
    costs = {"captions": Cost(0.1234, 0.5)}
    table = table_of(answers(answered(1, 1), answered(0, 0)), costs, {"captions": "a|b\n| c"}, "m", "m")  # type: ignore[arg-type]
    lines = markdown(table).splitlines()
    assert lines[2].startswith(r"| captions, a\|b \| c |")
    assert lines[2].endswith("| 100.0 (100.0–100.0) | 100.0 (100.0–100.0) | 0.123 GPU h = 0.50 |")
    assert len({len(line) for line in lines[:4]}) == 1
    assert r"| a\|b" in markdown(table)


def test_a_record_that_is_there_twice_counts_once() -> None:
    one = answered(np.nan)
    one.add(0, {"status": "ok", "mark": 1.0, "used_caption": True}, "captions")
    one.add(0, {"status": "ok", "mark": 0.0, "used_caption": True}, "captions")
    assert one.marks.tolist() == [1.0]
    assert one.open == 0


@pytest.mark.parametrize(
    ("cost", "told"), [(Cost(), "–"), (Cost(None, 0.14), "0.14"), (Cost(2.0, None), "2.000 GPU h")]
)
def test_costs(cost: Cost, told: str) -> None:
    assert str(cost) == told
