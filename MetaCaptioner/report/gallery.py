"""The samples that the page shows: a bounded choice in which every domain and every level of marks has its share."""

import hashlib
import heapq
from collections import defaultdict
from itertools import chain, count, islice, zip_longest

from MetaCaptioner.records.claims import answer_of, claims_of, has_claims, probabilities
from MetaCaptioner.records.record import Record, told_error
from MetaCaptioner.report.entry import Entry

# A record holds what models wrote, however much that is. These bounds keep a page of some hundred samples small.
_TEXT_CHARACTERS = 4000
_NAME_CHARACTERS = 300
_CLAIMS = 100

Stratum = tuple[str, str, str]
Candidate = tuple[int, int, Entry]
"""Hash of the sample (negative, so that a heap gives up the largest), a number of its own, the caption."""


def _hash(text: str) -> int:
    """A number of 64 bits that depends on nothing but `text`."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())


class Chooser:
    """Chooses at most `limit` samples while all go by: the same ones each time for the same data.

    The strata (domain, level of marks, change from run to run) take turns, and of each the samples with the smallest
    hashes are taken. About twice `limit` samples are held at most: the share of a stratum only shrinks while others
    grow, so what is beyond it now will never be taken.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[Stratum, list[Candidate]] = defaultdict(list)
        self._share = limit
        self._count = 0
        self._numbers = count()

    def add(self, entry: Entry, change: str) -> None:
        """Consider one sample; `change` is what became of it in another run."""
        level = entry.state if entry.overall is None else f"{int(entry.overall)}"
        held = self._held[entry.domain, level, change]
        candidate = (-_hash(entry.sample_id), next(self._numbers), entry)
        if len(held) < self._share:
            heapq.heappush(held, candidate)
            self._count += 1
            if self._count > 2 * self._limit:
                self._trim()
        elif held:
            heapq.heappushpop(held, candidate)

    def _trim(self) -> None:
        """Give up what is beyond every stratum's share now."""
        sizes = [len(held) for held in self._held.values()]
        while sum(min(size, self._share - 1) for size in sizes) >= self._limit:
            self._share -= 1
        for held in self._held.values():
            while len(held) > self._share:
                heapq.heappop(held)
        self._count = sum(len(held) for held in self._held.values())

    def chosen(self) -> list[Entry]:
        """The samples, in an order that mixes the strata."""
        strata = [sorted(held, reverse=True) for _, held in sorted(self._held.items())]
        turns = (candidate for candidate in chain.from_iterable(zip_longest(*strata)) if candidate is not None)
        return [entry for _, _, entry in sorted(islice(turns, self._limit))]


def clip(text: object, characters: int = _TEXT_CHARACTERS) -> str:
    """`text`, or so much of it and how much was left out."""
    whole = str(text)
    if len(whole) <= characters:
        return whole
    return f"{whole[:characters]} … ({len(whole) - characters:,} more characters)"


def _agents(record: Record) -> list[Record]:
    agents: Record = record.get("agents") or {}
    return [
        {
            "name": clip(name, _NAME_CHARACTERS),
            "text": clip(agent.get("text", "")),
            "finish": agent.get("finish_reason"),
            "tokens": agent.get("output_tokens"),
        }
        for name, agent in agents.items()
    ]


def _claims(record: Record) -> list[Record] | None:
    """The claims of a caption; None where they were not checked."""
    if not has_claims(record):
        return None
    return [
        {
            "text": clip(claim["text"], _NAME_CHARACTERS),
            "answer": answer_of(claim),
            "shares": probabilities(claim),
            "dropped": claim.get("dropped") is True,
        }
        for claim in islice(claims_of(record), _CLAIMS)
    ]


def _error(record: Record, score: Record | None) -> Record | None:
    for stage, failed in (("caption", record), ("score", score)):
        if failed is not None and failed.get("error"):
            error = told_error(failed)
            return {"stage": stage, "kind": str(error.get("kind")), "message": clip(str(error.get("message", "")))}
    return None


def shown(entry: Entry) -> Record:
    """What the page is given of one run's caption of a sample."""
    record, score = entry.record, entry.score
    marked = score if entry.state == "marked" else None
    return {
        "state": entry.state,
        "domain": entry.domain,
        "subdomain": record.get("subdomain"),
        "source": record.get("task_source"),
        "routed": entry.route.task if entry.route else None,
        "confidence": entry.route.confidence if entry.route else None,
        "runnerUp": record.get("runner_up"),
        "caption": clip(record.get("caption") or ""),
        "truncated": entry.truncated,
        "words": entry.words,
        "agents": _agents(record),
        "claims": _claims(record),
        "overall": entry.overall,
        "lowest": entry.lowest,
        "below": entry.is_below,
        "scores": marked["scores"] if marked else None,
        "reason": clip(marked.get("reason", "")) if marked else None,
        "error": _error(record, score),
        "tokens": entry.tokens,
        "attempts": record.get("attempts"),
        "model": record.get("model"),
    }


def media_name(record: Record) -> str:
    """The media file as the annotation names it."""
    return clip(record.get(str(record.get("modality"))) or "", _NAME_CHARACTERS)
