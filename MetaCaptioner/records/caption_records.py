"""Records of captions, of their scores and of what was made from them: what they are, where they lie."""

from pathlib import Path

from MetaCaptioner.data.media_source import tar_place
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.records.record import Record, is_error
from MetaCaptioner.records.row_map import row_of

_ROUTED = ("task_confidence", "subdomain", "runner_up")


def is_caption(record: Record) -> bool:
    """Whether a record has a caption and tells of which sample."""
    return not is_error(record) and row_of(record) is not None and isinstance(record.get("caption"), str)


def sample_from_record(record: Record) -> Sample:
    """The sample that a caption record tells of, with the caption, if there is one, as a text for prompts.

    What the router said of it goes on to the records that are made from it.
    """
    modality: Modality = "video" if record.get("modality") == "video" else "image"
    caption = record.get("caption")
    return Sample(
        data_name=str(record.get("data_name")),
        index=int(record["index"]),
        root=Path(str(record.get("root", ""))),
        media_name=str(record.get(modality, "")),
        modality=modality,
        task=record.get("task"),
        task_source=record.get("task_source", "metafile"),
        row_id=record.get("id"),
        tar=tar_place(record.get("tar")),
        carried={name: record[name] for name in _ROUTED if name in record},
        fields={"caption": caption} if isinstance(caption, str) else {},
    )


def resample_folder(scores: Path, rounds: int) -> Path:
    """Where the captions lie that were made in up to so many rounds, of captions with these scores."""
    return scores / "resample" / str(rounds)


def resample_folders(scores: Path) -> dict[int, Path]:
    """The folders that are there by their number of rounds, in its order."""
    numbers = sorted(int(path.name) for path in (scores / "resample").glob("*") if path.name.isdecimal())
    return {number: resample_folder(scores, number) for number in numbers}


def is_score(record: Record) -> bool:
    """Whether a record that is no failure has the marks of a judge."""
    return isinstance(record.get("scores"), dict)
