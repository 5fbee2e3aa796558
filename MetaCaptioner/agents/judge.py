"""The judge: what it is asked and answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ConfigDict, Field, ValidationError, create_model

from MetaCaptioner.agents.dimensions import MARKS, Dimension, overall
from MetaCaptioner.agents.prompts import Prompts
from MetaCaptioner.agents.workflow import Generate, ask
from MetaCaptioner.engine.base import Constraint
from MetaCaptioner.errors import ErrorKind, SampleError
from MetaCaptioner.records.record import Record
from MetaCaptioner.records.row_map import caption_hash
from MetaCaptioner.utils.json_text import from_json
from MetaCaptioner.utils.validation import first_problem

REASON_CHARACTERS = 300


@dataclass(frozen=True)
class Verdict:
    """The judge's answer: a short reason, and a mark from 1 to 5 for each dimension, of which 5 is best."""

    reason: str
    scores: Mapping[str, int]


def verdict_schema(dimensions: Sequence[Dimension]) -> dict[str, object]:
    """The JSON schema that the answer is held to. Marks are listed one by one, which every grammar backend knows."""
    marks: dict[str, object] = {one.name: {"type": "integer", "enum": [*MARKS]} for one in dimensions}
    return {
        "type": "object",
        "properties": {"reason": {"type": "string", "maxLength": REASON_CHARACTERS}, **marks},
        "required": ["reason", *marks],
        "additionalProperties": False,
    }


def parse_verdict(text: str, dimensions: Sequence[Dimension]) -> Verdict:
    """The judge's answer as a value. Line breaks and the like inside the reason, which grammars let pass, are accepted.

    Raises:
        SampleError: `bad_verdict`.
    """
    marks: dict[str, Any] = {  # by aliases, as a dimension may be called what models have of their own
        f"mark_{number}": (int, Field(alias=one.name, ge=MARKS[0], le=MARKS[-1]))
        for number, one in enumerate(dimensions)
    }
    answer = create_model("Verdict", __config__=ConfigDict(extra="forbid"), reason=(str, ...), **marks)
    try:
        given = answer.model_validate(from_json(text, strict=False)).model_dump(by_alias=True)
    except ValidationError as error:
        raise SampleError(
            ErrorKind.BAD_VERDICT, f"the judge's answer cannot be used: {first_problem(error)}"
        ) from error
    except ValueError as error:
        raise SampleError(ErrorKind.BAD_VERDICT, f"the judge's answer is no JSON: {error}") from error
    return Verdict(given.pop("reason"), given)


class Judge:
    """Marks captions with the media before it."""

    def __init__(self, prompts: Prompts) -> None:
        self._dimensions = prompts.dimensions
        schema = verdict_schema(self._dimensions)
        self._agent = replace(prompts.judge, constraint=Constraint(json_schema=schema))

    async def mark(self, texts: Mapping[str, str], generate: Generate) -> Record:
        """What a record keeps of the verdict on `texts["caption"]`: its hash, the marks, their mean and the reason.

        Raises:
            SampleError: `bad_verdict`, or as `ask`.
        """
        completion = await ask(self._agent, texts, generate)
        if completion.finish_reason == "length":
            raise SampleError(ErrorKind.BAD_VERDICT, f"the judge's answer was cut at {completion.output_tokens} tokens")
        verdict = parse_verdict(completion.text, self._dimensions)
        return {
            "caption_hash": caption_hash(texts["caption"]),
            "scores": dict(verdict.scores),
            "overall": overall(verdict.scores, self._dimensions),
            "reason": " ".join(verdict.reason.split())[:REASON_CHARACTERS],
        }
