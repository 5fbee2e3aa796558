import os
import subprocess
import sys
from pathlib import Path

import pytest

from MetaCaptioner.records.reader import read_records, result_files
from MetaCaptioner.records.store import RankResults
from MetaCaptioner.utils.file_pool import MOST_OPEN, PooledFile
from tests.made_records import caption_record

_MANY = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from MetaCaptioner.data.annotation import AnnotationFile
from MetaCaptioner.records.store import RankResults
folder = Path(sys.argv[1])
files = [AnnotationFile(folder / f"{number}.json") for number in range(200)]
with RankResults(folder / "out", 0, 0) as results:
    for turn in range(2):
        for number, file in enumerate(files):
            assert file.row(turn) == {"id": turn}
            record = {"sample_id": f"{number}/{turn}", "data_name": str(number), "index": turn, "status": "ok"}
            results.append(str(number), record)
"""


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_rank_of_more_files_than_a_process_may_open(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number}.json").write_text('[{"id": 0}, {"id": 1}]')
    subprocess.run([sys.executable, "-c", _MANY, str(tmp_path)], check=True)
    found = [record["sample_id"] for path, _ in result_files(tmp_path / "out") for record in read_records(path)]
    assert sorted(found) == sorted(f"{number}/{turn}" for number in range(200) for turn in range(2))


def test_few_are_open_and_each_is_read_where_it_was_asked_for(tmp_path: Path) -> None:
    before = open_files()
    files = []
    for number in range(3 * MOST_OPEN):
        (tmp_path / str(number)).write_text(f"{number}\n" + "x" * 9000 + f"\nlast {number}")
        files.append(PooledFile(tmp_path / str(number)))
    for number, file in enumerate(files):
        start = len(f"{number}\n")
        assert file.line(0) == f"{number}\n".encode()
        assert file.line(start) == b"x" * 9000 + b"\n"
        assert file.line(start + 9001) == f"last {number}".encode()
    assert open_files() <= before + MOST_OPEN
    for file in files:
        file.close()


def test_a_file_that_took_its_place_is_not_read_for_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("first")
    file = PooledFile(tmp_path / "a")
    file.close()
    (tmp_path / "b").write_text("second")
    os.replace(tmp_path / "b", tmp_path / "a")  # noqa: PTH105
    with pytest.raises(OSError, match="was replaced"):
        file.read(5, 0)


def test_results_that_are_gone_are_not_begun_anew(tmp_path: Path) -> None:
    with RankResults(tmp_path, 0, 0) as results:
        results.append("set", caption_record(0, "set"))
        others = [PooledFile(tmp_path / ".Rank0.lock") for _ in range(MOST_OPEN + 1)]
        next(tmp_path.glob("Rank0_*")).unlink()
        with pytest.raises(Exception, match="removed or replaced"):
            results.append("set", caption_record(1, "set"))
        for file in others:
            file.close()
        results._open_files.clear()
    assert not list(tmp_path.glob("Rank0_*"))
