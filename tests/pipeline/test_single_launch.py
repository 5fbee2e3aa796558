"""Runs on a file system that keeps no locks: refused before any work, or alone by the user's word."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from MetaCaptioner import filter as filter_command
from MetaCaptioner import verify
from MetaCaptioner.build_metafile import main as build_metafile
from MetaCaptioner.export import command as export_command
from MetaCaptioner.records.store import RankResults
from MetaCaptioner.utils import locks
from tests.helpers import Outcome, Runner, names, picture_rows, records, small_plan, write_annotation, write_metafile


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS, errno.EIO, errno.EACCES, errno.EOPNOTSUPP, 0])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks fail so, or (0) are granted to everybody."""

    def ask(*_: object) -> int:
        if request.param:
            raise OSError(request.param, os.strerror(request.param))
        return int(locks.fcntl.F_UNLCK)

    monkeypatch.setattr(locks, "_ask", ask)


def refused(outcome: Outcome) -> bool:
    return outcome.status == 1 and outcome.said.count("\n") == 1 and "--single-launch goes on without" in outcome.said


@pytest.mark.usefixtures("no_locks")
def test_all_stages_and_tools_refuse_or_go_on_by_the_users_word(tmp_path: Path, run: Runner) -> None:
    root, out, alone = tmp_path / "media", tmp_path / "out", "--single-launch"
    write_annotation(tmp_path / "set.json", picture_rows(root, 4))
    metafile = write_metafile(tmp_path, set={"root": "media", "annotation": "set.json", "task": "Natural", "length": 4,
                                             "sample_count": 4, "modality": "image"})  # fmt: skip
    plan = tmp_path / "plan.jsonl"
    assert run.plan(metafile, plan).status == 0
    assert refused(run.caption(plan, out, engine_opens=False))
    assert not list(out.glob("*.jsonl"))
    assert run.caption(plan, out, alone, "--max-samples", 2).status == 0
    again = tmp_path / "again.jsonl"
    assert refused(run.plan(metafile, again, "--results", out))
    assert run.plan(metafile, again, "--results", out, alone).status == 0
    assert run.caption(again, out, alone).status == 0
    assert set(records(out)) == names(4)
    assert refused(run.score(out, engine_opens=False))
    assert run.score(out, alone).status == 0
    folder = ("--data-folder", out)
    checks: list[tuple[Callable[..., int], tuple[object, ...]]] = [
        (filter_command.main, (*folder, "--min-overall", 1, "--min-dim-score", 1)),
        (verify.main, ("--plan", plan, *folder, "--mend")),
        (export_command.main, (*folder, "--format", "txt", "--beside")),
        (build_metafile, ("--format", "folder", "--input", root, "--metafile", tmp_path / "M.json")),
    ]
    for main, arguments in checks:
        assert refused(run.main(main, *arguments))
        assert run.main(main, *arguments, alone).status == 0


@pytest.mark.parametrize(("one", "other"), [(2, 4), (4, 2)])
def test_two_score_launches_of_other_sizes_do_not_share_a_rank(
    tmp_path: Path, run: Runner, one: int, other: int
) -> None:
    plan, out = small_plan(tmp_path, 8), tmp_path / "out"
    assert run.caption(plan, out).status == 0
    with RankResults(out / "score", 0, 0, part=0, parts=one):
        for rank in range(other):
            outcome = run.score(out, rank=(rank, other), engine_opens=False)
            assert outcome.status == 1
            assert "rank 0 is being worked on by another process" in outcome.said
        assert run.score(out, rank=(1, one)).status == 0
    for rank in range(other):
        assert run.score(out, rank=(rank, other)).status == 0
    assert set(records(out / "score")) == names(8)
