from pathlib import Path

import pytest

from MetaCaptioner.agents.dimensions import SHIPPED, Dimension
from MetaCaptioner.agents.prompt_schema import PromptError
from MetaCaptioner.agents.prompts import PROMPTS_FOLDER, load_prompts
from MetaCaptioner.agents.workflow import fill
from tests.helpers import Row, write_prompts

ROOT = PROMPTS_FOLDER.parents[1]


def judge(prompt: str = "Mark {caption}. {dimensions}", **fields: object) -> Row:
    return {"agent": {"name": "judge", "prompt": prompt}, **fields}


TRUTH: Row = {
    "name": "truth",
    "weight": 3,
    "meaning": "Is it {true}?\nAll of it?\n",
    "anchors": {5: "yes,\nall of it", 1: "no"},
}


def test_dimensions_are_told_and_marked_as_they_are_listed(tmp_path: Path) -> None:
    prompts = load_prompts(write_prompts(tmp_path, judge=judge(dimensions=[TRUTH, "style"])))
    assert prompts.dimensions == (Dimension("truth", 3), Dimension("style"))
    assert prompts.judge.prompt.endswith(
        "Mark {caption}. truth: Is it {{true}}?\nAll of it?\n- 1: no\n- 5: yes,\n  all of it\n\nstyle:"
    )
    assert prompts.notes == ()


def test_braces_around_the_place_of_dimensions_are_text(tmp_path: Path) -> None:
    content = judge("Mark {caption} as {{x}}, {{dimensions}}: {{{dimensions}}}", dimensions=["truth"])
    prompt = load_prompts(write_prompts(tmp_path, judge=content)).judge.prompt
    assert fill(prompt, {"caption": "C"}).endswith("Mark C as {x}, {dimensions}: {truth:}")


def test_names_and_weights_are_part_of_what_is_asked(tmp_path: Path) -> None:
    """So marks of another judge are never taken for those of this one."""
    listed = (["a"], ["b"], ["a", "b"], [{"name": "a", "weight": 2}, "b"], None)
    made = [judge("Mark {caption}.", **({} if names is None else {"dimensions": names})) for names in listed]
    digests = [load_prompts(write_prompts(tmp_path, judge=one)).digest(["judge"]) for one in made]
    assert len(set(digests)) == len(digests)
    shipped = judge("Mark {caption}.", dimensions=[one.name for one in SHIPPED])
    assert load_prompts(write_prompts(tmp_path, judge=shipped)).digest(["judge"]) == digests[-1]
    written_out = judge("Mark {caption}.", dimensions=[{"name": "a", "weight": 1}])
    assert load_prompts(write_prompts(tmp_path, judge=written_out)).digest(["judge"]) == digests[0]


@pytest.mark.parametrize("folder", [None, ROOT / "data" / "demo" / "prompts"])
def test_what_is_shipped_marks_the_five(folder: Path | None) -> None:
    prompts = load_prompts(folder)
    assert prompts.dimensions == SHIPPED
    assert prompts.notes == ()


def test_a_judge_that_lists_none_and_asks_for_others_is_told(tmp_path: Path) -> None:
    prompts = load_prompts(write_prompts(tmp_path, judge=judge("Mark the usefulness of {caption}.")))
    assert prompts.dimensions == SHIPPED
    [note] = prompts.notes
    assert note.startswith(f"prompt file {tmp_path / 'judge.yaml'}: lists no 'dimensions', so marks are for accuracy, ")
    asks = "Mark accuracy, completeness, hallucination, reasoning and fluency of {caption}."
    assert load_prompts(write_prompts(tmp_path, judge=judge(asks))).notes == ()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (judge(dimensions=["a", "a"]), "two dimensions are named 'a'"),
        (judge(dimensions=["overall"]), "a dimension cannot be named 'overall'"),
        (judge(dimensions=["reason"]), "a dimension cannot be named 'reason'"),
        (judge(dimensions=["Big Name"]), "dimensions.0.name: "),
        (judge(dimensions=[]), "dimensions: "),
        (judge(dimensions=[{"name": "a", "weight": 0}]), "no dimension has a weight above 0"),
        (judge(dimensions=[{"name": "a", "weight": -1}]), "dimensions.0.weight: "),
        (judge(dimensions=[{"name": "a", "weight": float("inf")}]), "dimensions.0.weight: "),
        (judge(dimensions=[{"name": "a", "anchors": {6: "x"}}]), "dimensions.0.anchors."),
        (judge(dimensions=[{"name": "a", "about": "x"}]), "dimensions.0.about: Extra inputs are not permitted"),
        (judge(dimensions=[3]), "dimensions.0: "),
        (
            judge("Mark {caption}.", dimensions=[TRUTH]),
            "the prompt does not use '{dimensions}', so",
        ),
        (judge(), "the prompt uses '{dimensions}', but no 'dimensions' are listed"),
    ],
)
def test_a_wrong_list_is_one_line_that_names_the_file(tmp_path: Path, content: Row, complaint: str) -> None:
    with pytest.raises(PromptError) as raised:
        load_prompts(write_prompts(tmp_path, judge=content))
    assert str(raised.value).startswith(f"prompt file {tmp_path / 'judge.yaml'}: ")
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)
