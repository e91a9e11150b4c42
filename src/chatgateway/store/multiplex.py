"""The hot path to the store: one connection, one write per loop tick, replies matched in order.

Many callers share one connection without waiting for each other. What is called within a tick leaves as one write, and
the replies come back in the order of the calls:

    called ──► queue ──(end of tick, room in flight)──► in flight ──► reply ──► done(reply)
                 │                                          │
                 └── not sent within the deadline           └── connection lost, or silent for the deadline
                          done(StoreUnavailable)                     done(StoreUnavailable): perhaps it took effect

Nothing that was sent is ever sent again. Only what never left the queue survives a reconnect.

With a ``Confirmation`` each batch with a script that writes is followed by a WAIT: those scripts' callbacks hear their
replies only when enough replicas have the batch, else DurabilityTimeout. Plain commands and reading scripts promise
nothing and do not wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, final

from chatgateway.errors import DurabilityTimeout, StoreError, StoreUnavailable
from chatgateway.log import log
from chatgateway.store.connection import Connection, Keeper, pack, parse_url
from chatgateway.store.replies import ScriptUnknown
from chatgateway.store.script import FORGETS_MAX, Argument, Script

Done = Callable[[Any], None]
"""Hears the reply or a StoreError."""

Command = str | tuple[Argument, ...]
"""A command's name, or more of its words; keys and arguments follow."""

DEADLINE_S = 5.0
"""A server that owes replies and says nothing for so long is as good as gone."""

IN_FLIGHT_MAX = 4_096
QUEUED_MAX = 65_536
"""Beyond it a call is refused at once: better an honest refusal than seconds of waiting."""


class Confirmation(NamedTuple):
    """Which acknowledgement of replicas a batch waits for: WAIT (in memory) or WAITAOF (on disk)."""

    on_disk: bool
    replicas: int
    max_ms: int

    @property
    def command(self) -> bytes:
        if self.on_disk:
            return pack(("WAITAOF", 0, self.replicas, self.max_ms))
        return pack(("WAIT", self.replicas, self.max_ms))

    def enough(self, reply: Any) -> bool:
        """Judge the reply: a count, or for WAITAOF [local, replicas]."""
        if isinstance(reply, list):
            return int(reply[1]) >= self.replicas  # pyright: ignore[reportUnknownArgumentType]
        return isinstance(reply, int) and reply >= self.replicas


@final
class _Call:
    __slots__ = ("at", "done", "forgets", "packed", "script")

    def __init__(self, packed: bytes, done: Done, script: Script | None, at: float) -> None:
        self.packed = packed
        self.done = done
        self.script = script
        self.at = at
        self.forgets = 0


@final
class _Batch:
    """The replies that wait for their batch's confirmation."""

    __slots__ = ("replies",)

    def __init__(self) -> None:
        self.replies: list[tuple[_Call, Any]] = []


