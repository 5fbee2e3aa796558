"""How an engine is built."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec

from MetaCaptioner.errors import BadArguments

_API = "/v1"
KEY_OF_VLLM = "VLLM_API_KEY"
"""The variable in which vLLM's own server has its key."""


@dataclass(frozen=True)
class Servers:
    """Servers in place of an engine that runs here, by address, and how long they are waited for.

    `key_variable` is the variable of the environment that has their key. `pixel_multiple` is that of their model, where
    it is known. `waits_to_begin`: one that is not there yet is waited for; whoever starts it says if that fails.
    """

    endpoints: tuple[str, ...]
    key_variable: str = "OPENAI_API_KEY"
    request_seconds: float = 600.0
    outage_seconds: float = 600.0
    pixel_multiple: int | None = None
    waits_to_begin: bool = False

    def key(self) -> str:
        """The key; empty where the environment has none.

        Raises:
            BadArguments: it is none, for it cannot be sent.
        """
        key = os.environ.get(self.key_variable, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise BadArguments(f"{self.key_variable}: holds signs that no key has, such as the end of a line")
        return key


def endpoint(text: str) -> str:
    """An address of an OpenAI API as it is used: one without a path has its in /v1.

    Raises:
        BadArguments: it is none, or has a key in it.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError as error:
        raise BadArguments(f"--endpoint: is no address ({error})") from None
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BadArguments(
            f"--endpoint {parts.scheme}://{parts.hostname}…: an address has no key and no question in it: keys come "
            "from the environment (--key-variable)"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        shown = "…" if "@" in text else text  # a password may stand before it
        raise BadArguments(f"--endpoint {shown}: is no address as in http://HOST:8000/v1")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or _API}"


@dataclass(frozen=True)
class EngineOptions:
    """How the engine is built; `extra` goes to it as it is, `template_arguments` to the model's chat template."""

    model: str
    kind: str = "vllm"
    tensor_parallel_size: int = 1
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    seed: int | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    template_arguments: Mapping[str, object] = field(default_factory=dict)
    keep_reasoning: bool = False
    servers: Servers | None = None
    looks: bool = True
    """Whether anybody is shown media."""

    @property
    def made_by(self) -> str:
        """What records name as their model: where none runs, the engine that answers in its place."""
        return self.model if self.kind in ("vllm", "openai") else self.kind


class ServedOptions(msgspec.Struct, frozen=True):
    """The model that is served under its own name, on so many GPUs (0: the CPU) and a port of this machine alone."""

    model: str
    port: int = 0
    gpus: int = 0
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    seed: int | None = None
    extra: dict[str, Any] = {}

    def engine_options(self) -> EngineOptions:
        """How its engine is built."""
        return EngineOptions(
            model=self.model,
            tensor_parallel_size=max(1, self.gpus),
            max_model_len=self.max_model_len,
            gpu_memory_utilization=self.gpu_memory_utilization,
            seed=self.seed,
            extra=self.extra,
        )
