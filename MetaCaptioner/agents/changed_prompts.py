"""Prompts made of prompts: with shorter answers, with one agent for all domains, for sampling again."""

from dataclasses import replace

from MetaCaptioner.agents.prompts import Prompts, with_agents
from MetaCaptioner.agents.workflow import Agent, Workflow


def limit_output(prompts: Prompts, max_output_tokens: int) -> Prompts:
    """The same prompts with every agent's answer bounded by `max_output_tokens`.

    Those of the router, of the judge and about claims are short as they are.
    """

    def bounded(agent: Agent) -> Agent:
        limit = min(agent.sampling.max_tokens, max_output_tokens)
        return replace(agent, sampling=replace(agent.sampling, max_tokens=limit))

    evaluation = prompts.evaluation.with_agents(lambda agent: agent if agent.role == "judge" else bounded(agent))
    return replace(with_agents(prompts, bounded), evaluation=evaluation)


def with_one_agent(prompts: Prompts, agent: Agent) -> Prompts:
    """The same prompts with one agent in place of those of every domain."""
    return replace(prompts, workflows={name: Workflow(name, (agent,)) for name in prompts.workflows})


def resampling(prompts: Prompts) -> Prompts:
    """The same prompts for captions that were rejected: each agent is told so, and answers are drawn more freely."""
    note, least = prompts.resample.note.strip(), prompts.resample.temperature

    def told(agent: Agent) -> Agent:
        sampling = replace(agent.sampling, temperature=max(agent.sampling.temperature, least))
        return replace(agent, prompt=f"{agent.prompt}\n\n{note}" if note else agent.prompt, sampling=sampling)

    return with_agents(prompts, told)
