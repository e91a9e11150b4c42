"""What a socket is until it is handed over: an ordinary ASGI WebSocket of uvicorn's, with its gaps closed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from chatgateway.close_codes import CloseCode
from chatgateway.gateway.timing import Deadline
from chatgateway.gateway.websocket import LIVE_EXTENSION, LiveSocket, Taken
from chatgateway.gateway.wire import Wire, close_frame, quiet, reset, wire_of

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState
    from websockets.http11 import Request


class UpgradeSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket until the hand-over.

    Corrected: it logs no request line; a broken handshake is answered; a socket that is neither handed over nor read in
    time is aborted; an endpoint that fails after accepting closes with 4000 instead of silence; and what the peer sends
    before somebody reads it is held, so that a live socket judges every byte by the same rules.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = quiet
        self.conn.logger = quiet
        self.conn.debug = False
        self.wire: Wire = wire_of(config)
        self.live: LiveSocket | None = None
        self.handed_over = False
        self._read_by_application = False
        self._held = b""
        self._deadline: Deadline | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time in which somebody must take the socket."""
        super().connection_made(transport)
        self._deadline = self.wire.wheel.schedule(self.wire.handshake_ms, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Parse the request, and hold what follows until somebody reads."""
        if self.handshake_initiated and not self._read_by_application:
            self._held += data
            self.transport.pause_reading()
            return
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.transport.is_closing():
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def handle_connect(self, event: Request) -> None:
        """Offer the live socket to the endpoint."""
        super().handle_connect(event)
        if not self.handshake_complete:
            self.live = LiveSocket(self.wire, self.transport, self.connections, self.config.ws_max_size, self.leave)
            scope = cast("dict[str, Any]", self.scope)
            scope["extensions"][LIVE_EXTENSION] = self.live

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer went before the hand-over."""
        self._cancel_deadline()
        super().connection_lost(exc)

    async def receive(self) -> Any:
        """ASGI. From the second call on, when it is accepted, the socket is the application's."""
        self._must_be_ours()
        if self.handshake_complete:
            self._let_application_read()
        return await super().receive()

    async def send(self, message: Any) -> None:
        """ASGI."""
        self._must_be_ours()
        await super().send(message)
        if self.close_sent:
            self._let_application_read()  # the peer's answer must be seen

    async def run_asgi(self) -> None:
        """Run the application, and end what it leaves behind, unless that was handed over."""
        try:
            application = cast("Any", self.config).loaded_app
            await application(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except Exception:  # noqa: BLE001  the outermost frame of a connection
            quiet.exception("the application failed on a WebSocket")
            if self.live is not None:
                self.live.close(CloseCode.INTERNAL)
        finally:
            if not self.handed_over:
                self._end_what_is_left()

    def leave(self) -> Taken:
        """Give the transport away.

        Raises RuntimeError when the socket was not accepted, or was read or closed by the application.
        """
        if not self.handshake_complete or self._read_by_application:
            raise RuntimeError("only an accepted socket that the application did not read or close can be handed over")
        self.handed_over = True
        self._cancel_deadline()
        self.connections.discard(self)
        self.conn.parser.close()  # the generator and its owner hold each other
        held, self._held = self._held, b""
        client = self.scope["client"]
        alive = not self.disconnected and not self.transport.is_closing()
        return Taken(held, client[0] if client else None, alive)

    def _must_be_ours(self) -> None:
        if self.handed_over:
            raise RuntimeError("this socket was handed over")

    def _let_application_read(self) -> None:
        if self._read_by_application:
            return
        self._read_by_application = True
        self._cancel_deadline()
        held, self._held = self._held, b""
        if self.disconnected:
            return
        self.transport.resume_reading()
        if held:
            self.data_received(held)

    def _end_what_is_left(self) -> None:
        if not self.handshake_complete:
            self.send_500_response()
        elif not self.close_sent and not self.transport.is_closing():
            self.transport.write(close_frame(CloseCode.INTERNAL, CloseCode.INTERNAL.reason))
        if self.close_timer is None:
            self.transport.close()

    def _give_up(self) -> None:
        reset(self.transport)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
