import numpy as np
import pytest

from MetaCaptioner.rows import RowNumbers


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
