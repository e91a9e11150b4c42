"""Ask the store on behalf of somebody, under a judgement: for a connection as long as it lives, for one HTTP request.

Every script carries the version that was applied when whoever asks was judged, and they are judged anew for every
call: the dead ask nothing. An answer "stale" means that the partition knows of withdrawn trust that this node has not
heard of: the node catches up, whoever asked is judged again, and a survivor's call is repeated. Nobody who survives
notices.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from chatgateway.close_codes import CloseCode
from chatgateway.core import effects as fx
from chatgateway.core.identity import Agent, Anonymous, Identity
from chatgateway.core.rotation import Grounds, Trust, ended
from chatgateway.errors import ChatGatewayError, Stale, StoreError, StoreUnavailable, Withdrawn
from chatgateway.protocol import codec
from chatgateway.protocol import frames as f
from chatgateway.store import schema
from chatgateway.store.conversations import Acting, Conversations, Entry, require_conversation
from chatgateway.types import ConversationId, ProjectId, SessionId, UnixMs

if TYPE_CHECKING:
    from chatgateway.gateway.parts import Parts

Ask = Callable[[Acting, Callable[[Any], None]], None]
"""A store call: told on whose behalf, and whom to tell."""

REPEATS_MAX = 8
"""Fences raised in a row that one call survives."""

ASK_S = 60
"""How long an awaited call may take, repeats included."""


class Principal(Protocol):
    """On whose behalf the store is asked."""

    @property
    def identity(self) -> Identity | None: ...
    @property
    def grounds(self) -> Grounds | None: ...
    @property
    def session_id(self) -> SessionId: ...
    @property
    def signed_at(self) -> UnixMs: ...

    def rests_on_withdrawn(self, trust: Trust) -> CloseCode | None:
        """Return why they may not go on, or None: judged anew each time."""
        ...

    def end_trust(self, code: CloseCode) -> None:
        """Trust in them was found to be gone."""
        ...


class Behalf:
    """Judged store calls of this node."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def acting(self, who: Principal, project: ProjectId) -> Acting | None:
        """Judge them now. None: trust in them is gone, and they have been told."""
        trust = self._parts.node.trust
        code = who.rests_on_withdrawn(trust)
        if code is not None:
            who.end_trust(code)
            return None
        identity = who.identity
        assert identity is not None
        return Acting(
            user=identity.user,
            side="agent" if isinstance(identity, Agent) else "visitor",
            session=who.session_id,
            signed_at=who.signed_at,
            project=project,
            kid=who.grounds.kid if who.grounds is not None else None,
            version=trust.applied,
        )

    def call(
        self,
        who: Principal,
        project: ProjectId,
        partition: int,
        ask: Ask,
        done: Callable[[Any], None],
        tries: int = REPEATS_MAX,
    ) -> None:
        """Ask the store. ``done`` hears the answer or the error, also when trust ended meanwhile."""
        acting = self.acting(who, project)
        if acting is None:
            done(StoreUnavailable("the session has ended"))
            return
        if not self._parts.node.may_act:
            done(StoreUnavailable("this node has no lease"))
            return

        def answered(reply: Any) -> None:
            if isinstance(reply, Stale) and tries:
                self._parts.errands.spawn(self._again(who, project, partition, ask, done, reply, tries - 1))
            elif isinstance(reply, Withdrawn):
                who.end_trust(ended(reply.mark, anonymous=isinstance(who.identity, Anonymous)))
                done(StoreUnavailable("the session has ended"))
            elif who.rests_on_withdrawn(self._parts.node.trust) is None:
                done(reply)
            else:
                done(StoreUnavailable("the session has ended"))

        ask(acting, answered)

    async def _again(
        self,
        who: Principal,
        project: ProjectId,
        partition: int,
        ask: Ask,
        done: Callable[[Any], None],
        stale: Stale,
        tries: int,
    ) -> None:
        try:
            await self._parts.node.catch_up(stale, partition)
        except StoreError as error:
            done(error)
            return
        self.call(who, project, partition, ask, done, tries)

    async def ask(self, who: Principal, project: ProjectId, conversation: ConversationId, ask: Ask) -> Any:
        """The same, awaited. Raises what the store answered, or StoreUnavailable when trust ended meanwhile."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def done(reply: Any) -> None:
            if future.done():
                return
            if isinstance(reply, ChatGatewayError):
                future.set_exception(reply)
            else:
                future.set_result(reply)

        if who.rests_on_withdrawn(self._parts.node.trust) is not None:
            raise StoreUnavailable("the session has ended")
        self.call(who, project, schema.partition_of_conversation(conversation), ask, done)
        async with asyncio.timeout(ASK_S):
            return await future


# What is asked


def appending(conversations: Conversations, order: fx.Append) -> Ask:
    """Return the call that stores what ``order`` says; answered by an Appended or a PeerError per entry."""
    conversation = require_conversation(order.conversation)
    entries = [Entry(write.ref, write.tail, write.is_text) for write in order.entries]
    act: Any = order.act

    def ask(acting: Acting, done: Callable[[Any], None]) -> None:
        conversations.append(acting, conversation, entries, done, act=act, subject=order.subject)

    return ask


def marking(conversations: Conversations, order: fx.MarkRead, identity: Identity) -> Ask:
    """Return the call that moves a read mark forward and tells the others."""
    conversation = require_conversation(order.conversation)
    mark = codec.encode(f.ReadMark(conversation=conversation, user=identity.user, role=identity.role, seq=order.seq))
    return lambda acting, done: conversations.read(acting, conversation, order.seq, mark, done)


def paging(conversations: Conversations, order: fx.FetchHistory) -> Ask:
    """Return the call that reads the entries before a position; answered by a Page."""
    conversation = require_conversation(order.conversation)
    return lambda acting, done: conversations.open(
        acting, conversation, done, what="before", cursor=order.before, limit=order.limit
    )


def tailing(conversations: Conversations, conversation: ConversationId, limit: int) -> Ask:
    """Return the call that reads the last entries; answered by a Page."""
    return lambda acting, done: conversations.open(acting, conversation, done, what="tail", limit=limit)
