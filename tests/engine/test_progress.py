"""What real vLLM tells of its progress while nothing is streamed."""

import asyncio

import pytest

from MetaCaptioner.engine.base import Completion, Request, Sampling
from tests.engine.conftest import RunningEngine

pytestmark = pytest.mark.engine


def test_progress_is_told_token_by_token_before_anything_is_answered(running: RunningEngine) -> None:
    engine = running.engine
    before = engine.progress()

    async def watch() -> tuple[list[Completion], list[int]]:
        long = Sampling(max_tokens=96, temperature=1.0, seed=3)
        requests = [Request(f"watched/{number}", "Tell a long story.", None, long) for number in range(3)]
        tasks = [asyncio.create_task(engine.generate(request)) for request in requests]
        seen = []
        while not any(task.done() for task in tasks):
            seen.append(engine.progress())
            await asyncio.sleep(0.01)
        return await asyncio.gather(*tasks), seen

    answers, seen = running.run(watch())
    assert seen == sorted(seen)
    assert len(set(seen)) > 10
    assert engine.progress() - before == sum(answer.output_tokens for answer in answers)
