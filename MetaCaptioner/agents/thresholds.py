"""Which captions the judge's marks let through. What was marked is what the scores say: judges differ in that."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import field_validator

from MetaCaptioner.agents.dimensions import MARKS
from MetaCaptioner.agents.repetition import repeats_itself
from MetaCaptioner.errors import UserError
from MetaCaptioner.records.claims import has_claims, share_supported
from MetaCaptioner.records.media_identity import same_media
from MetaCaptioner.records.record import Record, is_error, told_error
from MetaCaptioner.records.row_map import caption_hash
from MetaCaptioner.utils.options import Flag, Options, nearest, option


@dataclass(frozen=True)
class Thresholds:
    """What a caption needs: at least these marks, with `whole` an end, and of its claims that share supported.

    `dimension` is for every dimension that `of_dimension` has no mark of its own for.
    """

    overall: float
    dimension: int
    whole: bool
    of_dimension: Mapping[str, int] = field(default_factory=dict)
    claim: float | None = None

    def against(self, record: Record, score: Record) -> list[str]:
        """Why a caption with these marks is rejected; nothing if it is good enough."""
        reasons = self.marks_against(score["scores"])
        if score["overall"] < self.overall:
            reasons.insert(0, f"overall too low ({score['overall']:g} < {self.overall:g})")
        if self.whole and record.get("truncated"):
            reasons.append("cut at its token budget")
        return reasons + self.claims_against(record)

    def claims_against(self, record: Record) -> list[str]:
        """Why a caption is rejected by what it claims; those that were dropped count, as it was made with them."""
        if self.claim is None:
            return []
        share = share_supported(record)
        if share is None:
            return ["no claim was answered" if has_claims(record) else "claims were not checked"]
        return [f"too few claims are supported ({share:.2f} < {self.claim:g})"] if share < self.claim else []

    def marks_against(self, marks: Mapping[str, int]) -> list[str]:
        """Which marks are too low, or not there although one is asked for."""
        least = {name: self.of_dimension.get(name, self.dimension) for name in marks}
        low = [f"{name} too low ({mark} < {least[name]})" for name, mark in marks.items() if mark < least[name]]
        return low + [f"no mark for {name}" for name in self.of_dimension if name not in marks]

    def check_dimensions(self, marked: Collection[str], where: str) -> None:
        """Refuse a mark for a dimension that is not among those that are `marked`, if it is known which are.

        Raises:
            UserError: that, with the nearest that there is.
        """
        unknown = next((name for name in self.of_dimension if name not in marked), None)
        if marked and unknown is not None:
            hint = nearest(unknown, marked)
            raise UserError(f"--min-dim-score {unknown}: {where} marks {', '.join(marked)}{hint}")


class MarksOptions(Options):
    """The marks that are good enough."""

    heading: ClassVar[str] = "which captions are good enough"

    min_overall: float = option(3.0, "lowest mean of the marks", Flag("MARK"), ge=1, le=5)
    min_dim_score: list[str] = option(
        ["3"],
        "lowest single mark, 1 to 5; as DIMENSION=MARK that of one dimension, once for each (default: 3)",
        Flag("MARK"),
    )

    min_claim: float | None = option(
        None, "lowest share of a caption's claims that are supported (caption with --claims)", Flag("SHARE"), ge=0, le=1
    )

    @field_validator("min_dim_score", mode="before")
    @classmethod
    def _check_marks(cls, value: Any) -> Any:
        """Each as a text of its own: variables may have several in one, a file a number or names with marks."""
        given = [f"{name}={mark}" for name, mark in value.items()] if isinstance(value, dict) else value
        given = given if isinstance(given, list) else [given]
        texts = [text for one in given for text in str(one).replace(",", " ").split()]
        marks = {str(mark) for mark in MARKS}
        for text in texts:
            name, is_named, mark = text.rpartition("=")
            if is_named and not name.isidentifier():
                raise ValueError(f"must be a mark, or DIMENSION=MARK, not '{text}'")
            if mark not in marks:
                raise ValueError(f"must be from {MARKS[0]} to {MARKS[-1]}{f' for {name}' if name else ''}")
        return texts

    def marks(self, whole: bool = False) -> Thresholds:
        """What a caption needs of marks; of two for the same, the later counts, as on any command line."""
        said = [text.rpartition("=") for text in ("3", *self.min_dim_score)]
        plain = [int(mark) for name, _, mark in said if not name]
        named = {name: int(mark) for name, _, mark in said if name}
        return Thresholds(self.min_overall, plain[-1], whole, named, self.min_claim)


class ThresholdOptions(MarksOptions):
    """Which captions are good enough."""

    drop_truncated: bool = option(False, "reject captions cut at their token budget")

    def thresholds(self) -> Thresholds:
        """What a caption needs."""
        return self.marks(self.drop_truncated)


def why_unmarked(record: Record, score: Record | None) -> str | None:
    """Why a caption has no marks that count, whatever the thresholds; None if it has them."""
    if is_error(record):
        return f"caption failed ({told_error(record).get('kind', 'no kind')})"
    if not isinstance(record.get("caption"), str):
        return "no caption"
    if repeats_itself(record["caption"], bool(record.get("truncated"))):
        return "repeats itself"
    if score is None:
        return "no score"
    if score.get("caption_hash", caption_hash(record["caption"])) != caption_hash(record["caption"]):
        return "score of an earlier caption"
    if not same_media(record, score):
        return "score of other media"
    if is_error(score):
        return f"score failed ({told_error(score).get('kind', 'no kind')})"
    return None if has_marks(score) else "score without sound marks"


def has_marks(score: Record) -> bool:
    """Whether a score has all that a judge gives; somebody may have edited it. A mean lies among its marks."""
    scores, mean = score.get("scores"), score.get("overall")
    if not isinstance(scores, dict) or not scores or not all(mark in MARKS for mark in scores.values()):
        return False
    return isinstance(mean, int | float) and min(scores.values()) <= mean <= max(scores.values())


def dimensions_of(score: Record | None) -> tuple[str, ...]:
    """What a score has marks for; nothing where it has none that count."""
    return tuple(score["scores"]) if score is not None and not is_error(score) and has_marks(score) else ()


def told_mixture(judged: Mapping[tuple[str, ...], int]) -> list[str]:
    """What to say of scores, by their dimensions, that are of judges which marked different ones."""
    kinds: Counter[tuple[str, ...]] = Counter()
    for names, count in judged.items():
        kinds[tuple(sorted(names))] += count
    told = "; ".join(f"{count} have {', '.join(names)}" for names, count in kinds.most_common())
    return [f"marks are of judges with different dimensions, and hardly compare: {told}"] if len(kinds) > 1 else []
