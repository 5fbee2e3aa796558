"""The judge: what it is asked and answers."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from MetaCaptioner.agents.prompts import Prompts
from MetaCaptioner.agents.workflow import Generate, ask
from MetaCaptioner.engine.base import Constraint
from MetaCaptioner.errors import ErrorKind, SampleError
from MetaCaptioner.records.record import Record
from MetaCaptioner.records.row_map import caption_hash
from MetaCaptioner.utils.json_text import from_json
from MetaCaptioner.utils.validation import first_problem

REASON_CHARACTERS = 300
Mark = Annotated[int, Field(ge=1, le=5)]


class Verdict(BaseModel):
    """The judge's answer: a short reason, then five marks from 1 to 5, of which 5 is best."""

    model_config = ConfigDict(extra="forbid")

    reason: str
    accuracy: Mark
    completeness: Mark
    hallucination: Mark
    reasoning: Mark
    fluency: Mark


DIMENSIONS = tuple(name for name in Verdict.model_fields if name != "reason")


def verdict_schema() -> dict[str, object]:
    """The JSON schema that the answer is held to. Marks are listed one by one, which every grammar backend knows."""
    marks: dict[str, object] = {name: {"type": "integer", "enum": [1, 2, 3, 4, 5]} for name in DIMENSIONS}
    return {
        "type": "object",
        "properties": {"reason": {"type": "string", "maxLength": REASON_CHARACTERS}, **marks},
        "required": ["reason", *DIMENSIONS],
        "additionalProperties": False,
    }


def parse_verdict(text: str) -> Verdict:
    """The judge's answer as a value. Line breaks and the like inside the reason, which grammars let pass, are accepted.

    Raises:
        SampleError: `bad_verdict`.
    """
    try:
        return Verdict.model_validate(from_json(text, strict=False))
    except ValidationError as error:
        raise SampleError(
            ErrorKind.BAD_VERDICT, f"the judge's answer cannot be used: {first_problem(error)}"
        ) from error
    except ValueError as error:
        raise SampleError(ErrorKind.BAD_VERDICT, f"the judge's answer is no JSON: {error}") from error


def overall(scores: dict[str, int]) -> float:
    """The mean of the five marks, to two decimals."""
    return round(sum(scores.values()) / len(scores), 2)


class Judge:
    """Marks captions with the media before it."""

    def __init__(self, prompts: Prompts) -> None:
        self._agent = replace(prompts.judge, constraint=Constraint(json_schema=verdict_schema()))

    async def mark(self, texts: Mapping[str, str], generate: Generate) -> Record:
        """What a record keeps of the verdict on `texts["caption"]`: its hash, the marks, their mean and the reason.

        Raises:
            SampleError: `bad_verdict`, or as `ask`.
        """
        completion = await ask(self._agent, texts, generate)
        if completion.finish_reason == "length":
            raise SampleError(ErrorKind.BAD_VERDICT, f"the judge's answer was cut at {completion.output_tokens} tokens")
        verdict = parse_verdict(completion.text)
        scores = {name: int(getattr(verdict, name)) for name in DIMENSIONS}
        return {
            "caption_hash": caption_hash(texts["caption"]),
            "scores": scores,
            "overall": overall(scores),
            "reason": " ".join(verdict.reason.split())[:REASON_CHARACTERS],
        }
