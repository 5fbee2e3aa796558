from pathlib import Path
from typing import Any

import pytest
import yaml

from MetaCaptioner.agents.changed_prompts import limit_output, with_one_agent
from MetaCaptioner.agents.evaluation_prompts import GRADES
from MetaCaptioner.agents.prompt_schema import PromptError
from MetaCaptioner.agents.prompts import PROMPTS_FOLDER, load_prompts

SHIPPED: dict[str, Any] = yaml.safe_load((PROMPTS_FOLDER / "evaluate.yaml").read_text())


def changed(agent: str, **fields: object) -> dict[str, Any]:
    return {**SHIPPED, agent: {**SHIPPED[agent], **fields}}


def test_the_shipped_prompts() -> None:
    prompts = load_prompts()
    evaluation = prompts.evaluation
    assert not any(
        agent.sees_media for agent in (evaluation.answer, evaluation.guess, evaluation.grade, evaluation.same)
    )
    assert evaluation.grade.constraint is not None
    assert evaluation.grade.constraint.choices == GRADES
    opening = prompts.judge.prompt.split("\n\n")[0]
    assert evaluation.look.prompt.startswith(opening)
    assert not evaluation.answer.prompt.startswith(opening)
    assert set(evaluation.forms) == {"choice", "word", "number", "list", "text", "sentence"}


def test_the_digest_of_earlier_stages_knows_nothing_of_them(tmp_path: Path) -> None:
    (tmp_path / "evaluate.yaml").write_text(yaml.safe_dump(changed("guess", temperature=0.5)))
    shipped, own = load_prompts(), load_prompts(tmp_path)
    assert own.digest() == shipped.digest()
    assert own.digest(("router", "agents", "judge")) == shipped.digest(("router", "agents", "judge"))
    assert own.digest(("evaluation",)) != shipped.digest(("evaluation",))


def test_a_bound_is_for_answers_and_not_for_judges() -> None:
    bounded = limit_output(load_prompts(), 5).evaluation
    assert [one.sampling.max_tokens for one in (bounded.answer, bounded.guess, bounded.look, bounded.describe)] == [
        5
    ] * 4
    assert bounded.grade.sampling.max_tokens == 8


def test_one_agent_in_place_of_all() -> None:
    prompts = load_prompts()
    alone = with_one_agent(prompts, prompts.evaluation.describe)
    assert {workflow.agents for workflow in alone.workflows.values()} == {(prompts.evaluation.describe,)}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({name: one for name, one in SHIPPED.items() if name != "same"}, "same"),
        (changed("answer", prompt="{captions} {question}"), "answer: the prompt does not use '{form}'"),
        (changed("answer", prompt="{captions} {question} {form} {truth}"), "unknown placeholder '{truth}'"),
        (changed("answer", sees_media=True), "answer: may not see the media"),
        (changed("look", sees_media=False), "look: must see the media"),
        (changed("grade", requires=["answer"]), "grade: requires no other agents"),
        (changed("same", schema={"type": "string"}), "same: its answer is not for a 'schema' to say"),
        ({**SHIPPED, "forms": {**SHIPPED["forms"], "song": "Sing."}}, "forms.song"),
        ({**SHIPPED, "forms": {"choice": "A letter."}}, "forms: 'word' is missing"),
        ({**SHIPPED, "more": 1}, "more"),
    ],
)
def test_what_a_file_may_not_say(tmp_path: Path, content: dict[str, Any], complaint: str) -> None:
    (tmp_path / "evaluate.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(PromptError) as error:
        load_prompts(tmp_path)
    assert str(tmp_path / "evaluate.yaml") in str(error.value)
    assert complaint in str(error.value)
