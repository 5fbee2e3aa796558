import asyncio
from pathlib import Path

import pytest

from MetaCaptioner.agents.prompts import load_prompts
from MetaCaptioner.agents.workflow import (
    Agent,
    Generate,
    Workflow,
    ask,
    base_texts,
    check_completion,
    earlier_texts,
    fill,
    run_workflow,
)
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.engine.base import Completion, Constraint
from MetaCaptioner.errors import ErrorKind, SampleError
from tests.helpers import completion, some_media

SAMPLE = Sample("set", 0, Path("/root"), "a.jpg", "image")
DIAMOND = Workflow(
    "Maps",
    (
        Agent("left", "perception", "Left."),
        Agent("right", "perception", "Right."),
        Agent("both", "reasoning", "<{left}|{right}>", requires=("left", "right")),
        Agent("summary", "summary", "({both})", requires=("both",)),
    ),
)


def texts_by_agent(workflow: Workflow, generate: Generate) -> dict[str, str]:
    found = asyncio.run(run_workflow(workflow, {}, generate))
    return {name: made.text for name, made in found.items()}


def test_agents_get_exactly_the_texts_that_they_require() -> None:
    asked: dict[str, str] = {}

    async def generate(agent: Agent, instruction: str) -> Completion:
        asked[agent.name] = instruction
        return completion(f"  {agent.name} of [{instruction}] ")

    found = texts_by_agent(DIAMOND, generate)
    assert list(found) == ["left", "right", "both", "summary"]
    assert asked["both"] == "<left of [Left.]|right of [Right.]>"
    assert asked["summary"] == f"({found['both'].strip()})"


def test_agents_that_do_not_need_each_other_are_asked_at_the_same_time() -> None:
    async def run() -> dict[str, Completion]:
        waiting = 0
        together = asyncio.Event()

        async def generate(agent: Agent, _: str) -> Completion:
            nonlocal waiting
            if agent.role == "perception":
                waiting += 1
                if waiting == 2:
                    together.set()
                await asyncio.wait_for(together.wait(), 5)
            return completion(agent.name)

        return await run_workflow(DIAMOND, {}, generate)

    assert len(asyncio.run(run())) == 4


def test_an_agent_does_not_wait_for_what_it_does_not_require() -> None:
    """`quick` follows `first`, and must not wait for `slow`, which ends only once `quick` was asked."""
    workflow = Workflow(
        "Maps",
        (
            Agent("first", "perception", "First."),
            Agent("slow", "perception", "Slow."),
            Agent("quick", "reasoning", "{first}", requires=("first",)),
            Agent("summary", "summary", "{slow} {quick}", requires=("slow", "quick")),
        ),
    )

    async def run() -> None:
        quick_asked = asyncio.Event()

        async def generate(agent: Agent, _: str) -> Completion:
            if agent.name == "quick":
                quick_asked.set()
            if agent.name == "slow":
                await asyncio.wait_for(quick_asked.wait(), 5)
            return completion(agent.name)

        await run_workflow(workflow, {}, generate)

    asyncio.run(run())


def test_every_shipped_workflow_asks_each_agent_once_and_fills_all_placeholders() -> None:
    for workflow in load_prompts().workflows.values():
        asked: dict[str, str] = {}

        async def generate(agent: Agent, instruction: str, asked: dict[str, str] = asked) -> Completion:
            assert agent.name not in asked
            asked[agent.name] = instruction
            return completion(f"ANSWER-OF-{agent.name}")

        texts = base_texts(SAMPLE, some_media(), "SUBDOMAIN")
        asyncio.run(run_workflow(workflow, texts, generate))
        assert set(asked) == {agent.name for agent in workflow.agents}
        for agent in workflow.agents:
            assert all(f"ANSWER-OF-{name}" in asked[agent.name] for name in agent.requires)
            others = {other.name for other in workflow.agents} - set(agent.requires)
            assert not any(f"ANSWER-OF-{name}\n" in asked[agent.name] for name in others)


def test_a_failed_agent_cancels_the_others_and_none_is_asked_any_more() -> None:
    async def run() -> tuple[list[str], list[str]]:
        asked, cancelled = [], []

        async def generate(agent: Agent, _: str) -> Completion:
            asked.append(agent.name)
            if agent.name == "right":
                raise SampleError(ErrorKind.PROMPT_TOO_LONG, "too long")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(agent.name)
                raise
            return completion("late")

        with pytest.raises(SampleError, match="too long"):
            await asyncio.wait_for(run_workflow(DIAMOND, {}, generate), 5)
        left_over = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left_over
        return asked, cancelled

    assert asyncio.run(run()) == (["left", "right"], ["left"])


