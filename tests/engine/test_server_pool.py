"""Whose turn it is, and where: no server is needed for that."""

import asyncio
import time
from collections.abc import Awaitable

import pytest

from MetaCaptioner.engine.server_faults import ServerFault
from MetaCaptioner.engine.server_pool import Home, Pool, Server
from MetaCaptioner.errors import UserError


def soon(work: Awaitable[Server]) -> "asyncio.Task[Server]":
    return asyncio.ensure_future(work)


def failed(server: Server, kind: str = "busy", after: float | None = None, began: float | None = None) -> None:
    now = time.monotonic()
    server.failed(ServerFault(kind, "no", retry_after=after), now if began is None else began, now)


def test_the_limit_doubles_a_round_then_halves_at_a_setback_and_grows_by_one_a_round() -> None:
    server = Server("a")

    def round_of_answers() -> float:
        for _ in range(server.room):
            server.in_flight = server.room
            server.answered()
        return server.limit

    assert round_of_answers() == pytest.approx(32, abs=12)
    before = server.limit
    failed(server, "failed")
    assert server.limit == before / 2
    failed(server, "failed", began=0.0)  # it was sent before the setback, and is part of it
    assert server.limit == before / 2
    server.answered()
    before = server.limit
    assert before < round_of_answers() <= before + 1.5


def test_a_limit_that_was_not_reached_does_not_grow() -> None:
    server = Server("a")
    server.in_flight = 1
    server.answered()
    assert server.limit == 16


def test_a_server_is_left_alone_as_long_as_it_asks_for() -> None:
    server = Server("a")
    failed(server, after=100.0)
    now = time.monotonic()
    assert server.is_resting(now + 99)
    assert not server.is_resting(now + 101)


def test_one_that_fails_twice_is_tried_with_one_request() -> None:
    server = Server("a")
    for _ in range(2):
        failed(server, "failed")
    assert server.room == 1
    server.answered()
    assert server.room > 1


@pytest.mark.parametrize(("kind", "least", "most"), [("failed", 10, 40), ("down", 150, 420)])
def test_one_that_is_there_and_fails_is_soon_tried_again(kind: str, least: float, most: float) -> None:
    """Twenty bad requests, one after another: not an outage of minutes."""
    server, now = Server("a"), 0.0
    for _ in range(20):
        began = max(now, server.opens_at)
        now = began + 0.01
        server.failed(ServerFault(kind, "no"), began + 0.005, now)
    assert least < server.opens_at < most


def test_older_samples_go_first_and_the_least_busy_server_is_taken() -> None:
    async def ask() -> None:
        one, other = Server("a"), Server("b")
        one.limit = other.limit = 1.0
        pool = Pool([one, other], 60)
        assert {await pool.enter(9, Home()), await pool.enter(9, Home())} == {one, other}
        late, early = soon(pool.enter(8, Home())), soon(pool.enter(2, Home()))
        await asyncio.sleep(0)
        pool.leave(one)
        assert await early is one
        assert not late.done()
        pool.leave(other)
        assert await late is other

    asyncio.run(ask())


def test_a_sample_stays_where_it_is_as_long_as_that_server_is_well() -> None:
    async def ask() -> None:
        one, other = Server("a"), Server("b")
        one.limit = 1.0
        pool, home = Pool([one, other], 60), Home(one)
        assert await pool.enter(0, home) is one
        waiting = soon(pool.enter(0, home))
        await asyncio.sleep(0)
        assert not waiting.done()
        failed(one, after=60.0)
        pool.leave(one)
        assert await waiting is other
        assert home.server is other

    asyncio.run(ask())


def test_one_who_gives_up_waiting_leaves_his_place_to_others() -> None:
    async def ask() -> None:
        server = Server("a")
        server.limit = 1.0
        pool = Pool([server], 60)
        await pool.enter(0, Home())
        first, second = soon(pool.enter(0, Home())), soon(pool.enter(1, Home()))
        await asyncio.sleep(0)
        pool.leave(server)  # the place is his, but he does not know it yet
        first.cancel()
        assert await second is server
        assert server.in_flight == 1

    asyncio.run(ask())


def test_where_nobody_answers_for_too_long_all_waiting_ends() -> None:
    async def ask() -> None:
        server = Server("a")
        pool = Pool([server], 0.2)
        failed(server, after=60.0)
        with pytest.raises(UserError, match=r"no endpoint has answered for 0\.2 s .*: a no\."):
            await asyncio.wait_for(pool.enter(0, Home()), 10)

    asyncio.run(ask())


def test_a_stop_ends_what_waits_for_a_server_that_is_not_well_and_nothing_else() -> None:
    async def ask() -> None:
        server = Server("a")
        server.limit = 1.0
        pool = Pool([server], 60)
        await pool.enter(0, Home())
        waiting = soon(pool.enter(0, Home()))
        pool.stop_waiting()
        await asyncio.sleep(0)
        assert not waiting.done()  # the server is well: what it has will be answered
        failed(server, after=60.0)
        pool.leave(server)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(asyncio.CancelledError):
            await pool.pause(60)

    asyncio.run(ask())


def test_one_that_is_being_started_is_looked_at_again_soon() -> None:
    ours, another = Server("a", longest_pause=1.0), Server("b")
    for server in (ours, another):
        for _ in range(12):
            failed(server, "down")
    now = time.monotonic()
    assert not ours.is_resting(now + 1.0)
    assert another.is_resting(now + 10.0)
