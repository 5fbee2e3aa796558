"""What a class of options says of itself, and the one line that each mistake is."""

from pathlib import Path
from typing import ClassVar, Literal

import pytest

from MetaCaptioner.errors import BadArguments
from MetaCaptioner.utils.options import Flag, Options, Said, all_of, as_flags, option, typed_flags, validated


class Sizes(Options):
    heading: ClassVar[str] = "sizes"

    most: int = option(7, "so many", Flag("N"), ge=1, le=9)
    share: float = option(0.5, "of all", gt=0, le=1)
    names: list[str] = option([], "of some")


class Deeds(Sizes):
    command: ClassVar[str] = "deed"

    place: Path = option(..., "where", Flag("PLACE", is_place=True))
    other: Path | None = option(None, "elsewhere")
    word: str = option(..., "what", Flag(choices=("a", "b")))
    kind: Literal["x", "y"] = option("x", "of deed")
    quick: bool = option(False, "now")
    mode: Literal["refuse", "keep"] = option("refuse", "else", Flag(words={"keep": ("--keep", "it stays")}))


def read(**values: object) -> Deeds:
    said = {"place": "p", "word": "a", **values}
    return validated(Deeds, {name: Said(value, f"--{name}") for name, value in said.items()})


def test_own_options_come_first_and_groups_keep_theirs() -> None:
    found = all_of(Deeds)
    assert [*found] == ["place", "other", "word", "kind", "quick", "mode", "most", "share", "names", "quiet"]
    assert [name for name, one in found.items() if one.is_own] == [*found][:6]
    assert [one.typed for one in found.values()][:3] == ["PLACE", "--other", "--word"]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("most", "x", "--most must be a whole number, not 'x'"),
        ("most", 3.5, "--most must be a whole number, not 3.5"),
        ("most", 0, "--most must be from 1 to 9"),
        ("most", "10", "--most must be from 1 to 9"),
        ("most", True, "--most must be a number, not true"),
        ("most", [3], "--most must be a whole number, not [3]"),
        ("most", None, "--most must be a whole number, not None"),
        ("most", "9" * 5000, "--most must be a whole number, not '9"),
        ("share", "0", "--share must be above 0 and at most 1"),
        ("share", "nan", "--share must be above 0 and at most 1"),
        ("share", "inf", "--share must be above 0 and at most 1"),
        ("share", "much", "--share must be a number, not 'much'"),
        ("quick", "perhaps", "--quick must be true or false, not 'perhaps'"),
        ("word", "c", "--word must be one of a, b, not 'c'"),
        ("word", 3, "--word must be one of a, b, not 3"),
        ("kind", "z", "--kind must be one of x, y, not 'z'"),
        ("place", 3, "--place must be a path, not 3"),
        ("names", "one", "--names must be a list of texts, not 'one'"),
        ("names", [1], "--names must be a list of texts, not 1"),
    ],
)
def test_a_mistake_is_one_short_line(name: str, value: object, told: str) -> None:
    with pytest.raises(BadArguments) as raised:
        read(**{name: value})
    assert str(raised.value).startswith(told)
    assert len(str(raised.value)) < 120


def test_all_that_is_missing_is_told_at_once() -> None:
    with pytest.raises(BadArguments, match=r"^missing: PLACE \(where\), --word \(what\)$"):
        validated(Deeds, {})


def test_names_that_are_no_utf_8_are_paths_as_any_other() -> None:
    assert read(place="a\udcff").place == Path("a\udcff")


def test_what_was_said_is_typed_again_and_nothing_else() -> None:
    options = read(most="3", names=["a b", "c"], quick=False, other=Path("-x"), mode="keep")
    assert as_flags(options) == [
        *("p", "--other=-x", "--word=a", "--no-quick", "--keep", "--most=3", "--names=a b", "--names=c"),
    ]
    assert as_flags(options, Sizes) == ["--most=3", "--names=a b", "--names=c"]
    assert as_flags(read(other=None)) == ["p", "--word=a"]


def test_options_cannot_be_changed_and_know_what_was_typed() -> None:
    options = validated(Deeds, {"place": Said("p", "PLACE"), "word": Said("a", "WORD"), "most": Said(3, "--most")})
    assert [name for name in all_of(Deeds) if options.is_typed(name)] == ["most"]
    with pytest.raises(ValueError, match="frozen"):
        options.most = 4  # type: ignore[misc]


def test_an_option_of_its_own_is_not_handed_on_as_that_of_a_group_with_the_same_name() -> None:
    class Other(Options):
        command: ClassVar[str] = "other"

        most: str = option("", "something else")
        share: float = option(0.5, "something else")

    other = validated(Other, {"most": Said("x", "--most"), "share": Said(0.1, "--share")})
    assert typed_flags(other, Sizes) == []
    deeds = {"place": Said("p", "PLACE"), "word": Said("a", "--word"), "most": Said(3, "--most")}
    assert typed_flags(validated(Deeds, deeds), Sizes) == ["--most=3"]
