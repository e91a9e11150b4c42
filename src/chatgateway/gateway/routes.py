"""Which path leads where."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route, WebSocketRoute

from chatgateway.gateway import pages
from chatgateway.gateway.api import agents, description, health
from chatgateway.gateway.api.resource import resources
from chatgateway.gateway.api.table import OPERATIONS
from chatgateway.gateway.live import live_endpoint

_EVERY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def routes() -> list[BaseRoute]:
    """Return every route of the gateway."""
    return [
        WebSocketRoute("/v1/ws", live_endpoint),
        *resources(OPERATIONS),
        Route("/v1/agents/login", agents.login, methods=["POST"]),
        Route("/v1/agents/me", agents.me, methods=["GET"]),
        Route("/v1/agents/ticket", agents.ticket, methods=["POST"]),
        Route("/v1/agents/logout", agents.logout, methods=["POST"]),
        Route("/v1/{rest:path}", description.nowhere, methods=_EVERY_METHOD),
        Route("/healthz", health.alive, methods=["GET"]),
        Route("/readyz", health.ready, methods=["GET"]),
        *pages.routes(),
    ]
