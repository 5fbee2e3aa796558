import json
import random
from pathlib import Path

import pytest

from MetaCaptioner.data.annotation import AnnotationFile
from MetaCaptioner.data.sample import sample_from_row
from MetaCaptioner.records.media_identity import RowMedia, mark, of_record, of_rows, of_sample
from MetaCaptioner.records.record import Told, identity, told_of
from tests.helpers import write_annotation

TAR = {"file": "a.tar", "offset": 512, "size": 3}
ROWS = [
    ({"image": "a.jpg"}, "a.jpg"),
    ({"video": "a.mp4", "task": "no domain"}, "a.mp4"),
    ({"image": "é.jpg", "id": float("nan")}, "é.jpg"),
    ({"image": "a.jpg", "tar": TAR}, "a.tar[a.jpg]"),
    ({"image": "a.jpg", "tar": TAR, "task": "no domain"}, "a.tar[a.jpg]"),
    ({"caption": "no media"}, None),
    ("no object", None),
]


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_what_rows_name(tmp_path: Path, suffix: str) -> None:
    annotation = AnnotationFile(write_annotation(tmp_path / f"set.{suffix}", [row for row, _ in ROWS]))
    media = RowMedia(annotation)
    assert [media.of(index) for index in range(len(ROWS))] == [named for _, named in ROWS]
    assert [media.of(index) for index in (None, -1, len(ROWS))] == [None, None, None]
    assert of_rows([json.dumps(row).encode() for row, _ in ROWS]) == [named for _, named in ROWS]


def test_rows_in_the_order_in_which_samples_end_are_not_read_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"image": f"{number}.jpg", "text": "x" * 100} for number in range(3000)]
    media = RowMedia(AnnotationFile(write_annotation(tmp_path / "set.json", rows)))
    read: list[int] = []
    block = media.annotation.block
    monkeypatch.setattr(media.annotation, "block", lambda index: (read.append(index), block(index))[1])
    dice = random.Random(0)
    for index in sorted(range(len(rows)), key=lambda index: index + dice.randrange(448)):
        assert media.of(index) == f"{index}.jpg"
    assert 1 < len(read) == len({media.annotation.block_begin(index) for index in range(len(rows))})


def test_a_record_is_of_what_its_row_named(tmp_path: Path) -> None:
    for index, (row, named) in enumerate(ROWS):
        sample = sample_from_row(row, "set", index, tmp_path, "image", "", ())
        told = told_of(identity(sample) | {"status": "error", "error": {"kind": "media_missing", "message": ""}})
        if sample.problem is None:
            assert of_sample(sample) == of_record(told) == named


def test_what_a_bad_row_named_is_not_known() -> None:
    error = {"kind": "bad_row", "message": ""}
    assert of_record(told_of({"sample_id": "s", "image": "a.jpg", "error": error})) is None
    assert of_record(Told("s")) is None


def test_marks_tell_media_apart() -> None:
    names = [None, "a.jpg", "b.jpg", "a.tar[a.jpg]", "é\ud800"]
    assert len({mark(name) for name in names}) == len(names)
    assert mark(None) == 0
