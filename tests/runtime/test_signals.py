"""What a process takes itself for, in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.commands import environment

MAIN = """
import multiprocessing, signal
from MetaCaptioner.runtime import signals

signals.begin_helper()

def ignores(tell):
    tell.put(signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN)

if __name__ == "__main__":
    spawned = multiprocessing.get_context("spawn")
    told = spawned.SimpleQueue()
    ignores(told)
    print("itself", told.get())
    process = spawned.Process(target=ignores, args=(told,))
    process.start()
    print("spawned", told.get())
    process.join()
"""


@pytest.mark.parametrize("command", [("a_main.py",), ("-m", "a_main")])
def test_a_spawned_process_ignores_sigusr1_and_the_one_that_spawns_it_does_not(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "a_main.py").write_text(MAIN)
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "itself False\nspawned True\n", done.stderr
