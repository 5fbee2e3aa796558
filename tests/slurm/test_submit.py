"""script/slurm/submit.sh on a real SLURM of two nodes: from a Metafile to filtered captions."""

import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers import picture_rows, write_annotation, write_metafile
from tests.pipeline.commands import records, run, sample_ids, script, succeed
from tests.random_model import ROOT
from tests.slurm.cluster import Cluster, wait_until

pytestmark = pytest.mark.slurm

SUBMIT = ROOT / "script" / "slurm" / "submit.sh"
SCRIPTED = ("--engine", "scripted")


def submit(cluster: Cluster, folder: Path, *flags: str | Path, **variables: str) -> dict[str, str]:
    """Run submit.sh in `folder`; the jobs by stage."""
    defaults = {"RUN": "out", "METAFILE": "Metafile.json", "MODEL": "none", "CPUS": "1", "BEAT_SECONDS": "1"}
    command = ["bash", "-c", 'cd "$0" && exec "$@"', folder, "bash", SUBMIT, *flags]
    said = cluster.say(*command, variables={**defaults, **variables})
    return dict(re.findall(r"^(\w+) +job (\d+)", said, flags=re.MULTILINE))


def wait_for_chain(cluster: Cluster, jobs: dict[str, str]) -> None:
    def state(job: str) -> str:
        return cluster.job(job)["JobState"]

    for stage, job in jobs.items():
        wait_until(lambda: state(job) not in ("PENDING", "RUNNING", "COMPLETING"), f"{stage} to end")  # noqa: B023
        assert state(job) == "COMPLETED", cluster.job(job)


def logs(folder: Path, stage: str) -> str:
    return "".join(path.read_text() for path in sorted((folder / "out" / "logs").glob(f"{stage}-*.log")))


def test_from_a_metafile_to_filtered_captions_on_four_ranks(tmp_path: Path, cluster: Cluster) -> None:
    sets = {"one": picture_rows(tmp_path / "media", 9), "two": picture_rows(tmp_path / "more", 4, task="Medical")}
    for name, rows in sets.items():
        write_annotation(tmp_path / f"{name}.json", rows)
    entry = {"task": "auto", "modality": "image"}
    write_metafile(tmp_path, one=entry | {"root": "media", "annotation": "one.json"},
                   two=entry | {"root": "more", "annotation": "two.json"})  # fmt: skip
    size = {"NNODES": "2", "GPUS_PER_NODE": "4", "TP": "2"}
    # Each rank keeps to the plan, so that all four have to do with it.
    flags = (*SCRIPTED, "--takeover-chunk", "0", "--engine-arg", f"log={tmp_path / 'requests'}")
    jobs = submit(cluster, tmp_path, *flags, **size)
    assert list(jobs) == ["route", "apply", "caption", "score", "filter"]
    wait_for_chain(cluster, jobs)

    out = tmp_path / "out"
    captions = out / "Caption"
    verify = script("verify", "--plan", out / "split_plan.jsonl", "--data-folder", captions, "--scores")
    assert "complete: 13 samples expected, 13 ok" in succeed(verify)
    assert "complete: 13 samples expected, 13 ok" in logs(tmp_path, "filter")
    ids = sample_ids(captions)
    assert ids == sample_ids(out / "Domain") == sample_ids(captions / "score")
    assert set(Counter((tmp_path / "requests").read_text().splitlines()).values()) == {1}
    for folder in (out / "Domain", captions, captions / "score"):
        assert {path.name[:11] for path in folder.glob("Rank*")} == {f"Rank{rank}_node{rank // 2}" for rank in range(4)}
    for stage in ("route", "caption", "score"):
        assert cluster.job(jobs[stage])["TresPerNode"].endswith("gpu:4")
    # What the router was sure of is in the rows that were captioned.
    assert {record["task_source"] for record in records(captions)} == {"row"}
    summary = json.loads((captions / "filtered" / "summary.json").read_text())
    assert summary["kept"] + summary["rejected"] == 13

    # Once more, as an array of single nodes: nothing is left to do.
    again = submit(cluster, tmp_path, *flags, **size | {"NNODES": "1", "ARRAY": "2"})
    wait_for_chain(cluster, again)
    assert logs(tmp_path, "caption").count(" 0 to do") == 4
    assert set(Counter((tmp_path / "requests").read_text().splitlines()).values()) == {1}


def test_what_follows_a_stage_that_cannot_be_done_is_cancelled(tmp_path: Path, cluster: Cluster) -> None:
    write_annotation(tmp_path / "set.json", [{"id": number, "image": f"{number}.png"} for number in range(4)])
    (tmp_path / "media").mkdir()
    write_metafile(tmp_path, set={"root": "media", "annotation": "set.json", "task": "Natural"})
    jobs = submit(cluster, tmp_path, *SCRIPTED, ROUTE="no", NNODES="2", GPUS_PER_NODE="0")
    assert list(jobs) == ["caption", "score", "filter"]
    cluster.wait_for_state(jobs["caption"], "FAILED")
    assert "root" in logs(tmp_path, "caption")
    for stage in ("score", "filter"):
        cluster.wait_for_state(jobs[stage], "CANCELLED")


