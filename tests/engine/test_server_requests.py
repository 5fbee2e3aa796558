"""What a server is asked, and what is taken out of its answer, without a server."""

import json
from typing import Any

import pytest

from MetaCaptioner.engine.base import Completion, Constraint, Request, Sampling
from MetaCaptioner.engine.server_requests import Dialect, body_of, completion_of
from MetaCaptioner.errors import SampleError


def request(constraint: Constraint | None = None) -> Request:
    return Request("set/0/objects/1.1", "What is there?", None, Sampling(max_tokens=9), constraint)


def answer(text: str, finish_reason: str, dialect: Dialect) -> Completion:
    content: dict[str, Any] = {"choices": [{"message": {"content": text}, "finish_reason": finish_reason}]}
    return completion_of(json.dumps(content).encode(), request(), dialect, "")


def test_vllm_is_told_not_to_let_a_model_think_and_to_end_loops_as_in_process() -> None:
    body = body_of(request(), None, Dialect("m", is_vllm=True, template_arguments={"a": 1}))
    assert body["chat_template_kwargs"] == {"enable_thinking": False, "a": 1}
    assert body["repetition_detection"] == {"max_pattern_size": 16, "min_count": 48}
    asked = body_of(request(Constraint(choices=("A", "B"))), None, Dialect("m", is_vllm=True))
    assert "repetition_detection" not in asked
    thinks = Dialect("m", is_vllm=True, template_arguments={"enable_thinking": True})
    assert body_of(request(), None, thinks)["chat_template_kwargs"] == {"enable_thinking": True}


def test_other_servers_are_sent_arguments_of_the_template_only_where_there_are_any() -> None:
    assert not {"chat_template_kwargs", "repetition_detection"} & body_of(request(), None, Dialect("m")).keys()
    body = body_of(request(), None, Dialect("m", template_arguments={"a": 1}))
    assert body["chat_template_kwargs"] == {"a": 1}


@pytest.mark.parametrize(("keep", "kept"), [(False, ""), (True, "Let me see.")])
def test_what_a_model_says_to_itself_is_no_part_of_its_answer(keep: bool, kept: str) -> None:
    said = "<think>\nLet me see.\n</think>\n\nA cat."
    completion = answer(said, "stop", Dialect("m", keep_reasoning=keep))
    assert (completion.text, completion.reasoning) == ("A cat.", kept)


@pytest.mark.parametrize("reason", ["stop", "length", "repetition"])
def test_how_an_answer_ended_is_told(reason: str) -> None:
    assert answer("A cat.", reason, Dialect("m")).finish_reason == reason


def test_an_answer_that_was_ended_for_another_reason_is_none() -> None:
    with pytest.raises(SampleError, match=r"ended it early \(content_filter\)"):
        answer("A cat.", "content_filter", Dialect("m"))
