"""The models for which a launch starts servers of its own: on which GPUs each is, and where ranks find it."""

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import msgspec

from MetaCaptioner.engine.options import KEY_OF_VLLM, ServedOptions
from MetaCaptioner.errors import UserError
from MetaCaptioner.runtime.gpus import show_gpus, visible_gpus
from MetaCaptioner.runtime.served import Served, tell_ranks
from MetaCaptioner.utils.json_text import to_json

HOST = "127.0.0.1"


class ServedModel(msgspec.Struct, frozen=True):
    """A model that is served: the name that a configuration has for it, its server, the GPUs that this is on (none: the
    CPU), and the file to which that prints."""

    name: str
    server: ServedOptions
    log: str
    gpus: tuple[str, ...] = ()
    quiet: bool = False

    def as_told(self) -> str:
        """For a command line."""
        return to_json(msgspec.to_builtins(self)).decode()

    @property
    def place(self) -> str:
        """Where it runs, in words."""
        return f"GPU {','.join(self.gpus)}" if self.gpus else "the CPU"


def placed(
    wanted: Sequence[ServedModel], gpus_a_rank: int, environment: Mapping[str, str]
) -> tuple[list[ServedModel], dict[str, str]]:
    """The models, each on as many GPUs as its server wants, the last ones of this machine; and variables for the ranks,
    which see the others.

    Raises:
        UserError: there are not enough GPUs for all, or they cannot be told.
    """
    if not wanted:
        return [], {}
    left = visible_gpus(environment)
    on_gpus, found = bool(left), []
    for one in wanted:
        size = one.server.gpus if on_gpus else 0
        if len(left) - size < gpus_a_rank * on_gpus:
            raise UserError(
                f"models: {one.name}: serve: needs {size} GPUs of its own, and of the {len(visible_gpus(environment))} "
                f"here {len(left)} are left for it and for ranks of {gpus_a_rank} each: give it fewer, serve it "
                "elsewhere ('engine: openai' and 'endpoint'), or ask for more GPUs"
            )
        left, mine = left[: len(left) - size], left[len(left) - size :]
        server = msgspec.structs.replace(one.server, gpus=size)
        found.append(msgspec.structs.replace(one, server=server, gpus=tuple(mine)))
    return found, show_gpus(left, environment) if on_gpus else {}


class Servers:
    """The processes that each keep the server of one model going, for as long as there are ranks."""

    def __init__(self, models: Sequence[ServedModel], begin: Callable[[], Any]) -> None:
        self._key = secrets.token_urlsafe(32)
        self._addresses: dict[str, Served] = {}
        self.keepers: dict[int, subprocess.Popen[bytes]] = {}
        for model, port in zip(models, free_ports(len(models)), strict=True):
            self._addresses[model.name] = Served(f"http://{HOST}:{port}/v1", len(model.gpus))
            placed = msgspec.structs.replace(model, server=msgspec.structs.replace(model.server, port=port))
            try:
                keeper = self._started(placed, begin)
            except OSError as error:
                self.end()
                raise UserError(
                    f"model '{model.name}': what keeps its server cannot be started: {error.strerror}"
                ) from error
            self.keepers[keeper.pid] = keeper

    def _started(self, model: ServedModel, begin: Callable[[], Any]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "MetaCaptioner.launch.server_keeper", model.as_told()],
            env={**os.environ, **show_gpus(model.gpus, os.environ), KEY_OF_VLLM: self._key},
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=begin,
        )

    def variables(self) -> dict[str, str]:
        """What ranks are told; nothing where no model is served."""
        if not self._addresses:
            return {}
        past_proxies = ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), HOST)))
        return {**tell_ranks(self._addresses, self._key), "no_proxy": past_proxies, "NO_PROXY": past_proxies}

    def end(self) -> None:
        """End them all; each ends its server first."""
        for keeper in self.keepers.values():
            keeper.terminate()
        for keeper in self.keepers.values():
            keeper.wait()


def free_ports(count: int) -> list[int]:
    """So many ports of this machine that nobody listens on, each another."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind((HOST, 0))
        return [listener.getsockname()[1] for listener in listeners]
