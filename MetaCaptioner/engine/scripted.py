"""An engine without a model: answers made from the request alone. For dry runs of a plan, and for tests.

What it does beside answering is told by `--engine-arg NAME=VALUE`, with the fields of `Script` as names.
"""

import asyncio
import hashlib
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, ValidationError

from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.engine.base import SYSTEM_MESSAGE, Completion, Constraint, Request
from MetaCaptioner.engine.example_answer import example_answer
from MetaCaptioner.engine.options import EngineOptions
from MetaCaptioner.errors import BadArguments, EngineDead
from MetaCaptioner.media.loader import Media

_TOKEN_SECONDS = 0.05


class Script(BaseModel):
    """What the engine does beside answering."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    delay: float = 0.0
    """Seconds that an answer takes; tokens come all the while."""
    log: Path | None = None
    """A file to which the id of every request is appended, a line each."""
    hang_after: int | None = None
    """After so many requests no token comes any more."""
    crash_on: tuple[str, ...] = ()
    """Sample ids, as a JSON list: a request for one of them kills the engine's process."""
    process: bool = False
    """The engine is a process of its own, as a real one is; else it is this one."""


class ScriptedEngine:
    """Answers at once, or as its script has it; the same request gets the same answer."""

    pixel_multiple = 28
    cache_tokens: int | None = None
    arguments: Mapping[str, object] = MappingProxyType({})
    chosen_for_speed: tuple[str, ...] = ()

    def __init__(self, options: EngineOptions) -> None:
        try:
            self._script = Script.model_validate(dict(options.extra))
        except ValidationError as error:
            name = error.errors()[0]["loc"][0]
            known = ", ".join(Script.model_fields)
            raise BadArguments(
                f"--engine-arg {name}: {error.errors()[0]['msg']} (the scripted engine takes {known})"
            ) from error
        self._requests = 0
        self._tokens = 0
        self._process = _start_process() if self._script.process else None

    async def generate(self, request: Request) -> Completion:
        self._requests += 1
        if self._script.log is not None:
            with self._script.log.open("a") as log:
                log.write(f"{request.request_id}\n")
        if request.request_id.rsplit("/", 2)[0] in self._script.crash_on:
            self._crash()
        await self._take_time()
        media = request.media.media_id if request.media else "no media"
        digest = hashlib.sha256(f"{media}\n{request.instruction}".encode()).hexdigest()
        text, probabilities = _answer(request.constraint, digest)
        return Completion(
            text=text,
            finish_reason="stop",
            input_tokens=len(request.instruction) // 4,
            cached_tokens=0,
            output_tokens=len(text) // 4,
            first_token_probabilities=probabilities,
        )

    async def _take_time(self) -> None:
        """Let tokens come until the answer is complete; for ever, and without any, if the engine hangs."""
        hangs = self._script.hang_after is not None and self._requests > self._script.hang_after
        end = time.monotonic() + self._script.delay
        await asyncio.sleep(0)
        while hangs or time.monotonic() < end:
            await asyncio.sleep(min(_TOKEN_SECONDS, self._script.delay or _TOKEN_SECONDS))
            self._check_process()
            self._tokens += not hangs
        self._check_process()

    def _crash(self) -> None:
        if self._process is None:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            self._process.kill()
            self._process.join()

    def _check_process(self) -> None:
        if self._process is not None and not self._process.is_alive():
            raise EngineDead("the engine has died")

    def prompt_text(self, instruction: str, modality: Modality | None) -> str:
        return f"{SYSTEM_MESSAGE}\n<{modality or 'no media'}>\n{instruction}"

    def media_tokens(self, media: Media) -> int | None:
        return None

    def progress(self) -> int:
        return self._tokens

    def stop_waiting(self) -> None:
        """None of them waits."""

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()


def _start_process() -> BaseProcess:
    process = multiprocessing.get_context("spawn").Process(target=_wait_for_the_end, name="engine", daemon=True)
    process.start()
    return process


def _wait_for_the_end() -> None:
    """What the engine's process does: nothing, as long as its parent lives."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()


def _answer(constraint: Constraint | None, digest: str) -> tuple[str, dict[str, float]]:
    """The answer and the probabilities of its first token."""
    number = int(digest[:8], 16)
    if constraint is not None and constraint.choices:
        choice = constraint.choices[number % len(constraint.choices)]
        firsts = {other[0] for other in constraint.choices}
        rest = 0.1 / max(1, len(firsts) - 1)
        return choice, {first: 0.9 if first == choice[0] else rest for first in firsts}
    if constraint is not None and constraint.json_schema:
        return example_answer(constraint.json_schema, number, f"scripted {digest[:8]}"), {}
    return f"A scripted answer, number {digest[:12]}.", {}
