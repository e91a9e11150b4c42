"""What waits for a slow peer is bounded, hints go first, and an event for many is framed once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from chatgateway.gateway.outbox import HOLD_ABOVE_BYTES, Event, Flusher, Outbox
from chatgateway.gateway.websocket import LiveSocket


class Transport:
    """The end of a LiveSocket that an outbox sees; ``backlog`` is what the peer has not taken."""

    def __init__(self) -> None:
        self.backlog = 0
        self.writes: list[bytes] = []

    def buffered(self) -> int:
        return self.backlog

    def send_framed(self, frame: bytes) -> None:
        self.writes.append(frame)

    def messages(self) -> list[list[Any]]:
        """Every WebSocket message that was written, decoded."""
        found, data = [], b"".join(self.writes)
        while data:
            assert data[0] == 0x81, "one whole text frame, not masked"
            size, head = data[1], 2
            if size == 126:
                size, head = int.from_bytes(data[2:4], "big"), 4
            elif size == 127:
                size, head = int.from_bytes(data[2:10], "big"), 10
            found.append(json.loads(data[head : head + size]))
            data = data[head + size :]
        return found

    def frames(self) -> list[Any]:
        return [frame for message in self.messages() for frame in message]


class Peer:
    """An outbox with room for 8 frames or 1,000 bytes."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.flusher = Flusher()
        self.full = 0
        live: Any = self.transport
        self.outbox = Outbox(live, self.flusher, 8, 1_000, self._overflowed)

    def _overflowed(self) -> None:
        self.full += 1

    def add(self, value: Any, *, hint: bool = False) -> None:
        self.outbox.add(Event(json.dumps(value).encode()), hint=hint)


@pytest.fixture
def peer() -> Peer:
    return Peer()


async def tick() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


class TestOfOneTick:
    async def test_frames_leave_as_one_message_in_one_write(self, peer: Peer) -> None:
        for n in range(5):
            peer.add(n)
        assert peer.transport.writes == []
        await tick()
        assert len(peer.transport.writes) == 1
        assert peer.transport.messages() == [[0, 1, 2, 3, 4]]
        assert len(peer.outbox) == 0

    async def test_more_than_64_frames_are_split_over_messages_in_order(self) -> None:
        peer = Peer()
        live: Any = peer.transport
        peer.outbox = Outbox(live, peer.flusher, 500, 100_000, peer._overflowed)
        for n in range(150):
            peer.add(n)
        await tick()
        assert [len(message) for message in peer.transport.messages()] == [64, 64, 22]
        assert peer.transport.frames() == list(range(150))
        assert len(peer.transport.writes) == 1

    async def test_many_frames_are_no_sign_of_a_slow_peer(self, peer: Peer) -> None:
        for n in range(100):
            peer.add(n)
        await tick()
        assert peer.transport.frames() == list(range(100))
        assert peer.full == 0

    async def test_outboxes_are_flushed_together(self, peer: Peer) -> None:
        others = [Peer() for _ in range(3)]
        for other in others:
            other.outbox._flusher = peer.flusher
            other.add("x")
        await tick()
        assert [other.transport.messages() for other in others] == [[["x"]]] * 3


class TestSlowPeer:
    async def test_keeps_its_frames_here_until_it_catches_up(self, peer: Peer) -> None:
        peer.transport.backlog = HOLD_ABOVE_BYTES + 1
        peer.add(1)
        await tick()
        peer.add(2)
        await tick()
        assert (peer.transport.writes, len(peer.outbox)) == ([], 2)
        peer.transport.backlog = 0
        peer.outbox.resume()
        assert peer.transport.messages() == [[1, 2]]

    @pytest.mark.parametrize("ticks", [True, False], ids=["one frame a tick", "all in one tick"])
    async def test_is_cut_off_by_one_frame_more_than_it_may_have(self, peer: Peer, ticks: bool) -> None:
        peer.transport.backlog = HOLD_ABOVE_BYTES + 1
        for n in range(8):
            peer.add(n)
            if ticks:
                await tick()
        assert peer.full == 0
        peer.add(8)
        assert peer.full == 1

    @pytest.mark.parametrize("ticks", [True, False], ids=["one frame a tick", "all in one tick"])
    async def test_is_cut_off_by_one_byte_more_than_it_may_have(self, peer: Peer, ticks: bool) -> None:
        peer.transport.backlog = HOLD_ABOVE_BYTES + 1
        peer.add("x" * 998)  # with its quotes 1,000
        if ticks:
            await tick()
        assert peer.full == 0
        peer.add(1)
        assert peer.full == 1

    async def test_loses_hints_first_once_half_of_its_room_is_taken(self, peer: Peer) -> None:
        peer.transport.backlog = HOLD_ABOVE_BYTES + 1
        for n in range(4):
            peer.add(n)
        peer.add("typing at half", hint=True)
        peer.add("typing above half", hint=True)
        peer.add("said")
        peer.transport.backlog = 0
        peer.outbox.resume()
        assert peer.transport.messages() == [[0, 1, 2, 3, "typing at half", "said"]]

    async def test_loses_hints_once_half_of_its_bytes_are_taken(self, peer: Peer) -> None:
        peer.transport.backlog = HOLD_ABOVE_BYTES + 1
        peer.add("x" * 500)
        peer.add("typing", hint=True)
        assert len(peer.outbox) == 1

    async def test_that_is_forgotten_is_written_nothing(self, peer: Peer) -> None:
        peer.add(1)
        peer.outbox.clear()
        await tick()
        peer.outbox.resume()
        assert peer.transport.writes == []

    async def test_that_was_emptied_has_all_its_room_again(self, peer: Peer) -> None:
        peer.add("x" * 900)
        await tick()
        peer.transport.backlog = HOLD_ABOVE_BYTES + 1
        peer.add("y" * 900)
        assert peer.full == 0


class TestEvent:
    async def test_for_many_is_framed_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        framed: list[bytes] = []
        original = LiveSocket.frame_text

        def counting(payload: bytes) -> bytes:
            framed.append(payload)
            return original(payload)

        monkeypatch.setattr(LiveSocket, "frame_text", staticmethod(counting))
        event, peers = Event(b'{"a":1}'), [Peer() for _ in range(10)]
        for peer in peers:
            peer.outbox.add(event)
        await tick()
        assert framed == [b'[{"a":1}]']
        assert all(peer.transport.messages() == [[{"a": 1}]] for peer in peers)