class Multiplex:
    """One shared connection to one primary. Belongs to the loop that opened it."""

    def __init__(self, url: str, *, confirmation: Confirmation | None = None, deadline_s: float = DEADLINE_S) -> None:
        """Use ``Multiplex.open``."""
        self._loop = asyncio.get_running_loop()
        self._keeper = Keeper(parse_url(url))
        self._confirmation = confirmation
        self._deadline_s = deadline_s
        self._connection: Connection | None = None
        self._queue: deque[_Call] = deque()
        self._in_flight: deque[_Call | _Batch] = deque()
        self._batch = _Batch()
        self._heard_at = 0.0
        self._flushing = False
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        state = "closed" if self._closed else "connected" if self._connection else "disconnected"
        return f"Multiplex({state}, queued={len(self._queue)}, in_flight={len(self._in_flight)})"

    @classmethod
    async def open(
        cls, url: str, *, confirmation: Confirmation | None = None, deadline_s: float = DEADLINE_S
    ) -> Multiplex:
        """Connect. Raises StoreUnavailable; from then on it reconnects by itself."""
        hot = cls(url, confirmation=confirmation, deadline_s=deadline_s)
        await hot._keeper.start(hot._up)
        hot._timer = hot._loop.call_later(deadline_s / 4, hot._look)
        return hot

    async def close(self) -> None:
        """Let go; whoever waits hears StoreUnavailable."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._keeper.stop()
        if self._connection is not None:
            self._connection.abort()
        self._down()

    @property
    def connected(self) -> bool:
        return self._connection is not None

    def call(self, what: Script | Command, keys: Sequence[str | bytes], args: Sequence[Argument], done: Done) -> None:
        """Queue a script or a command for this tick's write; ``done`` hears the reply or a StoreError, never from here.

        At most once: never sent again.
        """
        if isinstance(what, Script):
            packed = pack(("EVALSHA", what.sha, len(keys), *keys, *args))
            call = _Call(packed, done, what, self._loop.time())
        else:
            words = what if isinstance(what, tuple) else (what,)
            call = _Call(pack((*words, *keys, *args)), done, None, self._loop.time())
        if self._closed or len(self._queue) >= QUEUED_MAX:
            reason = "the gateway is stopping" if self._closed else "too many commands wait for the store"
            self._loop.call_soon(_tell, call, StoreUnavailable(reason))
            return
        self._queue.append(call)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    async def ask(self, what: Script | Command, keys: Sequence[str | bytes] = (), args: Sequence[Argument] = ()) -> Any:
        """Return the reply. Raises StoreError."""
        future: asyncio.Future[Any] = self._loop.create_future()

        def done(reply: Any) -> None:
            if future.done():  # the asker was cancelled
                return
            if isinstance(reply, StoreError):
                future.set_exception(reply)
            else:
                future.set_result(reply)

        self.call(what, keys, args, done)
        return await future

    # --- out

    def _flush(self) -> None:
        self._flushing = False
        if self._connection is None:
            return
        room = IN_FLIGHT_MAX - len(self._in_flight)
        if room <= 0 or not self._queue:
            return
        queue, in_flight = self._queue, self._in_flight
        if not in_flight:
            self._heard_at = self._loop.time()
        if len(queue) <= room:
            sent = list(queue)
            queue.clear()
        else:
            sent = [queue.popleft() for _ in range(room)]
        in_flight.extend(sent)
        packed = [call.packed for call in sent]
        if self._confirmation is not None and any(call.script and call.script.writes for call in sent):
            in_flight.append(_Batch())
            packed.append(self._confirmation.command)
        self._connection.write(b"".join(packed))

    # --- in

    def _replies(self, replies: list[Any]) -> None:
        self._heard_at = self._loop.time()
        in_flight = self._in_flight
        forgotten: list[_Call] = []
        for reply in replies:
            if not in_flight:  # the server speaks without being asked: this connection means nothing any more
                assert self._connection is not None
                self._connection.abort()
                return
            call = in_flight.popleft()
            if type(call) is _Batch:
                self._confirm(reply)
            elif type(reply) is ScriptUnknown and call.script is not None:
                call.forgets += 1
                if call.forgets < FORGETS_MAX:
                    forgotten.append(call)
                else:
                    _tell(call, reply)
            elif self._confirmation is not None and call.script is not None and call.script.writes:
                self._batch.replies.append((call, reply))
            else:
                # _tell, written out: this is the hottest line of the gateway.
                try:
                    call.done(reply)
                except Exception:  # noqa: BLE001
                    log.exception("store.callback_failed")
        if forgotten:
            self._teach(forgotten)
        if self._queue and not self._flushing:
            self._flush()

    def _confirm(self, reply: Any) -> None:
        assert self._confirmation is not None
        waiting, self._batch = self._batch.replies, _Batch()
        enough = self._confirmation.enough(reply)
        for call, answer in waiting:
            # A refusal needs no replica.
            _tell(call, answer if enough or isinstance(answer, StoreError) else DurabilityTimeout("durability_timeout"))

    def _teach(self, forgotten: list[_Call]) -> None:
        """Load the scripts that the server forgot, and call again in the same order: an unknown script did not run."""
        self._queue.extendleft(reversed(forgotten))
        for script in {call.script for call in forgotten if call.script is not None}:
            self._queue.appendleft(_Call(pack(("SCRIPT", "LOAD", script.source)), _ignore, None, self._loop.time()))

    # --- the connection

    def _up(self, connection: Connection) -> None:
        connection.hear(self._replies, self._lost)
        self._connection = connection
        self._flush()

    def _lost(self) -> None:
        self._down()
        if not self._closed:
            self._keeper.lost()

    def _down(self) -> None:
        """Tell everybody whose reply will never come; keep what was never sent, for the next connection."""
        self._connection = None
        lost, self._in_flight = self._in_flight, deque()
        unconfirmed, self._batch = self._batch.replies, _Batch()
        gone = StoreUnavailable("the connection to the store was lost")
        for call, _ in unconfirmed:
            _tell(call, gone)
        for call in lost:
            if type(call) is _Call:
                _tell(call, gone)
        if self._closed:
            queued, self._queue = self._queue, deque()
            for call in queued:
                _tell(call, gone)

    def _look(self) -> None:
        """Drop a silent server, and give up on what could not be sent in time. One timer, not one per call."""
        self._timer = self._loop.call_later(self._deadline_s / 4, self._look)
        now = self._loop.time()
        if self._connection is not None and self._in_flight and now - self._heard_at > self._deadline_s:
            self._connection.abort()
        while self._queue and now - self._queue[0].at > self._deadline_s:
            _tell(self._queue.popleft(), StoreUnavailable("the store did not answer in time"))


def _tell(call: _Call, reply: Any) -> None:
    """One caller's mistake must not take away the replies of the others."""
    try:
        call.done(reply)
    except Exception:  # noqa: BLE001
        log.exception("store.callback_failed")


def _ignore(reply: Any) -> None:
    """A failed SCRIPT LOAD shows in the call that follows it."""
