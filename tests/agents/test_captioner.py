from dataclasses import replace

from MetaCaptioner.agents.captioner import agent_record
from tests.helpers import completion


def test_a_record_has_the_reasoning_that_is_to_be_kept_and_no_empty_one() -> None:
    answer = completion(" A cat. ")
    assert "reasoning" not in agent_record(answer)
    kept = agent_record(replace(answer, reasoning="A cat? Yes."))
    assert (kept["text"], kept["reasoning"]) == ("A cat.", "A cat? Yes.")
