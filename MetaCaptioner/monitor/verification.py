"""Results held against their plan: is every sample there, once, and of the media that its row names?"""

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from MetaCaptioner.agents.thresholds import dimensions_of
from MetaCaptioner.data.annotation import AnnotationFile
from MetaCaptioner.data.annotation_blocks import BrokenAnnotation
from MetaCaptioner.data.annotation_row import as_it_was, named_medium
from MetaCaptioner.data.media_source import media_source, tar_place
from MetaCaptioner.errors import ErrorKind, SampleError
from MetaCaptioner.planning.expected_rows import NOBODY, Expected
from MetaCaptioner.planning.plan_file import PlanRow
from MetaCaptioner.planning.provenance import Provenance
from MetaCaptioner.planning.row_media import PlannedMedia
from MetaCaptioner.records.caption_records import is_score, resample_folders
from MetaCaptioner.records.done import DoneSamples
from MetaCaptioner.records.media_identity import GONE, OTHER_MEDIA, mark, named_in
from MetaCaptioner.records.reader import read_glances, read_lines, read_records, result_files
from MetaCaptioner.records.record import Record, Told, is_error, parse_record, told_error, told_of
from MetaCaptioner.records.row_map import Row, RowNumbers, caption_hash
from MetaCaptioner.records.torn_lines import what_else

EXAMPLES = 5
_DIGITS = 19  # of a number that fits into 64 bits
# Legal: results of an earlier plan, and samples that one rank took over from another.
ELSEWHERE = "records in the file of another rank than the plan's (no fault)"
MOVED = "records of files below another root than now (no fault if they were moved: --check-media looks)"
NOT_COMPARED = "datasets whose annotation file cannot be read, so that media are not compared (no fault)"
OTHER_PLAN = "plan that is not, or no more, that of the results (no fault)"
_MIXTURE = "records made otherwise than most"
_TWICE, _TORN = "duplicate records", "torn or broken lines"
MENDED = (_TWICE, _TORN, "captions with several scores", "captions sampled again twice")
_RENAMED = "records of a dataset that has another name now"
_JUDGED = "scores with other dimensions than most"
MIXTURES = {_MIXTURE, _JUDGED, _RENAMED, f"records {OTHER_MEDIA}", f"records {GONE}"}

MISSING = "missing samples"
FAILED = "failed samples"
UNMARKED = "captions without a score"
UNUSABLE = "rows that no stage can use, with neither image nor video (no fault)"


@dataclass
class Findings:
    """What was found, by kind, with a few examples of each."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: str, example: str, count: int = 1) -> None:
        """Note `count` findings of a kind."""
        self.counts[kind] += count
        if len(self.examples[kind]) < EXAMPLES:
            self.examples[kind].append(example)


_Making = tuple[str | None, str | None, str | None, tuple[tuple[str, str], ...]]
"""Stage, model and prompts of a record, and its models that have names."""


class Makings:
    """What the records of a folder were made with: if not all with the same, they are a mixture."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._counts = Counter[_Making]()
        self._first: dict[_Making, Told] = {}

    def add(self, told: Told) -> None:
        """Count one record."""
        models = tuple(sorted((told.models or {}).items()))
        making = (told.stage, told.model, told.prompts, models)
        self._counts[making] += 1
        self._first.setdefault(making, told)

    def _most(self) -> Provenance | None:
        """What most are made with; of those that do not name their stage, what prompts most of them have."""
        ordered = sorted(self._counts, key=lambda making: self._counts[making], reverse=True)
        none: _Making = (None, None, None, ())
        stage, _, prompts, _ = next((making for making in ordered if making[0] is not None), none)
        _, _, all_prompts, _ = next((making for making in ordered if making[0] is None), none)
        _, model, _, models = ordered[0] if ordered else none
        made = Provenance(stage or "", model or "", prompts or "", all_prompts or "", dict(models))
        return made if ordered else None

    def check(self, findings: Findings) -> None:
        """Note all that are unlike the most common ones."""
        most = self._most()
        for making, count in self._counts.items():
            first = self._first[making]
            reasons = [] if most is None else list(most.differences(first))
            if most is not None and most.stage and first.stage not in (None, most.stage):
                reasons.insert(0, f"by {first.stage}, not {most.stage}")
            if reasons:
                findings.add(_MIXTURE, f"{count} {self._what} {', '.join(reasons)}: {first.sample_id}", count)


