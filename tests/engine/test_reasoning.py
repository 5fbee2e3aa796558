"""What a model says to itself is told from its answer."""

from types import SimpleNamespace
from typing import Any

import pytest

from MetaCaptioner.engine.base import Constraint
from MetaCaptioner.engine.reasoning import BLOCKS, left_open, split
from MetaCaptioner.engine.vllm_answers import AnswerReader
from tests.families.parts import byte_level, save_tokenizer
from tests.families.templates import QWEN


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_that_is_opened_unasked_is_taken_out(block: Any) -> None:
    said = f"\n{block.begin}\nA cat? Yes.\n{block.end}\n\nA cat."
    assert split(said) == ("A cat? Yes.", "A cat.")
    assert split(f"{block.begin}A cat? Or") == ("A cat? Or", "")


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_that_the_prompt_opened_ends_where_it_ends(block: Any) -> None:
    assert split(f"A cat? Yes.\n{block.end}\n\nA cat.", block) == ("A cat? Yes.", "A cat.")
    assert split("A cat? Or", block) == ("A cat? Or", "")
    assert left_open(f"user\nx\nassistant\n{block.begin}\n") == block
    assert left_open(f"assistant\n{block.begin}\n\n{block.end}\n\n") is None


def test_an_answer_without_reasoning_stays_as_it_is() -> None:
    answer = "  A page whose source reads <think>later</think>.\n"
    assert split(answer) == ("", answer)
    assert left_open("assistant\n") is None


def test_marks_around_an_answer_are_no_part_of_it() -> None:
    """As models of the GLM family write them, unless their tokenizer leaves them out."""
    assert split("<think>A cat?</think>\n<answer>A cat.</answer>") == ("A cat?", "A cat.")
    assert split("<answer>\nA <|begin_of_box|>cat<|end_of_box|> of") == ("", "A cat of")
    for answer in ("A page reads <answer>5</answer>", "5</answer>"):
        assert split(answer) == ("", answer)


def answered(tokenizer: Any, text: str, **more: Any) -> Any:
    tokens = tokenizer.encode(text, add_special_tokens=False)
    shown = tokenizer.decode(tokens, skip_special_tokens=True)
    answer = SimpleNamespace(**{"text": shown, "token_ids": tokens, "finish_reason": "stop", "logprobs": None, **more})
    return SimpleNamespace(outputs=[answer], prompt_token_ids=[1, 2], num_cached_tokens=0, request_id="set/0/agent/0.1")


@pytest.mark.parametrize("is_special", [True, False])
@pytest.mark.parametrize("keeps", [True, False])
def test_reasoning_is_taken_out_by_tokens_also_where_a_text_does_not_show_its_marks(
    tmp_path: Any, is_special: bool, keeps: bool
) -> None:
    marks = ("[THINK]", "[/THINK]")
    tokenizer = save_tokenizer(
        tmp_path, byte_level(["</s>", *marks] if is_special else ["</s>"], marks), QWEN, eos_token="</s>"
    )
    reader = AnswerReader(tokenizer, keeps)
    output = answered(tokenizer, "[THINK]Is it a cat? Yes.[/THINK]\nIt is a cat.")
    completion = reader.completion(output, None, None)
    assert completion.text == "It is a cat."
    assert completion.reasoning == ("Is it a cat? Yes." if keeps else "")
    assert completion.output_tokens == len(output.outputs[0].token_ids)
    output = answered(tokenizer, "[THINK]A cat?[/THINK]<answer>It is a cat.</answer>")
    assert reader.completion(output, None, None).text == "It is a cat."
    endless = answered(tokenizer, "[THINK]Is it a cat? Or", finish_reason="length")
    assert reader.completion(endless, None, None).text == ""


def test_an_answer_of_a_given_form_is_not_looked_through(tmp_path: Any) -> None:
    tokenizer = save_tokenizer(tmp_path, byte_level(["</s>"]), QWEN, eos_token="</s>")
    text = '{"reason": "<think>", "fluency": 5}'
    held = AnswerReader(tokenizer, True).completion(answered(tokenizer, text), Constraint(json_schema={"a": 1}), None)
    assert held.text == text


def test_probabilities_that_are_missing_are_none(tmp_path: Any) -> None:
    tokenizer = save_tokenizer(tmp_path, byte_level(["</s>"]), QWEN, eos_token="</s>")
    choices = Constraint(choices=("A1", "B1"))
    for logprobs in (None, [], [None], [{}]):
        output = answered(tokenizer, "A1", logprobs=logprobs)
        assert AnswerReader(tokenizer, True).completion(output, choices, None).first_token_probabilities == {}
