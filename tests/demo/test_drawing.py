"""Every kind of drawing keeps what `demo.scene` promises."""

import numpy as np
import pytest

from demo.batches import see_clip, see_picture
from demo.drawing import AGENTS, KINDS, STATEMENTS, kinds_of
from demo.scene import Clip, Drawing, Kind, caption, notes, read_caption, stream
from MetaCaptioner.data.taxonomy import DOMAINS

DRAWINGS = 15


def seen(drawing: Drawing) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    return see_clip(drawing) if isinstance(drawing, Clip) else see_picture(drawing)


def test_all_nine_domains_are_drawn() -> None:
    assert list(AGENTS) == list(STATEMENTS) == list(dict.fromkeys(kind.domain for kind in KINDS))
    assert set(AGENTS) == {domain.name for domain in DOMAINS}
    subdomains = {domain.name: domain.subdomains for domain in DOMAINS}
    for kind in KINDS:
        assert kind.subdomain in subdomains[kind.domain], kind.name
    assert all(len(kinds_of(domain)) >= 3 for domain in AGENTS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_claims_can_be_told_and_read_back(kind: Kind) -> None:
    for number in range(DRAWINGS):
        drawing = kind.draw(stream("test", 10, number), 1)
        claims = drawing.claims
        assert 5 <= len(claims) <= 8
        assert len({claim.key for claim in claims}) == len(claims)
        assert {claim.statement.agent for claim in claims} == set(AGENTS[kind.domain])
        assert all(claim.statement in kind.statements for claim in claims)
        assert len(notes(claims)) <= 200
        facts, strange = read_caption(caption(claims), STATEMENTS[kind.domain])
        assert strange == []
        assert facts == set().union(*(claim.facts() for claim in claims))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_same_stream_draws_the_same_and_another_draws_otherwise(kind: Kind) -> None:
    first, again, other = (kind.draw(stream("test", 11, number), 1) for number in (0, 0, 1))
    assert first.claims == again.claims
    assert np.array_equal(seen(first), seen(again))
    assert not np.array_equal(seen(first), seen(other))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_scale_changes_the_edges_only(kind: Kind) -> None:
    coarse, fine = (kind.draw(stream("test", 12), scale) for scale in (1, 2))
    assert coarse.claims == fine.claims
    assert np.abs(seen(coarse).astype(int) - seen(fine)).mean() < 12
