import pytest

from MetaCaptioner.evaluation.short_answers import anls, by_precision, distance, open_answer, relaxed, same_list


@pytest.mark.parametrize(
    ("answer", "truths", "mark"),
    [
        ("New York", ["new york"], 1.0),
        ("new  york ", ["new york", "NYC"], 1.0),
        ("hallo", ["hello"], 0.8),
        ("ab", ["ac"], 0.5),  # at the threshold: kept
        ("abc", ["axx"], 0.0),  # 1 - 2/3 is below it
        ("1,000", ["1000"], 0.8),  # texts: one character of five is too many
        ("3%", ["3"], 0.5),
        ("", ["x"], 0.0),
        ("", [""], 0.0),
        ("x", [], 0.0),
    ],
)
def test_anls(answer: str, truths: list[str], mark: float) -> None:
    assert anls(answer, truths) == pytest.approx(mark)


@pytest.mark.parametrize(
    ("answer", "truths", "mark"),
    [
        ("1,000", ["1000"], 1),
        ("1000", ["1,000"], 1),
        ("105", ["100"], 1),
        ("95", ["100"], 1),
        ("105.1", ["100"], 0),
        ("-95", ["-100"], 1),
        ("3%", ["3"], 0),
        ("3%", ["3%"], 1),
        ("3%", ["0.03"], 1),
        ("0", ["0"], 1),
        ("0.0", ["0"], 1),
        ("0.01", ["0"], 0),
        ("Yes", ["yes"], 1),
        ("yes.", ["yes"], 0),
        ("red", ["blue", "Red"], 1),
        ("", ["0"], 0),
    ],
)
def test_relaxed_accuracy(answer: str, truths: list[str], mark: float) -> None:
    assert relaxed(answer, truths) == mark


@pytest.mark.parametrize(
    ("answer", "truth", "decimals", "taken", "mark"),
    [
        ("14", "14", 0, "14", 1),
        ("14.9", "14", 0, "14", 1),
        ("1,000", "1000", 0, "1000", 1),
        ("The number missing in the sequence is 14.", "14", 0, "14", 1),
        ("from 3 to 5", "3", 0, "5", 0),
        ("1.449", "1.45", 2, "1.45", 1),
        ("$1.45", "1.45", 2, "1.45", 1),
        ("0.6", "0.6", 1, "0.6", 1),
        ("0.64", "0.6", 1, "0.6", 1),
        ("0.66", "0.6", 1, "0.7", 0),
        ("\\frac{1}{2}", "0.5", 1, "0.5", 1),
        ("none", "3", 0, "", 0),
        ("", "3", 0, "", 0),
    ],
)
def test_numbers_by_precision(answer: str, truth: str, decimals: int, taken: str, mark: float) -> None:
    assert by_precision(answer, truth, decimals) == (taken, mark)


@pytest.mark.parametrize(
    ("answer", "truth", "mark"),
    [
        ("[2007, 2008]", "[2007, 2008]", 1),
        ("It peaked in [2007,2008].", "[2007, 2008]", 1),
        ("between 2007 and 2008", "[2007, 2008]", 1),
        ("[2008, 2007]", "[2007, 2008]", 0),
        ("['a', 'b']", "['a', 'b']", 1),
        ("[__import__('os')]", "[1]", 0),
        ("", "[1]", 0),
        ("[]", "[]", 0),
    ],
)
def test_lists(answer: str, truth: str, mark: float) -> None:
    assert same_list(answer, truth)[1] == mark


@pytest.mark.parametrize(
    ("answer", "truths", "mark"),
    [
        ("The result is 1,000.", ["1000"], 1),
        ("First 5. So x = 12.004", ["12"], 1),
        ("x = 12.02", ["12"], 0),
        ("3%", ["3%"], 1),
        ("It is a violin.", ["Violin"], 1),
        ("A violin? Perhaps. It is a cello.", ["violin"], 0),
        ("Thus the answer is c.", ["c"], 1),
        ("It is black.", ["c"], 0),
        ("red", ["green", "red"], 1),
        ("", ["x"], 0),
    ],
)
def test_open_answers(answer: str, truths: list[str], mark: float) -> None:
    assert open_answer(answer, truths) == mark


def test_the_distance_of_two_texts() -> None:
    assert [distance("kitten", "sitting"), distance("", "ab"), distance("ab", "ab")] == [3, 2, 0]
