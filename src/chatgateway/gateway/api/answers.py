"""How HTTP answers look: JSON by msgspec, errors as one sentence with a stable code, no caching of credentials."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from chatgateway.core.rotation import RETRY_AFTER_REVOKED_MS
from chatgateway.errors import KeyRevoked, Malformed, PeerError, StoreError, TooBig

T = TypeVar("T")
NO_STORE = {"Cache-Control": "no-store"}


def answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return ``body`` as JSON that nobody caches."""
    return Response(msgspec.json.encode(body), status, {**NO_STORE, **(headers or {})}, media_type="application/json")


def refuse(error: Exception, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that an error deserves."""
    if isinstance(error, KeyRevoked):
        # The site still signs with the old secret: its tabs come back by themselves, spread out.
        after_ms = random.randrange(*RETRY_AFTER_REVOKED_MS)  # noqa: S311
        later = {**(headers or {}), "Retry-After": str(after_ms // 1000)}
        body = {"code": error.code, "sentence": str(error), "after_ms": after_ms}
        return answer({"error": body}, error.status, later)
    if isinstance(error, PeerError):
        return _error(error.status, error.code, str(error), headers)
    if isinstance(error, StoreError):
        return _error(503, "store_unavailable", "The store does not answer; nothing was changed.", headers)
    return _error(500, "internal", "The gateway made a mistake; it is in its log.", headers)


def _error(status: int, code: str, sentence: str, headers: Mapping[str, str] | None) -> Response:
    return answer({"error": {"code": code, "sentence": sentence}}, status, headers)


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
