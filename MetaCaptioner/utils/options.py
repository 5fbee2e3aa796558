"""The options of a program as a typed model, in which each is written once.

    class FilterOptions(ThresholdOptions):
        command = "filter"
        data_folder: Path = option(..., "folder of caption results")

They are read from the command line, the environment and a file (`options_sources`), in this order of precedence. A
class that a program's options inherit from is a group of them: in --help, and at the top of a file.
"""

import difflib
import inspect
import os
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from MetaCaptioner.errors import BadArguments
from MetaCaptioner.utils.json_text import from_json, to_json

_EXTRA = "flag"


@dataclass(frozen=True)
class Flag:
    """How an option is typed, where that does not follow from its name and type.

    `name` is for one that a model's field cannot have. `environment` is a variable of its own. `choices` are the values
    that a text may have, `words` has a flag for each value but the default, and a line about it. `bare` is the value of
    the flag alone. One that `is_place` is typed without its name. A text that `may_be_path` is one, or a name. One that
    `is_for_named_files` counts in a file only if the user has named that: the current folder may be a dataset's.
    """

    metavar: str | None = None
    name: str | None = None
    environment: str | None = None
    choices: tuple[str, ...] = ()
    words: Mapping[str, tuple[str, str]] | None = None
    bare: object = None
    is_place: bool = False
    may_be_path: bool = False
    is_for_named_files: bool = False


def option(default: Any, about: str, flag: Flag | None = None, **limits: float) -> Any:
    """A field of `Options`; the default `...` is none. `limits` are pydantic's `ge`, `gt` and `le`."""
    field: Any = Field
    return field(default, description=about, json_schema_extra={_EXTRA: flag or Flag()}, **limits)


class Options(BaseModel):
    """Options of a program, or a group of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    heading: ClassVar[str] = ""
    """What --help calls the group."""
    command: ClassVar[str] = ""
    """The program whose options these are; its own ones are in the part of a file that has its name."""

    quiet: bool = option(False, "say notes and errors only")

    _said_by: Mapping[str, str] = PrivateAttr(default_factory=dict)

    def is_typed(self, name: str) -> bool:
        """Whether that option was typed, and not said by the environment or a file, or by nobody."""
        return self._said_by.get(name, "").startswith("--")


Read = TypeVar("Read", bound=Options)


@dataclass(frozen=True)
class Option:
    """One option of a class, and the class that declares it."""

    name: str
    info: FieldInfo
    home: type[Options]

    @property
    def flag(self) -> Flag:
        extra: Any = self.info.json_schema_extra
        flag: Flag = extra[_EXTRA]
        return flag

    @property
    def about(self) -> str:
        return self.info.description or ""

    @property
    def typed(self) -> str:
        """As it is typed."""
        if self.flag.is_place:
            return self.flag.metavar or self.name.upper()
        return f"--{self.key.replace('_', '-')}"

    @property
    def key(self) -> str:
        """As a file has it."""
        return self.flag.name or self.name

    @property
    def kind(self) -> Any:
        """Its type, but for None."""
        annotation = self.info.annotation
        if get_origin(annotation) in (Union, types.UnionType):
            return next(one for one in get_args(annotation) if one is not type(None))
        return annotation

    @property
    def choices(self) -> tuple[str, ...]:
        """The texts that it may be; empty where it may be more."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else self.flag.choices

    @property
    def is_list(self) -> bool:
        return get_origin(self.kind) is list

    @property
    def parts(self) -> "type[Options] | None":
        """Whose options it holds, if it is itself some; those of each name, if it `is_mapping`."""
        kind = get_args(self.kind)[1] if self.is_mapping else self.kind
        return kind if isinstance(kind, type) and issubclass(kind, Options) else None

    @property
    def is_mapping(self) -> bool:
        return get_origin(self.kind) is dict

    @property
    def may_be_path(self) -> bool:
        return self.kind is Path or self.flag.may_be_path

    @property
    def default(self) -> object:
        """None where there is none."""
        return None if self.info.default is PydanticUndefined else self.info.default

    @property
    def is_own(self) -> bool:
        """Whether it is of one program alone, and of no group that others have as well."""
        return self.home is not Options and "command" in self.home.__dict__


@cache
def all_of(options: type[Options]) -> Mapping[str, Option]:
    """The options of a class by name: its own first, then those of its groups, in the order in which it names them."""
    homes = [home for home in options.__mro__ if issubclass(home, Options)]
    declared = [(home, name) for home in homes for name in inspect.get_annotations(home)]
    found: dict[str, Option] = {}
    for home, name in declared:
        if name in options.model_fields:
            found.setdefault(name, Option(name, options.model_fields[name], home))
    return found


@dataclass(frozen=True)
class Said:
    """A value, and how the user has named what it is for: `--seed`, `SEED`, `run.yaml: seed`."""

    value: object
    by: str


def validated(options: type[Read], said: Mapping[str, Said]) -> Read:
    """The options that are said, with the defaults of the others.

    Raises:
        BadArguments: one of them cannot be, or is missing; one line for the user.
    """
    known = all_of(options)
    for name, one in said.items():
        _check_plain(known[name], one)
    values = {name: _with_parts(known[name], one) for name, one in said.items()}
    try:
        made = options.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False)
    else:
        made._said_by = {name: one.by for name, one in said.items()}
        return made
    if missing := [known[str(problem["loc"][0])] for problem in problems if problem["type"] == "missing"]:
        told = ", ".join(f"{one.typed} ({one.about})" for one in missing)
        raise BadArguments(f"missing: {told}")
    raise BadArguments(_told(problems[0], known, said))


