"""The pictures and clips of questions, each distinct one once: packed where rows hold it, named where it is a file."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from MetaCaptioner.data.inputs.base import SUFFIXES, Found, modality_of
from MetaCaptioner.data.inputs.cell_values import dig
from MetaCaptioner.data.inputs.huggingface_origin import Origin
from MetaCaptioner.data.inputs.question_fields import is_empty
from MetaCaptioner.data.media_source import LONGEST_PATH
from MetaCaptioner.data.picture_formats import format_of
from MetaCaptioner.data.tar_shards import Write, extension
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.utils.safe_open import OutsideRoot, leads_out

_LONGEST_REFERENCE = 64
"""Of VLMEvalKit (`ImageBaseDataset`): what is no longer than that is the index of another row with the same picture."""
_LISTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_HEADER = re.compile(r"^data:[^,]{0,100},")


class NoPicture(ValueError):
    """A cell holds no picture; the message says why."""


@dataclass(frozen=True)
class Reference:
    """The index of another row, which has the same pictures."""

    index: str


@dataclass
class Pictures:
    """The distinct pictures and clips so far, by number: the row that each will have in the annotation file.

    `write` packs one; it is asked for with the first that is no file. A dataset has one root, so an input either
    packs all or names all.
    """

    write: Callable[[], Write]
    origin: Origin
    names: list[str] = field(default_factory=list)
    modalities: list[Modality] = field(default_factory=list)
    are_packed: bool = False
    _numbers: dict[bytes | str, int] = field(default_factory=dict)

    def of(self, cells: Iterator[object]) -> list[int] | Reference:
        """The numbers of what the cells of a row hold or name, or the row that has the same.

        Raises:
            NoPicture: one is none.
        """
        found: list[int] = []
        for one in (one for cell in cells for one in _each(cell)):
            if isinstance(one, Reference):
                return one
            found.append(self._number(one))
        return found

    def found(self) -> Iterator[Found]:
        """What files name; each is as its number."""
        for number, (name, modality) in enumerate(zip(self.names, self.modalities, strict=True)):
            yield Found(modality, name, number)

    def _number(self, cell: object) -> int:
        name, content = self._content(cell)
        if content is None:
            return self._named(name)
        if self.names and not self.are_packed:
            raise NoPicture("holds its picture, while rows before it name files: make a dataset of each")
        digest = hashlib.sha256(content).digest()
        if (known := self._numbers.get(digest)) is not None:
            return known
        modality = modality_of(name) or "image"
        if modality == "image" and format_of(content) is None:
            raise NoPicture(f"holds {len(content):,} bytes that are no picture")
        suffix = extension(name, modality, SUFFIXES[modality], content)
        key = f"{len(self.names):09d}-{digest.hex()[:12]}"
        self.write()(key, {suffix: content})
        self.are_packed = True
        return self._add(digest, f"{key}.{suffix}", modality)

    def _named(self, name: str) -> int:
        if self.are_packed:
            raise NoPicture("names a file, while rows before it hold their pictures: make a dataset of each")
        if self.origin.folder is not None and not self.origin.anywhere and leads_out(self.origin.folder, name):
            raise NoPicture(f"names {name:.80}, which leads out of the root (--allow-outside-root takes it)")
        if (known := self._numbers.get(name)) is not None:
            return known
        return self._add(name, name, modality_of(name) or "image")

    def _add(self, known_by: bytes | str, name: str, modality: Modality) -> int:
        number = self._numbers[known_by] = len(self.names)
        self.names.append(name)
        self.modalities.append(modality)
        return number

    def _content(self, cell: object) -> tuple[str, bytes | None]:
        """Name and content of a cell; where it names a file, the content is None."""
        if isinstance(cell, bytes):
            return "", cell
        if isinstance(cell, Mapping):
            name, content = dig(cell, "path"), dig(cell, "bytes")
            name = name if isinstance(name, str) else ""
            if content is None and name:
                try:
                    content = self.origin.read(name)
                except (OSError, OutsideRoot) as error:
                    raise NoPicture(f"names a file that cannot be read: {error}") from error
            if not isinstance(content, bytes):
                raise NoPicture("holds nothing")
            return name, content
        text = str(cell)
        if modality_of(text) and len(text) <= LONGEST_PATH:
            return text.removeprefix("./"), None
        try:
            return "", base64.b64decode("".join(_HEADER.sub("", text).split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise NoPicture(f"holds base64 text that cannot be read ({error})") from error


def _each(cell: object) -> Iterator[object]:
    """A cell, or those of the list that it is or writes."""
    if is_empty(cell):
        return
    if isinstance(cell, list | tuple):
        for item in cell:
            yield from _each(item)
    elif isinstance(cell, str) and cell.strip().startswith("["):
        for single, double in _LISTED.findall(cell):
            yield from _each(single or double)
    elif isinstance(cell, int | float):
        yield Reference(str(int(cell)))
    elif isinstance(cell, str) and len(cell.strip()) <= _LONGEST_REFERENCE and not modality_of(cell.strip()):
        yield Reference(cell.strip())
    else:
        yield cell.strip() if isinstance(cell, str) else cell
