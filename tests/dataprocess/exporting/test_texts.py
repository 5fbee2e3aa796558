from pathlib import Path

from tests.dataprocess.conftest import WriteLines, caption_record
from tests.dataprocess.exporting.conftest import Captions, Export


def test_members_of_tar_files_have_a_place_below_the_output(
    tmp_path: Path, captions: Captions, do_export: Export
) -> None:
    results, _ = captions
    do_export(results, "txt", "--output", tmp_path / "out")
    assert {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.txt")} == {
        *("photos/0.txt", "photos/1.txt", "photos/s/in/3.txt", "my.clips/set/a.txt", "my.clips/set/b.x.txt")
    }


def test_members_of_tar_files_have_no_place_beside_them(tmp_path: Path, captions: Captions, do_export: Export) -> None:
    outcome = do_export(captions[0], "txt", "--beside")
    assert outcome.status == 1
    assert "photos/3: lies in a tar file, beside which is no place; use --format webdataset" in outcome.said
    assert not list(tmp_path.rglob("*.txt"))


def test_nothing_is_written_beside_media_where_one_caption_is_there(
    tmp_path: Path, write_lines: WriteLines, do_export: Export
) -> None:
    records = [caption_record(number, root=str(tmp_path)) for number in (0, 1, 2)]
    records.append(caption_record(3, root=str(tmp_path), image="1.jpg"))
    write_lines(tmp_path / "filtered" / "kept.jsonl", records)
    (tmp_path / "2.txt").write_text("mine")
    outcome = do_export(tmp_path, "txt", "--beside")
    assert (outcome.status, len(list(tmp_path.glob("*.txt")))) == (1, 1)
    assert "2.txt is there already; --overwrite replaces such files (nothing is written yet)" in outcome.said
    for _ in range(2):  # the same again each time
        assert do_export(tmp_path, "txt", "--beside", "--overwrite").status == 0
        texts = {path.name: path.read_text() for path in tmp_path.glob("*.txt")}
        assert texts == {
            **{f"{number}.txt": f"caption {number}\n" for number in range(3)},
            "1.3.txt": "caption 3\n",
        }
