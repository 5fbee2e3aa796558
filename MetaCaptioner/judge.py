"""The judge: what it is asked and answers, and which captions its marks let through."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from MetaCaptioner.engine import Constraint
from MetaCaptioner.errors import BadArguments, SampleError
from MetaCaptioner.json_text import from_json
from MetaCaptioner.loops import repeats_itself
from MetaCaptioner.metafile import first_problem
from MetaCaptioner.named_media import same_media
from MetaCaptioner.Prompt import Prompts
from MetaCaptioner.record import Record, is_error, told_error
from MetaCaptioner.rows import caption_hash
from MetaCaptioner.workflow import Generate, ask

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
        raise SampleError("bad_verdict", f"the judge's answer cannot be used: {first_problem(error)}") from error
    except ValueError as error:
        raise SampleError("bad_verdict", f"the judge's answer is no JSON: {error}") from error


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
            raise SampleError("bad_verdict", f"the judge's answer was cut at {completion.output_tokens} tokens")
        verdict = parse_verdict(completion.text)
        scores = {name: int(getattr(verdict, name)) for name in DIMENSIONS}
        return {
            "caption_hash": caption_hash(texts["caption"]),
            "scores": scores,
            "overall": overall(scores),
            "reason": " ".join(verdict.reason.split())[:REASON_CHARACTERS],
        }


@dataclass(frozen=True)
class Thresholds:
    """What a caption needs: at least these marks, and with `whole` an end."""

    overall: float
    dimension: int
    whole: bool

    def against(self, record: Record, score: Record) -> list[str]:
        """Why a caption with these marks is rejected; nothing if it is good enough."""
        reasons = [
            f"{name} too low ({score['scores'][name]} < {self.dimension})"
            for name in DIMENSIONS
            if score["scores"][name] < self.dimension
        ]
        if score["overall"] < self.overall:
            reasons.insert(0, f"overall too low ({score['overall']:g} < {self.overall:g})")
        if self.whole and record.get("truncated"):
            reasons.append("cut at its token budget")
        return reasons


def add_threshold_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that say which captions are good enough."""
    parser.add_argument("--min-overall", type=float, default=3.0, help="lowest mean of the five marks")
    parser.add_argument("--min-dim-score", type=int, default=3, help="lowest single mark, 1 to 5")
    parser.add_argument("--drop-truncated", action="store_true", help="reject captions cut at their token budget")


def thresholds_from(arguments: argparse.Namespace) -> Thresholds:
    """The thresholds that the flags name.

    Raises:
        BadArguments: one that no mark can have.
    """
    for name in ("min_overall", "min_dim_score"):
        if not 1 <= getattr(arguments, name) <= 5:
            raise BadArguments(f"--{name.replace('_', '-')} must be from 1 to 5")
    return Thresholds(arguments.min_overall, arguments.min_dim_score, arguments.drop_truncated)


def why_unmarked(record: Record, score: Record | None) -> str | None:
    """Why a caption has no marks that count, whatever the thresholds; None if it has them."""
    if is_error(record):
        return f"caption failed ({told_error(record).get('kind', 'no kind')})"
    if not isinstance(record.get("caption"), str):
        return "no caption"
    if repeats_itself(record["caption"], bool(record.get("truncated"))):
        return "repeats itself"
    if score is None:
        return "no score"
    if score.get("caption_hash", caption_hash(record["caption"])) != caption_hash(record["caption"]):
        return "score of an earlier caption"
    if not same_media(record, score):
        return "score of other media"
    if is_error(score):
        return f"score failed ({told_error(score).get('kind', 'no kind')})"
    return None if has_marks(score) else "score without sound marks"


def has_marks(score: Record) -> bool:
    """Whether a score has all that a judge gives; somebody may have edited it."""
    scores, mean = score.get("scores"), score.get("overall")
    sound = isinstance(scores, dict) and all(scores.get(name) in (1, 2, 3, 4, 5) for name in DIMENSIONS)
    return sound and isinstance(mean, int | float) and 1 <= mean <= 5
