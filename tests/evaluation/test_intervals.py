import numpy as np
import pytest

from MetaCaptioner.evaluation.intervals import RESAMPLES, interval, mean_of, resampled_means


def test_an_interval_is_that_of_the_normal_approximation_and_the_same_each_time() -> None:
    marks = np.zeros(400, np.float32)
    marks[:100] = 1
    means = resampled_means(marks, "MMMU")
    assert means.shape == (RESAMPLES,)
    low, high = interval(means)
    spread = 1.96 * (0.25 * 0.75 / 400) ** 0.5  # by hand: 0.0424
    assert low == pytest.approx(0.25 - spread, abs=0.008)
    assert high == pytest.approx(0.25 + spread, abs=0.008)
    assert np.array_equal(means, resampled_means(marks, "MMMU"))
    assert not np.array_equal(means, resampled_means(marks, "AI2D"))


def test_the_mean_of_benchmarks_is_surer_than_each() -> None:
    marks = np.tile(np.array([0, 1], np.float32), 100)
    one, other = resampled_means(marks, "a"), resampled_means(marks, "b")
    (low, high), (lower, higher) = interval(mean_of([one, other])), interval(one)
    assert lower < low < 0.5 < high < higher


def test_marks_that_are_all_the_same_leave_no_doubt() -> None:
    assert interval(resampled_means(np.ones(5, np.float32), "x")) == (1.0, 1.0)
