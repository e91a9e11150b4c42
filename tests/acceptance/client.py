"""A browser's tab, without the browser: one real WebSocket, typed frames in, JSON out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

import httpx2
import msgspec
from tests.acceptance.gateway import PATIENCE_S, Gateway
from tests.acceptance.operator import SHOP, Site
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from chatgateway.core.conversation import new_ref
from chatgateway.protocol import codec
from chatgateway.protocol import frames as f
from chatgateway.types import UnixMs

_F = TypeVar("_F", bound=f.ServerFrame)
_decode_message = msgspec.json.Decoder(f.Message).decode


def mint_ref() -> str:
    """Return a fresh ref; this machine's clock is the store's."""
    return new_ref(UnixMs(time.time_ns() // 1_000_000), os.urandom(10))


def messages_of(page: f.Replay | f.Reset) -> list[f.Message]:
    return [_decode_message(raw) for raw in page.messages]


class Refused(AssertionError):
    """A command was answered with an error that the test did not ask for."""

    def __init__(self, error: f.Error) -> None:
        super().__init__(f"{error.code}: {error.sentence}")
        self.error = error


class Ended(AssertionError):
    """The gateway closed the socket while something was awaited on it."""


class Client:
    """One socket. What arrives is kept in order until a test asks for it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.welcome: f.Welcome | None = None
        self.goodbye: f.Goodbye | None = None
        self.close_code: int | None = None
        """Of the close frame, once the socket is closed."""
        self._socket = socket
        self._unread: list[f.ServerFrame] = []
        self._changed = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(
        cls,
        gateway: Gateway,
        *,
        origin: str | None = SHOP,
        address: str | None = None,
        protocols: Sequence[str] = (f.SUBPROTOCOL,),
    ) -> Client:
        """Open a socket and say nothing yet. ``address`` is the loopback address to come from."""
        socket = await connect(
            gateway.url.replace("http", "ws") + "/v1/ws", subprotocols=list(protocols), origin=origin, proxy=None,  # type: ignore[arg-type]
            compression=None, ping_interval=None, open_timeout=PATIENCE_S, close_timeout=5,
            local_addr=(address, 0) if address else None,
        )  # fmt: skip
        return cls(socket)

    @classmethod
    async def visitor(
        cls,
        gateway: Gateway,
        site: Site,
        token: str | None = None,
        *,
        resume: Mapping[str, f.Cursor] | None = None,
        **hello: object,
    ) -> Client:
        """Come in as a visitor of a site: with a customer token, a session token, or as a stranger."""
        client = await cls.connect(gateway)
        try:
            await client.hello(app=site.app, token=token, resume=dict(resume or {}), **hello)
        except BaseException:
            await client.drop()
            raise
        return client

    @classmethod
    async def agent(cls, gateway: Gateway, name: str, password: str = "correct horse") -> Client:
        """Come in as an agent, the way the agents' page does: password, cookie, ticket, socket."""
        async with httpx2.AsyncClient(base_url=gateway.url, trust_env=False) as browser:
            account = (await browser.post("/v1/agents/login", json={"name": name, "password": password})).json()
            ticket = await browser.post("/v1/agents/ticket", headers={"X-CSRF-Token": account["csrf"]})
        client = await cls.connect(gateway, origin=gateway.url)
        await client.hello(token=ticket.json()["ticket"])
        return client

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    @property
    def me(self) -> f.Welcome:
        assert self.welcome is not None
        return self.welcome

    @property
    def unread(self) -> list[f.ServerFrame]:
        """What arrived and was not asked for yet."""
        return self._unread

    @property
    def port(self) -> int:
        """Our side's TCP port."""
        return int(self._socket.local_address[1])

    async def leave(self) -> None:
        """Close the socket as a browser does when the tab goes."""
        await self._socket.close()
        await self._reading

    async def drop(self) -> None:
        """Let the connection go without a word, as a train in a tunnel does."""
        self._socket.transport.abort()
        await self._reading

    def cling(self) -> None:
        """Never answer a close frame, as a peer does that is stuck."""
        self._socket.transport.write = lambda _: None  # type: ignore[method-assign]

    # Saying

    async def say(self, verb: str, **fields: object) -> str:
        """Send one frame and return its ref."""
        ref = str(fields.setdefault("ref", mint_ref()))
        await self._socket.send(_encode(verb, fields))
        return ref

    async def say_raw(self, data: str | bytes) -> None:
        """Send anything as one WebSocket message."""
        await self._socket.send(data)

    def say_together(self, *frames: tuple[str, Mapping[str, object]]) -> list[str]:
        """Send frames in one write, so that the gateway reads them in one go; return their refs."""
        refs, raw = [], b""
        for verb, fields in frames:
            ref = str(fields.get("ref", mint_ref()))
            refs.append(ref)
            raw += Frame(Opcode.TEXT, _encode(verb, {**fields, "ref": ref}).encode()).serialize(mask=True)
        self.write(raw)
        return refs

    async def hello(self, **fields: object) -> f.Welcome:
        """Say hello and return the welcome."""
        ref = await self.say("hello", client="test/1", **fields)
        self.welcome = await self.want(f.Welcome, lambda welcome: welcome.ref == ref)
        return self.welcome

    async def ask(self, verb: str, **fields: object) -> Any:
        """Send a command and return its answer: whatever carries its ref, an error included."""
        return await self.answer(await self.say(verb, **fields))

    async def do(self, verb: str, **fields: object) -> Any:
        """The same, where an error is a failure. Being told to wait is not: it is obeyed."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await self.ask(verb, **fields)
                if not isinstance(answer, f.Error):
                    return answer
                if answer.code not in ("rate_limited", "store_unavailable"):
                    raise Refused(answer)
                fields["ref"] = answer.ref
                await asyncio.sleep(int(answer.retry) / 1000)

    async def start(self, text: str) -> f.Ack:
        """Begin a conversation, follow it, and return where its first message stands."""
        begun = await self.do("start", text=text)
        await self.open(begun.conversation)
        return begun

    async def send(self, conversation: str, text: str) -> f.Ack:
        return await self.do("send", conversation=conversation, text=text)

    async def open(self, conversation: str) -> list[f.Message]:
        """Follow a conversation and return its last page."""
        ref = await self.say("open", conversation=conversation)
        answer = await self.answer(ref)
        if isinstance(answer, f.Error):
            raise Refused(answer)
        shown = await self.want(f.Reset, lambda page: page.conversation == conversation)
        await self.want(f.Ack, lambda ack: ack.ref == ref)
        return messages_of(shown)

    async def authenticate(self, token: str) -> f.Identity:
        """Sign in on the live socket."""
        identity = await self.do("authenticate", token=token)
        assert isinstance(identity, f.Identity)
        return identity

    async def conversations(self) -> list[f.ConversationView]:
        """List the person's own conversations."""
        ref = await self.say("conversations")
        views: list[f.ConversationView] = []
        while isinstance(answer := await self.answer(ref), f.ConversationView):
            views.append(answer)
            if not answer.more:
                break
        return views

    def write(self, raw: bytes) -> None:
        """Put bytes on the wire as they are."""
        self._socket.transport.write(raw)

    # Hearing

    async def answer(self, ref: str) -> Any:
        """Return the next frame that carries ``ref`` and is no event of a conversation."""
        return await self.want(f.ServerFrame, lambda frame: getattr(frame, "ref", "") == ref and not _is_event(frame))

    async def want(
        self, kind: type[_F], where: Callable[[_F], bool] = lambda _: True, within_s: float = PATIENCE_S
    ) -> _F:
        """Take the first frame of this kind that arrived or arrives."""
        async with asyncio.timeout(within_s), self._changed:
            while True:
                for index, frame in enumerate(self._unread):
                    if isinstance(frame, kind) and where(frame):
                        del self._unread[index]
                        return frame
                if self._reading.done():
                    raise Ended(f"closed with {self.close_code} ({self.goodbye}) before a {kind.__name__}")
                await self._changed.wait()

    async def hears(self, text: str) -> f.Message:
        """Take the message that says ``text``."""
        return await self.want(f.Message, lambda message: message.text == text)

    async def shows(self, conversation: str, seq: int) -> f.Message:
        """Return an entry of a conversation once it is shown, live or in a replay."""
        found: list[f.Message] = []

        def has_it(frame: f.ServerFrame) -> bool:
            shown = [frame] if isinstance(frame, f.Message) else []
            if isinstance(frame, (f.Replay, f.Reset)):
                shown = messages_of(frame)
            found[:] = [one for one in shown if (one.conversation, one.seq) == (conversation, seq)]
            return bool(found)

        await self.want(f.ServerFrame, has_it)
        return found[0]

    async def ended(self, within_s: float = PATIENCE_S) -> tuple[f.Goodbye | None, int | None]:
        """Wait for the gateway to end it; return the goodbye and the close frame's code."""
        async with asyncio.timeout(within_s):
            await asyncio.shield(self._reading)
        return self.goodbye, self.close_code

    @property
    def is_open(self) -> bool:
        return not self._reading.done()

    async def _read(self) -> None:
        try:
            while True:
                await self._take(await self._socket.recv())
        except ConnectionClosed:
            self.close_code = self._socket.close_code
        finally:
            async with self._changed:
                self._changed.notify_all()

    async def _take(self, data: str | bytes) -> None:
        frames = codec.decode_server(data)
        assert 1 <= len(frames) <= codec.MAX_FRAMES_PER_MESSAGE
        for frame in frames:
            if isinstance(frame, f.Beat):
                with contextlib.suppress(ConnectionClosed):
                    await self.say("heartbeat", ref="")
            elif isinstance(frame, f.Goodbye):
                self.goodbye = frame
        async with self._changed:
            self._unread += frames
            self._changed.notify_all()


def _is_event(frame: f.ServerFrame) -> bool:
    return isinstance(frame, (f.Message, f.NoteEntry))


def _encode(verb: str, fields: Mapping[str, object]) -> str:
    # Absent, not null: what a browser leaves out of its object.
    present = {name: value for name, value in fields.items() if value is not None and (name, value) != ("ref", "")}
    return msgspec.json.encode({"type": verb, **present}).decode()


async def read_log(client: Client, conversation: str) -> list[f.Message]:
    """Return a whole conversation as this client may read it, oldest first."""
    log = await client.open(conversation)
    while log and log[0].seq > 1:
        first = log[0]
        page = await client.do(
            "history", conversation=conversation, before=(first.at, first.seq, first.link), limit=100
        )
        log = messages_of(page) + log
    return log
