"""Which captions the judge's marks let through."""

from dataclasses import dataclass
from typing import ClassVar

from MetaCaptioner.agents.judge import DIMENSIONS
from MetaCaptioner.agents.repetition import repeats_itself
from MetaCaptioner.records.media_identity import same_media
from MetaCaptioner.records.record import Record, is_error, told_error
from MetaCaptioner.records.row_map import caption_hash
from MetaCaptioner.utils.options import Flag, Options, option


@dataclass(frozen=True)
class Thresholds:
    """What a caption needs: at least these marks, and with `whole` an end."""

    overall: float
    dimension: int
    whole: bool

    def against(self, record: Record, score: Record) -> list[str]:
        """Why a caption with these marks is rejected; nothing if it is good enough."""
        reasons = [
            f"{name} too low ({score['scores'][name]} < {self.dimension})"
            for name in DIMENSIONS
            if score["scores"][name] < self.dimension
        ]
        if score["overall"] < self.overall:
            reasons.insert(0, f"overall too low ({score['overall']:g} < {self.overall:g})")
        if self.whole and record.get("truncated"):
            reasons.append("cut at its token budget")
        return reasons


class MarksOptions(Options):
    """The marks that are good enough."""

    heading: ClassVar[str] = "which captions are good enough"

    min_overall: float = option(3.0, "lowest mean of the five marks", Flag("MARK"), ge=1, le=5)
    min_dim_score: int = option(3, "lowest single mark, 1 to 5", Flag("MARK"), ge=1, le=5)


class ThresholdOptions(MarksOptions):
    """Which captions are good enough."""

    drop_truncated: bool = option(False, "reject captions cut at their token budget")

    def thresholds(self) -> Thresholds:
        """What a caption needs."""
        return Thresholds(self.min_overall, self.min_dim_score, self.drop_truncated)


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
    """Whether a score has all that a judge gives; somebody may have edited it."""
    scores, mean = score.get("scores"), score.get("overall")
    sound = isinstance(scores, dict) and all(scores.get(name) in (1, 2, 3, 4, 5) for name in DIMENSIONS)
    return sound and isinstance(mean, int | float) and 1 <= mean <= 5
