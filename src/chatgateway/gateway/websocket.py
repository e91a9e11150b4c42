"""How bytes become text messages and back, on a socket that has no task, no queue, no timer and no scope of its own.

A socket lives twice. First it is an ordinary ASGI WebSocket (``UpgradeSocket``, uvicorn's own class but for what is
corrected below): Starlette routes it and the endpoint accepts. Then the endpoint *hands it over*:

    live = websocket.scope["extensions"][LIVE_EXTENSION]
    live.hand_over(listener)        # and the endpoint returns

From then on the transport's protocol is the ``LiveSocket``, uvicorn's object is garbage, and what arrives goes to the
listener within the same call of the event loop. Only the parser of the ``websockets`` package is kept; what is sent is
framed here (RFC 6455 section 5.2), because an event is framed once and written to many sockets.

The code that ``on_closed`` hears says who ended it:

    the code of our close(), or of the rule the peer broke   we did, whether or not the peer ever answered
    the code in the peer's close frame                       the peer did; 1005 when its frame had none
    4003 (slow consumer)                                     the peer took no byte for too long; it was aborted
    1006                                                     the TCP connection just ended, or abort() was called
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol as Parser
from websockets.protocol import Side

from chatgateway.close_codes import CloseCode
from chatgateway.gateway.timing import Deadline
from chatgateway.gateway.wire import (
    INVALID_TEXT,
    LOST,
    NO_CODE,
    PROTOCOL_ERROR,
    SERVER_RESTARTS,
    LiveListener,
    Taken,
    Wire,
    close_frame,
    frame_text,
    framed,
    quiet,
    reset,
)

__all__ = ["LIVE_EXTENSION", "LiveListener", "LiveSocket"]

LIVE_EXTENSION = "chatgateway.live"
"""Where an endpoint finds its LiveSocket in the scope's extensions."""

PARSE_SLICE_BYTES = 8_192
"""How much is parsed before we ask whether to go on: a full read of 6-byte pings would hold the loop for 0.2 s."""
CLOSING_MAX_BYTES = 262_144
"""How much of what the peer had under way is parsed after our close frame."""


