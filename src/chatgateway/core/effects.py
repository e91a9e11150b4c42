"""What a session hears (events, past tense) and what it orders (effects, imperative).

The connection turns frames, timers and the store's answers into events, and carries the effects out. Neither side
knows the other's insides, so a session can be driven through any order of events without a socket or a store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chatgateway.close_codes import CloseCode
from chatgateway.core.identity import Identity
from chatgateway.errors import PeerError
from chatgateway.protocol.frames import Authenticate, ClientFrame, Hello, Inbox, ServerFrame
from chatgateway.types import Policy, Position, ProjectId, SessionId, UnixMs, UserId

Act = str
"""What an append is: "text", "begin", "assigned", "resolved" or "reopened" (the rest is not ordered by sessions)."""


# Events


@dataclass(frozen=True, slots=True)
class Received:
    """The peer said a frame."""

    frame: ClientFrame


@dataclass(frozen=True, slots=True)
class Misspoken:
    """The peer sent something that is no frame; ``ref`` is what could be read of its reference."""

    error: PeerError
    ref: str = ""


@dataclass(frozen=True, slots=True)
class Bound:
    """The session speaks for ``identity`` from now on: sign-in, refresh or sign-out succeeded."""

    ref: str
    identity: Identity
    session: SessionId
    project: ProjectId
    partition: int
    """Where conversations that this user begins will live."""
    session_token: str
    now: UnixMs
    name: str = ""
    email: str = ""
    policy: Policy = "anyone"
    agents_present: bool = False
    adoptable: tuple[str, ...] = ()
    """Conversations begun before signing in that this session may adopt."""
    email_proved: bool = False


@dataclass(frozen=True, slots=True)
class BindRefused:
    ref: str
    error: Exception
    after_ms: int = 0
    """When to come back, where that is drawn (a key revoked within the last day)."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The store answered an Append: per entry where it stands, or why it does not."""

    conversation: str
    answers: tuple[tuple[Position, bool] | PeerError, ...]


@dataclass(frozen=True, slots=True)
class NotStored:
    """An Append failed as a whole."""

    conversation: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Answered:
    """A command was carried out; ``frames`` are its answer."""

    ref: str
    frames: tuple[ServerFrame, ...] = ()
    ack: bool = True


@dataclass(frozen=True, slots=True)
class Failed:
    """A command failed and changed nothing. ``unfollowed``: the conversation that is not followed because of it."""

    ref: str
    error: Exception
    unfollowed: str = ""


@dataclass(frozen=True, slots=True)
class Proved:
    """An anonymous visitor proved an address: from now on their words carry that assurance.

    ``ref`` is None where it was proved in another tab of the same visitor, and answers no command.
    """

    ref: str | None
    identity: Identity


@dataclass(frozen=True, slots=True)
class Unfollowed:
    """A conversation that was followed may not be followed any more. Answers no command."""

    conversation: str
    error: Exception


@dataclass(frozen=True, slots=True)
class TrustWithdrawn:
    code: CloseCode
    after_ms: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The gateway itself ends the connection: draining, lease lost, slow consumer, store lost."""

    code: CloseCode
    after_ms: int = 0


@dataclass(frozen=True, slots=True)
class Woke:
    """The instant ``wake_at`` has come."""


Event = (
    Received
    | Misspoken
    | Bound
    | BindRefused
    | Stored
    | NotStored
    | Answered
    | Failed
    | Proved
    | Unfollowed
    | TrustWithdrawn
    | Ended
    | Woke
)


# Effects


@dataclass(frozen=True, slots=True)
class Say:
    frame: ServerFrame


@dataclass(frozen=True, slots=True)
class Identify:
    """Find out who speaks. Answered by Bound or BindRefused. ``must_be`` names the person it has to stay."""

    hello: Hello


@dataclass(frozen=True, slots=True)
class SignIn:
    """Verify a token on a live connection. ``must_be`` is the signed-in person, who may be refreshed, not replaced."""

    authenticate: Authenticate
    must_be: UserId | None


@dataclass(frozen=True, slots=True)
class SignOff:
    """Revoke this session (or all of the person's) in the store, then become a fresh anonymous visitor."""

    ref: str
    everywhere: bool


@dataclass(frozen=True, slots=True)
class Write:
    """One entry to append: its ref, the event from "conversation" on, and whether it is a text."""

    ref: str
    tail: bytes
    is_text: bool = True


@dataclass(frozen=True, slots=True)
class Append:
    conversation: str
    entries: tuple[Write, ...]
    act: Act = "text"
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Follow:
    """Read a conversation and deliver what comes after. Without ``cursor``: its tail first."""

    conversation: str
    cursor: Position | None
    ref: str


@dataclass(frozen=True, slots=True)
class Unfollow:
    conversation: str


@dataclass(frozen=True, slots=True)
class MarkRead:
    ref: str
    conversation: str
    seq: int


@dataclass(frozen=True, slots=True)
class TellTyping:
    conversation: str
    on: bool


@dataclass(frozen=True, slots=True)
class FetchHistory:
    ref: str
    conversation: str
    before: Position
    limit: int


@dataclass(frozen=True, slots=True)
class ListConversations:
    ref: str


@dataclass(frozen=True, slots=True)
class ListInbox:
    inbox: Inbox


@dataclass(frozen=True, slots=True)
class WriteNote:
    ref: str
    conversation: str
    text: str


@dataclass(frozen=True, slots=True)
class SetAway:
    ref: str
    on: bool


@dataclass(frozen=True, slots=True)
class KeepContext:
    ref: str
    page: str
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class KeepChat:
    """Adopt what was begun on this connection before signing in."""

    ref: str


@dataclass(frozen=True, slots=True)
class GiveChatBack:
    """Undo an adoption."""

    ref: str
    receipt: str


@dataclass(frozen=True, slots=True)
class ProveEmail:
    """Send a code to ``email``, or judge ``code``. The latter is answered by Proved or Failed."""

    ref: str
    email: str
    code: str


@dataclass(frozen=True, slots=True)
class End:
    """Say goodbye, then close."""

    code: CloseCode
    after_ms: int = 0
    sentence: str = ""


Effect = (
    Say
    | Identify
    | SignIn
    | SignOff
    | Append
    | Follow
    | Unfollow
    | MarkRead
    | TellTyping
    | FetchHistory
    | ListConversations
    | ListInbox
    | WriteNote
    | SetAway
    | KeepContext
    | KeepChat
    | GiveChatBack
    | ProveEmail
    | End
)
