import pytest

from MetaCaptioner.runner.error_rate import WINDOW, ErrorRate, TooManyErrors


def test_the_share_of_the_last_samples_decides_and_the_reasons_are_counted() -> None:
    rate = ErrorRate(0.5)
    for _ in range(10 * WINDOW):
        rate.note(None)
    for number in range(WINDOW // 2):
        rate.note("media_missing" if number % 4 else "media_corrupt")
    with pytest.raises(TooManyErrors) as raised:
        rate.note("media_missing", "data/photos/17.jpg: there is no such file")
    assert raised.value.exit_status == 1
    assert str(raised.value) == (
        "101 of the last 200 samples failed (media_missing 76, media_corrupt 25): more than --max-error-rate 0.5 "
        "allows. The last: data/photos/17.jpg: there is no such file. Mend the cause, then run the same command with "
        "--retry-errors; or allow more"
    )


def test_a_few_samples_say_nothing() -> None:
    rate = ErrorRate(0.0)
    for _ in range(WINDOW - 1):
        rate.note("media_missing")
    with pytest.raises(TooManyErrors, match="200 of the last 200"):
        rate.note("media_missing")


@pytest.mark.parametrize(("allowed", "failing"), [(1.0, 1), (0.5, 2), (0.1, 10)])
def test_as_many_as_are_allowed_are_borne(allowed: float, failing: int) -> None:
    rate = ErrorRate(allowed)
    for number in range(5 * WINDOW):
        rate.note("bad_row" if number % failing == 0 else None)
