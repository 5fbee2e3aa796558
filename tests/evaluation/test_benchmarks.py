from typing import Any

import pytest

from MetaCaptioner.data.question import Question
from MetaCaptioner.evaluation.benchmarks import BENCHMARKS, CANNOT, Marked, benchmark_of

FOUR = {"A": "red", "B": "green", "C": "blue", "D": "grey"}


def asked(benchmark: str, *answers: str, **fields: Any) -> Question:
    return Question("What?", answers, benchmark, **fields)


@pytest.mark.parametrize(
    ("question", "answer", "taken", "mark"),
    [
        (asked("MMMU", "B", options=FOUR), "The answer is B.", "B", 1),
        (asked("MMMU", "B", options=FOUR), "(b)", "B", 1),
        (asked("MMMU", "B", options=FOUR), "", "", 0),
        (asked("MMMU", "green", options=FOUR), "B)", "B", 1),
        (asked("MMMU", "1000"), "It is 1,000.", "It is 1,000", 1),
        (asked("MMMU", "0.5"), "So the probability is \\frac{1}{2}", "So the probability is \\frac{1}{2}", 1),
        (asked("AI2D", "C", options=FOUR), "blue", "C", 1),
        (asked("ChartQA", "1000"), "The answer is 1,000.", "1,000", 1),
        (asked("ChartQA", "3"), "3%", "3%", 0),
        (asked("ChartQA", "20"), "21", "21", 1),
        (asked("ChartQA", "Yes"), "yes.", "yes", 1),
        (asked("ChartQA", "Yes"), "", "", 0),
        (asked("InfoVQA", "40%", "40 percent"), "40 Percent", "40 Percent", 1),
        (asked("InfoVQA", "1000"), "1,000", "1,000", 0.8),
        (asked("InfoVQA", "dog"), "cat", "cat", 0),
        (asked("MathVista", "14", answer_type="integer"), "I count 14 of them", "14", 1),
        (asked("MathVista", "1.45", answer_type="float", precision=2), "$1.454", "1.45", 1),
        (asked("MathVista", "1.45", answer_type="float", precision=2), "1.4", "1.40", 0),
        (asked("MathVista", "[2, 3]", answer_type="list"), "2 and 3", "[2.0, 3.0]", 1),
        (asked("MathVista", "Yes"), "The answer is yes.", "yes", 1),
        (asked("MathVista", "green", options=FOUR), "B", "B", 1),
        (asked("MathVista", "green", options=FOUR), "gren", "B", 1),
        (asked("MathVista", "green", options=FOUR), "", "", 0),
        (asked("MathVerse", "\\frac{1}{2}"), "The answer is $1/2$.", "$1/2$", 1),
        (asked("MathVerse", "(-2,1]"), "\\boxed{\\left(-2, 1\\right]}", "\\left(-2, 1\\right]", 1),
        (asked("MathVerse", "50cm"), "0.5m", "0.5m", None),
        (asked("MathVerse", "50cm"), "", "", 0),
        (asked("MathVerse", "D", options=FOUR), "D. grey", "D", 1),
        (asked("MMVet", "x<AND>y"), " It is x. ", "It is x.", None),
        (asked("MMVet", "x"), " ", "", 0),
        (asked("VideoMME", "C", options=FOUR), "The best answer is C.", "C", 1),
        (asked("VideoMME", "C", options=FOUR), "none", "", 0),
        (asked("other", "12"), "12.0", "12.0", 1),
        (asked("other", "Paris"), "The answer is: Paris.", "Paris", 1),
        (asked("other", "Paris"), "London", "London", 0),
        (asked("other", ""), "", "", 0),
        (asked("other", "A", options=FOUR), "A)", "A", 1),
    ],
)
def test_marks(question: Question, answer: str, taken: str, mark: float | None) -> None:
    found = BENCHMARKS[question.benchmark].mark(answer, question)
    assert found == Marked(taken, None if mark is None else pytest.approx(mark))


def test_options_that_stand_in_the_text_of_a_question() -> None:
    question = Question("How long is BC?\nChoices:\nA:2\nB:2√3\nC:√3\nD:2√2", ("C",), "MathVerse")
    verse = BENCHMARKS["MathVerse"]
    assert verse.form(question) == "choice"
    assert verse.mark("So BC is √3, and the answer is C", question) == Marked("C", 1.0)
    assert verse.mark("B:2√3", question) == Marked("B", 0.0)
    first = Question(question.question, ("A",), "MathVerse")
    assert verse.mark("", first) == Marked("", 0.0)
    assert verse.mark("I do not know", first) == Marked("", 0.0)


def test_a_caption_that_does_not_tell_is_worth_a_little_more_than_a_guess() -> None:
    captions = BENCHMARKS["CaptionQA"]
    put = captions.asked(asked("CaptionQA", "green", options=FOUR))
    assert sorted(put.options.values()) == sorted([*FOUR.values(), CANNOT])
    [cannot] = [letter for letter, text in put.options.items() if text == CANNOT]
    assert [put.options[letter] for letter in put.answers] == ["green"]
    assert captions.asked(asked("CaptionQA", "green", options=FOUR)) == put
    assert captions.mark(put.answers[0], put).mark == 1
    assert captions.mark(cannot, put).mark == pytest.approx(1 / 4 + 0.05)
    assert captions.mark(f"{CANNOT}.", put).mark == pytest.approx(0.3)
    wrong = next(letter for letter in put.options if letter not in (put.answers[0], cannot))
    assert captions.mark(wrong, put).mark == 0
    assert captions.mark("", put).mark == 0
    yes_no = captions.asked(asked("CaptionQA", "Yes", options={"A": "Yes", "B": "No"}))
    assert sorted(yes_no.options.values()) == ["No", "Yes"]
    begins_so = captions.asked(Question("Is it red?", ("A",), "CaptionQA", options=FOUR))
    assert sorted(begins_so.options.values()) == sorted(FOUR.values())


@pytest.mark.parametrize(
    ("file", "benchmark"),
    [
        ("MMMU_DEV_VAL", "MMMU"),
        ("MMVet", "MMVet"),
        ("mm-vet", "MMVet"),
        ("MathVerse_MINI_Vision_Only", "MathVerse"),
        ("MathVista_MINI", "MathVista"),
        ("ChartQA_TEST", "ChartQA"),
        ("InfoVQA_VAL", "InfoVQA"),
        ("AI2D_TEST", "AI2D"),
        ("Video-MME", "VideoMME"),
        ("CaptionQA", "CaptionQA"),
        ("my_questions", "other"),
    ],
)
def test_the_benchmark_of_a_file(file: str, benchmark: str) -> None:
    assert benchmark_of(file) == benchmark
