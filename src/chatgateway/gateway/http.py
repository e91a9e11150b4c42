"""How long and how much an HTTP peer may take before it is somebody's turn to answer.

uvicorn's own class has no deadline before the first request, no limit on a head, and drops what follows an upgrade in
the same segment. Here:

    a head        complete within ``handshake_ms`` of its first chance, at most ``head_max_bytes``: else 408 or 431
    a body        complete within ``body_ms`` of its head, else 408
    an answer     taken by the peer within ``body_ms`` of our last write, else the connection is reset
    pipelining    ``pipeline_max`` requests may wait for their turn, else 400
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from chatgateway.gateway.timing import Deadline
from chatgateway.gateway.wire import quiet, reset, wire_of

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState


class HttpSocket(HttpToolsProtocol):
    """One HTTP peer, until it goes or becomes a WebSocket."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = quiet
        self.access_log = False
        self.wire = wire_of(config)
        self._in_head = True
        self._head_bytes = 0
        self._refused = False
        self._request_deadline: Deadline | None = None
        self._answer_deadline: Deadline | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Give the first head its time: a silent connection is a slow head."""
        super().connection_made(transport)
        self._expect_request(self.wire.handshake_ms)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is expected any more."""
        self._expect_nothing()
        self._expect_taken(False)
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser no more of a head than a head may have."""
        self._unset_keepalive_if_required()
        while data and not self._refused and not self.transport.is_closing():
            piece = data
            if self._in_head:
                piece = data[: self.wire.head_max_bytes - self._head_bytes]
                if not piece:
                    self._refuse(431, "The request's head is too large.")
                    return
                self._head_bytes += len(piece)
                if self._request_deadline is None:
                    # A kept-alive connection: the next head begins.
                    self._expect_request(self.wire.handshake_ms)
            try:
                cast("httptools.HttpRequestParser", self.parser).feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:
                self._upgrade(data[cast("int", upgrade.args[0]) :])
                return
            except httptools.HttpParserError:
                self._refuse(400, "Invalid HTTP request received.")
                return
            data = data[len(piece) :]

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole: its body comes next."""
        self._in_head = False
        self._head_bytes = 0
        self._expect_request(self.wire.body_ms)
        if len(self.pipeline) >= self.wire.pipeline_max:
            raise ValueError("too many requests wait for their turn")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole. What the application does with it is its own time."""
        self._expect_nothing()
        self._in_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Everything was written; the peer must take it."""
        super().on_response_complete()
        self._expect_taken(self.transport.get_write_buffer_size() > 0)

    def pause_writing(self) -> None:
        """The peer does not take the answer as fast as it is made."""
        super().pause_writing()
        self._expect_taken(True)

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        self._expect_taken(False)

    def _upgrade(self, rest: bytes) -> None:
        if not self._should_upgrade():
            # Some other protocol is offered; the request itself is answered as plain HTTP.
            return
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and not cycle.response_complete:
            # Its answer would be written into the middle of the WebSocket's frames.
            self._refuse(400, "An upgrade must wait for the answers before it.")
            return
        self._expect_nothing()
        self._expect_taken(False)
        self.handle_websocket_upgrade()
        if rest:
            # Early bytes are the peer's mistake (RFC 6455 section 4.1 says wait), but dropping them would shift frames.
            cast("asyncio.Protocol", self.transport.get_protocol()).data_received(rest)

    def _late(self) -> None:
        self._request_deadline = None
        if self._head_bytes or not self._in_head:
            self._refuse(408, "The request took too long.")
        else:
            self.transport.close()

    def _not_taken(self) -> None:
        self._answer_deadline = None
        if self.transport.get_write_buffer_size():
            self._give_up()

    def _refuse(self, status: int, sentence: str) -> None:
        """Answer by hand, unless an answer is under way already, and read nothing more."""
        self._expect_nothing()
        self._refused = True
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None:
            if cycle.response_started and not cycle.response_complete:
                self.transport.close()
                return
            cycle.disconnected = True  # the application's own answer would come too late
            cycle.message_event.set()
        body = sentence.encode()
        head = [STATUS_LINE[status], *(b"%s: %s\r\n" % header for header in self.server_state.default_headers)]
        head.append(b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n" % len(body))
        head.append(b"connection: close\r\n\r\n")
        self.transport.write(b"".join(head) + body)
        self.transport.resume_reading()
        if self.transport.can_write_eof():
            # Half-closed: with unread bytes the kernel would reset the connection and our answer with it.
            self.transport.write_eof()
            self._request_deadline = self.wire.wheel.schedule(self.wire.close_ms, self._give_up)
        else:
            self.transport.close()

    def _give_up(self) -> None:
        reset(self.transport)

    def _expect_request(self, within_ms: int) -> None:
        self._expect_nothing()
        self._request_deadline = self.wire.wheel.schedule(within_ms, self._late)

    def _expect_nothing(self) -> None:
        if self._request_deadline is not None:
            self._request_deadline.cancel()
            self._request_deadline = None

    def _expect_taken(self, expected: bool) -> None:
        if self._answer_deadline is not None:
            self._answer_deadline.cancel()
            self._answer_deadline = None
        if expected:
            self._answer_deadline = self.wire.wheel.schedule(self.wire.body_ms, self._not_taken)
