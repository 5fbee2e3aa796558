"""A server that speaks the OpenAI API, in a thread of the tests: it answers as the scripted engine does, or fails.

A fault is one of `FAULTS`, or a status of HTTP with what goes with it.
"""

import asyncio
import hashlib
import json
import math
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from MetaCaptioner.engine.base import Constraint
from MetaCaptioner.engine.scripted import _answer

FAULTS = ("429", "429 later", "500", "503", "cut", "hang", "no JSON", "no choices", "half")
MODEL = "tiny"


@dataclass(frozen=True)
class Status:
    """An answer with a status other than 200."""

    status: int
    message: str = "no"
    code: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class OpenAiServer:
    """What it is asked is in `bodies`; `faults` are used up by the requests after the first, which is the check.

    `refuses` names fields that it does not take, `always` is what all requests after the check are told, `wants_key`
    the key that it wants.
    """

    def __init__(
        self, is_vllm: bool = True, delay: float = 0.0, wants_key: str | None = None, model: str = MODEL
    ) -> None:
        self.model = model
        self.is_vllm = is_vllm
        self.delay = delay
        self.wants_key = wants_key
        self.faults: deque[str | Status] = deque()
        self.refuses: set[str] = set()
        self.always: Status | None = None
        self.takes_pictures = True
        self.forgets_pictures = False
        self.tells_logprobs = True
        self.tells_usage = True
        self.most_at_a_time = 10**6
        self.bodies: list[dict[str, Any]] = []
        self.connections: set[object] = set()
        self.answered = self.failed = self.at_a_time = self.most_seen = 0
        self.address = ""
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None
        self._over = asyncio.Event()

    def start(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        if not self._thread.is_alive():
            self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(port, tls), self._loop).result(30)

    async def _start(self, port: int, tls: ssl.SSLContext | None) -> None:
        app = web.Application(client_max_size=2**28)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=tls, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.address = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/v1"

    def stop(self) -> None:
        """Be down; `start(self.port)` is it again."""
        assert self._runner is not None
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(30)

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        if self._has_wrong_key(request):
            return self._refusal(request, Status(401, f"wrong key {request.headers.get('authorization')}"))
        model = {"id": self.model, "object": "model", "owned_by": "vllm" if self.is_vllm else "somebody"}
        return web.json_response({"object": "list", "data": [model]})

    def _has_wrong_key(self, request: web.Request) -> bool:
        return self.wants_key is not None and request.headers.get("authorization") != f"Bearer {self.wants_key}"

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        if self._has_wrong_key(request):
            return self._refusal(request, Status(401))
        body = await request.json()
        self.bodies.append(body)
        self.connections.add(request.transport and request.transport.get_extra_info("peername"))
        self.at_a_time += 1
        self.most_seen = max(self.most_seen, self.at_a_time)
        try:
            if self.at_a_time > self.most_at_a_time:
                self.failed += 1
                return self._refusal(request, Status(429, headers={"retry-after": "0.05"}))
            if self.always and len(self.bodies) > 1:
                return self._refusal(request, self.always)
            if self.faults and len(self.bodies) > 1:
                self.failed += 1
                return await self._fail(request, self.faults.popleft())
            if refusal := self._does_not_take(body):
                return self._refusal(request, refusal)
            await asyncio.sleep(self.delay)
            self.answered += 1
            return web.json_response(self._completion(body))
        finally:
            self.at_a_time -= 1

    def _does_not_take(self, body: Mapping[str, Any]) -> Status | None:
        schema = body.get("response_format", {}).get("json_schema", {})
        for name in sorted(self.refuses & {*body, *(["strict"] if schema.get("strict") else [])}):
            return Status(400, f"Unsupported parameter: '{name}' is not supported with this model.", param=name)
        if not self.takes_pictures and isinstance(body["messages"][1]["content"], list):
            return Status(400, "At most 0 image(s) may be provided in one prompt.")
        content = body["messages"][1]["content"]
        if self.forgets_pictures and isinstance(content, list) and content[0].get("image_url", "") is None:
            return Status(400, "Cache miss for image at index 0 but data is not provided.")
        return None

    def _refusal(self, request: web.Request, status: Status) -> web.Response:
        error = {"message": status.message, "code": status.code, "param": status.param, "type": "error"}
        return web.json_response({"error": error}, status=status.status, headers=status.headers)

    async def _fail(self, request: web.Request, fault: str | Status) -> web.StreamResponse:
        if isinstance(fault, Status):
            return self._refusal(request, fault)
        if fault.startswith("429"):
            later = {"retry-after": "1"} if fault.endswith("later") else {}
            return self._refusal(request, Status(429, "slow down", headers=later))
        if fault in ("500", "503"):
            return self._refusal(request, Status(int(fault), f"broken for {request.headers.get('authorization')}"))
        if fault == "hang":
            await self._over.wait()
        if fault == "no JSON":
            return web.Response(text="<html>hello</html>", content_type="text/html")
        if fault == "no choices":
            return web.json_response({"choices": [], "usage": None})
        if fault == "half":
            whole = web.StreamResponse(headers={"content-length": "1000", "content-type": "application/json"})
            await whole.prepare(request)
            await whole.write(b'{"choices": [{"message": {"con')
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        choices, schema = _constraint(body)
        digest = hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest()
        text, probabilities = _answer(Constraint(choices, schema) if choices or schema else None, digest)
        wrapped = bool(choices) and "response_format" in body
        tokens = [text[:1], text[1:]]
        if wrapped:
            text, tokens = json.dumps({"answer": text}), ['{"answer"', ': "', text[:1], f'{text[1:]}"}}']
        choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        if body.get("logprobs") and self.tells_logprobs:
            tops = [{"token": token, "logprob": math.log(share)} for token, share in probabilities.items()]
            place = len(tokens) - 2
            choice["logprobs"] = {
                "content": [
                    {"token": token, "logprob": -0.1, "top_logprobs": tops if number == place else []}
                    for number, token in enumerate(tokens)
                ]
            }
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 60}}
        return {"object": "chat.completion", "choices": [choice], "usage": usage if self.tells_usage else None}


def _constraint(body: Mapping[str, Any]) -> tuple[tuple[str, ...] | None, Mapping[str, Any] | None]:
    structured = body.get("structured_outputs") or {}
    if "choice" in structured:
        return tuple(structured["choice"]), None
    schema = structured.get("json")
    if "response_format" in body:
        schema = body["response_format"]["json_schema"]["schema"]
        if "answer" in schema["properties"]:
            return tuple(schema["properties"]["answer"]["enum"]), None
    return None, schema


@contextmanager
def serving(*faults: str | Status, **how: Any) -> Iterator[OpenAiServer]:
    server = OpenAiServer(**how)
    server.faults.extend(faults)
    server.start()
    try:
        yield server
    finally:
        server.end()


def flags(servers: Iterable[OpenAiServer], model: str = MODEL) -> list[str]:
    """Of a command line, for these servers."""
    return ["--engine", "openai", "--model", model, *(f"--endpoint={server.address}" for server in servers)]


def wait_for(condition: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
