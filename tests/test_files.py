from pathlib import Path

from MetaCaptioner.files import atomic_write


def test_a_file_may_have_the_longest_name_that_there_is(tmp_path: Path) -> None:
    for name in ("n" * 255, "é" * 127, "😀" * 63):
        with atomic_write(tmp_path / name, "file") as file:
            file.write(b"content")
        assert (tmp_path / name).read_bytes() == b"content"
    assert len(list(tmp_path.iterdir())) == 3
