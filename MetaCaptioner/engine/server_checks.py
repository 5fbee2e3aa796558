"""What is asked of servers before work begins, so that a mistake is one line at once and not a record a sample."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from openai import OpenAIError
from PIL import Image
from pydantic import BaseModel, ValidationError

from MetaCaptioner.engine.base import Request, Sampling
from MetaCaptioner.engine.model_place import EngineLoadError
from MetaCaptioner.engine.openai import Connection, connect
from MetaCaptioner.engine.options import EngineOptions
from MetaCaptioner.engine.server_faults import ServerFault, fault_of
from MetaCaptioner.engine.server_media import encoded
from MetaCaptioner.engine.server_requests import Dialect
from MetaCaptioner.errors import SampleError
from MetaCaptioner.media.loader import Media

_MOST_NAMED = 5
_LOOK_SECONDS = 1.0
_PASSING = ("busy", "down", "failed", "slow")
_PICTURE = (224, 224)


class _Model(BaseModel):
    id: str
    owned_by: str = ""


class _Models(BaseModel):
    data: list[_Model]


class _NotNow(EngineLoadError):
    """That an endpoint is of no use may pass."""


def checked(options: EngineOptions, key: str, say: Callable[[str], None]) -> dict[str, Dialect]:
    """How each endpoint is spoken to. One that is down is said, and tried again in the run, as long as another is well.

    Raises:
        EngineLoadError: none can be worked with, or one never will be: it wants another key, has no such model, takes
            no pictures.
    """
    assert options.servers is not None
    problems: list[EngineLoadError] = []
    found: dict[str, Dialect] = {}
    for address in options.servers.endpoints:
        try:
            found[address] = _once_there(address, options, key, say)
        except _NotNow as error:
            problems.append(error)
    if not found:
        raise problems[0]
    for problem in problems:
        say(f"{problem}; it is tried again from time to time")
    like = next(iter(found.values()))
    return {
        address: found.get(address) or replace(like, left_out=set(like.left_out))
        for address in options.servers.endpoints
    }


def _once_there(address: str, options: EngineOptions, key: str, say: Callable[[str], None]) -> Dialect:
    """Check one endpoint; again and again while somebody is still starting it."""
    while True:
        try:
            return _in_a_thread(address, options, key, say)
        except _NotNow:
            if options.servers is None or not options.servers.waits_to_begin:
                raise
            time.sleep(_LOOK_SECONDS)


def _in_a_thread(address: str, options: EngineOptions, key: str, say: Callable[[str], None]) -> Dialect:
    """Check one endpoint from within a running event loop, which waits for it; a signal ends that."""
    outcome: list[Dialect | Exception] = []

    def check() -> None:
        try:
            outcome.append(asyncio.run(_check(address, options, key, say)))
        except Exception as error:  # noqa: BLE001 raised again where it is waited for
            outcome.append(error)

    checking = threading.Thread(target=check, name="endpoint", daemon=True)
    checking.start()
    checking.join()
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


async def _check(address: str, options: EngineOptions, key: str, say: Callable[[str], None]) -> Dialect:
    assert options.servers is not None
    dialect = Dialect(
        options.model,
        options.extra,
        template_arguments=options.template_arguments,
        keep_reasoning=options.keep_reasoning,
    )
    connection = connect(address, dialect, options.servers, key, say)
    try:
        try:
            dialect.is_vllm = await _is_vllm(connection, address)
            await _try(connection, looks=options.looks, seed=options.seed)
        except ServerFault as fault:
            if fault.kind == "refused" and options.looks and await _answers_without_picture(connection):
                raise EngineLoadError(
                    f"endpoint {address}: the model {options.model} takes no pictures: {fault.message}"
                ) from fault
            raise _error(fault, address, options, key) from fault
    finally:
        await connection.clients.close()
    return dialect


async def _is_vllm(connection: Connection, address: str) -> bool:
    """Whether it is vLLM, by its list of models; a server may have no such list.

    Raises:
        ServerFault: it has not answered.
        EngineLoadError: the model is not on its list.
    """
    try:
        with connection.clients.one() as client:
            async with asyncio.timeout(connection.seconds):
                answer = await client.models.with_raw_response.list()
    except (OpenAIError, TimeoutError, ValueError) as error:
        fault = fault_of(error, connection.key)
        if fault.status in (404, 405, 501):
            return False
        raise fault from error
    try:
        models = _Models.model_validate_json(answer.content).data
    except ValidationError:
        raise EngineLoadError(
            f"endpoint {address}: its list of models is none: does the server speak the OpenAI API, and is its "
            "address whole (…/v1)?"
        ) from None
    wanted = connection.dialect.model
    mine = [model for model in models if model.id == wanted]
    if models and not mine:
        more = f" and {len(models) - _MOST_NAMED} more" if len(models) > _MOST_NAMED else ""
        names = ", ".join(model.id for model in models[:_MOST_NAMED])
        raise EngineLoadError(f"endpoint {address}: has no model {wanted}; it has {names}{more} (--model)")
    return any(model.owned_by == "vllm" for model in mine)


async def _try(connection: Connection, looks: bool, seed: int | None) -> None:
    """Ask for one token, about a grey picture where that is to be taken.

    Raises:
        ServerFault: there is no answer, and none is to be expected.
    """
    shown = None
    if looks:
        shown = encoded(Media("image", Image.new("RGB", _PICTURE, "grey"), "grey", "", *_PICTURE))
    request = Request("check", "Is this grey?", None, Sampling(max_tokens=1, seed=seed))
    try:
        await connection.ask(request, shown)
    except SampleError:  # it has answered, if in no way that a caption could end
        return
    except ServerFault as fault:
        if fault.kind != "busy":
            raise


async def _answers_without_picture(connection: Connection) -> bool:
    try:
        await _try(connection, looks=False, seed=None)
    except ServerFault:
        return False
    return True


def _error(fault: ServerFault, address: str, options: EngineOptions, key: str) -> EngineLoadError:
    servers = options.servers
    assert servers is not None
    where = f"endpoint {address}: "
    if fault.status in (401, 403):
        if not key:
            return EngineLoadError(f"{where}wants a key: set {servers.key_variable}, or name the variable that has it")
        return EngineLoadError(f"{where}wants another key than {servers.key_variable} has ({fault.status})")
    if fault.kind == "slow":
        return _NotNow(f"{where}gave no answer within {servers.request_seconds:g} s (--request-seconds)")
    hint = ""
    if fault.kind == "failed" and fault.status is None and address.startswith("http://"):
        hint = ": https:// in place of http://?"
    kind = _NotNow if fault.kind in _PASSING else EngineLoadError
    return kind(f"{where}{'refuses a plain question: ' * (fault.kind == 'refused')}{fault.message}{hint}")
