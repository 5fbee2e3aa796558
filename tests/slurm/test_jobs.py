"""The sbatch files on a real SLURM of two nodes: stopped, preempted, requeued and killed in mid run."""

import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers import error_kinds, picture_rows, write_annotation, write_metafile
from tests.pipeline.commands import module, records, sample_ids, script, succeed
from tests.random_model import ROOT
from tests.slurm.cluster import Cluster, children, kill_tree, wait_until

pytestmark = pytest.mark.slurm

SAMPLES = 20
ALL = sorted(f"set/{number}" for number in range(SAMPLES))
SLOW = ("--engine", "scripted", "--in-flight", "1", "--decode-threads", "1", "--engine-arg", "delay=0.2")
SIZE = ("--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=1", "--gpus-per-node=1")


@dataclass(frozen=True)
class Captioning:
    """A caption job over 20 pictures, some seconds long, of one rank on each node."""

    cluster: Cluster
    folder: Path

    @property
    def plan(self) -> Path:
        return self.folder / "plan.jsonl"

    @property
    def output(self) -> Path:
        return self.folder / "Caption"

    @property
    def log(self) -> str:
        return "".join(path.read_text() for path in sorted(self.folder.glob("job*.log")))

    def submit(self, *options: str, flags: tuple[str, ...] = SLOW, size: tuple[str, ...] = SIZE) -> str:
        variables = {
            "METACAPTIONER": str(ROOT),
            "PLAN": str(self.plan),
            "OUTPUT": str(self.output),
            "MODEL": "none",
            "BEAT_SECONDS": "1",
        }
        requests = f"log={self.folder / 'requests'}"
        command = ["sbatch", "--parsable", f"--output={self.folder}/job%a.log", *size, *options]
        batch = [str(ROOT / "script" / "slurm" / "caption.sbatch"), *flags, "--engine-arg", requests]
        return self.cluster.say(*command, *batch, variables=variables).strip()

    def wait_for_records(self, more_than: int) -> None:
        wait_until(lambda: len(records(self.output)) > more_than, f"more than {more_than} records")

    def requests(self) -> list[str]:
        """The requests so far, as `sample/agent`."""
        return [line.rpartition("/")[0] for line in (self.folder / "requests").read_text().splitlines()]

    def done_on(self, node: str) -> int:
        return sum(len(path.read_text().splitlines()) for path in self.output.glob(f"Rank*_{node}_*"))

    def check_complete(self) -> None:
        assert "complete" in succeed(script("verify", "--plan", self.plan, "--data-folder", self.output))
        assert sample_ids(self.output) == ALL
        assert not list(self.output.glob(".job*"))

    def check_goes_on(self, job: str) -> None:
        """The job, which waits to be started again, then does what is left and nothing else."""
        done, so_far = sample_ids(self.output), len(self.requests())
        assert 0 < len(done) < SAMPLES
        assert self.cluster.wait_for_state(job, "COMPLETED")["Restarts"] == "1"
        self.check_complete()
        again = {name.rpartition("/")[0] for name in self.requests()[so_far:]}
        assert again == set(ALL) - set(done)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planned")
    rows = picture_rows(folder / "media", SAMPLES)
    write_annotation(folder / "set.json", rows)
    metafile = write_metafile(folder, set={"root": "media", "annotation": "set.json", "task": "Natural"})
    succeed(module("plan", "--metafile", metafile, "--num-ranks", "2", "--output", folder / "plan.jsonl"))
    return folder / "plan.jsonl"


@pytest.fixture
def captioning(tmp_path: Path, cluster: Cluster, planned: Path) -> Captioning:
    shutil.copy(planned, tmp_path)
    return Captioning(cluster, tmp_path)


def requeue(cluster: Cluster, job: str) -> None:
    cluster.say("scontrol", "requeue", job)


def signal_batch_script(cluster: Cluster, job: str) -> None:
    cluster.say("scancel", "--batch", "--signal=USR1", job)


def preempt(cluster: Cluster, job: str) -> None:
    cluster.say("sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")


