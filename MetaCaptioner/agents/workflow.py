"""Agents and workflows: a small graph of agents, run on one sample.

An agent sees `(sample, media, generate)` and nothing else: no ranks, no files, no engine.
"""

import asyncio
import string
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from MetaCaptioner.agents.answer_schema import Schema
from MetaCaptioner.agents.answers import field_texts, parse_answer, strings_in
from MetaCaptioner.agents.refusals import Refusals
from MetaCaptioner.agents.repetition import is_loop
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.engine.base import Completion, Constraint, Sampling
from MetaCaptioner.errors import ErrorKind, SampleError
from MetaCaptioner.media.loader import Media
from MetaCaptioner.utils.text import whole

Role = Literal["perception", "reasoning", "summary", "router", "judge", "claims", "answer"]

# Texts that every prompt may use beside those of the required agents.
MEDIA_FIELDS = ("duration", "frame_count", "frame_times")
SAMPLE_FIELDS = ("subdomain",)

# Texts of an earlier result, which only a second pass has: the caption, and the answer of any of its agents.
_EARLIER_CAPTION = "caption"
_EARLIER_AGENT = "agents."


@dataclass(frozen=True)
class Agent:
    """One question about a sample.

    `requires` names the agents whose texts fill the placeholders of `prompt`; `sees_media` says whether the picture or
    clip goes before it. `refusals` are what an answer may not be; they are no part of what is asked. `model` is the
    name by which a configuration has the one that is asked; empty for the default.
    """

    name: str
    role: Role
    prompt: str
    requires: tuple[str, ...] = ()
    sees_media: bool = True
    sampling: Sampling = Sampling()
    constraint: Constraint | None = None
    refusals: Refusals = field(default=Refusals(), repr=False)
    model: str = field(default="", repr=False)

    @property
    def schema(self) -> Schema | None:
        """What the answer has to fit, if it is a value and no text."""
        return self.constraint.json_schema if self.constraint else None


Answer = TypeVar("Answer")
Generate = Callable[[Agent, str], Awaitable[Completion]]
"""Ask the engine: (agent, instruction) -> completion. Bound to one sample and its media by the rank loop."""


ClaimsMode = Literal["check", "drop", "rewrite"]


@dataclass(frozen=True)
class ClaimCheck:
    """How the sentences of a caption are checked, and what becomes of the caption: they are only marked, those that are
    not supported are dropped, or the summary is asked once more with `note` (of that alone it says anything)."""

    mode: ClaimsMode
    agent: Agent
    note: str = ""


@dataclass(frozen=True)
class Workflow:
    """The agents of one domain, each after those it requires; the last is the summary. What that says is checked by
    `claims`, if it is to be."""

    domain: str
    agents: tuple[Agent, ...]
    claims: ClaimCheck | None = None

    def asked(self) -> tuple[Agent, ...]:
        """All who are asked, whoever holds the caption against the media as well."""
        return self.agents if self.claims is None else (*self.agents, self.claims.agent)

    def uses(self) -> dict[str, str]:
        """The texts that its prompts take from elsewhere than its own agents -> the first agent that takes them."""
        used: dict[str, str] = {}
        for agent in self.agents:
            for name in placeholders(agent.prompt):
                if source_of(name) not in agent.requires:
                    used.setdefault(name, agent.name)
        return used

    def looks(self) -> bool:
        """Whether anything of it depends on the media themselves."""
        if self.claims is not None or any(agent.sees_media for agent in self.agents):
            return True
        return not self.uses().keys().isdisjoint(MEDIA_FIELDS)


def is_earlier_text(name: str) -> bool:
    """Whether a placeholder is for a text of an earlier result."""
    return name == _EARLIER_CAPTION or name.startswith(_EARLIER_AGENT)


def source_of(placeholder: str) -> str:
    """What fills a placeholder: the agent of `{agent.field}`, a text of an earlier result, or the text of that name."""
    return placeholder if is_earlier_text(placeholder) else placeholder.partition(".")[0]


def earlier_texts(caption: object, agents: object) -> dict[str, str]:
    """The texts of an earlier result for prompts, by placeholder, from its fields of these names."""
    texts = {_EARLIER_CAPTION: caption} if isinstance(caption, str) else {}
    for name, answer in agents.items() if isinstance(agents, dict) else ():
        if isinstance(answer, dict) and isinstance(answer.get("text"), str):
            texts[f"{_EARLIER_AGENT}{name}"] = answer["text"]
            texts |= field_texts(f"{_EARLIER_AGENT}{name}", answer.get("data"))
    return texts


def placeholders(prompt: str) -> list[str]:
    """The names in braces in `prompt`.

    Raises:
        ValueError: a brace is not closed, or a placeholder is more than plain names with dots between them.
    """
    names = []
    for _, name, specification, conversion in string.Formatter().parse(prompt):
        if name is None:
            continue
        if not all(map(str.isidentifier, name.split("."))) or specification or conversion:
            raise ValueError(not_plain(name))
        names.append(name)
    return names


