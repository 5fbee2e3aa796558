"""vLLM's own API server with a model, on this machine's CPU, for as long as it is needed."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from MetaCaptioner.engine.vllm_arguments import CPU_EXECUTOR, SERVER_ARGUMENTS, environment

_START_SECONDS = 900.0


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def served(model: Path, name: str, log: Path, *more: str, port: int | None = None) -> Iterator[str]:
    """The address of a server that has `model` by that `name`. What it prints is in `log`.

    Raises:
        RuntimeError: it has ended, or does not answer for minutes.
    """
    port = port or free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.launchers.api_server.entry", f"--model={model}"]
    command += [f"--served-model-name={name}", "--host=127.0.0.1", f"--port={port}", *SERVER_ARGUMENTS]
    command += ["--limit-mm-per-prompt", '{"image": 1, "video": 1}']
    command += ["--enforce-eager", f"--distributed-executor-backend={CPU_EXECUTOR}", *more]
    variables = {**environment(on_gpu=False), **os.environ, "VLLM_LOGGING_LEVEL": "INFO"}
    with log.open("ab") as printed:
        server = subprocess.Popen(
            command, env=variables, stdout=printed, stderr=printed, stdin=subprocess.DEVNULL, process_group=0
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/health", server, log)
        yield f"{address}/v1"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _wait_for(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(address, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"the server does not answer; what it printed is in {log}")
