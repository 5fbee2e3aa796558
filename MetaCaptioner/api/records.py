"""What a `Captioner` gives for each input.

A record is a plain dictionary with a type, and no class: it is the JSON object that a result file has a line of, under
the same names, so what reads the one reads the other and `json.dumps` writes it as it is.
"""

from typing import Literal, NotRequired, TypedDict

from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.records.record import Record


class AgentAnswer(TypedDict):
    """What one agent said; lengths in tokens. `model` is there where it is not the default's."""

    model: NotRequired[str]
    text: str
    finish_reason: Literal["stop", "length"]
    input_tokens: int
    cached_tokens: int
    output_tokens: int


class _ClaimText(TypedDict):
    text: str


class Claim(_ClaimText, total=False):
    """One sentence of a caption and whether the media support it, with probabilities where the engine tells them.

    There is `error` where the question had no answer, and `dropped` where the sentence was taken out of the caption.
    """

    answer: Literal["supported", "contradicted", "not visible"]
    supported: float
    contradicted: float
    error: "Failure"
    dropped: bool


class Failure(TypedDict):
    """Why there is no caption, or no mark: the value of an `ErrorKind`, and a line for the user."""

    kind: str
    message: str


class RunnerUp(TypedDict):
    """The router's second choice."""

    task: str
    task_confidence: float


class _Always(TypedDict):
    index: int
    modality: Modality
    status: Literal["ok", "error"]
    task: str | None
    model: str
    prompts: str
    attempts: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    engine_seconds: float
    seconds: float


class CaptionRecord(_Always, total=False):
    """One input's record.

    `index` is its place among the inputs, from 0. `image` or `video` is the path as it was given, None where there was
    none. With `status` "ok" there are `caption`, `truncated` and `agents`; with "error" there is `error`. `task` is the
    domain; `task_confidence`, `subdomain` and `runner_up` are there where the router chose it, `models` where agents
    name theirs. With `claims` there are those of the caption; `claims_before` are those for which it was written once
    more. Marks (1 to 5, and their mean) are there with `score=True`, unless the judge failed: then `score_error` says
    why.
    """

    image: str | None
    video: str | None
    task_source: Literal["metafile", "row", "router"]
    task_confidence: float
    subdomain: str
    runner_up: RunnerUp | None
    media_hash: str
    media_note: str
    caption: str
    truncated: bool
    agents: dict[str, AgentAnswer]
    models: dict[str, str]
    claim_input_tokens: int
    claim_cached_tokens: int
    claim_output_tokens: int
    claims: list[Claim]
    claims_before: list[Claim]
    error: Failure
    scores: dict[str, int]
    overall: float
    reason: str
    score_error: Failure


_OF_DATASETS = frozenset({"sample_id", "data_name", "id", "root", "stage"})
"""Fields of result files that tell of a dataset, and of the stage: here there is neither."""
_OF_JUDGE = ("scores", "overall", "reason")


def judged(caption: Record, score: Record) -> Record:
    """The record of a caption, with what the judge's says of it."""
    if score["status"] == "ok":
        return caption | {name: score[name] for name in _OF_JUDGE}
    return caption | {"score_error": score["error"]}


def of_input(record: Record, name: str | None) -> Record:
    """A record of a result file as that of an input which the user has given by that name, or not by any."""
    fields = {key: value for key, value in record.items() if key not in _OF_DATASETS}
    return {"index": record["index"], record["modality"]: name} | fields | {record["modality"]: name}
