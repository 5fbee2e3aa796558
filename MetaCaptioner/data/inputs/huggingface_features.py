"""Which columns of a Hugging Face dataset hold pictures and clips, and which captions and ids; also nested ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from MetaCaptioner.data.inputs.base import SUFFIXES, Given, Notes
from MetaCaptioner.data.inputs.cell_values import CAPTION_COLUMNS
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.errors import UserError

_VIDEO_COLUMNS = ("video", "videos", "clip", "clips")
_MEDIA_COLUMNS = ("image", "images", "img", "picture", "photo", "pixel_values", *_VIDEO_COLUMNS)
_BYTES = ("binary", "large_binary")
_TEXT = ("string", "large_string")
_TEXT_OF_WEBDATASET = "txt"
_ID_COLUMN = "id"


@dataclass(frozen=True)
class MediaColumn:
    """A column of pictures or clips; `path` is its name, with dots where it is nested.

    `modality` is that of what has no name of its own. `holds_names`: its texts are names of files.
    """

    path: str
    modality: Modality
    holds_names: bool = False


@dataclass(frozen=True)
class Chosen:
    """The columns that are read; `labels` are the names of a class label's numbers, where that is the caption."""

    media: Sequence[MediaColumn]
    caption: str | None
    row_id: str | None
    labels: Sequence[str] | None = None


def choose(features: Mapping[str, Any], given: Given, is_local: bool, notes: Notes) -> Chosen:
    """The columns that the user names, or else those with usual names and types; tells which are not read.

    Raises:
        UserError: one that is named is not there or holds nothing such, or there is no single one to choose.
    """
    what = f"dataset {given.place}"
    kinds = dict(_leaves(features))
    media = _media(kinds, given, is_local, what, notes)
    caption, labels = _caption(kinds, features, given, what, notes)
    row_id = given.id_column or (_ID_COLUMN if _ID_COLUMN in features else None)
    if row_id is not None and row_id not in kinds:
        raise UserError(_no_column(what, row_id, kinds))
    chosen = Chosen(media, caption, row_id, labels)
    read = [path for path in (*(column.path for column in media), caption, row_id) if path is not None]
    if unread := [path for path in kinds if not _is_part(path, read, kinds)]:
        notes.tell(
            f"columns that are not read: {', '.join(unread):.300} (--media-column, --caption-column, --id-column)"
        )
    return chosen


def undecoded(feature: Any) -> Any:
    """The same feature with its pictures and clips left as the bytes that they are."""
    import datasets

    if isinstance(feature, datasets.Image | datasets.Video | datasets.Audio):
        return type(feature)(decode=False)
    if isinstance(feature, datasets.List | datasets.LargeList):
        return type(feature)(undecoded(feature.feature))
    if isinstance(feature, Mapping):
        return {name: undecoded(part) for name, part in feature.items()}
    return feature


