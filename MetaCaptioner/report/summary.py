"""One run in numbers: exact over all records, in memory that does not grow with their count."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from MetaCaptioner.agents.thresholds import Thresholds, dimensions_of
from MetaCaptioner.errors import UserError
from MetaCaptioner.metrics.run_log import read_runs
from MetaCaptioner.metrics.usage import model_figures, runs_of
from MetaCaptioner.records.caption_records import resample_folders
from MetaCaptioner.records.claims import answers
from MetaCaptioner.records.reader import result_files
from MetaCaptioner.records.record import Record, is_error, is_without_media, told_error
from MetaCaptioner.report.entry import Entry, Route, State, Sums, read_entry, seconds_of, tokens_of
from MetaCaptioner.report.routes import CONFIDENCE_BINS, Routes, confidence_bin
from MetaCaptioner.worklist.best_caption import Candidate, all_candidates

_ERROR_EXAMPLES = 3
_MESSAGE_CHARACTERS = 300


# What thresholds look at. Marks are few, so there are few of these, and counts by cell answer for every threshold.
Cell = tuple[State, float | None, int | None, bool, bool]


@dataclass
class Group:
    """The captions of one domain in one dataset."""

    cells: dict[Cell, Sums] = field(default_factory=lambda: defaultdict(Sums))
    marks: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    words: Counter[int] = field(default_factory=Counter)
    claims: Counter[str] = field(default_factory=Counter)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    routed: Counter[str] = field(default_factory=Counter)
    confidence: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, entry: Entry) -> None:
        """Count one caption."""
        cell = (entry.state, entry.overall, entry.lowest, entry.truncated, entry.is_below)
        self.cells[cell].add(entry.tokens, entry.words, seconds_of(entry.record))
        if entry.state != "failed":
            self.words[entry.words] += 1
            self.claims += answers(entry.record)
        if entry.score is not None and entry.state == "marked":
            for name, mark in entry.score["scores"].items():
                self.marks[name][mark] += 1
        if entry.route is not None:
            self._add_route(entry.record, entry.route)

    def _add_route(self, record: Record, route: Route) -> None:
        named = None if record.get("task_source") == "router" else record.get("task")
        if named is not None:
            self.routed[route.task] += 1
        if route.confidence is not None:
            verdict = "unnamed" if named is None else "agrees" if named == route.task else "differs"
            self.confidence[verdict][confidence_bin(route.confidence)] += 1

    def content(self) -> Record:
        """What the page is given."""
        return {
            "cells": [[*cell, *sums.content()] for cell, sums in self.cells.items()],
            "marks": {name: [counts[mark] for mark in range(1, 6)] for name, counts in self.marks.items()},
            "words": sorted(self.words.items()),
            "claims": dict(self.claims),
            "errors": [[stage, kind, count] for (stage, kind), count in self.errors.items()],
            "routed": sorted(self.routed.items()),
            "confidence": {
                verdict: [counts[number] for number in range(CONFIDENCE_BINS)]
                for verdict, counts in self.confidence.items()
            },
        }


def money(*folders: Path) -> float | None:
    """What the tokens of the runs whose results are in `folders` cost; None if no log tells of a price."""
    told = [run["money"] for folder in folders for run in read_runs(folder) if run.get("money") is not None]
    return round(sum(told), 6) if told else None


def gpu_hours(*folders: Path) -> float | None:
    """What the runs whose results are in `folders` held GPUs for, loading included; None if no log tells of a GPU."""
    runs = [(_gpus(run), run) for folder in folders for run in read_runs(folder) if _gpus(run)]
    seconds = (gpus * (run.get("loading_seconds", 0) + run.get("working_seconds", 0)) for gpus, run in runs)
    return round(sum(seconds) / 3600, 4) if runs else None


def _gpus(run: Record) -> float:
    """How many GPUs a run held, those included on which models were served to it."""
    models = run.get("models")
    return sum(one.get("gpus", 0) for one in models) if models else run.get("gpus") or 0


def by_model(*folders: Path) -> dict[str, Record]:
    """What each of several models took, over all runs whose results are in `folders`; empty where there was one."""
    found = model_figures(runs_of(folders))
    return {
        name: {
            "input": one.input_tokens,
            "cached": one.cached_tokens,
            "output": one.output_tokens,
            "gpuHours": one.gpu_hours,
            "money": one.money,
        }
        for name, one in found.items()
    }


class RunSummary:
    """The captions of a folder, their scores and routes, counted as they are read.

    Raises:
        UserError: the folder holds no captions.
    """

    def __init__(self, folder: Path, score_folder: Path, routes: Routes, thresholds: Thresholds) -> None:
        if not result_files(folder):
            raise UserError(f"data folder {folder}: holds no caption results (Rank*_node*_*.jsonl)")
        self.folder = folder
        self.score_folder = score_folder
        self.routes = routes
        self.thresholds = thresholds
        self.judged: Counter[tuple[str, ...]] = Counter()
        """Marks by what they are for."""
        self.groups: dict[tuple[str, str], Group] = defaultdict(Group)
        self.stages: dict[str, Sums] = defaultdict(Sums)
        self.made_with: dict[str, Counter[str]] = defaultdict(Counter)
        self.examples: dict[tuple[str, str], list[Record]] = defaultdict(list)

    def read(self) -> Iterator[Entry]:
        """Count every caption, and hand it on. Rows without media are none: they are told among the errors only."""
        for candidates in all_candidates(self.folder, self.score_folder):
            entry = self._entry(candidates)
            if is_without_media(entry.record):
                self._add_stage("caption", entry.record, self.groups[entry.domain, entry.dataset])
                continue
            self._add(entry)
            yield entry

    def find(self, wanted: Collection[str]) -> dict[str, Entry]:
        """The captions of some samples, by sample id; read anew, and not counted."""
        return {
            candidates[0].record["sample_id"]: self._entry(candidates)
            for candidates in all_candidates(self.folder, self.score_folder)
            if candidates[0].record["sample_id"] in wanted
        }

    def _entry(self, candidates: Sequence[Candidate]) -> Entry:
        return read_entry(candidates, self.routes.of(candidates[0].record), self.thresholds)

    def _add(self, entry: Entry) -> None:
        group = self.groups[entry.domain, entry.dataset]
        group.add(entry)
        self.judged.update(filter(None, (dimensions_of(one.score) for one in entry.candidates)))
        first, *again = entry.candidates
        self._add_stage("caption", first.record, group)
        if first.score is not None:
            self._add_stage("score", first.score, group)
        for candidate in again:
            self._add_stage("resample", candidate.record, group)
        several = entry.record.get("models")
        models = [entry.record.get("model"), *(several.values() if isinstance(several, dict) else ())]
        self.made_with["model"].update([*dict.fromkeys(map(str, models))])
        self.made_with["prompts"][str(entry.record.get("prompts"))] += 1

    def _add_stage(self, stage: str, record: Record, group: Group) -> None:
        self.stages[stage].add(tokens_of(record), 0, seconds_of(record))
        if is_error(record):
            error = told_error(record)
            kind = str(error.get("kind", "no kind"))
            group.errors[stage, kind] += 1
            if len(self.examples[stage, kind]) < _ERROR_EXAMPLES:
                message = str(error.get("message", ""))[:_MESSAGE_CHARACTERS]
                self.examples[stage, kind].append({"id": record["sample_id"], "message": message})

    def content(self, domains: Sequence[str], datasets: Sequence[str]) -> Record:
        """What the page is given; domains and datasets as places in these lists."""
        return {
            "folder": str(self.folder),
            "models": [name for name, _ in self.made_with["model"].most_common()],
            "prompts": [name for name, _ in self.made_with["prompts"].most_common()],
            "stages": self._stages(),
            "byModel": by_model(*(folder for of_stage in self._folders().values() for folder in of_stage)),
            "groups": [
                {"domain": domains.index(domain), "dataset": datasets.index(dataset), **group.content()}
                for (domain, dataset), group in self.groups.items()
            ],
            "examples": [[*key, found] for key, found in self.examples.items()],
        }

    def _folders(self) -> dict[str, list[Path]]:
        """Where the results of each stage are."""
        folders = {"route": [self.routes.folder], "caption": [self.folder], "score": [self.score_folder]}
        return {**folders, "resample": list(resample_folders(self.score_folder).values())}

    def _stages(self) -> dict[str, Record]:
        """What each stage took, as far as its records and its run log tell."""
        spent = {**self.stages, "route": self.routes.spent}
        return {
            name: {
                "records": spent[name].count,
                "input": spent[name].input,
                "cached": spent[name].cached,
                "output": spent[name].output,
                "seconds": round(spent[name].seconds, 1),
                "gpuHours": gpu_hours(*of_stage),
                "money": money(*of_stage),
            }
            for name, of_stage in self._folders().items()
            if name in spent and spent[name].count
        }
