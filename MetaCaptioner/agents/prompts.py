"""The agents of every domain, loaded from `prompts/`.

`system_prompt_map_dict[domain][agent]` is the way to read and change the shipped prompts from Python: what is changed
there before the prompts are loaded is what runs.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import TextIOWrapper
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import TypeAdapter, ValidationError

from MetaCaptioner.agents.dimensions import SHIPPED, Dimension, check_dimensions
from MetaCaptioner.agents.evaluation_prompts import EvaluateFile, EvaluationPrompts
from MetaCaptioner.agents.prompt_schema import (
    COMMON_FIELDS,
    EVERY_DOMAIN,
    RESAMPLE_FIELDS,
    AgentFile,
    DomainFile,
    EveryDomainFile,
    JudgeFile,
    PromptError,
    ResampleFile,
    SingleAgentFile,
    check_agents,
    check_placeholders,
    order_agents,
)
from MetaCaptioner.agents.refusals import LanguageFile, Refusals, refusals_of
from MetaCaptioner.agents.workflow import Agent, Workflow, placeholders, with_text
from MetaCaptioner.data.taxonomy import DOMAINS, Domain
from MetaCaptioner.engine.base import SYSTEM_MESSAGE
from MetaCaptioner.utils.options import Flag, Options, option
from MetaCaptioner.utils.safe_open import open_file, read_file
from MetaCaptioner.utils.validation import first_problem
from MetaCaptioner.utils.yaml_text import LONGEST_CHARACTERS, from_yaml

PROMPTS_FOLDER = Path(__file__).parents[1] / "prompts"
NO_DOMAINS = ("router.yaml", "judge.yaml", "resample.yaml", "refusals.yaml", "evaluate.yaml")
"""The files of a prompts folder that are of no domain."""


class PromptsOption(Options):
    """Which prompts are used."""

    heading: ClassVar[str] = "run"

    prompts_dir: Path | None = option(None, "prompt files that replace or add domains", Flag("FOLDER"))


_REFUSALS = TypeAdapter(dict[str, LanguageFile])
Part = Literal["router", "agents", "judge", "evaluation"]
"""What is asked: a sample's domain, what its agents are told, how a caption is judged, what it is worth for answers."""


@dataclass(frozen=True)
class Prompts:
    """Everything that is asked: the workflow of each domain, the router and the judge.

    `files` are those of the domains. `resample` is for `resampling`, and no part of the digest before. `dimensions`
    are what the judge marks; `notes` are for whoever asks it.
    """

    domains: tuple[Domain, ...]
    descriptions: Mapping[str, str]
    workflows: Mapping[str, Workflow]
    router: Agent
    judge: Agent
    files: Mapping[str, Path]
    resample: ResampleFile
    evaluation: EvaluationPrompts
    dimensions: tuple[Dimension, ...] = SHIPPED
    notes: tuple[str, ...] = ()

    def digest(self, parts: Collection[Part] | None = None) -> str:
        """Ten hexadecimal digits that change with any prompt or sampling setting of these parts.

        Where none are named, of all as one, which is what records have that do not name their stage.
        """
        routing = {"domains": repr(self.domains), "descriptions": dict(self.descriptions), "router": repr(self.router)}
        agents = [[repr(agent) for agent in self.workflows[domain.name].agents] for domain in self.domains]
        of_part: dict[Part, object] = {"router": routing, "agents": agents, "judge": self._judging()}
        of_all = of_part | routing  # without what earlier versions did not have
        of_part["evaluation"] = repr(self.evaluation)
        asked = of_all if parts is None else {part: of_part[part] for part in parts}
        content = json.dumps({"system": SYSTEM_MESSAGE, **asked}, sort_keys=True)  # noqa: TID251 the hash of what earlier records name must not change
        return hashlib.sha256(content.encode()).hexdigest()[:10]

    def _judging(self) -> object:
        """What is hashed of the judge; of the shipped dimensions nothing, as before there were others."""
        return repr(self.judge) if self.dimensions == SHIPPED else [repr(self.judge), repr(self.dimensions)]


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """Tell of what is wrong in a file as its error.

    Raises:
        PromptError: that, in one line.
    """
    try:
        yield
    except ValidationError as error:
        raise PromptError(f"prompt file {path}: {first_problem(error)}") from error
    except ValueError as error:
        raise PromptError(f"prompt file {path}: {error}") from error


