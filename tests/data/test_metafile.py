import json
from pathlib import Path
from typing import Any

import pytest

from MetaCaptioner.data.annotation import AnnotationFile, parse_row
from MetaCaptioner.data.metafile import read_metafile
from MetaCaptioner.data.sample import Sample, glance, sample_from_row
from MetaCaptioner.data.taxonomy import DOMAINS
from MetaCaptioner.errors import UserError
from tests.helpers import write_metafile

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
    b'{"id": 1, "conversations": []}', b'{"image": "a.jpg", "video": ""}', b'{"image": "", "video": "b.mp4"}',
    b'{"image": null, "video": "b.mp4"}', b'{"image": "", "video": null}', b"{}", b'{"image": "a.jpg", "images": null}',
    b'{"image": "a.jpg", "width": 1024.0, "height": 12}', b'{"image": "a.jpg", "task": null}',
]  # fmt: skip
ODD_ROWS = [
    *PLAIN_ROWS,
    b'{"image": "a.jpg", "tar": "a.tar"}', b'{"image": "a.jpg", "tar": {"file": "a.tar", "offset": 3, "size": 1}}',
    b'{"image": "a.jpg", "tar": {"file": "s3://a.tar", "offset": 512, "size": 1}}',
    b'{"image": "a.jpg", "width": 100000000000000000000, "height": 1}',
    b'{"image": "a.jpg", "width": -3, "height": -3}', b'{"image": "a.jpg", "width": -3.0, "height": 1e300}',
    b'{"image": "a.jpg", "width": NaN, "height": Infinity}', b'{"image": "a.jpg", "width": [1], "height": {}}',
    b'{"image": "a.jpg", "width": " 448 ", "height": "3e2"}', b'{"image": "a.jpg", "width": 12.5}',
    b'{"images": ["a.jpg"]}', b'{"images": "a.jpg"}', b'{"videos": ["a.mp4"]}', b'{"images": ["a.jpg", "b.jpg"]}',
    b'{"image": "a.jpg", "images": ["a.jpg"]}', b'{"image": "a.jpg", "images": ["b.jpg"]}', b'{"images": []}',
    b'{"image": ["", null, "a.jpg"]}', b'{"image": NaN, "video": "b.mp4"}', b'{"image": false}', b'{"image": {}}',
    b'{"image": {"path": "a.jpg"}}', b'{"image": ["a.jpg"], "video": ["b.mp4"]}', b'{"video": "", "images": [3]}',
    b'{"image": "file:///a/b%20c.jpg"}', b'{"image": "file://host/a.jpg"}', b'{"image": "file:/a%00.jpg"}',
    b'{"image": "a.jpg", "task": NaN}', b'{"image": "a.jpg", "id": {"a": [NaN]}}',
    b'{"image": "../a.jpg"}', b'{"image": "/a.jpg"}', b'{"video": "/root/../a.mp4"}', b'{"image": "/root/a.jpg"}',
    b'{"image": "a.jpg", "tar": {"file": "../a.tar", "offset": 512, "size": 1}}', b'{"image": "a..b/...jpg"}',
    b'{"image": "../a.jpg", "tar": {"file": "a.tar", "offset": 512, "size": 1}}',
    b"text", b"", b"[1]", b"null", b"{", b'{"id": 1}', b'{"image": "a.jpg"} x',
    b'\xef\xbb\xbf{"image": "a.jpg"}',
    b'{"image": "a.jpg", "video": "b.mp4"}',
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
        ({"root": "s3://bucket/a", "annotation": "a.json"}, "root: is an address, not a file: download it first (s3:"),
        ({"root": "file://host/a", "annotation": "a.json"}, "root: is a file of another machine, 'host'"),
        (
            {"image_root": "/", "annotation": "a.json"},
            "root: Field required; unknown key 'image_root' (do you mean 'root'?)",
        ),
        ({"root": "/", "annotations": "a.json"}, "unknown key 'annotations' (do you mean 'annotation'?)"),
        (ENTRY | {"sample_cuont": 5}, "unknown key 'sample_cuont' (do you mean 'sample_count'?)"),
        (ENTRY | {"lenght": 5, "comment": "x"}, "unknown key 'lenght' (do you mean 'length'?)"),
        (ENTRY | {"root": 5}, "root: "),
        (
            ENTRY | {"annotation": ["a.json", "b.json"]},
            "annotation: a dataset has one annotation; make a dataset of each",
        ),
        (ENTRY | {"length": "many"}, "length: "),
        (ENTRY | {"length": -1}, "length: "),
        (ENTRY | {"sample_count": -1}, "sample_count: "),
        (ENTRY | {"sample_count": 1.5}, "sample_count: "),
        (ENTRY | {"modality": "audio"}, "modality: Input should be 'image' or 'video' (got 'audio')"),
        (ENTRY | {"task": "Naturel"}, "task 'Naturel' is no domain; did you mean 'Natural'?"),
        (ENTRY | {"task": 3}, "task: "),
        ([], "must be an object such as"),
        (None, "must be an object such as"),
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
        ('{"a": {}}\n{"b": {}}', "line 2, column 1: Extra data (more than one JSON value?)"),
        (json.dumps(ENTRY), 'is one entry; put it under the name of its dataset: {"NAME": {…}}'),
        ("[" * 100_000, "cannot be read: "),
        ('{"a": ' + "9" * 5000 + "}", "cannot be read: "),
    ],
)
def test_a_metafile_that_is_none_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(UserError) as raised:
        read(tmp_path, content)
    assert str(tmp_path / "Metafile.json") in str(raised.value)
    assert complaint in str(raised.value)


