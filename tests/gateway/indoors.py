"""A gateway without its wire: every real part over a real store, in this process, and tabs that speak frames to it.

Nothing sleeps: a tab waits for the frame that a test names, and time moves when a test moves it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import jwt
from starlette.applications import Starlette

from chatgateway.core.conversation import new_ref
from chatgateway.core.keyring import secret_from, shared_secret
from chatgateway.core.project import AgentRecord, App, Project
from chatgateway.gateway.assembly import assembled
from chatgateway.gateway.connection import Caller, Connection
from chatgateway.gateway.parts import Parts
from chatgateway.gateway.routes import routes
from chatgateway.gateway.timing import TimingWheel
from chatgateway.settings import Settings
from chatgateway.store.client import Store
from chatgateway.store.control import Barrier
from chatgateway.store.opening import OpenedStore
from chatgateway.store.sealing import Sealer, fresh_master_key, read_master_keys
from chatgateway.store.sessions import SessionRow
from chatgateway.types import KeyId, SessionId, UnixMs

SHOP = "https://shop.example"
"""The origin of every page of these tests."""

PASSWORD = "correct horse"
PATIENCE_S = 15.0
"""No wait of a test is longer than this."""


class FakeSocket:
    """A LiveSocket without a wire: what was sent is decoded, and a close is answered in the next tick."""

    def __init__(self, address: str) -> None:
        self.peer_address = address
        self.frames: list[dict[str, Any]] = []
        """What was sent and nobody asked for yet."""
        self.closed: int | None = None
        """The code of the close, ours or the peer's."""
        self.is_stuck = False
        """The peer takes nothing: what is written stays in the buffer."""
        self.changed = asyncio.Event()
        self._listener: Any = None

    def hand_over(self, listener: Any) -> None:
        self._listener = listener

    def send_framed(self, frame: bytes) -> None:
        if self._listener is None:
            return  # as the real one: nobody is told anything before the hand-over
        while frame:
            size, start = frame[1], 2
            if size == 126:
                (size,), start = struct.unpack("!H", frame[2:4]), 4
            elif size == 127:
                (size,), start = struct.unpack("!Q", frame[2:10]), 10
            self.frames += json.loads(frame[start : start + size])
            frame = frame[start + size :]
        self.changed.set()

    def close(self, code: int, reason: str = "") -> None:
        if self.closed is None and self._listener is not None:
            self._ended(int(code))

    def drop(self) -> None:
        """The peer is gone without a word, and heard at once."""
        if self.closed is None:
            self.closed = 1006
            self._listener.on_closed(1006)
            self.changed.set()

    def buffered(self) -> int:
        return 2**30 if self.is_stuck else 0

    def _ended(self, code: int) -> None:
        self.closed = code
        self.changed.set()
        asyncio.get_running_loop().call_soon(self._listener.on_closed, code)


class Refused(AssertionError):
    """A command was answered with an error that the test did not ask for."""


