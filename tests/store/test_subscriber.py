"""Publications: after the confirmation each one arrives, or its loss is announced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chatgateway.errors import StoreUnavailable
from chatgateway.store import schema, subscriber
from chatgateway.store.client import Store
from chatgateway.store.subscriber import Subscriber
from chatgateway.types import NodeId

PROBE = schema.probe(NodeId("nod_1"))
CHANNELS = [f"cg:{{{tag}}}:c:x:e" for tag in schema.TAGS[:40]]


class Line:
    """A subscriber behind a proxy, and what it was told."""

    def __init__(self, store: Store, proxy: Any) -> None:
        self.store = store
        self.proxy = proxy
        self.lost: asyncio.Queue[list[str]] = asyncio.Queue()
        self.restored: asyncio.Queue[list[str]] = asyncio.Queue()
        self.subscriber: Subscriber

    async def open(self, **options: Any) -> Subscriber:
        self.subscriber = await Subscriber.open(
            self.proxy.url,
            self.store.hot,
            sharded=self.store.clustered,
            probe_channel=PROBE,
            on_lost=self.lost.put_nowait,
            on_restored=self.restored.put_nowait,
            **options,
        )
        return self.subscriber

    async def publish(self, channel: str, event: str) -> int:
        return await self.store.hot.ask((self.store.publish_verb, channel, event))


@pytest.fixture
async def line(store: Store, proxy: Any) -> AsyncIterator[Line]:
    opened = Line(store, proxy)
    await opened.open()
    yield opened
    await opened.subscriber.close()


class Heard(asyncio.Queue[bytes]):
    """What a listener heard, awaitable."""

    def __call__(self, event: bytes) -> None:
        self.put_nowait(event)


class TestSubscribe:
    async def test_returns_when_the_next_publication_will_arrive(self, line: Line) -> None:
        heard = Heard()
        await line.subscriber.subscribe(CHANNELS[0], heard)
        assert await line.publish(CHANNELS[0], "hello") == 1
        assert await heard.get() == b"hello"

    async def test_to_many_channels_leaves_as_one_write_and_mixes_nothing_up(self, line: Line) -> None:
        heard = {channel: Heard() for channel in CHANNELS}
        line.proxy.asked.clear()
        await asyncio.gather(*(line.subscriber.subscribe(channel, heard[channel]) for channel in CHANNELS))
        assert len([data for data in line.proxy.asked if b"SUBSCRIBE" in data]) == 1
        for channel in CHANNELS:
            await line.publish(channel, channel)
        assert [await heard[channel].get() for channel in CHANNELS] == [channel.encode() for channel in CHANNELS]

    async def test_twice_to_one_channel_is_a_mistake(self, line: Line) -> None:
        await line.subscriber.subscribe(CHANNELS[0], Heard())
        with pytest.raises(ValueError, match="listener already"):
            await line.subscriber.subscribe(CHANNELS[0], Heard())

    async def test_without_a_confirmation_in_time_leaves_nobody_listening(
        self, line: Line, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(subscriber, "CONFIRMED_MAX_S", 0.05)
        line.proxy.answering.clear()
        heard = Heard()
        with pytest.raises(StoreUnavailable, match="confirm"):
            await line.subscriber.subscribe(CHANNELS[0], heard)
        line.proxy.answering.set()
        monkeypatch.undo()
        await line.subscriber.subscribe(CHANNELS[1], Heard())
        assert await line.publish(CHANNELS[0], "hello") == 0

    async def test_while_the_store_is_away_waits_for_it(self, line: Line) -> None:
        await line.proxy.close()
        await line.lost.get()
        subscribing = asyncio.create_task(line.subscriber.subscribe(CHANNELS[0], Heard()))
        await asyncio.wait({subscribing}, timeout=0.02)
        await line.proxy.open()
        await subscribing
        assert await line.publish(CHANNELS[0], "hello") == 1
        # It had heard nothing yet, so it has missed nothing: there is nothing to announce for it.
        assert await line.restored.get() == []


class TestUnsubscribe:
    async def test_ends_at_once_and_at_the_store_too(self, line: Line) -> None:
        heard = Heard()
        await line.subscriber.subscribe(CHANNELS[0], heard)
        line.subscriber.unsubscribe(CHANNELS[0])
        await line.subscriber.subscribe(CHANNELS[1], Heard())
        assert await line.publish(CHANNELS[0], "hello") == 0
        assert heard.empty()

    @pytest.mark.parametrize("times", [1, 2, 3])
    async def test_and_again_within_one_tick_ends_subscribed(self, line: Line, times: int) -> None:
        heard = Heard()
        for _ in range(times):
            early = asyncio.create_task(line.subscriber.subscribe(CHANNELS[0], Heard()))
            await asyncio.sleep(0)
            line.subscriber.unsubscribe(CHANNELS[0])
            early.cancel()
        await line.subscriber.subscribe(CHANNELS[0], heard)
        assert await line.publish(CHANNELS[0], "hello") == 1
        assert await heard.get() == b"hello"

    async def test_of_what_nobody_hears_is_ignored(self, line: Line) -> None:
        line.subscriber.unsubscribe("cg:{ctl}:nothing")


class TestListener:
    async def test_that_raises_hurts_nobody_else(self, line: Line, capsys: pytest.CaptureFixture[str]) -> None:
        heard = Heard()

        def broken(event: bytes) -> None:
            raise ValueError("a mistake")

        await line.subscriber.subscribe(CHANNELS[0], broken)
        await line.subscriber.subscribe(CHANNELS[1], heard)
        await line.publish(CHANNELS[0], "one")
        await line.publish(CHANNELS[1], "two")
        assert await heard.get() == b"two"
        assert "subscriber.callback_failed" in capsys.readouterr().err


class TestLostConnection:
    async def test_is_announced_and_so_is_every_channel_restored(self, line: Line) -> None:
        heard = Heard()
        for channel in CHANNELS[:3]:
            await line.subscriber.subscribe(channel, heard)
        await line.proxy.cut()
        assert sorted(await line.lost.get()) == sorted(CHANNELS[:3])
        assert sorted(await line.restored.get()) == sorted(CHANNELS[:3])
        assert await line.publish(CHANNELS[2], "after") == 1
        assert await heard.get() == b"after"

    async def test_forgets_who_left_meanwhile(self, line: Line) -> None:
        for channel in CHANNELS[:2]:
            await line.subscriber.subscribe(channel, Heard())
        await line.proxy.close()
        await line.lost.get()
        line.subscriber.unsubscribe(CHANNELS[0])
        await line.proxy.open()
        assert await line.restored.get() == [CHANNELS[1]]
        assert await line.publish(CHANNELS[0], "hello") == 0

    async def test_is_announced_as_over_when_the_last_channel_leaves_while_restoring(self, line: Line) -> None:
        await line.subscriber.subscribe(CHANNELS[0], Heard())
        line.subscriber.unsubscribe(PROBE)
        await line.proxy.cut()
        await line.lost.get()
        while not line.subscriber.connected:
            await asyncio.sleep(0)
        # The confirmation has a way to go yet.
        line.subscriber.unsubscribe(CHANNELS[0])
        assert await line.restored.get() == []


class TestProbe:
    async def test_says_how_long_ago_we_heard_ourselves(self, line: Line) -> None:
        assert line.subscriber.probe_age_ms < 60_000

    async def test_finds_a_subscription_that_is_deaf_while_all_else_is_healthy(self, store: Store, proxy: Any) -> None:
        line = Line(store, proxy)
        opened = await line.open(probe_every_s=0.01, deaf_after_s=0.1)
        await opened.subscribe(CHANNELS[0], Heard())
        proxy.inject(f"{'S' if store.clustered else ''}UNSUBSCRIBE {PROBE}".encode())
        assert await line.lost.get() == [CHANNELS[0]]
        assert await line.restored.get() == [CHANNELS[0]]
        await opened.close()

    async def test_finds_a_silent_connection_even_when_nothing_can_be_published(self, store: Store, proxy: Any) -> None:
        line = Line(store, proxy)
        opened = await line.open(probe_every_s=0.01, deaf_after_s=0.1)
        await opened.subscribe(CHANNELS[0], Heard())
        await store.hot.close()
        proxy.answering.clear()
        assert await line.lost.get() == [CHANNELS[0]]
        proxy.answering.set()
        assert await line.restored.get() == [CHANNELS[0]]
        await opened.close()

    async def test_that_cannot_be_published_proves_nothing(self, store: Store, proxy: Any) -> None:
        line = Line(store, proxy)
        opened = await line.open(probe_every_s=0.01, deaf_after_s=0.05)
        await store.hot.close()
        await asyncio.sleep(0.2)  # several times deaf_after_s: nothing must happen
        assert line.lost.empty()
        assert opened.probe_age_ms >= 100
        await opened.close()