def test_all_that_is_wrong_with_all_datasets_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.json").touch()
    wrong = {"root": "none", "annotation": "none.json", "task": "vqa", "length": "many", "modality": "audio"}
    datasets, problems = read(
        tmp_path,
        {"a": wrong, "b": {"annotation": "a.json", "img_root": "x"}, " ": ENTRY, "\ud800": ENTRY, "good": ENTRY},
    )
    assert list(datasets) == ["good"]
    assert len(problems) == 4
    for complaint in (
        "length: ",
        "modality: ",
        "; task 'vqa' is no domain",
        f"; root {tmp_path / 'none'} is not a folder",
        f"; annotation file {tmp_path / 'none.json'}: there is no such file",
    ):
        assert complaint in problems[0]
    assert "dataset 'b': root: Field required; unknown key 'img_root' (do you mean 'root'?)" in problems[1]
    assert "dataset ' ': the name of a dataset must be text that is not blank; root " in problems[2]


def test_null_in_an_entry_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    datasets, problems = read(tmp_path, {"a": ENTRY | {"task": None, "modality": None, "length": None, "more": None}})
    assert problems == []
    assert (datasets["a"].task, datasets["a"].modality) == ("", "image")


def test_places_of_other_systems_are_found(tmp_path: Path) -> None:
    (tmp_path / "data" / "caf\u00e9").mkdir(parents=True)
    (tmp_path / "data" / "a.json").touch()
    datasets, _ = read(tmp_path, {"a": {"root": "data\\cafe\u0301", "annotation": "data\\a.json"}})
    assert (datasets["a"].root, datasets["a"].annotation) == (tmp_path / "data/caf\u00e9", tmp_path / "data/a.json")


def test_file_addresses_are_places(tmp_path: Path) -> None:
    datasets, _ = read(tmp_path, {"a": {"root": "file:///d/x%20y", "annotation": "file://localhost/d/a.json"}})
    assert (datasets["a"].root, datasets["a"].annotation) == (Path("/d/x y"), Path("/d/a.json"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_metafile_of_windows_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "Metafile.json"
    path.write_text(json.dumps({"a": ENTRY}), encoding=encoding)
    assert list(read_metafile(path, DOMAINS)[0]) == ["a"]


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
        ({"image": "a.jpg", "video": "a.mp4"}, "has both 'image' and 'video'"),
        ({"image": 5}, "image: is int, not a file name (got 5)"),
        ({"image": [{"path": "a.jpg"}]}, "image: is dict, not a file name (got {'path': 'a.jpg'})"),
        (
            {"images": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]},
            "has 4 images; one sample is one picture: make a row of each (a.jpg, b.jpg, c.jpg …)",
        ),
        ({"image": ["a.jpg", "b.jpg"]}, "has 2 images; one sample is one picture: make a row of each (a.jpg, b.jpg)"),
        ({"images": ["a.jpg"], "videos": ["b.mp4"]}, "has both 'image' and 'video'"),
        ({"videos": ["a.mp4", "b.mp4"]}, "has 2 videos; one sample is one clip: make a row of each (a.mp4, b.mp4)"),
        ({"image": "a.jpg", "task": 3}, "task: "),
        ({"image": "a\0.jpg"}, "NUL"),
        ({"image": "file:///a%00.jpg"}, "NUL"),
        ({"image": "file://server/share/a.jpg"}, "'image' is a file of another machine, 'server': only file:///path"),
        (
            {"image": "https://x.org/a.jpg"},
            "'image' is an address, not a file: download it first (https://x.org/a.jpg)",
        ),
        ({"video": "s3://bucket/a.mp4"}, "'video' is an address"),
        ({"image": "a.jpg", "task": "Naturel"}, "task 'Naturel' is no domain; did you mean 'Natural'?"),
        ([1, 2], "is list, not a JSON object"),
        ("text", "is str, not a JSON object (Expecting value at character 0: 'text')"),
        ('{"id": 1} {"id": 2}', "is str, not a JSON object (Extra data at character 10: "),
        (None, "is NoneType, not a JSON object"),
    ],
)
def test_a_bad_row_says_what_is_wrong_with_it(row: object, complaint: str) -> None:
    made = sample(row)
    assert made.problem is not None
    assert made.problem.startswith("row 7: ")
    assert complaint in made.problem
    assert "\n" not in made.problem
    assert made.problem_kind == "bad_row"


