import pickle
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from MetaCaptioner.errors import DecodeError, ErrorKind, PassingError, SampleError
from MetaCaptioner.utils.json_text import from_json, to_json

ROOT = Path(__file__).parents[1]


def test_the_page_of_errors_tells_what_every_kind_means() -> None:
    told = subprocess.run([sys.executable, "-m", "script.page_tables", "--check"], cwd=ROOT, timeout=60)
    assert told.returncode == 0, "a table in docs/ is old: run python -m script.page_tables"


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_kind_says_what_to_do(kind: ErrorKind) -> None:
    assert kind.meaning
    assert kind.advice
    assert kind.value == kind.name.lower()


@pytest.mark.parametrize("kind", ErrorKind)
def test_a_kind_is_a_plain_text_to_what_reads_and_writes_it(kind: ErrorKind) -> None:
    text = kind.name.lower()
    assert type(kind.value) is str
    assert (kind, str(kind), f"{kind:s}", {text: 1}.get(kind)) == (text, text, text, 1)
    assert to_json({"kind": kind, kind: 1}) == f'{{"kind": "{text}", "{text}": 1}}'.encode()
    assert type(from_json(to_json(kind))) is str
    assert msgspec.json.encode({"kind": kind}) == f'{{"kind":"{text}"}}'.encode()
    assert msgspec.msgpack.encode(kind) == msgspec.msgpack.encode(text)


@pytest.mark.parametrize("made", [SampleError, PassingError])
def test_an_error_reaches_another_process_whole(made: type[SampleError]) -> None:
    error = pickle.loads(pickle.dumps(made(ErrorKind.MEDIA_MISSING, "a.jpg: there is no such file")))
    assert type(error) is made
    assert error.kind is ErrorKind.MEDIA_MISSING
    assert error.message == str(error) == "a.jpg: there is no such file"


def test_what_says_nothing_of_how_a_run_goes() -> None:
    assert [kind for kind in ErrorKind if kind.is_known_beforehand] == ["bad_row", "no_media", "bad_source"]
    again = [kind for kind in ErrorKind if kind.is_worth_another_try]
    assert again == ["empty_output", "degenerate_output", "bad_answer", "refused", "unsupported"]
    assert DecodeError(ErrorKind.MEDIA_TOO_SLOW, "took too long").kind == "media_too_slow"
