"""One caption, its score and its route, as the report counts them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from MetaCaptioner.agents.thresholds import Thresholds, why_unmarked
from MetaCaptioner.errors import UserError
from MetaCaptioner.records.record import Record, is_error
from MetaCaptioner.worklist.best_caption import Candidate, best

State = Literal["marked", "unmarked", "failed"]
NO_DOMAIN = "Not routed"


class Tokens(NamedTuple):
    """Tokens that the engine read, of those the ones it had in its cache, and the ones it wrote."""

    input: int = 0
    cached: int = 0
    output: int = 0


class Route(NamedTuple):
    """The router's domain and its confidence, 0 to 1, where it is known."""

    task: str
    confidence: float | None


@dataclass
class Sums:
    """What a number of samples add up to. `seconds` are those of `seconds_of`."""

    count: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    words: int = 0
    seconds: float = 0.0

    def add(self, tokens: Tokens, words: int, seconds: float) -> None:
        """Count one."""
        self.count += 1
        self.input += tokens.input
        self.cached += tokens.cached
        self.output += tokens.output
        self.words += words
        self.seconds += seconds

    def content(self) -> list[float]:
        """What the page is given."""
        return [self.count, self.input, self.cached, self.output, self.words, round(self.seconds, 1)]


@dataclass(frozen=True, eq=False)
class Entry:
    """A caption record with what is counted of it.

    `candidates` are all captions of its sample, the first one first; `record` and `score` are of the best. `overall`
    and `lowest` (the lowest single mark, of those that have no threshold of their own) are there if it is marked;
    `is_below` says whether one that has is lower than that, or too few claims are supported. `tokens` were spent on
    all candidates.
    """

    candidates: Sequence[Candidate]
    record: Record
    score: Record | None
    route: Route | None
    domain: str
    dataset: str
    state: State
    overall: float | None
    lowest: int | None
    is_below: bool
    truncated: bool
    words: int
    tokens: Tokens

    @property
    def sample_id(self) -> str:
        return str(self.record["sample_id"])


def tokens_of(record: Record) -> Tokens:
    """What the record says was spent on its sample: its own figures, or else those of its agents; zeros without any."""
    if "output_tokens" in record:
        return _tokens(record)
    agents = record.get("agents") or {}
    return Tokens(*map(sum, zip(*map(_tokens, agents.values()), strict=True)))


def _tokens(figures: Mapping[str, int | None]) -> Tokens:
    return Tokens(
        figures.get("input_tokens") or 0, figures.get("cached_tokens") or 0, figures.get("output_tokens") or 0
    )


def seconds_of(record: Record) -> float:
    """From the first look at a sample to its record, waiting among other samples included."""
    return float(record.get("seconds") or 0)


def read_entry(candidates: Sequence[Candidate], route: Route | None, thresholds: Thresholds) -> Entry:
    """Look at the caption records of one sample, their scores and its route.

    Raises:
        UserError: it is no caption record, as in a folder of routes.
    """
    chosen, first = best(candidates), candidates[0]
    record, score = chosen.record, chosen.score
    failed = is_error(record)
    if not failed and not isinstance(record.get("caption"), str):
        raise UserError(
            f"record {record['sample_id']} has no caption: --data-folder is for results of the caption stage"
        )
    judged = score if why_unmarked(record, score) is None else None
    marks: Mapping[str, int] = judged["scores"] if judged else {}
    least = thresholds.of_dimension
    is_low = any(marks.get(name, 0) < mark for name, mark in least.items()) or bool(thresholds.claims_against(record))
    spent = [*(candidate.record for candidate in candidates), *([first.score] if first.score else [])]
    return Entry(
        candidates=candidates,
        record=record,
        score=score,
        route=route,
        domain=record.get("task") or NO_DOMAIN,
        dataset=str(record.get("data_name")),
        state="marked" if judged else "failed" if failed else "unmarked",
        overall=float(judged["overall"]) if judged else None,
        lowest=min((mark for name, mark in marks.items() if name not in least), default=5) if judged else None,
        is_below=judged is not None and is_low,
        truncated=bool(record.get("truncated")),
        words=0 if failed else len(record["caption"].split()),
        tokens=Tokens(*map(sum, zip(*map(tokens_of, spent), strict=True))),
    )
