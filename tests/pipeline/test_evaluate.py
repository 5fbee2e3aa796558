"""An evaluation, as a user runs it: from question files to the printed table, with real vLLM and without a model."""

import base64
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.helpers import make_clip
from tests.pipeline.commands import records, run, succeed
from tests.question_files import SHAPES, Row, shapes, write_tsv
from tests.random_model import ROOT

DEMO = ROOT / "data" / "demo"
SCRIPT = ("bash", ROOT / "script" / "run_eval.sh")
COLUMNS = ["MMMU", "MMVet", "MathVerse", "MathVista", "ChartQA", "InfoVQA", "AI2D", "VideoMME", "Mean", "Cost"]


def drawn(number: int) -> str:
    """A picture of the demo, which its model can tell something of."""
    pictures = sorted((DEMO / "natural_scenes").glob("*.*"))
    return base64.b64encode(pictures[number % len(pictures)].read_bytes()).decode()


def settings(folder: Path, files: Mapping[str, Sequence[Row]], **more: str) -> Mapping[str, str]:
    """The variables of the script, with these question files."""
    make_clip(folder / "a.mp4", 8)
    written = [write_tsv(folder / name, rows) for name, rows in files.items()]
    made = {"QUESTIONS": " ".join(map(str, written)), "OUTPUT": str(folder / "out"), "NPROC": "1"}
    return {**made, "CUDA_VISIBLE_DEVICES": "", **more}


def rows_of(said: str) -> list[list[str]]:
    """The cells of the first table in what was printed."""
    lines = said[re.search(r"^\| +\| MMMU", said, re.MULTILINE).start() :].split("\n\n")[0].splitlines()  # type: ignore[union-attr]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


QUESTIONS = sum(map(len, SHAPES.values()))


@pytest.mark.engine
def test_question_files_of_all_shapes_to_the_printed_table(tmp_path: Path) -> None:
    variables = settings(tmp_path, shapes(drawn), MODEL=str(DEMO / "model"), PICTURE="1")
    flags = ("--prompts-dir", DEMO / "prompts", "--max-model-len", "2048", "--max-output-tokens", "24")
    said = succeed([*SCRIPT, *flags], variables, timeout=550)
    head, _, *body = rows_of(said)
    assert head[1:] == COLUMNS
    assert [row[0].partition(",")[0] for row in body] == [
        *("captions", "captions of one prompt", "no caption", "the picture itself")
    ]
    assert all(re.fullmatch(r"–|\d+\.\d \(\d+\.\d–\d+\.\d\)", cell) for row in body for cell in row[1:-1])
    assert said.count("rank 0: loading ") == 1  # for captions of both kinds and all answers
    found = records(tmp_path / "out" / "answers")
    assert len(found) == 4 * QUESTIONS
    failed = Counter(record["error"]["kind"] for record in found if record["status"] != "ok")
    assert failed.keys() <= {"bad_row", "bad_source", "degenerate_output", "empty_output"}, failed
    assert (
        failed["bad_source"] < QUESTIONS / 2
    )  # most pictures have a caption, which the tiny model has not learnt to use


def test_two_ranks_two_models_and_a_second_time(tmp_path: Path) -> None:
    files = {name: SHAPES[name] for name in ("MMMU_DEV_VAL.tsv", "AI2D_TEST.tsv")}
    variables = settings(tmp_path, files, NPROC="2", MODEL="none")
    flags = ("--engine", "scripted", "--decode-threads", "2")
    first = run([*SCRIPT, *flags], variables, timeout=400)
    assert first.returncode == 0, first.stdout
    assert rows_of(first.stdout)[0][1:] == ["MMMU", "AI2D", "Mean", "Cost"]
    table = json.loads((tmp_path / "out" / "answers" / "table.json").read_text())
    assert table["open"] == 0
    found = records(tmp_path / "out" / "answers")
    assert len(found) == len({record["sample_id"] for record in found}) == 3 * sum(map(len, files.values()))
    assert all(record["status"] == "ok" for record in found)
    again = succeed([*SCRIPT, *flags], {**variables, "ANSWER_MODEL": "none"})
    assert "loading" not in again
    assert rows_of(again) == rows_of(first.stdout)


def test_the_script_says_what_it_needs(tmp_path: Path) -> None:
    done = run(SCRIPT, {"QUESTIONS": "", "OUTPUT": str(tmp_path)})
    assert done.returncode != 0
    assert "QUESTIONS: files of questions, such as MMMU_DEV_VAL.tsv" in done.stdout
    done = run(SCRIPT, {"QUESTIONS": str(tmp_path / "none.tsv"), "OUTPUT": str(tmp_path)})
    assert done.returncode != 0
    assert "none.tsv: cannot be read" in done.stdout
