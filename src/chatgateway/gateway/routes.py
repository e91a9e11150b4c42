"""Which path leads where."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from chatgateway.errors import MethodUnknown
from chatgateway.gateway import pages
from chatgateway.gateway.api import agents, description, health
from chatgateway.gateway.api.answers import refuse
from chatgateway.gateway.api.resource import resources
from chatgateway.gateway.api.table import OPERATIONS
from chatgateway.gateway.live import live_endpoint

_EVERY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def routes() -> list[BaseRoute]:
    """Return every route of the gateway."""
    return [
        WebSocketRoute("/v1/ws", live_endpoint),
        *resources(OPERATIONS),
        _console("POST", "/v1/agents/login", agents.login),
        _console("GET", "/v1/agents/me", agents.me),
        _console("POST", "/v1/agents/ticket", agents.ticket),
        _console("POST", "/v1/agents/logout", agents.logout),
        Route("/v1/{rest:path}", description.nowhere, methods=_EVERY_METHOD),
        Route("/healthz", health.alive, methods=["GET"]),
        Route("/readyz", health.ready, methods=["GET"]),
        *pages.routes(),
    ]


def _console(method: str, path: str, handle: Callable[[Request], Awaitable[Response]]) -> Route:
    """Return the route of one of the console's own addresses; other methods are told so, as everywhere under /v1."""

    async def told(request: Request) -> Response:
        if request.method != method:
            return refuse(MethodUnknown(), {"Allow": method})
        return await handle(request)

    return Route(path, told, methods=_EVERY_METHOD)
