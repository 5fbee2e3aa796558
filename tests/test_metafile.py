import json
from pathlib import Path
from typing import Any

import pytest

from MetaCaptioner.annotation import parse_row
from MetaCaptioner.domains import DOMAINS
from MetaCaptioner.errors import UserError
from MetaCaptioner.metafile import Sample, glance, read_metafile, sample_from_row

ENTRY = {"root": "/data/a", "annotation": "/data/a.json"}


PLAIN_ROWS = [
    b'{"id": 1, "image": "a.jpg", "tar": {"file": "a.tar", "offset": 512, "size": 9}}',
    b'{"id": 1, "video": "a.mp4", "tar": null}',
    b'{"id": 0, "image": "a.jpg", "width": 1024, "height": 768, "conversations": [{"from": "human", "value": "?"}]}',
    b'{"image": "a.jpg", "width": null}',
    b'  {"id": "x", "video": "a.mp4", "more": {"a": [1, {"b": "}"}]}}\r',
    '{"id": -1.5, "image": "日本.jpg", "task": "auto"}'.encode(),
    b'{"id": 123456789012345678901234567890, "image": "\\ud83d\\ude42.png", "width": 0}',
    b'{"image": "a", "image": "b.jpg", "width": 1000000000, "height": 1}',
    b'{"id": "\\u0000", "image": "a.jpg"}',
]
ODD_ROWS = [
    *PLAIN_ROWS,
    b'{"image": "a.jpg", "tar": "a.tar"}', b'{"image": "a.jpg", "tar": {"file": "a.tar", "offset": 3, "size": 1}}',
    b'{"image": "a.jpg", "tar": {"file": "s3://a.tar", "offset": 512, "size": 1}}',
    b'{"image": "a.jpg", "width": 100000000000000000000, "height": 1}',
    b'{"image": "a.jpg", "width": -3, "height": -3}',
    b"text", b"", b"[1]", b"null", b"{", b"{}", b'{"id": 1}', b'{"image": "a.jpg"} x',
    b'\xef\xbb\xbf{"image": "a.jpg"}',
    b'{"image": "a.jpg", "video": "b.mp4"}', b'{"image": "", "video": "b.mp4"}', b'{"image": null, "video": "b.mp4"}',
    b'{"image": " "}', b'{"image": 3}', b'{"image": "a\\u0000"}', b'{"image": "s3://a/b.jpg"}', b'{"image": ["a.jpg"]}',
    b'{"image": "a.jpg", "width": 12.0}', b'{"image": "a.jpg", "width": true}', b'{"image": "a.jpg", "height": "3"}',
    b'{"image": "a.jpg", "task": 3}', b'{"image": "a.jpg", "task": "medical"}',
    b'{"image": "a.jpg", "task": "none such"}',
    b'{"image": "a.jpg", "id": true}', b'{"image": "a.jpg", "id": [1]}', b'{"image": "a.jpg", "id": 1e999}',
    b'{"image": "a.jpg", "id": NaN}', b'{"image": "a.jpg", "score": NaN}', b'{"image": "a.jpg", "score": -Infinity}',
    b'{"image": "a.jpg", "text": "\\ud800"}', b'{"image": "\\ud800.jpg"}', b'{"image": "a.jpg", "text": "\xff"}',
    b'{"image": "\xed\xa0\x80.jpg"}', b'{"image": "a.jpg", "n": 012}', b'{"image": "a.jpg", "text": "\t"}',
    b'{"image": "a.jpg", "deep": ' + b"[" * 5000 + b"]" * 5000 + b"}",
]  # fmt: skip
"""Rows as they stand in files, with everything in them that a parser may see otherwise than another."""


def read(tmp_path: Path, content: object) -> tuple[dict[str, Any], list[str]]:
    path = tmp_path / "Metafile.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    datasets, problems = read_metafile(path, DOMAINS)
    return dict(datasets), problems


def sample(row: object, task: str = "Natural") -> Sample:
    return sample_from_row(row, "set", 7, Path("/root"), "image", task, DOMAINS)


