"""What the demo model reaches on fresh drawings, through the whole pipeline on real vLLM.

    python -m benchmarks.demo_quality [--items 48] [--work Output/demo_quality] [--write data/demo/model/quality.json]

Draws pictures and clips that were never trained on, routes, captions and scores them with the commands that users run,
and holds every answer against what was drawn. Ends with status 1 if a figure is below what is asked of the model.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.metrics import FactCount, area_under_roc, calibration_error, count_facts
from demo.corrupt import FALSE_CLAIMS, Judged, another, corrupt, right
from demo.drawing import AGENTS, STATEMENTS, kinds_of
from demo.make_data import Item, routed_datasets, write_datasets
from demo.scene import read_caption, stream
from MetaCaptioner.errors import UserError
from MetaCaptioner.records.reader import read_records, result_files
from MetaCaptioner.records.record import Record
from MetaCaptioner.utils.cli import run_main

ROOT = Path(__file__).resolve().parents[1]
MODEL, PROMPTS = ROOT / "data" / "demo" / "model", ROOT / "data" / "demo" / "prompts"
JUDGED_MISTAKES = FALSE_CLAIMS
"""The sorts of mistakes that are planted, in turns."""


@dataclass(frozen=True)
class Target:
    """A figure and what is asked of it, at least (or at most)."""

    name: str
    value: float
    asked: float
    at_most: bool = False

    @property
    def reached(self) -> bool:
        return self.value <= self.asked if self.at_most else self.value >= self.asked

    def line(self) -> str:
        sign = "<=" if self.at_most else ">="
        return (
            f"| {self.name} | {self.value:.4f} | {sign} {self.asked} | {'reached' if self.reached else 'NOT reached'} |"
        )


def run_module(name: str, *arguments: str | Path) -> None:
    """Run a module of the program in a process of its own.

    Raises:
        UserError: it ended with another status than 0.
    """
    command = [sys.executable, "-m", f"MetaCaptioner.{name}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        raise UserError(f"{name} ended with status {done.returncode}")


def read_folder(folder: Path) -> dict[str, Record]:
    """The records of a result folder by sample.

    Raises:
        UserError: a record is an error.
    """
    records = {r["sample_id"]: r for path, _ in result_files(folder) for r in read_records(path)}
    failed = next((record for record in records.values() if record["status"] != "ok"), None)
    if failed:
        raise UserError(f"{folder}: {failed['sample_id']} failed: {failed['error']}")
    return records


def plant(items: Sequence[Item], captions: dict[str, Record], folder: Path, seed: int) -> dict[str, str | None]:
    """Write caption records for the judge: of every second drawing of each kind the true caption and a damaged one.

    Returns the mistake of every planted sample, None for the right ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mistakes: dict[str, str | None] = {}
    with (folder / "Rank0_node0_planted.jsonl").open("w") as file:
        chosen = [item for item in items if item.index // len(kinds_of(item.kind.domain)) % 2 == 0]
        for number, item in enumerate(chosen):
            record = captions[f"{item.dataset}/{item.index}"]
            for judged in (right(item.claims, AGENTS[item.kind.domain][2]), damaged(chosen, number, seed)):
                name = f"{item.dataset}_{'right' if judged.mistake is None else 'damaged'}"
                sample = {"sample_id": f"{name}/{item.index}", "data_name": name, "caption": judged.caption}
                mistakes[sample["sample_id"]] = judged.mistake
                file.write(json.dumps({**record, **sample}) + "\n")
    return mistakes


def damaged(items: Sequence[Item], number: int, seed: int) -> Judged:
    """The caption of a drawing with a mistake; the sorts take turns, and the next one steps in where one cannot be."""
    item, rng = items[number], stream("eval", seed, 1000, number)
    conclusion_agent = AGENTS[item.kind.domain][2]
    for turn in range(len(JUDGED_MISTAKES)):
        mistake = JUDGED_MISTAKES[(number + turn) % len(JUDGED_MISTAKES)]
        if mistake == "other_picture":
            others = [other for other in items if other.kind.domain == item.kind.domain and other.claims != item.claims]
            return another(item.claims, others[int(rng.integers(len(others)))].claims, conclusion_agent)
        judged = corrupt(rng, item.kind, item.claims, mistake, conclusion_agent)
        if judged is not None:
            return judged
    raise ValueError(f"no mistake can be made in {item.path.name}")


def routing(items: Sequence[Item], routes: dict[str, Record]) -> tuple[list[Target], list[str]]:
    """Accuracy and calibration of the router, and its confusion matrix."""
    found = [(item, routes[f"{item.dataset}/{item.index}"]) for item in items]
    right_domain = [record["task"] == item.kind.domain for item, record in found]
    right_sub = [hit and record["subdomain"] == item.kind.subdomain
                 for hit, (item, record) in zip(right_domain, found, strict=True)]  # fmt: skip
    error = calibration_error([record["task_confidence"] for _, record in found], right_domain)
    names = list(AGENTS)
    counts = Counter((item.kind.domain, record["task"]) for item, record in found)
    head = "| true \\ routed to | " + " | ".join(name.split()[0] for name in names) + " |"
    lines = [f"Routing, {len(items)} drawings; subdomain right as well: {np.mean(right_sub):.3f}", "", head]
    lines.append("| --- |" + " --- |" * len(names))
    lines += [f"| {name} | " + " | ".join(str(counts[name, other]) for other in names) + " |" for name in names]
    accuracy = Target("routing accuracy", float(np.mean(right_domain)), 0.98)
    return [accuracy, Target("calibration error of the confidence", error, 0.05, at_most=True)], lines


def facts_of(item: Item, caption: str) -> FactCount:
    """The facts of a caption against those of the drawing."""
    said, strange = read_caption(caption, STATEMENTS[item.kind.domain])
    return count_facts(said, strange, set().union(*(claim.facts() for claim in item.claims)))


def caption_facts(items: Sequence[Item], captions: dict[str, Record]) -> tuple[list[Target], list[str]]:
    """Precision and recall of the captions' facts, by domain and by kind of drawing."""
    groups: dict[str, dict[str, FactCount]] = {domain: defaultdict(FactCount) for domain in AGENTS}
    for item in items:
        caption = captions[f"{item.dataset}/{item.index}"]["caption"]
        groups[item.kind.domain][item.kind.name] += facts_of(item, caption)
    lines = ["| domain | facts | precision | recall | F1 | F1 by kind |", "| --- | --- | --- | --- | --- | --- |"]
    totals = {domain: sum(kinds.values(), FactCount()) for domain, kinds in groups.items()}
    for domain, total in totals.items():
        by_kind = ", ".join(f"{name} {count.f1:.3f}" for name, count in groups[domain].items())
        figures = f"{total.precision:.3f} | {total.recall:.3f} | {total.f1:.3f}"
        lines.append(f"| {domain} | {total.true} | {figures} | {by_kind} |")
    whole = sum(totals.values(), FactCount())
    lines.append(f"| all | {whole.true} | {whole.precision:.3f} | {whole.recall:.3f} | {whole.f1:.3f} | |")
    worst = min(totals, key=lambda domain: totals[domain].f1)
    return [
        Target("fact F1 over all domains", whole.f1, 0.90),
        Target(f"fact F1 of the worst domain ({worst})", totals[worst].f1, 0.80),
    ], lines


def judging(scores: dict[str, Record], mistakes: dict[str, str | None]) -> tuple[list[Target], list[str]]:
    """How well the judge's overall score and the filter tell right captions from those with a mistake."""
    marks: dict[str | None, list[float]] = defaultdict(list)
    kept: dict[str | None, list[bool]] = defaultdict(list)
    for sample, mistake in mistakes.items():
        record = scores[sample]
        marks[mistake].append(record["overall"])
        kept[mistake].append(record["overall"] >= 3 and min(record["scores"].values()) >= 3)
    sorts = [mistake for mistake in JUDGED_MISTAKES if marks[mistake]]
    lines = [
        "| caption | number | mean overall | AUC against right | kept by the filter at 3 |",
        "| --- |" + " --- |" * 4,
    ]
    lines.append(f"| right | {len(marks[None])} | {np.mean(marks[None]):.2f} | | {np.mean(kept[None]):.3f} |")
    for mistake in sorts:
        area = area_under_roc(marks[None], marks[mistake])
        figures = f"{len(marks[mistake])} | {np.mean(marks[mistake]):.2f} | {area:.3f} | {np.mean(kept[mistake]):.3f}"
        lines.append(f"| {mistake.replace('_', ' ')} | {figures} |")
    bad = [mark for mistake in sorts for mark in marks[mistake]]
    return [Target("judge's AUC, right against wrong", area_under_roc(marks[None], bad), 0.90)], lines


def evaluate(work: Path, model: Path, items_a_domain: int, seed: int) -> tuple[list[Target], str]:
    """Draw, run the pipeline, measure. Returns the figures asked for and the whole report as Markdown.

    What `work` holds of an interrupted run with the same arguments is not done again.

    Raises:
        UserError: a stage failed.
    """
    made = write_datasets(work / "data", routed_datasets(items_a_domain), "eval", seed)
    items = [item for dataset in made.values() for item in dataset]
    plan, flags = work / "plan.jsonl", ("--model", model, "--prompts-dir", PROMPTS)
    run_module("plan", "--metafile", work / "data" / "Metafile.json", "--num-ranks", "1", "--output", plan)
    run_module("inferdomain", "--plan", plan, "--output-dir", work / "Domain", *flags)
    run_module("captionpipeline", "--plan", plan, "--output-dir", work / "Caption", *flags)
    captions = read_folder(work / "Caption")
    mistakes = plant(items, captions, work / "Planted", seed)
    run_module("inferscore", "--data-folder", work / "Planted", *flags)

    parts: list[tuple[str, Callable[[], tuple[list[Target], list[str]]]]] = [
        ("Router", lambda: routing(items, read_folder(work / "Domain"))),
        ("Captions", lambda: caption_facts(items, captions)),
        ("Judge", lambda: judging(read_folder(work / "Planted" / "score"), mistakes)),
    ]
    targets: list[Target] = []
    text: list[str] = []
    for title, measure in parts:
        found, lines = measure()
        targets += found
        text += [f"**{title}**", "", *lines, ""]
    return targets, report("demo_quality", "routed, captioned and scored", targets, text, items_a_domain, seed)


def report(name: str, done: str, targets: Iterable[Target], text: Sequence[str], items: int, seed: int) -> str:
    """The figures of the benchmark of that name, then the tables."""
    head = [
        f"`python -m benchmarks.{name} --items {items} --seed {seed}`: {items} fresh drawings a domain,",
        f"{done} by the pipeline's own commands on vLLM.",
        "",
        "| figure | reached | asked | |",
        "| --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *(target.line() for target in targets), "", *text])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say with the exit status whether all figures are reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=48, help="drawings a domain")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--work", type=Path, default=ROOT / "Output" / "demo_quality", help="a folder of its own")
    parser.add_argument("--write", type=Path, help="write the figures and the report to this JSON file")
    options = parser.parse_args(arguments)
    targets, markdown = evaluate(options.work, options.model, options.items, options.seed)
    print(markdown)
    if options.write:
        figures: dict[str, Any] = {target.name: target.value for target in targets}
        options.write.write_text(json.dumps({"figures": figures, "markdown": markdown}, indent=1) + "\n")
    return 0 if all(target.reached for target in targets) else 1


if __name__ == "__main__":
    run_main(main)