def test_each_rank_takes_its_own_group_of_its_nodes_gpus(cluster: Cluster) -> None:
    claim = """if True:
        import os
        from MetaCaptioner.runtime.gpus import claim_gpus
        from MetaCaptioner.runtime.rank import who_am_i
        rank = who_am_i(os.environ)
        print(rank.rank, rank.node, *claim_gpus(rank, 2, os.environ))
    """
    size = ("--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=1", "--gpus-per-node=4", "--wait=0")
    said = cluster.say("srun", *size, sys.executable, "-c", claim)
    assert sorted(said.splitlines()) == ["0 0 0 1", "1 0 2 3", "2 1 0 1", "3 1 2 3"]


@pytest.mark.parametrize("stop", [requeue, signal_batch_script, preempt])
def test_a_job_that_is_stopped_in_mid_run_is_requeued_and_goes_on(
    captioning: Captioning, stop: Callable[[Cluster, str], None]
) -> None:
    job = captioning.submit()
    captioning.wait_for_records(4)
    stop(captioning.cluster, job)
    captioning.cluster.wait_for_state(job, "PENDING")
    assert captioning.log.count("run the same command again to go on") == 2
    captioning.check_goes_on(job)
    # What was in flight was finished in the grace time: nothing was asked twice.
    assert set(Counter(captioning.requests()).values()) == {1}


