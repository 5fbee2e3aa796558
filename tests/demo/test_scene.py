"""Statements write captions and read them back."""

import pytest

from demo.scene import Statement, caption, notes, read_caption, stream

GROUP = Statement(
    "group",
    "things",
    "{side}: {count} {colour} {thing}(|s)",
    "On the {side} (is|are) {count} {colour} {thing}(|s).",
    {
        "side": ("left", "right"),
        "count": ("one", "two"),
        "colour": ("red", "dark red"),
        "thing": ("car", "car park"),
    },
    key=("side",),
)
PLACE = Statement("place", "setting", "{place}", "This is {place}.", {"place": ("a beach", "a street")})
CLAIMS = (
    PLACE(place="a beach"),
    GROUP(side="left", count="one", colour="dark red", thing="car park"),
    GROUP(side="right", count="two", colour="red", thing="car"),
)


def test_a_caption_agrees_in_number() -> None:
    expected = "This is a beach. On the left is one dark red car park. On the right are two red cars."
    assert caption(CLAIMS) == expected


def test_an_agent_notes_its_own_claims() -> None:
    assert notes(CLAIMS, "things") == "left: one dark red car park; right: two red cars"
    assert notes(CLAIMS, "relations") == "nothing"


def test_a_caption_is_read_back_into_its_facts() -> None:
    facts, strange = read_caption(caption(CLAIMS), (PLACE, GROUP))
    assert strange == []
    assert facts == set().union(*(claim.facts() for claim in CLAIMS))
    assert ("group", "left", "colour", "dark red") in facts
    assert ("place", "place", "a beach") in facts


def test_a_sentence_that_says_nothing_known_is_told() -> None:
    facts, strange = read_caption("This is a beach. On the left are nine cows.", (PLACE, GROUP))
    assert strange == ["On the left are nine cows."]
    assert facts == {("place",), ("place", "place", "a beach")}


@pytest.mark.parametrize("values", [{"place": "a moon"}, {}, {"place": "a beach", "light": "day"}])
def test_a_claim_must_be_one_of_the_statement(values: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="statement 'place'"):
        PLACE(**values)


def test_slots_and_choices_must_agree() -> None:
    with pytest.raises(ValueError, match="slots"):
        Statement("bad", "setting", "{place}", "This is a place.", {"place": ("a", "b")})


def test_splits_never_share_a_drawing() -> None:
    first = {split: stream(split, 0, 0).integers(2**60) for split in ("train", "demo", "eval", "test")}
    assert len(set(first.values())) == 4
    assert stream("eval", 0, 0).integers(2**60) == first["eval"]
