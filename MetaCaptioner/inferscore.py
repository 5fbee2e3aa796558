"""Stage: score. A judge looks at the media and its caption and marks five dimensions.

python -m MetaCaptioner.inferscore --data-folder Output/Caption --model M
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from MetaCaptioner.engine import Constraint
from MetaCaptioner.errors import SampleError
from MetaCaptioner.media import Media
from MetaCaptioner.metafile import Sample, first_problem
from MetaCaptioner.Prompt import Prompts
from MetaCaptioner.rank_loop import RunSample
from MetaCaptioner.results import Record
from MetaCaptioner.stage import Stage, add_caption_arguments, open_caption_work, run_stage
from MetaCaptioner.supervise import run_supervised
from MetaCaptioner.work import caption_hash
from MetaCaptioner.workflow import Generate, ask, base_texts

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
        return Verdict.model_validate(json.loads(text, strict=False))
    except ValidationError as error:
        raise SampleError("bad_verdict", f"the judge's answer cannot be used: {first_problem(error)}") from error
    except ValueError as error:
        raise SampleError("bad_verdict", f"the judge's answer is no JSON: {error}") from error


def overall(scores: dict[str, int]) -> float:
    """The mean of the five marks, to two decimals."""
    return round(sum(scores.values()) / len(scores), 2)


def run_sample(prompts: Prompts) -> RunSample:
    """The score stage: one agent that is given the caption."""
    judge = replace(prompts.judge, constraint=Constraint(json_schema=verdict_schema()))

    async def run(sample: Sample, media: Media, generate: Generate) -> Record:
        completion = await ask(judge, base_texts(sample, media, None), generate)
        if completion.finish_reason == "length":
            raise SampleError("bad_verdict", f"the judge's answer was cut at {completion.output_tokens} tokens")
        verdict = parse_verdict(completion.text)
        scores = {name: int(getattr(verdict, name)) for name in DIMENSIONS}
        return {
            "caption_hash": caption_hash(sample.fields["caption"]),
            "scores": scores,
            "overall": overall(scores),
            "reason": " ".join(verdict.reason.split())[:REASON_CHARACTERS],
        }

    return run


STAGE = Stage("inferscore", run_sample, add_caption_arguments, open_caption_work)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run this process's rank of the stage; returns the exit status."""
    return run_stage(STAGE, arguments)


if __name__ == "__main__":
    run_supervised(main)
