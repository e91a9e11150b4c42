"""chatgateway: chat over WebSockets for sites that sign their own users in.

Each floor may use the ones below it.

    cli/       operated     what an operator types
    gateway/   connected    sockets, HTTP, who is on this node
    admin/     governed     what an operator or a project's server may do
    outside/   asked        mail, key sets, webhooks
    store/     remembered   Valkey or Redis, embedded or not
    core/      decided      every rule; no I/O, no clock, no dice
    protocol/  said         the frames on the wire
    (words)    types, close_codes, errors, settings, log

A noun keeps its name on every floor: core/keyring.py decides, store/keyrings.py remembers,
admin/keys.py governs, cli/key.py operates. Start with protocol/frames.py, then core/session.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["ChatGatewayError", "Settings", "__version__", "create_app"]

if TYPE_CHECKING:
    from chatgateway.errors import ChatGatewayError
    from chatgateway.gateway.assembly import create_app
    from chatgateway.settings import Settings

_HOMES = {
    "ChatGatewayError": "chatgateway.errors",
    "Settings": "chatgateway.settings",
    "create_app": "chatgateway.gateway.assembly",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when first asked for, so that ``chatgateway --help`` does not load a web server."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
