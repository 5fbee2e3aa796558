import json
from pathlib import Path

import datasets
import pytest
from PIL import Image

from MetaCaptioner.data.question import Question, Shown, question_of
from tests.data.inputs.building import Build, Built
from tests.question_files import FOUR, SHAPES, Row, in_base64, picture, write_tsv


def questions(built: Built, metafile: Path) -> list[Question]:
    entry = built.entries[list(built.entries)[-1]]
    lines = (metafile.parent / entry["questions"]).read_text().splitlines()
    return [question_of(json.loads(line)) for line in lines]


@pytest.mark.parametrize("name", SHAPES)
def test_the_shapes_of_the_published_table(build: Build, tmp_path: Path, name: str) -> None:
    place, metafile = write_tsv(tmp_path / "in" / name, SHAPES[name]), tmp_path / "out" / "Metafile.json"
    built = build(metafile, "questions", place)
    assert built.status == 0, built.said
    found = questions(built, metafile)
    assert len(found) == len(SHAPES[name])
    names = [row.get("image") or row["video"] for row in built.rows]
    assert len(set(names)) == len(names)
    for question in found:
        assert question.problem is None
        assert [names[one.index] for one in question.shown] == [one.name for one in question.shown]
    known = {"MMMU_DEV_VAL": "MMMU", "MathVerse_MINI_Vision_Only": "MathVerse", "Video-MME": "VideoMME"}
    assert {one.benchmark for one in found} == {known.get(place.stem, place.stem.partition("_")[0])}


def test_what_the_rows_say(build: Build, tmp_path: Path) -> None:
    metafile = tmp_path / "Metafile.json"
    made = {name: write_tsv(tmp_path / name, rows) for name, rows in SHAPES.items()}

    def built(name: str) -> list[Question]:
        return questions(build(metafile, "questions", made[name]), metafile)

    first, second = built("MMMU_DEV_VAL.tsv")
    assert (first.options, first.answers, first.category) == (FOUR, ("B",), "Art")
    assert [one.index for one in first.shown] == [0, 1]
    assert second.shown == first.shown
    assert (second.question, second.options, second.answers) == ('What "is"\tthis?\nSay.', {}, ("12",))
    assert [one.shown[0].index for one in built("MathVerse_MINI_Vision_Only.tsv")] == [0, 0]
    choice, number, years = built("MathVista_MINI.tsv")
    assert (choice.options, choice.answers) == ({"A": "red", "B": "blue"}, ("blue",))
    assert (number.answer_type, number.precision, number.answers) == ("float", 1, ("1.2",))
    assert (years.answer_type, years.answers) == ("list", ("[2007, 2008]",))
    assert [one.category for one in built("ChartQA_TEST.tsv")] == ["test_human", "test_augmented"]
    assert [one.answers for one in built("InfoVQA_VAL.tsv")] == [("the king", "king"), ("40%", "40 %")]
    clips = built("Video-MME.tsv")
    assert clips[0].shown == clips[1].shown == (Shown(0, "a.mp4"),)
    assert clips[0].options == {"A": "red", "B": "blue", "C": "green", "D": "no one"}


def test_packed_pictures_are_what_the_rows_held(build: Build, tmp_path: Path) -> None:
    place = write_tsv(tmp_path / "MMVet.tsv", SHAPES["MMVet.tsv"])
    built = build(tmp_path / "out" / "Metafile.json", "questions", place)
    [row] = built.rows
    tar = (tmp_path / "out" / built.entries["MMVet"]["root"] / row["tar"]["file"]).read_bytes()
    assert tar[row["tar"]["offset"] :][: row["tar"]["size"]] == picture(3)


def test_one_split(build: Build, tmp_path: Path) -> None:
    place, metafile = write_tsv(tmp_path / "MMMU.tsv", SHAPES["MMMU_DEV_VAL.tsv"]), tmp_path / "Metafile.json"
    built = build(metafile, "questions", place)
    assert "questions of all splits are taken (validation 1, dev 1); --split takes one" in built.said
    built = build(metafile, "questions", place, "--name", "val", "--split", "validation")
    assert [one.id for one in questions(built, metafile)] == ["1"]
    built = build(metafile, "questions", place, "--name", "no", "--split", "test")
    assert "has no split 'test' (has: validation 1, dev 1)" in built.said
    assert built.status == 1


