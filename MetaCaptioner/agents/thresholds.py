"""Which captions the judge's marks let through."""

import argparse
from dataclasses import dataclass

from MetaCaptioner.agents.judge import DIMENSIONS
from MetaCaptioner.agents.repetition import repeats_itself
from MetaCaptioner.errors import BadArguments
from MetaCaptioner.records.media_identity import same_media
from MetaCaptioner.records.record import Record, is_error, told_error
from MetaCaptioner.records.row_map import caption_hash


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


def add_threshold_arguments(parser: argparse._ActionsContainer) -> None:
    """The flags that say which captions are good enough."""
    parser.add_argument("--min-overall", type=float, default=3.0, help="lowest mean of the five marks")
    parser.add_argument("--min-dim-score", type=int, default=3, help="lowest single mark, 1 to 5")
    parser.add_argument("--drop-truncated", action="store_true", help="reject captions cut at their token budget")


def thresholds_from(arguments: argparse.Namespace) -> Thresholds:
    """The thresholds that the flags name.

    Raises:
        BadArguments: one that no mark can have.
    """
    for name in ("min_overall", "min_dim_score"):
        if not 1 <= getattr(arguments, name) <= 5:
            raise BadArguments(f"--{name.replace('_', '-')} must be from 1 to 5")
    return Thresholds(arguments.min_overall, arguments.min_dim_score, arguments.drop_truncated)


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
