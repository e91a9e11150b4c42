"""Hear publications: one connection, a reader that never waits for anybody, and a promise about gaps.

A publication is only a hint, so the contract is about knowing when hints may have been missed:

- ``subscribe`` returns after the server has confirmed: from then on every publication arrives or a loss is announced;
- when the connection ended, every channel is subscribed again and then announced by ``on_restored``: what was published
  in between is gone, and the owners of those channels re-read their streams;
- a subscription can be deaf while all else is healthy, so we publish to ourselves each second (loopback probe) and
  take a connection on which nothing, or no probe, arrives as lost.

In a cluster publications are sharded: a channel lives in the slot of its tag, and one SSUBSCRIBE names one slot only.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import operator
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from chatgateway.errors import StoreError, StoreUnavailable
from chatgateway.log import log
from chatgateway.store.connection import Connection, Keeper, pack, parse_url
from chatgateway.store.multiplex import Multiplex

PROBE_EVERY_S = 1.0
DEAF_AFTER_S = 4.0
"""Four probes in a row were published, and none arrived."""

CONFIRMED_MAX_S = 5.0

OnEvent = Callable[[bytes], None]
OnChannels = Callable[[list[str]], None]


class _Listener:
    """Who listens to one channel. ``confirmed`` is set once, when the server first agreed."""

    __slots__ = ("channel", "confirmed", "on_event")

    def __init__(self, channel: str, on_event: OnEvent, confirmed: asyncio.Future[None]) -> None:
        self.channel = channel
        self.on_event = on_event
        self.confirmed = confirmed


class Subscriber:
    """The subscriptions of this process to one primary. Belongs to the loop that opened it."""

    def __init__(
        self,
        url: str,
        hot: Multiplex,
        *,
        sharded: bool,
        probe_channel: str,
        on_lost: OnChannels = lambda _: None,
        on_restored: OnChannels = lambda _: None,
        probe_every_s: float = PROBE_EVERY_S,
        deaf_after_s: float = DEAF_AFTER_S,
    ) -> None:
        """Use ``Subscriber.open``."""
        self.on_lost = on_lost
        """Hears the confirmed channels when the connection ends."""
        self.on_restored = on_restored
        """Hears the same channels when all of them are confirmed again: whatever was published between is gone."""
        self._loop = asyncio.get_running_loop()
        self._keeper = Keeper(parse_url(url))
        self._hot = hot
        prefix = "S" if sharded else ""
        self._publish = prefix + "PUBLISH"
        self._subscribe = prefix + "SUBSCRIBE"
        self._unsubscribe = prefix + "UNSUBSCRIBE"
        self._sharded = sharded
        self._message = prefix.lower().encode() + b"message"
        self._confirmation = prefix.lower().encode() + b"subscribe"
        self._probe_channel = probe_channel
        self._probe_every_s = probe_every_s
        self._deaf_after_s = deaf_after_s
        self._connection: Connection | None = None
        self._listeners: dict[bytes, _Listener] = {}
        # Confirmations come in the order of the commands; a channel may be given up and wanted again meanwhile.
        self._owed: dict[bytes, deque[_Listener]] = {}
        self._restoring: set[bytes] = set()
        self._restored: list[str] = []
        self._wishes: list[tuple[str, str]] = []
        self._flushing = False
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at = self._loop.time()
        self._probe_heard_at = self._loop.time()
        self._probe_count = 0
        self._probe_seen = 0
        self._unheard_since: float | None = None

    def __repr__(self) -> str:
        state = "closed" if self._closed else "connected" if self._connection else "disconnected"
        return f"Subscriber({state}, channels={len(self._listeners)})"

    @classmethod
    async def open(
        cls,
        url: str,
        hot: Multiplex,
        *,
        sharded: bool,
        probe_channel: str,
        on_lost: OnChannels = lambda _: None,
        on_restored: OnChannels = lambda _: None,
        probe_every_s: float = PROBE_EVERY_S,
        deaf_after_s: float = DEAF_AFTER_S,
    ) -> Subscriber:
        """Connect and hear ourselves. Raises StoreUnavailable; from then on it reconnects by itself.

        Probes leave through ``hot``, so that they come the way of everybody's publications.
        """
        subscriber = cls(
            url,
            hot,
            sharded=sharded,
            probe_channel=probe_channel,
            on_lost=on_lost,
            on_restored=on_restored,
            probe_every_s=probe_every_s,
            deaf_after_s=deaf_after_s,
        )
        await subscriber._keeper.start(subscriber._up)
        try:
            await subscriber.subscribe(probe_channel, subscriber._probe_heard)
        except BaseException:
            await subscriber.close()
            raise
        subscriber._probe()
        return subscriber

    async def close(self) -> None:
        """Let go; nothing is announced any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._keeper.stop()
        if self._connection is not None:
            self._connection.abort()
            self._connection = None
        for listener in self._listeners.values():
            if not listener.confirmed.done():
                listener.confirmed.set_exception(StoreUnavailable("the gateway is stopping"))
        self._listeners.clear()

    @property
    def connected(self) -> bool:
        return self._connection is not None

    @property
    def probe_age_ms(self) -> int:
        """How long ago we last heard ourselves; /readyz looks at it."""
        return int((self._loop.time() - self._probe_heard_at) * 1000)

    async def subscribe(self, channel: str, on_event: OnEvent) -> None:
        """Return when the server has confirmed; ``on_event`` hears every publication, and must not wait.

        ``on_event`` may hear one before this returns. One listener per channel: a second one is a ValueError.
        Raises StoreUnavailable when there is no confirmation in time; then nobody listens.
        """
        key = channel.encode()
        if key in self._listeners:
            raise ValueError(f"channel {channel} has a listener already")
        if self._closed:
            raise StoreUnavailable("the gateway is stopping")
        listener = _Listener(channel, on_event, self._loop.create_future())
        self._listeners[key] = listener
        if self._connection is not None:  # else it goes with all the others, when the connection is back
            self._owed.setdefault(key, deque()).append(listener)
            self._wish(self._subscribe, channel)
        try:
            async with asyncio.timeout(CONFIRMED_MAX_S):
                await asyncio.shield(listener.confirmed)
        except BaseException as error:
            if self._listeners.get(key) is listener:
                self.unsubscribe(channel)
            if isinstance(error, TimeoutError):
                raise StoreUnavailable("the store did not confirm a subscription in time") from error
            raise

    def unsubscribe(self, channel: str) -> None:
        """Stop hearing ``channel``, from this moment on. Unknown channels are ignored."""
        if self._listeners.pop(channel.encode(), None) is None:
            return
        self._settle(channel.encode(), restored=None)
        if self._connection is not None:
            self._wish(self._unsubscribe, channel)

    # --- out

    def _wish(self, command: str, channel: str) -> None:
        self._wishes.append((command, channel))
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Send what the tick gathered, in the order of the calls, as few commands as that order allows."""
        self._flushing = False
        wishes, self._wishes = self._wishes, []
        if self._connection is None or not wishes:
            return
        packed: list[bytes] = []
        for command, run in itertools.groupby(wishes, key=operator.itemgetter(0)):
            together: dict[str, list[str]] = {}
            for _, channel in run:
                together.setdefault(_tag(channel) if self._sharded else "", []).append(channel)
            packed += [pack((command, *channels)) for channels in together.values()]
        self._connection.write(b"".join(packed))

    # --- in

    def _replies(self, replies: list[Any]) -> None:
        self._heard_at = self._loop.time()
        for reply in replies:
            if not isinstance(reply, list):  # an error: we sent nothing that could earn one, so the state is unknown
                if isinstance(reply, StoreError):
                    log.warning("subscriber.refused", detail=str(reply))
                    assert self._connection is not None
                    self._connection.abort()
                continue
            kind, key, *rest = cast("list[bytes]", reply)
            if kind == self._message:
                listener = self._listeners.get(key)
                if listener is not None:
                    try:
                        listener.on_event(rest[0])
                    except Exception:  # noqa: BLE001
                        log.exception("subscriber.callback_failed")
            elif kind == self._confirmation:
                self._confirmed(key)

    def _confirmed(self, key: bytes) -> None:
        owed = self._owed.get(key)
        if not owed:
            return
        listener = owed.popleft()
        if not owed:
            del self._owed[key]
        if not listener.confirmed.done():
            listener.confirmed.set_result(None)
        if self._listeners.get(key) is listener:
            self._settle(key, restored=listener.channel)

    def _settle(self, key: bytes, *, restored: str | None) -> None:
        """One channel less to restore; announce when it was the last."""
        if key not in self._restoring:
            return
        self._restoring.discard(key)
        if restored is not None:
            self._restored.append(restored)
        if not self._restoring:
            channels, self._restored = self._restored, []
            self._announce(self.on_restored, channels)

    def _announce(self, announce: OnChannels, channels: list[str]) -> None:
        channels = [channel for channel in channels if channel != self._probe_channel]
        try:
            announce(channels)
        except Exception:  # noqa: BLE001
            log.exception("subscriber.callback_failed")

    # --- the connection

    def _up(self, connection: Connection) -> None:
        connection.hear(self._replies, self._lost)
        self._connection = connection
        self._heard_at = self._loop.time()
        self._unheard_since = None
        for key, listener in self._listeners.items():
            self._owed[key] = deque([listener])
        self._wishes = [(self._subscribe, listener.channel) for listener in self._listeners.values()]
        # Only those who had been told that they hear everything must be told that they did not.
        self._restoring = {key for key, listener in self._listeners.items() if listener.confirmed.done()}
        self._restored = []
        self._flush()

    def _lost(self) -> None:
        self._connection = None
        self._owed.clear()
        self._wishes.clear()
        if not self._closed:
            self._keeper.lost()
            confirmed = [listener.channel for listener in self._listeners.values() if listener.confirmed.done()]
            self._announce(self.on_lost, confirmed)

    # --- the probe

    def _probe(self) -> None:
        """Each second: is the connection alive, and do we hear what we publish?"""
        self._timer = self._loop.call_later(self._probe_every_s, self._probe)
        if self._connection is None:
            return
        now = self._loop.time()
        silent = now - self._heard_at > self._deaf_after_s
        deaf = self._unheard_since is not None and now - self._unheard_since > self._deaf_after_s
        if silent or deaf:
            log.warning("subscriber.deafened" if deaf else "subscriber.silenced")
            self._connection.abort()
            return
        self._connection.write(pack(("PING",)))
        self._probe_count += 1
        number = self._probe_count

        def published(reply: Any) -> None:
            # Deaf is judged from the first probe that the store took and did not bring back; a probe that could
            # not be published says nothing about hearing.
            if not isinstance(reply, StoreError) and self._unheard_since is None and self._probe_seen < number:
                self._unheard_since = self._loop.time()

        self._hot.call(self._publish, (self._probe_channel,), (number,), published)

    def _probe_heard(self, event: bytes) -> None:
        with contextlib.suppress(ValueError):
            self._probe_seen = max(self._probe_seen, int(event))
        self._probe_heard_at = self._loop.time()
        self._unheard_since = None


def _tag(channel: str) -> str:
    """What decides the slot: the text between the first braces, else all of it (Redis Cluster, "Hash tags")."""
    start = channel.find("{")
    end = channel.find("}", start + 1)
    return channel[start + 1 : end] if start >= 0 and end > start + 1 else channel
