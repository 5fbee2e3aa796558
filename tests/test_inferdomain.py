import asyncio
import math
from dataclasses import replace
from pathlib import Path

import pytest

from MetaCaptioner.agents.prompts import Prompts, load_prompts
from MetaCaptioner.agents.router import Route, Router
from MetaCaptioner.agents.workflow import Agent
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.data.taxonomy import DOMAINS, Domain, Modality
from MetaCaptioner.engine.base import Completion, Request
from MetaCaptioner.errors import SampleError, UserError
from tests.helpers import (
    MAPS,
    FakeEngine,
    Runner,
    agent_of,
    completion,
    error_kinds,
    make_clip,
    names,
    picture_rows,
    records,
    small_plan,
    some_media,
    write_prompts,
)

SAMPLE = Sample("set", 0, Path("/root"), "a.jpg", "image")


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return load_prompts()


def ask(prompts: Prompts, answer: Completion, modality: Modality = "image") -> tuple[Route, Agent, str]:
    """(route, agent as it was asked, instruction)."""
    asked: list[tuple[Agent, str]] = []

    async def generate(agent: Agent, instruction: str) -> Completion:
        asked.append((agent, instruction))
        return answer

    route = asyncio.run(Router(prompts).route(SAMPLE, some_media(modality), generate))
    [(agent, instruction)] = asked
    return route, agent, instruction


def codes(agent: Agent) -> tuple[str, ...]:
    assert agent.constraint is not None
    assert agent.constraint.choices is not None
    return agent.constraint.choices


def test_a_code_names_domain_and_subdomain_and_the_runner_up_is_told(prompts: Prompts) -> None:
    route, _, _ = ask(prompts, completion("B4", A=0.2, B=0.7, C=0.1))
    assert (route.task, route.subdomain) == ("Structure & Math", "Geometry")
    assert route.confidence == pytest.approx(0.7)
    assert route.runner_up == "Natural"
    assert route.runner_up_confidence == pytest.approx(0.2)
    assert route.fields() == {
        "task": "Structure & Math",
        "task_source": "router",
        "task_confidence": route.confidence,
        "subdomain": "Geometry",
        "runner_up": {"task": "Natural", "task_confidence": route.runner_up_confidence},
    }


def test_every_code_leads_to_its_domain(prompts: Prompts) -> None:
    for modality in ("image", "video"):
        candidates = [domain for domain in DOMAINS if domain.modality == modality]
        wanted = [(domain.name, subdomain) for domain in candidates for subdomain in domain.subdomains]
        _, agent, _ = ask(prompts, completion("I1" if modality == "video" else "A1", A=1, I=1), modality)
        found = [ask(prompts, completion(code, **{code[0]: 1.0}), modality)[0] for code in codes(agent)]
        assert [(route.task, route.subdomain) for route in found] == wanted


@pytest.mark.parametrize(
    "probabilities",
    [
        {"A": 0.2, "B": 0.5},
        {"A": 0.2, "B": 0.5, "Z": 0.3},
        {" A": 0.2, "\nB": 0.25, "B": 0.25},
        {"A1": 0.2, "B2": 0.25, "B4": 0.25},
        {"A": 0.2, "B": 0.5, "": 0.3, "BB": 0.4, "The": 0.1, "I": 0.2},
    ],
)
def test_confidences_are_shares_of_the_mass_of_all_that_was_offered(
    prompts: Prompts, probabilities: dict[str, float]
) -> None:
    route, _, _ = ask(prompts, completion("B4", **probabilities))
    assert route.confidence == pytest.approx(5 / 7, abs=1e-3)
    assert route.runner_up == "Natural"
    assert route.confidence + (route.runner_up_confidence or 0) == pytest.approx(1, abs=1e-3)


def test_the_shares_of_all_candidates_add_up_to_one(prompts: Prompts) -> None:
    letters = dict(zip("ABCDEFGH", (0.1, 0.2, 0.1, 0.1, 0.05, 0.03, 0.02, 0.01), strict=True))
    routes = [ask(prompts, completion(f"{letter}1", **letters | {letter: 0.3}))[0] for letter in letters]
    wholes = [sum((letters | {letter: 0.3}).values()) for letter in letters]
    assert [route.confidence for route in routes] == pytest.approx([0.3 / whole for whole in wholes], abs=1e-3)


def test_a_domain_whose_mass_is_split_over_several_first_tokens_wins_by_its_mass(prompts: Prompts) -> None:
    """As with vocabularies that have a token for the letter, one for its byte and some for letter and number."""
    split = completion("B4", B=0.3, **{"A": 0.2, "A1": 0.15, "A2": 0.1, "C": 0.25})
    asked: list[tuple[str, ...]] = []

    async def generate(agent: Agent, instruction: str) -> Completion:
        asked.append(codes(agent))
        return split if len(asked) == 1 else completion("A3", A=1.0)

    route = asyncio.run(Router(prompts).route(SAMPLE, some_media(), generate))
    natural = DOMAINS[0]
    assert (route.task, route.subdomain, route.confidence) == (natural.name, natural.subdomains[2], 0.45)
    assert (route.runner_up, route.runner_up_confidence) == ("Structure & Math", 0.3)
    assert asked[1] == tuple(code for code in asked[0] if code.startswith("A"))


