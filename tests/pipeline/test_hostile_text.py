"""Text from outside, wherever it comes in: what can be kept is kept, the rest is one line or one record."""

import json
import os
from pathlib import Path

import pytest

from MetaCaptioner import apply_domains, status, verify
from MetaCaptioner import filter as filter_command
from MetaCaptioner.export import command as export_command
from MetaCaptioner.utils.json_text import from_json
from MetaCaptioner.utils.text import ODD
from tests.helpers import (
    Outcome,
    Runner,
    names,
    picture_rows,
    plan_row,
    records,
    small_plan,
    write_annotation,
    write_lines,
    write_metafile,
    write_plan,
)
from tests.made_records import caption_record

HALF = "half \ud83d of a pair"
ACTING = "a\x1b[2Jb\x9bc\u202ed"
HOSTILE = {
    "deep": "[" * 100_000 + "]" * 100_000,
    "deep objects": '{"a":' * 100_000,
    "long number": "1" * 5000,
    "NaN": "NaN",
    "beyond floats": "1e999",
}


def is_one_line(outcome: Outcome) -> bool:
    return outcome.said.count("\n") == 1 and "Traceback" not in outcome.said


def acting(text: str) -> list[str]:
    return [one for one in text if one not in "\n\t" and (ord(one) < 32 or ODD.match(one))]


def test_half_of_a_pair_in_any_text_of_a_row_goes_through_all_stages(tmp_path: Path, run: Runner) -> None:
    turns = [{"from": "human", "value": HALF}, {"from": "gpt", "value": HALF}]
    rows = picture_rows(tmp_path / "media", 3, conversations=turns, note=HALF)
    rows[1] |= {"id": HALF}
    rows[2] |= {"image": "\ud83d.png"}
    annotation = tmp_path / "set.json"
    annotation.write_text(json.dumps(rows))
    metafile = write_metafile(tmp_path, set={"root": "media", "annotation": "set.json"})
    plan = tmp_path / "plan.jsonl"
    assert run.plan(metafile, plan).status == 0
    assert run.route(plan, tmp_path / "Domain").status == 0
    routed = tmp_path / "routed"
    applied = run.main(
        apply_domains.main, "--domain-folder", tmp_path / "Domain", "--metafile", metafile, "--output-dir", routed
    )
    assert applied.status == 0
    written = from_json((routed / "set.json").read_bytes())
    assert [row["note"] for row in written] == [HALF] * 3
    assert (written[1]["id"], written[2]["image"]) == (HALF, "\ud83d.png")
    assert run.plan(routed / "Metafile.json", plan).status == 0
    out = tmp_path / "out"
    assert run.caption(plan, out).status == 0
    found = records(out)
    assert found.keys() == names(3)
    assert (found["set/1"]["id"], found["set/1"]["status"]) == (HALF, "ok")
    assert found["set/2"]["error"]["kind"] == "media_missing"


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "webdataset", "huggingface", "txt"])
def test_exports_keep_such_texts_or_tell_what_stands_for_them(tmp_path: Path, run: Runner, kind: str) -> None:
    picture_rows(tmp_path / "media", 2)
    made = [caption_record(n, root=str(tmp_path / "media"), caption=HALF, subdomain=HALF) for n in range(2)]
    write_lines(tmp_path / "results" / "Rank0_node0_set.jsonl", made)
    output = tmp_path / "out"
    outcome = run.main(
        export_command.main, "--data-folder", tmp_path / "results", "--format", kind, "--all", "--output", output
    )
    assert outcome.status == 0, outcome.said
    if kind == "jsonl":
        [row, _] = (output / "photos.jsonl").read_bytes().splitlines()
        assert from_json(row)["conversations"][-1]["value"] == HALF
    else:
        assert "half of a character (a lone surrogate) in their texts, for which U+FFFD stands" in outcome.said
    if kind == "txt":
        assert (output / "photos" / "0.txt").read_text() == "half \ufffd of a pair\n"


