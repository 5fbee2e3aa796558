"""Where options come from: the command line, the environment in place of what that leaves out, and a file.

A file is YAML: options of groups at its top, those of one program in a part that has the program's name.

    model: Qwen/Qwen2.5-VL-7B-Instruct
    max_pixels: 802816
    run:
      export: txt
    score:
      model: OpenGVLab/InternVL3-8B

A group's option may be in such a part too, and counts there for that program alone.
"""

import argparse
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from MetaCaptioner.errors import BadArguments
from MetaCaptioner.utils.cli import note, program, say
from MetaCaptioner.utils.commands import COMMANDS, CONFIG_VARIABLE, PREFIX, options_of
from MetaCaptioner.utils.log_lines import INFO, NOTE, speak
from MetaCaptioner.utils.options import Option, Options, Read, Said, all_of, nearest, said_in, validated
from MetaCaptioner.utils.safe_open import read_file
from MetaCaptioner.utils.yaml_text import from_yaml

FILE_HERE = "metacaptioner.yaml"
MADE_WITH = "made_with"
"""A key of files that runs write, which says nothing to them."""
_CONFIG = "config"
READ_NO_FILE = f"--{_CONFIG}="
"""What tells a program that all options are typed which a file, too, may have said."""
_ABOUT_CONFIG = f"YAML file of options; '' for none (default: ./{FILE_HERE}, or ~/.config/metacaptioner/config.yaml)"


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line, with the flag that is nearest to one that there is not."""

    def error(self, message: str) -> NoReturn:
        """Raise it.

        Raises:
            BadArguments: always.
        """
        wrong = next((word for word in message.split() if word.startswith("--")), "").partition("=")[0]
        hint = nearest(wrong, self._option_string_actions) if message.startswith("unrecognized") else ""
        raise BadArguments(f"{message}{hint}; {self.prog} --help lists all")


def parser_of(options: type[Options], about: str) -> Parser:
    """The parser of a program's flags, which has no defaults: what is not typed is not there."""
    known = all_of(options).values()
    needed = [f"{one.typed} {_metavar(one)}" for one in known if one.info.is_required() and not one.flag.is_place]
    places = [one.typed for one in known if one.flag.is_place]
    parser = Parser(
        prog=program(),
        usage=" ".join(["%(prog)s", *places, *needed, "[OPTION ...]"]),
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    groups: dict[str, argparse._ActionsContainer] = {"": parser}
    for one in known:
        heading = "" if one.is_own else one.home.heading
        if heading not in groups:
            groups[heading] = parser.add_argument_group(heading)
        _add(groups[heading], one)
    parser.add_argument(f"--{_CONFIG}", metavar="FILE", help=_ABOUT_CONFIG)
    return parser


def _add(parser: argparse._ActionsContainer, option: Option) -> None:
    flag, about = option.flag, help_of(option).replace("%", "%%")
    if flag.words is not None:
        only_one = parser.add_mutually_exclusive_group()
        for value, (word, told) in flag.words.items():
            only_one.add_argument(word, dest=option.name, action="store_const", const=value, help=told)
    elif flag.is_place:
        parser.add_argument(option.name, nargs="?", metavar=option.typed, help=about)
    elif option.kind is bool:
        parser.add_argument(option.typed, dest=option.name, action="store_true", help=about)
        off = f"--no-{option.typed.removeprefix('--')}"
        parser.add_argument(off, dest=option.name, action="store_false", help=argparse.SUPPRESS)
    elif flag.bare is not None:
        parser.add_argument(
            option.typed, dest=option.name, nargs="?", const=flag.bare, metavar=_metavar(option), help=about
        )
    else:
        action = "append" if option.is_list else "store"
        parser.add_argument(option.typed, dest=option.name, action=action, metavar=_metavar(option), help=about)


def _metavar(option: Option) -> str:
    if option.choices:
        return f"{{{','.join(option.choices)}}}"
    return option.flag.metavar or {int: "N", float: "X"}.get(option.kind, option.name.upper())


def help_of(option: Option) -> str:
    """What it says, with the default unless that is told in words of its own."""
    default = option.default
    told = option.about
    if default not in (None, False, []) and "default" not in told:
        told = f"{told} (default: {default})"
    return told


def read(options: type[Read], arguments: Sequence[str] | None, about: str) -> Read:
    """A program's options: what is typed, else what the environment says, else a file, else their defaults.

    This process speaks from now on, as they say.

    Raises:
        BadArguments: one cannot be, or is none; one line that says where, and what may be meant.
    """
    typed = vars(parser_of(options, about).parse_args(arguments))
    path = _file(typed.pop(_CONFIG, None))
    said = {} if path is None else _of_file(options, path)
    if path == Path(FILE_HERE):
        _check_may_be_found(options, said)
    said |= _of_environment(options, os.environ)
    known = all_of(options)
    made = validated(options, said | {name: Said(value, known[name].typed) for name, value in typed.items()})
    speak(NOTE if made.quiet else INFO)
    if path is not None:
        tell = note if path == Path(FILE_HERE) else say  # such a file does not keep itself from being seen
        tell(f"options of {path}")
    return made


def _file(named: str | None) -> Path | None:
    """The file that is named, or else the first that is there; None for none."""
    if named is None:
        named = os.environ.get(CONFIG_VARIABLE)
    if named is not None:
        return Path(named).absolute() if named else None
    configuration = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111 as below
    places = (Path(FILE_HERE), Path(configuration, "metacaptioner", "config.yaml"))
    return next((place for place in places if place.is_file()), None)


def _of_file(options: type[Options], path: Path) -> dict[str, Said]:
    try:
        content = from_yaml(read_file(path).decode())
    except OSError as error:
        raise BadArguments(f"--{_CONFIG} {path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadArguments(f"{path}: is no sound YAML: {error}") from error
    said: dict[str, Said] = {}
    top = _mapping(content, str(path))
    top.pop(MADE_WITH, None)
    parts = {name: _mapping(top.pop(name), f"{path}: {name}") for name in [*top] if name in COMMANDS}
    for name, value in top.items():
        _check_key(options, name, f"{path}: {name}")
        if is_shared(options, name):
            said[name] = _from_file(options, name, value, f"{path}: {name}")
    known = {one.key: one.name for one in all_of(options).values()}
    for key, value in parts.get(options.command, {}).items():
        by = f"{path}: {options.command}: {key}"
        if key not in known:
            raise BadArguments(f"{by}: there is no such option{nearest(key, known)}")
        said[known[key]] = _from_file(options, known[key], value, by)
    return said


def _check_may_be_found(options: type[Options], said: Mapping[str, Said]) -> None:
    """Refuse what a file may not say that just lies there, for others may have put it there."""
    for name, one in said.items():
        option = all_of(options)[name]
        if by := one.by if option.flag.is_for_named_files else _let_in(option, one.value, one.by):
            raise BadArguments(f"{by}: counts only in a file that you name: --{_CONFIG} ./{FILE_HERE}")


def _let_in(option: Option, value: object, by: str) -> str:
    """Which option within another one a file may not say that just lies there; empty if there is none."""
    if option.parts is None or not isinstance(value, Mapping):
        return ""
    known = {one.key: one for one in all_of(option.parts).values() if one.flag.is_for_named_files}
    groups = {f"{by}: {name}": one for name, one in value.items()} if option.is_mapping else {by: value}
    said = ((place, str(key)) for place, one in groups.items() if isinstance(one, Mapping) for key in one)
    return next((f"{place}: {key}" for place, key in said if key.replace("-", "_") in known), "")


def _mapping(content: object, place: str) -> dict[str, object]:
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise BadArguments(f"{place}: must be options with values, as in 'max_pixels: 802816'")
    return {str(key).replace("-", "_"): value for key, value in content.items()}


def _check_key(options: type[Options], name: str, by: str) -> None:
    """Refuse what no program has, and what only one has, which is to be in its part."""
    everything = {options.command: options}
    if not is_shared(options, name):
        everything |= {command: options_of(command) for command in COMMANDS}
    if any(is_shared(others, name) for others in everything.values()):
        return
    if owners := [command for command, others in everything.items() if name in all_of(others)]:
        raise BadArguments(f"{by}: is an option of {', '.join(owners)} alone: write it below '{owners[0]}:'")
    known = {other for others in everything.values() for other in all_of(others)} | {*COMMANDS}
    raise BadArguments(f"{by}: there is no such option{nearest(name, known)}")


def is_shared(options: type[Options], name: str) -> bool:
    """Whether they have an option of that name which others have as well."""
    return name in all_of(options) and not all_of(options)[name].is_own


def _from_file(options: type[Options], name: str, value: object, by: str) -> Said:
    if all_of(options)[name].may_be_path and isinstance(value, str):
        value = os.path.expanduser(value)  # noqa: PTH111 Path's raises an error where there is no such user
    return Said(value, by)


def _of_environment(options: type[Options], environment: Mapping[str, str]) -> dict[str, Said]:
    said: dict[str, Said] = {}
    for name, one in all_of(options).items():
        if one.flag.environment and (value := environment.get(one.flag.environment)):
            said[name] = Said(value, one.flag.environment)
    for variable, name, value in _prefixed(environment):
        if is_shared(options, name):
            said[name] = Said(_words(value, variable) if all_of(options)[name].is_list else value, variable)
        else:
            _check_variable(name, variable)
    return said


def _words(value: str, variable: str) -> list[str]:
    """The words of a list, as a shell has them."""
    try:
        return shlex.split(value)
    except ValueError as error:
        raise BadArguments(f"{variable} must be words as in a shell: {error}") from error


def _prefixed(environment: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for variable, value in environment.items():
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and value and name != _CONFIG:
            yield variable, name, value


def _check_variable(name: str, variable: str) -> None:
    everything = [options_of(command) for command in COMMANDS]
    known = {other for options in everything for other in all_of(options) if is_shared(options, other)}
    if name not in known:
        hint = nearest(name, known)
        raise BadArguments(f"{variable}: there is no such option{hint}")


def as_file(options: Options) -> dict[str, object]:
    """All options with their values, as a file has them that makes the same run; paths from any folder."""
    top: dict[str, object] = {}
    own: dict[str, object] = {}
    for name, one in all_of(type(options)).items():
        value = getattr(options, name)
        is_said = value is not None and (bool(value) or one.parts is None)
        if is_said and one.home is not Options:  # how much is said makes no other results
            at_top = not one.is_own and one.key not in COMMANDS  # where such a key would be a command's part
            (top if at_top else own)[one.key] = _from_any_folder(one, value)
    return {**top, options.command: own} if own else top


def _from_any_folder(option: Option, value: object) -> object:
    """A value that is found from any folder; a text that may be a path is one where such a thing is there."""
    if option.parts is not None:
        return said_in(value, _from_any_folder)
    is_path = isinstance(value, Path) or (option.may_be_path and os.path.exists(str(value)))  # noqa: PTH110 (any name)
    return str(Path(str(value)).absolute()) if is_path else value