def test_a_picture_is_never_offered_the_video_domain_nor_a_clip_another(prompts: Prompts) -> None:
    _, agent, instruction = ask(prompts, completion("A1", A=1))
    assert not [code for code in codes(agent) if code.startswith("I")]
    assert f"I = {DOMAINS[-1].name}" not in instruction
    _, agent, instruction = ask(prompts, completion("I1", I=1), "video")
    assert {code[0] for code in codes(agent)} == {"I"}
    assert "A = Natural" not in instruction


def test_a_clip_has_no_runner_up(prompts: Prompts) -> None:
    route, _, _ = ask(prompts, completion("I6", I=0.4, A=0.6), "video")
    assert (route.task, route.subdomain, route.confidence) == ("Video & Temporal", "Sports", 1.0)
    assert route.fields()["runner_up"] is None


def test_the_menu_lists_what_may_be_answered(prompts: Prompts) -> None:
    _, agent, instruction = ask(prompts, completion("A1", A=1))
    for code in codes(agent):
        assert f"{code} " in instruction
    for domain in DOMAINS[:-1]:
        assert prompts.descriptions[domain.name] in instruction


@pytest.mark.parametrize("answer", ["Z9", "B", "I1", "B44", "A picture of a cat", "B4 because"])
def test_an_answer_that_is_no_code_is_a_bad_route(prompts: Prompts, answer: str) -> None:
    with pytest.raises(SampleError, match="which is no code of a domain") as raised:
        ask(prompts, completion(answer, A=0.5, B=0.5))
    assert raised.value.kind == "bad_route"


@pytest.mark.parametrize(
    "probabilities", [{}, {"A": 1.0}, {"": 1.0, "B": 0.0}, {"A": 0.5, "B": math.nan}, {"A": math.nan, "B": 0.5}]
)
def test_an_answer_without_its_probability_is_a_bad_route(prompts: Prompts, probabilities: dict[str, float]) -> None:
    with pytest.raises(SampleError, match="no probability") as raised:
        ask(prompts, completion("B4", **probabilities))
    assert raised.value.kind == "bad_route"


def test_there_are_as_many_domains_as_letters_at_most(prompts: Prompts) -> None:
    many = tuple(Domain(f"D{number}", ("x",)) for number in range(27))
    Router(replace(prompts, domains=many[:26]))
    with pytest.raises(UserError, match="27 domains: the router can tell 26 apart at most"):
        Router(replace(prompts, domains=many))


def test_a_domain_of_ones_own_is_offered(tmp_path: Path) -> None:
    prompts = load_prompts(write_prompts(tmp_path, maps=MAPS))
    route, agent, instruction = ask(prompts, completion("J2", J=0.8, A=0.2))
    assert (route.task, route.subdomain) == ("Maps", "Relief")
    assert {"J1", "J2"} <= set(codes(agent))
    assert "J = Maps: Drawn maps." in instruction


# --- the stage


def test_the_stage_routes_every_sample_whatever_its_task(tmp_path: Path, run: Runner) -> None:
    rows = picture_rows(tmp_path / "media", 3)
    make_clip(tmp_path / "media" / "a.mp4", 6)
    engine = FakeEngine()
    plan = small_plan(tmp_path, [*rows, {"id": 3, "video": "a.mp4"}])
    outcome = run.route(plan, tmp_path / "out", engine=engine)
    assert outcome.status == 0
    found = records(tmp_path / "out")
    assert set(found) == names(4)
    known = {domain.name: domain.subdomains for domain in DOMAINS}
    for record in found.values():
        assert record["status"] == "ok"
        assert record["subdomain"] in known[record["task"]]
        assert record["task_source"] == "router"
        assert 0 < record["task_confidence"] <= 1
    assert found["set/3"]["task"] == "Video & Temporal"
    assert found["set/0"]["runner_up"]["task"] in known
    assert [agent_of(request) for request in engine.requests] == ["router"] * 4


def test_a_bad_route_is_an_error_record(tmp_path: Path, run: Runner) -> None:
    def hook(request: Request) -> Completion | None:
        return completion("Q7") if request.request_id.startswith("set/1/") else None

    assert run.route(small_plan(tmp_path), tmp_path / "out", engine=FakeEngine(hook)).status == 0
    assert error_kinds(tmp_path / "out") == {"set/1": "bad_route"}
    assert set(records(tmp_path / "out")) == names(4)