def test_the_example_of_the_contract_is_read(tmp_path: Path) -> None:
    entry = {"root": "/data/ade", "annotation": "/data/ade.json", "length": 100000, "task": "Natural"}
    datasets, problems = read(tmp_path, {"ADE20K": entry | {"sample_count": 42522, "modality": "image"}})
    assert problems == []
    dataset = datasets["ADE20K"]
    assert (dataset.root, dataset.annotation) == (Path("/data/ade"), Path("/data/ade.json"))
    assert (dataset.length, dataset.sample_count) == (100000, 42522)
    assert (dataset.task, dataset.modality) == ("Natural", "image")


def test_relative_paths_are_taken_from_the_metafiles_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "Metafile.json").write_text('{"a": {"root": "pictures", "annotation": "sub/a.json"}}')
    datasets, _ = read_metafile(Path("../Metafile.json"), DOMAINS)
    assert datasets["a"].root == tmp_path / "pictures"
    assert datasets["a"].annotation == tmp_path / "sub" / "a.json"


def test_a_byte_order_mark_and_unknown_keys_are_harmless(tmp_path: Path) -> None:
    datasets, problems = read(tmp_path, "\ufeff" + json.dumps({"a": ENTRY | {"comment": "x"}}))
    assert list(datasets) == ["a"]
    assert problems == []


@pytest.mark.parametrize("task", ["", "auto", "AUTO", "natural", "Medical", "Video & Temporal"])
def test_tasks_that_are_known(tmp_path: Path, task: str) -> None:
    assert read(tmp_path, {"a": ENTRY | {"task": task}})[1] == []


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"annotation": "a.json"}, "root: Field required"),
        ({"root": "x"}, "annotation: Field required"),
        ({"root": "", "annotation": "a.json"}, "'root' is empty"),
        (ENTRY | {"root": 5}, "root: "),
        (ENTRY | {"length": "many"}, "length: "),
        (ENTRY | {"length": -1}, "length: "),
        (ENTRY | {"sample_count": -1}, "sample_count: "),
        (ENTRY | {"sample_count": 1.5}, "sample_count: "),
        (ENTRY | {"modality": "audio"}, "modality: Input should be 'image' or 'video' (got 'audio')"),
        (ENTRY | {"task": "Naturel"}, "task 'Naturel' is no domain; did you mean 'Natural'?"),
        (ENTRY | {"task": 3}, "task: "),
        ([], "valid dictionary"),
        (None, "valid dictionary"),
    ],
)
def test_a_broken_dataset_costs_one_line_that_names_it_and_leaves_the_others(
    tmp_path: Path, entry: object, complaint: str
) -> None:
    datasets, problems = read(tmp_path, {"broken one": entry, "good": ENTRY})
    assert list(datasets) == ["good"]
    [problem] = problems
    assert "\n" not in problem
    assert f"{tmp_path / 'Metafile.json'}: dataset 'broken one': " in problem
    assert complaint in problem


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"a":\n {"root": ]}}', "line 2, column 11"),
        ("", "line 1, column 1"),
        ("[]", "must be a JSON object"),
        ('["a"]', "must be a JSON object"),
        ("{}", "at least one dataset"),
    ],
)
def test_a_metafile_that_is_none_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(UserError) as raised:
        read(tmp_path, content)
    assert str(tmp_path / "Metafile.json") in str(raised.value)
    assert complaint in str(raised.value)


def test_a_missing_metafile_and_one_that_is_not_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.json: cannot be read: No such file"):
        read_metafile(tmp_path / "none.json", DOMAINS)
    (tmp_path / "bytes.json").write_bytes(b'{"\xff\xfe')
    with pytest.raises(UserError, match=r"bytes\.json: is not UTF-8 text \(byte 2\)"):
        read_metafile(tmp_path / "bytes.json", DOMAINS)


def test_a_row_becomes_a_sample() -> None:
    row = {"id": 0, "image": "sub/a.jpg", "width": 1024, "height": 768, "conversations": [{"from": "human"}]}
    made = sample(row)
    assert made.problem is None
    assert (made.sample_id, made.row_id) == ("set/7", 0)
    assert made.source.path == Path("/root/sub/a.jpg")
    assert (made.modality, made.width, made.height) == ("image", 1024, 768)
    assert (made.task, made.task_source) == ("Natural", "metafile")