def check_records(
    folder: Path,
    expected: Mapping[str, Expected],
    media: PlannedMedia,
    findings: Findings,
    canary: "MediaCanary | None" = None,
) -> int:
    """Compare the result files with what is expected; returns the number of captions, routes or scores that are ok."""
    makings = Makings("records")
    seen = DoneSamples()
    sound = 0
    for path, file in result_files(folder):
        if (other := what_else(path)) is not None:
            findings.add("files without records", f"{path.name}: {other}")
            continue
        for number, line, told in read_glances(path):
            if told is None:
                findings.add(_TORN, f"{path.name}:{number}")
                continue
            makings.add(told)
            name, index, where = told.data_name, told.index, f"{told.sample_id} in {path.name}"
            rows = None if name is None else expected.get(name)
            is_of_row = rows is not None and index is not None and 0 <= index < rows.total
            if name is None or index is None or rows is None or not is_of_row or told.sample_id != f"{name}/{index}":
                findings.add(_RENAMED if media.renamed(told) else "stray records", where)
                continue
            for reason, example in media.differences(told).items():
                findings.add(f"records {reason}", example)
            if seen.has(name, index):
                findings.add(_TWICE, where)
            seen.mark(name, index)
            if rows.rank(index) not in (NOBODY, file.rank):
                findings.add(ELSEWHERE, where)
            if told.status != "ok":
                kind, message = _error_of(line)
                findings.add(UNUSABLE if kind == ErrorKind.NO_MEDIA else FAILED, f"{told.sample_id}: {kind}: {message}")
                continue
            sound += 1
            if media.is_below_another_root(told):
                findings.add(MOVED, f"{told.sample_id} ({told.root})")
            if canary is not None:
                canary.offer(line)
    makings.check(findings)
    for name, rows in expected.items():
        missing = rows.count - sum(seen.count(name, start, end) for start, end in rows.recorded)
        unseen = (index for start, end in rows.recorded for index in seen.without(name, start, end))
        for index in islice(unseen, EXAMPLES):
            findings.add(MISSING, f"{name}/{index}")
        findings.counts["missing samples"] += max(0, missing - EXAMPLES)
    return sound


def _error_of(line: bytes) -> tuple[object, str]:
    """The kind of a failure, and what it says, which names the file."""
    error = told_error(parse_record(line) or {})
    return error.get("kind"), f"{error.get('message', ''):.200}"


class MediaCanary:
    """Looks whether captions belong to their media, on records that are drawn evenly from all.

    Source of the drawing: Vitter, "Random sampling with a reservoir" (1985), algorithm R.
    """

    def __init__(self, count: int, seed: int, allow_outside_root: bool = False) -> None:
        self._allow_outside_root = allow_outside_root
        self.lines: list[bytes] = []
        self._count = count
        self._random = random.Random(seed)
        self._offered = 0

    def offer(self, line: bytes) -> None:
        """Perhaps keep the line of a record that is ok."""
        self._offered += 1
        if len(self.lines) < self._count:
            self.lines.append(line)
        elif (place := self._random.randrange(self._offered)) < self._count:
            self.lines[place] = line

    def check(self, rows: Sequence[PlanRow], findings: Findings) -> None:
        """Compare the drawn records with the annotation rows, and with the files that those name now."""
        datasets = {row.data_name: row for row in rows}
        opened: dict[str, AnnotationFile] = {}
        for record in map(parse_record, self.lines):
            if record is None:
                continue
            dataset = datasets[record["data_name"]]
            try:
                if dataset.json_url not in opened:
                    opened[dataset.json_url] = AnnotationFile(Path(dataset.json_url))
                row = opened[dataset.json_url].row(record["index"])
            except (BrokenAnnotation, IndexError) as error:
                findings.add("records whose annotation row is gone", f"{record['sample_id']}: {error}")
                continue
            if as_it_was(row) is row:  # media that were removed need not be there
                _compare_media(record, row, Path(dataset.root), findings, self._allow_outside_root)


def _compare_media(record: Record, row: object, root: Path, findings: Findings, allow_outside_root: bool) -> None:
    """Note it where a record tells of another medium than its annotation row names, or of other content."""
    modality, sample_id = str(record.get("modality")), record["sample_id"]
    fields = row if isinstance(row, dict) else {}
    name = _medium_now(fields, modality)
    if name != record.get(modality):
        findings.add(
            "records of another medium than their row names", f"{sample_id}: {record.get(modality)}, now {name}"
        )
    if isinstance(name, str):
        try:
            source = media_source(root, name, tar_place(fields.get("tar")), allow_outside_root)
            known = record.get("media_hash")  # none where nobody looked at them
            same = known is None or source.hash() == known
        except (OSError, ValueError, SampleError) as error:
            findings.add(
                "media that cannot be read", f"{sample_id}: {getattr(error, 'strerror', None) or error}: {name}"
            )
        else:
            if not same:
                findings.add("records of other content than their media have", f"{sample_id}: {source}")


def _medium_now(row: Mapping[str, object], modality: str) -> object:
    """The medium that a row names; where it is not one, what it says instead."""
    try:
        return named_medium(row, "video" if modality == "video" else "image")
    except ValueError:
        return row.get(modality) or row.get(f"{modality}s")


