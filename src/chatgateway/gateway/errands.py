"""Carry out what a session orders: of the store through behalf.py, of the other parts directly.

Whatever one command meets ends as its answer, and what is under way is known, so that a stop ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from chatgateway.close_codes import CloseCode
from chatgateway.core import effects as fx
from chatgateway.core.identity import Agent, Anonymous
from chatgateway.errors import (
    Forbidden,
    NotFound,
    PeerError,
    StoreError,
    StoreUnavailable,
)
from chatgateway.gateway.behalf import Ask, appending, marking, paging
from chatgateway.gateway.connection import Connection
from chatgateway.gateway.views import raw
from chatgateway.log import log
from chatgateway.protocol import codec
from chatgateway.protocol import frames as f
from chatgateway.store import schema
from chatgateway.store.conversations import Acting, Page, agent_channel, event_channel, require_conversation
from chatgateway.store.sessions import SessionRow, closed
from chatgateway.types import AgentId, ConversationId, ProjectId, SessionId

if TYPE_CHECKING:
    from chatgateway.gateway.parts import Parts

CLOSED_BATCH_MS = 2_000
"""Closed sessions are noted in their rows this often; best effort within 5 s."""


class Errands:
    """The store calls of this node's connections."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed: list[tuple[SessionId, SessionRow, int]] = []

    # On whose behalf

    def acting(self, connection: Connection, project: ProjectId) -> Acting | None:
        """Judge the session now. None: it is dead, and has been told."""
        return self._parts.behalf.acting(connection, project)

    async def ask(self, connection: Connection, project: ProjectId, conversation: ConversationId, ask: Ask) -> Any:
        """Return what the store answers. Raises what it refuses with, or StoreUnavailable when the session died."""
        return await self._parts.behalf.ask(connection, project, conversation, ask)

    def withdraw(self, connection: Connection, code: CloseCode) -> None:
        """Trust was found to be gone: end the connection, with a delay that spreads those who come back."""
        connection.end_trust(code)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work that belongs to one command, and keep it from being forgotten."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("errand.failed", exc_info=task.exception())

    async def stop(self) -> None:
        """End what is under way, and note the sessions that closed."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.flush_closed()

    # What sessions order

    def run(self, connection: Connection, effect: fx.Effect) -> None:
        """Carry out one effect. Never raises: what goes wrong is told to the session."""
        match effect:
            case fx.Append():
                self._append(connection, effect)
            case fx.TellTyping(conversation, on):
                self._typing(connection, ConversationId(conversation), on)
            case fx.Identify() | fx.SignIn() | fx.SignOff():
                self.spawn(self._parts.speaker.carry_out(connection, effect))
            case fx.Unfollow(conversation):
                connection.wanted.pop(ConversationId(conversation), None)
                hub = connection.followed.pop(ConversationId(conversation), None)
                if hub is not None:
                    hub.leave(connection)
            case fx.SetAway(ref, on):
                connection.away = on
                self._parts.node.ring_doorbell()
                connection.hear(fx.Answered(ref))
            case fx.KeepContext(ref, page, facts):
                connection.caller.page = page or connection.caller.page
                connection.caller.facts = dict(facts)
                self._parts.desk.context_changed(connection)
                connection.hear(fx.Answered(ref))
            case fx.Follow(conversation, _, ref):
                connection.wanted[ConversationId(conversation)] = effect
                following = self._parts.fanout.follow(connection, effect)
                self.spawn(self._guarded(connection, ref, following, conversation))
            case fx.MarkRead(ref, _, _):
                self.spawn(self._guarded(connection, ref, self._read(connection, effect)))
            case fx.FetchHistory(ref, _, _, _):
                self.spawn(self._guarded(connection, ref, self._history(connection, effect)))
            case fx.ListConversations(ref):
                self.spawn(self._guarded(connection, ref, self._parts.desk.list_conversations(connection, ref)))
            case fx.ListInbox(inbox):
                self.spawn(self._guarded(connection, inbox.ref, self._parts.desk.list_inbox(connection, inbox)))
            case fx.WriteNote(ref, _, _):
                self.spawn(self._guarded(connection, ref, self._note(connection, effect)))
            case fx.KeepChat(ref):
                self.spawn(self._guarded(connection, ref, self._parts.adoption.keep(connection, ref)))
            case fx.GiveChatBack(ref, receipt):
                self.spawn(self._guarded(connection, ref, self._parts.adoption.give_back(connection, ref, receipt)))
            case fx.ProveEmail(ref, _, _):
                self.spawn(self._guarded(connection, ref, self._parts.proving.prove(connection, effect)))
            case fx.Say() | fx.End():
                raise AssertionError("the connection does these itself")

    async def _guarded(
        self, connection: Connection, ref: str, work: Coroutine[Any, Any, None], unfollowed: str = ""
    ) -> None:
        """Whatever one command meets ends as its answer."""
        try:
            await work
        except (PeerError, StoreError, TimeoutError) as error:
            known = StoreUnavailable(str(error)) if isinstance(error, TimeoutError) else error
            connection.hear(fx.Failed(ref, known, unfollowed))
        except Exception as error:  # noqa: BLE001  the outermost frame of a command
            log.error("command.failed", session=connection.session_id, exc_info=error)
            connection.hear(fx.Failed(ref, error, unfollowed))

    # Appending: no task, no future

    def _append(self, connection: Connection, append: fx.Append, *, checked: bool = False) -> None:
        name = append.conversation
        try:
            conversation = require_conversation(name)
            project = connection.project_of(conversation)
        except (PeerError, StoreError) as error:
            connection.hear(fx.NotStored(name, error))
            return
        if connection.row is None and isinstance(connection.session.identity, Anonymous):
            self.spawn(self._first_words(connection, append))
            return
        if append.act == "assigned" and append.subject and not checked:
            self.spawn(self._assign(connection, append, project))
            return

        def stored(reply: Any) -> None:
            if isinstance(reply, Exception):
                connection.hear(fx.NotStored(name, reply))
                return
            answers = tuple(
                answer if isinstance(answer, PeerError) else (answer.position, answer.repeated) for answer in reply
            )
            connection.hear(fx.Stored(name, answers))

        ask = appending(self._parts.conversations, append)
        self._parts.behalf.call(connection, project, schema.partition_of_conversation(conversation), ask, stored)

    async def _first_words(self, connection: Connection, append: fx.Append) -> None:
        """An anonymous visitor has no row in the store before the first message of a connection: write it now."""
        try:
            await self._parts.speaker.record(connection)
        except (PeerError, StoreError) as error:
            connection.hear(fx.NotStored(append.conversation, error))
            return
        self._append(connection, append)

    async def _assign(self, connection: Connection, append: fx.Append, project: ProjectId) -> None:
        """Only somebody who answers for the project can be given its conversations."""
        try:
            agent = await self._parts.agents.get(AgentId(append.subject))
            if not agent.serves(project):
                raise NotFound
        except NotFound:
            connection.hear(fx.NotStored(append.conversation, Forbidden("No such agent answers for this project.")))
        except StoreError as error:
            connection.hear(fx.NotStored(append.conversation, error))
        else:
            self._append(connection, append, checked=True)

    # Hints

    def _typing(self, connection: Connection, conversation: ConversationId, on: bool) -> None:
        identity = connection.session.identity
        if identity is None or conversation not in connection.followed:
            return
        frame = f.TypingNow(
            conversation=conversation, user=identity.user, role=identity.role, name=identity.name, on=on
        )
        self._parts.conversations.publish(event_channel(conversation), codec.encode(frame))

    # Reading and the rest

    async def _read(self, connection: Connection, order: fx.MarkRead) -> None:
        conversation = require_conversation(order.conversation)
        identity = connection.session.identity
        assert identity is not None
        ask = marking(self._parts.conversations, order, identity)
        await self.ask(connection, connection.project_of(conversation), conversation, ask)
        connection.hear(fx.Answered(order.ref))

    async def _history(self, connection: Connection, order: fx.FetchHistory) -> None:
        conversation = require_conversation(order.conversation)
        ask = paging(self._parts.conversations, order)
        page: Page = await self.ask(connection, connection.project_of(conversation), conversation, ask)
        frame = f.Replay(conversation=conversation, messages=raw(page.entries), ref=order.ref, more=page.more)
        connection.hear(fx.Answered(order.ref, (frame,), ack=False))

    async def _note(self, connection: Connection, order: fx.WriteNote) -> None:
        conversation = require_conversation(order.conversation)
        identity = connection.session.identity
        assert isinstance(identity, Agent)
        entry = f.NoteEntry(
            conversation=conversation,
            seq=0,
            at=0,
            agent=identity.agent,
            text=order.text,
            name=identity.name,
            ref=order.ref,
        )
        tail = codec.event_tail(entry)
        at, seq, repeated = await self.ask(
            connection, connection.project_of(conversation), conversation,
            lambda acting, done: self._parts.conversations.note(acting, conversation, order.ref, tail, done),
        )  # fmt: skip
        ack = f.Ack(ref=order.ref, at=at, seq=seq, repeated=bool(repeated), conversation=conversation)
        connection.hear(fx.Answered(order.ref, (ack,), ack=False))

    def tell_agents(self, conversation: ConversationId, frame: f.ServerFrame) -> None:
        """Publish a frame that only agents who follow the conversation receive."""
        self._parts.conversations.publish(agent_channel(conversation), codec.encode(frame))

    # Closed sessions

    def closed(self, connection: Connection, code: int) -> None:
        """A connection is gone: note it in its row, with the others of the next seconds."""
        if connection.row is not None:
            self.row_closed(connection.session_id, connection.row, code)

    def row_closed(self, session: SessionId, row: SessionRow, code: int) -> None:
        """A session is nobody's any more: its socket is gone, or became another session."""
        for other in self._parts.roster.of_session(session):
            # Whoever stays goes on with the account that was bound last; with an older one it could note nothing.
            if other.row is not None and other.row.bound_at < row.bound_at:
                other.row = row
        if not self._closed:
            self._parts.wheel.schedule(CLOSED_BATCH_MS, self.flush_closed)
        self._closed.append((session, row, code))

    def flush_closed(self) -> None:
        batch, self._closed = self._closed, []
        now = self._parts.node.now()
        for session, row, code in batch:
            # Whoever bound it again meanwhile, here or elsewhere, has the last word.
            if not self._parts.roster.holds(session):
                self._parts.sessions.keep(session, closed(row, now, code))
