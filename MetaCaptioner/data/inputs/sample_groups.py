"""Which members of a tar are one sample, which of them is its picture or clip, and which its caption.

WebDataset takes the name up to its first dot for the key of a sample and the rest for an extension: `7.jpg`,
`7.seg.png` and `7.json` belong together. In names such as `v1.0_001.jpg` or `photo.2024.05.01.jpg` that would make one
sample of many. So a part between dots that begins with a digit belongs to the key, and where there are several pictures
with such longer extensions and none is plainly the sample's, each is a sample by its name up to the last dot.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from MetaCaptioner.data.inputs.base import Notes, modality_of
from MetaCaptioner.data.inputs.tars import Member

_TEXT_EXTENSIONS = ("txt", "caption", "text")
_MEDIA_ROLES = ("image", "img", "rgb", "picture", "photo", "video", "clip")
_CAPTION_ROLES = ("caption", "captions", "text")


@dataclass(frozen=True)
class Grouped:
    """One sample: its key, its picture or clip, and the members with its caption and with what else is told of it."""

    key: str
    media: Member
    text: Member | None
    told: Member | None


@dataclass(frozen=True)
class _Part:
    """A member by its name: `key`, then `role` ("seg" of `7.seg.png`, mostly empty), then the extension."""

    member: Member
    key: str
    role: str
    extension: str

    @property
    def stem(self) -> str:
        """The name up to its last dot."""
        return f"{self.key}.{self.role}" if self.role else self.key

    @property
    def is_media(self) -> bool:
        return modality_of(self.member.name) is not None

    @property
    def is_text(self) -> bool:
        return self.extension in _TEXT_EXTENSIONS

    @property
    def is_told(self) -> bool:
        return self.extension == "json"


def grouped(members: Iterable[Member], file: str, notes: Notes) -> Iterator[Grouped]:
    """The samples among the members of one tar, wherever in it they stand."""
    groups: dict[str, list[_Part]] = {}
    for member in members:
        part = _part(member)
        groups.setdefault(part.key, []).append(part)
    for key, parts in groups.items():
        media = [part for part in parts if part.is_media]
        own = [part for part in media if not part.role] or [part for part in media if part.role.lower() in _MEDIA_ROLES]
        if not media:
            notes.left_out("samples without a picture or clip", f"{file}[{key}]")
        elif own:
            yield _sample(_first(own, media, file, notes), parts, file, notes)
        elif len(media) == 1:
            yield _sample(media[0], parts, file, notes)
        else:
            yield from _apart(media, parts, file, notes)


def _part(member: Member) -> _Part:
    folder, slash, base = member.name.rpartition("/")
    first, *rest = base.split(".")
    extension = rest.pop() if rest else ""
    key = [first]
    while rest and rest[0][:1].isdigit():
        key.append(rest.pop(0))
    return _Part(member, f"{folder}{slash}{'.'.join(key)}", ".".join(rest), extension.lower())


def _first(own: list[_Part], media: list[_Part], file: str, notes: Notes) -> _Part:
    """The picture or clip that the sample is of; a clip rather than a still of it."""
    chosen = next((part for part in own if modality_of(part.member.name) == "video"), own[0])
    for part in media:
        if part is not chosen:
            where = f"{file}[{part.member.name}]"
            notes.left_out("pictures and clips beside the one that a sample is of, such as masks", where)
    return chosen


def _sample(media: _Part, parts: list[_Part], file: str, notes: Notes) -> Grouped:
    """The sample of the only picture or clip among `parts`, or the chosen one."""
    texts = _by_rank((part for part in parts if part.is_text), media)
    told = _by_rank((part for part in parts if part.is_told), media)
    for part in parts:
        if part.is_text and part not in texts[:1]:
            notes.left_out("texts of a sample that are not taken for its caption", f"{file}[{part.member.name}]")
    taken = [part for part in (*texts[:1], *told[:1]) if part.stem != media.stem]
    key = media.key if taken or media.role.lower() in _MEDIA_ROLES else media.stem
    return Grouped(key, media.member, _member(texts), _member(told))


def _apart(media: list[_Part], parts: list[_Part], file: str, notes: Notes) -> Iterator[Grouped]:
    """Each picture with the texts that have its name up to the last dot."""
    stems = {part.stem for part in media}
    for part in parts:
        if (part.is_text or part.is_told) and part.stem not in stems:
            notes.left_out("texts beside several pictures that have the name of none", f"{file}[{part.member.name}]")
    for stem in dict.fromkeys(part.stem for part in media):
        alike = [part for part in parts if part.stem == stem]
        own = [part for part in alike if part.is_media]
        chosen = _first(own, own, file, notes)
        texts, told = ([part for part in alike if part.is_text], [part for part in alike if part.is_told])
        yield Grouped(stem, chosen.member, _member(texts), _member(told))


def _by_rank(parts: Iterable[_Part], media: _Part) -> list[_Part]:
    """Those that say something of the picture: that have its name, the sample's, or are named for captions."""
    ranks = ((part.stem != media.stem, bool(part.role), part) for part in parts)
    fitting = [rank for rank in ranks if not rank[0] or not rank[1] or rank[2].role.lower() in _CAPTION_ROLES]
    return [part for *_, part in sorted(fitting, key=lambda rank: rank[:2])]


def _member(parts: list[_Part]) -> Member | None:
    return parts[0].member if parts else None
