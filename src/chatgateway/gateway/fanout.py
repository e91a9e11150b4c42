"""From publications to listeners: this node's hubs, and how somebody comes to follow a conversation."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from chatgateway.core import effects as fx
from chatgateway.core.identity import Agent
from chatgateway.errors import ConversationUnknown, StoreError, StoreUnavailable
from chatgateway.gateway.connection import Connection
from chatgateway.gateway.hub import Hub
from chatgateway.gateway.views import agents_view, raw, reset_frame, visitors_view
from chatgateway.log import log
from chatgateway.protocol import codec
from chatgateway.protocol import frames as f
from chatgateway.store.conversations import (
    PAGE_ENTRIES,
    REPLAY_ENTRIES,
    Acting,
    Page,
    agent_channel,
    event_channel,
    require_conversation,
)
from chatgateway.store.subscriber import Subscriber
from chatgateway.types import ConversationId, Position, ProjectId, SessionId, UnixMs, UserId

if TYPE_CHECKING:
    from chatgateway.gateway.parts import Parts

IDLE_MS = 5_000
"""A hub without listeners is kept this long: pages that navigate come back at once."""

LOOK_EVERY_MS = 1_000


class Fanout:
    """The hubs of this node."""

    def __init__(self, parts: Parts, subscriber: Subscriber) -> None:
        self._parts = parts
        self._subscriber = subscriber
        self._hubs: dict[ConversationId, Hub] = {}
        self._opening: dict[ConversationId, tuple[asyncio.Lock, int]] = {}
        self._agent_channels: set[ConversationId] = set()
        parts.wheel.schedule(LOOK_EVERY_MS, self._look)

    @property
    def may_deliver(self) -> bool:
        return self._parts.node.may_act

    def loop_time(self) -> float:
        return asyncio.get_running_loop().time()

    # Following

    async def follow(self, connection: Connection, order: fx.Follow) -> None:
        """Bring a connection to the top of a conversation and keep it there.

        Raises ConversationUnknown, StoreError. With a cursor: what came after it, or a reset; without: the tail.
        """
        conversation = require_conversation(order.conversation)
        if not self.may_deliver:
            raise StoreUnavailable("this node has no lease")
        hub = await self._hub(conversation)
        cursor, first = order.cursor, True
        if connection.wanted.get(conversation) is not order:
            connection.hear(fx.Answered(order.ref))  # left, or opened anew, meanwhile
            self.close_if_idle(hub)
            return
        connection.followed[conversation] = hub
        hub.joining += 1
        try:
            while True:
                page = await self._read(connection, hub, cursor)
                view = await self._view(connection, page, order.ref) if first else None
                if connection.closed or connection.wanted.get(conversation) is not order:
                    connection.hear(fx.Answered(order.ref))
                    return
                if not self.may_deliver:
                    raise StoreUnavailable("this node has no lease")
                if view is not None:
                    connection.say(view)
                    first = False
                cursor = self._show(connection, conversation, page, cursor)
                if not (page.status == "gapless" and page.more) and hub.admit(connection, cursor):
                    break
            if isinstance(connection.session.identity, Agent):
                await self._hear_agents(conversation, hub)
        except BaseException:
            if connection.wanted.get(conversation) is order:
                del connection.wanted[conversation]
                hub.leave(connection)
            raise
        finally:
            hub.joining -= 1
            self.close_if_idle(hub)
        if isinstance(connection.session.identity, Agent):
            self._parts.conversations.notes(conversation, lambda notes: hub.show_notes([connection], notes))
        elif not connection.closed:
            self._parts.desk.visitor_came(connection, conversation)
        connection.hear(fx.Answered(order.ref))

    async def look_again(self, connection: Connection) -> None:
        """Somebody else speaks on this connection now: let go of what they may not read."""
        for conversation, hub in list(connection.followed.items()):
            try:
                head = await self._parts.desk.head(conversation)
            except StoreError:
                head = None
            is_theirs = head is not None and head.may_read(connection.user, connection.session_id)
            if not is_theirs and connection.followed.get(conversation) is hub:
                hub.leave(connection)
                connection.hear(fx.Unfollowed(conversation, ConversationUnknown()))

    async def _read(self, connection: Connection, hub: Hub, cursor: Position | None) -> Page:
        conversation = hub.conversation
        if not hub.project:
            await self._learn_project(hub)
        project = connection.project_of(conversation)

        def ask(acting: Acting, done: Callable[[Any], None]) -> None:
            if cursor is None:
                self._parts.conversations.open(acting, conversation, done, what="tail", limit=PAGE_ENTRIES)
            else:
                self._parts.conversations.open(
                    acting, conversation, done, what="after", cursor=cursor, limit=REPLAY_ENTRIES
                )

        return await self._parts.errands.ask(connection, project, conversation, ask)

    async def _learn_project(self, hub: Hub) -> None:
        """An agent acts for several projects: the conversation's head says for which one here."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._parts.conversations.head(hub.conversation, future.set_result)
        head = await future
        if isinstance(head, Exception):
            raise head
        if head is None:
            raise ConversationUnknown
        hub.project = head.project

    def _show(
        self, connection: Connection, conversation: ConversationId, page: Page, cursor: Position | None
    ) -> Position:
        """Say what was read, and return where the listener stands now."""
        if page.status != "gapless" or cursor is None:
            connection.say(reset_frame(conversation, page))
            return page.head.top
        if page.entries:
            connection.say(f.Replay(conversation=conversation, messages=raw(page.entries), more=page.more))
            last = codec.decode_head(page.entries[-1])
            return Position(UnixMs(last.at), last.seq, last.link)
        return cursor

    async def _view(self, connection: Connection, page: Page, ref: str) -> f.ConversationView:
        if isinstance(connection.session.identity, Agent):
            card = await self._parts.desk.card(page.head)
            return agents_view(page.head, card, ref=ref)
        return visitors_view(page.head, connection.user, ref=ref)

    # Hubs

    async def _hub(self, conversation: ConversationId) -> Hub:
        """Return the conversation's hub, whose subscription is confirmed."""
        async with self._one_at_a_time(conversation):
            hub = self._hubs.get(conversation)
            if hub is None:
                hub = Hub(self, conversation)
                await self._subscriber.subscribe(event_channel(conversation), hub.on_event)
                self._hubs[conversation] = hub
            return hub

    async def _hear_agents(self, conversation: ConversationId, hub: Hub) -> None:
        """Return when the agents' channel is confirmed; it is let go with the last agent."""
        async with self._one_at_a_time(conversation):
            if conversation not in self._agent_channels and hub.has_agents:
                await self._subscriber.subscribe(agent_channel(conversation), hub.on_agents_event)
                self._agent_channels.add(conversation)
                # The last agent may have left while we waited.
                self.agent_left(hub)

    @asynccontextmanager
    async def _one_at_a_time(self, conversation: ConversationId) -> AsyncGenerator[None]:
        """Let one opening of a conversation finish before the next begins, so that all see confirmed subscriptions."""
        lock, waiting = self._opening.get(conversation, (asyncio.Lock(), 0))
        self._opening[conversation] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            waiting = self._opening[conversation][1] - 1
            if waiting:
                self._opening[conversation] = (lock, waiting)
            else:
                del self._opening[conversation]

    def agent_left(self, hub: Hub) -> None:
        if not hub.has_agents and hub.conversation in self._agent_channels:
            self._agent_channels.discard(hub.conversation)
            self._subscriber.unsubscribe(agent_channel(hub.conversation))

    def close_if_idle(self, hub: Hub) -> None:
        """Close a hub later, unless somebody came back."""
        if not hub.members and not hub.joining:
            self._parts.wheel.schedule(IDLE_MS, lambda: self._close(hub))

    def _close(self, hub: Hub) -> None:
        conversation = hub.conversation
        if hub.members or hub.joining or self._hubs.get(conversation) is not hub or conversation in self._opening:
            return
        del self._hubs[conversation]
        self._subscriber.unsubscribe(event_channel(conversation))
        self.agent_left(hub)

    # Gaps

    def read_after(self, hub: Hub, position: Position | None, done: Callable[[Page | Exception], None]) -> None:
        """Read for a hub, on nobody's behalf: its listeners are judged when they are handed something.

        None: the tail.
        """
        node = Acting(UserId(""), "node", SessionId(""), UnixMs(0), ProjectId(""), None, self._parts.node.trust.applied)
        if position is None:
            self._parts.conversations.open(node, hub.conversation, done, what="tail", limit=PAGE_ENTRIES)
        else:
            self._parts.conversations.open(
                node, hub.conversation, done, what="after", cursor=position, limit=REPLAY_ENTRIES
            )

    def retry_later(self, hub: Hub) -> None:
        self._parts.wheel.schedule(1_000, hub.check)

    def vanished(self, hub: Hub) -> None:
        """The conversation is not in the store any more: whoever follows it is told."""
        for member in list(hub.members):
            member.hear(fx.Unfollowed(hub.conversation, ConversationUnknown()))
            hub.leave(member)

    def restored(self, channels: list[str]) -> None:
        """Subscriptions are back after a loss: what was published between is gone, so every hub looks."""
        log.warning("fanout.restored", count=len(channels))
        self.suspect_all()

    def suspect_all(self) -> None:
        """Check every hub against the log, and show agents the notes again: those have no gaps to be noticed."""
        for hub in list(self._hubs.values()):
            hub.suspect = True
            hub.check()
            if hub.has_agents:
                self._parts.conversations.notes(hub.conversation, functools.partial(hub.show_notes, list(hub.members)))

    def _look(self) -> None:
        """Compare the tops of those hubs that are due, all in one write."""
        self._parts.wheel.schedule(LOOK_EVERY_MS, self._look)
        if not self.may_deliver:
            return
        at = self.loop_time()
        for hub in self._hubs.values():
            if hub.due(at):
                hub.looked(at)
                self._parts.conversations.top(hub.conversation, hub.compare)

    def __len__(self) -> int:
        return len(self._hubs)