def not_plain(name: str) -> str:
    """What is wrong with a placeholder that is none."""
    return f"'{{{name}}}' is no plain placeholder (double the braces of LaTeX or code)"


def fill(prompt: str, texts: Mapping[str, str]) -> str:
    """`prompt` with its placeholders replaced; what is filled in is not looked through again.

    No tokenizer takes half of a pair of surrogates, which a caption of elsewhere may have.
    """
    parts = string.Formatter().parse(prompt)
    return whole("".join(literal + (texts[name] if name is not None else "") for literal, name, _, _ in parts))


def with_text(prompt: str, name: str, text: str) -> str:
    """`prompt` with one of its placeholders replaced for good: a prompt with the others, in which `text` is text."""
    parts = string.Formatter().parse(prompt)
    return "".join(
        _literal(before) + (_literal(text) if found == name else "" if found is None else f"{{{found}}}")
        for before, found, _, _ in parts
    )


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def check_completion(agent: Agent, completion: Completion) -> None:
    """Refuse an answer that would be stored as an empty or looping success, or that refuses itself.

    Raises:
        SampleError: `empty_output`, `degenerate_output` or `refused`.
    """
    text = completion.text.strip()
    if completion.finish_reason == "repetition":
        raise SampleError(
            ErrorKind.DEGENERATE_OUTPUT, f"agent '{agent.name}' repeats itself without end: …{text[-80:]!r}"
        )
    if not text:
        raise SampleError(ErrorKind.EMPTY_OUTPUT, f"agent '{agent.name}' answered nothing ({_spent(completion)})")
    if agent.constraint is None and is_loop(text, completion.finish_reason == "length"):
        raise SampleError(ErrorKind.DEGENERATE_OUTPUT, f"agent '{agent.name}' repeats itself: …{text[-80:]!r}")
    said = strings_in(text) if agent.schema is not None else []
    if agent.refusals.is_one(text) or (said and all(map(agent.refusals.is_one, said))):
        raise SampleError(ErrorKind.REFUSED, f"agent '{agent.name}' refused: {text[:200]!r}")


def data_of(agent: Agent, completion: Completion) -> object:
    """The value of an answer that has to fit a schema; None for others, which are texts.

    Raises:
        SampleError: `bad_answer`, it does not fit, or `degenerate_output`, a string in it loops.
    """
    if agent.schema is None:
        return None
    cut_at = completion.output_tokens if completion.finish_reason == "length" else None
    data = parse_answer(agent.name, completion.text, agent.schema, cut_at)
    if looping := next(filter(is_loop, strings_in(completion.text)), None):
        raise SampleError(ErrorKind.DEGENERATE_OUTPUT, f"agent '{agent.name}' repeats itself: …{looping[-80:]!r}")
    return data


def _spent(completion: Completion) -> str:
    """How an answer without words ended: a model that reasons may spend all that it is given before it begins one."""
    return f"{completion.finish_reason} after {completion.output_tokens} tokens"


async def ask(agent: Agent, texts: Mapping[str, str], generate: Generate) -> Completion:
    """Run one agent with its placeholders filled from `texts` and check its answer.

    Raises:
        SampleError: the answer is empty, loops or refuses, or the prompt does not fit the model.
    """
    completion = await generate(agent, fill(agent.prompt, texts))
    check_completion(agent, completion)
    return completion


def base_texts(sample: Sample, media: Media, subdomain: str | None) -> dict[str, str]:
    """The texts that every prompt may use, before any agent has spoken."""
    texts = dict.fromkeys(SAMPLE_FIELDS, "not known")
    if subdomain:
        texts["subdomain"] = subdomain
    return {**texts, **media.describe(), **sample.fields}


async def run_workflow(workflow: Workflow, texts: Mapping[str, str], generate: Generate) -> dict[str, Completion]:
    """Run every agent as soon as those it requires have answered.

    Returns:
        The completions by agent, in the order of `workflow.agents`.

    Raises:
        SampleError: the first agent that failed; the others are cancelled.
    """
    tasks: dict[str, asyncio.Task[Completion]] = {}
    fields: dict[str, dict[str, str]] = {}

    async def run_agent(agent: Agent) -> Completion:
        found: dict[str, str] = {}
        for name in agent.requires:
            found |= {name: (await tasks[name]).text.strip()} | fields[name]
        completion = await ask(agent, {**texts, **found}, generate)
        fields[agent.name] = field_texts(agent.name, data_of(agent, completion))
        return completion

    for agent in workflow.agents:
        tasks[agent.name] = asyncio.create_task(run_agent(agent))
    return dict(zip(tasks, await all_of(tasks.values()), strict=True))


async def all_of(tasks: Collection[asyncio.Task[Answer]]) -> list[Answer]:
    """What all of some tasks return; with the first that fails, which is raised, or with this one all end."""
    try:
        return await asyncio.gather(*tasks)
    finally:
        unfinished = [task for task in tasks if not task.done()]
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
