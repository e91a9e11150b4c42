"""One raw connection to the store, and how it is kept: bytes out, replies in, back-off between attempts.

RESP2, because a subscriber's and a multiplexer's replies are then plain lists. No command waits here and none is
repeated: what was in flight when a connection ended is for its owner to judge.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import random
import ssl
import urllib.parse
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import hiredis

from chatgateway.errors import StoreError, StoreUnavailable
from chatgateway.store.replies import refusal

CONNECT_MAX_S = 5.0
BACK_OFF_MIN_S = 0.02
BACK_OFF_MAX_S = 2.0
"""An embedded store is back after 40 ms; a failover takes seconds."""

_NOTHING = object()

Reply = Any
"""What RESP2 can say: bytes, int, None, a StoreError, or a list of them."""

pack = cast("Callable[[tuple[str | bytes | int, ...]], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]
"""A command's words as RESP. (Its own annotation claims one word.)"""


class Address(NamedTuple):
    """Where a store is and how to enter it."""

    path: str | None
    host: str
    port: int
    tls: bool
    username: str | None
    password: str | None
    database: int

    def __repr__(self) -> str:
        return f"Address({self})"

    def __str__(self) -> str:
        """Without the credentials: this goes into logs and sentences."""
        return self.path or f"{self.host}:{self.port}"


def parse_url(url: str) -> Address:
    """Read ``unix://[user:password@]/path?db=N``, ``redis://`` or ``rediss://[user:password@]host[:port][/N]``.

    Raises ValueError, whose text never holds the url: it may hold a password.
    """
    parts = urllib.parse.urlsplit(url)
    query = urllib.parse.parse_qs(parts.query)
    if parts.scheme not in {"unix", "redis", "rediss"}:
        raise ValueError("a store's url starts with unix://, redis:// or rediss://")
    unix = parts.scheme == "unix"
    database = query["db"][0] if "db" in query else ("" if unix else parts.path.strip("/"))
    if not (database.isdecimal() or not database) or (unix and not parts.path):
        raise ValueError("a store's url names a path or a host, and a database by its number")
    return Address(
        path=urllib.parse.unquote(parts.path) if unix else None,
        host=parts.hostname or "localhost",
        port=parts.port or 6379,
        tls=parts.scheme == "rediss",
        username=urllib.parse.unquote(parts.username) if parts.username else None,
        password=urllib.parse.unquote(parts.password) if parts.password else None,
        database=int(database or 0),
    )


class Connection(asyncio.Protocol):
    """One connection: ``on_replies`` hears every batch that arrived, in order; ``on_lost`` hears the end, once."""

    def __init__(self, on_replies: Callable[[list[Any]], None], on_lost: Callable[[], None]) -> None:
        self._on_replies = on_replies
        self._on_lost = on_lost
        self._reader = hiredis.Reader(protocolError=StoreError, replyError=refusal, notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        replies: list[Any] = []
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not _NOTHING:
                replies.append(reply)
        except StoreError:  # not RESP: whatever this is, it is not our store
            self.abort()
        self._on_replies(replies)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._on_lost()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def hear(self, on_replies: Callable[[list[Any]], None], on_lost: Callable[[], None]) -> None:
        """Hand the connection over to those who will use it."""
        self._on_replies = on_replies
        self._on_lost = on_lost
        if self._transport is None:  # it ended while it changed hands
            asyncio.get_running_loop().call_soon(on_lost)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def connect(address: Address) -> Connection:
    """Return a connection that has said who it is, chosen its database and been answered: the server does its work.

    Raises StoreUnavailable.
    """
    commands: list[tuple[str | int, ...]] = []
    if address.password is not None:
        commands.append(("AUTH", *((address.username,) if address.username else ()), address.password))
    if address.database:
        commands.append(("SELECT", address.database))
    commands.append(("PING",))
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[None] = loop.create_future()
    answers: collections.deque[Any] = collections.deque()

    def on_replies(replies: list[Any]) -> None:
        answers.extend(replies)
        if len(answers) >= len(commands) and not answered.done():
            answered.set_result(None)

    def on_lost() -> None:
        if not answered.done():
            answered.set_exception(ConnectionResetError("closed by the store"))

    connection = Connection(on_replies, on_lost)
    try:
        async with asyncio.timeout(CONNECT_MAX_S):
            if address.path is not None:
                await loop.create_unix_connection(lambda: connection, address.path)
            else:
                context = ssl.create_default_context() if address.tls else None
                await loop.create_connection(lambda: connection, address.host, address.port, ssl=context)
            connection.write(b"".join(pack(command) for command in commands))
            await answered
    except (OSError, TimeoutError) as error:
        connection.abort()
        reason = os.strerror(error.errno) if error.errno else str(error) or "no answer"
        raise StoreUnavailable(f"The store at {address} cannot be reached: {reason}") from error
    except BaseException:
        connection.abort()
        raise
    for answer in answers:
        if isinstance(answer, StoreError):
            connection.abort()
            raise StoreUnavailable(f"The store at {address} does not let us in: {answer}") from answer
    return connection


class Keeper:
    """Keeps one connection: connects, hands it to ``on_up``, waits for its end, tries again with jittered back-off.

    ``on_up`` must call ``Connection.hear`` and tell ``lost()`` when the connection ends.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, on_up: Callable[[Connection], None]) -> None:
        """Connect for the first time. Raises StoreUnavailable; afterwards reconnecting is our own affair."""
        connection = await connect(self._address)
        on_up(connection)
        self._task = asyncio.create_task(self._keep(on_up), name=f"store connection {self._address}")

    def lost(self) -> None:
        self._ended.set()

    async def _keep(self, on_up: Callable[[Connection], None]) -> None:
        while True:
            await self._ended.wait()
            self._ended.clear()
            pause = BACK_OFF_MIN_S
            while True:
                # Full jitter: a thousand connections must not come back in step.
                await asyncio.sleep(random.uniform(0, pause))  # noqa: S311
                try:
                    connection = await connect(self._address)
                except StoreUnavailable:
                    pause = min(pause * 2, BACK_OFF_MAX_S)
                else:
                    on_up(connection)
                    break

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