@pytest.mark.parametrize(
    ("row", "keys"),
    [
        ({}, "no keys"),
        ({"id": 1, "conversations": []}, "'id', 'conversations'"),
        ({"image": "", "video": None, "images": [], "videos": [" "]}, "'image', 'video', 'images', 'videos'"),
        ({"image": float("nan"), "task": "vqa"}, "'image', 'task'"),
        ({"image": [None, False, {}, []]}, "'image'"),
        ({str(n): n for n in range(99)}, "'0', '1', '2', '3', '4', '5' …"),
    ],
)
def test_a_row_without_media_is_of_a_kind_of_its_own(row: object, keys: str) -> None:
    made = sample(row)
    assert made.problem == f"row 7: has neither 'image' nor 'video', so no stage can use it (it has {keys})"
    assert (made.problem_kind, made.media_name) == ("no_media", "")


@pytest.mark.parametrize(
    "row",
    [
        {"image": "a.jpg", "video": ""},
        {"image": "a.jpg", "video": None, "videos": []},
        {"image": ["a.jpg"]},
        {"images": ["a.jpg"]},
        {"images": "a.jpg"},
        {"images": ["a.jpg", "a.jpg"]},
        {"image": "a.jpg", "images": ["a.jpg", "b.jpg"], "videos": {"count": 3}},
        {"image": "a.jpg", "images": 3},
        {"image": ["", "a.jpg"], "video": float("nan")},
    ],
)
def test_one_medium_is_found_wherever_it_stands(row: object) -> None:
    made = sample(row)
    assert (made.problem, made.media_name, made.modality) == (None, "a.jpg", "image")


@pytest.mark.parametrize(
    ("side", "read"),
    [
        (448, 448), (1024.0, 1024), ("448", 448), (" 448.0 ", 448), (0, 0),
        (float("nan"), None), (float("inf"), None), ("wide", None), ("", None), (-3, None), (12.5, None),
        (10**400, None), (10**20, None), (None, None), (True, None), ([448], None), ({}, None),
    ],
)  # fmt: skip
def test_a_size_that_is_none_does_not_cost_the_row(side: object, read: int | None) -> None:
    made = sample({"image": "a.jpg", "width": side, "height": side})
    assert (made.problem, made.width, made.height) == (None, read, read)


@pytest.mark.parametrize(
    ("row_id", "kept"),
    [
        (7, 7), ("x", "x"), (1.5, 1.5), (True, True), (None, None), (float("nan"), None), (float("-inf"), None),
        ([1, "a"], '[1, "a"]'), ({"a": float("nan")}, '{"a": NaN}'),
    ],
)  # fmt: skip
def test_an_odd_id_is_kept_as_it_can_be_and_does_not_cost_the_row(row_id: object, kept: object) -> None:
    made = sample({"image": "a.jpg", "id": row_id})
    assert (made.problem, made.row_id) == (None, kept)
    assert sample({"image": 3, "id": row_id}).row_id == kept


@pytest.mark.parametrize("task", [None, float("nan")])
def test_a_task_of_null_is_none(task: object) -> None:
    assert sample({"image": "a.jpg", "task": task}).task_source == "metafile"


def test_a_file_address_is_the_file_and_stays_the_rows_own_text() -> None:
    made = sample({"image": "file:///root/a%20b.jpg"})
    assert (made.problem, made.media_name) == (None, "file:///root/a%20b.jpg")
    assert made.source.path == Path("/root/a b.jpg")


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "b/../../a.jpg", "file:///etc/a.jpg"])
def test_a_row_that_names_media_outside_the_root_is_a_problem_and_keeps_what_identifies_it(name: str) -> None:
    made = sample({"id": "x9", "image": name})
    assert made.problem == (
        f"row 7: {name} leads out of the root /root; name a root that it is below, or say --allow-outside-root"
    )
    assert (made.problem_kind, made.row_id, made.media_name) == ("media_outside_root", "x9", name)
    assert glance([json.dumps({"image": name}).encode()], Path("/root")) is None
    allowed = sample_from_row({"image": name}, "set", 7, Path("/root"), "image", "Natural", DOMAINS, True)
    assert (allowed.problem, allowed.source.allow_outside_root) == (None, True)


