"""How vLLM is asked to draw an answer, and its answer as the rest of the program knows it."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from MetaCaptioner.engine.base import Completion, Constraint, Request
from MetaCaptioner.engine.reasoning import BLOCKS, Block, split, unwrapped
from MetaCaptioner.errors import ErrorKind, SampleError

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.outputs import RequestOutput

FIRST_TOKENS = 64
"""So many of the texts that an answer may begin with are told: some tokenizers have several tokens for one letter."""
LOOPS = {"max_pattern_size": 16, "min_count": 48}
"""So many tokens at most that come so often in a row are a loop; a table's row of zeros or a rule of dashes is not."""


def sampling_parameters(request: Request, room: int, most_logprobs: int) -> "SamplingParams":
    """vLLM's sampling parameters; `room` is what the context leaves for an answer.

    `most_logprobs` is how many the engine gives; -1: all that are asked for.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RepetitionDetectionParams, RequestOutputKind, StructuredOutputsParams

    sampling, constraint = request.sampling, request.constraint
    structured = loops = logprobs = None
    if constraint is None:
        loops = RepetitionDetectionParams(**LOOPS)
    elif constraint.choices:
        structured = StructuredOutputsParams(choice=list(constraint.choices))
        logprobs = FIRST_TOKENS if most_logprobs < 0 else min(FIRST_TOKENS, most_logprobs)
    elif constraint.json_schema:
        structured = StructuredOutputsParams(json=dict(constraint.json_schema))
    return SamplingParams(
        max_tokens=min(sampling.max_tokens, room),
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        repetition_penalty=sampling.repetition_penalty,
        seed=sampling.seed,
        logprobs=logprobs,
        structured_outputs=structured,
        repetition_detection=loops,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


class AnswerReader:
    """Makes completions of what vLLM answers; a model's reasoning is taken out, and kept if `keeps_reasoning`."""

    def __init__(self, tokenizer: Any, keeps_reasoning: bool) -> None:
        self._tokenizer = tokenizer
        self._keeps_reasoning = keeps_reasoning
        self._marks = _single_tokens(tokenizer)

    def completion(self, output: "RequestOutput", constraint: Constraint | None, opened: Block | None) -> Completion:
        """The answer as the rest of the program knows it; `opened` is the block that its prompt ends in.

        Raises:
            SampleError: the engine ended it for a reason other than its end, its length or a loop.
        """
        answer = output.outputs[0]
        if answer.finish_reason not in ("stop", "length", "repetition"):
            raise SampleError(
                ErrorKind.ENGINE_ERROR, f"{output.request_id}: the engine ended it early ({answer.finish_reason})"
            )
        reasoning, text = "", answer.text
        if constraint is None:
            reasoning, text = self._split(answer.token_ids, answer.text, opened)
        return Completion(
            text=text,
            finish_reason=cast(Literal["stop", "length", "repetition"], answer.finish_reason),
            input_tokens=len(output.prompt_token_ids or ()),
            cached_tokens=output.num_cached_tokens or 0,
            output_tokens=len(answer.token_ids),
            first_token_probabilities=_probabilities(answer) if constraint and constraint.choices else {},
            reasoning=reasoning if self._keeps_reasoning else "",
        )

    def _split(self, tokens: Sequence[int], text: str, opened: Block | None) -> tuple[str, str]:
        """(reasoning, answer); by tokens where the tokenizer may leave the marks out of a text."""
        for block, (begin, end) in self._marks.items():
            is_begun = begin in tokens[:3]
            if is_begun or (block == opened and end in tokens):
                ends = tokens.index(end) if end in tokens else len(tokens)
                said = tokens[tokens.index(begin) + 1 : ends] if is_begun else tokens[:ends]
                return self._text(said).strip(), unwrapped(self._text(tokens[ends + 1 :]).lstrip())
        return split(text, opened)

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))


def _single_tokens(tokenizer: Any) -> dict[Block, tuple[int, int]]:
    """The blocks whose marks are tokens of their own, with these."""
    vocabulary = tokenizer.get_vocab()
    return {
        block: (vocabulary[block.begin], vocabulary[block.end])
        for block in BLOCKS
        if block.begin in vocabulary and block.end in vocabulary
    }


def _probabilities(answer: Any) -> dict[str, float]:
    """Of the texts that the first token could have been; empty where vLLM gives none."""
    probabilities: dict[str, float] = {}
    for entry in (next(iter(answer.logprobs or ()), None) or {}).values():
        token = entry.decoded_token or ""
        probabilities[token] = probabilities.get(token, 0.0) + math.exp(entry.logprob)
    return probabilities
