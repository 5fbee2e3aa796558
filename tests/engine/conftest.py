import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest

from MetaCaptioner.engine.options import EngineOptions
from MetaCaptioner.engine.vllm import VllmEngine
from tests.random_model import random_model  # noqa: F401

Result = TypeVar("Result")
CONTEXT = 4096


class RunningEngine:
    """Real vLLM, kept for all tests of a session on an event loop of its own."""

    def __init__(self, model: Path, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        given = {"max_model_len": CONTEXT, "extra": {"disable_log_stats": False}, **options}
        engine_options = EngineOptions(str(model), **given)

        async def build() -> VllmEngine:
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


@pytest.fixture(scope="session")
def running(random_model: Path) -> Iterator[RunningEngine]:  # noqa: F811
    engine = RunningEngine(random_model)
    yield engine
    engine.close()
