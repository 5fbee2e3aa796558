"""A corrupted caption has the mistake that it is said to have, and its verdict names it."""

import json

import pytest

from demo.corrupt import (
    FALSE_CLAIMS,
    MISTAKES,
    Judged,
    another,
    answer_to,
    change,
    corrupt,
    false_claims,
    garble,
    right,
    some_claims,
    some_judged,
)
from demo.drawing import AGENTS, KINDS
from demo.scene import Kind, caption, notes, read_caption, stream
from MetaCaptioner.agents.blocks import claims_of, split
from MetaCaptioner.agents.dimensions import SHIPPED
from MetaCaptioner.agents.judge import REASON_CHARACTERS, parse_verdict

AGENT = AGENTS[KINDS[0].domain][2]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_mistakes_are_what_they_are_called(kind: Kind) -> None:
    for number in range(12):
        rng = stream("test", 1, number)
        claims = kind.draw(rng, 1).claims
        truth = set().union(*(claim.facts() for claim in claims))
        for mistake in MISTAKES[:5]:
            judged = corrupt(rng, kind, claims, mistake, AGENTS[kind.domain][2])
            if judged is None:
                assert mistake != "missing"
                continue
            said, strange = read_caption(judged.caption, kind.statements)
            assert strange == []
            assert said != truth
            if mistake == "invented":
                assert said > truth
            elif mistake == "missing":
                assert said < truth
            else:
                assert said - truth
                assert truth - said
            assert min(judged.marks().values()) <= 3
            assert judged.mistake == mistake
            check_answer(judged)


def check_answer(judged: Judged) -> None:
    verdict = parse_verdict(judged.answer(), SHIPPED)
    assert verdict.scores == judged.marks()
    assert len(verdict.reason) <= REASON_CHARACTERS


def test_a_right_caption_gets_full_marks() -> None:
    claims = KINDS[0].draw(stream("test", 2), 1).claims
    judged = right(claims, AGENT)
    assert judged.caption == caption(claims)
    assert set(judged.marks().values()) == {5}
    assert json.loads(judged.answer())["reason"] == f"seen: {notes(claims)}"


def test_a_fault_is_named_where_it_is_seen() -> None:
    truth = KINDS[0].draw(stream("test", 8), 1).claims
    place = next(index for index, claim in enumerate(truth) if "colour" in claim.values)
    other = "red" if truth[place].values["colour"] != "red" else "blue"
    said = (*truth[:place], truth[place].with_value("colour", other), *truth[place + 2 :])
    judged = Judged(caption(said), truth, said, "wrong_colour", AGENT)
    assert f"{truth[place].note()} - wrong; {truth[place + 1].note()} - missing" in judged.reason()
    assert judged.marks() == {"accuracy": 2, "completeness": 3, "hallucination": 5, "reasoning": 5, "fluency": 5}


def test_a_wrong_conclusion_is_a_fault_of_reasoning() -> None:
    truth = KINDS[0].draw(stream("test", 9), 1).claims
    place = next(index for index, claim in enumerate(truth) if claim.statement.agent == AGENT)
    slot = next(slot for slot, choices in truth[place].statement.choices.items() if len(choices) > 1)
    wrong = change(stream("test", 9, 1), truth[place], slot, set())
    assert wrong is not None
    said = (*truth[:place], wrong, *truth[place + 1 :])
    judged = Judged(caption(said), truth, said, "wrong_value", AGENT)
    if wrong.key == truth[place].key:
        assert judged.marks()["reasoning"] == 2
        assert judged.marks()["accuracy"] == 5


def test_another_pictures_caption_gets_the_lowest_marks_but_for_fluency() -> None:
    first, second = KINDS[0].draw(stream("test", 3), 1).claims, KINDS[9].draw(stream("test", 4), 1).claims
    judged = another(first, second, AGENT)
    assert judged.caption == caption(second)
    assert judged.marks() == {"accuracy": 1, "completeness": 1, "hallucination": 1, "reasoning": 1, "fluency": 5}


def test_a_garbled_caption_loses_fluency_alone() -> None:
    claims = KINDS[0].draw(stream("test", 5), 1).claims
    judged = garble(stream("test", 6), claims, AGENT)
    assert sorted(judged.caption.split()) == sorted(caption(claims).split())
    assert judged.marks()["fluency"] == 2
    assert sum(judged.marks().values()) == 22


def test_training_sees_every_sort_of_mistake_and_many_right_captions() -> None:
    kind, found = KINDS[0], []
    other = kind.draw(stream("test", 7, 300), 1).claims
    for number in range(300):
        rng = stream("test", 7, number)
        claims = kind.draw(rng, 1).claims
        found.append(some_judged(rng, kind, claims, other, AGENT).mistake)
        other = claims
    assert set(found) == {None, *MISTAKES}
    assert 90 < found.count(None) < 180


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_claims_of_every_sort_are_as_true_as_their_answers_say(kind: Kind) -> None:
    """A false claim says at least one fact that is not so, a true one none; either is one sentence."""
    answers = set()
    for number in range(12):
        rng = stream("test", 6, number)
        truth, other = kind.draw(rng, 1).claims, kind.draw(rng, 1).claims
        facts = set().union(*(claim.facts() for claim in truth))
        for claim in some_claims(rng, kind, truth, other):
            answers.add(answer := answer_to(claim, truth))
            assert (claim.facts() <= facts) == (answer == "supported")
            assert (claim.key in facts) == (answer != "not visible")
            assert claims_of(split(claim.sentence())) == [claim.sentence()]
        for mistake in FALSE_CLAIMS:
            assert all(
                answer_to(claim, truth) != "supported" for claim in false_claims(rng, kind, truth, other, mistake)
            )
    assert {"supported", "contradicted"} <= answers
