"""script/slurm/submit.sh on a real SLURM of two nodes: from a Metafile to filtered captions."""

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import picture_rows, write_annotation, write_metafile
from tests.pipeline.commands import records, run, sample_ids, script, succeed
from tests.random_model import ROOT
from tests.slurm.cluster import Cluster, wait_until
from tests.slurm.stand_ins import stand_in

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


def test_where_jobs_are_not_requeued_a_chain_goes_on_with_another_job(tmp_path: Path, cluster: Cluster) -> None:
    folder = tmp_path / "50%j of it"
    write_annotation(folder / "set.json", picture_rows(folder / "media", 20))
    write_metafile(folder, set={"root": "media", "annotation": "set.json", "task": "Natural"})
    slow = ("--in-flight", "1", "--decode-threads", "1", "--engine-arg", "delay=0.2")
    size = {"ROUTE": "no", "NNODES": "2", "GPUS_PER_NODE": "0", "SBATCH_OPTIONS": "--no-requeue"}
    jobs = submit(cluster, folder, *SCRIPTED, *slow, **size)
    captions = folder / "out" / "Caption"
    wait_until(lambda: len(records(captions)) > 4, "records")
    cluster.say("scancel", "--batch", "--signal=USR1", jobs["caption"])
    cluster.wait_for_state(jobs["caption"], "FAILED")
    said = logs(folder, "caption")
    assert "Requested operation is presently disabled" in said
    [other] = re.findall(r"it could not be requeued, and goes on as job (\d+)", said)
    wait_for_chain(cluster, jobs | {"caption": other})
    assert sample_ids(captions) == sorted(f"set/{number}" for number in range(20))
    assert "complete: 20 samples expected, 20 ok" in logs(folder, "filter")


def test_a_metafile_that_has_grown_is_captioned_whole_by_the_user_s_word(tmp_path: Path, cluster: Cluster) -> None:
    write_annotation(tmp_path / "set.json", picture_rows(tmp_path / "media", 2))
    metafile = write_metafile(tmp_path, set={"root": "media", "annotation": "set.json", "task": "auto"})
    size = {"GPUS_PER_NODE": "0", "NPROC": "1"}
    flags = (*SCRIPTED, "--engine-arg", f"log={tmp_path / 'requests'}")
    wait_for_chain(cluster, submit(cluster, tmp_path, *flags, **size))
    add_a_dataset(metafile)
    wait_for_chain(cluster, submit(cluster, tmp_path, *flags, **size, REPLAN="yes"))
    captions = tmp_path / "out" / "Caption"
    ids = sorted([*(f"more/{number}" for number in range(3)), "set/0", "set/1"])
    assert ids == sample_ids(tmp_path / "out" / "Domain") == sample_ids(captions) == sample_ids(captions / "score")
    assert set(Counter((tmp_path / "requests").read_text().splitlines()).values()) == {1}
    wait_for_chain(cluster, submit(cluster, tmp_path, *flags, **size))


def test_without_a_plan_of_all_datasets_nothing_is_submitted(tmp_path: Path, slurm: Path) -> None:
    write_annotation(tmp_path / "good.json", picture_rows(tmp_path / "media", 2))
    sets = {name: {"root": "media", "annotation": f"{name}.json"} for name in ("good", "absent")}
    variables = {"RUN": str(tmp_path / "out"), "METAFILE": str(write_metafile(tmp_path, **sets))}
    for _ in range(2):  # no half of a plan is left that the second time would take
        done = dry(slurm, **variables)
        assert done.returncode == 1
        assert "dataset 'absent'" in done.stdout
        assert "job" not in done.stdout


# --- the jobs as sbatch is told of them, without a cluster


