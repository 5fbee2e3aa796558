from pathlib import Path
from typing import Any

import pytest

from MetaCaptioner.agents.thresholds import (
    ThresholdOptions,
    Thresholds,
    dimensions_of,
    has_marks,
    told_mixture,
)
from MetaCaptioner.errors import BadArguments, UserError
from MetaCaptioner.utils.options import as_flags
from MetaCaptioner.utils.options_sources import as_file, read
from tests.made_records import caption_record, score_record


class _Options(ThresholdOptions):
    command = "filter"


def thresholds(*flags: str) -> Thresholds:
    return read(_Options, flags, "").thresholds()


MARK = "--min-dim-score"


@pytest.mark.parametrize(
    ("flags", "dimension", "of_dimension"),
    [
        ((), 3, {}),
        ((MARK, "4"), 4, {}),
        ((MARK, "4", MARK, "2"), 2, {}),
        ((MARK, "accuracy=4"), 3, {"accuracy": 4}),
        ((f"{MARK}=accuracy=4", MARK, "2", f"{MARK}=style=1"), 2, {"accuracy": 4, "style": 1}),
        ((MARK, "accuracy=4", MARK, "accuracy=5"), 3, {"accuracy": 5}),
        ((MARK, "2 accuracy=4,style=5"), 2, {"accuracy": 4, "style": 5}),
    ],
)
def test_a_mark_is_for_all_dimensions_or_for_one(
    flags: tuple[str, ...], dimension: int, of_dimension: dict[str, int]
) -> None:
    assert thresholds(*flags) == Thresholds(3.0, dimension, False, of_dimension)
    handed_on = as_flags(read(_Options, flags, ""))
    assert thresholds(*handed_on) == thresholds(*flags)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("0", "must be from 1 to 5"),
        ("6", "must be from 1 to 5"),
        ("good", "must be from 1 to 5"),
        ("accuracy=6", "must be from 1 to 5 for accuracy"),
        ("accuracy=", "must be from 1 to 5 for accuracy"),
        ("=3", "must be a mark, or DIMENSION=MARK, not '=3'"),
        ("a=b=3", "must be a mark, or DIMENSION=MARK, not 'a=b=3'"),
    ],
)
def test_what_is_no_mark_is_one_line(value: str, complaint: str) -> None:
    with pytest.raises(BadArguments) as raised:
        thresholds(MARK, value)
    assert str(raised.value) == f"{MARK} {complaint}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("min_dim_score: 4", Thresholds(3.0, 4, False)),
        ("min_dim_score: [2, accuracy=4]", Thresholds(3.0, 2, False, {"accuracy": 4})),
        ("min_dim_score: {accuracy: 4, style: 5}", Thresholds(3.0, 3, False, {"accuracy": 4, "style": 5})),
    ],
)
def test_a_file_may_say_it_as_before_or_by_dimension(tmp_path: Path, text: str, expected: Thresholds) -> None:
    (tmp_path / "a.yaml").write_text(text)
    options = read(_Options, ("--config", str(tmp_path / "a.yaml")), "")
    assert options.thresholds() == expected
    assert as_file(options)["min_dim_score"] == options.min_dim_score


def test_the_environment_says_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METACAPTIONER_MIN_DIM_SCORE", "2 accuracy=4")
    assert thresholds() == Thresholds(3.0, 2, False, {"accuracy": 4})


def marked(**scores: int) -> dict[str, Any]:
    return {**score_record(0), "scores": scores, "overall": sum(scores.values()) / len(scores)}


def test_marks_are_looked_at_by_their_names() -> None:
    needed, record = Thresholds(3.0, 3, False, {"truth": 5, "style": 1}), caption_record(0)
    assert needed.against(record, marked(truth=5, style=1, length=3)) == []
    assert needed.against(record, marked(truth=4, style=1, length=4)) == ["truth too low (4 < 5)"]
    assert needed.against(record, marked(truth=5, length=2)) == ["length too low (2 < 3)", "no mark for style"]


def test_a_dimension_that_is_not_marked_is_refused_with_the_nearest() -> None:
    needed = Thresholds(3.0, 3, False, {"acuracy": 4})
    told = "--min-dim-score acuracy: judge.yaml marks accuracy, style; did you mean accuracy?"
    with pytest.raises(UserError) as raised:
        needed.check_dimensions(["accuracy", "style"], "judge.yaml")
    assert str(raised.value) == told
    needed.check_dimensions([], "nobody")
    Thresholds(3.0, 3, False, {"style": 4}).check_dimensions(["accuracy", "style"], "judge.yaml")


@pytest.mark.parametrize(
    "fields",
    [
        {"scores": {}},
        {"scores": {"truth": 6}, "overall": 5.0},
        {"scores": {"truth": 0}, "overall": 1.0},
        {"scores": {"truth": "5"}, "overall": 5.0},
        {"scores": {"truth": None}},
        {"scores": {"truth": 5}, "overall": 4.0},
        {"scores": {"truth": 5, "style": 3}, "overall": 2.9},
        {"scores": {"truth": 5}, "overall": float("nan")},
        {"scores": {"truth": 5}, "overall": "5"},
    ],
)
def test_marks_that_somebody_has_edited_are_none(fields: dict[str, Any]) -> None:
    assert not has_marks(score_record(0) | fields)
    assert dimensions_of(score_record(0) | fields) == ()


def test_any_number_of_dimensions_is_sound() -> None:
    assert has_marks(marked(truth=5))
    assert has_marks(marked(**{f"d{number}": 1 + number % 5 for number in range(12)}))
    assert dimensions_of(marked(truth=5, style=4)) == ("truth", "style")


def test_marks_of_different_judges_are_told() -> None:
    assert told_mixture({}) == told_mixture({("a", "b"): 3, ("b", "a"): 1}) == []
    [told] = told_mixture({("a", "b"): 3, ("b", "a"): 1, ("c",): 2})
    assert told.endswith(": 4 have a, b; 2 have c")