@pytest.mark.parametrize(
    ("name", "file"), [("a.jpg", "../a.tar"), ("a.jpg", "/a.tar"), ("../a.jpg", "a.tar"), ("/a.jpg", "a.tar")]
)
def test_so_does_one_by_its_tar_file_or_the_members_name(name: str, file: str) -> None:
    row = {"image": name, "tar": {"file": file, "offset": 512, "size": 1}}
    made = sample(row)
    assert (made.problem_kind, made.tar and made.tar.file) == ("media_outside_root", file)
    assert glance([json.dumps(row).encode()], Path("/root")) is None


def test_absolute_names_below_the_root_are_plain(tmp_path: Path) -> None:
    assert sample({"image": "/root/a.jpg"}).problem is None
    assert glance([b'{"image": "/root/a.jpg"}'], Path("/root")) is not None


def test_a_bad_row_keeps_what_identifies_it() -> None:
    made = sample({"id": "x9", "image": "a.jpg", "task": 3})
    assert (made.sample_id, made.row_id, made.media_name) == ("set/7", "x9", "a.jpg")


@pytest.mark.parametrize("text", ODD_ROWS, ids=range(len(ODD_ROWS)))
def test_a_glance_sees_what_the_thorough_look_sees_or_nothing(text: bytes) -> None:
    rows, made = glance([text], Path("/root")), sample(parse_row(text), "auto")
    assert (rows is not None) or text not in PLAIN_ROWS
    if rows is None:
        return
    [row] = rows
    if not row.media_name:
        assert made.problem_kind == "no_media"
    elif row.task == "none such":
        assert made.problem is not None
    else:
        assert made.problem is None
        assert (made.task_source == "row") == (row.task == "medical")
        assert (bool(row.video), row.width, row.height) == (made.modality == "video", made.width, made.height)
    assert (row.media_name, row.id, row.tar) == (made.media_name, made.row_id, made.tar)


def test_media_in_a_tar_have_the_tar_below_the_root() -> None:
    made = sample({"image": "a.jpg", "tar": {"file": "sub/a.tar", "offset": 1024, "size": 9}})
    assert (made.source.path, made.media_name) == (Path("/root/sub/a.tar"), "a.jpg")
    assert str(made.source) == "/root/sub/a.tar[a.jpg]"


def test_a_glance_at_many_rows_sees_all_or_nothing() -> None:
    rows = glance(PLAIN_ROWS)
    assert rows is not None
    assert [[row] for row in rows] == [glance([text]) for text in PLAIN_ROWS]
    assert glance([*PLAIN_ROWS, b'{"image": "a"', *PLAIN_ROWS]) is None


@pytest.mark.parametrize("name", ["data:image/png;base64,iVBORw0KGgo=", "/9j/" + 2000 * "4AAQ"])
def test_content_in_place_of_a_name_is_told_and_not_kept(name: str) -> None:
    made = sample({"id": 7, "image": name})
    assert "'image' is no file name but " in str(made.problem)
    assert "write it out as a file first" in str(made.problem)
    assert (made.media_name, made.row_id, len(str(made.problem)) < 300) == ("", 7, True)
    assert glance([json.dumps({"image": name}).encode()]) is None


def test_a_row_that_is_no_utf8_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes('[{"image": "café.jpg"}]'.encode("latin-1"))
    assert "is no UTF-8 text (is the file Windows text? `iconv" in str(sample(AnnotationFile(path).row(0)).problem)


def test_a_row_that_was_removed_is_told_so() -> None:
    row = {"id": 1, "removed": True, "was": {"image": "a.jpg"}}
    assert sample(row).problem == "row 7: was removed from the dataset, and keeps its place"


def test_a_folder_whose_name_is_no_text_is_told_before_anything_is_planned(tmp_path: Path) -> None:
    folder = tmp_path / "not \udcff text"
    (folder / "media").mkdir(parents=True)
    entry = {"root": "media", "annotation": "a.json", "length": 1, "task": "auto", "sample_count": 1}
    path = write_metafile(folder, photos={**entry, "modality": "image"})
    datasets, [problem] = read_metafile(path, ())
    assert datasets == {}
    assert problem.count("is no UTF-8 text, so that no plan can name it; rename it") == 2
    assert "dataset 'photos': root " in problem
