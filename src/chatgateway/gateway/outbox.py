"""What waits to be written, per connection and per loop tick.

Frames of one tick are joined into one WebSocket message; an event that many receive is framed once. A connection whose
peer reads slowly keeps its frames here, bounded: hints are dropped first, then the connection is cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from chatgateway.gateway.websocket import LiveSocket
from chatgateway.protocol import codec

HOLD_ABOVE_BYTES = 65_536
"""Bytes in the transport's buffer above which frames stay here."""


class Event:
    """One encoded frame for many receivers; its WebSocket frame is made once, when first needed."""

    __slots__ = ("_framed", "payload")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self._framed: bytes | None = None

    @property
    def framed(self) -> bytes:
        if self._framed is None:
            self._framed = LiveSocket.frame_text(b"[" + self.payload + b"]")
        return self._framed


class Flushable(Protocol):
    def flush(self) -> None: ...


class Flusher:
    """Flushes, at the end of the tick, whatever was given something to write in it."""

    def __init__(self) -> None:
        self._dirty: list[Flushable] = []

    def later(self, one: Flushable) -> None:
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._flush)
        self._dirty.append(one)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for one in dirty:
            one.flush()


class Outbox:
    """The frames that one connection has not handed to its transport yet."""

    __slots__ = ("_bytes", "_flusher", "_frames", "_live", "_max_bytes", "_max_frames", "_on_full", "_scheduled")

    def __init__(
        self, live: LiveSocket, flusher: Flusher, max_frames: int, max_bytes: int, on_full: Callable[[], None]
    ) -> None:
        self._live = live
        self._flusher = flusher
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._on_full = on_full
        self._frames: list[Event] = []
        self._bytes = 0
        self._scheduled = False

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, event: Event, *, hint: bool = False) -> None:
        """Queue a frame for this tick. A ``hint`` is dropped when the queue is half full."""
        if hint and (len(self._frames) * 2 > self._max_frames or self._bytes * 2 > self._max_bytes):
            return
        self._frames.append(event)
        self._bytes += len(event.payload)
        if not self._scheduled:
            self._scheduled = True
            self._flusher.later(self)
        if self._is_full:
            # Full within one tick is no sign of a slow peer: first give the transport its chance.
            self._write()
            if self._is_full:
                self._on_full()

    @property
    def _is_full(self) -> bool:
        return len(self._frames) > self._max_frames or self._bytes > self._max_bytes

    def flush(self) -> None:
        """Write what waits, as far as the peer keeps up."""
        self._scheduled = False
        self._write()

    def clear(self) -> None:
        """Forget what was never handed to the transport."""
        self._frames.clear()
        self._bytes = 0

    def resume(self) -> None:
        """The peer caught up."""
        if self._frames:
            self._write()

    def _write(self) -> None:
        frames = self._frames
        if not frames or self._live.buffered() > HOLD_ABOVE_BYTES:
            return
        if len(frames) == 1:
            self._live.send_framed(frames[0].framed)
            self.clear()
            return
        most = codec.MAX_FRAMES_PER_MESSAGE
        messages = [
            LiveSocket.frame_text(codec.join(event.payload for event in frames[start : start + most]))
            for start in range(0, len(frames), most)
        ]
        self._live.send_framed(b"".join(messages))
        self.clear()
