"""Hostile files through a whole rank: a record each, soon, within the bound of memory, and no helper left.

A fifth of them in every run of the tests; `HOSTILE_FILES=500` does all.
"""

import os
from pathlib import Path

import pytest

from MetaCaptioner.media.decoding.process import ForkServer
from tests import hostile
from tests.fuzzer import hostile_files, sound_files
from tests.helpers import Runner, names, plan_row, records, write_annotation, write_plan
from tests.shown_clips import needs_ffmpeg

COUNT = int(os.environ.get("HOSTILE_FILES", "100"))
SEED = int(os.environ.get("HOSTILE_SEED", "0"))
SECONDS = 2.0
MEMORY = 2**30
_SLACK = 2**27  # of each helper: what it may take unasked, and what it may keep
KINDS = ("media_corrupt", "media_too_large", "media_too_slow", "media_bad_shape")

pytestmark = needs_ffmpeg


@pytest.fixture
def fork_server() -> type[ForkServer]:
    """The program's own: a run must leave no process."""
    return ForkServer


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return sound_files(tmp_path_factory.mktemp("sound"))


def plan_of(folder: Path, files: dict[str, bytes]) -> Path:
    (folder / "media").mkdir()
    rows = []
    for name, content in files.items():
        path = folder / "media" / name.replace("/", "-")
        path.write_bytes(content)
        rows.append({"video" if "clips" in name else "image": path.name})
    annotation = write_annotation(folder / "set.json", rows)
    return write_plan(folder / "plan.jsonl", plan_row(annotation, folder / "media", 0, len(rows)) | {"task": "auto"})


def test_sound_files_of_every_format_are_decoded_by_helpers_that_can_open_no_file(
    tmp_path: Path, run: Runner, sound: dict[str, bytes]
) -> None:
    assert run.caption(plan_of(tmp_path, sound), tmp_path / "out").status == 0
    found = records(tmp_path / "out")
    assert {
        record.get("image") or record["video"]: record["error"] for record in found.values() if "error" in record
    } == {}
    assert len(found) == len(sound)


def test_hostile_files_cost_a_record_each(tmp_path: Path, run: Runner, sound: dict[str, bytes]) -> None:
    files = dict(hostile_files(sound, COUNT, SEED))
    plan, out = plan_of(tmp_path, files), tmp_path / "out"
    flags = ("--max-error-rate", 1, "--decode-memory", MEMORY / 2**30, "--decode-threads", 2)
    peak = hostile.peak_of_helpers(lambda: run.caption(plan, out, *flags))
    found = records(out)
    assert set(found) == names(COUNT)
    errors = {name: record["error"] for name, record in found.items() if record["status"] == "error"}
    assert {name: error for name, error in errors.items() if error["kind"] not in KINDS} == {}
    allowed = SECONDS * max(1, os.getloadavg()[0] / len(os.sched_getaffinity(0)))  # others may use the machine too
    slow = {record.get("image") or record["video"]: record["seconds"] for record in found.values()}
    assert {name: seconds for name, seconds in slow.items() if seconds > allowed} == {}
    assert peak < MEMORY + 2 * _SLACK
    assert not hostile.helpers()
