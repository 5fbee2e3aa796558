"""Captions by servers that speak the OpenAI API, also by such as fail."""

import pytest

from pathlib import Path

from tests.helpers import Runner, names, records, small_plan
from tests.openai_server import FAULTS, flags, serving


@pytest.mark.parametrize("fault", FAULTS)
def test_twenty_faults_of_a_kind_lose_no_request_and_cost_no_attempt(tmp_path: Path, run: Runner, fault: str) -> None:
    plan = small_plan(tmp_path, 40)
    with serving(*[fault] * 20) as server:
        outcome = run.caption(plan, tmp_path / "out", *flags([server]), "--request-seconds", 3)
        assert outcome.status == 0, outcome.said
        assert server.failed == 20
    found = records(tmp_path / "out")
    assert found.keys() == names(40)
    assert {record["status"] for record in found.values()} == {"ok"}
    assert {record["attempts"] for record in found.values()} == {1}
    agents = sum(len(record["agents"]) for record in found.values())
    assert server.answered == agents + 1  # and the check before work begins
    assert {record["input_tokens"] for record in found.values()} == {100 * agents // 40}
