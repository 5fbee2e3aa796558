from pathlib import Path

import pytest

from MetaCaptioner.utils.cli import as_typed, say
from tests.utils.test_json_text import ODD_TEXT


def test_nothing_that_is_said_acts_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"file {ODD_TEXT}\nerror: forged")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.endswith("\\nerror: forged\n")
    assert not [one for one in said[:-1] if ord(one) < 32 or 0x7F <= ord(one) <= 0x9F or "\u202a" <= one <= "\u202e"]


def test_a_path_is_not_typed_as_a_flag() -> None:
    assert as_typed(Path("-p.jsonl")) == "./-p.jsonl"
    assert as_typed("--mend") == "--mend"
