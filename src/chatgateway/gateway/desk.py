"""Lists and presence: what a visitor's home and an agents' inbox show, and who is there.

An inbox is followed by its parts' hints: the rows that changed within a tenth of a second are read and encoded once for
all agents of the project on this node.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from chatgateway.core import effects as fx
from chatgateway.core.conversation import Head
from chatgateway.core.identity import Agent
from chatgateway.errors import ConversationUnknown, Forbidden, StoreError
from chatgateway.gateway.connection import Connection
from chatgateway.gateway.outbox import Event
from chatgateway.gateway.views import agents_view, card_of, preview_of, visitors_view
from chatgateway.log import log
from chatgateway.protocol import codec
from chatgateway.protocol import frames as f
from chatgateway.store import schema
from chatgateway.store.subscriber import Subscriber
from chatgateway.types import ConversationId, ProjectId, SessionId, UnixMs, UserId

if TYPE_CHECKING:
    from chatgateway.gateway.parts import Parts

GATHER_MS = 100
"""Changes of an inbox are told together this often."""

SLICE = 500
"""Connections told of a presence before the loop is yielded to."""


class Watch:
    """One project's inbox, followed by agents on this node."""

    __slots__ = ("changed", "followers", "hears", "scheduled")

    def __init__(self) -> None:
        self.followers: set[Connection] = set()
        self.changed: set[ConversationId] = set()
        self.scheduled = False
        self.hears = False


