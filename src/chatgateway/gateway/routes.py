"""Which path leads where."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route, WebSocketRoute

from chatgateway.gateway import pages
from chatgateway.gateway.api import agents, health, token
from chatgateway.gateway.live import live_endpoint


def routes() -> list[BaseRoute]:
    """Return every route of the gateway."""
    return [
        WebSocketRoute("/v1/ws", live_endpoint),
        Route("/v1/token", token.exchange, methods=["POST"]),
        Route("/v1/token", token.preflight, methods=["OPTIONS"]),
        Route("/v1/agents/login", agents.login, methods=["POST"]),
        Route("/v1/agents/me", agents.me, methods=["GET"]),
        Route("/v1/agents/ticket", agents.ticket, methods=["POST"]),
        Route("/v1/agents/logout", agents.logout, methods=["POST"]),
        Route("/healthz", health.alive, methods=["GET"]),
        Route("/readyz", health.ready, methods=["GET"]),
        *pages.routes(),
    ]
