"""Real vLLM in this process, which tests share, and the stages on it."""

import asyncio
import io
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from MetaCaptioner import captionpipeline, inferscore
from MetaCaptioner.engine.base import Completion, Request
from MetaCaptioner.engine.options import EngineOptions
from MetaCaptioner.engine.vllm import VllmEngine
from MetaCaptioner.engine.vllm_arguments import environment
from MetaCaptioner.media.decoding import pool
from MetaCaptioner.runner import stage
from MetaCaptioner.runtime.signals import STOP_SIGNALS
from MetaCaptioner.utils.cli import run_main
from tests.helpers import plain
from tests.lent_server import lending

Result = TypeVar("Result")
CONTEXT = 4096


_LOADED_ONCE = ["vllm.v1.engine.core", "vllm.v1.worker.cpu_worker", "vllm.v1.worker.cpu_model_runner", "transformers"]


@contextmanager
def forked_engines() -> Iterator[None]:
    """Engines are forked from a process that has imported vLLM: each that is spawned takes seconds for that."""
    from vllm.v1.engine import utils

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_LOADED_ONCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "get_mp_context", lambda: context)
        yield


class RunningEngine:
    """Real vLLM, kept for all tests of a session on an event loop of its own."""

    def __init__(self, model: Path, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        given = {"max_model_len": CONTEXT, "extra": {"disable_log_stats": False}, **options}
        engine_options = EngineOptions(str(model), **given)

        async def build() -> VllmEngine:
            for name, value in environment(on_gpu=False).items():
                os.environ.setdefault(name, value)  # before vLLM is imported
            with forked_engines():
                return VllmEngine(engine_options, on_gpu=False)

        self.engine = self.run(build())

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.start(work).result(timeout=300)

    def start(self, work: Coroutine[Any, Any, Result]) -> "Future[Result]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        async def end() -> None:
            self.engine.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.wait(others, timeout=10) if others else None

        self.run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=60)


class OnItsOwnLoop:
    """A running engine, for a stage that has an event loop of its own and closes what it is given."""

    def __init__(self, running: RunningEngine) -> None:
        self._running = running

    def __getattr__(self, name: str) -> Any:
        return getattr(self._running.engine, name)

    async def generate(self, request: Request) -> Completion:
        return await asyncio.wrap_future(self._running.start(self._running.engine.generate(request)))

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class LoadedStages:
    """The commands of the stages in this process, as their command lines run them, on an engine that is loaded."""

    running: RunningEngine

    def caption(self, *arguments: object) -> str:
        return self._run(captionpipeline.main, *arguments)

    def score(self, *arguments: object) -> str:
        return self._run(inferscore.main, *arguments)

    def _run(self, main: Callable[[Sequence[str]], int], *arguments: object) -> str:
        """What it says, if it ends well; nobody waits for its lines meanwhile."""
        said = io.StringIO()
        handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        with pytest.MonkeyPatch.context() as patch, lending() as lender, redirect_stderr(said):
            patch.setenv("CUDA_VISIBLE_DEVICES", "")
            patch.setattr(stage, "open_engine", lambda *_: OnItsOwnLoop(self.running))
            patch.setattr(pool, "ForkServer", lender)
            with pytest.raises(SystemExit) as ended:
                run_main(lambda: main([str(argument) for argument in arguments]))
        for number, handler in handlers.items():
            signal.signal(number, handler)
        assert ended.value.code == 0, said.getvalue()
        return plain(said.getvalue())
