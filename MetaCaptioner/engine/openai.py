"""Servers that speak the OpenAI API: several for one model, each given as much as it bears; nothing runs here.

Messages have the layout that an engine in process sends: the system message, the media, the instruction. All requests
of a sample go to one server, so that it encodes the media once.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec
from httpx2 import AsyncClient, Limits, Response, create_ssl_context
from openai import AsyncOpenAI, OpenAIError, Timeout

from MetaCaptioner.engine.base import Completion, Request
from MetaCaptioner.engine.options import EngineOptions, Servers
from MetaCaptioner.engine.server_faults import ServerFault, fault_of
from MetaCaptioner.engine.server_media import EncodedMedia, Shown
from MetaCaptioner.engine.server_pool import Home, Pool, Server, pause_seconds
from MetaCaptioner.engine.server_requests import Dialect, body_of, completion_of
from MetaCaptioner.errors import ErrorKind, SampleError, UserError
from MetaCaptioner.media.loader import Media

_CONNECT_SECONDS = 10.0
_IDLE_SECONDS = 4.0
"""So long a connection may lie idle and be used again. Servers end theirs, those of vLLM after 5 s: a request that is
sent in that moment is lost."""
_PAUSE_OF_OURS_SECONDS = 1.0
"""The longest before a server is looked at again that somebody is starting for this very run."""
_JSON: Any = {"headers": {"Content-Type": "application/json"}}
_BOUNDS = {"max_tokens", "max_completion_tokens"}
_MOST_FAULTS = {"failed": 8, "slow": 3}
"""So often a request is sent until these are its own fault; that a server is busy or down never is."""


class Clients:
    """The clients of one server, as many as it has been asked by at a time, each with one connection.

    A client with many looks through all of them twice a request, and asks the system about each that is idle. Who was
    last used is used first, so that few connections are kept up where few are needed.
    """

    def __init__(self, make: Callable[[], AsyncOpenAI]) -> None:
        self._make = make
        self._free: list[AsyncOpenAI] = []

    @contextmanager
    def one(self) -> Iterator[AsyncOpenAI]:
        """A client that nobody else has meanwhile."""
        client = self._free.pop() if self._free else self._make()
        try:
            yield client
        finally:
            self._free.append(client)

    async def close(self) -> None:
        for client in self._free:
            await client.close()


@dataclass(frozen=True)
class Connection:
    """A server, and how it is spoken to. The `key` is told to nobody else."""

    server: Server
    clients: Clients
    dialect: Dialect
    key: str
    seconds: float
    say: Callable[[str], None]

    async def ask(self, request: Request, shown: Shown | None, tried: int = 0) -> Completion:
        """One exchange; more of them only where the server does not take a part of what is asked.

        Raises:
            ServerFault: it has not answered.
            SampleError: it has ended the answer itself.
        """
        name = "" if shown is None else f"{shown.name}{f'-{tried}' if tried else ''}"
        by_name = shown is not None and self.dialect.goes_by_name(shown) and not tried
        known = shown.known_to if shown is not None and by_name else set[str]()
        is_known = self.server.address in known
        body = body_of(request, shown, self.dialect, name, is_known)
        while True:
            try:
                completion = await self._exchange(body, request)
            except ServerFault as fault:
                if is_known and fault.kind in ("refused", "failed"):
                    is_known = False  # it has forgotten them: they are sent again
                    body = body_of(request, shown, self.dialect, name)
                elif fault.is_too_long and body.keys() & _BOUNDS:
                    for bound in _BOUNDS:  # the server then bounds it by what the context leaves, which is less
                        body.pop(bound, None)
                elif learned := self.dialect.learn(fault, body):
                    self.say(_without(self.server.address, learned))
                    body = body_of(request, shown, self.dialect, name)
                else:
                    raise
            else:
                known.add(self.server.address)
                if not self.dialect.tells_usage:
                    self.say(f"endpoint {self.server.address} does not tell all tokens: they are not counted")
                return completion

    async def _exchange(self, body: dict[str, object], request: Request) -> Completion:
        # Past the client's own way from a body to bytes, which takes a hundredth of a second; and by another encoder
        # than files have, which takes an eighth of the time. Prompts hold no halves of characters.
        content = msgspec.json.encode(body)  # noqa: TID251
        try:
            with self.clients.one() as client:
                async with asyncio.timeout(self.seconds):
                    answer = await client.post("/chat/completions", cast_to=Response, content=content, options=_JSON)
        except (OpenAIError, TimeoutError, ValueError) as error:
            raise fault_of(error, self.key) from error
        return completion_of(answer.content, request, self.dialect, self.key)


def _without(address: str, name: str) -> str:
    """What to say of a part of requests that a server does not take."""
    if name == "media_io_kwargs":
        return (
            f"endpoint {address}: vLLM has not been started with --trust-request-mm-kwargs, so that it takes no "
            "times of frames: clips are shown as single pictures, each after its time; where it refuses so many in a "
            "prompt, they end as unsupported_media (--limit-mm-per-prompt)"
        )
    return f"endpoint {address} does not take '{name}': left out from now on"


def connect(address: str, dialect: Dialect, servers: Servers, key: str, say: Callable[[str], None]) -> Connection:
    """A connection to one endpoint; nothing is sent yet."""
    timeout = Timeout(servers.request_seconds, connect=min(_CONNECT_SECONDS, servers.request_seconds))
    certificates = create_ssl_context()  # for all clients: it takes longer to make than all else of one
    http = partial(
        AsyncClient,
        verify=certificates,
        timeout=timeout,
        limits=Limits(max_connections=1, keepalive_expiry=_IDLE_SECONDS),
        follow_redirects=False,
    )

    def client() -> AsyncOpenAI:
        # which server is asked again, and when, is decided here
        return AsyncOpenAI(base_url=address, api_key=key or "none", timeout=timeout, max_retries=0, http_client=http())

    pause = _PAUSE_OF_OURS_SECONDS if servers.waits_to_begin else math.inf
    return Connection(Server(address, pause), Clients(client), dialect, key, servers.request_seconds, say)


def _is_this_machine(address: str) -> bool:
    return urlsplit(address).hostname in ("localhost", "127.0.0.1", "::1")


def _once(say: Callable[[str], None]) -> Callable[[str], None]:
    """Says the same only once."""
    said: set[str] = set()

    def say_new(message: str) -> None:
        if message not in said:
            said.add(message)
            say(message)

    return say_new


class OpenAiEngine:
    """The engine of one rank on servers. Must be made inside a running event loop; `say` is told what it finds.

    Raises:
        UserError: no server can be worked with, or one would never answer.
    """

    cache_tokens: int | None = None
    chosen_for_speed: tuple[str, ...] = ()

    def __init__(self, options: EngineOptions, say: Callable[[str], None]) -> None:
        from MetaCaptioner.engine.server_checks import checked

        servers = options.servers
        assert servers is not None
        self.model = options.model
        self.pixel_multiple = servers.pixel_multiple
        key, say = servers.key(), _once(say)
        found = checked(options, key, say)
        self._connections = {}
        for address, dialect in found.items():
            connection = connect(address, dialect, servers, key, say)
            self._connections[connection.server] = connection
        self._pool = Pool([*self._connections], servers.outage_seconds)
        is_near = all(dialect.is_vllm and _is_this_machine(address) for address, dialect in found.items())
        self._media = EncodedMedia("bmp" if is_near else "png")
        self.arguments: Mapping[str, object] = {
            "model": self.model,
            "endpoints": {address: "vllm" if dialect.is_vllm else "openai" for address, dialect in found.items()},
            **options.extra,
        }

    async def generate(self, request: Request) -> Completion:
        shown = None if request.media is None else await self._media.of(request.media)
        home = Home() if shown is None else shown.home
        faults: Counter[str] = Counter()
        while True:
            server = await self._pool.enter(request.priority, home)
            try:
                return await self._once(server, request, shown, faults.total())
            except ServerFault as fault:
                self._give_up(fault, request, faults)
            finally:
                self._pool.leave(server)
            if faults.total():
                await self._pool.pause(pause_seconds(faults.total()))

    async def _once(self, server: Server, request: Request, shown: Shown | None, tried: int) -> Completion:
        """Send a request to a server, and note what that tells of it."""
        began = time.monotonic()
        try:
            completion = await self._connections[server].ask(request, shown, tried)
        except ServerFault as fault:
            if fault.kind == "refused":
                server.answered()
            else:
                server.failed(fault, began, time.monotonic())
            raise
        except SampleError:
            server.answered()
            raise
        server.answered()
        return completion

    def _give_up(self, fault: ServerFault, request: Request, faults: "Counter[str]") -> None:
        """Count a fault against a request.

        Raises:
            SampleError: it is the request's own.
            UserError: it will be every request's.
        """
        if fault.kind == "ends":
            raise UserError(
                f"an endpoint will answer no more: it {fault.message}. What is done is kept: mend that, then run the "
                "same command again"
            )
        if fault.kind == "refused":
            kind = fault.error_kind(request.media is not None)
            raise SampleError(kind, f"{request.request_id}: the server refuses it: {fault.message}")
        if fault.kind in _MOST_FAULTS:
            faults[fault.kind] += 1
            if faults[fault.kind] >= _MOST_FAULTS[fault.kind]:
                raise SampleError(
                    ErrorKind.ENGINE_ERROR,
                    f"{request.request_id}: sent {faults.total()} times: the server {fault.message}",
                )

    def media_tokens(self, media: Media) -> int | None:
        return None

    def progress(self) -> int:
        # Each request ends within a time of its own, and what waits for a server does so knowingly: this rank hangs
        # only if its event loop stands still, and then nobody asks.
        return int(time.monotonic())

    def stop_waiting(self) -> None:
        self._pool.stop_waiting()

    def close(self) -> None:
        """Nothing runs here; connections end with the event loop."""
