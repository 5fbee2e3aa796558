"""Result folders -> everything that the page shows, as one JSON object."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from MetaCaptioner.agents.thresholds import Thresholds, told_mixture
from MetaCaptioner.data.taxonomy import DOMAINS
from MetaCaptioner.errors import UserError
from MetaCaptioner.records.record import Record
from MetaCaptioner.report.comparison import Comparison
from MetaCaptioner.report.entry import Entry
from MetaCaptioner.report.gallery import Chooser, media_name, shown
from MetaCaptioner.report.pictures import pictures_of
from MetaCaptioner.report.questions import evaluation_of
from MetaCaptioner.report.routes import CONFIDENCE_BINS, find_routes
from MetaCaptioner.report.summary import RunSummary
from MetaCaptioner.worklist.best_caption import check_have_claims, marked_dimensions

# All pictures of a page together; with base64 they take a third more.
_PICTURE_BYTES = 8_000_000
_MOST_PICTURE_BYTES = 32_000


@dataclass(frozen=True)
class Run:
    """Where a run's captions, scores, routes and answers are; None means their usual folders.

    Routes are in `Domain` beside the captions, answers to questions in `answers` within.
    """

    captions: Path
    scores: Path
    routes: Path | None = None
    answers: Path | None = None

    def summary(self, thresholds: Thresholds) -> RunSummary:
        """What it is counted into."""
        return RunSummary(self.captions, self.scores, find_routes(self.captions, self.routes), thresholds)


def collect(
    run: Run, other: Run | None, gallery: int, thresholds: Thresholds, allow_outside_root: bool = False
) -> Record:
    """Read one run, or two over the same data, and choose at most `gallery` samples to show.

    Raises:
        UserError: a folder holds no captions, or the two runs share no sample.
    """
    runs = [run] if other is None else [run, other]
    least = thresholds.of_dimension
    for one in runs:
        thresholds.check_dimensions(marked_dimensions(one.scores, least), f"the judge of {one.scores}")
        check_have_claims(one.captions, thresholds)
    summaries = [one.summary(thresholds) for one in runs]
    comparison, chooser = Comparison(), Chooser(gallery)
    for summary in summaries[1:]:
        for entry in summary.read():
            comparison.note(entry)
    for entry in summaries[0].read():
        chooser.add(entry, comparison.add(entry))
    if other is not None and comparison.common == 0:
        raise UserError(f"{other.captions} and {run.captions} share no sample: compare runs over the same data")
    domains = _domains(summaries)
    datasets = sorted({dataset for summary in summaries for _, dataset in summary.groups})
    return {
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "thresholds": {
            "overall": thresholds.overall,
            "lowest": thresholds.dimension,
            "ofDimension": dict(least),
            "claim": thresholds.claim,
        },
        "dimensions": _dimensions(summaries),
        "judges": told_mixture(sum((summary.judged for summary in summaries), Counter())),
        "confidenceBins": CONFIDENCE_BINS,
        "domains": domains,
        "datasets": datasets,
        "runs": [summary.content(domains, datasets) for summary in summaries],
        "comparison": comparison.content(domains, datasets) if other else None,
        "evaluation": evaluation_of(run.answers or run.captions / "answers", run.captions, gallery),
        "gallery": _gallery(chooser.chosen(), summaries[1:], allow_outside_root),
    }


def _dimensions(summaries: Iterable[RunSummary]) -> list[str]:
    """All that there are marks for, in the order in which judges have them."""
    return [*dict.fromkeys(name for summary in summaries for names in summary.judged for name in names)]


def _domains(summaries: Iterable[RunSummary]) -> list[str]:
    """All domains that captions or routes name: the nine in their order, then others."""
    named = {domain for summary in summaries for domain, _ in summary.groups}
    named |= {task for summary in summaries for group in summary.groups.values() for task in group.routed}
    known = [domain.name for domain in DOMAINS]
    return [name for name in known if name in named] + sorted(named - set(known))


def _gallery(chosen: Sequence[Entry], others: Sequence[RunSummary], allow_outside_root: bool) -> list[Record]:
    """The chosen samples, each with the captions that the other runs have of it."""
    ids = {entry.sample_id for entry in chosen}
    found = [other.find(ids) for other in others]
    most_bytes = min(_MOST_PICTURE_BYTES, _PICTURE_BYTES // max(1, len(chosen)))
    pictures = pictures_of([entry.record for entry in chosen], most_bytes, allow_outside_root)
    return [
        {
            "id": entry.sample_id,
            "dataset": entry.dataset,
            "media": media_name(entry.record),
            "modality": entry.record.get("modality"),
            "picture": picture.uri,
            "width": picture.width,
            "height": picture.height,
            "problem": picture.problem,
            "captions": [shown(entry), *(_shown(run.get(entry.sample_id)) for run in found)],
        }
        for entry, picture in zip(chosen, pictures, strict=True)
    ]


def _shown(entry: Entry | None) -> Record | None:
    return None if entry is None else shown(entry)