def test_a_row_says_its_own_modality() -> None:
    assert sample({"video": "a.mp4"}).modality == "video"


@pytest.mark.parametrize(
    ("row_task", "dataset_task", "task", "source"),
    [
        ("medical", "Natural", "Medical & Bio-Imaging", "row"),
        (None, "ui", "UI & Interaction", "metafile"),
        ("auto", "Natural", None, "router"),
        ("", "Natural", None, "router"),
        (None, "auto", None, "router"),
        (None, "", None, "router"),
    ],
)
def test_the_rows_task_wins_and_auto_asks_the_router(
    row_task: str | None, dataset_task: str, task: str | None, source: str
) -> None:
    made = sample({"image": "a.jpg"} | ({} if row_task is None else {"task": row_task}), dataset_task)
    assert (made.task, made.task_source) == (task, source)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"id": 1}, "needs 'image' or 'video'"),
        ({"image": "a.jpg", "video": "a.mp4"}, "has both 'image' and 'video'"),
        ({"image": "a.jpg", "width": "12"}, "width: Input should be a valid integer (got '12')"),
        ({"image": "a.jpg", "height": 1.5}, "height: "),
        ({"image": 5}, "image: Input should be a valid string (got 5)"),
        ({"image": ["a.jpg"]}, "image: "),
        ({"image": "a.jpg", "task": 3}, "task: "),
        ({"image": "a.jpg", "id": [1]}, "id"),
        ({"image": "  "}, "'image' is empty"),
        ({"image": "a\0.jpg"}, "NUL"),
        (
            {"image": "https://x.org/a.jpg"},
            "'image' is an address, not a file: download it first (https://x.org/a.jpg)",
        ),
        ({"video": "s3://bucket/a.mp4"}, "'video' is an address"),
        ({"image": "a.jpg", "task": "Naturel"}, "task 'Naturel' is no domain; did you mean 'Natural'?"),
        ([1, 2], "is list, not a JSON object"),
        ("text", "is str, not a JSON object"),
        (None, "is NoneType, not a JSON object"),
        ({}, "needs 'image' or 'video'"),
    ],
)
def test_a_bad_row_says_what_is_wrong_with_it(row: object, complaint: str) -> None:
    made = sample(row)
    assert made.problem is not None
    assert made.problem.startswith("row 7: ")
    assert complaint in made.problem
    assert "\n" not in made.problem


def test_a_bad_row_keeps_what_identifies_it() -> None:
    made = sample({"id": "x9", "image": "a.jpg", "width": "12"})
    assert (made.sample_id, made.row_id, made.media_name) == ("set/7", "x9", "a.jpg")


@pytest.mark.parametrize("text", ODD_ROWS, ids=range(len(ODD_ROWS)))
def test_a_glance_sees_what_the_thorough_look_sees_or_nothing(text: bytes) -> None:
    rows, made = glance([text]), sample(parse_row(text), "auto")
    assert (rows is not None) or text not in PLAIN_ROWS
    if rows is None:
        return
    [row] = rows
    if row.task == "none such":
        assert made.problem is not None
    else:
        assert made.problem is None
        assert (made.task_source == "row") == (row.task == "medical")
        assert (row.video is not None, row.width, row.height) == (made.modality == "video", made.width, made.height)
    assert (row.image or row.video, row.id, row.tar) == (made.media_name, made.row_id, made.tar)


def test_media_in_a_tar_have_the_tar_below_the_root() -> None:
    made = sample({"image": "a.jpg", "tar": {"file": "sub/a.tar", "offset": 1024, "size": 9}})
    assert (made.source.path, made.media_name) == (Path("/root/sub/a.tar"), "a.jpg")
    assert str(made.source) == "/root/sub/a.tar[a.jpg]"


def test_a_glance_at_many_rows_sees_all_or_nothing() -> None:
    rows = glance(PLAIN_ROWS)
    assert rows is not None
    assert [[row] for row in rows] == [glance([text]) for text in PLAIN_ROWS]
    assert glance([*PLAIN_ROWS, b'{"image": "a"', *PLAIN_ROWS]) is None
