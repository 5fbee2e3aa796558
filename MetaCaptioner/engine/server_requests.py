"""What a server is asked, and how its answer is read."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from pydantic import BaseModel, Field, ValidationError

from MetaCaptioner.engine.base import SYSTEM_MESSAGE, Completion, Constraint, Request
from MetaCaptioner.engine.reasoning import DO_NOT_THINK, split
from MetaCaptioner.engine.server_faults import ServerFault, told
from MetaCaptioner.engine.server_media import Shown
from MetaCaptioner.engine.vllm_answers import LOOPS
from MetaCaptioner.errors import ErrorKind, SampleError
from MetaCaptioner.utils.json_text import from_json

_Reason = Literal["stop", "length", "repetition"]
_WHOLE = get_args(_Reason)
_LOGPROBS = 20  # the most that vLLM and OpenAI give
_ANSWER = "answer"
_SPECIAL = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|</?s>|<(?:bos|eos|pad|unk|image|video|img|/img|IMG_CONTEXT|image_soft_token)>"
    r"|<(?:start|end)_of_(?:turn|image)>|\[/?(?:INST|IMG|IMG_END|IMG_BREAK|SYSTEM_PROMPT)\]"
)
"""What the chat models that are known take for the end of a message, the begin of another, or a picture."""
_TIMELINE = "media_io_kwargs"
_TEMPLATE = "chat_template_kwargs"
_MAY_BE_LEFT_OUT = (
    *("max_tokens", "temperature", "top_p", "seed", "top_logprobs", "logprobs", "strict", "response_format"),
    _TIMELINE,
)


class _Token(BaseModel):
    token: str
    logprob: float


class _Place(_Token):
    top_logprobs: list[_Token] = []


class _Logprobs(BaseModel):
    content: list[_Place] | None = None


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Details(BaseModel):
    cached_tokens: int | None = None


class _Usage(BaseModel):
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(0, ge=0)
    prompt_tokens_details: _Details | None = None


class _Answer(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


@dataclass
class Dialect:
    """How a server is spoken to: of which model, whether it is vLLM, which takes more than others, and what it does not
    take. `extra` are fields of every request, `template_arguments` those of the model's chat template.
    """

    model: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    is_vllm: bool = False
    left_out: set[str] = field(default_factory=set)
    tells_usage: bool = True
    template_arguments: Mapping[str, Any] = field(default_factory=dict)
    keep_reasoning: bool = False

    def goes_by_name(self, shown: Shown) -> bool:
        """Whether it takes media with a name; of clips vLLM that takes the times of frames does, and no other."""
        return self.is_vllm and not (shown.is_video and _TIMELINE in self.left_out)

    def learn(self, fault: ServerFault, body: Mapping[str, Any]) -> str | None:
        """What to leave out from now on, as the server has refused a request for it; None where that is not why."""
        if fault.kind != "refused" or fault.is_too_long:
            return None
        schema = body.get("response_format", {}).get("json_schema", {})
        sent = {*body, *(("strict",) if schema.get("strict") else ())} - self.extra.keys()
        for name in _MAY_BE_LEFT_OUT:
            named = (fault.field or "").split(".")[-1] == name
            if name in sent and (named or _complains(fault.message, name)):
                self.left_out.add(name)
                return name
        return None


def _complains(message: str, name: str) -> bool:
    quoted = rf"['\"`]{name}['\"`]|\b{name}\b[^.]*\b(?:not|un)[ -]?(?:support|permitt|allow|known|recogni)"
    return re.search(quoted, message[:200]) is not None


def body_of(
    request: Request, shown: Shown | None, dialect: Dialect, name: str = "", is_known: bool = False
) -> dict[str, Any]:
    """The body of a request; its media, if any, go by `name` where the server takes one, and by that alone if it
    `is_known` there.

    All requests of a sample begin with the same bytes: the system message, then the media.
    """
    instruction = _defused(request.instruction)
    content: Any = instruction
    body: dict[str, Any] = {"model": dialect.model}
    is_named = shown is not None and dialect.goes_by_name(shown)
    if shown is not None:
        media = shown.named(name, is_known) if is_named else shown.as_pictures()
        content = [*media, {"type": "text", "text": instruction}]
    body["messages"] = [{"role": "system", "content": SYSTEM_MESSAGE}, {"role": "user", "content": content}]
    body |= {name: value for name, value in _sampling(request).items() if name not in dialect.left_out}
    if "logprobs" not in body:
        body.pop("top_logprobs", None)
    if "max_tokens" in dialect.left_out:
        body["max_completion_tokens"] = request.sampling.max_tokens
    if dialect.is_vllm:
        timeline = {_TIMELINE: {"video": dict(shown.timeline)}} if shown and shown.is_video and is_named else {}
        template = {_TEMPLATE: {**DO_NOT_THINK, **dialect.template_arguments}}
        return {**body, **_for_vllm(request), **timeline, **template, **dialect.extra}
    if request.constraint is not None and "response_format" not in dialect.left_out:
        schema = {"name": _ANSWER, "schema": _schema(request.constraint), "strict": "strict" not in dialect.left_out}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    template = {_TEMPLATE: dict(dialect.template_arguments)} if dialect.template_arguments else {}
    return {**body, **template, **dialect.extra}


def _defused(text: str) -> str:
    """`text` with a space in what may be a special token: the model's own tokenizer is not known here."""
    return _SPECIAL.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)


