"""The last step of a caption's workflow: the model is asked of each sentence whether the media support it.

Each is a question of its own, with the media before it, that is answered by one of three words; what they begin with
tells the probabilities, whatever the model's tokenizer. Source of the method: P(True) of Kadavath et al., "Language
Models (Mostly) Know What They Know" (2022), where a model is asked of a proposed answer whether it is right.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from MetaCaptioner.agents import blocks
from MetaCaptioner.agents.answers import field_texts
from MetaCaptioner.agents.prompts import Prompts
from MetaCaptioner.agents.workflow import (
    ClaimCheck,
    ClaimsMode,
    Generate,
    Workflow,
    all_of,
    ask,
    data_of,
    with_text,
)
from MetaCaptioner.engine.base import Completion, Constraint
from MetaCaptioner.errors import ErrorKind, SampleError, UserError
from MetaCaptioner.records.claims import ANSWERS, CONTRADICTED, SUPPORTED, is_doubtful, told_claim
from MetaCaptioner.records.record import Record

REWRITTEN = "@claims"
"""Added to the name of a summary for its second answer."""


def checking_claims(prompts: Prompts, mode: ClaimsMode) -> Prompts:
    """The same prompts with every domain's caption checked.

    Raises:
        UserError: a summary answers with a value, which has no sentences; it names the file.
    """
    agent = replace(prompts.claims.agent, constraint=Constraint(choices=ANSWERS))
    check = ClaimCheck(mode, agent, prompts.claims.note if mode == "rewrite" else "")
    for name, workflow in prompts.workflows.items():
        if (summary := workflow.agents[-1]).schema is not None:
            raise UserError(
                f"prompt file {prompts.files[name]}: --claims is for texts, and agent '{summary.name}' has a schema"
            )
    return replace(prompts, workflows={name: replace(one, claims=check) for name, one in prompts.workflows.items()})


async def ask_claims(check: ClaimCheck, caption: str, texts: Mapping[str, str], generate: Generate) -> list[Record]:
    """The claims of a caption with their answers, in order, as a record keeps them.

    All are asked at the same time. What ends one of these questions costs its answer, not the caption.
    """
    texts = {**texts, "caption": caption}

    async def one(number: int, claim: str) -> Record:
        agent = replace(check.agent, name=f"{check.agent.name}@{number}")
        try:
            return {"text": claim, **_answer(await ask(agent, {**texts, "claim": claim}, generate))}
        except SampleError as error:
            return {"text": claim, "error": {"kind": error.kind.value, "message": error.message[:300]}}

    claims = enumerate(blocks.claims_of(blocks.split(caption)), start=1)
    return await all_of([asyncio.create_task(one(number, claim)) for number, claim in claims])


def _answer(completion: Completion) -> Record:
    """The likeliest answer, and the probabilities where they are told.

    Raises:
        SampleError: `bad_answer`, it is none of the choices.
    """
    answer = completion.text.strip()
    if answer not in ANSWERS:
        raise SampleError(ErrorKind.BAD_ANSWER, f"the answer '{answer[:40]}' is none of {', '.join(ANSWERS)}")
    shares = completion.shares({choice: (choice,) for choice in ANSWERS})
    if not shares:
        return {"answer": answer}
    likeliest = max(ANSWERS, key=lambda choice: (shares[choice], choice == answer))
    return {"answer": likeliest, **{name: round(shares[name], 4) for name in (SUPPORTED, CONTRADICTED)}}


async def checked(
    workflow: Workflow, texts: Mapping[str, str], completions: Mapping[str, Completion], generate: Generate
) -> tuple[Record, Completion | None]:
    """What the check makes of a workflow's caption.

    Returns:
        The fields of its record that tell of it, the caption among them; the answer of the summary where that was asked
        once more.

    Raises:
        SampleError: `unsupported`, nothing of the caption is left; or the summary failed as it was asked once more.
    """
    assert workflow.claims is not None
    caption = completions[workflow.agents[-1].name].text.strip()
    claims = await ask_claims(workflow.claims, caption, texts, generate)
    doubtful = [claim for claim in claims if is_doubtful(claim)]
    if workflow.claims.mode == "check" or not doubtful:
        return {"caption": caption, "claims": claims}, None
    if workflow.claims.mode == "drop":
        return _dropped(caption, claims), None
    notes = {"caption": caption, "claims": "\n".join(f"- {told_claim(claim)}" for claim in doubtful)}
    again = await _rewritten(workflow, {**texts, **_findings(workflow, completions)}, notes, generate)
    new = again.text.strip()
    return {
        "caption": new,
        "claims": await ask_claims(workflow.claims, new, texts, generate),
        "claims_before": claims,
    }, again


def _dropped(caption: str, claims: Sequence[Record]) -> Record:
    """The caption without what is doubtful, and its claims with a word on each that was dropped."""
    left = without_doubtful(caption, claims)
    if not left:
        raise SampleError(
            ErrorKind.UNSUPPORTED, f"none of the {len(claims)} sentences of the caption is supported: {caption[:200]!r}"
        )
    marked = [{**claim, "dropped": True} if is_doubtful(claim) else claim for claim in claims]
    return {"caption": left, "claims": marked}


def without_doubtful(caption: str, claims: Sequence[Record]) -> str:
    """A caption without what is doubtful of its claims, which are all of them in order; empty if nothing is left."""
    return blocks.without(blocks.split(caption), [not is_doubtful(claim) for claim in claims]).strip()


def _findings(workflow: Workflow, completions: Mapping[str, Completion]) -> dict[str, str]:
    """The texts of the agents that the summary requires, as its prompt takes them."""
    texts: dict[str, str] = {}
    for agent in workflow.agents[:-1]:
        answer = completions[agent.name]
        texts |= {agent.name: answer.text.strip(), **field_texts(agent.name, data_of(agent, answer))}
    return texts


async def _rewritten(
    workflow: Workflow, texts: Mapping[str, str], notes: Mapping[str, str], generate: Generate
) -> Completion:
    """The answer of the summary when it is told what is doubtful. What it costs is a cost of the claims."""
    assert workflow.claims is not None
    summary, note = workflow.agents[-1], workflow.claims.note
    for name, text in notes.items():
        note = with_text(note, name, text)
    prompt = f"{summary.prompt}\n\n{note}"
    return await ask(replace(summary, name=f"{summary.name}{REWRITTEN}", role="claims", prompt=prompt), texts, generate)
