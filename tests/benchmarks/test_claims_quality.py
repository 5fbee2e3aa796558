"""The figures of the claims' check are what can be counted by hand, and the whole of it runs on the scripted engine."""

import sys
from pathlib import Path

import pytest

from benchmarks.claims_quality import Planted, drops, telling_apart
from demo.corrupt import Judged, right
from demo.drawing import AGENTS, KINDS
from demo.make_data import Item
from demo.scene import stream
from MetaCaptioner.agents.blocks import claims_of, split
from MetaCaptioner.records.record import Record
from tests.pipeline.commands import records, run

KIND = KINDS[0]
TRUTH = KIND.draw(stream("test", 9), 1).claims
ITEM = Item("set", 0, Path("0.png"), KIND, TRUTH, (448, 448))
AGENT = AGENTS[KIND.domain][2]


def with_mistake() -> Judged:
    """The true caption with the colour of one thing changed."""
    place = next(index for index, claim in enumerate(TRUTH) if "colour" in claim.values)
    colours = TRUTH[place].statement.choices["colour"]
    other = next(colour for colour in colours if colour != TRUTH[place].values["colour"])
    said = (*TRUTH[:place], TRUTH[place].with_value("colour", other), *TRUTH[place + 1 :])
    return Judged(" ".join(claim.sentence() for claim in said), TRUTH, said, "wrong_colour", AGENT)


def answers(caption: str, supported: set[str], share: float | None) -> list[Record]:
    """The claims of a caption: `supported` are so, with that probability; with None, without any."""
    told: list[Record] = []
    for text in claims_of(split(caption)):
        is_so = text in supported
        shares = {} if share is None else {"supported": share if is_so else 1 - share, "contradicted": 0.0}
        told.append({"text": text, "answer": "supported" if is_so else "not visible", **shares})
    return told


def planted(judged: Judged, supported: set[str], share: float | None = 0.9) -> Planted:
    return Planted(ITEM, judged, answers(judged.caption, supported, share))


TRUE = {claim.sentence() for claim in TRUTH}


@pytest.mark.parametrize("share", [0.9, None])
def test_a_model_that_knows_tells_all_apart_and_drops_what_is_false(share: float | None) -> None:
    found = [planted(right(TRUTH, AGENT), TRUE, share), planted(with_mistake(), TRUE, share)]
    [area], lines = telling_apart(found)
    assert area.value == 1.0
    assert f"| true | {2 * len(TRUTH) - 1} | {0.9 if share else 1:.3f} | | 1.000 |" in lines
    assert f"| wrong colour | 1 | {0.1 if share else 0:.3f} | 1.000 | 0.000 |" in lines
    judged = with_mistake()
    captions: dict[str, Record] = {"set/0": {"caption": judged.caption, "claims": found[1].claims}}
    targets, _ = drops(found, [ITEM], captions)
    gained, lost, own = targets
    facts = sum(len(claim.facts()) for claim in TRUTH)
    assert gained.value == pytest.approx(1 / facts)  # the colour alone was false
    assert lost.value == 0
    assert 0 < own.value < 0.5  # what else the dropped sentence says is true


def test_a_model_that_guesses_tells_nothing_apart() -> None:
    everything = TRUE | {claim.sentence() for claim in with_mistake().said}
    found = [planted(right(TRUTH, AGENT), everything), planted(with_mistake(), everything)]
    [area], _ = telling_apart(found)
    assert area.value == 0.5
    assert not area.reached


def test_a_question_without_an_answer_counts_as_none() -> None:
    unanswered: list[Record] = [
        {"text": text, "error": {"kind": "refused"}} for text in claims_of(split(with_mistake().caption))
    ]
    found = [
        planted(right(TRUTH, AGENT), TRUE),
        planted(with_mistake(), TRUE),
        Planted(ITEM, with_mistake(), unanswered),
    ]
    _, lines = telling_apart(found)
    assert lines[-1] == f"{len(TRUTH)} questions had no answer."


def test_it_runs_on_the_scripted_engine(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.claims_quality",
        "--items",
        "2",
        "--engine",
        "scripted",
        "--work",
        tmp_path,
    ]
    done = run([*command, "--write", tmp_path / "figures.json"])
    assert done.returncode == 1  # its answers are random
    assert "| AUC, true against planted false claims | 0." in done.stdout
    assert "| tokens of | input | of them cached | output |" in done.stdout
    assert len(records(tmp_path / "Planted" / "claims")) == 36
    again = run(command)
    assert again.returncode == 1
    assert "36 of 36 samples are done, 0 to do" in again.stdout
