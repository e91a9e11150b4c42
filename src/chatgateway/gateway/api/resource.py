"""From a request to an operation's handler and back: everything that all operations check, in one order.

Method, address rate, who asks, path, query, body. What anybody gets wrong is answered as JSON with a code and a
sentence; a mistake of ours is logged and answered 500, and nobody's input leads there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from chatgateway.errors import AppUnknown, ChatGatewayError, Forbidden, Malformed, MethodUnknown, NotJson
from chatgateway.gateway import cors
from chatgateway.gateway.api.admin.bearer import admin_of, require_scope, still_good
from chatgateway.gateway.api.answers import answer, parts_of, read, refuse
from chatgateway.gateway.api.operation import Call, Operation
from chatgateway.gateway.connection import Caller
from chatgateway.gateway.parts import Parts
from chatgateway.gateway.visit import admitted_visit, bearer_of
from chatgateway.log import log

QUERY_CHARS_MAX = 4_096
_PLACEHOLDER = re.compile(r"\\{(\w+)\\}")


class Resource(BaseRoute):
    """One address and its operations.

    Matched before its escapes are undone, so that a name may hold a slash.
    """

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = {operation.method: operation for operation in operations}
        first = next(iter(self.operations.values()))
        self.path = first.path
        self._pattern = re.compile(_PLACEHOLDER.sub(r"(?P<\1>[^/]+)", re.escape(first.path)))
        self.methods = [*self.operations, *(["HEAD"] if "GET" in self.operations else []), "OPTIONS"]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Starlette asks: is this the address? Every method is ours to answer."""
        if scope["type"] != "http":
            return Match.NONE, {}
        raw: bytes | None = scope.get("raw_path")
        path = raw.split(b"?")[0].decode("latin-1") if raw else scope["path"]
        match = self._pattern.fullmatch(path)
        return (Match.FULL, {"path_params": match.groupdict()}) if match else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Starlette calls."""
        request = Request(scope, receive)
        response = await (self._options(request) if request.method == "OPTIONS" else self._answer(request))
        await response(scope, receive, send)

    async def _options(self, request: Request) -> Response:
        parts: Parts = parts_of(request)
        allow = {"Allow": ", ".join(self.methods), "Vary": "Origin"}
        origin = request.headers.get("origin")
        sharing = {operation.sharing for operation in self.operations.values()}
        if origin and sharing != {"none"}:
            with_cookie = "cookie" in sharing
            with_token = any(operation.auth == "session" for operation in self.operations.values())
            try:
                if not with_cookie or await parts.origins.listed(origin):
                    methods = list(self.operations)
                    allow |= cors.preflight(origin, methods, with_token=with_token, with_cookie=with_cookie)
            except ChatGatewayError as error:
                return refuse(error, allow)
        return Response(status_code=204, headers=allow)

    async def _answer(self, request: Request) -> Response:
        operation = self.operations.get("GET" if request.method == "HEAD" else request.method)  # type: ignore[call-overload]
        if operation is None:
            return refuse(MethodUnknown(), {"Allow": ", ".join(self.methods)})
        headers = cors.readable(request.headers.get("origin"), operation.sharing)
        try:
            given = await self._perform(operation, request, headers)
        except ChatGatewayError as error:
            if isinstance(error, Forbidden | AppUnknown):  # of a token, and of an admin token, the log hears elsewhere
                log.info(
                    "request.refused", method=operation.method, path=operation.path, code=error.code,
                    detail=error.detail, origin=request.headers.get("origin"),
                )  # fmt: skip
            return refuse(error, headers)
        except Exception as error:  # noqa: BLE001  the outermost frame of a request
            log.error("request.failed", method=operation.method, path=operation.path, exc_info=error)
            return refuse(error, headers)
        if isinstance(given, Response):
            return given
        if operation.gives is None:
            return Response(status_code=operation.success, headers=headers)
        return answer(given, operation.success, headers)

    async def _perform(self, operation: Operation, request: Request, headers: dict[str, str]) -> Any:
        parts: Parts = parts_of(request)
        caller = caller_of(request)
        who: Any = caller
        if operation.auth == "admin":
            who = await admin_of(parts, caller, request)
        else:
            parts.pace.require_address(caller.address)
        path = _path(operation, request)
        query = _query(operation, request)
        if operation.auth == "session":
            who = await admitted_visit(parts, caller, bearer_of(request), operation.gate)
        elif operation.auth == "admin":
            require_scope(operation, who, path)
        body = None
        if operation.takes is not None:
            _require_json(operation, request)
            body = await read(request, operation.takes, optional=operation.optional)
        if operation.auth == "session":
            # A body may come long after its head. Whose trust has ended ends nobody else's.
            who.require_trust()
        elif operation.auth == "admin":
            who = await still_good(parts, operation, who, path)
        given = await operation.handle(Call(parts, request, who, path, query, body, caller, headers))
        if operation.auth == "session" and operation.method == "GET":
            who.require_trust()  # what was read is handed to nobody whose trust ended meanwhile
        return given


def resources(operations: Iterable[Operation]) -> list[BaseRoute]:
    """Return one route per address of the table, in its order."""
    addresses: dict[str, list[Operation]] = {}
    for operation in operations:
        addresses.setdefault(operation.path, []).append(operation)
    return [Resource(group) for group in addresses.values()]


def caller_of(request: Request) -> Caller:
    """Return where a request comes from. No socket comes with it."""
    address = request.client.host if request.client else ""
    return Caller(origin=request.headers.get("origin"), address=address, live=False)


def _path(operation: Operation, request: Request) -> dict[str, str]:
    """Return the path's parameters, unescaped and checked. Raises Malformed."""
    found: dict[str, str] = {}
    for name, kind in operation.placeholders.items():
        try:
            text = unquote_to_bytes(request.path_params[name]).decode()
            found[name] = msgspec.convert(text, kind)
        except (UnicodeDecodeError, msgspec.ValidationError) as error:
            raise Malformed(f"{name} in the address is not one: {_why(error)}.") from error
    return found


def _query(operation: Operation, request: Request) -> Any:
    """Return what the query says. A name that nobody knows is a typing error. Raises Malformed."""
    known = {field.encode_name for field in msgspec.structs.fields(operation.query)} if operation.query else set[str]()
    raw: bytes = request.scope.get("query_string", b"")
    try:
        if len(raw) > QUERY_CHARS_MAX:
            raise Malformed("The query is too long.")
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, strict_parsing=bool(raw), errors="strict")
        given = dict(pairs)
        if len(given) < len(pairs):
            raise Malformed("A name stands in the query twice.")
        if unknown := sorted(given.keys() - known):
            raise Malformed(
                f"Nothing here is called {unknown[0][:64]!r}; known: {', '.join(sorted(known)) or 'nothing'}."
            )
        return msgspec.convert(given, operation.query, strict=False) if operation.query else None
    except (ValueError, msgspec.ValidationError) as error:
        raise Malformed(f"The query is not what this address expects: {_why(error)}.") from error


def _require_json(operation: Operation, request: Request) -> None:
    """A browser asks before it sends JSON to another site, and sends anything else unasked.

    Where a cookie counts, silence is not JSON either: a page can send a body without a type.
    """
    said = request.headers.get("content-type")
    if said is None and operation.auth != "cookie":
        return
    if (said or "").partition(";")[0].strip().lower() != "application/json":
        raise NotJson


def _why(error: Exception) -> str:
    return "not UTF-8" if isinstance(error, UnicodeError) else str(error).rstrip(".")
