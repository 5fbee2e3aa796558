"""What a prompt file may say."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from MetaCaptioner.agents.answer_schema import check_field, check_schema
from MetaCaptioner.agents.dimensions import DimensionFile
from MetaCaptioner.agents.workflow import (
    MEDIA_FIELDS,
    SAMPLE_FIELDS,
    Agent,
    Role,
    is_earlier_text,
    not_plain,
    placeholders,
    source_of,
)
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.engine.base import Constraint, Sampling
from MetaCaptioner.errors import UserError

EVERY_DOMAIN = "*"


_IDENTIFIER = r"^[a-z][a-z0-9_]*$"
_Text = Annotated[str, Field(pattern=r"\S")]
COMMON_FIELDS = frozenset((*MEDIA_FIELDS, *SAMPLE_FIELDS))
RESAMPLE_FIELDS = frozenset(("caption", "reason"))


class PromptError(UserError):
    """A prompt file is wrong; the message names the file."""


class AgentFile(BaseModel):
    """One agent as a prompt file writes it. `schema` is the JSON Schema of its answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=_IDENTIFIER)]
    role: Literal["perception", "reasoning", "summary"] = "perception"
    prompt: _Text
    requires: tuple[str, ...] = ()
    sees_media: bool = True
    max_tokens: Annotated[int, Field(ge=1)] = 256
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.2
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    repetition_penalty: Annotated[float, Field(gt=0.0)] = 1.0
    answer_schema: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    model: str = ""

    def agent(self, opening: str, role: Role | None = None) -> Agent:
        """The agent; `opening` goes before its prompt if it sees the media."""
        prompt = self.prompt.strip()
        return Agent(
            name=self.name,
            role=role or self.role,
            prompt=f"{opening}\n\n{prompt}" if opening and self.sees_media else prompt,
            requires=self.requires,
            sees_media=self.sees_media,
            sampling=Sampling(self.max_tokens, self.temperature, self.top_p, self.repetition_penalty),
            constraint=None if self.answer_schema is None else Constraint(json_schema=self.answer_schema),
            model=self.model,
        )


class DomainFile(BaseModel):
    """A domain's prompt file. `subdomains`, `aliases` and `modality` are for domains beyond the nine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    domain: _Text
    description: _Text
    agents: Annotated[tuple[AgentFile, ...], Field(min_length=1)]
    subdomains: tuple[_Text, ...] | None = None
    aliases: tuple[_Text, ...] | None = None
    modality: Modality | None = None


class EveryDomainFile(BaseModel):
    """The agents of every domain that has no file of its own beside it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    domain: Literal["*"]
    agents: Annotated[tuple[AgentFile, ...], Field(min_length=1)]

    def of(self, shipped: DomainFile) -> DomainFile:
        """That domain with these agents."""
        return shipped.model_copy(update={"agents": self.agents})


class SingleAgentFile(BaseModel):
    """`router.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agent: AgentFile


class JudgeFile(SingleAgentFile):
    """`judge.yaml`; without dimensions they are those of the shipped one."""

    dimensions: Annotated[tuple[DimensionFile, ...], Field(min_length=1, max_length=30)] | None = None


class ClaimsFile(SingleAgentFile):
    """`claims.yaml`: what is asked of each sentence of a caption, and what is added to the summary's prompt when it is
    to write once more."""

    rewrite: _Text


class ResampleFile(BaseModel):
    """`resample.yaml`: what is added to every agent's prompt when a rejected caption is made again.

    `temperature` is the lowest that is used then; with that of the first caption the answers may be the same again. The
    note may be empty: then nothing but the temperature and the seed are others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    note: str
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.7


def order_agents(agents: Sequence[AgentFile]) -> tuple[AgentFile, ...]:
    """Agents so that each follows those it requires, the file's order kept where it is free.

    Raises:
        ValueError: a name twice or that of another text for prompts, an unknown requirement, a cycle, not exactly one
            summary, or a summary that others require.
    """
    names = [agent.name for agent in agents]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two agents are named '{name}'")
    summaries = [agent.name for agent in agents if agent.role == "summary"]
    if len(summaries) != 1:
        raise ValueError(f"needs exactly one agent with role 'summary', has {len(summaries)}")
    for agent in agents:
        if agent.role != "summary" and agent.name in COMMON_FIELDS | RESAMPLE_FIELDS:
            raise ValueError(f"an agent cannot be named '{agent.name}': '{{{agent.name}}}' is another text in prompts")
        for required in agent.requires:
            if required not in names:
                raise ValueError(f"agent '{agent.name}' requires '{required}', which is not in the file")
            if required == summaries[0]:
                raise ValueError(f"agent '{agent.name}' requires the summary, which must come last")
    ordered: list[AgentFile] = []
    waiting = sorted(agents, key=lambda agent: agent.role == "summary")
    while waiting:
        done = {agent.name for agent in ordered}
        ready = next((agent for agent in waiting if done.issuperset(agent.requires)), None)
        if ready is None:
            raise ValueError(f"agents require each other in a cycle: {', '.join(agent.name for agent in waiting)}")
        waiting.remove(ready)
        ordered.append(ready)
    return tuple(ordered)


def check_placeholders(agent: AgentFile, allowed: frozenset[str], of_domain: bool = True) -> None:
    """Raise ValueError where a prompt uses a name in braces that nothing fills."""
    try:
        used = set(placeholders(agent.prompt))
    except ValueError as error:
        raise ValueError(f"agent '{agent.name}': {error}") from error
    known = allowed.union(agent.requires, filter(is_earlier_text, used) if of_domain else ())
    if of_text := sorted(name for name in used if name not in allowed and source_of(name) in allowed):
        raise ValueError(f"agent '{agent.name}': {not_plain(of_text[0])}")
    unknown = sorted(name for name in used if source_of(name) not in known)
    if unknown:
        raise ValueError(f"agent '{agent.name}': unknown placeholder '{{{unknown[0]}}}' (is it missing in 'requires'?)")
    unused = sorted(set(agent.requires) - set(map(source_of, used)))
    if unused:
        raise ValueError(f"agent '{agent.name}' requires '{unused[0]}' but does not use '{{{unused[0]}}}'")


def check_agents(agents: Sequence[AgentFile]) -> None:
    """Refuse agents of a domain that use what nothing fills, or a field that an answer may be without; unsound schemas.

    Raises:
        ValueError: that; the message names the agent.
    """
    for agent in agents:
        check_placeholders(agent, COMMON_FIELDS)
        if agent.answer_schema is not None:
            _check_schema(agent, agent.answer_schema)
    schemas = {agent.name: agent.answer_schema for agent in agents}
    for agent in agents:
        for name in placeholders(agent.prompt):
            source, _, path = name.partition(".")
            if path and not is_earlier_text(name) and source in schemas:
                _check_field(agent.name, name, schemas[source])


def _check_schema(agent: AgentFile, schema: dict[str, Any]) -> None:
    if is_earlier_text(f"{agent.name}."):
        raise ValueError(f"an agent with a schema cannot be named '{agent.name}': '{{{agent.name}.…}}' is another text")
    try:
        check_schema(schema)
    except ValueError as error:
        raise ValueError(f"agent '{agent.name}': schema: {error}") from error


def _check_field(user: str, placeholder: str, schema: dict[str, Any] | None) -> None:
    source, *path = placeholder.split(".")
    try:
        if schema is None:
            raise ValueError(f"agent '{source}' has no schema, so its answer has no fields")
        check_field(schema, path)
    except ValueError as error:
        raise ValueError(f"agent '{user}' uses '{{{placeholder}}}': {error}") from error
