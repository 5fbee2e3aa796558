"""What the router found -> the annotation files of a new Metafile."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from MetaCaptioner.data.annotation import AnnotationFile
from MetaCaptioner.data.metafile import Dataset
from MetaCaptioner.errors import UserError
from MetaCaptioner.export.dataset_names import file_names
from MetaCaptioner.records.index import RecordIndex
from MetaCaptioner.records.media_identity import OTHER_MEDIA, RowMedia, of_record
from MetaCaptioner.records.reader import result_files
from MetaCaptioner.records.record import told_of
from MetaCaptioner.utils.atomic_io import atomic_write
from MetaCaptioner.utils.json_text import to_json
from MetaCaptioner.utils.temporary import remove_left


@dataclass(frozen=True)
class Route:
    """What the router said of one row, and the media that it saw."""

    media: str | None
    task: str
    subdomain: str
    confidence: float | None
    """None where the engine did not tell it."""

    def is_sure(self, least: float) -> bool:
        """Whether it counts where so much confidence is asked for; one that is not known only where none is."""
        return least <= (0.0 if self.confidence is None else self.confidence)


@dataclass(frozen=True)
class Applied:
    """How many rows of a dataset were routed, and how many were left as they were or left out."""

    routed: int
    uncertain: int
    written: int


class Routes:
    """The routes of a folder, looked up one by one; failed ones are left out.

    Raises:
        UserError: the folder holds no routes, or a file cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        paths = [path for path, _ in result_files(folder)]
        if not paths:
            raise UserError(f"domain folder {folder}: holds no route results (Rank*_node*_*.jsonl)")
        self._folder = folder
        self._index = RecordIndex(paths, lambda told: told.status == "ok")

    def of(self, data_name: str, index: int) -> Route | None:
        """The route of a row, if it has one.

        Raises:
            UserError: its record is of another stage, or cannot be read any more.
        """
        record = self._index.get(data_name, index)
        if record is None:
            return None
        if "task_confidence" not in record or "subdomain" not in record:
            which = f"{self._index.path(data_name, index).name}, {record['sample_id']}"
            raise UserError(f"domain folder {self._folder}: holds records that are no routes ({which})")
        media = of_record(told_of(record))
        return Route(media, record["task"], record["subdomain"], record["task_confidence"])

    def rows_of(self, data_name: str) -> Iterator[int]:
        """The rows of a dataset that have a route."""
        return self._index.rows_of(data_name)


def apply(
    name: str, dataset: Dataset, routes: Routes, output: Path, min_confidence: float, drop_uncertain: bool
) -> Applied:
    """Write the annotation file of one dataset again, as a JSON list, with the routes in its rows.

    Raises:
        UserError: a route is of other media than its row names now; nothing is written.
    """
    routed = uncertain = written = 0
    with closing(AnnotationFile(dataset.annotation)) as annotation:
        _check_media(name, RowMedia(annotation), routes)
        remove_left(output)
        with atomic_write(output, "annotation file") as file:
            for index, row in annotation.rows(0, len(annotation)):
                route = routes.of(name, index)
                if route is not None and route.is_sure(min_confidence) and isinstance(row, dict):
                    routed += 1
                    row |= {"task": route.task, "subdomain": route.subdomain, "task_confidence": route.confidence}
                else:
                    uncertain += 1
                    if drop_uncertain:
                        continue
                file.write(b"[\n" if written == 0 else b",\n")
                file.write(to_json(row, nan=True))
                written += 1
            file.write(b"\n]\n" if written else b"[]\n")
    return Applied(routed, uncertain, written)


def _check_media(name: str, media: RowMedia, routes: Routes) -> None:
    """Hold every route of a dataset against its row."""
    count = unlike = 0
    first = ""
    for index in routes.rows_of(name):
        route = routes.of(name, index)
        if route is None:
            continue
        count, now = count + 1, media.of(index)
        if route.media not in (None, now):
            unlike += 1
            first = first or f"row {index}: {now}, routed as {route.media}"
    if unlike:
        raise UserError(
            f"annotation file {media.annotation.path}: {unlike} of {count} routes are {OTHER_MEDIA}, such as {first};"
            " route again with --redo"
        )


def output_names(datasets: Mapping[str, Dataset]) -> dict[str, str]:
    """A file name for every dataset: that of its annotation file, with the dataset's name where two would clash."""
    stems = Counter(dataset.annotation.stem for dataset in datasets.values())
    wanted = {
        name: dataset.annotation.stem if stems[dataset.annotation.stem] == 1 else f"{name}\0{dataset.annotation.stem}"
        for name, dataset in datasets.items()
    }
    made = file_names(wanted.values())
    return {name: f"{made[label]}.json" for name, label in wanted.items()}
