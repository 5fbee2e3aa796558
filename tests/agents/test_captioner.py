from dataclasses import replace

from MetaCaptioner.agents.captioner import agent_record
from MetaCaptioner.agents.workflow import Agent
from tests.helpers import completion

AGENT = Agent("objects", "perception", "What is there?")


def test_a_record_has_the_reasoning_that_is_to_be_kept_and_no_empty_one() -> None:
    answer = completion(" A cat. ")
    assert "reasoning" not in agent_record(AGENT, answer)
    kept = agent_record(AGENT, replace(answer, reasoning="A cat? Yes."))
    assert (kept["text"], kept["reasoning"]) == ("A cat.", "A cat? Yes.")
