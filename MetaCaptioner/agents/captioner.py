"""The captioner: a domain's agents on one sample, and what a record keeps of their answers."""

from collections.abc import Mapping

from MetaCaptioner.agents.claims import REWRITTEN, checked
from MetaCaptioner.agents.prompts import Prompts
from MetaCaptioner.agents.workflow import Agent, Generate, Workflow, data_of, is_earlier_text, run_workflow
from MetaCaptioner.engine.base import Completion
from MetaCaptioner.errors import UserError
from MetaCaptioner.records.record import Record


def agent_record(agent: Agent, completion: Completion) -> Record:
    """What a caption record keeps of one agent's answer.

    `data` is its value where that has to fit a schema, `model` who gave it where that is not the default.
    """
    return {
        **({"model": completion.model} if completion.model else {}),
        "text": completion.text.strip(),
        **({} if agent.schema is None else {"data": data_of(agent, completion)}),
        "finish_reason": completion.finish_reason,
        "input_tokens": completion.input_tokens,
        "cached_tokens": completion.cached_tokens,
        "output_tokens": completion.output_tokens,
        **({"reasoning": completion.reasoning} if completion.reasoning else {}),
    }


async def caption(workflow: Workflow, texts: Mapping[str, str], generate: Generate) -> Record:
    """Run a domain's agents, check what their caption claims if that is to be; what a record keeps of their answers.

    Raises:
        SampleError: an agent failed, or nothing of the caption is supported.
    """
    completions = await run_workflow(workflow, texts, generate)
    agents = {agent.name: agent_record(agent, completions[agent.name]) for agent in workflow.agents}
    summary = workflow.agents[-1]
    last, fields = completions[summary.name], {"caption": completions[summary.name].text.strip()}
    if workflow.claims is not None:
        fields, again = await checked(workflow, texts, completions, generate)
        if again is not None:
            last, agents[f"{summary.name}{REWRITTEN}"] = again, agent_record(summary, again)
    return {"caption": fields.pop("caption"), "truncated": last.finish_reason == "length", "agents": agents, **fields}


def refuse_earlier_texts(prompts: Prompts, why: str) -> None:
    """Refuse prompts that use texts of an earlier result where there are none.

    Raises:
        UserError: names the prompt file.
    """
    for name, workflow in prompts.workflows.items():
        for text, agent in workflow.uses().items():
            if is_earlier_text(text):
                raise UserError(f"prompt file {prompts.files[name]}: agent '{agent}' uses '{{{text}}}': {why}")