def _leaves(features: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """(path, feature) of each column, and of the parts of those that have parts."""
    for name, feature in features.items():
        yield f"{above}{name}", feature
        inner = _item(feature)
        if isinstance(inner, Mapping) and not _is_file(inner):
            yield from _leaves(inner, f"{above}{name}.")


def _is_part(path: str, read: Sequence[str], kinds: Mapping[str, Any]) -> bool:
    """Whether a column is read, or holds one that is, or is a part of one that is listed as a whole."""
    above = path.rpartition(".")[0]
    return (
        path in read
        or any(other.startswith(f"{path}.") for other in read)
        or (above in kinds and not any(other.startswith(f"{above}.") for other in read))
    )


def _item(feature: Any) -> Any:
    """What a list is of, also a list of lists; of no list the feature itself."""
    import datasets

    while isinstance(feature, datasets.List | datasets.LargeList):
        feature = feature.feature
    return feature


def _is_file(feature: Any) -> bool:
    """Whether it is the pair that the library makes of a file, written by a program that does not say so."""
    return isinstance(feature, Mapping) and "bytes" in feature and set(feature) <= {"bytes", "path"}


def _as_media(path: str, feature: Any, is_named: bool) -> MediaColumn | None:
    """The column of media that a feature is; bytes and texts only where the name says it, or the user."""
    import datasets

    item, name = _item(feature), path.rpartition(".")[2].casefold()
    usual: Modality | None = "video" if name in _VIDEO_COLUMNS or f".{name}" in SUFFIXES["video"] else None
    if name in _MEDIA_COLUMNS or f".{name}" in SUFFIXES["image"]:
        usual = usual or "image"
    if isinstance(item, datasets.Image):
        return MediaColumn(path, "image")
    if isinstance(item, datasets.Video):
        return MediaColumn(path, "video")
    if _is_file(item):
        return MediaColumn(path, usual or "image")
    if isinstance(item, datasets.Value) and (usual or is_named):
        if item.dtype in _BYTES:
            return MediaColumn(path, usual or "image")
        if item.dtype in _TEXT:
            return MediaColumn(path, usual or "image", holds_names=True)
    return None


def _media(kinds: Mapping[str, Any], given: Given, is_local: bool, what: str, notes: Notes) -> Sequence[MediaColumn]:
    wanted = [name.strip() for name in (given.media_column or "").split(",") if name.strip()]
    for name in wanted:
        if name not in kinds:
            raise UserError(_no_column(what, name, kinds))
    found = [
        column
        for path, feature in kinds.items()
        if (not wanted or path in wanted) and (column := _as_media(path, feature, path in wanted))
    ]
    if wanted:
        found.sort(key=lambda column: wanted.index(column.path))
        if missing := [name for name in wanted if name not in [column.path for column in found]]:
            raise UserError(f"{what}: '{missing[0]}' is no column of images or videos but {kinds[missing[0]]!r:.200}")
    elif len(files := [column for column in found if not column.holds_names]) > 1:
        found = [_usual(files, what)]
    else:
        found = files or found[:1]
    if not found:
        raise UserError(f"{what}: has no column of images or videos ({_told(kinds)})")
    if not is_local and (names := next((column for column in found if column.holds_names), None)):
        raise UserError(
            f"{what}: the column '{names.path}' holds names of files, which are not in the dataset: download them, "
            "and read the table by --format table"
        )
    return found


def _usual(found: Sequence[MediaColumn], what: str) -> MediaColumn:
    by_name = {column.path.rpartition(".")[2].casefold(): column for column in reversed(found)}
    usual = next((by_name[name] for name in _MEDIA_COLUMNS if name in by_name), None)
    if usual is None:
        names = ", ".join(column.path for column in found)
        raise UserError(f"{what}: which column is to be captioned? Say --media-column (has: {names}; or several: a,b)")
    return usual


def _caption(
    kinds: Mapping[str, Any], features: Mapping[str, Any], given: Given, what: str, notes: Notes
) -> tuple[str | None, Sequence[str] | None]:
    import datasets

    path = given.caption_column or next(
        (name for name in (*CAPTION_COLUMNS, _TEXT_OF_WEBDATASET) if name in features), None
    )
    if path is None:
        return None, None
    if path not in kinds:
        raise UserError(_no_column(what, path, kinds))
    item = _item(kinds[path])
    if isinstance(item, Mapping):
        complaint = f"the column '{path}' is no text but an object: say --caption-column {path}.{next(iter(item), '')}"
        if given.caption_column is not None:
            raise UserError(f"{what}: {complaint}")
        notes.tell(f"{complaint}, or another part; no captions are taken")
        return None, None
    return path, item.names if isinstance(item, datasets.ClassLabel) else None


def _no_column(what: str, name: str, kinds: Mapping[str, Any]) -> str:
    return f"{what}: has no column '{name}' (has: {', '.join(kinds)})"


def _told(kinds: Mapping[str, Any]) -> str:
    """The columns and their types, and what to do with arrays of numbers."""
    import datasets

    arrays = (datasets.Array2D, datasets.Array3D, datasets.Array4D, datasets.Array5D)
    hint = (
        "; arrays of numbers are not read: write PNG bytes"
        if any(isinstance(f, arrays) for f in kinds.values())
        else ""
    )
    return f"{', '.join(f'{path}: {feature!r}' for path, feature in kinds.items()):.600}{hint}"