def _sampling(request: Request) -> dict[str, Any]:
    sampling = request.sampling
    fields: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    fields["max_tokens"] = sampling.max_tokens
    if sampling.seed is not None:
        fields["seed"] = sampling.seed
    if request.constraint is not None and request.constraint.choices:
        fields |= {"logprobs": True, "top_logprobs": _LOGPROBS}
    return fields


def _for_vllm(request: Request) -> dict[str, Any]:
    """What only vLLM takes. What is not said there is what the model's `generation_config.json` says."""
    extra: dict[str, Any] = {"repetition_penalty": request.sampling.repetition_penalty, "top_k": -1, "min_p": 0.0}
    constraint = request.constraint
    if constraint is None:
        extra["repetition_detection"] = LOOPS
    elif constraint.choices:
        extra["structured_outputs"] = {"choice": list(constraint.choices)}
    elif constraint.json_schema:
        extra["structured_outputs"] = {"json": dict(constraint.json_schema), "disable_any_whitespace": True}
    return extra


def _schema(constraint: Constraint) -> dict[str, Any]:
    if constraint.json_schema:
        return dict(constraint.json_schema)
    choice = {"type": "string", "enum": list(constraint.choices or ())}
    return {"type": "object", "properties": {_ANSWER: choice}, "required": [_ANSWER], "additionalProperties": False}


def completion_of(content: bytes, request: Request, dialect: Dialect, key: str) -> Completion:
    """An answer as the rest of the program knows it.

    Raises:
        ServerFault: it is no answer.
        SampleError: the server ended it for a reason other than its end or its length.
    """
    try:
        answer = _Answer.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"]
        shown = told(content[:200].decode(errors="replace"), key)
        raise ServerFault("failed", f"answers what is no completion ({problem}): {shown}") from error
    choice, usage = answer.choices[0], answer.usage
    if choice.finish_reason not in (*_WHOLE, None):
        raise SampleError(
            ErrorKind.ENGINE_ERROR, f"{request.request_id}: the server ended it early ({choice.finish_reason})"
        )
    text, probabilities = _answer(choice, request.constraint, dialect)
    reasoning, text = split(text)
    dialect.tells_usage = dialect.tells_usage and usage is not None
    details = usage.prompt_tokens_details if usage else None
    return Completion(
        text=text,
        finish_reason=cast(_Reason, choice.finish_reason or "stop"),
        input_tokens=usage.prompt_tokens if usage else 0,
        cached_tokens=(details.cached_tokens if details else None) or 0,
        output_tokens=usage.completion_tokens if usage else 0,
        first_token_probabilities=probabilities,
        reasoning=reasoning if dialect.keep_reasoning else "",
    )


def _answer(choice: _Choice, constraint: Constraint | None, dialect: Dialect) -> tuple[str, dict[str, float] | None]:
    """The text, and what its first token could have been; None where that is not told."""
    text = choice.message.content or choice.message.refusal or ""
    if constraint is None or not constraint.choices:
        return text, {}
    places = (choice.logprobs.content if choice.logprobs else None) or []
    begin = 0
    if not dialect.is_vllm and (inner := _inside(text)) is not None:
        begin = text.index(":") + 1
        begin = text.index('"', begin) + 1
        text = inner
    probabilities: dict[str, float] = {}
    for token in _tokens_at(places, begin):
        probabilities[token.token] = probabilities.get(token.token, 0.0) + math.exp(token.logprob)
    return text, probabilities or None


def _inside(text: str) -> str | None:
    """The choice in an answer of JSON."""
    try:
        found = from_json(text)
    except ValueError:
        return None
    value = found.get(_ANSWER) if isinstance(found, dict) and len(found) == 1 else None
    return value if isinstance(value, str) else None


def _tokens_at(places: list[_Place], begin: int) -> Iterator[_Token]:
    """What could have stood at a place of the text, from there on: of tokens that begin before it, the rest."""
    at = 0
    for place in places:
        if at <= begin < at + len(place.token):
            lead = place.token[: begin - at]
            for token in place.top_logprobs:
                if token.token.startswith(lead) and len(token.token) > len(lead):
                    yield _Token(token=token.token[len(lead) :], logprob=token.logprob)
            return
        at += len(place.token)