def _read_yaml(path: Path) -> object:
    try:
        with TextIOWrapper(open_file(path), encoding="utf-8") as file:
            return from_yaml(file.read(LONGEST_CHARACTERS + 1))
    except OSError as error:
        raise PromptError(f"prompt file {path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise PromptError(f"prompt file {path}: is no valid YAML: {error}") from error


def _read_domain(path: Path) -> DomainFile | EveryDomainFile:
    content = _read_yaml(path)
    every = isinstance(content, dict) and content.get("domain") == EVERY_DOMAIN
    with _told_of(path):
        parsed = (EveryDomainFile if every else DomainFile).model_validate(content)
        check_agents(parsed.agents)
        ordered = order_agents(parsed.agents)
        built_in = any(domain.name == parsed.domain for domain in DOMAINS)
        if isinstance(parsed, DomainFile) and built_in and (parsed.subdomains or parsed.aliases or parsed.modality):
            raise ValueError("'subdomains', 'aliases' and 'modality' of the nine domains are fixed; leave them out")
    return parsed.model_copy(update={"agents": ordered})


def _read_resample(path: Path) -> ResampleFile:
    with _told_of(path):
        parsed = ResampleFile.model_validate(_read_yaml(path))
        unknown = sorted(set(placeholders(parsed.note)) - RESAMPLE_FIELDS)
        if unknown:
            raise ValueError(f"unknown placeholder '{{{unknown[0]}}}' (there are '{{caption}}' and '{{reason}}')")
    return parsed


def _read_opening(path: Path) -> str:
    """The words between the media and every instruction, in the file of that name; it may be empty.

    Being the same for all agents, they belong to the prompt's shared prefix. The engine caches that in blocks of
    tokens (vLLM: 16): without them the block in which a picture ends also holds the first words of the instruction, is
    therefore shared with nobody, and the picture has to be encoded again for its last few tokens.
    """
    try:
        opening = " ".join(read_file(path).decode().split())
        if placeholders(opening):
            raise ValueError("holds a placeholder; it must be the same for every sample")
    except (OSError, ValueError) as error:
        raise PromptError(f"prompt file {path}: {error}") from error
    return opening


def _read_router(path: Path, opening: str) -> Agent:
    with _told_of(path):
        agent = SingleAgentFile.model_validate(_read_yaml(path)).agent
        _check_single(agent, "router", "domains")
    return agent.agent(opening, "router")


def _read_judge(path: Path, opening: str) -> tuple[Agent, tuple[Dimension, ...], tuple[str, ...]]:
    """The judge, the dimensions that it marks, and what is to be said of them."""
    with _told_of(path):
        parsed = JudgeFile.model_validate(_read_yaml(path))
        check_dimensions(parsed.dimensions or ())
        _check_single(parsed.agent, "judge", "caption", "dimensions")
        listed = parsed.dimensions or ()
        asked = "dimensions" in placeholders(parsed.agent.prompt)
        if asked and not listed:
            raise ValueError("the prompt uses '{dimensions}', but no 'dimensions' are listed")
        if not asked and any(one.meaning or one.anchors for one in listed):
            raise ValueError("the prompt does not use '{dimensions}', so the judge is not told what marks mean")
        told = "\n\n".join(one.told for one in listed)
        prompt = with_text(parsed.agent.prompt, "dimensions", told) if asked else parsed.agent.prompt
        agent = parsed.agent.model_copy(update={"prompt": prompt}).agent(opening, "judge")
    if listed:
        return agent, tuple(one.dimension() for one in listed), ()
    names = [one.name for one in SHIPPED]
    if all(re.search(rf"\b{name}\b", prompt, re.IGNORECASE) for name in names):
        return agent, SHIPPED, ()
    note = f"prompt file {path}: lists no 'dimensions', so marks are for {', '.join(names)}; list what it asks for"
    return agent, SHIPPED, (note,)


def _read_evaluation(path: Path, opening: str) -> EvaluationPrompts:
    with _told_of(path):
        return EvaluateFile.model_validate(_read_yaml(path)).prompts(opening)


def _check_single(agent: AgentFile, role: str, placeholder: str, *others: str) -> None:
    """Refuse what the router and the judge may not say.

    Raises:
        ValueError: that.
    """
    check_placeholders(agent, COMMON_FIELDS | {placeholder, *others}, of_domain=False)
    if placeholder not in placeholders(agent.prompt):
        raise ValueError(f"the prompt does not use '{{{placeholder}}}'")
    if not agent.sees_media:
        raise ValueError(f"the {role} must see the media")
    if agent.answer_schema is not None:
        raise ValueError(f"the {role}'s answer is not for a 'schema' to say; leave it out")


def _read_refusals(path: Path) -> Refusals:
    with _told_of(path):
        languages = _REFUSALS.validate_python(_read_yaml(path) or {})
    return refusals_of(languages.values())


def _domain_files(folder: Path) -> tuple[dict[str, tuple[Path, DomainFile]], tuple[Path, EveryDomainFile] | None]:
    """The YAML files of `folder` that are of domains: (by domain its file and what is in it, that of every domain)."""
    found: dict[str, tuple[Path, DomainFile]] = {}
    every: tuple[Path, EveryDomainFile] | None = None
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        if path.name in NO_DOMAINS:
            continue
        parsed = _read_domain(path)
        there = every if isinstance(parsed, EveryDomainFile) else found.get(parsed.domain)
        if there is not None:
            raise PromptError(f"prompt file {path}: domain '{parsed.domain}' is in {there[0]} already")
        if isinstance(parsed, EveryDomainFile):
            every = path, parsed
        else:
            found[parsed.domain] = (path, parsed)
    return found, every


system_prompt_map_dict: dict[str, dict[str, str]] = {
    name: {agent.name: agent.prompt.strip() for agent in parsed.agents}
    for name, (_, parsed) in _domain_files(PROMPTS_FOLDER)[0].items()
}
"""Domain -> agent -> prompt, as shipped; `load_prompts` takes the shipped agents' texts from here."""


def _with_changed_prompts(path: Path, parsed: DomainFile) -> DomainFile:
    """The shipped domain with the texts that `system_prompt_map_dict` now holds, checked like a file."""
    texts = system_prompt_map_dict[parsed.domain]
    agents = tuple(agent.model_copy(update={"prompt": texts[agent.name]}) for agent in parsed.agents)
    try:
        check_agents(agents)
    except ValueError as error:
        raise PromptError(f"system_prompt_map_dict['{parsed.domain}'] ({path.name}): {error}") from error
    return parsed.model_copy(update={"agents": agents})


def _workflow(parsed: DomainFile, opening: str) -> Workflow:
    return Workflow(parsed.domain, tuple(agent.agent(opening) for agent in parsed.agents))


def _domain(parsed: DomainFile) -> Domain:
    return Domain(
        parsed.domain, parsed.subdomains or (parsed.domain,), parsed.aliases or (), modality=parsed.modality or "image"
    )


def load_prompts(prompts_dir: Path | None = None) -> Prompts:
    """The shipped prompts, with the files of `prompts_dir` in place of or beside them.

    A file there with one of the nine domains replaces it, with another domain adds it, and with the domain `*` replaces
    the agents of all that have no file there; `router.yaml`, `judge.yaml`, `resample.yaml`, `refusals.yaml`,
    `evaluate.yaml` and `opening.txt`, the words between the media and every instruction, replace the shipped ones.

    Raises:
        PromptError: a file is wrong, or a domain has no file.
    """
    files = {
        name: (path, _with_changed_prompts(path, parsed))
        for name, (path, parsed) in _domain_files(PROMPTS_FOLDER)[0].items()
    }
    if prompts_dir is not None:
        files |= _own_domain_files(prompts_dir, files)
    missing = [domain.name for domain in DOMAINS if domain.name not in files]
    if missing:
        raise PromptError(f"prompts folder {PROMPTS_FOLDER}: no file for domain '{missing[0]}'")
    domains = list(DOMAINS)
    for name, (path, parsed) in files.items():
        if all(name != domain.name for domain in DOMAINS):
            added = _domain(parsed)
            shared = next((domain for domain in domains if domain.words() & added.words()), None)
            if shared:
                word = min(shared.words() & added.words())
                raise PromptError(f"prompt file {path}: the task '{word}' also means domain '{shared.name}'")
            domains.append(added)
    opening = _read_opening(_own_or_shipped(prompts_dir, "opening.txt"))
    judge, dimensions, notes = _read_judge(_own_or_shipped(prompts_dir, "judge.yaml"), opening)
    prompts = Prompts(
        domains=tuple(domains),
        files={name: path for name, (path, _) in files.items()},
        resample=_read_resample(_own_or_shipped(prompts_dir, "resample.yaml")),
        evaluation=_read_evaluation(_own_or_shipped(prompts_dir, "evaluate.yaml"), opening),
        descriptions={name: " ".join(parsed.description.split()) for name, (_, parsed) in files.items()},
        workflows={name: _workflow(parsed, opening) for name, (_, parsed) in files.items()},
        router=_read_router(_own_or_shipped(prompts_dir, "router.yaml"), opening),
        judge=judge,
        dimensions=dimensions,
        notes=notes,
    )
    return _refusing(prompts, _read_refusals(_own_or_shipped(prompts_dir, "refusals.yaml")))


def _own_domain_files(
    prompts_dir: Path, shipped: Mapping[str, tuple[Path, DomainFile]]
) -> dict[str, tuple[Path, DomainFile]]:
    """Domain -> file, of those that a prompts folder replaces or adds."""
    if not prompts_dir.is_dir():
        raise PromptError(f"prompts folder {prompts_dir}: is not a folder")
    own, every = _domain_files(prompts_dir)
    if not own and not every and not any((prompts_dir / name).exists() for name in NO_DOMAINS):
        raise PromptError(f"prompts folder {prompts_dir}: holds no .yaml file")
    if every is None:
        return own
    path, parsed = every
    return {name: (path, parsed.of(domain)) for name, (_, domain) in shipped.items()} | own


def _own_or_shipped(prompts_dir: Path | None, name: str) -> Path:
    own = prompts_dir / name if prompts_dir else None
    return own if own and own.exists() else PROMPTS_FOLDER / name


def _with_agents(prompts: Prompts, changed: Callable[[Agent], Agent]) -> Prompts:
    """The same prompts with every agent of every domain changed; the judge and the router stay as they are."""
    workflows = {
        name: Workflow(name, tuple(changed(agent) for agent in workflow.agents))
        for name, workflow in prompts.workflows.items()
    }
    return replace(prompts, workflows=workflows)


def _refusing(prompts: Prompts, refusals: Refusals) -> Prompts:
    """The same prompts with what no answer may be; the router's is one of some codes."""
    asked = _with_agents(prompts, lambda agent: replace(agent, refusals=refusals))
    return replace(asked, judge=replace(prompts.judge, refusals=refusals))


def limit_output(prompts: Prompts, max_output_tokens: int) -> Prompts:
    """The same prompts with every agent's answer bounded by `max_output_tokens` (the judge and the router excepted)."""

    def bounded(agent: Agent) -> Agent:
        limit = min(agent.sampling.max_tokens, max_output_tokens)
        return replace(agent, sampling=replace(agent.sampling, max_tokens=limit))

    evaluation = prompts.evaluation.with_agents(lambda agent: agent if agent.role == "judge" else bounded(agent))
    return replace(_with_agents(prompts, bounded), evaluation=evaluation)


def with_one_agent(prompts: Prompts, agent: Agent) -> Prompts:
    """The same prompts with one agent in place of those of every domain."""
    return replace(prompts, workflows={name: Workflow(name, (agent,)) for name in prompts.workflows})


def resampling(prompts: Prompts) -> Prompts:
    """The same prompts for captions that were rejected: each agent is told so, and answers are drawn more freely."""
    note, least = prompts.resample.note.strip(), prompts.resample.temperature

    def told(agent: Agent) -> Agent:
        sampling = replace(agent.sampling, temperature=max(agent.sampling.temperature, least))
        return replace(agent, prompt=f"{agent.prompt}\n\n{note}" if note else agent.prompt, sampling=sampling)

    return _with_agents(prompts, told)
