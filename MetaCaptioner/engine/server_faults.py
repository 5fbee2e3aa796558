"""What a failed exchange with a server means: whose fault it is, whether it passes, and what the user is told."""

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Literal

import httpx2
import openai

from MetaCaptioner.errors import ErrorKind

FaultKind = Literal["busy", "down", "failed", "slow", "refused", "ends"]
_LONGEST_TOLD = 300
_BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, 529)  # 529: overloaded, of some hosts
_DOWN = (HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT)
_NO_MONEY = ("insufficient_quota", "billing_hard_limit_reached")
_TOO_LONG = re.compile(
    r"context.?length|context window|max(?:imum)?.model.len|longer than the maximum|too many tokens|"
    r"max_(?:completion_)?tokens\b.*(?:too large|greater|exceed)",
    re.I,
)
_ABOUT_MEDIA = re.compile(r"image|picture|video|vision|visual|multi.?modal|modality", re.I)


class ServerFault(Exception):
    """A server has not answered a request.

    `kind` is "busy" (it takes no more for now), "down" (it cannot be reached), "failed" (something broke, there or on
    the way), "slow" (no answer in time), "refused" (this request, always) or "ends" (all requests, always).
    `retry_after` is how many seconds it wants to be left alone; `field` the part of the request that it complains of.
    """

    def __init__(
        self,
        kind: FaultKind,
        message: str,
        status: int | None = None,
        retry_after: float | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.retry_after = retry_after
        self.field = field

    @property
    def is_too_long(self) -> bool:
        """Whether prompt and answer are more than the model may be given."""
        return self.kind == "refused" and _TOO_LONG.search(self.message) is not None

    def error_kind(self, has_media: bool) -> ErrorKind:
        """How a sample ends that it refuses."""
        if self.is_too_long:
            return ErrorKind.PROMPT_TOO_LONG
        if has_media and self.status == HTTPStatus.BAD_REQUEST and _ABOUT_MEDIA.search(self.message):
            return ErrorKind.UNSUPPORTED_MEDIA
        return ErrorKind.ENGINE_ERROR


def fault_of(error: Exception, key: str) -> ServerFault:
    """What an error of the client means; the `key` is in no message."""
    if isinstance(error, openai.APITimeoutError | TimeoutError):
        return ServerFault("slow", "gave no answer in time")
    if isinstance(error, openai.APIConnectionError):
        return _not_connected(error, key)
    if isinstance(error, openai.APIStatusError):
        return _by_status(error, key)
    return ServerFault("failed", f"{type(error).__name__}: {told(str(error), key)}")


def told(text: str, key: str) -> str:
    """Of what a server says, one line for the user, without the key that it may have repeated."""
    hidden = text.replace(key, "…") if key else text
    line = " ".join(hidden.split())
    return line if len(line) <= _LONGEST_TOLD else f"{line[: _LONGEST_TOLD - 1]}…"


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _not_connected(error: openai.APIConnectionError, key: str) -> ServerFault:
    causes = [*_causes(error)]
    reason = told(next((str(one) for one in causes[1:] if str(one)), type(causes[-1]).__name__), key)
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in causes):
        return ServerFault("ends", f"its certificate cannot be verified ({reason})")
    if any(isinstance(one, ssl.SSLError) for one in causes):
        return ServerFault("down", f"does not speak TLS ({reason}): http:// in place of https://?")
    if any(isinstance(one, httpx2.ConnectError | httpx2.ConnectTimeout) for one in causes):
        return ServerFault("down", f"cannot be reached ({reason})")
    return ServerFault("failed", f"the connection was cut ({reason})")


def _by_status(error: openai.APIStatusError, key: str) -> ServerFault:
    status, said = error.status_code, told(_said(error), key)
    after = _retry_after(error.response.headers)
    if status in _BUSY and error.code not in _NO_MONEY:
        return ServerFault("busy", f"takes no more requests for now ({status}: {said})", status, after)
    if status in _DOWN:
        return ServerFault("down", f"cannot be reached behind its proxy ({status})", status, after)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return ServerFault("failed", f"failed ({status}: {said})", status, after)
    if status == HTTPStatus.UNAUTHORIZED:
        return ServerFault("ends", "refuses the key", status)
    if status in (*_BUSY, HTTPStatus.PAYMENT_REQUIRED):
        return ServerFault("ends", f"wants to be paid ({status}: {said})", status)
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        return ServerFault("ends", f"has no such model, or no such address ({status}: {said})", status)
    if status < HTTPStatus.BAD_REQUEST:
        place = error.response.headers.get("location", "nowhere")
        return ServerFault("ends", f"is elsewhere: it points to {told(place, key)}", status)
    code = f", {error.code}" if error.code not in (None, str(status)) else ""
    return ServerFault("refused", f"{said} ({status}{code})", status, field=error.param)


def _said(error: openai.APIStatusError) -> str:
    """What the server says in words, in whichever of the usual forms."""
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        for name in ("message", "detail", "error"):
            if isinstance(inner, dict) and isinstance(inner.get(name), str):
                return str(inner[name])
    return str(error.body or error.message)


def _retry_after(headers: httpx2.Headers) -> float | None:
    """The header of that name, seconds or a date. Source: RFC 9110, 10.2.3."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
