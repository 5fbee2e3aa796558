"""What a row of an annotation file says: its medium, and hints about it, none of which may cost the row."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator, model_validator

from MetaCaptioner.data.media_source import TarPlace, check_name, tar_place
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.utils.json_text import NotJson, to_json

MOST_PIXELS_A_SIDE = 2**31
_MODALITIES: tuple[Modality, ...] = ("image", "video")
_ONE = {"image": "one picture", "video": "one clip"}
_SHOWN_KEYS = 6
_SHOWN_NAMES = 3


def is_nothing(value: object) -> bool:
    """Whether a value is one of those that stand for none: null, false, NaN, or what is empty or blank."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or value is False or value in ([], {}) or (isinstance(value, float) and math.isnan(value))


def names_media(row: Mapping[str, object]) -> bool:
    """Whether a row has anything under the keys that name media, however wrong."""
    return any(_given(row, modality) for modality in _MODALITIES)


def as_it_was(row: object) -> object:
    """A row that was removed from its dataset, and keeps its place, as it was before; any other as it is."""
    was = row.get("was") if isinstance(row, dict) and row.get("removed") is True else None
    return was if isinstance(was, dict) else row


def named_medium(row: Mapping[str, object], modality: Modality) -> str | None:
    """The file name of a row's picture, or clip; None where it has none.

    Where neither `image` nor `video` names any, `images` and `videos` are read; a list of one name is that name.

    Raises:
        ValueError: there are several, or it is no file name.
    """
    given = _given(row, modality)
    for one in given:
        if not isinstance(one, str):
            raise ValueError(f"{modality}: is {type(one).__name__}, not a file name (got {one!r:.60})")
    names = [one for one in dict.fromkeys(given) if isinstance(one, str)]
    if len(names) > 1:
        shown = ", ".join(f"{name:.60}" for name in names[:_SHOWN_NAMES]) + (" …" if len(names) > _SHOWN_NAMES else "")
        raise ValueError(f"has {len(names)} {modality}s; one sample is {_ONE[modality]}: make a row of each ({shown})")
    return names[0] if names else None


def without_media(row: Mapping[str, object]) -> str:
    """Why a row that names no media is of no use; it tells what the row has."""
    if row.get("removed") is True:
        return "was removed from the dataset, and keeps its place"
    keys = ", ".join(f"'{key:.20}'" for key in list(row)[:_SHOWN_KEYS]) + (" …" if len(row) > _SHOWN_KEYS else "")
    return f"has neither 'image' nor 'video', so no stage can use it (it has {keys or 'no keys'})"


def _given(row: Mapping[str, object], modality: Modality) -> list[object]:
    """What a row has under the key of a modality; under its plural only where `image` and `video` have nothing."""
    singular = {key: _values(row.get(key)) for key in _MODALITIES}
    return singular[modality] if any(singular.values()) else _values(row.get(f"{modality}s"))


def _values(given: object) -> list[object]:
    return [value for value in (given if isinstance(given, list) else [given]) if not is_nothing(value)]


def sound_id(value: object) -> str | int | float | None:
    """A row's `id` as a record can keep it: what is no text or number as its JSON text, NaN and infinity as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    try:
        return to_json(value, nan=True).decode()
    except NotJson:
        return None


def _side(value: object) -> int | None:
    """A `width` or `height` in pixels, also as 1024.0 or "1024"; None where it cannot be one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return int(number) if number.is_integer() and 0 <= number <= MOST_PIXELS_A_SIDE else None


class AnnotationRow(BaseModel):
    """What is read of a row that names media; other keys are left alone.

    Only what decides what is done may be refused: the medium, its place in a tar file, the task.
    """

    model_config = ConfigDict(strict=True, extra="ignore")

    id: Annotated[str | int | float | None, PlainValidator(sound_id)] = None
    image: str | None = None
    video: str | None = None
    task: Annotated[str | None, BeforeValidator(lambda task: None if task != task else task)] = None
    width: Annotated[int | None, PlainValidator(_side)] = None
    height: Annotated[int | None, PlainValidator(_side)] = None
    tar: Annotated[TarPlace | None, PlainValidator(tar_place)] = None

    @model_validator(mode="before")
    @classmethod
    def _one_medium(cls, row: Any) -> Any:
        named = {modality: named_medium(row, modality) for modality in _MODALITIES}
        if all(named.values()):
            raise ValueError("has both 'image' and 'video'")
        for modality, name in named.items():
            if name is not None:
                check_name(name, modality)
        return {**row, **named}

    @property
    def modality(self) -> Modality:
        return "video" if self.image is None else "image"

    @property
    def media_name(self) -> str:
        return self.image or self.video or ""
