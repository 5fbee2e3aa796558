import tracemalloc

import numpy as np
import pytest

from MetaCaptioner.records.row_map import RowNumbers, row_of


@pytest.mark.parametrize("dtype", [np.bool_, np.int32, np.uint64])
def test_numbers_are_kept_by_dataset_and_row(dtype: type[np.generic]) -> None:
    rows = RowNumbers(dtype)
    for index in (3, 0, 1000, 3):
        rows.set("a", index, 1)
    rows.set("b", 5, 1)
    assert [rows.get("a", index) for index in (0, 1, 3, 999, 1000, 1001, 10**9)] == [1, 0, 1, 0, 1, 0, 0]
    assert (rows.get("b", 5), rows.get("b", 0), rows.get("c", 0)) == (1, 0, 0)
    assert (rows.count("a", 0, 2000), rows.count("a", 1, 4), rows.count("b", 6, 9), rows.count("c", 0, 9)) == (
        3,
        1,
        0,
        0,
    )


def test_a_whole_hash_fits() -> None:
    rows = RowNumbers(np.uint64)
    rows.set("a", 2, 0xFFFFFFFFFFFFFFFF)
    assert f"{rows.get('a', 2):016x}" == "f" * 16


def test_the_rows_that_have_a_number_are_told_and_may_lose_it_meanwhile() -> None:
    numbers = RowNumbers(np.int32)
    for row in (("a", 7), ("b", 0), ("a", 2)):
        numbers.set(*row, 3)
    numbers.set("a", 4, 0)
    found = []
    for row in numbers.rows():
        numbers.set(*row, 0)
        found.append(row)
    assert found == [("a", 2), ("a", 7), ("b", 0)]
    assert list(numbers.rows()) == []


@pytest.mark.parametrize(
    "record", [{}, {"data_name": 3, "index": 1}, {"data_name": "a", "index": -1}, {"data_name": "a"}]
)
def test_a_record_without_a_sound_identity_is_of_no_row(record: dict[str, object]) -> None:
    assert row_of(record) is None
    assert row_of({"data_name": "a", "index": 1}) == ("a", 1)


def test_memory_does_not_grow_with_the_rows() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        numbers = RowNumbers(np.uint64)
        for index in range(0, 1000 * count, 1000):  # each on another page, or nearly so
            numbers.set("a", index, index + 1)
        assert all(numbers.get("a", index) == index + 1 for index in range(0, 1000 * count, 1000))
        assert numbers.count("a", 0, 1000 * count) == count
        assert list(numbers.rows())[-1] == ("a", 1000 * (count - 1))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(4000) < 1.5 * peak(1000)


def test_many_at_once_and_those_that_have_none() -> None:
    numbers = RowNumbers(np.bool_)
    rows = np.array([5, 40_000, 7, 10**9])
    numbers.set_all("a", rows, 1)
    assert numbers.get_all("a", np.array([5, 6, 7, 40_000, 10**9])).tolist() == [True, False, True, True, True]
    assert list(numbers.without("a", 3, 9)) == [3, 4, 6, 8]
    assert numbers.count("a", 0, 10**12) == 4
    assert not numbers.get_all("b", rows).any()


@pytest.mark.parametrize("in_memory", [True, False])
def test_numbers_of_their_own_for_many_at_once(in_memory: bool) -> None:
    numbers = RowNumbers(np.uint8, in_memory)
    rows = np.array([70_000, 3, 70_000, 5, 3 * 10**6, 70_001])
    numbers.set_all("a", rows, np.array([1, 2, 3, 4, 5, 6]))
    assert numbers.get_all("a", rows).tolist() == [3, 2, 3, 4, 5, 6]
    assert numbers.between("a", 2, 7).tolist() == [0, 2, 0, 4, 0]
    assert np.flatnonzero(numbers.between("a", 65_000, 71_000)).tolist() == [5_000, 5_001]
    assert numbers.between("a", 5, 5).tolist() == numbers.between("b", 9, 3).tolist() == []
    for row in range(0, 10**7, 16_000):  # more pages than are in memory
        numbers.set("b", row, 7)
    assert np.count_nonzero(numbers.between("b", 0, 10**7)) == len(range(0, 10**7, 16_000))
    assert numbers.get_all("a", rows).tolist() == [3, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("start", "end"), [(0, 1), (5, 5), (3, 70_000), (65_530, 65_540), (131_072, 131_073)])
def test_a_range_is_set_as_its_rows_are(start: int, end: int) -> None:
    at_once, one_by_one = RowNumbers(np.uint8), RowNumbers(np.uint8)
    for numbers in (at_once, one_by_one):
        numbers.set("set", 65_535, 7)
    at_once.set_range("set", start, end, 3)
    one_by_one.set_all("set", np.arange(start, end), 3)
    assert at_once.between("set", 0, 200_000).tolist() == one_by_one.between("set", 0, 200_000).tolist()
