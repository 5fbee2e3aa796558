import itertools
from datetime import date
from pathlib import Path

import pytest
import yaml

from MetaCaptioner.utils.yaml_text import from_yaml
from tests.helpers import Runner, small_plan

NAMES = "abcdefghijkl"
BOMB = "a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in itertools.pairwise(NAMES)
)
BAD = {
    "bomb": (f"{BOMB}domain: Maps\nagents: *l\n", "line 6: it is over 1,000,000 characters long"),
    "long text repeated": (f"a: &a {'x' * 60_000}\nb: [{', '.join(['*a'] * 20)}]", "over 1,000,000 characters"),
    "deep flow": ("a: " + "[" * 100_000, "line 1: it is nested too deep"),
    "deep blocks": ("\n".join(" " * depth + "- " for depth in range(2000)), "it is nested too deep"),
    "itself": ("domain: &a [*a]", "line 1: '*a' is within what it repeats"),
    "long number": ("domain: " + "1" * 5000, "4300 digits"),
    "no date": ("domain: 2024-99-99", "month must be in 1..12"),
    "escape": ("domain: \x1b[2J", "control characters are not allowed"),
    "half a pair": ('domain: "\\ud83d"', "invalid Unicode character escape code"),
    "python": ("!!python/object/apply:os.system [true]", "could not determine a constructor"),
    "twice": ("a: 1\na: 2", "the key 'a' is there twice"),
}


@pytest.mark.parametrize(("text", "why"), BAD.values(), ids=BAD)
def test_what_is_no_sound_yaml_is_a_value_error_of_one_line(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        from_yaml(text)
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_anchors_that_people_use_are_fine() -> None:
    text = "a: &common {max_tokens: 5}\nb: *common\nc: [*common, &n text, *n]\n"
    common = {"max_tokens": 5}
    assert from_yaml(text) == {"a": common, "b": common, "c": [common, "text", "text"]}
    assert from_yaml("- " * 30 + "x")


@pytest.mark.parametrize("name", ["bomb", "deep flow", "long number"])
def test_a_hostile_prompt_file_is_one_line_before_anything_is_loaded(tmp_path: Path, run: Runner, name: str) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "maps.yaml").write_text(BAD[name][0])
    plan = small_plan(tmp_path, 1)
    outcome = run.caption(plan, tmp_path / "out", "--prompts-dir", tmp_path / "prompts", engine_opens=False)
    assert outcome.status == 1
    assert outcome.said.count("\n") == 1
    assert "maps.yaml: is no valid YAML: " in outcome.said


def test_what_other_libraries_make_of_the_loaders_of_yaml_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    constructors = yaml.CSafeLoader.yaml_constructors
    monkeypatch.setitem(constructors, "tag:yaml.org,2002:timestamp", constructors["tag:yaml.org,2002:str"])
    assert from_yaml("2024-01-02") == date(2024, 1, 2)