@pytest.fixture
def slurm(tmp_path: Path) -> Path:
    """A folder of stand-ins for SLURM's commands: jobs are numbered from 1, and none is there before."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    counted = f'echo "$@" >>{folder}/jobs; wc -l <{folder}/jobs'
    texts = {"squeue": "", "scontrol": "echo MaxArraySize = 1001", "scancel": f'echo "$@" >>{folder}/cancelled'}
    for name, text in {"sbatch": counted, **texts}.items():
        stand_in(folder, name, text)
    return folder


def dry(slurm: Path, *flags: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    path = f"{slurm}:{os.environ['PATH']}"
    return run(["bash", SUBMIT, *flags], {"PATH": path, "MODEL": "none", "SCHEDULER_SECONDS": "9", **variables})


@pytest.fixture
def small(tmp_path: Path) -> dict[str, str]:
    """A dataset of two pictures and where its chain goes, in a folder with an odd name."""
    folder = tmp_path / "100%j of it"
    write_annotation(folder / "set.json", picture_rows(folder / "media", 2))
    metafile = write_metafile(folder, set={"root": "media", "annotation": "set.json"})
    return {"RUN": str(folder / "out"), "METAFILE": str(metafile)}


def told(slurm: Path) -> dict[str, str]:
    """What sbatch was told, by stage."""
    lines = (slurm / "jobs").read_text().splitlines() if (slurm / "jobs").exists() else []
    return {re.findall(r"/(\w+)\.sbatch", line)[0]: line for line in lines}


def test_a_mixture_that_is_wanted_is_none_to_verify(slurm: Path, small: dict[str, str]) -> None:
    assert dry(slurm, "--keep", **small).returncode == 0
    kept = {job for job, line in told(slurm).items() if line.endswith(".sbatch --keep")}
    assert kept == {"route", "caption", "score", "filter"}
    assert '--scores \\\n  "$@"' in (SUBMIT.parent / "filter.sbatch").read_text()


def test_each_job_waits_for_the_one_before_and_goes_where_it_can_never_begin(
    slurm: Path, small: dict[str, str]
) -> None:
    assert dry(slurm, **small, SBATCH_OPTIONS="--dependency afterany:77 --comment mine --time=9").returncode == 0
    before = {"route": "any:77", "apply": "ok:1", "caption": "ok:2", "score": "ok:3", "filter": "ok:4"}
    for stage, line in told(slurm).items():
        comment = f"--comment=mine metacaptioner {stage} of {small['RUN']}"
        waits = f"--dependency=after{before[stage]} --kill-on-invalid-dep=yes"
        assert line.startswith(f"--parsable {comment} {waits} ")
        assert "--time=9" in line
        assert f"--output={small['RUN'].replace('%', '%%')}/logs/%x-" in line


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"NNODES": "two"}, "NNODES must be a whole number from 1, not 'two'"),
        ({"CPUS": "0"}, "CPUS must be a whole number from 1"),
        ({"GPUS_PER_NODE": "a100:8"}, "GPUS_PER_NODE must be a whole number from 0"),
        ({"TP": "16"}, "a rank of TP=16 GPUs does not fit a node of GPUS_PER_NODE=8"),
        ({"NPROC": "8", "TP": "2"}, "NPROC=8 ranks of TP=2 GPUs do not fit a node of GPUS_PER_NODE=8"),
        ({"ROUTE": "No"}, "ROUTE must be yes or no, not 'No'"),
        ({"REPLAN": "1"}, "REPLAN must be yes or no, not '1'"),
        ({"ARRAY": "0-7"}, "ARRAY must be a number of jobs, such as 8, or 8%2 for two of them at a time, not '0-7'"),
        ({"ARRAY": "2000"}, "ARRAY=2000: this cluster takes arrays of up to 1001 jobs"),
        ({"SBATCH_OPTIONS": "--array=0-7"}, "SBATCH_OPTIONS: --array=0-7: use ARRAY"),
        ({"SBATCH_OPTIONS": "--export=NONE"}, "SBATCH_OPTIONS: --export=NONE: the jobs need the whole environment"),
    ],
)
def test_a_size_that_cannot_be_is_one_line(
    slurm: Path, small: dict[str, str], variables: dict[str, str], reason: str
) -> None:
    done = dry(slurm, **small, **variables)
    assert (done.returncode, done.stdout.count("\n")) == (2, 1)
    assert done.stdout.startswith(f"error: {reason}")
    assert not told(slurm)


def test_an_array_of_which_few_run_at_a_time_is_planned_for_all(slurm: Path, small: dict[str, str]) -> None:
    assert "for 32 ranks" in dry(slurm, **small, ARRAY="4%2").stdout
    assert "--array=0-3%2 " in told(slurm)["caption"]


def test_a_chain_is_submitted_whole_or_not_at_all(slurm: Path, small: dict[str, str]) -> None:
    text = (slurm / "sbatch").read_text()
    refusal = "echo 'sbatch: error: Job violates accounting/QOS policy' >&2; exit 1"
    stand_in(slurm, "sbatch", f"case $* in *score.sbatch*) {refusal} ;; esac\n{text}")
    done = dry(slurm, "--max-samples", "1", **small, TP="2", SBATCH_TIMELIMIT="9")
    assert done.returncode == 1
    assert "Job violates accounting/QOS policy" in done.stdout
    assert (slurm / "cancelled").read_text() == "1 2 3\n"
    told_again = done.stdout.splitlines()[-1]
    assert told_again.startswith("error: not every job could be submitted, so none is kept; submit again: cd ")
    # Typed as it is said, it does the same.
    stand_in(slurm, "sbatch", text)
    (slurm / "jobs").unlink()
    succeed(["bash", "-c", told_again.partition("submit again: ")[2]], {"PATH": f"{slurm}:{os.environ['PATH']}"})
    assert "--ntasks-per-node=4 " in told(slurm)["score"]
    assert told(slurm)["score"].endswith("score.sbatch --max-samples 1")


def test_what_cannot_be_taken_back_is_said(slurm: Path, small: dict[str, str]) -> None:
    text = (slurm / "sbatch").read_text()
    stand_in(slurm, "sbatch", f"case $* in *caption.sbatch*) echo no >&2; exit 1 ;; esac\n{text}")
    stand_in(slurm, "scancel", "echo 'Unable to contact slurm controller' >&2; exit 1")
    said = dry(slurm, **small, SCHEDULER_SECONDS="1").stdout
    assert "none is kept; submit again after: scancel 1 2: cd " in said


def test_a_chain_that_is_there_is_not_submitted_again(slurm: Path, small: dict[str, str]) -> None:
    stand_in(slurm, "squeue", f"echo '5 metacaptioner score of {small['RUN']}'; echo '6 metacaptioner score of /x'")
    done = dry(slurm, **small)
    assert done.returncode == 1
    assert f"a chain for {small['RUN']} waits or runs already: wait for it, or end it first: scancel 5" in done.stdout
    assert not told(slurm)


def test_that_media_may_lie_outside_their_root_is_told_to_all_that_read_them(
    slurm: Path, small: dict[str, str], tmp_path: Path
) -> None:
    stand_in(slurm, "sbatch", f'echo "$OUTSIDE $@" >>{slurm}/jobs; wc -l <{slurm}/jobs')
    rows = [{"image": str(tmp_path / "media" / row["image"])} for row in picture_rows(tmp_path / "media", 2)]
    write_annotation(Path(small["METAFILE"]).with_name("set.json"), rows)
    refused = dry(slurm, **small)
    assert (refused.returncode, "leads out of the root" in refused.stdout) == (1, True)
    assert dry(slurm, "--allow-outside-root", **small).returncode == 0
    jobs = (slurm / "jobs").read_text().splitlines()
    assert len(jobs) == 5
    assert all(line.startswith("--allow-outside-root ") for line in jobs)  # for the plan that apply.sbatch makes
    assert [line.split("/")[-1] for line in jobs if not line.endswith(" --allow-outside-root")] == ["apply.sbatch"]


def add_a_dataset(metafile: Path) -> None:
    entry = json.loads(metafile.read_text())["set"]
    write_annotation(metafile.parent / "more.json", picture_rows(metafile.parent / "media", 3))
    write_metafile(metafile.parent, set=entry, more=entry | {"annotation": "more.json"})


def add_rows(metafile: Path) -> None:
    write_annotation(metafile.parent / "set.json", picture_rows(metafile.parent / "media", 5))


@pytest.mark.parametrize("route", ["yes", "no"])
@pytest.mark.parametrize("change", [add_a_dataset, add_rows])
def test_a_metafile_that_has_changed_is_planned_again_by_the_user_s_word_only(
    slurm: Path, small: dict[str, str], route: str, change: Callable[[Path], None]
) -> None:
    assert dry(slurm, **small, ROUTE=route).returncode == 0
    metafile = Path(small["METAFILE"])
    change(metafile)
    (slurm / "jobs").unlink()
    done = dry(slurm, **small, ROUTE=route)
    assert done.returncode == 1
    assert f"was not made from Metafile {metafile} as it is now" in done.stdout
    assert "with REPLAN=yes what remains is planned again" in done.stdout
    assert not told(slurm)
    again = dry(slurm, **small, ROUTE=route, REPLAN="yes")
    assert (again.returncode, "5 samples of" in again.stdout) == (0, True), again.stdout
    assert dry(slurm, **small, ROUTE=route).returncode == 0


def test_a_job_that_is_submitted_from_elsewhere_says_what_to_do(tmp_path: Path) -> None:
    for name in ("route", "apply", "caption", "score", "filter"):
        for variables in ({}, {"SLURM_SUBMIT_DIR": str(tmp_path)}):
            command = ["env", f"--chdir={tmp_path}", "bash", SUBMIT.parent / f"{name}.sbatch"]
            done = run(command, variables | {"SLURM_JOB_ID": "7"})
            assert done.returncode == 1
            assert "submit this from the repository, or set METACAPTIONER to its folder" in done.stdout


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
