"""FIFOs in place of files that programs read: nobody waits for them."""

import os
from pathlib import Path

import pytest

from MetaCaptioner import status
from MetaCaptioner.report.command import main as report
from MetaCaptioner.verify import main as verify
from tests.helpers import Runner, small_plan, write_metafile


@pytest.mark.timeout(120)  # what is waited for here would be waited for without end
def test_a_fifo_in_place_of_any_file_is_one_line(tmp_path: Path, run: Runner) -> None:
    plan, out, fifo = small_plan(tmp_path), tmp_path / "out", tmp_path / "fifo.json"
    os.mkfifo(fifo)
    told = "is a FIFO, not a file"
    assert run.plan(fifo, tmp_path / "p").errors == [f"error: Metafile {fifo}: cannot be read: {told}"]
    metafile = write_metafile(tmp_path, set={"root": "media", "annotation": "fifo.json"})
    assert f"annotation file {fifo}: cannot be read: {told}" in run.plan(metafile, tmp_path / "p").errors[0]
    assert run.caption(fifo, out).errors == [f"error: rank 0: plan {fifo}: cannot be read: {told}"]
    assert run.caption(plan, out).status == 0
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    os.mkfifo(prompts / "a.yaml")
    refused = run.caption(plan, out, "--prompts-dir", prompts)
    assert refused.errors == [f"error: rank 0: prompt file {prompts / 'a.yaml'}: cannot be read: {told}"]
    records = next(out.glob("Rank0*"))
    os.mkfifo(out / "Rank0_node0_fifo.jsonl")
    told = f"result file {out / 'Rank0_node0_fifo.jsonl'}: cannot be read: {told}"
    for outcome in (run.caption(plan, out), run.score(out), run.main(status.main, "--plan", plan, "--output-dir", out)):
        assert (outcome.status, told in outcome.said) == (1, True), outcome.said
    for tool, *flags in ((verify, "--plan", plan), (report,)):
        outcome = run.main(tool, "--data-folder", out, *flags)
        assert (outcome.status, told in outcome.said) == (1, True), outcome.said
    (out / "Rank0_node0_fifo.jsonl").unlink()
    for name in (".Rank0.journal", "made_with.json"):
        (out / name).unlink(missing_ok=True)
        os.mkfifo(out / name)
        outcome = run.caption(plan, out)
        assert outcome.status in (0, 1)
        (out / name).unlink()
    assert records.is_file()
