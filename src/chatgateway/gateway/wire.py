"""What the sockets of one process share: limits, deadlines, who has a backlog, and how a frame looks.

An event is framed once and written to many sockets, so frames are made here and not by the parser.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from typing import NamedTuple, Protocol

from websockets.frames import Opcode

from chatgateway.close_codes import CloseCode
from chatgateway.gateway.timing import TimingWheel

NO_CODE = 1005
"""The peer's close frame had no code (RFC 6455 section 7.1.5)."""
LOST = 1006
"""The connection ended without a close frame (RFC 6455 section 7.1.5)."""
PROTOCOL_ERROR = 1002
INVALID_TEXT = 1007
SERVER_RESTARTS = 1012

REASON_MAX_BYTES = 123
"""A control frame carries 125 bytes, two of them the code (RFC 6455 section 5.5)."""

_FIN = 0x80
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

quiet = logging.Logger("uvicorn.error", logging.WARNING)
"""uvicorn logs every socket's request line at INFO and ``websockets`` every frame at DEBUG. Tokens and messages are in
there, so both get a logger that no configuration can turn down."""
quiet.parent = logging.getLogger("uvicorn.error")


class LiveListener(Protocol):
    """Who hears what happens on a live socket. No call is made after ``on_closed``, which comes exactly once."""

    def on_text(self, data: bytes) -> None:
        """A whole text message, valid UTF-8."""
        ...

    def on_writable(self) -> None:
        """The peer caught up: the transport's buffer, which was above its high mark, is below the low one."""
        ...

    def on_closed(self, code: int) -> None:
        """The connection is gone. ``websocket`` says what the code means."""
        ...


class Taken(NamedTuple):
    """What the ASGI side gives away at the hand-over."""

    held: bytes
    """Received and not parsed."""
    peer_address: str | None
    alive: bool


class Watched(Protocol):
    """A socket that was written to."""

    watched: bool
    written: int

    def buffered(self) -> int:
        """Bytes that were sent and not yet taken by the kernel."""
        ...

    def abort(self, code: int) -> None:
        """End it now, and say ``code`` to the listener."""
        ...


class _Backlog:
    """How far a watched peer had come at the last sweep."""

    __slots__ = ("stalled_sweeps", "taken")

    def __init__(self) -> None:
        self.taken = 0
        self.stalled_sweeps = 0


class Wire:
    """What the sockets of one process share: the limits, the wheel, and who has a backlog."""

    def __init__(
        self,
        wheel: TimingWheel | None = None,
        *,
        handshake_ms: int = 10_000,
        body_ms: int = 30_000,
        head_max_bytes: int = 16_384,
        pipeline_max: int = 8,
        close_ms: int = 5_000,
        write_stall_ms: int = 10_000,
        fragments_max: int = 64,
        control_frames_per_s: int = 10,
    ) -> None:
        self.wheel = TimingWheel() if wheel is None else wheel
        self.handshake_ms = handshake_ms
        """From connect to a complete head, and from there to the hand-over."""
        self.body_ms = body_ms
        """For a request's body, and for the peer to take our answer."""
        self.head_max_bytes = head_max_bytes
        self.pipeline_max = pipeline_max
        self.close_ms = close_ms
        """For the peer's answer to our close frame."""
        self.write_stall_ms = write_stall_ms
        self.fragments_max = fragments_max
        self.control_frames_per_s = control_frames_per_s
        self._sweep_ms = max(1, min(1_000, write_stall_ms // 10))
        self._sweeps_max = -(-write_stall_ms // self._sweep_ms)
        """A stall is counted in sweeps, not by the clock: a process that was itself stopped must not blame others."""
        self._backlogs: dict[Watched, _Backlog] = {}
        self._sweeping = False

    def watch(self, peer: Watched) -> None:
        """Look after a socket that was written to, until its buffer is empty or the peer took nothing for too long."""
        peer.watched = True
        self._backlogs[peer] = _Backlog()
        if not self._sweeping:
            self._sweeping = True
            self.wheel.schedule(self._sweep_ms, self._sweep)

    def unwatch(self, peer: Watched) -> None:
        """Stop looking after a socket."""
        peer.watched = False
        self._backlogs.pop(peer, None)

    def _sweep(self) -> None:
        for peer, backlog in tuple(self._backlogs.items()):
            buffered = peer.buffered()
            taken = peer.written - buffered
            if not buffered:
                self.unwatch(peer)
            elif taken != backlog.taken:
                backlog.taken = taken
                backlog.stalled_sweeps = 0
            else:
                backlog.stalled_sweeps += 1
                if backlog.stalled_sweeps >= self._sweeps_max:
                    self.unwatch(peer)
                    peer.abort(CloseCode.SLOW_CONSUMER)
        self._sweeping = bool(self._backlogs)
        if self._sweeping:
            self.wheel.schedule(self._sweep_ms, self._sweep)


def frame_text(payload: bytes) -> bytes:
    """Return the one unmasked, unfragmented text frame that carries ``payload`` (RFC 6455 section 5.2)."""
    return framed(Opcode.TEXT, payload)


def framed(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((_FIN | opcode, size)) + payload
    if size < 65_536:
        return struct.pack("!BBH", _FIN | opcode, 126, size) + payload
    return struct.pack("!BBQ", _FIN | opcode, 127, size) + payload


def close_frame(code: int, reason: str) -> bytes:
    if code == NO_CODE:
        return framed(Opcode.CLOSE, b"")
    # Cut between characters, never inside one.
    text = reason.encode()[:REASON_MAX_BYTES].decode(errors="ignore").encode()
    return framed(Opcode.CLOSE, struct.pack("!H", code) + text)


def reset(transport: asyncio.Transport) -> None:
    """End a connection at once with a RST: neither we nor the kernel deliver anything more to the peer."""
    carrier = transport.get_extra_info("socket")
    if carrier is not None:
        # Transports lend a socket of their own kind; a duplicate is a real one, and the option is the connection's.
        with contextlib.suppress(OSError, ValueError), socket.socket(fileno=os.dup(carrier.fileno())) as real:
            real.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


def wire_of(config: object) -> Wire:
    """The wire that ``server.build_config`` put on uvicorn's configuration, which is all that uvicorn hands on."""
    wire = getattr(config, "wire", None)
    if not isinstance(wire, Wire):
        raise TypeError("make the configuration with build_config")
    return wire
