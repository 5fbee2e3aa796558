"""Real processes: the keeper of a model's server, and a server that does as it is told."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from MetaCaptioner.engine.options import ServedOptions
from MetaCaptioner.launch.served import ServedModel, free_ports
from tests.helpers import plain
from tests.pipeline.commands import environment

SERVER = """
import json, os, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
told = json.loads(sys.argv[1])
folder = Path(told["model"])
(folder / "key").write_text(os.environ.get("VLLM_API_KEY", ""))
number = len(list(folder.glob("server*")))
helper = subprocess.Popen(["sleep", "600"])
(folder / f"server{number}").write_text(f"{os.getpid()} {helper.pid}")
if (folder / "broken").exists():
    print("ValueError: the weights are gone", flush=True)
    helper.kill()
    sys.exit(1)
print("Starting to load model", flush=True)
while not (folder / "load").exists():
    time.sleep(0.02)
class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
HTTPServer(("127.0.0.1", told["port"]), Health).serve_forever()
"""
KEEPER = """
import sys
from MetaCaptioner.launch import server_keeper
from MetaCaptioner.launch.served import ServedModel
from MetaCaptioner.utils.cli import run_main
from MetaCaptioner.utils.json_text import read_as
server_keeper._MOST_DEATHS = 3
model = read_as(sys.argv[1].encode(), ServedModel)
run_main(lambda: server_keeper.ServerKeeper(model, "the_server").run())
"""


def is_alive(process: int) -> bool:
    """Whether it is there and has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Keeper:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "the_server.py").write_text(SERVER)
        server = ServedOptions(str(folder), *free_ports(1))
        model = ServedModel("look", server, str(folder / "runs" / "served.log"))
        env = {**environment(), "VLLM_API_KEY": "secret"}
        env["PYTHONPATH"] += f":{folder}"
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-c", KEEPER, model.as_told()], env=env, stdout=self.log, stderr=self.log
        )

    @property
    def said(self) -> str:
        return plain((self.folder / "log").read_text())

    def processes(self, number: int) -> list[int]:
        """The server that was started as the `number`-th, and its helper, once they are there."""
        self.wait_for(lambda: (self.folder / f"server{number}").exists())
        time.sleep(0.05)
        return [int(word) for word in (self.folder / f"server{number}").read_text().split()]

    def wait_for(self, true: object) -> None:
        deadline = time.monotonic() + 30
        while not true():  # type: ignore[operator]
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)

    def wait_until_ready(self, times: int) -> None:
        self.wait_for(lambda: self.said.count("served on the CPU") == times)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    made = Keeper(tmp_path)
    yield made
    made.kill()


def test_it_tells_what_it_waits_for_and_when_the_model_is_served(keeper: Keeper) -> None:
    keeper.wait_for(lambda: "fetching and reading its weights (" in keeper.said)
    assert f"model 'look' ({keeper.folder}): its server is loading on the CPU: " in keeper.said
    (keeper.folder / "load").touch()
    keeper.wait_until_ready(1)
    assert "Starting to load model" in (keeper.folder / "runs" / "served.log").read_text()
    assert (keeper.folder / "key").read_text() == "secret"
    assert "secret" not in keeper.said


def test_one_that_is_killed_comes_back_and_what_it_left_is_gone(keeper: Keeper) -> None:
    (keeper.folder / "load").touch()
    keeper.wait_until_ready(1)
    server, helper = keeper.processes(0)
    os.kill(server, signal.SIGKILL)
    os.kill(helper, signal.SIGKILL)
    keeper.wait_until_ready(2)
    assert "its server was killed by SIGKILL; another one is started" in keeper.said
    assert keeper.process.poll() is None


def test_a_signal_to_stop_ends_it_and_its_server(keeper: Keeper) -> None:
    (keeper.folder / "load").touch()
    keeper.wait_until_ready(1)
    keeper.process.terminate()
    server, helper = keeper.processes(0)
    os.kill(helper, signal.SIGKILL)
    assert keeper.process.wait(30) == 0
    assert not is_alive(server)


def test_its_server_ends_with_it_however_it_ends(keeper: Keeper) -> None:
    (keeper.folder / "load").touch()
    keeper.wait_until_ready(1)
    server, helper = keeper.processes(0)
    keeper.kill()
    keeper.wait_for(lambda: not is_alive(server))
    os.kill(helper, signal.SIGKILL)


def test_one_that_cannot_be_loaded_is_given_up_at_once_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    keeper = Keeper(tmp_path)
    assert keeper.process.wait(30) == 1
    assert keeper.said.splitlines()[-1] == (
        f"error: model 'look' ({tmp_path}) cannot be served: ValueError: the weights are gone; what it printed is in "
        f"{tmp_path}/runs/served.log"
    )
    assert not (tmp_path / "server1").exists()


def test_one_that_dies_again_and_again_is_given_up(keeper: Keeper) -> None:
    (keeper.folder / "load").touch()
    for number in range(3):
        keeper.wait_until_ready(number + 1)
        for process in keeper.processes(number):
            os.kill(process, signal.SIGKILL)
    assert keeper.process.wait(30) == 1
    assert "cannot be served (3 of its servers have died): was killed by SIGKILL" in keeper.said