class Tab:
    """One page with one socket. Commands are the frames of the protocol, answers are what came back."""

    def __init__(self, indoors: Indoors, parts: Parts, address: str, origin: str | None) -> None:
        self._indoors = indoors
        self.parts = parts
        self.socket = FakeSocket(address)
        socket: Any = self.socket
        self.connection = Connection(parts, socket, Caller(origin=origin, address=address))
        # As live.py does.
        self.connection.opened()
        socket.hand_over(self.connection)
        parts.doors.entered(self.connection)
        self.me: dict[str, Any] = {}
        """The welcome."""

    @property
    def unread(self) -> list[dict[str, Any]]:
        return self.socket.frames

    def say(self, kind: str, **fields: Any) -> None:
        """Say one frame, and wait for nothing."""
        self.connection.on_text(json.dumps({"type": kind, **fields}).encode())

    async def hears(self, kind: str, where: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """Return the first frame of this kind, waiting for it; those before it stay unread."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for index, frame in enumerate(self.socket.frames):
                    if frame["type"] == kind and where(frame):
                        return self.socket.frames.pop(index)
                assert self.socket.closed is None, f"closed with {self.socket.closed}: {self.socket.frames}"
                self.socket.changed.clear()
                await self.socket.changed.wait()

    async def answers(self, ref: str) -> dict[str, Any]:
        """Return the frame that answers ``ref``, an error too."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for index, frame in enumerate(self.socket.frames):
                    if frame.get("ref") == ref and frame["type"] not in ("message", "conversation", "note"):
                        return self.socket.frames.pop(index)
                assert self.socket.closed is None, f"closed with {self.socket.closed}: {self.socket.frames}"
                self.socket.changed.clear()
                await self.socket.changed.wait()

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Say one command and return what answers it, an error too."""
        ref = fields.pop("ref", None) or self._indoors.ref()
        self.say(kind, ref=ref, **fields)
        return await self.answers(ref)

    async def do(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The same for what must succeed."""
        answer = await self.ask(kind, **fields)
        if answer["type"] == "error":
            raise Refused(f"{answer['code']}: {answer['sentence']}")
        return answer

    async def start(self, text: str = "hello") -> str:
        """Begin a conversation and return its id."""
        return (await self.do("start", text=text))["conversation"]

    async def open(self, conversation: str) -> None:
        await self.do("open", conversation=conversation)

    async def ended(self) -> int:
        """Return the code of the close, waiting for it; the gateway has forgotten the connection then."""
        async with asyncio.timeout(PATIENCE_S):
            while self.socket.closed is None:
                self.socket.changed.clear()
                await self.socket.changed.wait()
            while not self.connection.closed:
                await asyncio.sleep(0)
        return self.socket.closed

    def leave(self) -> None:
        """Close the page."""
        self.socket.drop()

    @property
    def texts(self) -> list[str]:
        """What this tab was shown as live messages, and nobody asked for."""
        return [frame.get("text", "") for frame in self.unread if frame["type"] == "message"]


class Indoors:
    """One project with an app, two keys and an agent, on one or more nodes in this process."""

    def __init__(self, store: Store, home: Path, sealer: Sealer, stack: contextlib.AsyncExitStack) -> None:
        self.store = store
        self._home = home
        self._sealer = sealer
        self._stack = stack
        self._secrets: dict[KeyId, str] = {}
        self._addresses = 0
        self.parts: Parts
        self.project: Project
        self.app: App
        self.agent: AgentRecord

    async def node(self, **settings: Any) -> Parts:
        """Start one more node over the same store."""
        wheel = TimingWheel()
        parts = await self._stack.enter_async_context(
            assembled(Settings(data=self._home, **settings), OpenedStore(self.store, self._sealer), wheel)
        )
        self._stack.callback(wheel.stop)
        return parts

    async def found(self, **settings: Any) -> None:
        self.parts = await self.node(**settings)
        projects = self.parts.projects
        self.project = await projects.create_project("Shop")
        self.app = await projects.create_app(self.project.id, "Web", (SHOP,))
        await self.add_key("k1")
        await self.add_key("k2")
        self.agent = await self.parts.agents.create("Dana", PASSWORD, projects=(self.project.id,))

    def ref(self) -> str:
        return new_ref(UnixMs(time.time_ns() // 1_000_000), os.urandom(10))

    async def idle(self) -> None:
        """Return when no command is under way any more."""
        async with asyncio.timeout(PATIENCE_S):
            while tasks := list(self.parts.errands._tasks):
                await asyncio.wait(tasks)

    # The site's server

    async def add_key(self, kid: str) -> None:
        secret, now = secret_from(os.urandom(32), live=True), await self.store.now()
        key = shared_secret(KeyId(kid), secret, kid, now)
        await self.parts.keyrings.change(self.project.id, lambda ring: ring.add(key))
        self._secrets[KeyId(kid)] = secret

    def token(self, external_id: str, kid: str = "k1", **claims: Any) -> str:
        """Sign as the site's server does."""
        now = int(time.time())
        body = {"external_id": external_id, "name": external_id.title(), "iat": now, "exp": now + 600}
        return jwt.encode(body | claims, self._secrets[KeyId(kid)], "HS256", headers={"kid": kid})

    # The operator

    async def regenerate(self, kid: str = "k1") -> Barrier:
        """Replace a secret, as the command does, and return the proof."""
        parts, now = self.parts, await self.store.now()
        fresh = shared_secret(KeyId(f"{kid}-next"), secret_from(os.urandom(32), live=True), kid, now)
        entry = parts.control.entry("key", self.project.id, kid, "regenerated", now)
        changed = await parts.keyrings.change(
            self.project.id, lambda ring: ring.regenerate(KeyId(kid), fresh, now), entry
        )
        assert changed.control is not None
        return await parts.control.withdraw(changed.control)

    async def rows(self, user: str) -> dict[SessionId, SessionRow]:
        """Return a person's session rows, after those that closed were noted."""
        user_id: Any = user
        self.parts.errands.flush_closed()
        # A script that the server does not know yet is sent again when it says so: before what is asked after this.
        await self.store.now()
        return await self.parts.sessions.of_person(self.project.id, user_id)

    # Whoever comes

    def tab(self, parts: Parts | None = None, *, address: str = "", origin: str | None = SHOP) -> Tab:
        """Open a socket and say nothing yet; each tab comes from an address of its own."""
        self._addresses += 1
        return Tab(self, parts or self.parts, address or f"198.51.100.{self._addresses}", origin)

    async def visitor(self, token: str | None = None, *, parts: Parts | None = None, **hello: Any) -> Tab:
        """Come in as a visitor: with a customer token, a session token, or as a stranger."""
        tab = self.tab(parts)
        tab.say("hello", ref="hello", token=token, **{"app": self.app.id, **hello})
        tab.me = await tab.hears("welcome")
        return tab

    async def refused(self, token: str | None = None, **hello: Any) -> int:
        """Say hello in vain, and return the code of the close."""
        tab = self.tab()
        tab.say("hello", ref="hello", token=token, **{"app": self.app.id, **hello})
        return await tab.ended()

    async def colleague(self, parts: Parts | None = None, cookie: str = "") -> Tab:
        """Come in as the agent."""
        tab = self.tab(parts, origin=None)
        tab.say("hello", ref="hello", token=await self.parts.agents.issue_ticket(self.agent, cookie))
        tab.me = await tab.hears("welcome")
        return tab

    def browser(self, address: str = "192.0.2.1", **options: Any) -> httpx2.AsyncClient:
        """Speak HTTP to the gateway's own routes."""
        app = Starlette(routes=routes())
        app.state.parts = self.parts
        transport = httpx2.ASGITransport(app=app, client=(address, 1))
        return httpx2.AsyncClient(transport=transport, base_url="https://gateway.example", **options)


@contextlib.asynccontextmanager
async def founded(store: Store, home: Path, **settings: Any) -> AsyncIterator[Indoors]:
    """Yield a gateway with one node."""
    sealer = Sealer(read_master_keys(fresh_master_key()))
    async with contextlib.AsyncExitStack() as stack:
        indoors = Indoors(store, home, sealer, stack)
        await indoors.found(**settings)
        yield indoors


async def settled() -> None:
    """Return when whatever could happen without the store has happened."""
    for _ in range(20):
        await asyncio.sleep(0)
