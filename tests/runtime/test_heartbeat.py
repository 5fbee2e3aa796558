import os
import subprocess
import sys

import pytest

from MetaCaptioner.runtime.heartbeat import Heartbeat, inherited_heartbeat, is_worker, shared_heartbeat, tell_worker
from tests.random_model import ROOT

WORKER = """
import os, subprocess, sys
from MetaCaptioner.runtime.heartbeat import inherited_heartbeat, is_worker
assert is_worker(os.environ)
ours = "import os; from MetaCaptioner.runtime.heartbeat import is_worker; print(is_worker(os.environ))"
print("child", subprocess.run([sys.executable, "-c", ours], capture_output=True, text=True).stdout.strip())
heartbeat = inherited_heartbeat(os.environ)
print("deaths", heartbeat.deaths)
heartbeat.records += 3
heartbeat.stall_seconds = 1.5
print("left", is_worker(os.environ), [name for name in os.environ if name.startswith("_METACAPTIONER")])
os.kill(os.getpid(), 9)
"""


def test_what_a_worker_notes_is_seen_after_its_death_and_only_it_is_the_worker() -> None:
    descriptor, heartbeat = shared_heartbeat()
    heartbeat.deaths, heartbeat.records = 2, 10
    environment = tell_worker({**os.environ, "PYTHONPATH": str(ROOT)}, descriptor)
    command = [sys.executable, "-u", "-c", WORKER]
    done = subprocess.run(command, env=environment, pass_fds=[descriptor], stdout=subprocess.PIPE, text=True)
    os.close(descriptor)
    assert done.returncode == -9
    assert done.stdout.splitlines() == ["child False", "deaths 2", "left False []"]
    assert (heartbeat.deaths, heartbeat.records, heartbeat.stall_seconds) == (2, 13, 1.5)


def test_without_a_supervisor_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    for left_over in ({}, {"_METACAPTIONER_SUPERVISOR": "1234567 3"}):
        assert not is_worker(left_over)
        heartbeat = inherited_heartbeat(left_over)
        assert isinstance(heartbeat, Heartbeat)
        assert (heartbeat.deaths, heartbeat.begun, heartbeat.records) == (0, 0, 0)
