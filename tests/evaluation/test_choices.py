import pytest

from MetaCaptioner.evaluation.choices import chosen, first_letter, letter_of

OPTIONS = {"A": "a red ball", "B": "3", "C": "13", "D": "the left one"}


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("B)", "B"),
        ("(b)", "B"),
        ("B.", "B"),
        ("**C**", "C"),
        ("The answer is B.", "B"),
        ("The answer is (c), not (b).", "C"),
        ("Answer: D. the left one", "D"),
        ("It cannot be A, so I take option C", "C"),
        ("Both (A) and (B) fit, but (D) is better", "D"),
        ("A red ball is what the child holds in the picture", "A"),
        ("A cat sits there, so it must be the left one", "D"),
        ("13", "C"),
        ("3", "B"),
        ("there are 13 of them as far as I can see", "C"),
        ("I counted 3 and then 13 of them in all", "C"),
        ("E", None),
        ("I do not know", None),
        ("", None),
    ],
)
def test_the_letter_that_an_answer_chooses(answer: str, letter: str | None) -> None:
    assert chosen(answer, OPTIONS) == letter


def test_an_article_is_no_choice() -> None:
    assert chosen("A man and a dog", {"A": "cats", "B": "birds"}) is None
    assert chosen("I choose A", {"A": "cats", "B": "birds"}) == "A"


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("C", "C"),
        ("The best answer is: D.", "D"),
        ("Because of C", "B"),  # of the published rule: the first letter, also within a word
        ("maybe c", None),
        ("", None),
    ],
)
def test_the_first_letter(answer: str, letter: str | None) -> None:
    assert first_letter(answer) == letter


@pytest.mark.parametrize(
    ("truth", "letter"), [("B", "B"), ("(b)", "B"), ("13", "C"), ("THE LEFT ONE", "D"), ("E", None), ("4", None)]
)
def test_the_letter_of_a_right_answer(truth: str, letter: str | None) -> None:
    assert letter_of(truth, OPTIONS) == letter
