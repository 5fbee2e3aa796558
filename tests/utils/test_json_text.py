import json
import random
import sys

import pytest

from MetaCaptioner.records.record import glance, parse_record
from MetaCaptioner.utils.json_text import NotJson, from_json, read_as, to_json
from MetaCaptioner.utils.text import ODD, shown

EDGES = '\0\x1b\x7f\x80\x9f\xa0\u2028\u202a\u202e\u2066\u2069\ud7ff\ud800\udbff\udc00\udfff\ue000\uffff\U0010ffff"\\/u'
ODD_TEXT = "half \ud83d, csi \x9b31m, esc \x1b[2J, del \x7f, turned \u202egnp.exe\u202c \u2066x\u2069, lines \u2028\x85"


def any_text(chance: random.Random) -> str:
    return "".join(
        chance.choice((chance.choice(EDGES), chr(chance.randrange(0x110000)), chr(chance.randrange(128))))
        for _ in range(chance.randrange(20))
    )


def any_value(chance: random.Random, depth: int = 3) -> object:
    made = chance.randrange(6 if depth else 4)
    if made == 4:
        return [any_value(chance, depth - 1) for _ in range(chance.randrange(4))]
    if made == 5:
        return {any_text(chance): any_value(chance, depth - 1) for _ in range(chance.randrange(4))}
    return (None, chance.random(), chance.randrange(-(10**20), 10**20), any_text(chance))[made]


def test_what_is_written_is_utf8_without_acting_characters_and_comes_back() -> None:
    chance = random.Random(7)
    for _ in range(2000):
        value = any_value(chance)
        text = to_json(value).decode()
        assert ODD.search(text) is None
        assert not any(ord(character) < 32 for character in text)
        # As escapes: two halves of a pair that follow each other are read back as the one character that they make.
        assert from_json(text) == json.loads(json.dumps(value))


def test_a_record_of_odd_texts_is_read_back() -> None:
    record = {
        "sample_id": "a/0",
        "data_name": "a",
        "index": 0,
        "image": "x\ud83d.png",
        "status": "ok",
        "caption": ODD_TEXT,
    }
    line = to_json(record) + b"\n"
    assert parse_record(line) == record
    told = glance(line)
    assert told is not None
    assert (told.image, told.status) == ("x\ud83d.png", "ok")


DEEP = b"[" * 100_000 + b"]" * 100_000
BAD = {
    "deep list": DEEP,
    "deep object": b'{"a":' * 100_000,
    "long number": b"1" * (sys.get_int_max_str_digits() + 700),
    "no JSON": b"{,}",
    "no UTF-8": b'"\xff"',
}
NOT_FINITE = {"NaN": b"NaN", "infinity": b"-Infinity", "beyond floats": b"1e999"}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_whatever_is_read_is_a_value_error_at_worst(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(text)


@pytest.mark.parametrize("number", NOT_FINITE.values(), ids=NOT_FINITE)
def test_numbers_that_are_none_are_no_record(number: bytes) -> None:
    assert isinstance(from_json(number), float)
    with pytest.raises(NotJson):
        from_json(number, finite=True)
    line = b'{"sample_id": "a/0", "data_name": "a", "index": 0, "status": "ok", "overall": ' + number + b"}\n"
    assert parse_record(line) is None


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_a_line_in_which_such_a_value_is_is_no_record(value: bytes) -> None:
    line = b'{"sample_id": "a/0", "data_name": "a", "index": 0, "status": "ok", "x": ' + value + b"}\n"
    assert parse_record(line) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"bytes", object()])
def test_what_json_has_no_word_for_is_not_written(value: object) -> None:
    with pytest.raises(NotJson):
        to_json({"x": value})


def test_nesting_without_end_is_not_written() -> None:
    loop: list[object] = []
    loop.append(loop)
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (loop, deep):
        with pytest.raises(NotJson):
            to_json(value)


def test_what_is_shown_acts_on_no_terminal() -> None:
    chance = random.Random(8)
    for text in (any_text(chance) for _ in range(2000)):
        assert ODD.search(shown(text)) is None
        assert not any(ord(character) < 32 for character in shown(text))
        assert {one for one in shown(text, lines=True) if ord(one) < 32} <= set("\t\n\r")
        shown(text).encode()


def test_what_is_shown_tells_what_was_there() -> None:
    assert shown("a\x1b[2J\r\n\x9b\u202eb") == r"a\x1b[2J\r\n\x9b\u202eb"
    assert shown("a\tb\nc\x00", lines=True) == "a\tb\nc\\x00"
    assert shown("é 日本 😀 עברית") == "é 日本 😀 עברית"


def test_a_kind_of_value_may_have_numbers_for_names() -> None:
    assert read_as(to_json({3: [1]}), dict[int, list[int]]) == {3: [1]}
    with pytest.raises(NotJson, match="holds something else"):
        read_as(to_json({"x": [1]}), dict[int, list[int]])