class LiveSocket(asyncio.Protocol):
    """One peer's socket, from the hand-over to the end. Everything is synchronous and on the loop's thread.

    ``wire`` is what the process shares. Until ``hand_over`` nothing can be sent; ``abort`` alone can end it.
    """

    __slots__ = (
        "_closing_bytes",
        "_code",
        "_connections",
        "_controls",
        "_deadline",
        "_discarding",
        "_fragments",
        "_listener",
        "_open",
        "_owed_pong",
        "_parser",
        "_paused",
        "_second",
        "_take",
        "_transport",
        "peer_address",
        "watched",
        "wire",
        "written",
    )

    frame_text = staticmethod(frame_text)

    def __init__(
        self,
        wire: Wire,
        transport: asyncio.Transport,
        connections: set[Any],
        message_max_bytes: int,
        take: Callable[[], Taken],
    ) -> None:
        self.wire = wire
        self.peer_address: str | None = None
        """The peer's IP address, as the proxy that we trust told it; set by the hand-over."""
        self._take: Callable[[], Taken] | None = take
        self._transport = transport
        self._connections = connections
        self._parser = Parser(Side.SERVER, max_size=message_max_bytes, logger=quiet)
        self._listener: LiveListener | None = None
        self._open = False
        self._code = 0
        """Why it ends; 0 while it does not."""
        self._discarding = False
        self._closing_bytes = 0
        self._deadline: Deadline | None = None
        self._fragments: list[bytes] | None = None
        self._owed_pong: bytes | None = None
        self._paused = False
        self._second = 0
        self._controls = 0
        self.watched = False
        self.written = 0
        """Bytes that were ever sent; with ``buffered`` it tells what the peer took."""

    def __repr__(self) -> str:
        state = "open" if self._open else f"closed {self._code}" if self._code else "not handed over"
        return f"<LiveSocket {state}, peer {self.peer_address}>"

    # What a connection asks of its socket

    def hand_over(self, listener: LiveListener) -> None:
        """Make ``listener`` the one who hears this socket. Once, after accepting.

        What came since is handled before this returns, and so is the end, if the peer is gone already.
        Raises RuntimeError when the socket was not accepted, or was read, closed or handed over before.
        """
        if self._take is None:
            raise RuntimeError("this socket was handed over before")
        held, self.peer_address, alive = self._take()
        self._take = None
        self._listener = listener
        if not alive:
            self._end()
            return
        self._open = True
        self._connections.add(self)
        self._transport.set_protocol(self)
        self._transport.resume_reading()
        if held:
            self.data_received(held)

    def send_text(self, payload: bytes) -> None:
        """Send one text message. Dropped silently once the socket is closing: the end is told by ``on_closed``."""
        self.send_framed(framed(Opcode.TEXT, payload))

    def send_framed(self, frame: bytes) -> None:
        """Send what ``frame_text`` made, or several of them joined, in one write. Dropped silently as there."""
        # uvloop raises on a write to a transport that broke in this very tick, hence the second question.
        if not self._open or self._transport.is_closing():
            return
        self._transport.write(frame)
        self.written += len(frame)
        if not self.watched:
            self.watched = True
            self.wire.watch(self)

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye with a close frame; drop what comes from now on but the peer's answer.

        Without an answer within ``wire.close_ms`` the socket is aborted. The first close wins. ``reason`` defaults to
        the code's name and is cut to what a close frame can carry.
        """
        if not self._open:
            return
        if not reason and isinstance(code, CloseCode):
            reason = code.reason
        self._start_closing(code, reason)
        # The peer's answer must be seen even when the listener had paused reading.
        self.resume_reading()

    def abort(self, code: int = LOST) -> None:
        """End it now: nothing more reaches the peer, not even what the kernel holds. ``code`` is for ``on_closed``."""
        self._open = False
        self._discarding = True
        self._code = self._code or code
        reset(self._transport)

    def buffered(self) -> int:
        """Bytes that were sent and not yet taken by the kernel."""
        return self._transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        """Take nothing more from the peer. Messages of the read that is being handled still come."""
        if self._open and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take from the peer again. Harmless when nothing was paused."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    @property
    def is_open(self) -> bool:
        """Whether what is sent now has a chance to arrive."""
        return self._open

    # What the transport tells

    def data_received(self, data: bytes) -> None:
        """Parse, and hand every whole message to the listener at once."""
        if self._discarding:
            return
        if not self._open:
            # Only the peer's answer to our close frame is looked for, and a flood is not worth parsing.
            self._closing_bytes += len(data)
            if self._closing_bytes > CLOSING_MAX_BYTES:
                self._stop_reading()
                return
        if len(data) <= PARSE_SLICE_BYTES:
            self._parse(data)
            return
        for start in range(0, len(data), PARSE_SLICE_BYTES):
            self._parse(data[start : start + PARSE_SLICE_BYTES])
            if self._discarding:
                return

    def eof_received(self) -> None:
        """The peer sends no more. The transport closes itself, once what is buffered has been taken."""
        self._stop_sending(LOST)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The transport is gone: the only way to ``on_closed``, whoever began it."""
        self._end()

    def pause_writing(self) -> None:
        """The buffer is above its high mark. The sweep looks after it; a pong would only make it longer."""
        self._paused = True

    def resume_writing(self) -> None:
        """The buffer is below its low mark again."""
        self._paused = False
        if self._open and self._listener is not None:
            if self._owed_pong is not None:
                self._send_pong()
            try:
                self._listener.on_writable()
            except Exception as error:  # noqa: BLE001  as in _deliver
                self._listener_failed(error)

    def shutdown(self) -> None:
        """uvicorn ends the process. After a drain nobody is left to hear this."""
        self.close(SERVER_RESTARTS)

    # Inside

    def _parse(self, data: bytes) -> None:
        parser = self._parser
        parser.receive_data(data)
        for event in parser.events_received():
            if self._discarding:
                break
            assert isinstance(event, Frame)
            self._handle(event)
        # The parser has written pongs and close frames of its own: ours are bounded, so its are dropped.
        parser.data_to_send()
        if parser.parser_exc is not None:
            self._fail_parsing(parser.parser_exc)
        elif self._owed_pong is not None:
            self._send_pong()

    def _handle(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode is Opcode.CLOSE:
            self._peer_closes()
        elif not self._open:
            return
        elif opcode is Opcode.TEXT:
            if frame.fin:
                self._deliver(cast("bytes", frame.data))
            else:
                self._fragments = [cast("bytes", frame.data)]
        elif opcode is Opcode.CONT:
            self._continue(frame)
        elif opcode is Opcode.BINARY:
            self._fail(CloseCode.MALFORMED, "binary refused")
        else:
            self._control(frame)

    def _continue(self, frame: Frame) -> None:
        fragments = self._fragments
        if fragments is None:
            return
        fragments.append(cast("bytes", frame.data))
        if len(fragments) > self.wire.fragments_max:
            self._fail(CloseCode.MALFORMED, "too many fragments")
        elif frame.fin:
            self._fragments = None
            self._deliver(b"".join(fragments))

    def _deliver(self, data: bytes) -> None:
        if not self._open or self._listener is None:
            return
        if not data.isascii():
            try:
                data.decode()
            except UnicodeDecodeError:
                self._fail(INVALID_TEXT, "invalid utf-8")
                return
        try:
            self._listener.on_text(bytes(data))
        except Exception as error:  # noqa: BLE001  the outermost frame of a connection: one bug ends one socket
            self._listener_failed(error)

    def _listener_failed(self, error: Exception) -> None:
        context = {"message": "a listener failed", "exception": error, "protocol": self}
        asyncio.get_running_loop().call_exception_handler(context)
        self.close(CloseCode.INTERNAL)

    def _control(self, frame: Frame) -> None:
        """Count a ping or pong, and remember the ping to answer.

        Only the last one of a read is answered, which RFC 6455 section 5.5.3 allows: a flood earns no flood.
        """
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            self._second = second
            self._controls = 0
        self._controls += 1
        if self._controls > self.wire.control_frames_per_s:
            self._fail(CloseCode.ABUSIVE, "")
        elif frame.opcode is Opcode.PING:
            self._owed_pong = bytes(frame.data)

    def _send_pong(self) -> None:
        # A peer that does not read gets no pong into its backlog; it is owed until it catches up.
        if self._open and not self._paused:
            payload, self._owed_pong = cast("bytes", self._owed_pong), None
            self.send_framed(framed(Opcode.PONG, payload))

    def _peer_closes(self) -> None:
        """Answer the peer's close frame, or take it as the answer to ours. The server ends TCP (section 7.1.1)."""
        self._discarding = True
        if self._open:
            received = self._parser.close_rcvd
            code = received.code if received is not None else NO_CODE
            self._start_closing(code, "")
        self._transport.close()

    def _fail_parsing(self, error: Exception) -> None:
        if isinstance(error, PayloadTooBig):
            # Not 1009: a client that knows only our ranges would come back and send it again.
            self._fail(CloseCode.TOO_BIG, "")
        elif isinstance(error, UnicodeDecodeError):
            self._fail(INVALID_TEXT, "invalid utf-8")
        else:
            self._fail(PROTOCOL_ERROR, "protocol error")

    def _fail(self, code: int, reason: str) -> None:
        """End it because the peer broke a rule, and read nothing more (RFC 6455 section 7.1.7).

        Half-closed rather than closed: with unread bytes the kernel would reset the connection, and the peer would
        never see the code.
        """
        self.close(code, reason)
        self._stop_reading()

    def _stop_reading(self) -> None:
        self._discarding = True
        self._fragments = self._owed_pong = None
        if not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()

    def _start_closing(self, code: int, reason: str) -> None:
        if not self._transport.is_closing():
            goodbye = close_frame(code, reason)
            self._transport.write(goodbye)
            self.written += len(goodbye)
        self._stop_sending(code)

    def _stop_sending(self, code: int) -> None:
        """From here the end is certain: by the peer, or by the deadline."""
        self._open = False
        self._code = self._code or code
        self._fragments = self._owed_pong = None
        if self._deadline is None:
            self._deadline = self.wire.wheel.schedule(self.wire.close_ms, self.abort)

    def _end(self) -> None:
        listener, self._listener = self._listener, None
        self._open = False
        self._discarding = True
        self._connections.discard(self)
        self.wire.unwatch(self)
        self._parser.parser.close()  # the generator and its owner hold each other
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if listener is not None:
            listener.on_closed(self._code or LOST)
