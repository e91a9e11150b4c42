"""One WebSocket and the session behind it: bytes to events, effects to bytes.

The connection decides nothing. It hears the socket (text, writable, closed), the wheel and the store, tells the
session, and carries out what the session orders. What it adds is order under withdrawal: a connection whose trust is
withdrawn, or whose node has no lease, accepts and hands out nothing, whatever its session has not heard yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chatgateway.close_codes import CloseCode
from chatgateway.core import effects as fx
from chatgateway.core.credential import Credential
from chatgateway.core.identity import Agent, Authenticated, Identity
from chatgateway.core.rotation import Grounds, Trust
from chatgateway.core.session import NEVER, Session, State, goodbye
from chatgateway.errors import PeerError, StoreUnavailable, TooBig
from chatgateway.gateway.outbox import Event, Outbox
from chatgateway.gateway.roster import NOBODYS, Group
from chatgateway.gateway.websocket import LiveSocket
from chatgateway.log import log
from chatgateway.protocol import codec
from chatgateway.protocol import frames as f
from chatgateway.store.sessions import SessionRow
from chatgateway.types import ConversationId, ProjectId, SessionId, UnixMs, UserId

if TYPE_CHECKING:
    from chatgateway.gateway.hub import Hub
    from chatgateway.gateway.parts import Parts
    from chatgateway.gateway.timing import Deadline


@dataclass(slots=True)
class Caller:
    """Where a connection comes from, as the upgrade said."""

    origin: str | None
    address: str
    bearer: str | None = None
    """A token that came as a sub-protocol instead of in hello."""
    app: str = ""
    page: str = ""
    client: str = ""
    can_refresh: bool = False
    live: bool = True
    """Whether a socket comes with it: an exchange over HTTP makes a session that is nowhere yet."""
    facts: dict[str, str] = field(default_factory=dict[str, str])


class Connection:
    """The listener of one LiveSocket."""

    __slots__ = (
        "_deadline", "_live", "_outbox", "_parts", "_wake_at", "away", "caller", "closed", "credential", "ended",
        "followed", "grounds", "group", "inboxes", "presented", "row", "session", "wanted", "withdrawn",
    )  # fmt: skip

    def __init__(self, parts: Parts, live: LiveSocket, caller: Caller) -> None:
        self._parts = parts
        self._live = live
        self._outbox = Outbox(
            live, parts.flusher, parts.settings.outbound_max_frames, parts.settings.outbound_max_bytes, self._overflowed
        )
        self.caller = caller
        self.session = Session(parts.rules, parts.node.now())
        self.grounds: Grounds | None = None
        self.group: Group = NOBODYS
        self.withdrawn: CloseCode | None = None
        """Trust in this person, session or agent (not its key) was withdrawn."""
        self.row: SessionRow | None = None
        self.credential = ""
        self.presented: Credential | None = None
        """The anonymous credential that came, live, with the customer token that this connection is signed in by."""
        self.wanted: dict[ConversationId, fx.Follow] = {}
        """What the session follows, from the order on; the hub comes later."""
        self.followed: dict[ConversationId, Hub] = {}
        self.inboxes: set[ProjectId] = set()
        self.away = False
        self.ended = False
        self.closed = False
        self._wake_at = NEVER
        self._deadline: Deadline | None = None

    def __repr__(self) -> str:
        return f"Connection({self.session!r})"

    def opened(self) -> None:
        """The socket was accepted and is ours."""
        self._parts.roster.connections.add(self)
        self._arm()

    # What the socket tells

    def on_text(self, data: bytes) -> None:
        """One message of the peer. Refused without a look while trust or lease is gone."""
        if self.ended:
            return
        code = self.rests_on_withdrawn(self._parts.node.trust)
        if code is not None:
            # Its turn in the slices would come; who speaks up hears it now.
            self._parts.errands.withdraw(self, code)
            return
        limit = self._parts.settings.hello_max_bytes if self.session.identity is None else 0
        if limit and len(data) > limit:
            self.hear(fx.Misspoken(TooBig(f"The first frame has at most {limit} bytes.")))
            return
        try:
            frame = codec.decode_client(data)
        except PeerError as error:
            self.hear(fx.Misspoken(error, codec.ref_of(data)))
            return
        if not self._parts.node.may_act and not isinstance(frame, f.Heartbeat):
            if self.session.identity is None:
                self.hear(fx.Ended(CloseCode.LEASE_LOST))
            else:
                self.say(f.Error(ref=frame.ref, code="store_unavailable", sentence=_LEASE_OVER, retry=1_000))
            return
        self.hear(fx.Received(frame))

    def on_writable(self) -> None:
        self._outbox.resume()

    def on_closed(self, code: int) -> None:
        """The socket is gone: leave everything that was joined."""
        self.closed = self.ended = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._outbox.clear()
        parts = self._parts
        parts.desk.visitor_left(self)
        for hub in list(self.followed.values()):
            hub.leave(self)
        self.followed.clear()
        self.wanted.clear()
        parts.desk.leave(self)
        parts.roster.connections.discard(self)
        if self.grounds is not None:
            parts.roster.leave(self, self.grounds)
        parts.doors.release(self)
        parts.errands.closed(self, code)
        if self.session.identity is not None:
            log.info("session.closed", project=self.session.project, session=self.session.session, close=code)

    # Telling the session

    def hear(self, event: fx.Event) -> None:
        """Tell the session what happened and carry out what it orders."""
        if self.closed:
            return
        if isinstance(event, fx.Answered) and event.frames and not self._parts.node.may_act:
            # The store was asked with a lease, and its answer came without: it may belong to withdrawn trust.
            event = fx.Failed(event.ref, StoreUnavailable("this node has no lease"))
        for effect in self.session.handle(event, self._parts.node.now()):
            if isinstance(effect, fx.Say):
                self.say(effect.frame)
            elif isinstance(effect, fx.End):
                self._end(effect)
            else:
                self._parts.errands.run(self, effect)
        if self.session.wake_at < self._wake_at:
            self._arm()

    def _arm(self) -> None:
        """One entry in the wheel per connection; an earlier wish moves it, a later one is noticed when it fires."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._wake_at = self.session.wake_at
        delay = max(1, self._wake_at - self._parts.node.now())
        self._deadline = self._parts.wheel.schedule(delay, self._woke) if self._wake_at != NEVER else None

    def _woke(self) -> None:
        self._deadline, self._wake_at = None, NEVER
        if self.closed or self.ended:
            return
        if self._parts.node.now() >= self.session.wake_at:
            self.hear(fx.Woke())
        if not self.ended:
            self._arm()

    # Trust

    def rests_on_withdrawn(self, trust: Trust) -> CloseCode | None:
        """Return why this connection may not go on, or None. Judged anew each time: nothing is remembered wrongly."""
        if self.withdrawn is not None:
            return self.withdrawn
        if self.group.withdrawn is not None:
            return self.group.withdrawn
        return trust.judge(self.grounds) if self.grounds is not None else None

    def end_trust(self, code: CloseCode) -> None:
        """Trust in this person, session or agent was found to be gone: end, and accept and hand out nothing more."""
        self.withdrawn = self.withdrawn or code
        self.hear(fx.TrustWithdrawn(code, 0))

    def rest_on(self, grounds: Grounds) -> None:
        """Join the roster under new grounds, before they are bound; the old ones are left."""
        roster = self._parts.roster
        group = roster.join(self, grounds)
        if self.grounds is not None and self.grounds != grounds:
            old = self.grounds
            roster.leave(self, old)
            group = roster.join(self, grounds)
        self.grounds, self.group = grounds, group

    # Saying

    def say(self, frame: f.ServerFrame) -> None:
        """Queue a frame for this peer alone."""
        if not self.ended:
            self._outbox.add(Event(codec.encode(frame)))

    def deliver(self, event: Event, *, hint: bool = False) -> bool:
        """Queue what many receive. Returns False when this connection may not have it any more.

        Whoever hands out to many has asked for the lease once, so that all of them have it or none.
        """
        if self.ended or self.withdrawn is not None or self.group.withdrawn is not None:
            return False
        self._outbox.add(event, hint=hint)
        return True

    def _overflowed(self) -> None:
        self._outbox.clear()
        self.hear(fx.Ended(CloseCode.SLOW_CONSUMER))

    def _end(self, end: fx.End) -> None:
        if self.ended:
            return
        if end.code.client_action in _TRUST_ENDED:
            # Nothing that waits here is handed out after trust has ended.
            self._outbox.clear()
        self.say(goodbye(end))
        self.ended = True
        self._outbox.flush()
        self._live.close(end.code, end.code.reason)
        if self.session.identity is None:
            log.info("session.refused", app=self.caller.app, code=end.code.reason, address=self.caller.address)

    # Who it is

    @property
    def identity(self) -> Identity | None:
        return self.session.identity

    @property
    def side(self) -> str:
        return "agent" if isinstance(self.session.identity, Agent) else "visitor"

    @property
    def is_open(self) -> bool:
        return self.session.state is State.OPEN and not self.ended

    @property
    def user(self) -> UserId:
        return self.session.identity.user if self.session.identity is not None else UserId("")

    @property
    def session_id(self) -> SessionId:
        return self.session.session

    @property
    def signed_at(self) -> UnixMs:
        return self.grounds.signed_at if self.grounds is not None else UnixMs(0)

    def project_of(self, conversation: ConversationId) -> ProjectId:
        """The project on whose behalf this connection acts on a conversation. Agents answer for several."""
        hub = self.followed.get(conversation)
        if isinstance(self.session.identity, Agent):
            if hub is None or hub.project not in self.session.identity.projects:
                raise StoreUnavailable if hub is not None and not hub.project else _not_open()
            return hub.project
        return self.session.project

    @property
    def earlier(self) -> UserId | None:
        identity = self.session.identity
        return identity.earlier if isinstance(identity, Authenticated) else None


def _not_open() -> PeerError:
    from chatgateway.errors import ConversationUnknown

    return ConversationUnknown("Open the conversation before acting on it.")


_LEASE_OVER = "The gateway has lost touch with its store; send this again in a moment."
_TRUST_ENDED = {
    CloseCode.KEY_REVOKED.client_action,
    CloseCode.FORBIDDEN.client_action,
    CloseCode.SESSION_UNKNOWN.client_action,
}