class Desk:
    """Lists, inboxes and presence on this node."""

    def __init__(self, parts: Parts, subscriber: Subscriber) -> None:
        self._parts = parts
        self._subscriber = subscriber
        self._watches: dict[ProjectId, Watch] = {}

    # A visitor's own list

    async def list_conversations(self, connection: Connection, ref: str) -> None:
        """Answer ``conversations``: the person's own and, before adoption, those this session holds."""
        heads = await self.heads_of(
            connection.session.project, connection.user, connection.earlier, connection.session_id
        )
        previews = await self.previews(heads)
        views = tuple(
            visitors_view(head, connection.user, ref=ref, more=index + 1 < len(heads), preview=preview)
            for index, (head, preview) in enumerate(zip(heads, previews, strict=True))
        )
        connection.hear(fx.Answered(ref, views, ack=not views))

    async def previews(self, heads: list[Head]) -> list[str]:
        """Return the beginning of what was said last in each of these conversations. Raises StoreError."""
        return await asyncio.gather(*(self._preview(head.conversation) for head in heads))

    async def heads_of(
        self, project: ProjectId, user: UserId, earlier: UserId | None, session: SessionId
    ) -> list[Head]:
        """Return the conversations that a session may read as its visitor, the latest first."""
        names = await self._parts.conversations.of_person(project, user)
        if earlier is not None:
            names += await self._parts.conversations.of_person(project, earlier)
        # One that was kept, or may be soon, stands in both lists.
        heads = await asyncio.gather(*(self.head(name) for name in dict.fromkeys(names)))
        mine = [head for head in heads if head is not None and head.may_read(user, session)]
        return sorted(mine, key=lambda head: head.top.at, reverse=True)

    async def head(self, conversation: ConversationId) -> Head | None:
        """Return a conversation's head, or None. Raises StoreError."""
        return await _awaited(functools.partial(self._parts.conversations.head, conversation))

    async def _preview(self, conversation: ConversationId) -> str:
        return preview_of(await _awaited(functools.partial(self._parts.conversations.last_entry, conversation)))

    # The inbox

    async def list_inbox(self, connection: Connection, inbox: f.Inbox) -> None:
        """Answer ``inbox``, and tell this agent from now on which rows change. Raises Forbidden."""
        identity, project = connection.session.identity, ProjectId(inbox.project)
        if not isinstance(identity, Agent) or project not in identity.projects:
            raise Forbidden("You do not answer for this project.")
        if connection.closed:
            return  # gone in the very tick in which it asked: nobody would take it out of the watch
        await self._watch(connection, project)
        before = UnixMs(inbox.before) if inbox.before is not None else None
        names, more = await self._parts.inbox.page(project, inbox.view, before, inbox.limit, identity.agent)
        rows = await self._rows(names)
        page = f.InboxPage(project=project, rows=rows, ref=inbox.ref, more=more)
        connection.hear(fx.Answered(inbox.ref, (page,), ack=False))

    async def _rows(self, names: list[ConversationId]) -> list[f.ConversationView]:
        async def row(name: ConversationId) -> f.ConversationView | None:
            head = await self.head(name)
            if head is None:
                return None
            card, preview = await asyncio.gather(self.card(head), self._preview(name))
            return agents_view(head, card, preview=preview)

        return [row for row in await asyncio.gather(*(row(name) for name in names)) if row is not None]

    async def card(self, head: Head) -> f.VisitorCard:
        """Return what agents see of a conversation's visitor."""
        person, rows = await asyncio.gather(
            self._parts.identities.get(head.project, head.speaks),
            self._parts.sessions.latest(head.project, head.speaks),
        )
        live = self._parts.node.live_nodes
        here = [row for row in rows if not row.closed_at and row.node in live]
        # Where they are now, before where an exchange over HTTP was asked for last.
        latest = next(iter(here or rows), None)
        return card_of(head.speaks, person, latest, online=bool(here))

    async def _watch(self, connection: Connection, project: ProjectId) -> None:
        watch = self._watches.setdefault(project, Watch())
        watch.followers.add(connection)
        connection.inboxes.add(project)
        if watch.hears:
            return
        watch.hears = True
        try:
            await asyncio.gather(
                *(
                    self._subscriber.subscribe(
                        schema.inbox_hints(number, project), lambda payload: self._hinted(project, watch, payload)
                    )
                    for number in range(schema.PARTITIONS)
                )
            )
        except StoreError:
            self._unhear(project)
            watch.hears = False
            raise

    def _unhear(self, project: ProjectId) -> None:
        for number in range(schema.PARTITIONS):
            self._subscriber.unsubscribe(schema.inbox_hints(number, project))

    def leave(self, connection: Connection) -> None:
        """An agent's connection is gone; the last one closes the watch."""
        for project in connection.inboxes:
            watch = self._watches.get(project)
            if watch is not None:
                watch.followers.discard(connection)
                if not watch.followers:
                    del self._watches[project]
                    self._unhear(project)
        connection.inboxes.clear()
        if isinstance(connection.session.identity, Agent):
            self._parts.node.ring_doorbell()

    def _hinted(self, project: ProjectId, watch: Watch, payload: bytes) -> None:
        watch.changed.add(ConversationId(payload.decode()))
        if not watch.scheduled:
            watch.scheduled = True
            self._parts.wheel.schedule(GATHER_MS, lambda: self._parts.errands.spawn(self._tell(project, watch)))

    async def _tell(self, project: ProjectId, watch: Watch) -> None:
        watch.scheduled = False
        if not self._parts.node.may_act:
            return
        changed, watch.changed = watch.changed, set()
        try:
            rows = await self._rows(sorted(changed))
        except StoreError as error:
            log.warning("inbox.unread", project=project, detail=str(error))
            return
        if not self._parts.node.may_act:
            return  # it ended while the store was asked; with the next one agents read their lists again
        event = Event(codec.encode(f.InboxPage(project=project, rows=rows)))
        erased = changed - {ConversationId(row.conversation) for row in rows}
        for follower in list(watch.followers):
            if rows:
                follower.deliver(event)
            for conversation in erased:
                follower.hear(fx.Unfollowed(conversation, ConversationUnknown()))

    def restored(self) -> None:
        """Hints may have been missed: agents read their lists again."""
        for project, watch in self._watches.items():
            event = Event(codec.encode(f.InboxPage(project=project, rows=[], more=True)))
            for follower in list(watch.followers):
                follower.deliver(event)

    # Presence

    def active_agents(self) -> dict[str, list[str]]:
        """Return who is active here, by project: an agent with a socket who is not away."""
        names: dict[str, set[str]] = {}
        for connection in self._parts.roster.agents():
            identity = connection.session.identity
            if isinstance(identity, Agent) and connection.is_open and not connection.away:
                for project in identity.projects:
                    names.setdefault(project, set()).add(identity.name)
        return {project: sorted(present) for project, present in names.items()}

    def presence_changed(self, projects: set[ProjectId]) -> None:
        """Agents came or went somewhere: tell this node's visitors and agents of those projects."""
        self._parts.errands.spawn(self._tell_presence(projects))

    async def _tell_presence(self, projects: set[ProjectId]) -> None:
        for project in projects:
            names = list(self._parts.node.presence.get(project, ()))
            to_visitors = Event(codec.encode(f.Presence(agents_present=bool(names))))
            to_agents = Event(codec.encode(f.Presence(agents_present=bool(names), agents=names)))
            for index, connection in enumerate(self._parts.roster.visitors(project)):
                connection.deliver(to_visitors, hint=True)
                if index % SLICE == SLICE - 1:
                    await asyncio.sleep(0)
            for connection in list(self._parts.roster.agents()):
                identity = connection.session.identity
                if isinstance(identity, Agent) and project in identity.projects:
                    connection.deliver(to_agents, hint=True)

    def visitor_came(self, connection: Connection, conversation: ConversationId) -> None:
        """A visitor looks at a conversation: its agents see them online."""
        self._parts.errands.tell_agents(
            conversation, f.Presence(conversation=conversation, user=connection.user, online=True)
        )

    def context_changed(self, connection: Connection) -> None:
        """A visitor moved to another page: their agents' lists show it, marked as unsigned."""
        row = connection.row
        if row is None:
            return
        connection.row = msgspec.structs.replace(row, page=connection.caller.page, facts=connection.caller.facts)
        self._parts.sessions.keep(connection.session_id, connection.row)
        for conversation in connection.followed:
            hints = schema.inbox_hints(schema.partition_of_conversation(conversation), connection.session.project)
            self._parts.conversations.publish(hints, conversation.encode())

    def visitor_left(self, connection: Connection) -> None:
        """A visitor's socket is gone: unless another one is here, their agents see them leave."""
        identity = connection.session.identity
        if identity is None or isinstance(identity, Agent):
            return
        others = self._parts.roster.of_person(connection.session.project, identity.user) - {connection}
        for conversation in connection.followed:
            if not any(conversation in other.followed for other in others):
                self._parts.errands.tell_agents(
                    conversation, f.Presence(conversation=conversation, user=identity.user, online=False)
                )


async def _awaited(call: Callable[[Callable[[Any], None]], None]) -> Any:
    """Return what a callback-style store call answers. Raises StoreError."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def done(reply: Any) -> None:
        if future.done():
            return
        if isinstance(reply, Exception):
            future.set_exception(reply)
        else:
            future.set_result(reply)

    call(done)
    return await future
