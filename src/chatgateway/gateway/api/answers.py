"""How HTTP answers look: JSON by msgspec, errors as one sentence with a stable code, no caching of credentials."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from chatgateway.core.commands import refusal
from chatgateway.core.rotation import RETRY_AFTER_REVOKED_MS
from chatgateway.core.upsert import hint
from chatgateway.errors import (
    KeyRevoked,
    KeyUnknown,
    Malformed,
    NameTaken,
    NotFound,
    OutsideUnavailable,
    PeerError,
    RecordUnknown,
    StoreError,
    TooBig,
)
from chatgateway.gateway.api.faults import NameInUse, OutsideSilent

T = TypeVar("T")
NO_STORE = {"Cache-Control": "no-store"}


def answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return ``body`` as JSON that nobody caches."""
    return Response(msgspec.json.encode(body), status, {**NO_STORE, **(headers or {})}, media_type="application/json")


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    code: str
    """Stable, for programs."""
    sentence: str
    """What is wrong and what to do, for people."""
    after_ms: int = 0
    """When to come back, where that is known; the Retry-After header says the same in seconds."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was done, unless the fields of a success stand beside the error."""

    error: Fault


def faulted(error: Exception, after_ms: int = 0) -> Refusal:
    """Return what is said of an error."""
    said = refusal("", error)
    return Refusal(error=Fault(code=said.code, sentence=said.sentence, after_ms=after_ms))


def refuse(error: Exception, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that an error deserves."""
    error = _as_peers(error)
    status = error.status if isinstance(error, PeerError) else 503 if isinstance(error, StoreError) else 500
    retry = refusal("", error).retry
    after_ms = retry if isinstance(retry, int) else 0
    if isinstance(error, KeyRevoked):
        # The site still signs with the old secret: its tabs come back by themselves, spread out.
        after_ms = random.randrange(*RETRY_AFTER_REVOKED_MS)  # noqa: S311
    told = dict(headers or {})
    if after_ms:
        told["Retry-After"] = str(-(-after_ms // 1000))
    if status == 401:
        # RFC 9110 section 11.6.1 wants a challenge with every 401.
        told["WWW-Authenticate"] = "Bearer"
    return answer(faulted(error, after_ms), status, told)


def _as_peers(error: Exception) -> Exception:
    """Return what whoever asked did wrong, where another floor says it in its own words."""
    match error:
        case NotFound():
            return RecordUnknown(f"There is no {error}.")
        case KeyUnknown():
            return RecordUnknown("There is no such key in this project.")
        case NameTaken():
            return NameInUse()
        case OutsideUnavailable():
            return OutsideSilent(str(error).rstrip(".") + ".")
        case _:
            return error


async def read(request: Request, shape: type[T], *, optional: bool = False) -> T:
    """Return the request's JSON body; an ``optional`` one that is absent says nothing. Raises Malformed, TooBig."""
    body = bytearray()
    async for chunk in chunks(request, parts_of(request).settings.inbound_max_bytes):
        body += chunk
    try:
        return msgspec.json.decode(body or b"{}" if optional else body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        told = f"{str(error).rstrip('.')}{hint(str(error))}"
        raise Malformed(f"The body is not what this address expects: {told}.") from error


async def chunks(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Yield the request's body as it comes, at most ``limit`` bytes of it. Raises Malformed, TooBig."""
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise TooBig(f"A body has at most {limit} bytes here.")
            yield chunk
    except ClientDisconnect as error:
        raise Malformed("The body ended early.") from error


def parts_of(request: Request) -> Any:
    return request.app.state.parts