def test_cancelling_a_workflow_cancels_its_agents() -> None:
    async def run() -> list[str]:
        cancelled = []

        async def generate(agent: Agent, _: str) -> Completion:
            try:
                await asyncio.sleep(60)
            finally:
                cancelled.append(agent.name)
            return completion("late")

        task = asyncio.create_task(run_workflow(DIAMOND, {}, generate))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return sorted(cancelled)

    assert asyncio.run(run()) == ["left", "right"]


@pytest.mark.parametrize(
    ("prompt", "filled"),
    [
        ("A {x} B", "A 1 B"),
        (r"\frac{{a}}{{b}} {x}", r"\frac{a}{b} 1"),
        ("{{x}} {x}{x}", "{x} 11"),
        ("no braces", "no braces"),
    ],
)
def test_placeholders_are_filled_and_doubled_braces_survive(prompt: str, filled: str) -> None:
    assert fill(prompt, {"x": "1"}) == filled


@pytest.mark.parametrize("text", ["{y}", "{{y}}", "{", "}", "{0}", "{x!r:>{y}}", "%s \\1"])
def test_what_is_filled_in_is_not_interpreted(text: str) -> None:
    assert fill("<{x}|{y}>", {"x": text, "y": "secret"}) == f"<{text}|secret>"


def test_texts_of_a_sample_come_first_from_its_own_fields() -> None:
    video = base_texts(SAMPLE, some_media("video"), None)
    assert video["subdomain"] == "not known"
    assert {"duration", "frame_count", "frame_times"} <= set(video)
    assert base_texts(SAMPLE, some_media(), "Chart")["subdomain"] == "Chart"


@pytest.mark.parametrize("text", ["", "  ", "\n\t \n"])
def test_an_empty_answer_is_refused(text: str) -> None:
    with pytest.raises(SampleError, match=r"agent 'a' answered nothing \(length after 5 tokens\)") as raised:
        check_completion(Agent("a", "perception", "x"), completion(text, "length"))
    assert raised.value.kind == "empty_output"


def test_an_answer_that_the_engine_ended_as_a_loop_is_one_however_short_it_is() -> None:
    with pytest.raises(SampleError, match="agent 'a' repeats itself") as raised:
        check_completion(Agent("a", "perception", "x"), completion("noa noa", "repetition"))
    assert raised.value.kind == "degenerate_output"


@pytest.mark.parametrize("text", ["the cat sat. " * 60, "a" * 2000, "\n- \n- " * 200, "猫" * 500])
def test_a_loop_is_refused(text: str) -> None:
    with pytest.raises(SampleError, match="agent 'a' repeats itself") as raised:
        check_completion(Agent("a", "perception", "x"), completion(text))
    assert raised.value.kind == "degenerate_output"


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "ha ha ha ha",
        (Path(__file__).parent / "test_workflow.py").read_text(encoding="utf-8"),
        "\n".join(f"- row {n}: value {n * n}" for n in range(60)),
        "ha " * 12,
    ],
)
def test_prose_code_tables_and_short_answers_are_taken(text: str) -> None:
    check_completion(Agent("a", "perception", "x"), completion(text))


def test_an_answer_held_to_json_may_repeat_itself() -> None:
    agent = Agent("a", "judge", "x", constraint=Constraint(json_schema={}))
    check_completion(agent, completion('{"a": "' + "b" * 1000 + '"}'))


def test_asking_fills_the_prompt_and_checks_the_answer() -> None:
    async def generate(agent: Agent, instruction: str) -> Completion:
        return completion(" " if instruction == "say nothing" else instruction)

    agent = Agent("a", "perception", "say {what}")
    assert asyncio.run(ask(agent, {"what": "it"}, generate)).text == "say it"
    with pytest.raises(SampleError, match="answered nothing"):
        asyncio.run(ask(agent, {"what": "nothing"}, generate))


def test_what_a_workflow_takes_from_elsewhere() -> None:
    agents = (
        Agent("caption", "perception", "{agents.objects} in {subdomain}", sees_media=False),
        Agent("summary", "summary", "{caption} {agents.setting} {agents.objects}", ("caption",), sees_media=False),
    )
    workflow = Workflow("Maps", agents)
    assert workflow.uses() == {"agents.objects": "caption", "subdomain": "caption", "agents.setting": "summary"}
    assert not workflow.looks()
    assert not DIAMOND.uses()
    assert DIAMOND.looks()
    assert Workflow("Maps", (Agent("summary", "summary", "{duration}", sees_media=False),)).looks()


def test_earlier_texts_are_those_of_records_as_they_may_be() -> None:
    agents = {"a": {"text": "A."}, "b": {"text": None}, "c": "C."}
    assert earlier_texts("A {b}.", agents) == {"caption": "A {b}.", "agents.a": "A."}
    assert earlier_texts(None, None) == earlier_texts(3, []) == {}
