"""A real SLURM of two nodes on this host: its own munge key, sockets, ports and folders, nothing of the host's."""

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.pipeline.commands import run

NODES = ("n1", "n2")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

# Where a site's settings could harm a run (a rank that fails ends the others, no job is requeued), they are set so.
_SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={folder}/%n
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
SlurmdTimeout=300
BatchStartTimeout=1
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
ReturnToService=1
KillOnBadExit=1
WaitTime=2
JobRequeue=0
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 Gres=gpu:4
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 Gres=gpu:4
PartitionName=usual Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
"""
# Four devices that every host has stand for GPUs: SLURM hands out their numbers and touches nothing.
_GRES_CONF = "".join(f"Name=gpu File=/dev/{name}\n" for name in ("null", "zero", "full", "random"))


def missing_programs() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.1)


class Cluster:
    """The running cluster. `variables` are what a command needs to talk to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _PATH}
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._controller: subprocess.Popen[bytes] | None = None
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        names = {"host": socket.gethostname(), "user": getpass.getuser()}
        text = _SLURM_CONF.format(folder=self.folder, ports=_free_ports(3), **names)
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "gres.conf").write_text(_GRES_CONF)
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        files = {"key-file": key} | {name: self.folder / f"munge.{name}" for name in ("socket", "pid-file", "log-file")}
        munge = [f"--{name}={path}" for name, path in (files | {"seed-file": self.folder / "munge.seed"}).items()]
        self._daemon("munged", "--foreground", *munge)
        wait_until((self.folder / "munge.socket").exists, "munged")
        self.start_controller()
        for node in NODES:
            self._nodes[node] = self._daemon("slurmd", "-D", "-N", node)
        wait_until(self._all_idle, "the nodes")

    def start_controller(self) -> None:
        self._controller = self._daemon("slurmctld", "-D")

    def stop_controller(self) -> None:
        """As when it is restarted or its machine is lost: jobs go on, and nobody answers."""
        assert self._controller is not None
        self._controller.terminate()
        self._controller.wait(timeout=60)

    def _all_idle(self) -> bool:
        states = self.run("sinfo", "--noheader", "--Node", "--format=%T").stdout.split()
        return len(states) == 4 and set(states) == {"idle"}  # two nodes in two partitions

    def _daemon(self, *command: str) -> "subprocess.Popen[bytes]":
        null = subprocess.DEVNULL
        environment = {**os.environ, **self.variables}
        daemon = subprocess.Popen(command, env=environment, stdin=null, stdout=null, stderr=null)
        self._daemons.append(daemon)
        return daemon

    def stop(self) -> None:
        """End every job, daemon and job step."""
        self.run("scancel", "--quiet", f"--user={getpass.getuser()}")
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for pid in [pid for node in NODES for pid in self.step_daemons(node)]:
            kill_tree(pid)
        for daemon in self._daemons:
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()

    def run(
        self, *command: str | Path, variables: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        return run(command, {**self.variables, **(variables or {})})

    def say(self, *command: str | Path, variables: Mapping[str, str] | None = None) -> str:
        """What a command that must succeed prints."""
        done = self.run(*command, variables=variables)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def job(self, number: str) -> dict[str, str]:
        """What SLURM knows of a job."""
        words = self.say("scontrol", "--oneliner", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_for_state(self, number: str, *states: str, seconds: float = 300) -> dict[str, str]:
        wait_until(lambda: self.job(number)["JobState"] in states, f"job {number} to be {states}", seconds)
        return self.job(number)

    def report_jobs(self, node: str) -> None:
        """Have a node tell what runs on it, for which SLURM otherwise asks every half hour."""
        self._nodes[node].send_signal(signal.SIGHUP)

    def step_daemons(self, node: str, job: str | None = None) -> list[int]:
        """The process ids of a node's slurmstepds (of one job): those that have the node's log open."""
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and (entry / "comm").read_text() == "slurmstepd\n":
                    of_job = job is None or f"[{job}." in (entry / "cmdline").read_text()
                    files = {str(link.readlink()) for link in (entry / "fd").iterdir()}
                    if of_job and str(self.folder / f"{node}.log") in files:
                        found.append(int(entry.name))
        return found


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A cluster in a temporary folder. A short one: the paths of sockets are limited to some hundred characters."""
    with tempfile.TemporaryDirectory(prefix="slurm") as name:
        folder = Path(name)
        folder.chmod(0o755)  # munged serves all users
        cluster = Cluster(folder)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


def children(pid: int) -> list[int]:
    try:
        listed = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [int(child) for text in listed for child in text.split()]


def kill_tree(pid: int) -> None:
    """kill -9 to a process and all below it."""
    below = children(pid)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    for child in below:
        kill_tree(child)


def _free_ports(count: int) -> Sequence[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
