"""A visitor, an agent and somebody else, talking straight to the store's scripts."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chatgateway.core.conversation import new_conversation_id, new_ref
from chatgateway.protocol import codec
from chatgateway.protocol import frames as f
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.conversations import Acting, Appended, Conversations, Entry, Page
from chatgateway.types import (
    GENESIS_LINK,
    ConversationId,
    KeyId,
    Position,
    ProjectId,
    SessionId,
    UnixMs,
    UserId,
    Version,
)

PROJECT = ProjectId("prj_1")
OTHER_PROJECT = ProjectId("prj_2")
VISITOR = Acting(UserId("usr_v"), "visitor", SessionId("ses_v"), UnixMs(1_000), PROJECT, None, Version(0))
AGENT = Acting(UserId("agt_a"), "agent", SessionId("ses_a"), UnixMs(1_000), PROJECT, None, Version(0))
NODE = Acting(UserId(""), "node", SessionId(""), UnixMs(0), ProjectId(""), None, Version(0))
PARTITION = schema.partition_of_user(PROJECT, VISITOR.user)
CONVERSATION = new_conversation_id(PARTITION, PROJECT, VISITOR.user, "first")
KID = KeyId("key_1")


def event(conversation: ConversationId, acting: Acting, ref: str, text: str) -> bytes:
    """The event from "conversation" on, as the gateway hands it to ``append``."""
    role = "agent" if acting.side == "agent" else "visitor"
    author = f.Author(user=acting.user, role=role, assurance="anonymous")
    frame = f.Message(conversation=conversation, seq=0, at=0, link="", prev="", ref=ref, author=author, text=text)
    return codec.event_tail(frame)


def recomputed(prev: str, ref: str, at: int) -> str:
    """The link as docs/protocol.md defines it."""
    return hashlib.sha1(f"{prev}/{ref}/{at}".encode(), usedforsecurity=False).hexdigest()[:8]


async def answer(call: Callable[[Callable[[Any], None]], None]) -> Any:
    """Await what a call tells its ``done``; an error is returned, not raised."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    call(future.set_result)
    return await future


@dataclass
class Talk:
    """One conversation in one store."""

    store: Store
    conversation: ConversationId = CONVERSATION
    conversations: Conversations = field(init=False)

    def __post_init__(self) -> None:
        self.conversations = Conversations(self.store)

    def key(self, part: str) -> str:
        return schema.conversation(self.conversation, part)

    async def ref(self, ahead_ms: int = 0) -> str:
        """A ref as a client mints it from the store's clock."""
        return new_ref(UnixMs(await self.store.now() + ahead_ms), os.urandom(10))

    def entry(self, ref: str, text: str = "hi", acting: Acting = VISITOR, is_text: bool = True) -> Entry:
        return Entry(ref, event(self.conversation, acting, ref, text), is_text)

    async def append(self, entries: list[Entry], acting: Acting = VISITOR, **act: Any) -> Any:
        return await answer(lambda done: self.conversations.append(acting, self.conversation, entries, done, **act))

    async def say(self, text: str = "hi", acting: Acting = VISITOR, ref: str = "", **act: Any) -> Any:
        """Append one text; what is returned is an Appended or an error."""
        reply = await self.append([self.entry(ref or await self.ref(), text, acting)], acting, **act)
        return reply[0] if isinstance(reply, list) else reply

    async def begin(self, text: str = "hello", acting: Acting = VISITOR) -> Appended:
        return await self.say(text, acting, act="begin")

    async def act(self, act: str, acting: Acting = AGENT, subject: str = "") -> Any:
        """An entry that is no text: assigned, resolved, reopened, signed_in."""
        reply = await self.append(
            [self.entry(await self.ref(), "", acting, is_text=False)], acting, act=act, subject=subject
        )
        return reply[0] if isinstance(reply, list) else reply

    async def open(self, acting: Acting = VISITOR, cursor: Position | None = None, **options: Any) -> Page:
        if cursor is not None:
            options = {"what": "after", "cursor": cursor, **options}
        return await answer(lambda done: self.conversations.open(acting, self.conversation, done, **options))

    async def read(self, seq: int, acting: Acting = VISITOR, mark: bytes = b'{"type":"read"}') -> Any:
        return await answer(lambda done: self.conversations.read(acting, self.conversation, seq, mark, done))

    async def note(self, text: str = "psst", acting: Acting = AGENT, ref: str = "") -> Any:
        ref = ref or await self.ref()
        tail = event(self.conversation, acting, ref, text)
        return await answer(lambda done: self.conversations.note(acting, self.conversation, ref, tail, done))

    async def log(self) -> list[dict[str, Any]]:
        """Every event that is stored, decoded."""
        return [json.loads(one) for one, _ in await self.conversations.entries(self.conversation)]

    async def head(self) -> Any:
        return await answer(lambda done: self.conversations.head(self.conversation, done))


def texts(page: Page) -> list[str]:
    return [json.loads(entry).get("text", "") for entry in page.entries]


def chained(log: list[dict[str, Any]]) -> bool:
    """Is the log dense, and every link what its predecessor says?"""
    link = GENESIS_LINK
    for index, one in enumerate(log):
        if one["seq"] != index + 1 or one["prev"] != link or one["link"] != recomputed(link, one["ref"], one["at"]):
            return False
        link = one["link"]
    return True
