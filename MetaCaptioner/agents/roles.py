"""Which of several models each agent asks.

An agent's prompt file may name one (`model: write`). One that names none asks the model that is called like its role
(perception, reasoning, summary, router, judge, claims, answer), where there is such a one, and else the default.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from MetaCaptioner.agents.prompt_schema import PromptError
from MetaCaptioner.agents.prompts import Prompts, with_agents
from MetaCaptioner.agents.workflow import Agent
from MetaCaptioner.utils.options import nearest

DEFAULT = ""
"""The model that is asked by agents that name none."""


def with_models(prompts: Prompts, names: Collection[str]) -> Prompts:
    """The same prompts with each agent's model settled, of those that have these `names`.

    Raises:
        PromptError: an agent names one that there is not; the message names the prompt file.
    """

    def settled(agent: Agent) -> Agent:
        named = agent.model or (agent.role if agent.role in names else DEFAULT)
        return agent if named == agent.model else replace(agent, model=named)

    for agent, place in _placed(prompts):
        if agent.model and agent.model not in names:
            known = f"there are {', '.join(names)}" if names else "there are none"
            raise PromptError(
                f"{place}: agent '{agent.name}' asks the model '{agent.model}', which 'models:' of no configuration "
                f"names ({known}){nearest(agent.model, names)}"
            )
    return replace(
        with_agents(prompts, settled),
        router=settled(prompts.router),
        judge=settled(prompts.judge),
        claims=replace(prompts.claims, agent=settled(prompts.claims.agent)),
        evaluation=prompts.evaluation.with_agents(settled),
    )


def _placed(prompts: Prompts) -> Iterable[tuple[Agent, str]]:
    """Every agent, and where it is written."""
    for name, workflow in prompts.workflows.items():
        for agent in workflow.agents:
            yield agent, f"prompt file {prompts.files[name]}"
    yield prompts.router, "prompt file router.yaml"
    yield prompts.judge, "prompt file judge.yaml"
    yield prompts.claims.agent, "prompt file claims.yaml"
    for agent in prompts.evaluation.agents().values():
        yield agent, "prompt file evaluate.yaml"


def looks_by_model(agents: Iterable[Agent]) -> dict[str, bool]:
    """The models that these agents ask, and whether each is shown media; the default first."""
    found: dict[str, bool] = {}
    for agent in agents:
        found[agent.model] = found.get(agent.model, False) or agent.sees_media
    return dict(sorted(found.items()))


def writer(agents: Sequence[Agent], names: Mapping[str, str]) -> str:
    """What records name as their model, where not each answer has one of its own: that of what writes the captions, or
    of whoever is asked alone. `names` are those of the models.

    Where domains have theirs written by several, all of them.
    """
    authors = [agent for agent in agents if agent.role == "summary"] or agents
    return " + ".join(dict.fromkeys(names[agent.model] for agent in authors))
