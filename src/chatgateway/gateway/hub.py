"""One conversation's listeners on this node.

    idle --first listener--> subscribing --confirmed, read--> live
    live --publication lost, subscription renewed, lease over--> suspect --probed and read--> live
    live --entries were rewritten, or all of it deleted--> checking, from no position --read--> live, or gone

The subscription is confirmed before anybody reads, so nothing falls between. Everyone who is live stands at the hub's
position; whoever joins is brought there from what the hub remembers, or reads again. What arrives goes through the rule
of core/delivery.py; when it says "check", the hub probes its own position and reads after it, once for all listeners.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from chatgateway.core import effects as fx
from chatgateway.core.conversation import Head
from chatgateway.core.delivery import REMEMBERED, Delivery, Verdict
from chatgateway.core.identity import Agent
from chatgateway.core.rotation import Grounds
from chatgateway.errors import ConversationUnknown, Malformed
from chatgateway.gateway.outbox import Event
from chatgateway.gateway.views import reset_frame
from chatgateway.log import log
from chatgateway.protocol import codec
from chatgateway.store.conversations import Page
from chatgateway.types import ConversationId, Position, ProjectId, UnixMs

if TYPE_CHECKING:
    from chatgateway.gateway.connection import Connection
    from chatgateway.gateway.fanout import Fanout

LOOKS_S = (2, 10, 30)
"""After the last event the top is compared at these ages, then each minute: a lost last message has no successor."""

LOOK_EVERY_S = 60

_CHANGES_READERS = ("signed_in", "adopted", "unadopted")
"""Entries after which others than before may read."""


class Known(NamedTuple):
    position: Position
    prev: str
    event: Event


class Hub:
    """The listeners of one conversation."""

    __slots__ = (
        "_anew", "_buffer", "_changed_seq", "_delivery", "_fanout", "_looks", "_recent", "checking", "conversation",
        "joining", "looked_at", "members", "project", "suspect",
    )  # fmt: skip

    def __init__(self, fanout: Fanout, conversation: ConversationId) -> None:
        self.conversation = conversation
        self.project = ProjectId("")
        self.members: dict[Connection, int] = {}
        """Listener → seq up to which it has everything already."""
        self.joining = 0
        """Listeners that are reading and not admitted yet."""
        self.suspect = False
        self.checking = False
        self.looked_at = 0.0
        self._looks = 0
        self._changed_seq = 0
        self._anew = False
        """What was handed out is no longer what the log says, at the same positions: everyone starts again."""
        self._fanout = fanout
        self._delivery: Delivery | None = None
        self._recent: deque[Known] = deque(maxlen=REMEMBERED)
        self._buffer: list[bytes] = []

    def __repr__(self) -> str:
        return f"Hub({self.conversation}, {self._delivery}, members={len(self.members)})"

    @property
    def position(self) -> Position | None:
        return self._delivery.position if self._delivery is not None else None

    # Listeners

    def admit(self, connection: Connection, position: Position) -> bool:
        """Let a listener in who has read up to ``position``. Returns False when it must read again first."""
        if self._delivery is None:
            self._delivery = Delivery(position)
            self._touch()
            if self.suspect:
                # The subscription was lost while the first listener was reading.
                self.check()
        mine = self._delivery.position
        if position.seq < self._changed_seq:
            # Whoever may still read this was decided after the listener read.
            return False
        if position.seq > mine.seq:
            # The listener read what we have not heard yet: we catch up, and it skips what it has.
            self.members[connection] = position.seq
            self.check()
            return True
        missing = [known for known in self._recent if known.position.seq > position.seq]
        link = position.link
        for known in missing:
            if known.prev != link:
                return False
            link = known.position.link
        if len(missing) != mine.seq - position.seq or link != mine.link:
            return False
        for known in missing:
            connection.deliver(known.event)
        self.members[connection] = mine.seq
        self._drain()
        return True

    def leave(self, connection: Connection) -> None:
        """Forget a listener; the last one out closes the hub."""
        if self.members.pop(connection, None) is not None and isinstance(connection.session.identity, Agent):
            self._fanout.agent_left(self)
        connection.followed.pop(self.conversation, None)
        connection.wanted.pop(self.conversation, None)
        if not self.members:
            self._fanout.close_if_idle(self)

    @property
    def has_agents(self) -> bool:
        return any(isinstance(member.session.identity, Agent) for member in self.members)

    # What arrives

    def on_event(self, payload: bytes) -> None:
        """A publication on the conversation's channel."""
        if self._delivery is None or self.checking or self.suspect:
            self._buffer.append(payload)
            del self._buffer[:-REMEMBERED]
            return
        self._take(payload)

    def on_agents_event(self, payload: bytes) -> None:
        """A publication on the agents' channel of the conversation: a note, an identity, a presence."""
        self.show_notes(list(self.members), [payload])

    def show_notes(self, members: list[Connection], notes: list[bytes] | Exception) -> None:
        """Hand to the agents among ``members`` what only agents see. Clients know a note by its seq."""
        if isinstance(notes, Exception) or not self._fanout.may_deliver:
            return
        for event in [Event(note) for note in notes]:
            for member in members:
                if isinstance(member.session.identity, Agent):
                    member.deliver(event)

    def _take(self, payload: bytes) -> None:
        try:
            head = codec.decode_head(payload)
        except Malformed:
            log.error("hub.misheard", conversation=self.conversation)
            return
        if head.type == "rewritten":
            self._anew = True
            self.check()
            return
        if head.type != "message":
            if not self._fanout.may_deliver:
                return
            event = Event(payload)
            hint = head.type == "typing"
            for member in list(self.members):
                member.deliver(event, hint=hint)
            return
        assert self._delivery is not None
        position = Position(UnixMs(head.at), head.seq, head.link)
        match self._delivery.judge(position, head.prev):
            case Verdict.HAND_ON:
                if not self._fanout.may_deliver:
                    # Without a lease nothing is delivered; all is read again when it is back.
                    self.suspect = True
                    return
                if head.kind in ("adopted", "unadopted"):
                    # Which sessions may read from now on, only the conversation's head says: read both at one moment.
                    self.check()
                    return
                self._hand_on(position, head, payload)
            case Verdict.DROP:
                pass
            case Verdict.CHECK:
                self.check()

    def _hand_on(self, position: Position, head: codec.EventHead, payload: bytes) -> None:
        assert self._delivery is not None
        event = Event(payload)
        self._delivery.advance(position)
        self._recent.append(Known(position, head.prev, event))
        self._touch()
        seq = position.seq
        if head.kind in _CHANGES_READERS:
            self._changed_seq = seq
        if head.kind == "signed_in":
            self._keep_only(lambda member: member.user == head.subject)
        for member, floor in list(self.members.items()):
            if seq > floor:
                member.deliver(event)

    def _keep_only(self, may_read: Callable[[Grounds], bool]) -> None:
        """The conversation changed hands: whoever may not read it any more hears nothing of what comes."""
        for member in list(self.members):
            is_agent = isinstance(member.session.identity, Agent)
            if not is_agent and (member.grounds is None or not may_read(member.grounds)):
                self.leave(member)
                member.hear(fx.Unfollowed(self.conversation, ConversationUnknown()))

    def _keep_readers(self, head: Head) -> None:
        self._keep_only(lambda member: head.may_read(member.user, member.session))

    def _drain(self) -> None:
        """Judge what came while we could not."""
        if self.checking or self.suspect or self._delivery is None:
            return
        buffer, self._buffer = self._buffer, []
        for payload in buffer:
            self.on_event(payload)

    # Gaps

    def check(self) -> None:
        """Probe the own position and read after it; what arrives meanwhile waits."""
        if self.checking or self._delivery is None:
            return
        self.checking, self.suspect = True, False
        self._fanout.read_after(self, None if self._anew else self._delivery.position, self._checked)

    def _checked(self, page: Page | Exception) -> None:
        self.checking = False
        if isinstance(page, ConversationUnknown):
            self._fanout.vanished(self)
            return
        if isinstance(page, Exception):
            self.suspect = True
            self._fanout.retry_later(self)
            return
        if not self._fanout.may_deliver:
            self.suspect = True
            return
        if page.status == "gapless":
            heads = [codec.decode_head(payload) for payload in page.entries]
            if any(head.kind in _CHANGES_READERS for head in heads):
                self._keep_readers(page.head)
            for head, payload in zip(heads, page.entries, strict=True):
                position = Position(UnixMs(head.at), head.seq, head.link)
                assert self._delivery is not None
                if self._delivery.judge(position, head.prev) is Verdict.HAND_ON:
                    self._hand_on(position, head, payload)
        else:
            self._reset(page)
        if (page.status == "gapless" and page.more) or self.suspect:
            # There is more, or a subscription was renewed after this was read.
            self.check()
            return
        self._touch()
        self._drain()

    def _reset(self, page: Page) -> None:
        """What we know is on no branch of the log any more: everyone starts from the authoritative tail."""
        if not self._anew:
            log.warning("hub.diverged", conversation=self.conversation, detail=page.status, count=len(self.members))
        self._anew = False
        self._delivery = Delivery(page.head.top)
        self._recent.clear()
        self._keep_readers(page.head)
        frame = Event(codec.encode(reset_frame(self.conversation, page)))
        for member in list(self.members):
            self.members[member] = page.head.top.seq
            member.deliver(frame)

    # Lost last messages

    def _touch(self) -> None:
        self._looks = 0
        self.looked_at = self._fanout.loop_time()

    def due(self, at: float) -> bool:
        """Is it time to compare the top?"""
        wait = LOOKS_S[self._looks] if self._looks < len(LOOKS_S) else LOOK_EVERY_S
        return not self.checking and self._delivery is not None and at - self.looked_at >= wait

    def looked(self, at: float) -> None:
        """The top is being compared; the next look is later."""
        if self._looks < len(LOOKS_S):
            self._looks += 1
            if self._looks == len(LOOKS_S):
                self.looked_at = at
        else:
            self.looked_at = at

    def compare(self, top: Position | Exception) -> None:
        if isinstance(top, Position) and (self.suspect or top != self.position):
            self.check()