def test_a_benchmark_by_name(build: Build, tmp_path: Path) -> None:
    place, metafile = write_tsv(tmp_path / "mine.tsv", SHAPES["MMVet.tsv"]), tmp_path / "Metafile.json"
    assert {one.benchmark for one in questions(build(metafile, "questions", place), metafile)} == {"other"}
    built = build(metafile, "questions", place, "--name", "b", "--benchmark", "ChartQA")
    assert {one.benchmark for one in questions(built, metafile)} == {"ChartQA"}
    built = build(metafile, "questions", place, "--name", "c", "--benchmark", "none")
    assert built.status == 2


def write_lines(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_plain_jsonl_names_files(build: Build, tmp_path: Path) -> None:
    rows: list[Row] = [
        {"question": "What?", "image": "a/1.png", "answer": "x", "options": ["x", "y"]},
        {"question": "And?", "image": ["a/2.jpg", "a/1.png"], "answer": 3, "id": "q"},
        {"query": "None?", "answers": ["a", "b"]},
        {"question": "Out?", "image": "../x.png", "answer": "x"},
        {"question": "No answer?", "image": "a/1.png"},
        {"image": "a/1.png", "answer": "no question"},
        {"question": "Held?", "image": in_base64(1), "answer": "x"},
    ]
    metafile = tmp_path / "out" / "Metafile.json"
    built = build(metafile, "questions", write_lines(tmp_path / "mine.jsonl", rows))
    assert built.status == 0
    assert [row["image"] for row in built.rows] == ["a/1.png", "a/2.jpg"]
    assert built.entries["mine"]["root"] == str(tmp_path)
    one, two, none, out, held = questions(built, metafile)
    assert (one.options, one.shown) == ({"A": "x", "B": "y"}, (Shown(0, "a/1.png"),))
    assert (two.shown, two.answers, two.id) == ((Shown(1, "a/2.jpg"), Shown(0, "a/1.png")), ("3",), "q")
    assert (none.question, none.shown, none.answers) == ("None?", (), ("a", "b"))
    assert out.problem is not None
    assert "leads out of the root" in out.problem
    assert held.problem is not None
    assert "while rows before it name files" in held.problem
    assert "left out: 1 rows without an answer, which nothing can mark (first: 'row 4')" in built.said
    assert "left out: 1 rows without a question (first: 'row 5')" in built.said


def test_what_is_no_picture_is_named_and_counted_and_the_rest_goes_on(build: Build, tmp_path: Path) -> None:
    def row(index: int, image: object) -> Row:
        return {"index": index, "image": image, "question": f"What is {index}?", "answer": "x"}

    no_picture = "VGhpcyBpcyBubyBwaWN0dXJl" * 5
    rows = [row(0, in_base64(0)), row(1, no_picture), row(2, in_base64(2)[:-3] + "!!!"), row(3, "4"), row(4, "3")]
    rows += [row(5, "5"), row(6, "77"), row(7, "0"), row(8, "1"), row(9, "10"), row(10, "0")]
    metafile = tmp_path / "Metafile.json"
    built = build(metafile, "questions", write_tsv(tmp_path / "x.tsv", rows))
    assert built.status == 0
    assert len(built.rows) == 1
    found = {one.id: one for one in questions(built, metafile)}
    assert [number for number, one in found.items() if one.problem is None] == ["0", "7", "9", "10"]
    assert {one.shown for one in found.values() if one.problem is None} == {(Shown(0, built.rows[0]["image"]),)}
    told = {number: one.problem or "" for number, one in found.items()}
    assert "line 3 holds 90 bytes that are no picture" in told["1"]
    assert "holds base64 text that cannot be read" in told["2"]
    for number in "345":
        assert "takes its picture from a row that takes it from this one" in told[number]
    assert "takes the picture of a row that is not there: 77" in told["6"]
    assert told["8"].endswith("that are no picture")
    counted = "questions that nothing can answer, and which count as wrong:"
    assert f"2 {counted} holds bytes that are no picture (first: 'line 3')" in built.said
    assert f"3 {counted} takes its picture from a row that takes it from this one (first: 'line 5')" in built.said
    assert f"1 {counted} takes the picture of a row that is not there (first: 'line 8')" in built.said


@pytest.mark.parametrize(
    ("behind", "told"),
    [
        ("x" * 5, ""),  # within the last field: nothing can tell
        ("What\n", "cannot be read to its end: the row that begins in line 10: unexpected end of data"),
        ("4\tiVBOR", "left out: 1 rows with fewer fields than the first line (first: 'line 10')"),
    ],
)
def test_a_truncated_tsv_is_told_and_what_is_before_counts(
    build: Build, tmp_path: Path, behind: str, told: str
) -> None:
    rows = [{"index": n, "image": in_base64(n), "question": "What\nis it?", "answer": "x" * 20} for n in range(5)]
    place = write_tsv(tmp_path / "x.tsv", rows)
    text = place.read_text()
    place.write_text(text[: text.rindex(behind) + len(behind)])
    metafile = tmp_path / "Metafile.json"
    built = build(metafile, "questions", place)
    assert told in built.said
    assert built.status == int("cannot be read" in told)
    found = questions(built, metafile)
    assert [one.id for one in found[:4]] == ["0", "1", "2", "3"]
    assert all(one.shown for one in found)
    assert len(found) == (4 if told else 5)


def test_hugging_face_forms(build: Build, tmp_path: Path) -> None:
    held = [{"bytes": picture(number), "path": None} for number in range(3)]
    columns = {
        "id": ["validation_Art_1", "validation_Art_2"],
        "question": ["What is <image 1>?", "And <image 2>?"],
        "options": ["['red', 'blue']", "[]"],
        "answer": ["A", "12"],
        "image_1": [held[0], held[1]],
        "image_2": [None, held[2]],
        "subfield": ["Painting", "Music"],
    }
    features = datasets.Features(
        {name: datasets.Image() if name.startswith("image") else datasets.Value("string") for name in columns}
    )
    made = datasets.Dataset.from_dict(columns, features=features)
    made.to_parquet(tmp_path / "data" / "validation.parquet")
    metafile = tmp_path / "Metafile.json"
    built = build(metafile, "questions", tmp_path / "data" / "validation.parquet", "--benchmark", "MMMU")
    assert built.status == 0, built.said
    one, two = questions(built, metafile)
    assert (one.options, one.answers, one.category) == ({"A": "red", "B": "blue"}, ("A",), "Painting")
    assert ([one.index for one in one.shown], [one.index for one in two.shown]) == ([0], [1, 2])
    assert (two.options, two.answers) == ({}, ("12",))
    assert len(built.rows) == 3


def test_several_questions_in_a_row(build: Build, tmp_path: Path) -> None:
    """As CaptionQA has them: a picture, and a list of questions about it."""
    several = [
        {"question": "Which colour?", "choices": ["red", "blue"], "answer": "blue", "category": ["Attribute"]},
        {"question": "How many?", "choices": ["one", "two"], "answer": "one", "category": ["Count"]},
    ]
    rows: list[Row] = [{"id": "nat_001", "image": in_base64(1), "questions": several}]
    metafile = tmp_path / "out" / "Metafile.json"
    built = build(metafile, "questions", write_lines(tmp_path / "CaptionQA.jsonl", rows))
    assert len(built.rows) == 1
    one, two = questions(built, metafile)
    assert (one.id, two.id, one.shown == two.shown, one.category) == ("nat_001-0", "nat_001-1", True, "Attribute")
    assert (two.options, two.answers, two.benchmark) == ({"A": "one", "B": "two"}, ("one",), "CaptionQA")


def test_pictures_are_not_held_in_memory(build: Build, tmp_path: Path) -> None:
    """Ten thousand questions about one picture are a line each, and the picture is packed once."""
    rows = [{"index": n, "image": in_base64(1) if n % 2 else "1", "question": "?", "answer": "x"} for n in range(2000)]
    metafile = tmp_path / "Metafile.json"
    built = build(metafile, "questions", write_tsv(tmp_path / "x.tsv", rows))
    assert len(built.rows) == 1
    assert len(questions(built, metafile)) == 2000


def test_an_input_without_a_picture(build: Build, tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("index\timage\tquestion\tanswer\n1\tAAAA\tx\ty\n")
    built = build(tmp_path / "Metafile.json", "questions", tmp_path / "x.tsv")
    assert built.status == 1
    assert "no picture and no clip was found" in built.said
    built = build(tmp_path / "Metafile.json", "questions", tmp_path / "none.tsv")
    assert "cannot be read" in built.said
    Image.new("RGB", (5, 5)).save(tmp_path / "a.png")
    (tmp_path / "bad.jsonl").write_text('[1, 2]\n{"question"\n')
    built = build(tmp_path / "Metafile.json", "questions", tmp_path / "bad.jsonl")
    assert built.status == 1
