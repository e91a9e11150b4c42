"""How HTTP answers look: JSON by msgspec, errors as one sentence with a stable code, no caching of credentials."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from chatgateway.core.commands import refusal
from chatgateway.core.rotation import RETRY_AFTER_REVOKED_MS
from chatgateway.errors import KeyRevoked, Malformed, NotFound, PeerError, RecordUnknown, StoreError, TooBig

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
    """Nothing was done."""

    error: Fault


def refuse(error: Exception, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that an error deserves."""
    if isinstance(error, NotFound):
        error = RecordUnknown(f"There is no {error}.")
    status = error.status if isinstance(error, PeerError) else 503 if isinstance(error, StoreError) else 500
    said = refusal("", error)
    after_ms = said.retry if isinstance(said.retry, int) else 0
    if isinstance(error, KeyRevoked):
        # The site still signs with the old secret: its tabs come back by themselves, spread out.
        after_ms = random.randrange(*RETRY_AFTER_REVOKED_MS)  # noqa: S311
    told = dict(headers or {})
    if after_ms:
        told["Retry-After"] = str(-(-after_ms // 1000))
    if status == 401:
        # RFC 9110 section 11.6.1 wants a challenge with every 401.
        told["WWW-Authenticate"] = "Bearer"
    return answer(Refusal(error=Fault(code=said.code, sentence=said.sentence, after_ms=after_ms)), status, told)


async def read(request: Request, shape: type[T]) -> T:
    """Return the request's JSON body. Raises Malformed, TooBig."""
    limit = parts_of(request).settings.inbound_max_bytes
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise TooBig(f"A body has at most {limit} bytes.")
    except ClientDisconnect as error:
        raise Malformed("The body ended early.") from error
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"The body is not what this address expects: {str(error).rstrip('.')}.") from error


def parts_of(request: Request) -> Any:
    return request.app.state.parts