def _with_parts(option: Option, said: Said) -> object:
    """The value of an option, read where it is options itself; on a command line those are JSON.

    Raises:
        BadArguments: one of these cannot be, or is none; says which, and where.
    """
    if option.parts is None:
        return said.value
    given = said.value
    if isinstance(given, str):
        with suppress(ValueError):
            given = from_json(given)
    if not option.is_mapping:
        return part_of(option.parts, given, said.by)
    if not isinstance(given, Mapping):
        raise BadArguments(f"{said.by} must be names with options, not {_shown(given)}")
    return {str(name): part_of(option.parts, one, f"{said.by}: {name}") for name, one in given.items()}


def part_of(options: type[Read], given: object, by: str) -> Read:
    """Options that are a part of others.

    Raises:
        BadArguments: one of them cannot be, or is none; one line that says where.
    """
    if isinstance(given, options):
        return given
    if not isinstance(given, Mapping):
        raise BadArguments(f"{by} must be options with values, not {_shown(given)}")
    known = {one.key: one for one in all_of(options).values() if one.home is not Options}
    said = {}
    for key, value in given.items():
        name = str(key).replace("-", "_")
        if name not in known:
            raise BadArguments(f"{by}: {key}: there is no such option{nearest(name, known)}")
        is_home = known[name].may_be_path and isinstance(value, str)
        found = os.path.expanduser(value) if is_home else value  # noqa: PTH111 Path's raises where there is no such user
        said[known[name].name] = Said(found, f"{by}: {key}")
    try:
        return validated(options, said)
    except BadArguments as error:
        raise BadArguments(str(error) if str(error).startswith(by) else f"{by}: {error}") from None


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint at the word that was meant, flag or not; nothing where none is near."""
    words = {one.removeprefix("--"): one for one in known}
    near = difflib.get_close_matches(word.removeprefix("--"), words, n=1)
    return f"; did you mean {words[near[0]]}?" if near else ""


def _check_plain(option: Option, said: Said) -> None:
    """Refuse what pydantic would take: true as the number 1, a text that is none of the choices."""
    is_number = option.kind in (int, float)
    if is_number and isinstance(said.value, bool):
        raise BadArguments(f"{said.by} must be a number, not {str(said.value).lower()}")
    if option.choices and said.value not in (*option.choices, option.default):
        raise BadArguments(f"{said.by} must be one of {', '.join(option.choices)}, not {_shown(said.value)}")


def _shown(value: object) -> str:
    text = f"'{value}'" if isinstance(value, str | Path) else repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


_TOLD: dict[object, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
    str: "text",
    list[str]: "a list of texts",
}


def _told(problem: ErrorDetails, known: Mapping[str, Option], said: Mapping[str, Said]) -> str:
    option = known[str(problem["loc"][0])]
    named, value = said[option.name].by, problem["input"]
    if problem["type"] == "value_error":  # of a validator of the option's own
        return f"{named} {problem['msg'].removeprefix('Value error, ')}"
    if problem["type"] in ("greater_than", "greater_than_equal", "less_than_equal", "finite_number"):
        return f"{named} must be {_range(option) or 'a number'}"
    return f"{named} must be {_TOLD.get(option.kind, problem['msg'])}, not {_shown(value)}"


def _range(option: Option) -> str:
    least = above = most = None
    for limit in option.info.metadata:
        if isinstance(limit, annotated_types.Ge):
            least = limit.ge
        elif isinstance(limit, annotated_types.Gt):
            above = limit.gt
        elif isinstance(limit, annotated_types.Le):
            most = limit.le
    if least is not None and most is not None:
        return f"from {least} to {most}"
    told = {"at least": least, "above": above, "at most": most}
    return " and ".join(f"{word} {value}" for word, value in told.items() if value is not None)


def as_flags(options: Options, group: type[Options] | None = None) -> list[str]:
    """What of them was said, by whatever source, as flags of a command line; with `group` those of that class alone."""
    said = [one for name, one in all_of(group or type(options)).items() if name in options.model_fields_set]
    return [flag for one in said for flag in _as_flags(one, getattr(options, one.name))]


def typed_flags(options: Options, *groups: type[Options]) -> list[str]:
    """What of these groups was typed, as flags of another command that has them too.

    An option of the same name that is not of the group, but the program's own, means something else.
    """
    known = all_of(type(options))
    homes = {(name, one.home) for group in groups for name, one in all_of(group).items()}
    typed = [one for name, one in known.items() if options.is_typed(name) and (name, one.home) in homes]
    return [flag for one in typed for flag in _as_flags(one, getattr(options, one.name))]


def said_in(value: object, told: Callable[[Option, object], object] = lambda option, value: value) -> object:
    """Options that are parts of others as a file has them: what of them was said, each value as it is `told`."""
    if isinstance(value, Options):
        said = {name: one for name, one in all_of(type(value)).items() if name in value.model_fields_set}
        return {one.key: said_in(told(one, getattr(value, name)), told) for name, one in said.items()}
    if isinstance(value, Mapping):
        return {name: said_in(one, told) for name, one in value.items()}
    return value


def _as_flags(option: Option, value: object) -> Sequence[str]:
    if option.flag.words is not None:
        return [option.flag.words[str(value)][0]] if value != option.default else []
    if isinstance(value, bool):
        return [option.typed if value else f"--no-{option.typed.removeprefix('--')}"]
    if value is None:
        return []
    if option.parts is not None:
        return [f"{option.typed}={to_json(said_in(value)).decode()}"]
    values = value if isinstance(value, list) else [value]
    return [str(one) if option.flag.is_place else f"{option.typed}={one}" for one in values]
