"""From an upgrade request to a live connection: judge, accept, hand over, return."""

from __future__ import annotations

import base64
import binascii

from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket

from chatgateway.close_codes import CloseCode
from chatgateway.core import effects as fx
from chatgateway.gateway.connection import Caller, Connection
from chatgateway.gateway.parts import Parts
from chatgateway.gateway.websocket import LIVE_EXTENSION, LiveSocket
from chatgateway.protocol.frames import BEARER_SUBPROTOCOL, SUBPROTOCOL


async def live_endpoint(websocket: WebSocket) -> None:
    """Accept a socket and hand it over; what a widget must understand is said after accepting.

    A refused upgrade shows only 1006 in a browser, so only floods are refused here.
    """
    parts: Parts = websocket.app.state.parts
    address = websocket.client.host if websocket.client else ""
    refused = parts.doors.refuses(address)
    if refused is not None:
        await websocket.send_denial_response(PlainTextResponse(refused, status_code=503, headers={"Retry-After": "2"}))
        return
    offered: list[str] = websocket.scope.get("subprotocols", [])
    versions = [name for name in offered if not name.startswith(BEARER_SUBPROTOCOL)]
    is_known = not versions or SUBPROTOCOL in versions
    # A browser takes no answer but one that it offered; who offers only what we do not speak is told so afterwards.
    await websocket.accept(subprotocol=(SUBPROTOCOL if is_known else versions[0]) if versions else None)
    socket: LiveSocket = websocket.scope["extensions"][LIVE_EXTENSION]
    caller = Caller(origin=websocket.headers.get("origin"), address=address, bearer=_bearer(offered))
    connection = Connection(parts, socket, caller)
    connection.opened()
    # Handed over first: until then a socket can be told nothing, not even why it must go.
    socket.hand_over(connection)
    if not is_known:
        connection.hear(fx.Ended(CloseCode.VERSION))
    if not connection.closed:
        parts.doors.entered(connection)


def _bearer(offered: list[str]) -> str | None:
    """Return the token that came as ``bearer.<base64url>``, for edges that decide before the upgrade."""
    for name in offered:
        if name.startswith(BEARER_SUBPROTOCOL):
            text = name.removeprefix(BEARER_SUBPROTOCOL)
            try:
                return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
            except (binascii.Error, UnicodeDecodeError):
                # Not a token: hello, or its absence, will be judged without one.
                return None
    return None
