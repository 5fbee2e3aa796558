"""Prove that every sample of a plan has exactly one record.

    python dataprocess/verify.py --plan data/split_plan.jsonl --data-folder Output/Caption

Exit status 0 if complete, 1 if not. Error records count as records (that is what they are for); --fail-on-errors
makes them count as missing. --scores asks for one score of every caption as well.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import _repository  # noqa: F401
import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.errors import UserError
from MetaCaptioner.plan import PlanRow, read_plan
from MetaCaptioner.results import is_error, read_lines, read_records, result_files
from MetaCaptioner.terminal import run_main, say
from MetaCaptioner.work import caption_hash

_EXAMPLES = 5


@dataclass
class Findings:
    """What was found, by kind, with a few examples of each."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: str, example: str, count: int = 1) -> None:
        """Note `count` findings of a kind."""
        self.counts[kind] += count
        if len(self.examples[kind]) < _EXAMPLES:
            self.examples[kind].append(example)


def expected_rows(rows: Sequence[PlanRow]) -> dict[str, NDArray[np.bool_]]:
    """By dataset, which rows must have a record: those of the plan's shards, and those done before it was made."""
    by_name: dict[str, list[PlanRow]] = defaultdict(list)
    for row in rows:
        by_name[row.data_name].append(row)
    expected = {}
    for name, shards in by_name.items():
        mask = np.zeros(max(max(shard.total, shard.end_idx) for shard in shards), dtype=np.bool_)
        for shard in shards:
            mask[shard.start_idx : shard.end_idx] = True
        if int(mask.sum()) + shards[0].processed >= len(mask):
            mask[:] = True
        expected[name] = mask
    return expected


def check_records(folder: Path, expected: dict[str, NDArray[np.bool_]], findings: Findings) -> int:
    """Compare the result files with what is expected; returns the number of captions, routes or scores that are ok."""
    seen = {name: np.zeros(len(mask), dtype=np.uint8) for name, mask in expected.items()}
    sound = 0
    for path, _ in result_files(folder):
        for number, _, record in read_lines(path):
            if record is None:
                findings.add("torn or broken lines", f"{path.name}:{number}")
                continue
            name, index, sample_id = record.get("data_name"), record.get("index"), record["sample_id"]
            counts = seen.get(name) if isinstance(name, str) else None
            if counts is None or not isinstance(index, int) or not 0 <= index < len(counts):
                findings.add("stray records", f"{sample_id} in {path.name}")
                continue
            if counts[index]:
                findings.add("duplicate records", f"{sample_id} in {path.name}")
            counts[index] = 1
            if is_error(record):
                findings.add("failed samples", f"{sample_id}: {record.get('error', {}).get('kind')}")
            else:
                sound += 1
    for name, mask in expected.items():
        missing = np.flatnonzero(mask & (seen[name] == 0))
        for index in missing[:_EXAMPLES]:
            findings.add("missing samples", f"{name}/{index}")
        findings.counts["missing samples"] += max(0, len(missing) - _EXAMPLES)
    return sound


def check_scores(captions: Path, findings: Findings) -> None:
    """Every caption needs one score record."""
    scored: Counter[str] = Counter()
    hashes: dict[str, str] = {}
    for path, _ in result_files(captions / "score"):
        for number, _, record in read_lines(path):
            if record is None:
                findings.add("torn or broken lines", f"score/{path.name}:{number}")
            else:
                scored[record["sample_id"]] += 1
                hashes[record["sample_id"]] = record.get("caption_hash", "")
    for path, _ in result_files(captions):
        for record in read_records(path):
            count = scored.pop(record["sample_id"], 0)
            if count == 0 and not is_error(record):
                findings.add("captions without a score", record["sample_id"])
            given = hashes.get(record["sample_id"])
            if count and given and not is_error(record) and given != caption_hash(record["caption"]):
                findings.add("scores of an earlier caption", record["sample_id"])
            if count > 1:
                findings.add("captions with several scores", record["sample_id"])
    for sample_id in scored:
        findings.add("scores without a caption", sample_id)


def main(arguments: Sequence[str] | None = None) -> int:
    """Say what was found; status 1 unless complete."""
    parser = argparse.ArgumentParser(description="Prove that every sample of a plan has exactly one record.")
    parser.add_argument("--plan", type=Path, required=True, help="split_plan.jsonl")
    parser.add_argument("--data-folder", type=Path, required=True, help="folder of route or caption results")
    parser.add_argument("--scores", action="store_true", help="ask for a score of every caption too")
    parser.add_argument("--fail-on-errors", action="store_true", help="error records are not enough")
    options = parser.parse_args(arguments)
    rows, problems = read_plan(options.plan)
    findings = Findings()
    for problem in problems:
        findings.add("broken plan lines", problem)
    expected = expected_rows(rows)
    if not options.data_folder.is_dir():
        raise UserError(f"data folder {options.data_folder}: there is no such folder")
    sound = check_records(options.data_folder, expected, findings)
    if options.scores:
        check_scores(options.data_folder, findings)
    total = sum(int(mask.sum()) for mask in expected.values())
    tolerated = set() if options.fail_on_errors else {"failed samples"}
    complete = not any(count for kind, count in findings.counts.items() if kind not in tolerated)
    verdict = "complete" if complete else "NOT complete"
    say(f"{options.data_folder}: {verdict}: {total} samples expected, {sound} ok")
    for kind, count in findings.counts.items():
        if count:
            say(f"  {count:>7}  {kind}: {'; '.join(findings.examples[kind])}{' …' if count > _EXAMPLES else ''}")
    return 0 if complete else 1


if __name__ == "__main__":
    run_main(main)
