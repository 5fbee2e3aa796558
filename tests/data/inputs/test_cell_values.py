import math
from decimal import Decimal
from uuid import UUID

import pytest

from MetaCaptioner.data.inputs.base import Notes
from MetaCaptioner.data.inputs.cell_values import caption_of, dig, id_or


@pytest.mark.parametrize(
    ("value", "row_id"),
    [
        *(
            ("007", "007"),
            (7, 7),
            (7.0, 7),
            (1.5, 1.5),
            (2**70, 2**70),
            (Decimal("1.20"), "1.20"),
            (UUID(int=1), str(UUID(int=1))),
        ),
        *((None, "k"), ("", "k"), (True, "k"), (math.nan, "k"), (math.inf, "k"), ([1], "k"), (b"x", "k")),
    ],
)
def test_ids(value: object, row_id: object) -> None:
    notes = Notes()
    made = id_or(value, "k", "row 3", notes)
    assert (made, type(made)) == (row_id, type(row_id))
    assert len(list(notes.lines())) == (row_id == "k")


@pytest.mark.parametrize(
    ("value", "caption", "told"),
    [
        *(
            (" a\n", "a", None),
            ("", None, None),
            (None, None, None),
            (math.nan, None, None),
            ([], None, None),
            ([None, []], None, None),
        ),
        *(
            (["", "b"], "b", None),
            ([["a"], ["b"]], "a", "1 rows with several captions"),
            ('["a", "b"]', "a", "1 "),
        ),
        *(("[a]", "[a]", None), ("[1, 2]", "[1, 2]", None), ('["a"', '["a"', None)),
        *(
            (5, None, "no text but int"),
            ({"en": "e"}, None, "no text but an object of en"),
            ([5], None, "no text but list"),
        ),
    ],
)
def test_captions(value: object, caption: str | None, told: str | None) -> None:
    notes = Notes()
    assert caption_of(value, "row 3", notes) == caption
    lines = list(notes.lines())
    assert told in lines[0] if told else not lines


def test_values_in_nested_rows() -> None:
    row = {"a": {"b": [{"c": 1}, {"c": 2}, None]}, "a.x": 3, "l": [1]}
    paths = ("a.b.c", "a.x", "a.none", "none.c", "l.c", "l")
    assert [dig(row, path) for path in paths] == [[1, 2, None], 3, None, None, [None], [1]]
