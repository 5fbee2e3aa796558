import pytest

from MetaCaptioner.evaluation.answer_texts import as_latex_says, number_of, numbers_in, stated


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,000", 1000),
        ("1000", 1000),
        ("1,234,567.5", 1234567.5),
        ("-3.5", -3.5),
        ("−3", -3),
        ("$2", 2),
        ("3%", 0.03),
        ("3\\%", 0.03),
        ("1/2", 0.5),
        ("$\\frac{3}{4}$", 0.75),
        ("\\dfrac{1}{8}", 0.125),
        ("1/0", None),
        ("1,00", None),
        ("nan", None),
        ("1e999", None),
        ("three", None),
        ("", None),
        ("2007 and 2008", None),
    ],
)
def test_the_number_that_a_text_is(text: str, number: float | None) -> None:
    found = number_of(text)
    assert found == (None if number is None else pytest.approx(number))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("between 2007 and 2,008.", [2007, 2008]),
        ("about -1.5e3 m, .5 at most", [-1500, 0.5]),
        ("B2 and x3 are names", []),
        ("", []),
    ],
)
def test_the_numbers_in_a_text(text: str, numbers: list[float]) -> None:
    assert numbers_in(text) == numbers


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("The answer is B.", "B"),
        ("Answer: 12 apples\nBecause I counted.", "12 apples"),
        ("The answer is 3? No, the final answer is: **4**.", "4"),
        ("So it is \\boxed{\\frac{1}{2}} in all", "\\frac{1}{2}"),
        (" 'Paris.' ", "Paris"),
        ("3.5", "3.5"),
        ("\\boxed{cut", "\\boxed{cut"),
        ("", ""),
    ],
)
def test_what_an_answer_states(answer: str, said: str) -> None:
    assert stated(answer) == said


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("$\\frac{1}{2}$", "1/2"),
        ("\\left( -2, 1 \\right]", "(-2,1]"),
        ("60^{\\circ}", "60°"),
        ("2\\sqrt{3}", "2√3"),
        ("\\text{Yes}", "yes."),
    ],
)
def test_what_latex_changes_in_looks_only(one: str, other: str) -> None:
    assert as_latex_says(one) == as_latex_says(other)