def test_without_a_plan_of_all_datasets_nothing_is_submitted(tmp_path: Path) -> None:
    write_annotation(tmp_path / "good.json", picture_rows(tmp_path / "media", 2))
    sets = {name: {"root": "media", "annotation": f"{name}.json"} for name in ("good", "absent")}
    variables = {"RUN": str(tmp_path / "out"), "METAFILE": str(write_metafile(tmp_path, **sets))}
    for _ in range(2):  # no half of a plan is left that the second time would take
        done = run(["bash", SUBMIT], variables)
        assert done.returncode == 1
        assert "dataset 'absent'" in done.stdout
        assert "job" not in done.stdout


def test_a_mixture_that_is_wanted_is_none_to_verify(tmp_path: Path) -> None:
    """The jobs as sbatch is told of them, without a cluster."""
    (tmp_path / "sbatch").write_text(f'#!/bin/bash\necho "$@" >>{tmp_path}/jobs\necho 1\n')
    (tmp_path / "sbatch").chmod(0o755)
    write_annotation(tmp_path / "set.json", picture_rows(tmp_path / "media", 2))
    metafile = write_metafile(tmp_path, set={"root": "media", "annotation": "set.json"})
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "RUN": str(tmp_path / "out"), "METAFILE": str(metafile)}
    succeed(["bash", SUBMIT, "--keep"], variables)
    jobs = {line.split("/")[-1].split()[0]: line for line in (tmp_path / "jobs").read_text().splitlines()}
    assert {job for job, line in jobs.items() if line.endswith(" --keep")} == {
        *("route.sbatch", "caption.sbatch", "score.sbatch", "filter.sbatch")
    }
    assert '--scores \\\n  "$@"' in (SUBMIT.parent / "filter.sbatch").read_text()


def test_that_media_may_lie_outside_their_root_is_told_to_all_that_read_them(tmp_path: Path) -> None:
    stand_in = f'#!/bin/bash\necho "$OUTSIDE $@" >>{tmp_path}/jobs\necho 1\n'
    (tmp_path / "sbatch").write_text(stand_in)
    (tmp_path / "sbatch").chmod(0o755)
    rows = [{"image": str(tmp_path / "media" / row["image"])} for row in picture_rows(tmp_path / "media", 2)]
    write_annotation(tmp_path / "set.json", rows)
    (tmp_path / "root").mkdir()
    metafile = write_metafile(tmp_path, set={"root": "root", "annotation": "set.json"})
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "RUN": str(tmp_path / "out"), "METAFILE": str(metafile)}
    refused = run(["bash", SUBMIT], variables)
    assert (refused.returncode, "leads out of the root" in refused.stdout) == (1, True)
    succeed(["bash", SUBMIT, "--allow-outside-root"], variables)
    jobs = (tmp_path / "jobs").read_text().splitlines()
    assert len(jobs) == 5
    assert all(line.startswith("--allow-outside-root ") for line in jobs)  # for the plan that apply.sbatch makes
    assert [line.split("/")[-1] for line in jobs if not line.endswith(" --allow-outside-root")] == ["apply.sbatch"]


@pytest.mark.engine
@pytest.mark.long
def test_the_demos_model_on_two_nodes_stopped_in_mid_run(tmp_path: Path, cluster: Cluster) -> None:
    """Real vLLM. Samples in flight when the signal comes are finished: the engine's processes live on."""
    variables = {"ROUTE": "no", "NNODES": "2", "GPUS_PER_NODE": "0", "OMP_NUM_THREADS": "1"}
    files = {"METAFILE": str(ROOT / "data" / "Metafile.json"), "MODEL": str(ROOT / "data" / "demo" / "model")}
    flags = ("--prompts-dir", ROOT / "data" / "demo" / "prompts", "--in-flight", "1", "--decode-threads", "1")
    jobs = submit(cluster, tmp_path, *flags, "--takeover-chunk", "0", **variables, **files)
    cluster.say("scancel", jobs.pop("score"), jobs.pop("filter"))
    captions = tmp_path / "out" / "Caption"
    wait_until(lambda: len(records(captions)) > 0, "records")
    cluster.say("scancel", "--batch", "--signal=USR1", jobs["caption"])
    cluster.wait_for_state(jobs["caption"], "PENDING")
    done = records(captions)
    assert 0 < len(done) < 12
    assert "EngineDead" not in logs(tmp_path, "caption")
    wait_for_chain(cluster, jobs)
    assert cluster.job(jobs["caption"])["Restarts"] == "1"
    verify = script("verify", "--plan", tmp_path / "out" / "split_plan.jsonl", "--data-folder", captions)
    assert "complete: 12 samples expected, 12 ok" in succeed(verify)
    assert {path.name[:11] for path in captions.glob("Rank*")} == {"Rank0_node0", "Rank1_node1"}
    after = {record["sample_id"]: record for record in records(captions)}
    assert [after[record["sample_id"]] for record in done] == done
