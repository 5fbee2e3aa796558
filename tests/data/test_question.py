import pytest

from MetaCaptioner.data.question import Question, Shown, question_of


def test_a_question_as_it_is_put() -> None:
    question = Question("<image 1> What do <image 2> show?", ("A",), "MMMU", options={"A": "a", "B": "b"}, hint="Look.")
    assert question.text() == "Hint: Look.\n(picture 1) What do (picture 2) show?\nA. a\nB. b"
    assert Question("<image>\nWhat?", ("x",), "other").text() == "What?"


def test_a_row() -> None:
    row = {"question": "What?", "answers": ["x"], "benchmark": "MMMU", "shown": [{"index": 1, "name": "a.png"}]}
    assert question_of(row) == Question("What?", ("x",), "MMMU", shown=(Shown(1, "a.png"),))


@pytest.mark.parametrize(
    "row",
    [
        *({}, [], "text", None),
        {"question": "What?", "answers": "x", "benchmark": "MMMU"},
        {"question": "What?", "answers": ["x"], "benchmark": "MMMU", "shown": [{"index": -1, "name": "a"}]},
        {"question": "What?", "answers": ["x"], "benchmark": "MMMU", "precision": 10**9},
        {"question": 3, "answers": ["x"], "benchmark": "MMMU"},
    ],
)
def test_what_is_no_question(row: object) -> None:
    with pytest.raises(ValueError, match="is no question"):
        question_of(row)