class _Scores:
    """How many scores each sample has, and of which caption of which media the last of them is: 14 bytes a sample."""

    def __init__(self) -> None:
        self._counts = RowNumbers(np.uint16)
        self._captions = RowNumbers(np.uint64)
        self._media = RowNumbers(np.uint32)
        self.left = 0
        """Samples whose scores have not been taken."""

    def add(self, told: Told, judged: str) -> None:
        """A score, and the hash of the caption that it says it is of."""
        row = _row_named(told.sample_id)
        count = self._counts.get(*row)
        self.left += count == 0
        self._counts.set(*row, min(count + 1, np.iinfo(np.uint16).max))
        self._captions.set(*row, _number(judged))
        self._media.set(*row, mark(named_in(told)))

    def take(self, sample_id: str) -> int:
        """How many scores there are of a sample; whoever asks again gets none."""
        row = _row_named(sample_id)
        count = self._counts.get(*row)
        if count:
            self._counts.set(*row, 0)
            self.left -= 1
        return count

    def are_of_another_caption(self, record: Record) -> bool:
        """Whether the last score of a caption tells of another text."""
        judged = self._captions.get(*_row_named(record["sample_id"]))
        return judged != 0 and judged != _number(caption_hash(record["caption"]))

    def are_of_other_media(self, told: Told) -> bool:
        """Whether the last score of a record's sample tells of other media."""
        media = self._media.get(*_row_named(told.sample_id))
        return media not in (0, mark(named_in(told)))


class _Judged:
    """What scores are marks for: those of one folder are all for the same, or they do not compare."""

    def __init__(self) -> None:
        self._counts = Counter[frozenset[str]]()
        self._first: dict[frozenset[str], str] = {}

    def add(self, record: Record) -> None:
        """Count one score."""
        if names := frozenset(dimensions_of(record)):
            self._counts[names] += 1
            self._first.setdefault(names, record["sample_id"])

    def check(self, findings: Findings) -> None:
        """Note those that are unlike most."""
        for names, count in self._counts.most_common()[1:]:
            findings.add(_JUDGED, f"{count} have {', '.join(sorted(names))}: {self._first[names]}", count)


def _row_named(sample_id: str) -> Row:
    """What stands for a sample by its id alone: dataset and row, or, where it names none, the id itself."""
    name, _, number = sample_id.rpartition("/")
    if number.isdecimal() and number.isascii() and len(number) < _DIGITS and str(int(number)) == number:
        return name, int(number)
    return f"\0{sample_id}", 0


def _number(text: str) -> int:
    """64 bits that stand for a text; 0 for none."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()) if text else 0


def _score_records(captions: Path) -> Iterator[tuple[str, Record | None]]:
    """(file and line, record) of every line of the score files; None where that is no record."""
    for path, _ in result_files(captions / "score"):
        yield from ((f"{path.name}:{number}", record) for number, _, record in read_lines(path))


def check_scores(captions: Path, findings: Findings) -> None:
    """Every caption needs one score record."""
    makings, scores, judged = Makings("scores"), _Scores(), _Judged()
    for place, record in _score_records(captions):
        if record is None:
            findings.add(_TORN, f"score/{place}")
        elif not is_error(record) and not is_score(record):
            where = f"{record['sample_id']} in {place.rpartition(':')[0]}"
            findings.add("records in the score folder that are no scores", where)
        else:
            told = told_of(record)
            makings.add(told)
            judged.add(record)
            scores.add(told, str(record.get("caption_hash") or ""))
    for record in (record for path, _ in result_files(captions) for record in read_records(path)):
        sample_id, count = record["sample_id"], scores.take(record["sample_id"])
        if count == 0 and not is_error(record):
            findings.add(UNMARKED, sample_id)
        if not is_error(record) and scores.are_of_another_caption(record):
            findings.add("scores of an earlier caption", sample_id)
        elif scores.are_of_other_media(told_of(record)):
            findings.add("scores of other media than their captions", sample_id)
        if count > 1:
            findings.add("captions with several scores", sample_id)
    makings.check(findings)
    judged.check(findings)
    for _, record in _score_records(captions) if scores.left else ():
        if record is not None and scores.take(record["sample_id"]):
            findings.add("scores without a caption", record["sample_id"])
    for folder in resample_folders(captions / "score").values():
        _check_resampled(folder, findings)


def _check_resampled(folder: Path, findings: Findings) -> None:
    """No caption may have been sampled again twice in one folder."""
    seen = DoneSamples()
    makings = Makings("captions sampled again")
    for path, _ in result_files(folder):
        for number, _, told in read_glances(path):
            if told is None:
                findings.add(_TORN, f"{folder.relative_to(folder.parents[2])}/{path.name}:{number}")
                continue
            makings.add(told)
            row = _row_named(told.sample_id)
            if seen.has(*row):
                findings.add("captions sampled again twice", told.sample_id)
            seen.mark(*row)
    makings.check(findings)
