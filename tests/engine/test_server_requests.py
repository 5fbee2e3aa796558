"""What a server is asked, and what is taken out of its answer, without a server."""

import json
from typing import Any

import numpy as np
import pytest

from MetaCaptioner.engine.base import Completion, Constraint, Request, Sampling
from MetaCaptioner.engine.server_faults import ServerFault
from MetaCaptioner.engine.server_media import encoded
from MetaCaptioner.engine.server_requests import Dialect, body_of, completion_of
from MetaCaptioner.errors import SampleError
from MetaCaptioner.media.loader import Media
from tests.helpers import some_media


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


def test_a_clip_is_pictures_after_their_times_once_vllm_has_refused_times_of_frames() -> None:
    media = Media("video", np.zeros((2, 28, 28, 3), np.uint8), "v", "v", 28, 28, 3.0, 10.0, 30, (0, 25), (0.0, 2.5))
    shown, dialect = encoded(media), Dialect("m", is_vllm=True)
    body = body_of(request(), shown, dialect, "name")
    assert [part["type"] for part in body["messages"][1]["content"]] == ["video_url", "text"]
    assert body["media_io_kwargs"]["video"]["frames_indices"] == [0, 25]
    said = "Per-request media_io_kwargs are disabled by default because they can change multimodal media loading (400)"
    assert dialect.learn(ServerFault("refused", said, 400, field="media_io_kwargs"), body) == "media_io_kwargs"
    body = body_of(request(), shown, dialect, "name")
    assert "media_io_kwargs" not in body
    parts = body["messages"][1]["content"]
    assert [part.get("text", part["type"]) for part in parts] == [
        *("At 0.0 s:", "image_url", "At 2.5 s:", "image_url", "What is there?")
    ]
    assert dialect.goes_by_name(encoded(some_media()))


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