@pytest.mark.timeout(60)
def test_what_is_no_file_in_place_of_a_lock_is_one_line(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    assert run.caption(plan, out).status == 0
    (out / ".Rank0.lock").unlink()
    os.mkfifo(out / ".Rank0.lock")
    verified = run.main(verify.main, "--plan", plan, "--data-folder", out, "--mend")
    for outcome in (verified, run.caption(plan, out)):
        assert outcome.status == 1
        assert is_one_line(outcome)
        assert f"lock {out}/.Rank0.lock: is a FIFO, not a file" in outcome.said


@pytest.mark.parametrize("name", [b"no \xff utf-8", b"two\nlines", b"n" * 240], ids=["bytes", "newline", "long"])
def test_plan_and_results_lie_in_folders_of_any_name(tmp_path: Path, run: Runner, name: bytes) -> None:
    picture_rows(tmp_path / "media", 4)
    write_annotation(tmp_path / "set.json", picture_rows(tmp_path / "media", 4))
    metafile = write_metafile(tmp_path, set={"root": "media", "annotation": "set.json", "task": "Natural"})
    odd = tmp_path / os.fsdecode(name)
    plan, out, kept = odd / "plan.jsonl", odd / "Caption", ("--min-overall", 1, "--min-dim-score", 1)
    assert run.plan(metafile, plan).status == 0
    assert run.caption(plan, out, "--max-samples", 2).status == 0
    refused = run.plan(metafile, plan, num_ranks=2)  # knows the folder and the plan again by their names
    assert refused.status == 1
    assert is_one_line(refused)
    assert run.plan(metafile, plan, "--results", out, num_ranks=1).status == 0
    for one in (
        run.caption(plan, out, "--model", odd),
        run.caption(plan, out, "--model", odd, "--keep"),
        run.score(out),
    ):
        assert "Traceback" not in one.said
    assert run.main(filter_command.main, "--data-folder", out, *kept).status == 0
    assert run.main(status.main, "--plan", plan, "--output-dir", out, "--svg", odd / "a.svg").status == 0
    for kind in ("conversations", "jsonl", "txt", "parquet", "webdataset", "huggingface"):
        for more in ((), ("--overwrite",)):
            whole = ("--data-folder", out, "--format", kind, "--output", odd / kind, *more)
            assert run.main(export_command.main, *whole).status == 0, kind


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_metafile_is_one_line(tmp_path: Path, run: Runner, text: str) -> None:
    (tmp_path / "Metafile.json").write_text('{"set": {"root": "media", "annotation": "a.json", "length": ' + text)
    assert is_one_line(run.plan(tmp_path / "Metafile.json", tmp_path / "plan.jsonl"))
    (tmp_path / "Metafile.json").write_text('{"set": {"root": ".", "annotation": "a", "length": ' + text + "}}")
    outcome = run.plan(tmp_path / "Metafile.json", tmp_path / "plan.jsonl")
    assert outcome.status == 1
    assert "Traceback" not in outcome.said


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("name", ["set.json", "set.jsonl"])
def test_a_hostile_row_costs_itself_or_the_file(tmp_path: Path, run: Runner, text: str, name: str) -> None:
    rows = [json.dumps(row) for row in picture_rows(tmp_path / "media", 3)]
    rows[1] = rows[1][:-1] + ', "note": ' + text + "}"
    joined = "\n".join(rows) if name.endswith("l") else "[" + ",\n".join(rows) + "]"
    (tmp_path / name).write_text(joined)
    metafile = write_metafile(tmp_path, set={"root": "media", "annotation": name})
    plan, out = tmp_path / "plan.jsonl", tmp_path / "out"
    planned = run.plan(metafile, plan)
    assert "Traceback" not in planned.said
    if planned.status:
        assert "row 1 is" in planned.said
        return
    assert run.caption(plan, out).status == 0
    found = records(out)
    assert found.keys() == names(3)
    assert [found[f"set/{n}"]["status"] for n in (0, 2)] == ["ok", "ok"]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_plan_is_one_line(tmp_path: Path, run: Runner, text: str) -> None:
    row = json.dumps(plan_row(tmp_path / "set.json", tmp_path / "media", 0, 3))
    write_plan(tmp_path / "plan.jsonl", row.replace('"end_idx": 3', f'"end_idx": {text}'))
    assert is_one_line(run.caption(tmp_path / "plan.jsonl", tmp_path / "out", engine_opens=False))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize(
    "name",
    [
        ".Rank0.journal",
        "made_with.json",
        "claims/link",
        *(f"runs/Rank{rank}_node0.{kind}" for rank in (0, 5) for kind in ("jsonl", "counts.json")),
    ],
)
def test_hostile_files_beside_the_results_cost_nothing(tmp_path: Path, run: Runner, text: str, name: str) -> None:
    plan, out = small_plan(tmp_path, 3), tmp_path / "out"
    assert run.caption(plan, out, "--max-samples", 1).status == 0
    (out / name).parent.mkdir(exist_ok=True)
    line = '{"data_name": "set", "index": 1, "crashes": 0, "in_flight": true, "attempts": ' + text + "}\n"
    if name.endswith(".counts.json"):
        line = '{"format": 1, "files": {"Rank0_node0_set.jsonl": {"size": 1000, "read_to": ' + text + "}}}"
    (out / name).write_text("[" + text + "]" if name == "made_with.json" else line)
    outcome = run.caption(plan, out)
    assert (outcome.status, "Traceback" in outcome.said) == (0, False), outcome.said
    assert records(out).keys() == names(3)
    looked = run.main(status.main, "--plan", plan, "--output-dir", out)
    assert (looked.status, looked.said) == (0, "")


@pytest.mark.parametrize("target", ["x", "9" * 5000, "-1", "1e9", "²"])
def test_a_forged_claim_is_one_line_or_nothing(tmp_path: Path, run: Runner, target: str) -> None:
    plan, out = small_plan(tmp_path, 3), tmp_path / "out"
    assert run.caption(plan, out, "--retry-errors").status == 0
    [leases] = [path for path in (out / "claims").iterdir() if path.is_dir()]
    for link in [path for path in leases.iterdir() if path.is_symlink()]:
        link.unlink()
        if len(target) < 4000:
            link.symlink_to(target)
    os.makedirs(leases / "taken" / "0", exist_ok=True)  # noqa: PTH103
    (leases / "taken" / "0" / f"x{target[:100]}").symlink_to("y")
    (leases / "taken" / f"x{target[:100]}").mkdir()
    for path in out.glob("Rank*"):
        path.unlink()
    outcome = run.caption(plan, out)
    assert "Traceback" not in outcome.said
    assert outcome.status == 0 or len(outcome.errors) == 1
    looked = run.main(status.main, "--plan", plan, "--output-dir", out)
    assert "Traceback" not in looked.said


def test_no_name_acts_on_screen_picture_or_log(tmp_path: Path, run: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    annotation = write_annotation(tmp_path / "set.json", [{"image": f"{ACTING}.png"}, {"image": ACTING, "video": "b"}])
    (tmp_path / "media").mkdir()
    plan = write_plan(tmp_path / "plan.jsonl", plan_row(annotation, tmp_path / "media", 0, 2, data_name=ACTING))
    out = tmp_path / f"out{ACTING}"
    assert not acting(run.caption(plan, out).said)
    made = [caption_record(n, name=ACTING, status="error", error={"kind": ACTING, "message": ACTING}) for n in range(2)]
    write_lines(out / "Rank0_node0_set.jsonl", made)
    picture, textfile = tmp_path / "status.svg", tmp_path / "status.prom"
    flags = ["--plan", plan, "--output-dir", out, "--svg", picture, "--prometheus", textfile]
    for more in ((), ("--json",)):
        capsys.readouterr()
        assert status.main([*map(str, flags), *more]) == 0
        seen = capsys.readouterr()
        assert not acting(seen.out + seen.err)
        assert "x1b[2J" in seen.out or more
    assert not acting(picture.read_text())
    assert not acting(textfile.read_text())
