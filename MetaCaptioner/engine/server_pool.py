"""Which server a request goes to, and when: how much each bears, how it is, and whose turn it is.

Additive increase, multiplicative decrease: the number of requests that a server is given at a time grows with its
answers, twofold a round until the first setback, then by one a round; each setback halves it.
Source: Chiu and Jain, Analysis of the increase and decrease algorithms for congestion avoidance, 1989.
"""

import asyncio
import heapq
import itertools
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from MetaCaptioner.engine.server_faults import ServerFault
from MetaCaptioner.errors import UserError

_FIRST_LIMIT = 16
_MOST = 1024
_SICK_AFTER = 2
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0
_LONGEST_REST_AFTER_FAILURE = 2.0
"""Of a server that is there and fails, in seconds: the requests themselves may be to blame, of which each is sent
several times. With longer rests a few bad samples would look like an outage, and end the run."""


class Server:
    """One server: how many requests it bears at a time, and whether it is well.

    What fails among requests that were sent before the last setback is part of that setback. After two of them without
    an answer in between it is sick: it is left alone for a while that doubles each time, up to `longest_pause` seconds,
    then tried with one request.
    """

    def __init__(self, address: str, longest_pause: float = math.inf) -> None:
        self.address = address
        self._longest_pause = longest_pause
        self.in_flight = 0
        self.limit = float(_FIRST_LIMIT)
        self.opens_at = 0.0
        self.failing_since: float | None = None
        self.last_fault = ""
        self._setbacks = 0
        self._last_setback = 0.0
        self._has_slowed = False

    @property
    def room(self) -> int:
        """How many requests it may have at a time."""
        return 1 if self._setbacks >= _SICK_AFTER else max(1, int(self.limit))

    def is_resting(self, now: float) -> bool:
        return now < self.opens_at

    def answered(self) -> None:
        """Note that it has answered, if only that it refuses the request."""
        if self.in_flight >= self.room:  # else it is not known whether it bears more
            self.limit = min(_MOST, self.limit + (1 / self.limit if self._has_slowed else 1))
        self._setbacks = 0
        self.failing_since = None

    def failed(self, fault: ServerFault, began: float, now: float) -> None:
        """Note that a request which was sent at `began` has failed, for no fault of its own that is known."""
        self.last_fault = fault.message
        self.failing_since = now if self.failing_since is None else self.failing_since
        if fault.retry_after is not None:
            self.opens_at = max(self.opens_at, now + fault.retry_after)
        if began < self._last_setback:
            return
        self._last_setback = now
        self._setbacks += 1
        self._has_slowed = True
        self.limit = max(1.0, self.limit / 2)
        free = 0 if fault.kind in ("busy", "down") else 1
        if fault.retry_after is None and self._setbacks > free:
            longest = min(self._longest_pause, _LONGEST_REST_AFTER_FAILURE if fault.kind == "failed" else math.inf)
            self.opens_at = max(self.opens_at, now + min(longest, pause_seconds(self._setbacks - free)))


def pause_seconds(number: int) -> float:
    """How long to wait for the `number`-th time, from 1: twice as long each time, and not all for the same time."""
    longest = min(_PAUSE_SECONDS * 2.0 ** (number - 1), _LONGEST_PAUSE_SECONDS)
    return longest * random.uniform(0.5, 1.0)


@dataclass
class Home:
    """Where the requests of a sample go, once the first has gone somewhere."""

    server: Server | None = None


@dataclass(order=True)
class _Waiting:
    priority: int
    number: int
    home: Home = field(compare=False)
    place: "asyncio.Future[Server]" = field(compare=False)


class Pool:
    """The servers that one model has. A request goes where the earlier ones of its sample went, as long as that is well
    (there its media are encoded), else where there is most room.
    """

    def __init__(self, servers: Sequence[Server], outage_seconds: float) -> None:
        self.servers = servers
        self._outage_seconds = outage_seconds
        self._waiting: list[_Waiting] = []
        self._numbers = itertools.count()
        self._stopped = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None

    async def enter(self, priority: int, home: Home) -> Server:
        """Wait for a server that takes a request; those of lower priority numbers go first. Ends with `leave`.

        Raises:
            UserError: no server has answered for so long that there is no point in waiting.
        """
        waiting = _Waiting(priority, next(self._numbers), home, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, waiting)
        self._look()
        try:
            return await waiting.place
        except asyncio.CancelledError:
            if waiting.place.done() and not waiting.place.cancelled():
                self.leave(waiting.place.result())
            raise

    def leave(self, server: Server) -> None:
        """A request has ended, however it did."""
        server.in_flight -= 1
        self._look()

    async def pause(self, seconds: float) -> None:
        """Let time pass before a request is sent again; given up at once where it is to stop waiting."""
        try:
            await asyncio.wait_for(self._stopped.wait(), seconds)
        except TimeoutError:
            return
        raise asyncio.CancelledError

    def stop_waiting(self) -> None:
        """Give up what waits for a server that is not well."""
        self._stopped.set()
        self._look()

    def _look(self) -> None:
        """Give places to those whose turn it is."""
        now = time.monotonic()
        if self._fail_for_outage(now):
            return
        if self._stopped.is_set() and all(server.is_resting(now) for server in self.servers):
            for waiting in self._waiting:
                waiting.place.cancel()
        left = []
        while self._waiting and any(_has_room(server, now) for server in self.servers):
            waiting = heapq.heappop(self._waiting)
            if waiting.place.done():  # cancelled
                continue
            server = self._choose(waiting.home.server, now)
            if server is None:
                left.append(waiting)
            else:
                server.in_flight += 1
                waiting.home.server = server
                waiting.place.set_result(server)
        for waiting in left:
            heapq.heappush(self._waiting, waiting)
        self._set_alarm(now)

    def _choose(self, home: Server | None, now: float) -> Server | None:
        if home is not None and not home.is_resting(now):
            return home if _has_room(home, now) else None
        open_now = [server for server in self.servers if _has_room(server, now)]
        return min(open_now, key=lambda server: server.in_flight / server.room, default=None)

    def _outage_ends(self) -> float:
        """When waiting is of no use any more, as no server has answered since; never as long as one is well."""
        return max(math.inf if one.failing_since is None else one.failing_since for one in self.servers) + (
            self._outage_seconds
        )

    def _fail_for_outage(self, now: float) -> bool:
        """End all that wait where no server has answered for too long; whether that is so."""
        if now < self._outage_ends():
            return False
        faults = "; ".join(f"{server.address} {server.last_fault}" for server in self.servers)
        error = UserError(
            f"no endpoint has answered for {self._outage_seconds:g} s (--outage-seconds): {faults}. What is done is "
            "kept: run the same command again once they are back"
        )
        for waiting in self._waiting:
            if not waiting.place.done():
                waiting.place.set_exception(error)
        self._waiting.clear()
        return True

    def _set_alarm(self, now: float) -> None:
        """Look again when a server's rest is over, or when waiting is of no use any more."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        next_time = min([*(one.opens_at for one in self.servers if one.is_resting(now)), self._outage_ends()])
        if self._waiting and next_time < math.inf:
            self._alarm = asyncio.get_running_loop().call_later(next_time - now, self._look)


def _has_room(server: Server, now: float) -> bool:
    return not server.is_resting(now) and server.in_flight < server.room
