import pytest

from MetaCaptioner.errors import BadArguments
from MetaCaptioner.runtime.settings import seconds, whole_number, yes_or_no


@pytest.mark.parametrize(("text", "number"), [("", 8), ("1", 1), ("08", 8), ("999999999", 999_999_999)])
def test_a_whole_number(text: str, number: int) -> None:
    assert whole_number({"CPUS": text}, "CPUS", 1, 8) == number
    assert whole_number({}, "CPUS", 1, 8) == 8


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "two", " 1", "1\n", "1_0", "٣", "9999999999"])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(BadArguments, match=r"^CPUS must be a whole number from 1, not '"):
        whole_number({"CPUS": text}, "CPUS", 1, 8)


def test_a_time() -> None:
    assert seconds({}, "BEAT_SECONDS", 30) == seconds({"BEAT_SECONDS": ""}, "BEAT_SECONDS", 30) == 30
    assert seconds({"BEAT_SECONDS": "0.05"}, "BEAT_SECONDS", 30) == 0.05
    for text in ("-1", "nan", "inf", "1 s"):
        with pytest.raises(BadArguments, match=r"^BEAT_SECONDS must be a number of seconds, not '"):
            seconds({"BEAT_SECONDS": text}, "BEAT_SECONDS", 30)
    with pytest.raises(BadArguments, match=r"^BEAT_SECONDS must be a number of seconds from 0.01, not '0'"):
        seconds({"BEAT_SECONDS": "0"}, "BEAT_SECONDS", 30, least=0.01)


def test_yes_or_no() -> None:
    assert [yes_or_no({"ROUTE": text}, "ROUTE", True) for text in ("yes", "no", "")] == [True, False, True]
    assert not yes_or_no({}, "ROUTE", False)
    with pytest.raises(BadArguments, match=r"^ROUTE must be yes or no, not 'No'$"):
        yes_or_no({"ROUTE": "No"}, "ROUTE", True)
