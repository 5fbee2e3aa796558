"""A drawing -> the questions that the pipeline asks about it, with the answers that the model should give."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demo.corrupt import answer_to, change, some_claims, some_judged
from demo.drills import Page
from demo.scene import Claim, Clip, Drawing, Kind, caption, notes
from MetaCaptioner.agents.prompts import Prompts, load_prompts
from MetaCaptioner.agents.router import Router
from MetaCaptioner.agents.workflow import Agent, fill

PROMPTS_FOLDER = Path(__file__).resolve().parents[1] / "data" / "demo" / "prompts"
TASKS = ("read", "route", "notes", "reasoning", "summary", "judge", "claims")


@dataclass(frozen=True)
class Example:
    """One question and its answer. `task` is one of `TASKS`."""

    task: str
    instruction: str
    answer: str
    sees_media: bool = True


class Teacher:
    """Asks what the pipeline asks, with the demo's prompts, and knows the answers.

    Raises:
        PromptError: a file of `data/demo/prompts` is wrong.
    """

    def __init__(self) -> None:
        self.prompts: Prompts = load_prompts(PROMPTS_FOLDER)
        self._router = Router(self.prompts)
        menus = {modality: self._router.menu(modality) for modality in ("image", "video")}
        self._route = {key: fill(self.prompts.router.prompt, {"domains": menu}) for key, menu in menus.items()}

    def route(self, kind: Kind, drawing: Drawing) -> Example:
        modality = "video" if isinstance(drawing, Clip) else "image"
        return Example("route", self._route[modality], self._router.code(kind.domain, kind.subdomain))

    def observe(self, kind: Kind, claims: tuple[Claim, ...]) -> Iterator[Example]:
        """What the domain's perception and reasoning agents are asked; reasoning is given true notes."""
        texts = {agent.name: notes(claims, agent.name) for agent in self.agents(kind)}
        for agent in self.agents(kind):
            if agent.role != "summary":
                task = "notes" if agent.role == "perception" else "reasoning"
                yield Example(task, fill(agent.prompt, texts), texts[agent.name], agent.sees_media)

    def summarize(self, rng: np.random.Generator, kind: Kind, claims: tuple[Claim, ...]) -> Example:
        """What the summary is asked. Some claims are changed, so that it learns to say what the notes say."""
        said = _disturb(rng, claims) if rng.random() < 0.6 else claims
        texts = {agent.name: notes(said, agent.name) for agent in self.agents(kind)}
        summary = self.agents(kind)[-1]
        return Example("summary", fill(summary.prompt, texts), caption(said), summary.sees_media)

    def judge(
        self, rng: np.random.Generator, kind: Kind, claims: tuple[Claim, ...], other: tuple[Claim, ...]
    ) -> Example:
        """What the judge is asked; `other` are the claims of another drawing."""
        reasoning = next(agent.name for agent in self.agents(kind) if agent.role == "reasoning")
        judged = some_judged(rng, kind, claims, other, reasoning)
        return Example("judge", fill(self.prompts.judge.prompt, {"caption": judged.caption}), judged.answer())

    def check(
        self, rng: np.random.Generator, kind: Kind, claims: tuple[Claim, ...], other: tuple[Claim, ...]
    ) -> Iterator[Example]:
        """What is asked of sentences of captions, some true and some not; `other` are the claims of another drawing."""
        for claim in some_claims(rng, kind, claims, other):
            instruction = fill(self.prompts.claims.agent.prompt, {"claim": claim.sentence()})
            yield Example("claims", instruction, answer_to(claim, claims))

    def read(self, page: Page) -> Example:
        """What nobody asks but the teacher: to read out a page."""
        return Example("read", "Read the page line by line.", "; ".join(page.lines))

    def agents(self, kind: Kind) -> tuple[Agent, ...]:
        return self.prompts.workflows[kind.domain].agents


def _disturb(rng: np.random.Generator, claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
    """The claims, a third of them with one value changed."""
    said = list(claims)
    for index, claim in enumerate(said):
        slots = [slot for slot, choices in claim.statement.choices.items() if len(choices) > 1]
        if slots and rng.random() < 1 / 3:
            taken = {other.key for other in said}
            said[index] = change(rng, claim, slots[int(rng.integers(len(slots)))], taken) or claim
    return tuple(said)
