"""The measures give what can be counted by hand."""

import pytest

from benchmarks.metrics import FactCount, area_under_roc, calibration_error, count_facts


def test_facts_are_counted_with_strange_sentences_as_false() -> None:
    count = count_facts({("a",), ("b",)}, ["Nonsense."], {("a",), ("c",), ("d",)})
    assert count == FactCount(right=1, said=3, true=3)
    assert (count + FactCount(1, 1, 1)).precision == 0.5
    assert count.recall == pytest.approx(1 / 3)
    assert count.f1 == pytest.approx(1 / 3)
    assert FactCount().f1 == FactCount().precision == 0.0


def test_the_calibration_error_weighs_the_gap_of_each_bin() -> None:
    assert calibration_error([0.95, 0.95, 0.95, 0.95], [True, True, True, False]) == pytest.approx(0.2)
    assert calibration_error([0.95, 0.55], [True, False]) == pytest.approx((0.05 + 0.55) / 2)
    assert calibration_error([1.0, 1.0], [True, True]) == 0.0


def test_the_area_counts_ties_as_half() -> None:
    assert area_under_roc([5, 5], [1, 2]) == 1.0
    assert area_under_roc([1, 2], [5, 5]) == 0.0
    assert area_under_roc([5, 5], [5, 5]) == 0.5
    assert area_under_roc([5, 3], [3, 1]) == pytest.approx(3.5 / 4)
