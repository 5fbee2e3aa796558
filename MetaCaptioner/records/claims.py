"""What a caption record tells of its claims: the sentences that were checked against the media, each with the answer.

A claim is `{"text", "answer", "supported", "contradicted"}`: the likeliest of `ANSWERS` and the probabilities of two of
them, which are absent where the engine does not tell them; `{"text", "error"}` where there is no answer. `dropped`
marks those that were taken out of the caption.
"""

from collections import Counter
from collections.abc import Iterator

from MetaCaptioner.records.record import Record

SUPPORTED, CONTRADICTED, NOT_VISIBLE = ANSWERS = ("supported", "contradicted", "not visible")
UNANSWERED = "unanswered"


def has_claims(record: Record) -> bool:
    """Whether the claims of a caption were checked; it may have none."""
    return isinstance(record.get("claims"), list)


def claims_of(record: Record) -> Iterator[Record]:
    """The claims of a caption as far as they are sound; somebody may have edited them."""
    for claim in record["claims"] if has_claims(record) else ():
        if isinstance(claim, dict) and isinstance(claim.get("text"), str):
            yield claim


def answer_of(claim: Record) -> str:
    """One of `ANSWERS`, or that there is none."""
    answer = claim.get("answer")
    return answer if answer in ANSWERS else UNANSWERED


def is_doubtful(claim: Record) -> bool:
    """Whether the media do not support a claim, as far as it was answered."""
    return answer_of(claim) in (CONTRADICTED, NOT_VISIBLE)


def answers(record: Record) -> Counter[str]:
    """How many of the claims of a caption were answered how."""
    return Counter(map(answer_of, claims_of(record)))


def share_supported(record: Record) -> float | None:
    """The share of the claims with an answer that are supported; 1 where nothing was claimed, None where nothing is
    known."""
    if not has_claims(record):
        return None
    found = answers(record)
    answered = found.total() - found[UNANSWERED]
    if not answered:
        return None if found else 1.0
    return found[SUPPORTED] / answered


def told_claims(record: Record) -> str:
    """The claims as a text for prompts, a line each."""
    lines = [f"- {told_claim(claim)}" for claim in claims_of(record)]
    return "\n".join(lines) or "none was checked"


def told_claim(claim: Record) -> str:
    """A claim and its answer, with the probability of that where it is known."""
    answer = answer_of(claim)
    share = probabilities(claim).get(answer)
    sure = "" if share is None else f", {100 * share:.0f}%"
    return f"{' '.join(claim['text'].split())} ({answer}{sure})"


def probabilities(claim: Record) -> dict[str, float]:
    """The probability of each answer; nothing where they are not known."""
    told = [claim.get(name) for name in (SUPPORTED, CONTRADICTED)]
    known = [float(share) for share in told if isinstance(share, int | float) and 0 <= share <= 1]
    if len(known) < 2 or sum(known) > 1.001:
        return {}
    return dict(zip(ANSWERS, (*known, max(0.0, 1 - sum(known))), strict=True))
