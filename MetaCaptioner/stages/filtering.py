"""The filter: which captions are kept, why others are not, and what they have cost."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from MetaCaptioner.agents.thresholds import Thresholds, dimensions_of, told_mixture
from MetaCaptioner.errors import UserError
from MetaCaptioner.export.filtered import KEPT, REJECTED, SUMMARY, marks_of, remember_place
from MetaCaptioner.metrics.in_words import describe_claims, describe_rates
from MetaCaptioner.metrics.model_usage import ModelFigures
from MetaCaptioner.metrics.usage import Figures, Run, cost_of, figures, runs_of
from MetaCaptioner.records.caption_records import resample_folders
from MetaCaptioner.records.claims import ANSWERS, UNANSWERED, answers, claims_of, has_claims
from MetaCaptioner.records.reader import result_files
from MetaCaptioner.records.record import Record, is_error, is_without_media
from MetaCaptioner.utils.atomic_io import atomic_write
from MetaCaptioner.utils.json_text import to_json
from MetaCaptioner.utils.temporary import remove_left
from MetaCaptioner.utils.text import counted
from MetaCaptioner.worklist.best_caption import (
    Candidate,
    all_candidates,
    best,
    check_are_scores,
    check_have_claims,
    marked_dimensions,
    once_in,
)


@dataclass
class Summary:
    """The counts of summary.json."""

    kept: Counter[str] = field(default_factory=Counter)
    total: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    marks: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    resampled: Counter[str] = field(default_factory=Counter)
    judged: Counter[tuple[str, ...]] = field(default_factory=Counter)
    """Marks by what they are for."""
    claims: Counter[str] = field(default_factory=Counter)
    """Claims by their answers, and of these those that were dropped."""
    checked: int = 0
    """Captions whose claims were checked."""
    unchecked: int = 0
    """Captions of which nothing of the kind is known."""
    without_media: int = 0
    """Rows that no stage can use: neither kept nor rejected."""
    duplicates: int = 0
    """Further records of samples that have another one: neither kept nor rejected."""
    gone: int = 0
    """Captions of media that have left their dataset: neither kept nor rejected."""

    def add(self, record: Record, reasons: Sequence[str]) -> None:
        """Count one caption."""
        for group in ("all", f"domain: {record.get('task') or 'none'}", f"dataset: {record['data_name']}"):
            self.total[group] += 1
            self.kept[group] += not reasons
        self.reasons.update(reason.split(" (")[0] for reason in reasons)
        scores: Record = record.get("scores") or {}
        marks = {**scores, "overall": record.get("overall")}
        for name, mark in marks.items():
            if mark is not None:
                self.marks[name][str(mark)] += 1
        if not is_error(record):
            self.checked += has_claims(record)
            self.unchecked += not has_claims(record)
            self.claims.update(answers(record))
            self.claims["dropped"] += sum(claim.get("dropped") is True for claim in claims_of(record))

    def add_judged(self, candidates: Sequence[Candidate]) -> None:
        """Count what the captions of a sample are marked for."""
        self.judged.update(filter(None, (dimensions_of(one.score) for one in candidates)))

    def add_resampled(self, candidates: Sequence[Candidate], chosen: Candidate, thresholds: Thresholds) -> None:
        """Count a caption that was sampled again: rescued if only a new one is good enough."""
        first = candidates[0]
        self.resampled["captions"] += 1
        self.resampled["replaced"] += chosen is not first
        self.resampled["rescued"] += bool(first.against(thresholds)) and not chosen.against(thresholds)

    def content(self, thresholds: Thresholds, runs: Sequence[Run], resampling: Sequence[Run]) -> Record:
        """What is written; `resampling` are those of the runs that sampled captions again."""

        def group(prefix: str) -> Record:
            names = sorted(name for name in self.total if name.startswith(prefix))
            return {n.removeprefix(prefix): {"total": self.total[n], "kept": self.kept[n]} for n in names}

        return {
            "thresholds": {
                "min_overall": thresholds.overall,
                "min_dim_score": thresholds.dimension,
                "drop_truncated": thresholds.whole,
                **({} if thresholds.claim is None else {"min_claim": thresholds.claim}),
                **({"min_dim_score_of": dict(thresholds.of_dimension)} if thresholds.of_dimension else {}),
            },
            "total": self.total["all"],
            "kept": self.kept["all"],
            "rejected": self.total["all"] - self.kept["all"],
            "without_media": self.without_media,
            "duplicates": self.duplicates,
            "gone": self.gone,
            "reasons": dict(self.reasons.most_common()),
            "domains": group("domain: "),
            "datasets": group("dataset: "),
            "scores": {name: dict(sorted(counts.items())) for name, counts in sorted(self.marks.items())},
            "judged": [{"dimensions": names, "marks": count} for names, count in self.judged.most_common()],
            "claims": {"captions": self.checked, "unchecked": self.unchecked, **self.claims} if self.checked else None,
            "cost": cost_of(runs, self.kept["all"]),
            "resampled": self._resampled(resampling) if resampling or self.resampled else None,
        }

    def _resampled(self, runs: Sequence[Run]) -> Record:
        """What came of sampling again, and what it took."""
        sums = figures(runs)
        counts = {name: self.resampled[name] for name in ("captions", "rescued", "replaced")}
        tokens = {name: getattr(sums, name) for name in ("input_tokens", "cached_tokens", "output_tokens")}
        return {**counts, **tokens, "gpu_hours": sums.gpu_hours if runs else None, "money": sums.money}


def filter_captions(captions: Path, scores: Path, routes: Path, output: Path, thresholds: Thresholds) -> Record:
    """Write the three files. The routes, which need not be there, only add to what the captions have cost.

    Returns:
        The content of summary.json.

    Raises:
        UserError: there are no captions, the scores are none, or a file cannot be written.
    """
    if not result_files(captions):
        raise UserError(f"data folder {captions}: holds no caption results (Rank*_node*_*.jsonl)")
    if not result_files(scores):
        raise UserError(f"score folder {scores}: holds no scores; score first (metacaptioner score)")
    check_are_scores(scores)
    check_have_claims(captions, thresholds)
    thresholds.check_dimensions(marked_dimensions(scores, thresholds.of_dimension), f"the judge of {scores}")
    summary = Summary()
    kept_path, rejected_path = output / KEPT, output / REJECTED
    try:
        (output / SUMMARY).unlink(missing_ok=True)  # written last, it tells that the other two belong together
    except OSError as error:
        raise UserError(f"output {output}: cannot be written: {error.strerror or error}") from error
    for path in (kept_path, rejected_path):
        remove_left(path)
    with atomic_write(kept_path, "output") as kept, atomic_write(rejected_path, "output") as rejected:
        once = once_in(captions)
        for candidates in all_candidates(captions, scores, once):
            if is_without_media(candidates[0].record):
                summary.without_media += 1
                continue
            summary.add_judged(candidates)
            chosen = best(candidates, thresholds)
            reasons = chosen.against(thresholds)
            record = {**chosen.record, **marks_of(chosen)}
            if len(candidates) > 1:
                summary.add_resampled(candidates, chosen, thresholds)
            if reasons:
                record["rejected"] = reasons
            (rejected if reasons else kept).write(to_json(record) + b"\n")
            summary.add(record, reasons)
        summary.duplicates, summary.gone = once.passed_over, once.gone
    again = list(resample_folders(scores).values())
    told = summary.content(thresholds, runs_of((routes, captions, scores, *again)), runs_of(again))
    content = {**told, "score_folder": str(scores.absolute())}
    with atomic_write(output / SUMMARY, "output") as file:
        file.write(to_json(content, indent=2) + b"\n")
    remember_place(captions, output)
    return content


def describe_cost(content: Record) -> list[str]:
    """What the captions have cost, in lines, from the content of summary.json."""
    costs, stages = content["cost"], content["cost"]["stages"]
    if not stages:
        return ["cost: not known, since there are no run logs beside the results"]
    spent = [(costs["gpu_hours"], costs["gpu_hours_per_thousand_kept"], "GPU hours")]
    spent.append((costs["money"], costs["money_per_thousand_kept"], "for tokens"))
    lines = [_cost(*one) for one in spent if one[0] is not None] or ["cost: no GPU was used"]
    for name, fields in stages.items():
        sums = Figures(**fields)
        parts = [f"{counted(sums.runs, 'run')}, {describe_rates(sums)} a rank"]
        parts += [f"{sums.gpu_hours:,.2f} GPU hours"] if sums.gpu_hours is not None else []
        parts += [f"{sums.money:,.2f} for tokens"] if sums.money is not None else []
        parts += describe_claims(sums)
        parts += [f"{sums.without_gpu} without a GPU"] if 0 < sums.without_gpu < sums.runs else []
        parts += [f"{sums.cut_off} killed or going on"] if sums.cut_off else []
        lines.append(f"  {name}: {'; '.join(parts)}")
    lines += [f"  {name}: {ModelFigures(**figures)}" for name, figures in costs.get("models", {}).items()]
    told = stages.get("captionpipeline", {"images": 0, "videos": 0, "failed": 0})
    count = told["images"] + told["videos"] + told["failed"]
    if count < content["total"]:
        lines.append(f"  the run logs tell of {count} of the {content['total']} captions; the rest cost more than this")
    return lines


def describe_judged(content: Record) -> list[str]:
    """What is to be said of marks of several judges, from the content of summary.json."""
    return told_mixture({tuple(one["dimensions"]): one["marks"] for one in content["judged"]})


def describe_checked(content: Record) -> list[str]:
    """How the claims of captions were answered, in lines, from the content of summary.json."""
    told = content["claims"]
    if told is None:
        return []
    counts = ", ".join(f"{told[name]:,} {name}" for name in (*ANSWERS, UNANSWERED, "dropped") if told.get(name))
    lines = [f"claims of {counted(told['captions'], 'caption')}: {counts or 'none'}"]
    return lines + ([f"  made without --claims: {counted(told['unchecked'], 'caption')}"] if told["unchecked"] else [])


def _cost(whole: float, per_thousand: float | None, what: str) -> str:
    if per_thousand is None:
        return f"cost: {whole:,.2f} {what}, and no caption was kept"
    return f"cost: {per_thousand:,.2f} {what} per thousand kept captions ({whole:,.2f} in all)"


def describe_resampled(content: Record) -> list[str]:
    """What came of sampling rejected captions again, in a line, from the content of summary.json."""
    told = content["resampled"]
    if told is None:
        return []
    cost = f"{told['input_tokens']:,} input and {told['output_tokens']:,} output tokens"
    if told["gpu_hours"] is not None:
        cost = f"{told['gpu_hours']:,.2f} GPU hours, {cost}"
    if told["money"] is not None:
        cost = f"{told['money']:,.2f} for tokens, {cost}"
    return [
        f"sampled again: {told['captions']} captions, of which {told['rescued']} were rescued and "
        f"{told['replaced']} replaced by a better one; {cost}"
    ]
