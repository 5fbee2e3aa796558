"""Keep the captions that the judge marked well.

    python dataprocess/filterd_by_score.py --data-folder ./Output/Caption --min-overall 3 --min-dim-score 3

Writes filtered/kept.jsonl, filtered/rejected.jsonl (each record says why) and filtered/summary.json under the data
folder. Every caption record ends in exactly one of the two. The summary tells as well what the captions have cost, from
the run logs beside the results.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import _repository  # noqa: F401

from MetaCaptioner.accounting import Figures, Run, cost_of, describe_rates, runs_of
from MetaCaptioner.captionpipeline import STAGE as CAPTION_STAGE
from MetaCaptioner.errors import BadArguments, UserError
from MetaCaptioner.files import atomic_write
from MetaCaptioner.inferscore import DIMENSIONS
from MetaCaptioner.results import Record, is_error, read_records, result_files
from MetaCaptioner.terminal import run_main, say
from MetaCaptioner.work import caption_hash


@dataclass(frozen=True)
class Thresholds:
    """What a caption needs: at least these marks, and with `whole` an end."""

    overall: float
    dimension: int
    whole: bool


@dataclass
class Summary:
    """The counts of summary.json."""

    kept: Counter[str] = field(default_factory=Counter)
    total: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    marks: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

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

    def content(self, thresholds: Thresholds, runs: Sequence[Run]) -> Record:
        """What is written."""

        def group(prefix: str) -> Record:
            names = sorted(name for name in self.total if name.startswith(prefix))
            return {n.removeprefix(prefix): {"total": self.total[n], "kept": self.kept[n]} for n in names}

        return {
            "thresholds": {
                "min_overall": thresholds.overall,
                "min_dim_score": thresholds.dimension,
                "drop_truncated": thresholds.whole,
            },
            "total": self.total["all"],
            "kept": self.kept["all"],
            "rejected": self.total["all"] - self.kept["all"],
            "reasons": dict(self.reasons.most_common()),
            "domains": group("domain: "),
            "datasets": group("dataset: "),
            "scores": {name: dict(sorted(counts.items())) for name, counts in sorted(self.marks.items())},
            "cost": cost_of(runs, self.kept["all"]),
        }


def why_unmarked(record: Record, score: Record | None) -> str | None:
    """Why a caption has no marks that count, whatever the thresholds; None if it has them."""
    if is_error(record):
        return f"caption failed ({record.get('error', {}).get('kind', 'no kind')})"
    if score is None:
        return "no score"
    if score.get("caption_hash", caption_hash(record["caption"])) != caption_hash(record["caption"]):
        return "score of an earlier caption"
    if is_error(score):
        return f"score failed ({score.get('error', {}).get('kind', 'no kind')})"
    return None


def reasons_against(record: Record, score: Record | None, thresholds: Thresholds) -> list[str]:
    """Why a caption is rejected; none if it is kept."""
    unmarked = why_unmarked(record, score)
    if unmarked is not None or score is None:
        return [unmarked or "no score"]
    reasons = [
        f"{name} too low ({score['scores'][name]} < {thresholds.dimension})"
        for name in DIMENSIONS
        if score["scores"][name] < thresholds.dimension
    ]
    if score["overall"] < thresholds.overall:
        reasons.insert(0, f"overall too low ({score['overall']:g} < {thresholds.overall:g})")
    if thresholds.whole and record.get("truncated"):
        reasons.append("cut at its token budget")
    return reasons


def scored_captions(captions: Path, scores: Path) -> Iterator[tuple[Record, Record | None]]:
    """Every caption record with its score; the scores of one rank are held in memory at a time."""
    by_rank: dict[int, list[Path]] = defaultdict(list)
    for path, name in result_files(captions):
        by_rank[name.rank].append(path)
    for rank, paths in by_rank.items():
        found = {record["sample_id"]: record for path, _ in result_files(scores, rank) for record in read_records(path)}
        for path in paths:
            for record in read_records(path):
                yield record, found.get(record["sample_id"])


def filter_captions(captions: Path, scores: Path, routes: Path, output: Path, thresholds: Thresholds) -> Record:
    """Write the three files. The routes, which need not be there, only add to what the captions have cost.

    Returns:
        The content of summary.json.

    Raises:
        UserError: there are no captions, or a file cannot be written.
    """
    if not result_files(captions):
        raise UserError(f"data folder {captions}: holds no caption results (Rank*_node*_*.jsonl)")
    if not result_files(scores):
        raise UserError(f"score folder {scores}: holds no scores; score first (script/run_filter.sh)")
    summary = Summary()
    kept_path, rejected_path = output / "kept.jsonl", output / "rejected.jsonl"
    with atomic_write(kept_path, "output") as kept, atomic_write(rejected_path, "output") as rejected:
        for caption, score in scored_captions(captions, scores):
            reasons = reasons_against(caption, score, thresholds)
            marks: Record = (
                {name: score[name] for name in ("scores", "overall", "reason") if name in score} if score else {}
            )
            record = {**caption, **marks}
            if reasons:
                record["rejected"] = reasons
            (rejected if reasons else kept).write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
            summary.add(record, reasons)
    content = summary.content(thresholds, runs_of((routes, captions, scores)))
    with atomic_write(output / "summary.json", "output") as file:
        file.write(json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")
    return content


def describe_cost(content: Record) -> list[str]:
    """What the captions have cost, in lines, from the content of summary.json."""
    costs, stages = content["cost"], content["cost"]["stages"]
    if not stages:
        return ["cost: not known, since there are no run logs beside the results"]
    if costs["gpu_hours"] is None:
        head = "cost: no GPU was used"
    elif costs["gpu_hours_per_thousand_kept"] is None:
        head = f"cost: {costs['gpu_hours']:,.2f} GPU hours, and no caption was kept"
    else:
        per_thousand = costs["gpu_hours_per_thousand_kept"]
        head = f"cost: {per_thousand:,.2f} GPU hours per thousand kept captions ({costs['gpu_hours']:,.2f} in all)"
    lines = [head]
    for name, fields in stages.items():
        sums = Figures(**fields)
        parts = [f"{sums.runs} runs, {describe_rates(sums)} a rank"]
        parts += [f"{sums.gpu_hours:,.2f} GPU hours"] if sums.gpu_hours is not None else []
        parts += [f"{sums.without_gpu} without a GPU"] if 0 < sums.without_gpu < sums.runs else []
        parts += [f"{sums.cut_off} killed or going on"] if sums.cut_off else []
        lines.append(f"  {name}: {'; '.join(parts)}")
    told = stages.get(CAPTION_STAGE.name, {"images": 0, "videos": 0, "failed": 0})
    count = told["images"] + told["videos"] + told["failed"]
    if count < content["total"]:
        lines.append(f"  the run logs tell of {count} of the {content['total']} captions; the rest cost more than this")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Filter and tell what was kept."""
    parser = argparse.ArgumentParser(description="Keep the captions that the judge marked well.")
    parser.add_argument("--data-folder", type=Path, required=True, help="folder of caption results")
    parser.add_argument("--score-folder", type=Path, help="folder of score results (default: DATA_FOLDER/score)")
    parser.add_argument(
        "--domain-folder", type=Path, help="route results, whose cost counts too (default: Domain beside DATA_FOLDER)"
    )
    parser.add_argument("--output-dir", type=Path, help="default: DATA_FOLDER/filtered")
    parser.add_argument("--min-overall", type=float, default=3.0, help="lowest mean of the five marks")
    parser.add_argument("--min-dim-score", type=int, default=3, help="lowest single mark, 1 to 5")
    parser.add_argument("--drop-truncated", action="store_true", help="reject captions cut at their token budget")
    options = parser.parse_args(arguments)
    for name in ("min_overall", "min_dim_score"):
        if not 1 <= getattr(options, name) <= 5:
            raise BadArguments(f"--{name.replace('_', '-')} must be from 1 to 5")
    output = options.output_dir or options.data_folder / "filtered"
    content = filter_captions(
        options.data_folder,
        options.score_folder or options.data_folder / "score",
        options.domain_folder or options.data_folder.absolute().parent / "Domain",
        output,
        Thresholds(options.min_overall, options.min_dim_score, options.drop_truncated),
    )
    say(f"{output}: kept {content['kept']} of {content['total']} captions")
    for reason, count in content["reasons"].items():
        say(f"  {count:>7}  {reason}")
    for line in describe_cost(content):
        say(line)
    return 0


if __name__ == "__main__":
    run_main(main)