def test_a_controller_that_is_away_when_a_job_is_stopped_is_waited_for(captioning: Captioning) -> None:
    job = captioning.submit()
    captioning.wait_for_records(4)
    scripts = [pid for daemon in captioning.cluster.step_daemons("n1", job) for pid in children(daemon)]
    [script] = [pid for pid in scripts if b"launch.slurm.job" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    captioning.cluster.stop_controller()
    os.kill(script, signal.SIGUSR1)
    wait_until(lambda: "squeue gives no answer" in captioning.log, "squeue to be asked")
    captioning.cluster.start_controller()
    wait_until(lambda: "stopped by a signal: requeued" in captioning.log, "the job to be requeued")
    captioning.check_goes_on(job)


def test_healthy_ranks_do_not_notice_that_another_nodes_slurmstepd_is_killed(captioning: Captioning) -> None:
    job = captioning.submit()
    captioning.wait_for_records(4)
    [daemon] = captioning.cluster.step_daemons("n2", job)
    kill_tree(daemon)
    captioning.cluster.wait_for_state(job, "PENDING")
    assert "1 of its ranks died: requeued" in captioning.log
    assert captioning.done_on("node0") == SAMPLES // 2
    captioning.check_goes_on(job)


def test_the_slurmstepds_of_the_node_with_the_batch_script_are_killed(captioning: Captioning) -> None:
    job = captioning.submit()
    captioning.wait_for_records(4)
    for daemon in captioning.cluster.step_daemons("n1", job):
        kill_tree(daemon)

    def slurm_has_noticed() -> bool:
        captioning.cluster.report_jobs("n1")
        time.sleep(2)
        return captioning.cluster.job(job)["JobState"] == "PENDING"

    wait_until(slurm_has_noticed, "SLURM to miss the batch script")
    captioning.check_goes_on(job)


def test_a_node_is_lost(captioning: Captioning) -> None:
    job = captioning.submit()
    captioning.wait_for_records(4)
    captioning.cluster.say("scontrol", "update", "NodeName=n2", "State=DOWN", "Reason=test")
    captioning.cluster.wait_for_state(job, "PENDING")
    wait_until(lambda: not captioning.cluster.step_daemons("n2", job), "the lost node's ranks to end")
    captioning.cluster.say("scontrol", "update", "NodeName=n2", "State=RESUME")
    captioning.check_goes_on(job)


def test_a_rank_that_dies_leaves_the_others_working(captioning: Captioning) -> None:
    job = captioning.submit()
    captioning.wait_for_records(4)
    [daemon] = captioning.cluster.step_daemons("n2", job)
    kill_tree(children(daemon)[0])
    captioning.cluster.wait_for_state(job, "PENDING")
    assert "1 of its ranks died: requeued" in captioning.log
    assert captioning.done_on("node0") == SAMPLES // 2
    captioning.check_goes_on(job)


def test_an_engine_that_crashes_is_started_again_within_its_step(captioning: Captioning) -> None:
    crash = ("--engine-arg", "process=true", "--engine-arg", 'crash_on=["set/3"]')
    job = captioning.submit(flags=(*SLOW, *crash))
    found = captioning.cluster.wait_for_state(job, "COMPLETED", "FAILED")
    assert (found["ExitCode"], found["Restarts"]) == ("0:0", "0"), captioning.log
    assert captioning.log.count("the worker ended with its engine; another one goes on") == 3
    captioning.check_complete()
    assert error_kinds(captioning.output) == {"set/3": "engine_crash"}


def test_a_cancelled_job_stays_cancelled(captioning: Captioning) -> None:
    job = captioning.submit()
    captioning.wait_for_records(4)
    captioning.cluster.say("scancel", job)
    captioning.cluster.wait_for_state(job, "CANCELLED")
    wait_until(lambda: not captioning.cluster.step_daemons("n1", job), "the job to end")
    assert captioning.cluster.job(job)["Restarts"] == "0"
    assert captioning.log.count("run the same command again to go on") == 2


@pytest.mark.parametrize(("flag", "status"), [("--grace-seconds=-1", "2:0"), ("--prompts-dir=absent", "1:0")])
def test_a_run_that_cannot_be_done_is_not_requeued(captioning: Captioning, flag: str, status: str) -> None:
    job = captioning.submit(flags=(*SLOW, flag))
    found = captioning.cluster.wait_for_state(job, "FAILED")
    assert (found["ExitCode"], found["Restarts"]) == (status, "0")


def test_the_jobs_of_an_array_share_the_plan_and_are_requeued_one_by_one(captioning: Captioning) -> None:
    # So that the second to start has something left to do, and the first is not done before that.
    flags = (*SLOW, "--takeover-chunk", "0", "--engine-arg", "delay=0.5")
    array = captioning.submit("--array=0-1", flags=flags, size=("--nodes=1", *SIZE[1:]))

    def all_begun() -> bool:
        return all(captioning.done_on(f"node{place}") for place in (0, 1))

    # Both in mid run, with most of their work before them: on a busy host a signal is long on its way to the rank.
    wait_until(all_begun, "records of both jobs")
    listed = captioning.cluster.say("squeue", "--noheader", f"--jobs={array}", "--array", "--format=%A %K")
    places = {f"{array}_{place}": job for job, place in (line.split() for line in listed.splitlines())}
    # The array has the number of one of its jobs: that one must not take the other with it.
    [stopped] = [place for place, job in places.items() if job == array]
    captioning.cluster.say("scancel", "--batch", "--signal=USR1", stopped)
    restarts = {place: captioning.cluster.wait_for_state(place, "COMPLETED")["Restarts"] for place in places}
    assert restarts == {place: "1" if place == stopped else "0" for place in (f"{array}_0", f"{array}_1")}
    captioning.check_complete()
    assert {path.name[:11] for path in captioning.output.glob("Rank*")} == {"Rank0_node0", "Rank1_node1"}
    assert set(Counter(captioning.requests()).values()) == {1}


def test_the_jobs_of_an_array_that_have_to_wait_are_no_dead_ranks(captioning: Captioning) -> None:
    array = captioning.submit("--array=0-1%1", size=("--nodes=1", *SIZE[1:]))
    captioning.wait_for_records(4)
    seen = succeed(module("status", "--plan", captioning.plan, "--output-dir", captioning.output))
    assert "not begun" in seen
    for place in (f"{array}_0", f"{array}_1"):
        assert captioning.cluster.wait_for_state(place, "COMPLETED")["Restarts"] == "0"
    captioning.check_complete()
    assert set(Counter(captioning.requests()).values()) == {1}
    assert "took over 10 samples of slower ranks" in captioning.log


def test_all_parts_of_a_heterogeneous_job_are_ranks(captioning: Captioning) -> None:
    part = ("--nodes=1", "--ntasks=1", "--ntasks-per-node=1", "--cpus-per-task=1", "--gpus-per-node=1")
    job = captioning.submit(flags=(*SLOW, "--takeover-chunk", "0"), size=(*part, ":", *part))
    assert captioning.cluster.wait_for_state(job, "COMPLETED", "FAILED")["JobState"] == "COMPLETED", captioning.log
    captioning.check_complete()
    assert {path.name[:11] for path in captioning.output.glob("Rank*")} == {"Rank0_node0", "Rank1_node1"}
