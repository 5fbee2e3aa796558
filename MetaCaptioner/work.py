"""What a rank still has to do: the rows of its plan, or the captions of earlier results, less what has a record."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

from MetaCaptioner.annotation import AnnotationFile, BrokenAnnotation
from MetaCaptioner.domains import Domain, Modality
from MetaCaptioner.errors import UserError
from MetaCaptioner.metafile import Sample, sample_from_row
from MetaCaptioner.plan import PlanRow
from MetaCaptioner.ranks import Rank, assigned_ranks
from MetaCaptioner.results import DoneSamples, RankResults, Record, is_error, read_records, result_files

_PROBED_SAMPLES = 20


@dataclass(frozen=True)
class Item:
    """A sample to do, where its record goes, and how often it was tried in earlier runs."""

    sample: Sample
    results: RankResults
    stem: str
    attempts: int = 0

    def write(self, record: Record) -> None:
        self.results.append(self.stem, record)


class Work(Protocol):
    """What a stage works through."""

    problems: list[str]
    """One line for each thing that cannot be worked on, such as a plan row out of range."""

    def total(self) -> int:
        """How many samples are this rank's."""
        ...

    def pending(self) -> int:
        """How many of them have no record yet."""
        ...

    def items(self) -> Iterator[Item]:
        """The pending samples, read as they are asked for."""
        ...


@dataclass
class _RankFiles:
    """The results of one assigned rank: open, recovered, with what is done and what is tried again."""

    results: RankResults
    done: DoneSamples
    attempts: Mapping[str, int]


def open_results(
    stack: ExitStack, folder: Path, rank: Rank, assigned: int, retry_errors: bool, part: int = 0
) -> _RankFiles:
    """Open the results of one assigned rank; with `retry_errors` its failures are pending again."""
    results = stack.enter_context(RankResults(folder, assigned, rank.node, part))
    attempts = results.drop_errors() if retry_errors else {}
    return _RankFiles(results, results.done(), attempts)


@dataclass
class PlanWork:
    """The rows of a plan that fall to this process.

    Raises:
        UserError: a dataset's root is wrong, told before any model is loaded.
    """

    rows: Sequence[PlanRow]
    domains: tuple[Domain, ...]
    files: Mapping[int, _RankFiles]
    problems: list[str] = field(default_factory=list)
    _shards: list[tuple[PlanRow, AnnotationFile]] = field(default_factory=list)

    def __post_init__(self) -> None:
        opened: dict[str, AnnotationFile] = {}
        for row in self.rows:
            try:
                annotation = opened.get(row.json_url) or AnnotationFile(Path(row.json_url))
            except BrokenAnnotation as error:
                self.problems.append(f"plan row {_name(row)} is left out: {error}")
                continue
            opened[row.json_url] = annotation
            if row.end_idx > len(annotation):
                self.problems.append(
                    f"plan row {_name(row)} is out of range: {row.json_url} has {len(annotation)} rows; "
                    "rows beyond are left out (plan again)"
                )
                row = row.model_copy(update={"end_idx": max(row.start_idx, len(annotation))})
            self._shards.append((row, annotation))
        self._check_roots()

    def total(self) -> int:
        return sum(row.end_idx - row.start_idx for row, _ in self._shards)

    def pending(self) -> int:
        return sum(
            row.end_idx
            - row.start_idx
            - self.files[row.assign_rank].done.count(row.data_name, row.start_idx, row.end_idx)
            for row, _ in self._shards
        )

    def items(self) -> Iterator[Item]:
        for row, annotation in self._shards:
            for item in self._shard_items(row, annotation):
                self.files[row.assign_rank].done.mark(row.data_name, item.sample.index)  # rows of a plan may overlap
                yield item

    def _shard_items(self, row: PlanRow, annotation: AnnotationFile) -> Iterator[Item]:
        mine = self.files[row.assign_rank]
        for index in range(row.start_idx, row.end_idx):
            if mine.done.has(row.data_name, index):
                continue
            sample = sample_from_row(
                annotation.row(index), row.data_name, index, Path(row.root), row.modality, row.task, self.domains
            )
            yield Item(sample, mine.results, row.stem, mine.attempts.get(sample.sample_id, 0))

    def _check_roots(self) -> None:
        """Refuse a root under which none of the first pending samples of a shard is found."""
        for row, annotation in self._shards:
            sound = (item.sample for item in self._shard_items(row, annotation) if item.sample.problem is None)
            probed = list(islice(sound, _PROBED_SAMPLES))
            if probed and not Path(row.root).is_dir():
                raise UserError(f"dataset '{row.data_name}': root {row.root} is not a folder")
            if len(probed) > 1 and not any(sample.media_path.exists() for sample in probed):
                raise UserError(
                    f"dataset '{row.data_name}': root {row.root} looks wrong: none of the first {len(probed)} files is "
                    f"there (such as {probed[0].media_path})"
                )


def _name(row: PlanRow) -> str:
    return f"{row.data_name} [{row.start_idx}, {row.end_idx})"


@dataclass
class CaptionWork:
    """The captions in result files that have no score yet.

    The unit is the rank that wrote the captions. Where there are more processes than such ranks, several share one and
    take its captions in turn; each writes a part of its own. What any part holds counts as done, so the number of
    processes may change from run to run.
    """

    captions: Path
    shares: Mapping[int, tuple[int, int]]
    """Rank of the captions -> (this process's turn, number of processes that share it)."""
    files: Mapping[int, _RankFiles]
    domains: tuple[Domain, ...]
    problems: list[str] = field(default_factory=list)
    without_caption: int = 0

    def total(self) -> int:
        return sum(1 for _ in self._captions())

    def pending(self) -> int:
        return sum(1 for _ in self.items())

    def items(self) -> Iterator[Item]:
        for rank, stem, record in self._captions():
            mine = self.files[rank]
            if mine.done.has(record["data_name"], record["index"]):
                continue
            sample = sample_from_record(record)
            yield Item(sample, mine.results, stem, mine.attempts.get(sample.sample_id, 0))

    def _captions(self) -> Iterator[tuple[int, str, Record]]:
        """(rank, annotation stem, record) of the captions that are this process's, failed ones left out."""
        self.without_caption = 0
        for rank, (turn, processes) in self.shares.items():
            number = 0
            for path, name in result_files(self.captions, rank):
                for record in read_records(path):
                    if is_error(record):
                        self.without_caption += 1
                    elif isinstance(record.get("index"), int) and isinstance(record.get("caption"), str):
                        if number % processes == turn:
                            yield rank, name.stem, record
                        number += 1


def sample_from_record(record: Record) -> Sample:
    """The sample that a caption record tells of, with the caption as a text for prompts."""
    modality: Modality = "video" if record.get("modality") == "video" else "image"
    return Sample(
        data_name=str(record.get("data_name")),
        index=int(record["index"]),
        root=Path(str(record.get("root", ""))),
        media_name=str(record.get(modality, "")),
        modality=modality,
        task=record.get("task"),
        task_source=record.get("task_source", "metafile"),
        row_id=record.get("id"),
        fields={"caption": str(record["caption"])},
    )


def caption_shares(rank: Rank, caption_ranks: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Which ranks' captions this process takes: rank -> (its turn, number of processes that share that rank)."""
    ranks = sorted(set(caption_ranks))
    if rank.world_size <= len(ranks):
        return dict.fromkeys(assigned_ranks(rank, ranks), (0, 1))
    if not ranks:
        return {}
    place = rank.rank % len(ranks)
    processes = (rank.world_size - place + len(ranks) - 1) // len(ranks)
    return {ranks[place]: (rank.rank // len(ranks), processes)}
