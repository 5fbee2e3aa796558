"""Requests pass in groups, and none is left outside."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from MetaCaptioner.engine.admission import Admission


class Crowd:
    """Requests behind a door of groups of one in four, each inside until it is told to go."""

    def __init__(self) -> None:
        self.admission = Admission(4)
        self.inside: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._go: list[asyncio.Event] = []

    async def come(self, count: int = 1) -> None:
        for _ in range(count):
            self._go.append(asyncio.Event())
            self.tasks.append(asyncio.create_task(self._pass(len(self.tasks))))
            await asyncio.sleep(0)
        await settle()

    async def go(self, count: int = 1) -> None:
        for number in self.inside[:count]:
            self._go[number].set()
        await settle()

    async def _pass(self, number: int) -> None:
        async with self.admission.request():
            self.inside.append(number)
            try:
                await self._go[number].wait()
            finally:
                self.inside.remove(number)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def scenario(play: Callable[[Crowd], Awaitable[None]]) -> None:
    async def run() -> None:
        crowd = Crowd()
        await play(crowd)
        await crowd.come(0)
        while crowd.inside:
            await crowd.go(1)
        await asyncio.wait_for(asyncio.gather(*crowd.tasks, return_exceptions=True), 5)  # none is left outside
        first = len(crowd.tasks)
        await crowd.come(20)
        assert crowd.inside == list(range(first, first + 19))  # as a new door does: nobody is counted who is gone
        await crowd.go(20)
        await crowd.go(20)
        await asyncio.wait_for(asyncio.gather(*crowd.tasks, return_exceptions=True), 5)

    asyncio.run(run())


def test_few_pass_at_once() -> None:
    async def play(crowd: Crowd) -> None:
        await crowd.come(4)
        assert crowd.inside == [0, 1, 2, 3]

    scenario(play)


def test_of_many_each_group_passes_together() -> None:
    async def play(crowd: Crowd) -> None:
        await crowd.come(20)
        # one by one up to four; then whenever a quarter as many as are inside wait
        assert len(crowd.inside) == 19
        before = len(crowd.inside)
        await crowd.come(3)
        assert len(crowd.inside) == before
        await crowd.come(1)
        assert crowd.inside == list(range(24))

    scenario(play)


def test_who_waits_passes_when_enough_have_left() -> None:
    async def play(crowd: Crowd) -> None:
        await crowd.come(8)
        assert crowd.inside == list(range(7))
        await crowd.go(2)
        assert 7 not in crowd.inside
        await crowd.go()
        assert 7 in crowd.inside

    scenario(play)


@pytest.mark.parametrize(("number", "inside"), [(3, True), (7, False)])
def test_who_is_cancelled_inside_or_outside_leaves_nothing_behind(number: int, inside: bool) -> None:
    async def play(crowd: Crowd) -> None:
        await crowd.come(8)
        assert (number in crowd.inside) == inside
        crowd.tasks[number].cancel()
        await settle()
        assert number not in crowd.inside

    scenario(play)


def test_all_are_cancelled_at_once() -> None:
    async def play(crowd: Crowd) -> None:
        await crowd.come(20)
        for task in crowd.tasks:
            task.cancel()

    scenario(play)


def test_a_request_that_fails_inside_leaves() -> None:
    async def play(crowd: Crowd) -> None:
        with pytest.raises(ValueError, match="here"):
            async with crowd.admission.request():
                raise ValueError("here")

    scenario(play)
