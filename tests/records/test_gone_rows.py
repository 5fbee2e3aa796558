from pathlib import Path

import numpy as np
import pytest

from MetaCaptioner.errors import ResultError
from MetaCaptioner.records.gone_rows import gone_rows, note_gone_rows


def test_what_is_noted_is_gone_until_it_is_noted_otherwise(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    note_gone_rows(folder, {"set": []})
    assert not folder.exists()  # nothing to note
    note_gone_rows(folder, {"set": [1, 2, 3, 70_000], "other": [0]})
    gone = gone_rows(folder)
    assert gone.have("set", np.array([0, 1, 2, 3, 4, 70_000])).tolist() == [False, True, True, True, False, True]
    assert gone.has("other", 0)
    note_gone_rows(folder, {"set": [2], "other": []})
    gone = gone_rows(folder)
    assert gone.have("set", np.arange(4)).tolist() == [False, False, True, False]
    assert not gone.has("other", 0)
    note_gone_rows(folder, {"other": range(3)})  # of the first one nothing is said
    assert gone_rows(folder).have("other", np.arange(4)).tolist() == [True, True, True, False]
    assert gone_rows(folder).has("set", 2)
    note_gone_rows(folder, {"set": []})
    assert not gone_rows(folder).has("set", 2)


def test_the_same_is_not_written_again(tmp_path: Path) -> None:
    note_gone_rows(tmp_path, {"set": [4]})
    [path] = tmp_path.iterdir()
    before = path.stat().st_mtime_ns
    note_gone_rows(tmp_path, {"set": [4]})
    assert path.stat().st_mtime_ns == before


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "gone_rows.json").write_text('{"set": [1]}')
    with pytest.raises(ResultError, match="cannot be read"):
        gone_rows(tmp_path)
