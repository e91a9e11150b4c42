"""People who keep talking while something happens, and the judge of what became of their words.

Every sender notes what it asked for and what it was told. Afterwards the log is the witness: what was acknowledged
stands where the acknowledgement said, everything stands there once, and the chain has no holes.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from tests.acceptance.client import Client, Ended, Refused, messages_of, mint_ref
from tests.acceptance.gateway import PATIENCE_S, Gateway
from tests.acceptance.operator import Site
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from chatgateway.protocol import codec
from chatgateway.protocol import frames as f
from chatgateway.types import GENESIS_LINK

PACE_S = 0.12
"""Between two messages of one sender: just under the limit of 10 a second."""

RETURN_S = 0.05
"""Before a tab tries the next node."""

IN_FLIGHT_MAX = 16


class Talker:
    """A client that says one thing after the other until it is told to stop, or its socket ends."""

    def __init__(self, client: Client, conversation: str) -> None:
        self.client = client
        self.conversation = conversation
        self.acks: dict[str, f.Ack] = {}
        self.refusals: list[f.Error] = []
        self.last_ref = ""
        """Sent and perhaps unanswered."""
        self._stop = asyncio.Event()
        self._talking = asyncio.create_task(self._talk())

    async def said(self, count: int) -> None:
        """Return when ``count`` more messages were acknowledged."""
        goal = len(self.acks) + count
        async with asyncio.timeout(PATIENCE_S):
            while len(self.acks) < goal:
                assert not self._talking.done(), f"{self.client.goodbye} after {len(self.acks)} messages"
                await asyncio.sleep(PACE_S / 4)

    async def stop(self) -> None:
        self._stop.set()
        await self._talking

    async def _talk(self) -> None:
        for number in itertools.count():
            if self._stop.is_set():
                return
            self.last_ref = mint_ref()
            try:
                answer = await self.client.ask(
                    "send", ref=self.last_ref, conversation=self.conversation, text=f"number {number}"
                )
            except (ConnectionClosed, Ended):
                return  # the gateway ended it; whoever expected that looks at the goodbye
            if isinstance(answer, f.Ack):
                self.acks[self.last_ref] = answer
            else:
                self.refusals.append(answer)
            await asyncio.sleep(PACE_S)


class Tab:
    """A widget's conversation: an outbox, a cursor, and the will to come back, to whichever node there is."""

    def __init__(self, gateways: list[Gateway], site: Site, who: str, conversation: str = "") -> None:
        self.conversation = conversation
        self.acks: dict[str, f.Ack] = {}
        self.shown: list[f.Message] = []
        self.told_unavailable = 0
        self.returned = 0
        """How often it had to come back."""
        self.codes: list[int | None] = []
        """What its sockets ended with."""
        self._outbox: dict[str, str] = {}
        self._sent: set[str] = set()
        """Of the outbox: said on this socket, and not to be said again before it is refused."""
        self._gateways, self._site, self._who = gateways, site, who
        self._changed = asyncio.Event()
        self._running = asyncio.create_task(self._run())

    async def enter(self, text: str) -> str:
        """Put a message into the outbox, as a person does who presses Enter; return its ref."""
        ref = mint_ref()
        self._outbox[ref] = text
        self._changed.set()
        return ref

    async def flying(self) -> None:
        """Return when something was sent that is not answered yet; at once, if everything was answered meanwhile."""
        while self._outbox and not self._sent:
            await asyncio.sleep(0)

    async def settled(self, count: int = 0) -> None:
        """Return when at most ``count`` messages are unacknowledged, and everything acknowledged was shown."""
        async with asyncio.timeout(2 * PATIENCE_S):
            while len(self._outbox) > count or len(self.shown) < self.top:
                if self._running.done():
                    await self._running  # a promise was broken: say which
                await asyncio.sleep(0.01)

    async def came_back(self) -> None:
        """Return when it has lost its socket, and is settled again on another."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.returned:
                await asyncio.sleep(0.01)
        await self.settled()

    def knows(self, gateway: Gateway) -> None:
        """Another node to come back to."""
        self._gateways.append(gateway)

    @property
    def top(self) -> int:
        """The last seq that was acknowledged."""
        return max((ack.seq for ack in self.acks.values()), default=0)

    async def close(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        for turn in itertools.count():
            alive = [gateway for gateway in self._gateways if gateway.status is None]
            if not alive:
                await asyncio.sleep(RETURN_S)
                continue
            resume = {}
            if self.conversation:
                last = self.shown[-1] if self.shown else None
                resume[self.conversation] = (last.at, last.seq, last.link) if last else (0, 0, GENESIS_LINK)
            try:
                client = await Client.visitor(
                    alive[turn % len(alive)], self._site, self._site.token(self._who), resume=resume
                )
            except (OSError, ConnectionClosed, InvalidHandshake, Ended, TimeoutError):
                await asyncio.sleep(RETURN_S)
                continue
            try:
                await self._live(client)
            except (ConnectionClosed, Ended):
                self.returned += 1
            finally:
                await client.drop()
                self.codes.append(client.close_code)

    async def _live(self, client: Client) -> None:
        """Replay first, then the outbox; then whatever is said and heard, until the socket ends."""
        self._sent.clear()
        hearing = asyncio.create_task(self._hear(client))
        try:
            if self.conversation:
                # Asked after hello with cursors: answered once what was missed has been shown.
                await client.do("read", conversation=self.conversation, seq=0)
            while not hearing.done():
                self._changed.clear()
                waiting = [ref for ref in self._outbox if ref not in self._sent]
                for ref in waiting[: IN_FLIGHT_MAX - len(self._sent)]:
                    self._sent.add(ref)
                    await client.say("send", ref=ref, conversation=self.conversation, text=self._outbox[ref])
                waking = asyncio.create_task(self._changed.wait())
                try:
                    await asyncio.wait({hearing, waking}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waking.cancel()
            await hearing
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    async def _hear(self, client: Client) -> None:
        while True:
            frame = await client.want(f.ServerFrame, lambda one: isinstance(one, _OF_TABS), within_s=3600)
            match frame:
                case f.Ack(ref=ref) if ref in self._outbox:
                    self.acks[ref] = frame
                    del self._outbox[ref]
                    self._sent.discard(ref)
                    self._changed.set()
                case f.Error(ref=ref, code=code, retry=retry) if ref in self._outbox:
                    if code == "store_unavailable":
                        self.told_unavailable += 1
                    elif code != "rate_limited":
                        raise Refused(frame)
                    asyncio.get_running_loop().call_later(int(retry) / 1000, self._say_again, ref)
                case f.Message():
                    self._show([frame])
                case f.Replay():
                    self._show(messages_of(frame))
                case f.Reset():
                    self.shown = messages_of(frame)
                case f.Goodbye():
                    raise Ended(f"told goodbye: {frame.reason}")
                case _:
                    pass

    def _say_again(self, ref: str) -> None:
        self._sent.discard(ref)
        self._changed.set()

    def _show(self, messages: Iterable[f.Message]) -> None:
        for message in messages:
            if message.conversation != self.conversation:
                continue
            last = self.shown[-1] if self.shown else None
            expected = (last.seq + 1, last.link) if last else (1, GENESIS_LINK)
            assert (message.seq, message.prev) == expected, "shown twice, or with a hole"
            self.shown.append(message)


_OF_TABS = (f.Ack, f.Error, f.Message, f.Replay, f.Reset, f.Goodbye)


def judge(
    log: list[f.Message], acks: Mapping[str, f.Ack], *, entered: Iterable[str] = (), refused: Iterable[str] = ()
) -> None:
    """Raise unless the log keeps every promise: gapless, chained, once, and where the acknowledgements said."""
    link = GENESIS_LINK
    for number, message in enumerate(log, 1):
        assert message.seq == number, f"seq {message.seq} at place {number}"
        assert message.prev == link, f"the chain breaks at {number}"
        link = hashlib.sha1(f"{link}/{message.ref}/{message.at}".encode()).hexdigest()[:8]
        assert message.link == link, f"the link of {number} is not of its predecessor"
    places = {message.ref: (message.at, message.seq, message.link) for message in log}
    assert len(places) == len(log), "a ref is stored twice"
    for ref, ack in acks.items():
        assert places.get(ref) == (ack.at, ack.seq, ack.link), f"acknowledged at {ack.seq}, found {places.get(ref)}"
    missing = set(entered) - places.keys()
    assert not missing, f"entered and never stored: {missing}"
    wrong = places.keys() & set(refused)
    assert not wrong, f"refused and stored: {wrong}"


def log_of(rows: list[dict[str, Any]]) -> list[f.Message]:
    """Return what ``chatgateway history`` printed as messages."""
    raw = msgspec.json.encode([{name: value for name, value in row.items() if name != "kid"} for row in rows])
    return [message for message in codec.decode_server(raw) if isinstance(message, f.Message)]
