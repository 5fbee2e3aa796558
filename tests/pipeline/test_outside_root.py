"""A dataset whose rows name, or link to, what lies outside its root, from plan to export."""

import os
from pathlib import Path

import pytest

from tests.helpers import Row, Runner, all_records, error_kinds, pack, picture_rows, write_annotation, write_metafile
from tests.pipeline.commands import run as run_command
from tests.pipeline.commands import script, succeed

FLAG = "--allow-outside-root"
OUTSIDE = range(4, 12)
FIFO = 12
LINKS = range(9, 12)
"""Rows that lead out of the root behind links; those before them by their names."""

pytestmark = pytest.mark.timeout(300)


def planned(run: Runner, metafile: Path, plan: Path) -> Path:
    assert run.plan(metafile, plan).status == 0
    return plan


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four pictures of its own, three of them behind links, eight of another's, and one FIFO."""
    root, other = tmp_path / "media", tmp_path / "other"
    rows: list[Row] = picture_rows(root, 4)
    picture_rows(other, 12)
    (root / "1.png").rename(root / "one.png")
    (root / "1.png").symlink_to("one.png")
    (root / "2.png").rename(root / "two.png")
    (root / "2.png").symlink_to(root / "two.png")
    (root / "sub").mkdir()
    (root / "3.png").rename(root / "sub" / "3.png")
    (root / "3.png").symlink_to("sub/3.png")
    place = pack(other / "a.tar", other / "7.png")["7.png"]
    (root / "link.png").symlink_to("../other/9.png")
    (root / "folder").symlink_to(other)
    (root / "a.tar").symlink_to("../other/a.tar")
    os.mkfifo(root / "fifo.png")
    names = ["../other/4.png", str(other / "5.png"), f"file://{other}/6.png", "7.png", "sub/../../other/8.png"]
    names += ["link.png", "folder/10.png", "7.png", "fifo.png"]
    rows += [{"id": 4 + n, "image": name, "width": 56, "height": 56} for n, name in enumerate(names)]
    rows[5].pop("width")
    rows[7]["tar"] = {**place, "file": "../other/a.tar"}
    rows[11]["tar"] = place
    rows[FIFO].pop("width")
    write_annotation(tmp_path / "set.json", rows)
    return write_metafile(tmp_path, set={"root": "media", "annotation": "set.json", "task": "Natural"})


def test_nothing_of_it_is_read_and_each_row_is_one_record(data: Path, run: Runner) -> None:
    plan, out = data.parent / "plan.jsonl", data.parent / "out"
    told = run.plan(data, plan)
    assert told.status == 0
    assert "5 rows will end as media_outside_root records (first: row 4: ../other/4.png leads out of " in told.said
    assert run.caption(plan, out, "--max-error-rate", "1").status == 0
    assert error_kinds(out) == {f"set/{n}": "media_outside_root" for n in OUTSIDE} | {f"set/{FIFO}": "media_missing"}
    assert not any("media_hash" in record for record in all_records(out) if record["status"] == "error")
    said = succeed(script("verify", "--plan", plan, "--data-folder", out))
    assert "complete: 13 samples expected, 4 ok" in said
    assert "failed samples: set/4: media_outside_root" in said


def test_with_the_flag_all_is_read(data: Path, run: Runner) -> None:
    plan, out, hub = (data.parent / name for name in ("plan.jsonl", "out", "hub"))
    assert run.caption(planned(run, data, plan), out, "--max-error-rate", "1").status == 0
    told = run.plan(data, plan, FLAG)
    assert told.status == 0
    assert "media_outside_root" not in told.said
    assert run.caption(plan, out, FLAG, "--retry-errors").status == 0
    assert error_kinds(out) == {f"set/{FIFO}": "media_missing"}
    looked = run_command(script("verify", "--plan", plan, "--data-folder", out, "--check-media", 20))
    assert (looked.returncode, "8  media that cannot be read: " in looked.stdout) == (1, True)
    succeed(script("verify", "--plan", plan, "--data-folder", out, "--check-media", 20, FLAG))
    export = script("export", "--data-folder", out, "--all", "--format", "webdataset", "--output", hub)
    refused = run_command(export)
    assert refused.returncode == 1
    assert "left out: 5 captions of media outside their root (--allow-outside-root takes them)" in refused.stdout
    assert "left out: 3 captions whose media cannot be read (media_outside_root)" in refused.stdout
    assert "4 captions written" in refused.stdout
    assert "12 captions written" in succeed([*export, "--overwrite", FLAG])


def test_scores_and_reports_ask_for_the_flag_as_well(data: Path, run: Runner) -> None:
    plan, out = data.parent / "plan.jsonl", data.parent / "out"
    assert run.caption(planned(run, data, plan), out, FLAG).status == 0
    assert run.score(out, "--max-error-rate", "1").status == 0
    assert set(error_kinds(out / "score")) == {f"set/{n}" for n in OUTSIDE}
    assert run.score(out, FLAG, "--retry-errors").status == 0
    assert error_kinds(out / "score") == {}
    page = out / "report.html"
    for flags, problems in (((), 8), ((FLAG,), 0)):
        succeed(script("report", "--data-folder", out, *flags))
        assert page.read_text().count("lies outside the root") == problems


def test_a_dataset_that_is_links_alone_is_refused_before_the_model(tmp_path: Path, run: Runner) -> None:
    rows = picture_rows(tmp_path / "blobs", 3)
    (tmp_path / "media").mkdir()
    for row in rows:
        (tmp_path / "media" / row["image"]).symlink_to(tmp_path / "blobs" / row["image"])
    write_annotation(tmp_path / "set.json", rows)
    metafile = write_metafile(tmp_path, set={"root": "media", "annotation": "set.json", "task": "Natural"})
    plan = planned(run, metafile, tmp_path / "plan.jsonl")
    outcome = run.caption(plan, tmp_path / "out")
    assert outcome.status == 1
    place = tmp_path / "media" / "0.png"
    assert (
        f"error: rank 0: dataset 'set': all of 3 files looked at lie outside the root {tmp_path / 'media'}, behind "
        f"links (such as {place}, which is {tmp_path / 'blobs' / '0.png'}): name a root that it is below, or say {FLAG}"
    ) in outcome.said
    assert run.caption(plan, tmp_path / "out", FLAG).status == 0


def test_a_plan_of_rows_outside_alone_is_refused(tmp_path: Path, run: Runner) -> None:
    (tmp_path / "media").mkdir()
    write_annotation(tmp_path / "set.json", [{"image": "/etc/a.png"}, {"image": "../b.png"}])
    metafile = write_metafile(tmp_path, set={"root": "media", "annotation": "set.json"})
    told = run.plan(metafile, tmp_path / "plan.jsonl")
    assert told.status == 1
    assert "none of 2 rows can be used (first: row 0: /etc/a.png leads out of the root" in told.said
