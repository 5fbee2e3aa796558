"""What `evaluate.yaml` says: how questions are put, and how answers are judged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from MetaCaptioner.agents.prompt_schema import COMMON_FIELDS, AgentFile, check_placeholders
from MetaCaptioner.agents.workflow import Agent, Role, placeholders
from MetaCaptioner.engine.base import Constraint
from MetaCaptioner.evaluation.benchmarks import Form

GRADES = tuple(f"{tenths / 10:.1f}" for tenths in range(11))
SAME, DIFFERENT = "same", "different"
_JUDGED = ("question", "truth", "answer")
_USES: Mapping[str, tuple[str, ...]] = {
    "answer": ("captions", "question", "form"),
    "guess": ("question", "form"),
    "look": ("question", "form"),
    "describe": (),
    "grade": _JUDGED,
    "same": _JUDGED,
}
"""The placeholders that each agent's prompt has to use; there are no others, but those of all prompts."""
_LOOKING = ("look", "describe")


class EvaluateFile(BaseModel):
    """`evaluate.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    answer: AgentFile
    guess: AgentFile
    look: AgentFile
    describe: AgentFile
    grade: AgentFile
    same: AgentFile
    forms: Mapping[Form, Annotated[str, Field(pattern=r"\S")]]

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, needed in _USES.items():
            _check_agent(name, getattr(self, name), needed)
        if missing := [form for form in get_args(Form) if form not in self.forms]:
            raise ValueError(f"forms: '{missing[0]}' is missing")
        return self

    def prompts(self, opening: str) -> "EvaluationPrompts":
        """The agents; `opening` goes before the prompts of those that see the media."""
        roles: Mapping[str, Role] = {"describe": "summary", "grade": "judge", "same": "judge"}
        agents = {name: getattr(self, name).agent(opening, roles.get(name, "answer")) for name in _USES}
        choices = {"grade": GRADES, "same": (SAME, DIFFERENT)}
        held = {name: replace(agents[name], constraint=Constraint(choices=one)) for name, one in choices.items()}
        forms = {name: text.strip() for name, text in self.forms.items()}
        fields: dict[str, Any] = {**agents, **held}
        return EvaluationPrompts(**fields, forms=forms)


def _check_agent(name: str, agent: AgentFile, needed: tuple[str, ...]) -> None:
    """Refuse what an agent may not say.

    Raises:
        ValueError: that.
    """
    check_placeholders(agent, COMMON_FIELDS.union(needed), of_domain=False)
    if unused := [one for one in needed if one not in placeholders(agent.prompt)]:
        raise ValueError(f"{name}: the prompt does not use '{{{unused[0]}}}'")
    if agent.requires:
        raise ValueError(f"{name}: requires no other agents")
    if agent.sees_media != (name in _LOOKING):
        raise ValueError(f"{name}: {'must see' if name in _LOOKING else 'may not see'} the media")
    if agent.answer_schema is not None:
        raise ValueError(f"{name}: its answer is not for a 'schema' to say; leave it out")


@dataclass(frozen=True)
class EvaluationPrompts:
    """The agents that answer questions, the one that describes, the judges, and what is said of an answer's form."""

    answer: Agent
    guess: Agent
    look: Agent
    describe: Agent
    grade: Agent
    same: Agent
    forms: Mapping[Form, str]

    def agents(self) -> dict[str, Agent]:
        """All of them by name."""
        return {name: getattr(self, name) for name in _USES}

    def with_agents(self, changed: Callable[[Agent], Agent]) -> Self:
        """The same with every agent changed."""
        fields: dict[str, Any] = {name: changed(agent) for name, agent in self.agents().items()}
        return replace(self, **fields)
